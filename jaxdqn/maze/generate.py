"""Walls drawn at random, many mazes at a time, in NumPy: what ``levels.bank`` chooses from.

Every function takes ``(rng, count, height, width, ...)`` and returns booleans ``[count, H, W]``
in which the top left and the bottom right cell are free.
"""

import numpy as np

from jaxdqn.maze import grid

LATTICE = 2
"""Corridors join cells of even row and column, which lie this far apart."""
_UNSEEN, _SEEN, _OUTSIDE = range(3)
"""What a random walk knows of a cell of the lattice, around which runs a border outside."""


def empty(rng: np.random.Generator, count: int, height: int, width: int) -> np.ndarray:
    """Return no walls at all."""
    del rng
    return np.zeros((count, height, width), bool)


def scatter(
    rng: np.random.Generator, count: int, height: int, width: int, density: float
) -> np.ndarray:
    """Make each cell but the corners a wall with probability ``density``; not always solvable."""
    walls = rng.random((count, height, width)) < density
    walls[:, 0, 0] = walls[:, -1, -1] = False
    return walls


def corridors(
    rng: np.random.Generator, count: int, height: int, width: int, carver: str
) -> np.ndarray:
    """Carve perfect mazes, in which one path joins any two cells; sizes are odd.

    Args:
        rng: source of chance.
        count: mazes.
        height: rows (H), odd.
        width: columns (W), odd.
        carver: ``"uniform"``, every spanning tree equally likely, or ``"depth_first"``, fewer and
            longer corridors.
    """
    walls = np.ones((count, height, width), bool)
    walls[:, ::LATTICE, ::LATTICE] = False
    carve = {"uniform": _random_walk, "depth_first": _depth_first}
    carve[carver](rng, walls)
    return walls


def braid(
    rng: np.random.Generator, count: int, height: int, width: int, carver: str, loops: float
) -> np.ndarray:
    """Carve corridors, then open a further side of each dead end with probability ``loops``."""
    walls = corridors(rng, count, height, width, carver)
    rows, columns = (height + 1) // LATTICE, (width + 1) // LATTICE
    row, column = np.divmod(np.arange(rows * columns), columns)
    # Sides of every lattice cell, [4, rows * columns]; those off the grid count as closed.
    beside = LATTICE * row + grid.ROW_STEP[:, None], LATTICE * column + grid.COLUMN_STEP[:, None]
    inside = (beside[0] >= 0) & (beside[0] < height) & (beside[1] >= 0) & (beside[1] < width)
    side = np.where(inside, beside[0], 0), np.where(inside, beside[1], 0)
    closed = walls[:, side[0], side[1]] | ~inside
    opened = (closed.sum(axis=1) == 3) & (rng.random((count, rows * columns)) < loops)
    # Of the sides that can be opened, the one with the highest lot.
    lots = np.where(closed & inside, rng.random(closed.shape), -1.0)
    level, cell = np.nonzero(opened)
    chosen = lots.argmax(axis=1)[level, cell]
    walls[level, side[0][chosen, cell], side[1][chosen, cell]] = False
    return walls


def rooms(
    rng: np.random.Generator, count: int, height: int, width: int, room_size: int
) -> np.ndarray:
    """Divide the grid into rooms by walls with one door each, until none is over ``room_size``.

    Walls stand in odd rows and columns and doors in even ones, so no wall blocks a door.
    """
    walls = np.zeros((count, height, width), bool)
    for maze in walls:
        chambers = [(0, 0, height, width)]
        while chambers:
            top, left, bottom, right = chambers.pop()
            rows, columns = bottom - top, right - left
            across = rows > columns or (rows == columns and bool(rng.integers(2)))
            low, high = (top, bottom) if across else (left, right)
            if high - low <= max(room_size, 2):
                continue
            wall = low + 1 + 2 * int(rng.integers((high - low - 1) // 2))
            begin, end = (left, right) if across else (top, bottom)
            door = begin + 2 * int(rng.integers((end - begin + 1) // 2))
            line = np.ones(end - begin, bool)
            line[door - begin] = False
            if across:
                maze[wall, begin:end] = line
                chambers += [(top, left, wall, right), (wall + 1, left, bottom, right)]
            else:
                maze[begin:end, wall] = line
                chambers += [(top, left, bottom, wall), (top, wall + 1, bottom, right)]
    return walls


def _random_walk(rng: np.random.Generator, walls: np.ndarray) -> None:
    """Open the wall before each cell that a random walk enters for the first time.

    That draws every spanning tree with equal probability (Aldous, 1990; Broder, 1989). All mazes
    walk at once.
    """
    count, rows, columns = walls[:, ::LATTICE, ::LATTICE].shape
    cells = np.full((count, rows + 2, columns + 2), _OUTSIDE, np.int8)
    cells[:, 1:-1, 1:-1] = _UNSEEN
    steps = grid.ROW_STEP * (columns + 2) + grid.COLUMN_STEP
    row, column = rng.integers(rows, size=count), rng.integers(columns, size=count)
    here = np.ravel_multi_index((np.arange(count), row + 1, column + 1), cells.shape)
    known, unseen = cells.reshape(-1), np.full(count, rows * columns - 1)
    known[here] = _SEEN
    while len(here):
        there = here + steps[rng.integers(grid.NUM_ACTIONS, size=len(here))]
        found = known[there]
        new = np.flatnonzero(found == _UNSEEN)
        # A step off the grid is drawn again: the walk chooses uniformly among neighbours.
        there = np.where(found == _OUTSIDE, here, there)
        known[there[new]] = _SEEN
        level, from_row, from_column = np.unravel_index(here[new], cells.shape)
        _, to_row, to_column = np.unravel_index(there[new], cells.shape)
        walls[level, from_row + to_row - 2, from_column + to_column - 2] = False
        unseen[new] -= 1
        here, unseen = there[unseen > 0], unseen[unseen > 0]


def _depth_first(rng: np.random.Generator, walls: np.ndarray) -> None:
    """Go on to a cell not seen before, chosen uniformly; where there is none, go back."""
    seen = np.pad(walls[:, ::LATTICE, ::LATTICE], ((0, 0), (1, 1), (1, 1)), constant_values=True)
    rows, columns = seen.shape[1] - 2, seen.shape[2] - 2
    level = np.arange(len(walls))
    trail = np.zeros((len(walls), rows * columns), np.int64)
    trail[:, 0] = rng.integers(rows * columns, size=len(walls))
    depth = np.zeros(len(walls), np.int64)
    row, column = np.divmod(trail[:, 0], columns)
    seen[level, row + 1, column + 1] = True
    while (depth >= 0).any():
        row, column = np.divmod(trail[level, np.maximum(depth, 0)], columns)
        to_row = row[:, None] + grid.ROW_STEP
        to_column = column[:, None] + grid.COLUMN_STEP
        new = ~seen[level[:, None], to_row + 1, to_column + 1]
        chosen = np.where(new, rng.random(new.shape), -1.0).argmax(axis=1)
        on = np.flatnonzero(new.any(axis=1))
        going, chosen = level[on], chosen[on]
        to_row, to_column = to_row[on, chosen], to_column[on, chosen]
        walls[going, row[on] + to_row, column[on] + to_column] = False
        seen[going, to_row + 1, to_column + 1] = True
        depth = depth - 1
        depth[on] += 2
        trail[going, depth[on]] = to_row * columns + to_column
