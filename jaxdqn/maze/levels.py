"""Banks of distinct, solvable levels, made once from a seed, before anything is compiled.

A reset then only draws an index, which matters since gymnax computes a reset at every step.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import struct
from jax.typing import ArrayLike

from jaxdqn.errors import ConfigError, as_whole, brief, counted, shown
from jaxdqn.maze import check, generate, grid
from jaxdqn.types import Array

Draw = Callable[[np.random.Generator, int], np.ndarray]
Share = float | np.floating | np.integer

LEAST_DRAWS = 20_000
"""Before which, and before as many as levels were asked for, it isn't said that there are fewer."""


class TooFewLevelsError(ConfigError):
    """There are fewer distinct levels than were asked for.

    Attributes:
        found: how many were drawn.
    """

    def __init__(self, message: str, found: int) -> None:
        """Keep the count beside the message."""
        super().__init__(message)
        self.found = found


class Levels(struct.PyTreeNode):
    """A bank of L mazes of one size, each solvable, no two alike.

    Attributes:
        walls: booleans ``[L, H, W]``.
        cells: int32 ``[L, C]``: the cells from which the goal can be reached, the start first,
            the goal last, then padding (the goal again).
        num_cells: int32 ``[L]``: how many of ``cells`` count.
    """

    walls: Array
    cells: Array
    num_cells: Array

    def __len__(self) -> int:
        """How many levels there are (L)."""
        return len(self.num_cells)


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


def level(levels: Levels, index: ArrayLike) -> Level:
    """Take one maze out of a bank.

    Raises:
        ConfigError: what is no bank, one that is traced, or a number that none of its mazes has.
    """
    if not isinstance(levels, Levels):
        raise ConfigError(f"levels ({brief(levels)}) must be a bank: give what maze.bank returned.")
    if isinstance(levels.walls, jax.core.Tracer):
        raise ConfigError(
            "levels (traced) has walls that aren't known yet: take the maze before compiling, or "
            "walls by levels.walls[index]."
        )
    place = as_whole(index)
    if place is None or not -len(levels) <= place < len(levels):
        raise ConfigError(
            f"index ({shown(index)}) must be a whole number from 0 to {len(levels) - 1}, of "
            f"{counted(len(levels), 'maze')}: change it."
        )
    cells = np.asarray(levels.cells)[place, : int(np.asarray(levels.num_cells)[place])]
    return Level(np.asarray(levels.walls)[place], cells)


def draw(layout: str) -> Level:
    """Read one maze from text: ``#`` wall, ``.`` free, ``S`` start, ``G`` goal, a line per row.

    Raises:
        ConfigError: a text that ``grid.parse`` refuses, or no way from start to goal.
    """
    height, width = grid.parse(layout)[0].shape
    return level(bank("layout", height, width, layout=layout), 0)


def split(levels: Levels, count: int) -> tuple[Levels, Levels]:
    """Cut a bank into its first ``count`` levels and the others."""
    first = jax.tree.map(lambda x: placed(np.asarray(x)[:count]), levels)
    return first, jax.tree.map(lambda x: placed(np.asarray(x)[count:]), levels)


def placed(array: np.ndarray) -> Array:
    """Put an array on the device as it is, and at once, also while a caller is being traced.

    ``jnp.asarray`` would compile a program for each shape.
    """
    with jax.ensure_compile_time_eval():
        return jax.device_put(array)


