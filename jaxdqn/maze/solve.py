"""Mazes solved exactly."""

import jax
import jax.numpy as jnp

from jaxdqn.maze import grid
from jaxdqn.maze.generate import Level
from jaxdqn.types import Array


def distances(walls: Array, goal: Array) -> Array:
    """Return the fewest moves from every cell to the goal, int32 ``[H * W]``.

    Cells that can't reach the goal, walls among them, have distance ``H * W``.

    Args:
        walls: booleans ``[H, W]``.
        goal: cell, int32 ``[]``.
    """
    cells = jnp.arange(walls.size)
    step = jax.vmap(jax.vmap(grid.move, (None, None, 0)), (None, 0, None))
    successors = step(walls, cells, jnp.arange(grid.NUM_ACTIONS))  # [H * W, A]
    start = jnp.where(cells == goal, 0, walls.size).astype(jnp.int32)

    def unsettled(carry: tuple[Array, Array]) -> Array:
        return carry[1]

    def relax(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        before, _ = carry
        after = jnp.minimum(before, 1 + before[successors].min(axis=1))
        after = jnp.where(walls.reshape(-1), walls.size, jnp.minimum(after, walls.size))
        return after, jnp.any(after != before)

    return jax.lax.while_loop(unsettled, relax, (start, jnp.array(True)))[0]


def shortest_path(level: Level) -> int:
    """Return the fewest moves from the start of a level to its goal."""
    return int(distances(jnp.asarray(level.walls), jnp.int32(level.goal))[level.start])
