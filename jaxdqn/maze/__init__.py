"""Mazes: rules, generation, exact solution, and the gymnax environment ``Maze-jaxdqn``.

Importing this module registers the environment, so that ``gymnax.make`` finds it.
"""

import gymnax

from jaxdqn.maze import render
from jaxdqn.maze.env import Maze, MazeParams, MazeState
from jaxdqn.maze.grid import parse, to_text
from jaxdqn.maze.levels import Level, Levels, bank, level
from jaxdqn.maze.observe import TOKENS
from jaxdqn.maze.solve import distances, shortest_path

__all__ = [
    "TOKENS",
    "Level",
    "Levels",
    "Maze",
    "MazeParams",
    "MazeState",
    "bank",
    "distances",
    "level",
    "parse",
    "render",
    "shortest_path",
    "to_text",
]

if "Maze-jaxdqn" not in gymnax.registered_envs:
    gymnax.register("Maze-jaxdqn", Maze)
