"""Experience replay: a ring of fixed shape, written and read in place."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxdqn import pytrees
from jaxdqn.types import Array, ArrayTree, PRNGKey, Transition, shared


class ReplayState(struct.PyTreeNode):
    """The ring.

    Attributes:
        storage: a transition whose leaves are ``[N, ...]``, boolean arrays as packed bits.
        added: transitions ever added, int32 ``[]``; the write position is ``added % N``.
    """

    storage: Transition
    added: Array = shared()


class Sample(struct.PyTreeNode):
    """What was drawn to learn from.

    Attributes:
        items: windows of consecutive stored transitions, leaves ``[B, L, ...]``; L is 1 here.
        index: slots of their first ones, ``[B]``.
        weight: how much each counts in the loss, float32 ``[B]``; 1 where draws are uniform.
    """

    items: Transition
    index: Array
    weight: Array


class Replay(NamedTuple):
    """What a learner needs of a replay buffer.

    Attributes:
        init: ``() -> state``, empty.
        add: ``(state, transitions [E, ...]) -> state``; the oldest are overwritten.
        sample: ``(state, key) -> sample``; the key is consumed.
        update: ``(state, index [B], surprise [B]) -> state`` with what learning made of a sample;
            the identity where draws are uniform.
        bytes_per_transition: bytes of storage that one transition takes.
    """

    init: Callable[[], ReplayState]
    add: Callable[[ReplayState, Transition], ReplayState]
    sample: Callable[[ReplayState, PRNGKey], Sample]
    update: Callable[[ReplayState, Array, Array], ReplayState]
    bytes_per_transition: int


def uniform(capacity: int, batch_size: int, example: Transition) -> Replay:
    """Uniform replay (Lin, 1992; Mnih et al., 2015), drawn with replacement.

    Args:
        capacity: slots (N).
        batch_size: transitions in one sample (B).
        example: shapes and dtypes of one transition (arrays or ``jax.ShapeDtypeStruct``).
    """
    packed = jax.eval_shape(_pack, example)

    def init() -> ReplayState:
        storage = jax.tree.map(lambda x: jnp.zeros((capacity, *x.shape), x.dtype), packed)
        return ReplayState(storage=storage, added=jnp.int32(0))

    def add(state: ReplayState, transitions: Transition) -> ReplayState:
        rows = jax.vmap(_pack)(transitions)
        count = len(transitions.a_tm1)
        cursor = state.added % capacity
        if capacity % count == 0:
            # A block never straddles the end; a slice is written in place, a scatter row by row.
            def write(ring: Array, new: Array) -> Array:
                return jax.lax.dynamic_update_slice_in_dim(ring, new, cursor, axis=0)
        else:

            def write(ring: Array, new: Array) -> Array:
                slots = (cursor + jnp.arange(count)) % capacity
                return ring.at[slots].set(new, unique_indices=True, mode="promise_in_bounds")

        storage = jax.tree.map(write, state.storage, rows)
        return ReplayState(storage=storage, added=state.added + count)

    def sample(state: ReplayState, key: PRNGKey) -> Sample:
        filled = jnp.minimum(state.added, capacity).astype(jnp.uint32)
        # The remainder of 32 bits favours no slot by more than N / 2³².
        slots = jax.random.bits(key, (batch_size,)) % filled
        rows = jax.tree.map(
            lambda ring: ring.at[slots].get(mode="promise_in_bounds"), state.storage
        )
        items = jax.vmap(lambda row: _unpack(row, example))(rows)
        windows = jax.tree.map(lambda x: x[:, None], items)
        return Sample(windows, slots, jnp.ones(batch_size))

    def update(state: ReplayState, index: Array, surprise: Array) -> ReplayState:
        del index, surprise
        return state

    return Replay(init, add, sample, update, pytrees.size(packed))


def single(windows: Transition) -> Transition:
    """Return the transitions ``[B, ...]`` of windows ``[B, 1, ...]``."""
    return jax.tree.map(lambda x: x[:, 0], windows)


def _is_bits(x: Any) -> bool:
    return x.dtype == jnp.bool_ and len(x.shape) > 0


def _pack(tree: ArrayTree) -> ArrayTree:
    return jax.tree.map(lambda x: jnp.packbits(x.reshape(-1)) if _is_bits(x) else x, tree)


def _unpack(tree: ArrayTree, example: ArrayTree) -> ArrayTree:
    def leaf(x: Array, like: Any) -> Array:
        if not _is_bits(like):
            return x
        return jnp.unpackbits(x, count=int(np.prod(like.shape))).reshape(like.shape).astype(bool)

    return jax.tree.map(leaf, tree, example)
