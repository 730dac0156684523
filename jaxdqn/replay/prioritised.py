"""Prioritised replay: what surprised is drawn more often, and counts less for it."""

import jax
import jax.numpy as jnp
from flax import struct

from jaxdqn.random import unit
from jaxdqn.replay import ring, sums
from jaxdqn.replay.ring import Replay, Sample
from jaxdqn.replay.sums import Sums
from jaxdqn.settings import Float, leaf
from jaxdqn.settings.dqn import check_shared
from jaxdqn.types import Array, PRNGKey, Transition, shared

SQUARE = 512
"""Most slots that are compared each with each: for 32 to 256 that takes half the time of sorting
them or less (one core), for 512 as long; for 16,384 it would take a gigabyte."""


class PrioritisedState(struct.PyTreeNode):
    """The ring, and how much its transitions surprised.

    Attributes:
        storage: as in ``ring.ReplayState``.
        priorities: of the window that starts in each slot, to the power of the exponent; 0 where
            none does.
        largest: greatest priority so far, before the exponent, float32 ``[]``.
        added: as in ``ring.ReplayState``.
        drawn: samples that were learned from, int32 ``[]``.
    """

    storage: Transition
    priorities: Sums
    largest: Array
    added: Array = shared()
    drawn: Array = shared()


class PrioritisedSettings(struct.PyTreeNode):
    """Transitions in proportion to their surprise."""

    priority_exponent: Float = leaf(0.6, low=0.0, high=2.0)
    """How much surprise counts (alpha): 0 draws uniformly, 1 in proportion."""
    priority_floor: Float = leaf(1e-3, low=1e-6)
    """Added to every surprise, so that nothing is never drawn again."""
    importance_start: Float = leaf(0.4, low=0.0, high=1.0)
    """How far weights in the loss undo the unequal draws when learning starts (beta): 1 wholly."""
    importance_end: Float = leaf(1.0, low=0.0, high=1.0)
    """The same after the last update; linear between."""

    def make(
        self,
        capacity: int,
        batch_size: int,
        example: Transition,
        length: int,
        stride: int,
        updates: int,
    ) -> Replay:
        """Return the replay; see ``prioritised``.

        Raises:
            ConfigError: a capacity that environments don't share equally.
        """
        check_shared(capacity, stride, "replay = 'prioritised'")
        return prioritised(
            capacity, batch_size, example, length, stride, updates,
            exponent=self.priority_exponent, floor=self.priority_floor,
            importance=(self.importance_start, self.importance_end),
        )  # fmt: skip


def prioritised(
    capacity: int,
    batch_size: int,
    example: Transition,
    length: int,
    stride: int,
    updates: int,
    *,
    exponent: float | Array,
    floor: float | Array,
    importance: tuple[float | Array, float | Array],
) -> Replay:
    """Prioritised replay, proportional (Schaul et al., 2016, arXiv:1511.05952).

    New windows get the greatest priority so far. Draws are stratified down to rows of
    ``sums.ROW`` slots. Weights are relative to the greatest in the batch.

    Args:
        capacity: slots (N), a multiple of ``stride``.
        batch_size: windows in one sample (B).
        example: shapes and dtypes of one transition.
        length: steps of a window (L).
        stride: transitions in one addition: the number of environments (E).
        updates: after which ``importance`` has reached its end.
        exponent: of priorities (alpha).
        floor: added to surprises.
        importance: exponent of the weights (beta), at the start and at the end.
    """
    rows = ring.rows(capacity, example, length, stride)
    unfinished = (length - 1) * stride

    def init() -> PrioritisedState:
        return PrioritisedState(
            storage=rows.init(),
            added=jnp.int32(0),
            priorities=sums.empty(capacity),
            largest=jnp.float32(1.0),
            drawn=jnp.int32(0),
        )

    def add(state: PrioritisedState, transitions: Transition) -> PrioritisedState:
        cursor = state.added % capacity
        priorities, first = state.priorities, state.largest**exponent
        if unfinished:
            # What was there is gone, and what is there now starts a window only once that is whole.
            priorities = sums.fill(priorities, cursor, stride, jnp.float32(0.0))
            first = jnp.where(state.added >= unfinished, first, 0.0)
        whole = (cursor - unfinished) % capacity
        return state.replace(
            storage=rows.write(state.storage, state.added, transitions),
            added=state.added + stride,
            priorities=sums.fill(priorities, whole, stride, first),
        )

    def sample(state: PrioritisedState, key: PRNGKey) -> Sample:
        bits = jax.random.bits(key, (2, batch_size))
        point, other = unit(bits)
        strata = (jnp.arange(batch_size) + point) / batch_size
        slots = sums.draw(state.priorities, strata, other)
        chance = state.priorities[0].at[slots].get(mode="promise_in_bounds")
        start, end = importance
        beta = start + jnp.minimum(state.drawn / updates, 1.0) * (end - start)
        weight = (chance / jnp.min(chance)) ** -beta
        return Sample(rows.read(state.storage, slots), slots, weight)

    def update(state: PrioritisedState, index: Array, surprise: Array) -> PrioritisedState:
        # Of a slot that was drawn twice the last counts, in whatever order they are written.
        new = (surprise + floor)[last_of_each(index)]
        return state.replace(
            priorities=sums.put(state.priorities, index, new**exponent),
            largest=jnp.maximum(state.largest, jnp.max(new)),
            drawn=state.drawn + 1,
        )

    return Replay(init, add, sample, update, rows.bytes_per_transition + 4)


def last_of_each(slots: Array) -> Array:
    """Return the last place, ``[B]``, that holds the same slot as each of ``slots [B]`` does."""
    if len(slots) <= SQUARE:
        places = jnp.arange(len(slots))
        return jnp.max(jnp.where(slots[:, None] == slots[None, :], places[None, :], 0), axis=1)
    order = jnp.argsort(slots, stable=True)
    return order[jnp.searchsorted(slots[order], slots, side="right") - 1]
