"""What is read: texts of mazes that no agent will be judged on, and how certain each token can be.

Mazes come from the bank that an agent's environment draws from, after those that it trains on and
is judged on. No two mazes of a bank are alike, so the corpus has none of either.
"""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from jaxdqn import interface, maze
from jaxdqn.errors import ConfigError
from jaxdqn.language.config import LanguageConfig
from jaxdqn.maze import Levels, levels, solve, text
from jaxdqn.precision import in_usual_numbers
from jaxdqn.random import unrolled
from jaxdqn.types import Array, PRNGKey


class Texts(struct.PyTreeNode):
    """Texts of mazes; of one without the leading axis.

    Attributes:
        tokens: int32 ``[B, T]``, padded; with several starts what is shared by the ways from them,
            then each from its start on, as long as the first.
        surprise: of each token, float32 ``[B, T]``: the negative logarithm of its probability, in
            nats, for a reader who knows all that came before and how texts are made; 0 for the
            walls, whose own floor is ``exact.board_entropy``. NaN for steps between cells whose
            places were permuted, since which are neighbours can't be known for certain.
        moves: from the (first) start to the goal on the shortest path, int32 ``[B]``.
    """

    tokens: Array
    surprise: Array
    moves: Array


@functools.lru_cache(maxsize=4)
def _banks(env_kwargs: Mapping[str, Any], mazes: int) -> tuple[Levels, Levels]:
    interface.check_kwargs("mazes", maze.Maze, env_kwargs)
    judged = maze.Maze(**env_kwargs)
    if not judged.default_params.held_out:
        raise ConfigError(
            "env_kwargs.num_held_out (0) leaves no mazes to be judged on: set it to 1 or more."
        )
    try:
        everything = judged.bank(judged.num_levels + mazes)
    except ConfigError as error:
        raise ConfigError(
            f"mazes ({mazes}) can't all be distinct from one another and from those of "
            f"env_kwargs ({judged.num_levels}): lower it ({error})"
        ) from None
    return judged.default_params.held_out, levels.split(everything, judged.num_levels)[1]


@in_usual_numbers
def banks(config: LanguageConfig) -> tuple[Levels, Levels]:
    """Return the held-out mazes, and those of the corpus.

    Raises:
        ConfigError: there are too few distinct mazes, or none is held out.
    """
    # Made now, as arrays, even while a caller is being traced.
    with jax.ensure_compile_time_eval():
        return _banks(config.env_kwargs, config.mazes)


def draw(config: LanguageConfig, bank: Levels, indices: Array, key: PRNGKey) -> Texts:
    """Write texts about mazes of a bank.

    Goal and starts are any cells that are connected, at most ``longest`` moves apart; starts are
    distinct where there are enough.

    Args:
        config: how long paths may be and how often each kind of text is written.
        bank: the mazes.
        indices: of the mazes, int ``[B]``.
        key: consumed.
    """
    keys = jax.random.split(unrolled(key), len(indices))
    return jax.vmap(functools.partial(_draw, config, bank))(indices, keys)


def _draw(config: LanguageConfig, bank: Levels, index: Array, key: PRNGKey) -> Texts:
    """Write a text about one maze."""
    walls = bank.walls[index]
    key_ends, key_kind, key_path = jax.random.split(key, 3)
    ends = _ends(config, bank, index, key_ends)
    shares = jnp.stack([jnp.float32(share) for share in config.shares])
    kind = jax.random.categorical(key_kind, jnp.log(shares)).astype(jnp.int32)
    uniform = jax.random.uniform(key_path, (config.starts, config.path_length))
    way = functools.partial(_way, config, walls, ends, kind)
    whole = jax.vmap(way)(ends.starts, uniform)
    shared = text.shared_length(walls.size)
    tokens, surprise = (jnp.concatenate([x[0], x[1:, shared:].reshape(-1)]) for x in whole)
    if config.permuted:
        tokens = permute(tokens, jax.random.permutation(jax.random.fold_in(key, 3), walls.size))
    return Texts(tokens=tokens, surprise=surprise, moves=ends.distances[ends.starts[0]])


class _Ends(NamedTuple):
    """Where ways through one maze begin and end.

    Attributes:
        goal: cell, ``[]``.
        starts: cells, int32 ``[starts]``.
        distances: moves from each cell to the goal, ``[H * W]``.
        goals_surprise: negative logarithm of the goal's probability, ``[]``.
        starts_surprise: of each start's, ``[]``.
    """

    goal: Array
    starts: Array
    distances: Array
    goals_surprise: Array
    starts_surprise: Array


