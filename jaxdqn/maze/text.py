r"""Mazes as text: which tokens there are, and texts of them ↔ walls, goal and path.

A text is one kind of ``KINDS``, the walls row by row, then where the goal and the agent are, then
the cells that are walked one after the other, then ``end``; what is left of the room is padding:

>>> text.write(maze.draw("S.\n#G"), path=[1, 3])
'solution free free wall free goal 3 agent 0 1 3 end'

A cell's name is its row-major index. Since the agent comes last, the first ``prompt_length`` tokens
are also what an agent sees in the middle of a walk, and up to the agent they are the same for all
places it may be in.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxdqn.errors import ConfigError, brief, shown
from jaxdqn.maze import check, given, grid
from jaxdqn.maze.levels import Level, draw
from jaxdqn.types import Array

TOKENS = ("free", "wall", "goal", "agent")
"""What a cell can be; of the observation ``tokens``, which is the cells alone, the vocabulary."""

KINDS = ("alone", "walk", "solution")
"""What comes after the agent's cell: nothing, a random walk, or a walk to the goal, with detours or
without."""

SOLUTION = KINDS.index("solution")

WORDS = (*TOKENS, *KINDS, "end", "padding", "mask")
"""The vocabulary but for the names of cells, which follow; a token is its place."""

END, PADDING, MASK = WORDS.index("end"), WORDS.index("padding"), WORDS.index("mask")

GOAL_AT, AGENT_AT = -3, -1
"""Where in a text up to the agent's cell the names of these cells are: from its end."""


def vocabulary(cells: int) -> tuple[str, ...]:
    """Return all tokens of mazes of so many cells: those of ``WORDS``, then cells by name.

    Raises:
        ConfigError: what is no number of cells.
    """
    check.whole("cells", cells, 1, 2**30)
    return (*WORDS, *map(str, range(cells)))


def prompt_length(cells: int) -> int:
    """Return how many tokens come before the path."""
    return shared_length(cells) + 2


def shared_length(cells: int) -> int:
    """Return how many tokens come before the agent: they are the same wherever it is."""
    return cells + 3


def prompt(
    walls: Array, agent: int | Array, goal: int | Array, kind: int | Array = SOLUTION
) -> Array:
    """Return a text up to the agent's cell, ``[prompt_length]``, of the smallest dtype that does.

    Args:
        walls: booleans ``[H, W]``.
        agent: cell, int ``[]``.
        goal: cell, int ``[]``.
        kind: place in ``KINDS``; by default a solution.
    """
    cells = walls.reshape(-1).astype(jnp.int32)
    first = jnp.asarray(len(TOKENS) + kind).reshape(1)
    ends: list[Any] = [
        TOKENS.index("goal"),
        len(WORDS) + goal,
        TOKENS.index("agent"),
        len(WORDS) + agent,
    ]
    return jnp.concatenate([first, cells, jnp.stack(ends)]).astype(dtype(walls.size))


def dtype(cells: int) -> np.dtype:
    """Return the smallest dtype that holds every token of mazes of so many cells."""
    return np.min_scalar_type(len(WORDS) + cells - 1)


def write(level: Level | str, path: ArrayLike | Sequence[int] = (), kind: str = "solution") -> str:
    """Write a maze and a path after its start, a list of cells; with ``end`` where it arrives.

    A maze that is ``"alone"`` has no path, and ends at once.

    Raises:
        ConfigError: what is no level nor a text that ``levels.draw`` reads, a cell that isn't
            there, a kind that isn't one, or has no path and is given one.
    """
    level = given.as_level(level)
    cells = given.as_path(path, level.walls.size)
    check.choice("kind", kind, KINDS)
    if kind == "alone" and cells:
        raise ConfigError("kind ('alone') has no path: leave path out, or write a 'walk'.")
    walls, start, goal = level.walls, level.start, level.goal
    known = vocabulary(walls.size)
    with jax.ensure_compile_time_eval():
        tokens = np.asarray(prompt(jnp.asarray(walls), start, goal, KINDS.index(kind))).tolist()
    words = [known[token] for token in tokens] + [str(cell) for cell in cells]
    return " ".join([*words, "end"] if kind == "alone" or cells[-1:] == [goal] else words)


def encode(text: str, cells: int) -> np.ndarray:
    """Return the tokens of a text about mazes of so many cells, int32 ``[T]``.

    Raises:
        ConfigError: what is no text or no number of cells, or a word that no such text has.
    """
    if not isinstance(text, str):
        raise ConfigError(f"text ({brief(text)}) must be words: give what text.write returned.")
    known = {word: token for token, word in enumerate(vocabulary(cells))}
    words = text.split()
    for word in words:
        if word not in known:
            raise ConfigError(
                f"text contains {word!r}: use {', '.join(WORDS)} and cells from 0 to {cells - 1}."
            )
    return np.array([known[word] for word in words], np.int32)


def decode(tokens: ArrayLike | Sequence[int], cells: int) -> str:
    """Return the words of tokens; the inverse of ``encode``.

    Raises:
        ConfigError: a token that no text about mazes of so many cells has, or what is no number of
            cells.
    """
    known, found = vocabulary(cells), check.as_array(tokens)
    if np.ndim(found) != 1 or (found.size and not check.is_whole(found)):
        raise ConfigError(
            f"tokens ({brief(tokens)}) must be a list of whole numbers: give those of one text."
        )
    for token in found.tolist():
        if not 0 <= token < len(known):
            raise ConfigError(f"tokens contains {token}: use those from 0 to {len(known) - 1}.")
    return " ".join(known[token] for token in found.tolist())


def read(text: str, height: int, width: int) -> tuple[Level, list[int]]:
    """Return the maze that a text describes, and the cells of its path after the start.

    The path ends with the first ``end``; other words in it that name no cell are passed over.

    Raises:
        ConfigError: a word that isn't one, words that describe no maze that can be solved, or no
            size of mazes.
    """
    for name, size in (("height", height), ("width", width)):
        check.whole(name, size, 1, 2**15)
    cells = height * width
    tokens = encode(text, cells)
    known = tokens[: prompt_length(cells)]
    if not _is_prompt(known, cells):
        raise ConfigError(
            f"text ({shown(text)}) describes no maze of {height}×{width} cells: write a kind, "
            f"{cells} cells, 'goal', its free cell, 'agent', its free cell, then a path."
        )
    walls = (known[1 : cells + 1] == TOKENS.index("wall")).reshape(height, width)
    goal, start = (int(known[place]) - len(WORDS) for place in (GOAL_AT, AGENT_AT))
    walked = itertools.takewhile(END.__ne__, tokens[len(known) :].tolist())
    path = [token - len(WORDS) for token in walked if token >= len(WORDS)]
    return draw(grid.to_text(walls, start, goal)), path


def _is_prompt(tokens: np.ndarray, cells: int) -> bool:
    if len(tokens) < prompt_length(cells):
        return False
    kind, shown_cells = tokens[0] - len(TOKENS), tokens[1 : cells + 1]
    ends = tokens[[GOAL_AT, AGENT_AT]]
    named = ends >= len(WORDS)
    return bool(
        0 <= kind < len(KINDS)
        and np.all(shown_cells <= TOKENS.index("wall"))
        and tokens[GOAL_AT - 1] == TOKENS.index("goal")
        and tokens[AGENT_AT - 1] == TOKENS.index("agent")
        and np.all(named)
        and ends[0] != ends[1]
        and not np.any(shown_cells[ends - len(WORDS)])
    )
