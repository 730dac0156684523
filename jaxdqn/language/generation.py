"""Paths written by a model, and what becomes of them."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from jaxdqn.errors import ConfigError
from jaxdqn.language import corpus
from jaxdqn.language.config import LanguageConfig, for_finetuning
from jaxdqn.maze import Levels, solve, text
from jaxdqn.precision import in_usual_numbers
from jaxdqn.random import unrolled
from jaxdqn.types import Array, Params, PRNGKey


class Verdicts(struct.PyTreeNode):
    """What became of paths, ``[B]`` each.

    Attributes:
        tokens: the whole texts, int32 ``[B, T]``.
        moves: on the shortest path from start to goal, int32.
        valid: only steps between neighbours without a wall, then ``end``.
        solved: valid, and it ends at the goal.
        shortest: solved with no step too many.
        wrong_end: valid, but it ends elsewhere.
        invalid_token: a word where a cell should be, or no ``end`` at all.
    """

    tokens: Array
    moves: Array
    valid: Array
    solved: Array
    shortest: Array
    wrong_end: Array
    invalid_token: Array


def generate(
    config: LanguageConfig, params: Params, prompts: Array, temperature: float | Array, key: PRNGKey
) -> Array:
    """Write on after prompts, a token at a time.

    A causal model keeps keys and values of earlier tokens; another is shown all that is yet to come
    as masked, and reads the whole text anew for each token.

    Args:
        config: of the model.
        params: its weights.
        prompts: int ``[B, prompt_length]``.
        temperature: 0 takes the likeliest token, 1 draws from the model.
        key: consumed.

    Returns:
        Whole texts, int32 ``[B, T]``; what follows an ``end`` is padding.

    Raises:
        ConfigError: prompts are longer than a text.
    """
    if prompts.shape[1] > config.context:
        raise ConfigError(
            f"prompts (of {prompts.shape[1]} tokens) exceed the {config.context} that a text has "
            f"with path_length = {config.path_length}: shorten them, or train with a longer one."
        )
    keys = jax.random.split(unrolled(key), len(prompts))
    write = _cached if config.causal else _unmasked
    one = functools.partial(write, config, params, temperature)
    return jax.vmap(one)(prompts.astype(jnp.int32), keys)


def _drawn(
    logits: Array, before: Array, temperature: float | Array, place: Array, key: PRNGKey
) -> Array:
    """Draw the token at a place by its logits ``[V]``; nothing follows an end."""
    noise = jax.random.gumbel(jax.random.fold_in(key, place), logits.shape)
    drawn = jnp.argmax(logits + temperature * noise).astype(jnp.int32)
    ended = (before == text.END) | (before == text.PADDING)
    return jnp.where(ended, text.PADDING, drawn)


def _unmasked(
    config: LanguageConfig, params: Params, temperature: float | Array, prompt: Array, key: PRNGKey
) -> Array:
    masked = jnp.full(config.context, text.MASK, jnp.int32).at[: len(prompt)].set(prompt)

    def step(tokens: Array, place: Array) -> tuple[Array, None]:
        logits: Any = config.model().apply(params, tokens)
        token = _drawn(logits[place], tokens[place - 1], temperature, place, key)
        return tokens.at[place].set(token), None

    return jax.lax.scan(step, masked, jnp.arange(len(prompt), config.context))[0]


def _cached(
    config: LanguageConfig, params: Params, temperature: float | Array, prompt: Array, key: PRNGKey
) -> Array:
    model = config.model(decode=True)
    blank = jnp.zeros(config.context, jnp.int32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), blank)["cache"]
    cache = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    given = blank.at[: len(prompt)].set(prompt)

    def step(carry: tuple[Any, Array], place: Array) -> tuple[tuple[Any, Array], Array]:
        cache, before = carry
        logits, changed = model.apply({**params, "cache": cache}, before[None], mutable=["cache"])
        drawn = _drawn(logits[0], before, temperature, place, key)
        token = jnp.where(place < len(prompt), given[place], drawn)
        return (changed["cache"], token), token

    _, written = jax.lax.scan(step, (cache, prompt[0]), jnp.arange(1, config.context))
    return jnp.concatenate([prompt[:1], written])


@in_usual_numbers
@jax.jit
def judge(
    config: LanguageConfig,
    params: Params,
    bank: Levels,
    indices: Array,
    temperature: float | Array,
    key: PRNGKey,
) -> Verdicts:
    """Let a model write the shortest path in mazes, from and to cells drawn at random.

    Args:
        config: of the model; ends are as far apart as there is room for. Where it has read mazes
            whose cells were permuted, these aren't.
        params: its weights.
        bank: the mazes; held-out ones are ``corpus.banks(config)[0]``.
        indices: which of them, int ``[B]``.
        temperature: see ``generate``.
        key: consumed.
    """
    # After the moves there must be room for the end.
    longest = config.path_length - 1
    asked = for_finetuning(config).replace(longest=longest, starts=1, permuted=False)
    key_ends, key_write = jax.random.split(key)
    texts = corpus.draw(asked, bank, indices, key_ends)
    length = text.prompt_length(config.cells)
    tokens = generate(config, params, texts.tokens[:, :length], temperature, key_write)
    return jax.vmap(functools.partial(verdict, length))(bank.walls[indices], tokens, texts.moves)


def verdict(length: int, walls: Array, tokens: Array, moves: Array) -> Verdicts:
    """Judge one text ``[T]`` whose prompt has ``length`` tokens, about one maze ``[H, W]``."""
    prompt, path = tokens[:length], tokens[length:]
    goal, start = (prompt[place] - len(text.WORDS) for place in (text.GOAL_AT, text.AGENT_AT))
    is_end = path == text.END
    steps = jnp.argmax(is_end)
    before_end = jnp.arange(len(path)) < jnp.where(is_end.any(), steps, len(path))
    cells = jnp.clip(path - len(text.WORDS), 0, walls.size - 1)
    from_cells = jnp.concatenate([start[None], cells[:-1]])
    there = solve.successors(walls)[from_cells]
    allowed = ((there == cells[:, None]) & (there != from_cells[:, None])).any(axis=1)
    is_cell = path >= len(text.WORDS)
    invalid_token = ~is_end.any() | jnp.any(before_end & ~is_cell)
    valid = ~invalid_token & jnp.all(allowed | ~before_end)
    at_goal = jnp.where(steps > 0, cells[steps - 1], start) == goal
    return Verdicts(
        tokens=tokens,
        moves=moves,
        valid=valid,
        solved=valid & at_goal,
        shortest=valid & at_goal & (steps == moves),
        wrong_end=valid & ~at_goal,
        invalid_token=invalid_token,
    )
