"""Pictures of mazes: values, visits, paths, and an animation.

A maze is a ``Level`` of a bank, or a text that ``levels.draw`` reads; cells that aren't there and
tables of other shapes are refused with a ``ConfigError``.

Colours are those of Okabe and Ito (2008) and viridis, which colour-blind people can tell apart.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxdqn.maze import given, grid, solve
from jaxdqn.maze.levels import Level
from jaxdqn.types import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage
    from PIL.Image import Image

Table = np.ndarray | Array

WALL_COLOUR = "#2b2b33"
PATH_COLOUR = "#d55e00"
REACHED_COLOUR = "#0072b2"
WRONG_COLOUR = "#d55e00"
TIED = 1e-5
"""Share of a cell's values by which moves of one worth differ, as rounded in float32."""


def greedy_path(level: Level | str, q: Table) -> list[int]:
    """Return the cells that the greedy policy visits, until the goal or its first return.

    Args:
        level: the maze.
        q: action values ``[H * W, A]``.
    """
    level, q = _given(level, q)
    path, after = [level.start], np.asarray(solve.successors(level.walls))
    while path[-1] != level.goal:
        path.append(int(after[path[-1], np.argmax(q[path[-1]])]))
        if path[-1] in path[:-1]:
            break
    return path


def best_moves(level: Level | str, q: Table) -> np.ndarray:
    """Return which moves are best in each cell, all of those that are tied, ``[H * W, A]``.

    Args:
        level: the maze; cells from which its goal can't be reached have no best move.
        q: action values ``[H * W, A]``.
    """
    level, q = _given(level, q)
    best = np.zeros(q.shape, bool)
    inner = level.cells[:-1]
    slack = TIED * np.abs(q[inner]).max(axis=1)
    best[inner] = q[inner] >= (q[inner].max(axis=1) - slack)[:, None]
    return best


def draw_values(
    axes: "Axes",
    level: Level | str,
    q: Table,
    limits: tuple[float, float] | None = None,
    optimal: Table | None = None,
) -> "AxesImage":
    """Draw the best value of each cell as a colour and its best moves as arrows.

    Args:
        axes: where.
        level: the maze.
        q: action values ``[H * W, A]``.
        limits: ends of the colour scale; by default the smallest and largest value.
        optimal: which moves are, ``[H * W, A]``: then in each cell only what the greedy policy
            does is drawn, in a colour of its own where that isn't optimal. By default moves that
            are tied are all drawn.

    Returns:
        The image, for a colour bar.
    """
    level, q = _given(level, q)
    inner = level.cells[:-1]
    values = np.full(level.walls.size, np.nan)
    values[inner] = q[inner].max(axis=1)
    low, high = limits or value_limits(level, q)
    draw_walls(axes, level.walls)
    image = axes.imshow(values.reshape(level.walls.shape), cmap="viridis", vmin=low, vmax=high)
    if optimal is None:
        cells, actions = np.nonzero(best_moves(level, q))
        wrong = np.zeros(len(cells), bool)
    else:
        cells, actions = inner, q[inner].argmax(axis=1)
        wrong = ~given.as_table("optimal", optimal, q.shape).astype(bool)[cells, actions]
    # White on dark values, black on bright ones.
    bright = (values[cells] - low) / max(high - low, 1e-9) > 0.6
    inks = np.where(bright, "black", "white")
    _draw_arrows(axes, level, cells[~wrong], actions[~wrong], color=inks[~wrong], width=0.05)
    _draw_arrows(
        axes, level, cells[wrong], actions[wrong], color=WRONG_COLOUR, width=0.08,
        edgecolor="white", linewidth=0.8,
    )  # fmt: skip
    # In a corner, the start leaves its arrow to be seen.
    draw_end(axes, level, level.start, "S", size=_fitting(level, 8), aside=0.3)
    draw_end(axes, level, level.goal, "G", size=_fitting(level, 11))
    return image


def _draw_arrows(
    axes: "Axes", level: Level, cells: np.ndarray, actions: np.ndarray, width: float, **style: Any
) -> None:
    """Draw moves, one alone across the middle of its cell, several from there."""
    columns = level.walls.shape[1]
    alone = np.bincount(cells)[cells] == 1
    begins, lengths = np.where(alone, -0.27, 0.0), np.where(alone, 0.54, 0.44)
    right, down = grid.COLUMN_STEP[actions], grid.ROW_STEP[actions]
    axes.quiver(
        cells % columns + begins * right, cells // columns + begins * down, lengths * right,
        lengths * down, width=width / columns, pivot="tail", angles="xy", scale_units="xy",
        scale=1, headwidth=4, headlength=4, headaxislength=3.6, zorder=3, **style,
    )  # fmt: skip


def _fitting(level: Level, size: float) -> float:
    """Return the size of letters: that of mazes of ten cells across, less in larger ones."""
    return max(5.0, size * min(1.0, 10 / max(level.walls.shape)))


