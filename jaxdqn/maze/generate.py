"""Banks of levels, generated once from a seed, in NumPy, before anything is compiled.

A reset then only draws an index, which matters since gymnax computes a reset at every step.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxdqn.maze import grid
from jaxdqn.types import Array, ConfigError


class Levels(struct.PyTreeNode):
    """A bank of L mazes of one size, each solvable.

    Attributes:
        walls: booleans ``[L, H, W]``.
        cells: int32 ``[L, C]``: the cells from which the goal can be reached, the start first,
            the goal last, then padding (the goal again).
        num_cells: int32 ``[L]``: how many of ``cells`` count.
    """

    walls: Array
    cells: Array
    num_cells: Array


class Level(NamedTuple):
    """One maze of a bank, on the host.

    Attributes:
        walls: booleans ``[H, W]``.
        cells: the cells from which the goal can be reached, start first, goal last.
    """

    walls: np.ndarray
    cells: np.ndarray

    @property
    def start(self) -> int:
        """Cell of the start."""
        return int(self.cells[0])

    @property
    def goal(self) -> int:
        """Cell of the goal."""
        return int(self.cells[-1])


def level(levels: Levels, index: int) -> Level:
    """Take one maze out of a bank."""
    cells = np.asarray(levels.cells[index])[: int(levels.num_cells[index])]
    return Level(np.asarray(levels.walls[index]), cells)


def bank(
    generator: str,
    height: int,
    width: int,
    *,
    count: int = 1,
    seed: int = 0,
    density: float = 0.3,
    layout: str | None = None,
) -> Levels:
    """Generate ``count`` solvable levels from the top left to the bottom right corner.

    Args:
        generator: ``"empty"``, ``"scatter"`` (each other cell a wall with probability
            ``density``, given that the level is solvable), ``"corridors"`` (perfect mazes,
            uniform over spanning trees) or ``"layout"`` (read from text).
        height: rows (H).
        width: columns (W).
        count: levels (L).
        seed: the same seed gives the same bank everywhere.
        density: probability of a wall, for ``"scatter"``.
        layout: text, for ``"layout"``; see ``grid.parse``.

    Raises:
        ConfigError: nothing solvable can be generated from these.
    """
    start, goal = 0, height * width - 1
    rng = np.random.default_rng(seed)
    if generator == "layout":
        drawn, start, goal = grid.parse(layout or "")
        walls = np.repeat(drawn[None], count, axis=0)
    elif generator == "scatter":
        walls = _scatter(rng, height, width, count, density)
    elif generator == "corridors":
        walls = _corridors(rng, height, width, count)
    else:
        walls = np.zeros((count, height, width), bool)
    reached = flood(walls, goal)
    if not reached[:, start].all():
        raise ConfigError("layout has no way from start to goal: open one.")
    return _levels(walls, reached, start, goal)


def flood(walls: np.ndarray, goal: int) -> np.ndarray:
    """Return which cells, ``[L, H * W]``, can reach ``goal`` in levels ``[L, H, W]``."""
    reached = np.zeros_like(walls)
    reached.reshape(len(walls), -1)[:, goal] = True
    while True:
        wider = reached.copy()
        wider[:, 1:] |= reached[:, :-1]
        wider[:, :-1] |= reached[:, 1:]
        wider[:, :, 1:] |= reached[:, :, :-1]
        wider[:, :, :-1] |= reached[:, :, 1:]
        wider &= ~walls
        if (wider == reached).all():
            return reached.reshape(len(walls), -1)
        reached = wider


def _levels(walls: np.ndarray, reached: np.ndarray, start: int, goal: int) -> Levels:
    order = np.arange(reached.shape[1])
    # Sort keys: the start, the other reachable cells, the goal, the unreachable ones.
    rank = np.where(reached, 1, 3)
    rank[:, start], rank[:, goal] = 0, 2
    cells = np.argsort(rank * order.size + order, axis=1)
    num_cells = reached.sum(axis=1)
    cells = np.where(order < num_cells[:, None], cells, goal)[:, : num_cells.max()]
    return Levels(
        walls=jnp.asarray(walls),
        cells=jnp.asarray(cells, jnp.int32),
        num_cells=jnp.asarray(num_cells, jnp.int32),
    )


def _scatter(
    rng: np.random.Generator, height: int, width: int, count: int, density: float
) -> np.ndarray:
    """Rejection sampling: independent walls, conditioned on a way from corner to corner."""
    found = np.zeros((0, height, width), bool)
    tries, draws = 20, max(count, 1_000)
    for _ in range(tries):
        walls = rng.random((draws, height, width)) < density
        walls[:, 0, 0] = walls[:, -1, -1] = False
        found = np.concatenate([found, walls[flood(walls, height * width - 1)[:, 0]]])
        if len(found) >= count:
            return found[:count]
    raise ConfigError(
        f"env_kwargs.density ({density}) leaves a way through only {len(found)} of "
        f"{tries * draws} mazes of {height}×{width} cells, and {count} are wanted: lower density."
    )


def _corridors(rng: np.random.Generator, height: int, width: int, count: int) -> np.ndarray:
    """Uniform spanning trees over the cells of even row and column (Aldous, 1990; Broder, 1989).

    A random walk that opens the wall before each cell it enters for the first time draws every
    spanning tree with equal probability. All levels walk at once.
    """
    rows, columns = (height + 1) // 2, (width + 1) // 2
    walls = np.ones((count, height, width), bool)
    walls[:, ::2, ::2] = False
    seen = np.zeros((count, rows, columns), bool)
    level = np.arange(count)
    row, column = rng.integers(rows, size=count), rng.integers(columns, size=count)
    seen[level, row, column] = True
    while len(level):
        step = rng.integers(grid.NUM_ACTIONS, size=len(level))
        to_row = row + grid.ROW_STEP[step]
        to_column = column + grid.COLUMN_STEP[step]
        inside = (to_row >= 0) & (to_row < rows) & (to_column >= 0) & (to_column < columns)
        # A step off the grid is drawn again: the walk chooses uniformly among neighbours.
        to_row, to_column = np.where(inside, to_row, row), np.where(inside, to_column, column)
        new = ~seen[level, to_row, to_column]
        walls[level[new], (row + to_row)[new], (column + to_column)[new]] = False
        seen[level, to_row, to_column] = True
        row, column = to_row, to_column
        going = ~seen[level].all(axis=(1, 2))
        level, row, column = level[going], row[going], column[going]
    return walls
