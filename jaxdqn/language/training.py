"""Reading as one pure function: tokens are predicted in nested scans, before and after
fine-tuning.
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxdqn import pytrees
from jaxdqn.config import chosen_length
from jaxdqn.errors import ConfigError, brief
from jaxdqn.language import corpus, exact, losses, optimizers
from jaxdqn.language.config import LanguageConfig, check, for_finetuning
from jaxdqn.maze import Levels, text
from jaxdqn.precision import in_usual_numbers
from jaxdqn.random import check_key, unrolled
from jaxdqn.types import Array, Params, PRNGKey

HELD_OUT_AT_ONCE = 64
"""Most held-out texts that are read at once."""
FEW = 8
"""Most texts that a CPU reads at once: what they need stays in a core's cache, so that part after
part is sooner there than all together (benchmarks/NOTES.md)."""


class LanguageState(struct.PyTreeNode):
    """Everything that training needs to carry on: arrays only.

    Attributes:
        params: of the model.
        opt_state: of the optimiser.
        key_texts: pays for what is read.
        key_eval: pays for the texts about held-out mazes, the same at each evaluation.
        updates: gradient updates so far, int32 ``[]``.
    """

    params: Params
    opt_state: Any
    key_texts: PRNGKey
    key_eval: PRNGKey
    updates: Array


class Losses(struct.PyTreeNode):
    """Means over texts, in nats per text, float32; NaN where nothing is known.

    Of a model that isn't causal their sum is an upper bound, see ``losses.masked_tokens``; until it
    is fine-tuned the parts have no floors, since each is told from the others.

    Attributes:
        board: loss on the walls, given the kind of the text; NaN where they aren't learned.
        ends: on goal and start; likewise.
        path: on what comes after them.
        ends_floor: the least that a perfect reader has on the same texts.
        path_floor: likewise.
        tokens: how many are learned, see ``losses.learned``.
    """

    board: Array
    ends: Array
    path: Array
    ends_floor: Array
    path_floor: Array
    tokens: Array

    @property
    def perplexity(self) -> Array:
        """Of the tokens that are learned."""
        # The path always is, so that its loss is NaN only where the model is.
        found = self.path + jnp.nansum(jnp.stack([self.board, self.ends]), axis=0)
        return jnp.exp(found / self.tokens)


class LanguageMetrics(struct.PyTreeNode):
    """One row per evaluation, leaves ``[T]``.

    Attributes:
        updates: so far, int32.
        texts: read so far, int32.
        learning_rate: of the last update.
        loss: in training since the last row, nats per token that is learned.
        grad_norm: mean before clipping.
        held_out: on texts about mazes that aren't in the corpus.
        board_floor: entropy of the walls, nats per text; NaN where none is known.
    """

    updates: Array
    texts: Array
    learning_rate: Array
    loss: Array
    grad_norm: Array
    held_out: Losses
    board_floor: Array


@in_usual_numbers
def pretrain(config: LanguageConfig, key: PRNGKey) -> tuple[LanguageState, LanguageMetrics]:
    """Train a new model on whole texts: ``init``, then ``run``.

    Pure: ``jax.vmap(pretrain, in_axes=(None, 0))`` trains many.

    Args:
        config: the settings.
        key: consumed.

    Raises:
        ConfigError: a setting that can't be honoured; nothing has been traced yet.
    """
    return run(config, init(config, key))


@in_usual_numbers
def finetune(
    config: LanguageConfig, state: LanguageState, key: PRNGKey
) -> tuple[LanguageState, LanguageMetrics]:
    """Go on with a trained model on shortest paths only, with a new optimiser.

    Args:
        config: the settings that the model was pre-trained with; ``for_finetuning`` says what they
            mean here.
        state: whose weights to begin with.
        key: consumed.

    Raises:
        ConfigError: a setting that can't be honoured, what is no state, or weights of another
            model, or not finite.
    """
    config = for_finetuning(config)
    if not isinstance(state, LanguageState):
        raise ConfigError(
            f"state ({brief(state)}) must be a LanguageState: give what pretrain returned first."
        )
    return run(config, begin(config, state.params, key))


@in_usual_numbers
def init(config: LanguageConfig, key: PRNGKey) -> LanguageState:
    """Make a new model; the key is consumed.

    Raises:
        ConfigError: a setting that can't be honoured.
    """
    check(config)
    check_key(key)
    key_model, key = jax.random.split(key)
    return begin(config, _weights(config, key_model), key)


@jax.jit
def _weights(config: LanguageConfig, key: PRNGKey) -> Params:
    return config.model().init(unrolled(key), jnp.zeros(config.context, jnp.int32))


@in_usual_numbers
def begin(config: LanguageConfig, params: Params, key: PRNGKey) -> LanguageState:
    """Return a state in which nothing was learned beyond the weights given; the key is consumed.

    Raises:
        ConfigError: a setting that can't be honoured, or weights of another model, or not finite.
    """
    check(config)
    check_key(key)
    wanted = jax.eval_shape(_weights, config, jax.random.key(0))
    remedy = "give state.params, of a state that these settings made"
    pytrees.leading_axes(params, wanted, "params", remedy)
    if off := pytrees.nonfinite(params):
        raise ConfigError(
            f"{off[0]} holds numbers that aren't finite, from which nothing is learned: train the "
            "model anew with a lower learning_rate."
        )
    key_texts, key_eval = jax.random.split(key)
    opt_state = _moments(config, params)
    return LanguageState(params, opt_state, key_texts, key_eval, jnp.int32(0))


@jax.jit
def _moments(config: LanguageConfig, params: Params) -> Any:
    return optimizers.direction(config).init(params)


@in_usual_numbers
def outline(config: LanguageConfig) -> LanguageState:
    """Return the shapes and dtypes of a state, as ``jax.ShapeDtypeStruct``."""
    check(config)
    return jax.eval_shape(init, config, jax.random.key(0))


@in_usual_numbers
def run(
    config: LanguageConfig, state: LanguageState, evaluations: int | None = None
) -> tuple[LanguageState, LanguageMetrics]:
    """Carry on from any state; ``run(a + b)`` equals ``run(a)`` then ``run(b)``, bit for bit.

    Args:
        config: the settings.
        state: from ``init``, ``begin`` or ``run``.
        evaluations: how long, in rows of metrics; all of the schedule by default.

    Raises:
        ConfigError: a setting or a number of evaluations that can't be honoured, or a state of
            other settings.
    """
    check(config)
    length = chosen_length(evaluations, config.rows)
    if axes := pytrees.leading_axes(state, outline(config)):
        raise ConfigError(
            f"state holds many models (leading axes {axes}), and run takes one: map over them "
            "with jax.vmap."
        )
    held_out, bank = corpus.banks(config)
    return _run(config, held_out, bank, state, length)


def indices_of(config: LanguageConfig, mazes: int, updates: Array) -> Array:
    """Return which mazes the update after ``updates`` reads, int32 ``[B]``: the next ones."""
    return (updates * config.batch_size + jnp.arange(config.batch_size)) % mazes


def learning_rate(config: LanguageConfig, updates: Array) -> Array:
    """Return the step size of the update after ``updates``: it rises to ``learning_rate``, then
    falls as a cosine.
    """
    rising = jnp.minimum((updates + 1) / config.warmup_updates, 1.0)
    falls = config.rows * config.updates_per_evaluation - config.warmup_updates
    done = jnp.clip((updates - config.warmup_updates) / falls, 0.0, 1.0)
    end = config.learning_rate_end_factor
    falling = end + (1 - end) * 0.5 * (1 + jnp.cos(jnp.pi * done))
    return config.learning_rate * rising * falling


@functools.partial(jax.jit, static_argnames="length")
def _run(
    config: LanguageConfig, held_out: Levels, bank: Levels, state: LanguageState, length: int
) -> tuple[LanguageState, LanguageMetrics]:
    known = _has_floors(config) and not config.permuted
    floor = exact.board_floor(config.env_kwargs) if known else math.nan
    judged = config.replace(starts=1)

    def period(state: LanguageState, _: None) -> tuple[LanguageState, LanguageMetrics]:
        update = functools.partial(_update, config, bank)
        state, (found, norms) = jax.lax.scan(update, state, length=config.updates_per_evaluation)
        return state, LanguageMetrics(
            updates=state.updates,
            texts=state.updates * config.batch_size,
            learning_rate=learning_rate(config, state.updates - 1),
            loss=jnp.mean(found),
            grad_norm=jnp.mean(norms),
            held_out=_measure(judged, held_out, state),
            board_floor=jnp.float32(floor),
        )

    return jax.lax.scan(period, state, length=length)


def _update(
    config: LanguageConfig, bank: Levels, state: LanguageState, _: None
) -> tuple[LanguageState, tuple[Array, Array]]:
    """Read one batch, the next mazes of the corpus."""
    indices = indices_of(config, len(bank), state.updates)
    key = jax.random.fold_in(unrolled(state.key_texts), state.updates)
    key_texts, key_masks = jax.random.split(key)
    texts = corpus.draw(config, bank, indices, key_texts)
    total = jnp.sum(losses.learned(config, texts.tokens))

    def loss(params: Params, part: losses.Read) -> Array:
        return jnp.sum(losses.of_texts(config, params, part, len(part.tokens))) / total

    def add(so_far: Any, part: losses.Read) -> tuple[Any, None]:
        found = jax.value_and_grad(loss)(state.params, part)
        return jax.tree.map(jnp.add, so_far, found), None

    nothing = (jnp.float32(0.0), jax.tree.map(jnp.zeros_like, state.params))
    parts = _in_parts(losses.drawn(texts.tokens, key_masks))
    (found, grads), _ = jax.lax.scan(add, nothing, parts)
    update = optimizers.direction(config).update
    direction, opt_state = update(grads, state.opt_state, state.params)
    size = learning_rate(config, state.updates)
    params = jax.tree.map(lambda x, step: x - size * step, state.params, direction)
    state = state.replace(params=params, opt_state=opt_state, updates=state.updates + 1)
    return state, (found, optax.tree.norm(grads))


def _in_parts(texts: losses.Read) -> losses.Read:
    """Return a batch ``[B, ...]`` as parts ``[P, B / P, ...]``, of which gradients are added up."""
    count = len(texts.tokens)
    most = at_once(count)
    size = max(size for size in range(1, most + 1) if count % size == 0)
    return jax.tree.map(lambda x: x.reshape(-1, size, *x.shape[1:]), texts)


def at_once(most: int) -> int:
    """Return how many texts are read together, where ``most`` could be."""
    return min(most, FEW) if jax.default_backend() == "cpu" else most


def _has_floors(config: LanguageConfig) -> bool:
    """Whether each part is told from what stands before it alone.

    Where any token may be masked, walls are told from ways and ways from few walls, and only the
    sum of all losses has a floor.
    """
    return config.causal or config.stage == "finetune"


def _measure(config: LanguageConfig, held_out: Levels, state: LanguageState) -> Losses:
    """Return the losses on texts of held-out mazes, by what they are about."""
    indices = jnp.arange(config.eval_texts) % len(held_out)
    key_texts, key_masks = jax.random.split(unrolled(state.key_eval))
    texts = corpus.draw(config, held_out, indices, key_texts)
    drawn = losses.drawn(texts.tokens, key_masks)
    each = losses.of_texts(config, state.params, drawn, at_once(HELD_OUT_AT_ONCE))
    walls, ends = config.cells + 1, text.prompt_length(config.cells)
    first = losses.first_learned(config)
    surprise = texts.surprise if _has_floors(config) else jnp.full_like(texts.surprise, jnp.nan)

    def mean(values: Array, start: int, stop: int | None) -> Array:
        return jnp.mean(jnp.sum(values[:, start:stop], axis=1))

    return Losses(
        board=mean(each, 1, walls) if first < walls else jnp.float32(jnp.nan),
        ends=mean(each, walls, ends) if first < ends else jnp.float32(jnp.nan),
        path=mean(each, ends, None),
        ends_floor=mean(surprise, walls, ends),
        path_floor=mean(surprise, ends, None),
        tokens=mean(losses.learned(config, texts.tokens).astype(jnp.float32), 0, None),
    )