def value_limits(level: Level | str, *tables: Table) -> tuple[float, float]:
    """Return the smallest and the largest best value in tables of action values.

    What diverged has no values; where all of it did, the ends are 0 and 1.
    """
    level = given.as_level(level)
    values = np.array([_given(level, q)[1][level.cells[:-1]].max(axis=1) for q in tables])
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)


def draw_visits(axes: "Axes", level: Level | str, visits: Table) -> "AxesImage":
    """Draw how often each cell was visited, in shares on a logarithmic scale.

    Args:
        axes: where.
        level: the maze.
        visits: counts ``[H * W]``.
    """
    level = given.as_level(level)
    visits = given.as_table("visits", visits, (level.walls.size,))
    shares = np.where(visits > 0, visits / max(visits.sum(), 1), np.nan)
    draw_walls(axes, level.walls)
    image = axes.imshow(shares.reshape(level.walls.shape), cmap="cividis", norm="log")
    draw_end(axes, level, level.start, "S", size=_fitting(level, 11))
    draw_end(axes, level, level.goal, "G", size=_fitting(level, 11))
    return image


def draw_path(axes: "Axes", level: Level | str, path: Sequence[int], colour: str) -> None:
    """Draw a path over a maze; parts walked again are not drawn darker.

    Args:
        axes: where.
        level: the maze.
        path: cells in their order.
        colour: of the line.
    """
    level = given.as_level(level)
    width = level.walls.shape[1]
    cells = np.array(given.as_path(path, level.walls.size), np.int64)
    axes.plot(
        cells % width, cells // width, color=colour, linewidth=5, alpha=0.55, zorder=2,
        solid_capstyle="round", solid_joinstyle="round",
    )  # fmt: skip


def draw_walls(axes: "Axes", walls: np.ndarray) -> None:
    """Draw walls dark on white, without ticks."""
    axes.set_facecolor(WALL_COLOUR)
    axes.imshow(np.where(walls, np.nan, 0.0), cmap="Greys", vmin=0, vmax=1)
    axes.set_xticks([])
    axes.set_yticks([])


def draw_end(
    axes: "Axes", level: Level | str, cell: int, letter: str, size: float = 11, aside: float = 0.0
) -> None:
    """Mark a cell with a letter or two in a circle, in its middle or ``aside``, up to the left."""
    walls = given.as_level(level).walls
    width, cell = walls.shape[1], grid.as_cell("cell", cell, walls.size)
    axes.text(
        cell % width - aside, cell // width - aside, letter, ha="center", va="center",
        fontsize=size, fontweight="bold", color="white", zorder=4,
        bbox={"boxstyle": "circle,pad=0.25", "facecolor": PATH_COLOUR, "edgecolor": "white"},
    )  # fmt: skip


def animate(level: Level | str, path: Sequence[int], goal: int, pixels: int = 320) -> "list[Image]":
    """Return the frames of an agent that walks a path, for ``Image.save(save_all=True)``.

    Args:
        level: the maze.
        path: cells in their order, the first frame's first.
        goal: cell of the goal.
        pixels: of the longer side, about; a cell has at least four.
    """
    from PIL import Image, ImageDraw

    level = given.as_level(level)
    height, width = level.walls.shape
    path, goal = given.as_path(path, height * width), grid.as_cell("goal", goal, height * width)
    side = max(pixels // max(height, width), 4)

    def circle(pen: ImageDraw.ImageDraw, cell: int, radius: float, colour: str) -> None:
        x, y = (cell % width + 0.5) * side, (cell // width + 0.5) * side
        pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=colour)

    def square(pen: ImageDraw.ImageDraw, cell: int, colour: str) -> None:
        x, y = cell % width * side, cell // width * side
        pen.rectangle([x, y, x + side - 1, y + side - 1], fill=colour)

    frames = []
    for count in range(1, len(path) + 1):
        frame = Image.new("RGB", (width * side, height * side), "white")
        pen = ImageDraw.Draw(frame)
        for wall in np.flatnonzero(level.walls).tolist():
            square(pen, wall, WALL_COLOUR)
        square(pen, goal, PATH_COLOUR)
        for cell in path[:count]:
            circle(pen, cell, 0.12 * side, REACHED_COLOUR)
        circle(pen, path[count - 1], 0.36 * side, REACHED_COLOUR)
        # On a white page one sees where the maze ends.
        pen.rectangle([0, 0, frame.width - 1, frame.height - 1], outline=WALL_COLOUR, width=2)
        frames.append(frame)
    return frames


def _given(level: Level | str, q: Table) -> tuple[Level, np.ndarray]:
    """Return a maze and the action values of its cells."""
    level = given.as_level(level)
    return level, given.as_table("q", q, (level.walls.size, grid.NUM_ACTIONS))
