"""What an agent sees of a maze: one pure function of walls, agent and goal for each kind."""

import typing
from collections.abc import Callable
from typing import Literal, NamedTuple

import jax.numpy as jnp

from jaxdqn.deferred import spaces
from jaxdqn.maze import grid, text
from jaxdqn.maze.text import TOKENS
from jaxdqn.types import Array

Kind = Literal["position", "coordinates", "planes", "view", "tokens", "text", "choices"]
OBSERVATIONS = typing.get_args(Kind)


class Observation(NamedTuple):
    """One kind of observation.

    Attributes:
        observe: ``(walls [H, W], agent [], goal []) -> observation``.
        space: its shape and dtype.
        categories: number of values, where they are names rather than quantities.
    """

    observe: Callable[[Array, Array, Array], Array]
    space: spaces.Space
    categories: int | None = None


def make(kind: str, height: int, width: int, view_size: int) -> Observation:
    """Return what ``kind`` means in mazes of ``height`` × ``width`` cells.

    Args:
        kind: ``"position"``, the agent's cell, int32 ``[]``; ``"coordinates"``, row and column of
            agent and goal scaled to [0, 1], float32 ``[4]``; ``"planes"``, walls, agent and goal,
            booleans ``[H, W, 3]``; ``"view"``, walls and goal around the agent, who stands in the
            middle, booleans ``[R, R, 2]``, all wall beyond the border; ``"tokens"``, the cells
            row by row as places in ``TOKENS``, the last that applies, uint8 ``[H * W]``;
            ``"text"``, the beginning of a text up to the agent's cell, see ``text.prompt``;
            ``"choices"``, the same, then the names of the cells that the four moves lead to.
        height: rows (H).
        width: columns (W).
        view_size: side of the view (R), odd.
    """
    cells = height * width
    names, length = len(text.vocabulary(cells)), text.prompt_length(cells)

    def position(walls: Array, agent: Array, goal: Array) -> Array:
        del walls, goal
        return agent

    def coordinates(walls: Array, agent: Array, goal: Array) -> Array:
        del walls
        ends = jnp.stack([agent, goal])
        scale = jnp.array([max(height - 1, 1), max(width - 1, 1)], jnp.float32)
        return (jnp.stack([ends // width, ends % width], axis=1) / scale[None]).reshape(-1)

    def planes(walls: Array, agent: Array, goal: Array) -> Array:
        # Setting two bits takes half the time of stacking three planes (CPU).
        seen = jnp.zeros((cells, 3), bool).at[:, 0].set(walls.reshape(-1))
        return seen.at[agent, 1].set(True).at[goal, 2].set(True).reshape(height, width, 3)

    def view(walls: Array, agent: Array, goal: Array) -> Array:
        around = jnp.arange(view_size) - view_size // 2
        row, column = agent // width + around[:, None], agent % width + around[None, :]
        outside = (row < 0) | (row >= height) | (column < 0) | (column >= width)
        seen = walls[jnp.clip(row, 0, height - 1), jnp.clip(column, 0, width - 1)]
        return jnp.stack([seen | outside, ~outside & (row * width + column == goal)], axis=-1)

    def tokens(walls: Array, agent: Array, goal: Array) -> Array:
        seen = walls.reshape(-1).astype(jnp.uint8).at[goal].set(TOKENS.index("goal"))
        return seen.at[agent].set(TOKENS.index("agent"))

    def choices(walls: Array, agent: Array, goal: Array) -> Array:
        there = grid.move(walls, agent, jnp.arange(grid.NUM_ACTIONS))
        words = (len(text.WORDS) + there).astype(text.dtype(cells))
        return jnp.concatenate([text.prompt(walls, agent, goal), words])

    def names_of(length: int) -> spaces.Box:
        return spaces.Box(0, names - 1, (length,), text.dtype(cells))

    kinds = {
        "position": Observation(position, spaces.Discrete(cells), cells),
        "coordinates": Observation(coordinates, spaces.Box(0.0, 1.0, (4,), jnp.float32)),
        "planes": Observation(planes, spaces.Box(False, True, (height, width, 3), jnp.bool_)),
        "view": Observation(view, spaces.Box(False, True, (view_size, view_size, 2), jnp.bool_)),
        "tokens": Observation(
            tokens, spaces.Box(0, len(TOKENS) - 1, (cells,), jnp.uint8), len(TOKENS)
        ),
        "text": Observation(text.prompt, names_of(length), names),
        "choices": Observation(choices, names_of(length + grid.NUM_ACTIONS), names),
    }
    return kinds[kind]
