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
        items: windows of consecutive stored transitions of one environment, leaves
            ``[B, L, ...]``.
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

    init: Callable[[], Any]
    add: Callable[[Any, Transition], Any]
    sample: Callable[[Any, PRNGKey], Sample]
    update: Callable[[Any, Array, Array], Any]
    bytes_per_transition: int


class UniformSettings(struct.PyTreeNode):
    """All transitions alike."""

    def make(
        self,
        capacity: int,
        batch_size: int,
        example: Transition,
        length: int,
        stride: int,
        updates: int,
    ) -> Replay:
        """Return the replay; see ``uniform``."""
        del updates
        return uniform(capacity, batch_size, example, length, stride)


class Ring(NamedTuple):
    """Rows of fixed shape, the oldest of which are overwritten.

    Attributes:
        init: ``() -> storage``, empty.
        write: ``(storage, added [], transitions [E, ...]) -> storage``; so many were added before.
        read: ``(storage, slots [B]) -> windows [B, L, ...]`` that start there.
        bytes_per_transition: bytes of one row.
    """

    init: Callable[[], Transition]
    write: Callable[[Transition, Array, Transition], Transition]
    read: Callable[[Transition, Array], Transition]
    bytes_per_transition: int


def rows(capacity: int, example: Transition, length: int = 1, stride: int = 1) -> Ring:
    """Return the storage that every replay buffer here is made of.

    Args:
        capacity: slots (N).
        example: shapes and dtypes of one transition (arrays or ``jax.ShapeDtypeStruct``).
        length: steps of a window (L).
        stride: slots from one step of an environment to its next: as many as there are
            environments (E), since those of all are added at once. Only windows of more than one
            step need it, and then it must divide the capacity.
    """
    packed = jax.eval_shape(_pack, example)

    def init() -> Transition:
        return jax.tree.map(lambda x: jnp.zeros((capacity, *x.shape), x.dtype), packed)

    def write(storage: Transition, added: Array, transitions: Transition) -> Transition:
        new = jax.vmap(_pack)(transitions)
        count = len(transitions.a_tm1)
        cursor = added % capacity
        if capacity % count == 0:
            # A block never straddles the end; a slice is written in place, a scatter row by row.
            def put(ring: Array, block: Array) -> Array:
                return jax.lax.dynamic_update_slice_in_dim(ring, block, cursor, axis=0)
        else:

            def put(ring: Array, block: Array) -> Array:
                slots = (cursor + jnp.arange(count)) % capacity
                return ring.at[slots].set(block, unique_indices=True, mode="promise_in_bounds")

        return jax.tree.map(put, storage, new)

    def read(storage: Transition, slots: Array) -> Transition:
        steps = [slots if k == 0 else (slots + k * stride) % capacity for k in range(length)]
        window = jnp.stack(steps, axis=-1)
        kept = jax.tree.map(lambda ring: ring.at[window].get(mode="promise_in_bounds"), storage)
        return jax.vmap(jax.vmap(lambda row: _unpack(row, example)))(kept)

    return Ring(init, write, read, pytrees.size(packed))


def uniform(
    capacity: int, batch_size: int, example: Transition, length: int = 1, stride: int = 1
) -> Replay:
    """Uniform replay (Lin, 1992; Mnih et al., 2015), drawn with replacement.

    Args:
        capacity: slots (N).
        batch_size: windows in one sample (B).
        example: shapes and dtypes of one transition (arrays or ``jax.ShapeDtypeStruct``).
        length: steps of a window (L), see ``rows``.
        stride: slots from one step of an environment to its next.
    """
    ring = rows(capacity, example, length, stride)
    unfinished = (length - 1) * stride

    def init() -> ReplayState:
        return ReplayState(storage=ring.init(), added=jnp.int32(0))

    def add(state: ReplayState, transitions: Transition) -> ReplayState:
        storage = ring.write(state.storage, state.added, transitions)
        return ReplayState(storage=storage, added=state.added + len(transitions.a_tm1))

    def sample(state: ReplayState, key: PRNGKey) -> Sample:
        filled = jnp.minimum(state.added, capacity).astype(jnp.uint32)
        # The remainder of 32 bits favours no slot by more than N / 2³².
        slots = jax.random.bits(key, (batch_size,)) % (filled - unfinished)
        if unfinished:
            # Counted from the oldest, the last that may start a window ends with the newest.
            oldest = jnp.where(state.added > capacity, state.added % capacity, 0)
            slots = (slots + oldest.astype(jnp.uint32)) % capacity
        return Sample(ring.read(state.storage, slots), slots, jnp.ones(batch_size))

    def update(state: ReplayState, index: Array, surprise: Array) -> ReplayState:
        del index, surprise
        return state

    return Replay(init, add, sample, update, ring.bytes_per_transition)


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
