"""Numbers to be drawn in proportion to: a tree of sums of fixed shape, in rows."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdqn.types import Array

ROW = 64
"""Numbers in a row. A draw goes through one row for each level, 2 up to 4,096 numbers and 4 up to
16 million; its running sums are one product with a matrix of this size."""
_BEFORE = np.triu(np.ones((ROW, ROW), np.float32))

Sums = tuple[Array, ...]
"""Numbers, float32 and 0 or more, in whole rows; then the sum of each row, in whole rows, until one
row holds them all. A sum is always made anew of its row: sums that are added to would drift."""


def empty(count: int) -> Sums:
    """Return room for ``count`` numbers, all 0."""
    rows = -(-count // ROW)
    level = jnp.zeros(rows * ROW)
    return (level,) if rows == 1 else (level, *empty(rows))


def put(sums: Sums, slots: Array, values: Array) -> Sums:
    """Set numbers ``[B]``; of slots that are given twice the values must be equal."""
    levels = []
    for level in sums:
        level = level.at[slots].set(values, mode="promise_in_bounds")
        levels.append(level)
        slots = slots // ROW
        values = _row(level, slots).sum(axis=-1)
    return tuple(levels)


def fill(sums: Sums, start: Array, count: int, value: Array) -> Sums:
    """Set ``count`` numbers in a row from ``start`` on, all within bounds, to one value.

    Slices only: under ``jax.vmap`` over the rest, with one ``start``, it stays slices.
    """
    levels, block = [], jnp.broadcast_to(value, (count,))
    for level in sums:
        level = jax.lax.dynamic_update_slice_in_dim(level, block, start, axis=0)
        levels.append(level)
        grid = level.reshape(-1, ROW)
        # As many rows as hold any of them wherever they start; it does no harm to sum others anew.
        count = min((count + ROW - 2) // ROW + 1, len(grid))
        start = jnp.minimum(start // ROW, len(grid) - count)
        block = jax.lax.dynamic_slice_in_dim(grid, start, count, axis=0).sum(axis=-1)
    return tuple(levels)


def draw(sums: Sums, points: Array, others: Array) -> Array:
    """Return slots, int32 ``[B]``, each with a chance in proportion to its number.

    Args:
        sums: of numbers of which at least one isn't 0.
        points: where along the sum of all, from 0 to 1 (1 excluded), ``[B]``.
        others: where along the last row, independent of ``points``, ``[B]``: 24 bits are too few to
            choose a row among many and then a slot in it.
    """
    node = jnp.zeros(points.shape, jnp.int32)
    for height, level in reversed(list(enumerate(sums))):
        row = _row(level, node)
        running = jnp.matmul(row, _BEFORE, precision=jax.lax.Precision.HIGHEST)
        if height == 0 and len(sums) > 1:
            points = others
        reached = points * running[:, -1]
        children = jnp.arange(ROW)[None, :]
        # Rounding must not end behind the last number that isn't 0.
        last = jnp.max(jnp.where(row > 0, children, 0), axis=1)
        child = jnp.minimum(jnp.sum(running <= reached[:, None], axis=1), last)
        here = children == child[:, None]
        share = jnp.sum(jnp.where(here, row, 0.0), axis=1)
        until = jnp.sum(jnp.where(here, running, 0.0), axis=1)
        points = jnp.clip((reached - until + share) / share, 0.0, 1.0)
        node = node * ROW + child
    return node


def _row(level: Array, index: Array) -> Array:
    return level.reshape(-1, ROW).at[index].get(mode="promise_in_bounds")