def bank(
    generator: str,
    height: int,
    width: int,
    *,
    count: int = 1,
    seed: int = 0,
    density: Share = 0.3,
    carver: str = "uniform",
    loops: Share = 0.5,
    room_size: int = 3,
    layout: str | None = None,
    difficulty: tuple[int, int] | list[int] | None = None,
) -> Levels:
    """Make ``count`` distinct levels from the top left to the bottom right corner.

    Levels are drawn until there are enough; one that isn't solvable, isn't as difficult as asked
    for, or was there already is passed over. Two levels are the same if the same cells are
    connected to the goal: walls around a sealed-off room make no difference. A larger bank begins
    with the levels of a smaller one.

    Args:
        generator: ``"empty"``; ``"scatter"``, each other cell a wall with probability
            ``density``; ``"corridors"``, perfect mazes; ``"braid"``, corridors with loops;
            ``"rooms"``, joined by doors; or ``"layout"``, read from text.
        height: rows (H); odd for corridors and braid, as is ``width``.
        width: columns (W).
        count: levels (L).
        seed: the same seed gives the same bank everywhere.
        density: probability of a wall, for ``"scatter"``.
        carver: ``"uniform"`` (over spanning trees) or ``"depth_first"``, for ``"corridors"`` and
            ``"braid"``.
        loops: probability that a dead end is opened, maybe to another one, for ``"braid"``.
        room_size: largest side of a room, for ``"rooms"``.
        layout: text, for ``"layout"``; see ``grid.parse``.
        difficulty: fewest and most moves that the shortest path from start to goal may take.

    Raises:
        ConfigError: an argument that can't be honoured.
        TooFewLevelsError: there are too few such levels.
    """
    options = {
        "generator": generator, "height": height, "width": width, "density": density,
        "carver": carver, "loops": loops, "room_size": room_size, "layout": layout,
        "difficulty": difficulty,
    }  # fmt: skip
    check.levels("", 2**15, options)
    check.whole("count", count, 1, 2**31 - 1)
    check.whole("seed", seed, 0, 2**63)
    return bank_of(options, count, seed, "count")


def bank_of(options: Mapping[str, Any], count: int, seed: int, asked: str) -> Levels:
    """Make levels of options that were checked.

    Args:
        options: those of ``bank`` down to ``difficulty``, seed and count apart.
        count: levels (L).
        seed: as for ``bank``.
        asked: what ``count`` is called where it was asked for.

    Raises:
        ConfigError: a layout of another size, or without a way.
        TooFewLevelsError: there are too few such levels.
    """
    generator, height, width = (options[name] for name in ("generator", "height", "width"))
    layout, difficulty = options["layout"], options["difficulty"]
    start, goal = 0, height * width - 1
    if layout is not None:
        drawn, start, goal = grid.parse(layout)
        if drawn.shape != (height, width):
            raise ConfigError(
                f"height ({height}) and width ({width}) must be those of layout: "
                f"use {drawn.shape[0]} and {drawn.shape[1]}."
            )
        if moves_to(drawn[None], goal)[0, start] == drawn.size:
            raise ConfigError("layout has no way from start to goal: open one.")
    draws: dict[str, Callable[..., np.ndarray]] = {
        "empty": generate.empty,
        "scatter": generate.scatter,
        "corridors": generate.corridors,
        "braid": generate.braid,
        "rooms": generate.rooms,
        "layout": lambda _, count, **__: np.repeat(drawn[None], count, axis=0),
    }
    names = ("height", "width", *check.READ[generator])
    draw = partial(draws[generator], **{name: options[name] for name in names})
    what = f"{generator!r} mazes of {height}×{width} cells"
    walls, distances = _choose(
        draw, count, seed, (height, width), start, goal, difficulty, what, asked
    )
    return _levels(walls, distances < height * width, start, goal)


