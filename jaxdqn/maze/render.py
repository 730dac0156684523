"""Pictures of mazes: values, visits, paths, and an animation.

Colours are those of Okabe and Ito (2008) and viridis, which colour-blind people can tell apart.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxdqn.maze import grid, solve
from jaxdqn.maze.levels import Level

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage
    from PIL.Image import Image

WALL_COLOUR = "#2b2b33"
PATH_COLOUR = "#d55e00"
REACHED_COLOUR = "#0072b2"
WRONG_COLOUR = "#d55e00"
TIED = 1e-5
"""Share of a cell's values by which moves of one worth differ, as rounded in float32."""


def greedy_path(level: Level, q: np.ndarray) -> list[int]:
    """Return the cells that the greedy policy visits, until the goal or its first return.

    Args:
        level: the maze.
        q: action values ``[H * W, A]``.
    """
    path, after = [level.start], np.asarray(solve.successors(level.walls))
    while path[-1] != level.goal:
        path.append(int(after[path[-1], np.argmax(q[path[-1]])]))
        if path[-1] in path[:-1]:
            break
    return path


def best_moves(level: Level, q: np.ndarray) -> np.ndarray:
    """Return which moves are best in each cell, all of those that are tied, ``[H * W, A]``.

    Args:
        level: the maze; cells from which its goal can't be reached have no best move.
        q: action values ``[H * W, A]``.
    """
    best = np.zeros(q.shape, bool)
    inner = level.cells[:-1]
    slack = TIED * np.abs(q[inner]).max(axis=1)
    best[inner] = q[inner] >= (q[inner].max(axis=1) - slack)[:, None]
    return best


def draw_values(
    axes: "Axes",
    level: Level,
    q: np.ndarray,
    limits: tuple[float, float] | None = None,
    optimal: np.ndarray | None = None,
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
        wrong = ~optimal[cells, actions]
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


def value_limits(level: Level, *tables: np.ndarray) -> tuple[float, float]:
    """Return the smallest and the largest best value in tables of action values."""
    values = [q[level.cells[:-1]].max(axis=1) for q in tables]
    # What diverged has no values.
    return float(np.nanmin(values)), float(np.nanmax(values))


def draw_visits(axes: "Axes", level: Level, visits: np.ndarray) -> "AxesImage":
    """Draw how often each cell was visited, in shares on a logarithmic scale.

    Args:
        axes: where.
        level: the maze.
        visits: counts ``[H * W]``.
    """
    shares = np.where(visits > 0, visits / max(visits.sum(), 1), np.nan)
    draw_walls(axes, level.walls)
    image = axes.imshow(shares.reshape(level.walls.shape), cmap="cividis", norm="log")
    draw_end(axes, level, level.start, "S", size=_fitting(level, 11))
    draw_end(axes, level, level.goal, "G", size=_fitting(level, 11))
    return image


def draw_path(axes: "Axes", level: Level, path: Sequence[int], colour: str) -> None:
    """Draw a path over a maze; parts walked again are not drawn darker.

    Args:
        axes: where.
        level: the maze.
        path: cells in their order.
        colour: of the line.
    """
    width = level.walls.shape[1]
    cells = np.asarray(path)
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
    axes: "Axes", level: Level, cell: int, letter: str, size: float = 11, aside: float = 0.0
) -> None:
    """Mark a cell with a letter or two in a circle, in its middle or ``aside``, up to the left."""
    width = level.walls.shape[1]
    axes.text(
        cell % width - aside, cell // width - aside, letter, ha="center", va="center",
        fontsize=size, fontweight="bold", color="white", zorder=4,
        bbox={"boxstyle": "circle,pad=0.25", "facecolor": PATH_COLOUR, "edgecolor": "white"},
    )  # fmt: skip


def animate(level: Level, path: Sequence[int], goal: int, pixels: int = 320) -> "list[Image]":
    """Return the frames of an agent that walks a path, for ``Image.save(save_all=True)``.

    Args:
        level: the maze.
        path: cells in their order, the first frame's first.
        goal: cell of the goal.
        pixels: of the longer side, about; a cell has at least four.
    """
    from PIL import Image, ImageDraw

    height, width = level.walls.shape
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
