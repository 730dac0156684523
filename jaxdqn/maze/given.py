"""What a caller gives as a maze, a path or a table: read, or refused in a sentence."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxdqn.errors import ConfigError, brief
from jaxdqn.maze import check, grid
from jaxdqn.maze.levels import Level, Levels, draw, placed
from jaxdqn.types import Array

Drawn = Level | str | np.ndarray | Array


def as_level(level: Any) -> Level:
    """Return the maze that a text or a level of a bank is.

    Raises:
        ConfigError: neither of them, or a text that ``levels.draw`` refuses.
    """
    level = draw(level) if isinstance(level, str) else level
    if not isinstance(level, Level):
        raise ConfigError(
            f"level ({brief(level)}) is no maze: give a text, or a level of a bank by maze.level."
        )
    return level


def as_path(path: ArrayLike | Sequence[int], cells: int) -> list[int]:
    """Return a path's cells.

    Raises:
        ConfigError: no list, or a number that none of so many cells has.
    """
    found = check.as_array(path)
    if np.ndim(found) != 1:
        raise ConfigError(f"path ({brief(path)}) must be a list of cells: write it as [1, 2].")
    return [grid.as_cell("path", cell, cells) for cell in found.tolist()]


def as_table(name: str, table: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Return a table that has a row for each cell.

    Args:
        name: what it is called.
        table: numbers or truths.
        shape: what shape it must have.

    Raises:
        ConfigError: another shape, numbers that aren't known yet, or none.
    """
    found = check.as_array(table)
    real = found is not None and found.dtype.kind in "biuf"
    if not real or isinstance(found, jax.core.Tracer) or found.shape != shape:
        said = f"shape {found.shape}" if real else brief(table)
        raise ConfigError(
            f"{name} ({said}) must be known numbers of shape {shape}: give a row for each cell."
        )
    return found


def as_walls(level: Any) -> tuple[Array, int, int]:
    """Return walls ``[H, W]``, start cell and goal cell; of walls alone the corners.

    Raises:
        ConfigError: what is no maze.
    """
    if isinstance(level, str):
        level = draw(level)
    if isinstance(level, Level):
        return placed(level.walls), level.start, level.goal
    if isinstance(level, Levels):
        raise ConfigError(
            f"level (a bank of {len(level)}) must be one maze: take maze.level(bank, 0), "
            "or map over bank.walls with jax.vmap."
        )
    if not isinstance(level, jax.Array | np.ndarray) or np.ma.is_masked(level):
        raise ConfigError(
            f"level ({brief(level)}) is no maze: give a text, a level of a bank, or walls as an "
            "array."
        )
    if level.dtype != bool or level.ndim != 2 or level.size < 2:
        raise ConfigError(
            f"level (an array of {level.dtype}, shape {level.shape}) is no maze: "
            "give walls as booleans [H, W], of two cells or more."
        )
    return jnp.asarray(level), 0, level.size - 1