def _choose(
    draw: Draw,
    count: int,
    seed: int,
    shape: tuple[int, int],
    start: int,
    goal: int,
    difficulty: Sequence[int] | None,
    what: str,
    asked: str,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw until there are ``count`` levels; return their walls and distances to the goal."""
    rng = np.random.default_rng(seed)
    cells = shape[0] * shape[1]
    low, high = difficulty or (1, cells - 1)
    least, greatest = cells, 0  # of all shortest paths that were seen
    known: set[bytes] = set()
    walls, distances = [np.zeros((0, *shape), bool)], [np.zeros((0, cells), np.int32)]
    # Sizes of draws don't depend on count, so that a larger bank begins with the smaller one.
    size, drawn, last = int(np.clip(100_000 // cells, 16, 1_000)), 0, 1
    most = 20 * max(count, 1_000)
    while len(known) < count:
        missing, found = count - len(known), len(walls[-1])
        seen = drawn >= max(LEAST_DRAWS, count)
        enough = seen and _is_hopeless(missing, most - drawn, found, last)
        if enough or drawn >= most:
            raise TooFewLevelsError(
                _too_few(asked, count, len(known), f"{drawn} draws of {what}", difficulty,
                         (least, greatest)),
                len(known),
            )  # fmt: skip
        new = draw(rng, size)
        far = moves_to(new, goal)
        moves = far[:, start]
        fits = np.flatnonzero((moves >= low) & (moves <= high))
        least = min(least, moves.min())
        greatest = max(greatest, moves.max(initial=0, where=moves < cells))
        marks = np.packbits(far[fits] < cells, axis=1)
        chosen = []
        for index, mark in zip(fits, map(bytes, marks), strict=True):
            if mark not in known:
                known.add(mark)
                chosen.append(index)
        walls.append(new[chosen])
        distances.append(far[chosen])
        drawn, last = drawn + size, size
        size = min(2 * size, max(1_000, 10_000_000 // cells))
    return np.concatenate(walls)[:count], np.concatenate(distances)[:count]


def _is_hopeless(missing: int, left: int, found: int, draws: int) -> bool:
    """Whether what is missing isn't among all draws that are left, with a chance of 1e-8 at most.

    The share of levels that no draw has shown only falls, and what the last draws found bounds it
    from above: by Chernoff's inequality by what would have given e^20 times as rarely so few.

    Args:
        missing: levels.
        left: draws.
        found: new levels among the last draws.
        draws: how many these were.
    """
    share = (math.sqrt(10) + math.sqrt(10 + found)) ** 2 / draws
    return missing > 2 * left * share + 40


def _too_few(
    asked: str, count: int, found: int, draws: str, difficulty: Sequence[int] | None,
    seen: tuple[int, int],
) -> str:  # fmt: skip
    """Return why there are too few levels; ``seen``: fewest and most moves of any solvable one."""
    if difficulty and not found and seen[0] <= seen[1]:
        return (
            f"difficulty ({shown(list(difficulty))}) can't be had, since of {draws} those that are "
            f"solvable have shortest paths of {seen[0]} to {seen[1]} moves: change it."
        )
    remedy = "enlarge the maze or change generator, density, carver, loops or difficulty"
    if not found:
        return f"{asked} ({count}) can't be had, since none of {draws} is solvable: {remedy}."
    if difficulty:
        draws += f" with a shortest path of {difficulty[0]} to {difficulty[1]} moves"
    return (
        f"{asked} ({count}) exceeds the {found} distinct levels among {draws}: lower it, {remedy}."
    )


def moves_to(walls: np.ndarray, goal: int) -> np.ndarray:
    """Return the fewest moves from every cell to ``goal``, int32 ``[L, H * W]``, of walls
    ``[L, H, W]``; ``H * W`` where there is no way.
    """
    count, height, width = walls.shape
    # Around each level runs a wall, so that a step off the grid ends in one as any other does.
    closed = np.pad(walls, ((0, 0), (1, 1), (1, 1)), constant_values=True)
    distances = np.full(closed.shape, height * width, np.int32)
    here = np.ravel_multi_index(
        (np.arange(count), goal // width + 1, goal % width + 1), closed.shape
    )
    closed, far = closed.reshape(-1), distances.reshape(-1)
    here, moves = here[~closed[here]], 0
    closed[here] = True
    while here.size:
        far[here] = moves
        beside = []
        for step in grid.ROW_STEP * (width + 2) + grid.COLUMN_STEP:
            new = here + step
            new = new[~closed[new]]
            closed[new] = True
            beside.append(new)
        here, moves = np.concatenate(beside), moves + 1
    return distances[:, 1:-1, 1:-1].reshape(count, -1)


def _levels(walls: np.ndarray, reached: np.ndarray, start: int, goal: int) -> Levels:
    order = np.arange(reached.shape[1])
    # Sort keys: the start, the other reachable cells, the goal, the unreachable ones.
    rank = np.where(reached, 1, 3)
    rank[:, start], rank[:, goal] = 0, 2
    cells = np.argsort(rank * order.size + order, axis=1)
    num_cells = reached.sum(axis=1)
    cells = np.where(order < num_cells[:, None], cells, goal)[:, : num_cells.max()]
    return Levels(
        walls=placed(walls),
        cells=placed(cells.astype(np.int32)),
        num_cells=placed(num_cells.astype(np.int32)),
    )