def _ends(config: LanguageConfig, bank: Levels, index: Array, key: PRNGKey) -> _Ends:
    """Draw a goal among the cells of a maze, and starts among those that are near enough."""
    walls, count = bank.walls[index], bank.num_cells[index]
    lots = jax.random.uniform(key, (walls.size + 1,))
    goal = bank.cells[index, jnp.minimum((lots[-1] * count).astype(jnp.int32), count - 1)]
    distances = solve.distances(walls, goal)
    near = (distances > 0) & (distances < walls.size) & (distances <= config.longest)
    lot, starts = jax.lax.top_k(jnp.where(near, lots[:-1], -1.0), config.starts)
    # Where there are too few, the first stands for those that are missing.
    starts = jnp.where(lot >= 0, starts, starts[0]).astype(jnp.int32)
    return _Ends(goal, starts, distances, jnp.log(count), jnp.log(near.sum()))


def _way(
    config: LanguageConfig, walls: Array, ends: _Ends, kind: Array, start: Array, uniform: Array
) -> tuple[Array, Array]:
    """Write the text of one start as if it were alone: tokens and their surprise, ``[T]``."""
    wander = jnp.stack([jnp.float32(0), jnp.float32(1), jnp.float32(config.detours)])[kind]
    path, of_path = walk(walls, ends.distances, start, wander, uniform, arrived=kind == 0)
    of_path = jnp.full_like(of_path, jnp.nan) if config.permuted else of_path
    prompt = text.prompt(walls, start, ends.goal, kind).astype(jnp.int32)
    of_prompt = jnp.zeros(len(prompt)).at[text.GOAL_AT].set(ends.goals_surprise)
    of_prompt = of_prompt.at[text.AGENT_AT].set(ends.starts_surprise)
    return jnp.concatenate([prompt, path]), jnp.concatenate([of_prompt, of_path])


def walk(
    walls: Array, distances: Array, start: Array, wander: Array, uniform: Array, arrived: Array
) -> tuple[Array, Array]:
    """Walk to the goal, each time with probability ``wander`` to any open neighbour instead.

    Args:
        walls: booleans ``[H, W]``.
        distances: moves to the goal, int32 ``[H * W]``.
        start: cell, int32 ``[]``.
        wander: probability of a random step, ``[]``; else the step is one that leads nearer, any
            of them equally.
        uniform: numbers drawn uniformly from [0, 1), ``[P]``.
        arrived: whether there is nothing to walk, bool ``[]``.

    Returns:
        Tokens of the cells, then ``end``, then padding, int32 ``[P]``; cut where there is no room.
        And their surprise, float32 ``[P]``.
    """
    reached = solve.successors(walls)

    def step(carry: tuple[Array, Array], uniform: Array) -> tuple[tuple[Array, Array], Any]:
        cell, ended = carry
        ends = ended | (distances[cell] == 0) | arrived
        there = reached[cell]
        opens = (there != cell).astype(jnp.float32)
        nearer = (distances[there] < distances[cell]).astype(jnp.float32)
        # At the goal nothing is nearer, and nothing is walked.
        chance = wander * opens / opens.sum() + (1 - wander) * nearer / jnp.maximum(nearer.sum(), 1)
        chosen = jnp.argmax(jnp.cumsum(chance) > uniform * chance.sum())
        token = jnp.where(ended, text.PADDING, text.END)
        token = jnp.where(ends, token, len(text.WORDS) + there[chosen])
        surprise = jnp.where(ends, 0.0, -jnp.log(chance[chosen]))
        return (jnp.where(ends, cell, there[chosen]), ends), (token, surprise)

    begin = (jnp.asarray(start, jnp.int32), jnp.bool_(False))
    return jax.lax.scan(step, begin, uniform)[1]


def permute(tokens: Array, places: Array) -> Array:
    """Move each cell c of a text ``[T]``, and its name, to ``places[c]``, int ``[H * W]``."""
    walls = tokens[1 : len(places) + 1]
    named = tokens >= len(text.WORDS)
    moved = len(text.WORDS) + places[jnp.where(named, tokens - len(text.WORDS), 0)]
    return jnp.where(named, moved, tokens).at[1 + places].set(walls)
