r"""Mazes: rules, generation, exact solution, and the gymnax environments ``Maze-jaxdqn`` and, to
probe memory, ``TMaze-jaxdqn``.

>>> level = maze.draw("S..#\n.#..\n...G")
>>> q = maze.optimal_q(level, discount=0.95)                # [H * W, A]
>>> maze.regret(level, q.argmax(axis=1), discount=0.95)     # 0: nothing is lost

Importing this module registers the environments, so that ``gymnax.make`` finds them.
"""

from jaxdqn.deferred import gymnax
from jaxdqn.maze import render, text
from jaxdqn.maze.env import Maze, MazeParams, MazeState
from jaxdqn.maze.exact import (
    distances,
    model,
    optimal_q,
    policy_value,
    regret,
    shortest_path,
)
from jaxdqn.maze.grid import parse, to_text
from jaxdqn.maze.levels import Level, Levels, bank, draw, level
from jaxdqn.maze.t_maze import TMaze, TMazeParams, TMazeState
from jaxdqn.maze.text import TOKENS

__all__ = [
    "TOKENS",
    "Level",
    "Levels",
    "Maze",
    "MazeParams",
    "MazeState",
    "TMaze",
    "TMazeParams",
    "TMazeState",
    "bank",
    "distances",
    "draw",
    "level",
    "model",
    "optimal_q",
    "parse",
    "policy_value",
    "regret",
    "render",
    "shortest_path",
    "text",
    "to_text",
]

for _name, _kind in {"Maze-jaxdqn": Maze, "TMaze-jaxdqn": TMaze}.items():
    if _name not in gymnax.registered_envs:
        gymnax.register(_name, _kind)
