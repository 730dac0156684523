"""Pictures of mazes."""

from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np

from jaxdqn.maze import grid
from jaxdqn.maze.levels import Level

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

WALL_COLOUR = "#2b2b33"
PATH_COLOUR = "#d55e00"


def greedy_path(level: Level, q: np.ndarray) -> list[int]:
    """Return the cells that the greedy policy visits, until the goal or its first return.

    Args:
        level: the maze.
        q: action values ``[H * W, A]``.
    """
    path = [level.start]
    while path[-1] != level.goal:
        action = jnp.argmax(q[path[-1]])
        path.append(int(grid.move(jnp.asarray(level.walls), jnp.int32(path[-1]), action)))
        if path[-1] in path[:-1]:
            break
    return path


def draw_policy(axes: "Axes", level: Level, q: np.ndarray, path: list[int]) -> "AxesImage":
    """Draw a maze: values as colour, greedy actions as arrows, the greedy path as a line.

    Args:
        axes: where.
        level: the maze.
        q: action values ``[H * W, A]``.
        path: cells that the greedy policy visits, from ``greedy_path``.

    Returns:
        The image, for a colour bar.
    """
    height, width = level.walls.shape
    values = np.full(level.walls.size, np.nan)
    inner = level.cells[:-1]
    values[inner] = q[inner].max(axis=1)
    low, high = np.nanmin(values), np.nanmax(values)
    axes.set_facecolor(WALL_COLOUR)
    axes.imshow(np.where(level.walls, np.nan, 0.0), cmap="Greys", vmin=0, vmax=1)
    image = axes.imshow(values.reshape(height, width), cmap="viridis", vmin=low, vmax=high)
    x, y = inner % width, inner // width
    actions = q[inner].argmax(axis=1)
    # White on dark values, black on bright ones.
    bright = (values[inner] - low) / max(high - low, 1e-9) > 0.6
    axes.quiver(
        x, y, grid.COLUMN_STEP[actions], grid.ROW_STEP[actions], np.where(bright, 0.0, 1.0),
        cmap="gray", clim=(0, 1), pivot="mid", angles="xy", scale_units="xy", scale=1.9,
        width=0.05 / width, headwidth=4, headlength=4, headaxislength=3.6, zorder=3,
    )  # fmt: skip
    visited = np.array(path)
    axes.plot(
        visited % width, visited // width, color=PATH_COLOUR, linewidth=5, alpha=0.55, zorder=2,
        solid_capstyle="round", solid_joinstyle="round",
    )  # fmt: skip
    for cell, letter in ((level.start, "S"), (level.goal, "G")):
        axes.text(
            cell % width, cell // width, letter, ha="center", va="center", fontsize=11,
            fontweight="bold", color="white", zorder=4,
            bbox={"boxstyle": "circle,pad=0.25", "facecolor": PATH_COLOUR, "edgecolor": "white"},
        )  # fmt: skip
    axes.set_xticks([])
    axes.set_yticks([])
    return image
