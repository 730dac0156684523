"""The rules of a maze: cells, moves, slipping, and mazes as text.

A cell is its row-major index ``row * W + column``, int32. Walls are ``[H, W]`` booleans. The
border is closed: a move into a wall or off the grid leaves the agent where it is.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxdqn.errors import ConfigError, as_whole, brief, shown
from jaxdqn.types import Array

UP, DOWN, LEFT, RIGHT = range(4)
NUM_ACTIONS = 4

STEP = np.array([[-1, 0], [1, 0], [0, -1], [0, 1]], np.int32)
ROW_STEP, COLUMN_STEP = STEP.T
SIDEWAYS = np.array([[LEFT, RIGHT], [LEFT, RIGHT], [UP, DOWN], [UP, DOWN]], np.int32)

WALL, FREE, START, GOAL = "#", ".", "S", "G"


def move(walls: Array, cell: Array, action: Array) -> Array:
    """Return the cell reached by a move without slipping.

    Args:
        walls: booleans ``[H, W]``.
        cell: int32 ``[]``.
        action: 0 up, 1 down, 2 left, 3 right, int ``[]``.
    """
    height, width = walls.shape
    cell_ahead = neighbour(height, width, cell, action)
    return jnp.where(jnp.asarray(walls).reshape(-1)[cell_ahead], cell, cell_ahead)


def neighbour(height: int, width: int, cell: Array, action: Array) -> Array:
    """Return the cell that lies in a direction, walls or not; at the border, the cell itself."""
    # At once: XLA draws anew for every lookup what the action comes of.
    step = jnp.asarray(STEP)[action]
    row = jnp.clip(cell // width + step[..., 0], 0, height - 1)
    column = jnp.clip(cell % width + step[..., 1], 0, width - 1)
    return row * width + column


def slip(action: Array, uniform: Array, probability: float | Array) -> Array:
    """Return the direction really taken: with ``probability`` a sideways one, either equally.

    FrozenLake's ice (Gymnasium) is ``probability`` 2/3.

    Args:
        action: the direction intended, int ``[]``.
        uniform: a number drawn uniformly from [0, 1), ``[]``.
        probability: of slipping.
    """
    sideways = jnp.asarray(SIDEWAYS)[action, (uniform < probability / 2).astype(jnp.int32)]
    return jnp.where(uniform < probability, sideways, action)


def reward(
    shape: tuple[int, int],
    cell: Array,
    goal: Array,
    goal_reward: float | Array,
    step_cost: float | Array,
    cell_rewards: float | Array,
) -> Array:
    """Return the mean reward of being in a cell after a step.

    Args:
        shape: rows and columns of the maze.
        cell: where the agent is after the step, int of any shape, as is the result.
        goal: cell, int32 ``[]``.
        goal_reward: for entering the goal.
        step_cost: subtracted at every step.
        cell_rewards: of each cell, ``[H, W]``, or one number for all.
    """
    cells = jnp.broadcast_to(cell_rewards, shape).reshape(-1)
    return cells[cell] - step_cost + jnp.where(cell == goal, goal_reward, 0.0)


def parse(layout: str) -> tuple[np.ndarray, int, int]:
    """Read a maze from text: ``#`` wall, ``.`` free, ``S`` start, ``G`` goal, a line per row.

    Returns:
        Walls ``[H, W]``, start cell and goal cell. Without ``S`` or ``G``: the first and last
        corner.

    Raises:
        ConfigError: no text, rows of different lengths, another character, two starts or goals, or
            a wall where start or goal must be.
    """
    if not isinstance(layout, str):
        raise ConfigError(f"layout ({shown(layout)}) must be text: write a line per row.")
    rows = [line.strip() for line in layout.strip().splitlines()]
    if not rows:
        raise ConfigError(f"layout ({shown(layout)}) has no cells: write a line per row.")
    if len({len(row) for row in rows}) != 1 or not rows[0]:
        raise ConfigError(
            f"layout has rows of lengths {sorted({len(row) for row in rows})}: make them equal."
        )
    grid = np.array([list(row) for row in rows])
    for symbol in np.unique(grid):
        if symbol not in (WALL, FREE, START, GOAL):
            raise ConfigError(f"layout contains {str(symbol)!r}: use only '#', '.', 'S' and 'G'.")
    ends = []
    for name, symbol, corner in (("start", START, 0), ("goal", GOAL, grid.size - 1)):
        cells = np.flatnonzero(grid == symbol)
        if len(cells) > 1:
            raise ConfigError(f"layout has {len(cells)} cells {symbol!r}: keep one {name}.")
        ends.append(int(cells[0]) if len(cells) else corner)
        if grid.flat[ends[-1]] == WALL:
            raise ConfigError(
                f"layout has a wall at the {name} corner: write {symbol!r} somewhere."
            )
    if ends[0] == ends[1]:
        raise ConfigError("layout has start and goal in one cell: separate 'S' and 'G'.")
    return grid == WALL, ends[0], ends[1]


def as_cell(name: str, cell: Any, cells: int) -> int:
    """Return the number of a cell, refusing with a ``ConfigError`` what is none of so many."""
    place = as_whole(cell)
    if place is None or not 0 <= place < cells:
        raise ConfigError(f"{name} ({shown(cell)}) is no cell: choose one from 0 to {cells - 1}.")
    return place


def to_text(
    walls: np.ndarray | Array, start: ArrayLike | None = None, goal: ArrayLike | None = None
) -> str:
    """Write a maze as text that ``parse`` reads.

    Args:
        walls: booleans ``[H, W]``.
        start: cell, if it is to be marked, as it must where the first corner is a wall.
        goal: likewise, with the last corner.

    Raises:
        ConfigError: walls that are none or traced, or cells that aren't there, are walls, or are
            one.
    """
    known = isinstance(walls, np.ndarray | Array) and not np.ma.is_masked(walls)
    if not known or walls.dtype != bool or walls.ndim != 2:
        raise ConfigError(
            f"walls ({brief(walls)}) must be booleans [H, W]: of a level write "
            "maze.to_text(level.walls, level.start, level.goal)."
        )
    if isinstance(walls, jax.core.Tracer):
        raise ConfigError("walls (traced) aren't known yet: write the text after the program ran.")
    grid = np.where(walls, WALL, FREE)
    for name, cell, symbol in (("start", start, START), ("goal", goal, GOAL)):
        if cell is not None:
            place = as_cell(name, cell, grid.size)
            if grid.flat[place] != FREE:
                raise ConfigError(
                    f"{name} ({place}) must be a free cell of its own: choose another."
                )
            grid.flat[place] = symbol
    return "\n".join("".join(row) for row in grid)
