"""What a perfect reader knows of a maze's walls: the floor under every loss on them.

Mazes of ``corridors`` with the carver ``uniform`` are uniform spanning trees on a lattice.
Kirchhoff (1847) counts these trees by a determinant; and that an edge is in the tree, given some
that are and some that aren't, has a probability equal to the resistance between its ends, in the
graph in which those that are in the tree conduct perfectly and those that aren't not at all.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxdqn.maze.generate import LATTICE
from jaxdqn.networks import pretrained


def board_entropy(height: int, width: int) -> float:
    """Return the entropy of the walls in nats, the logarithm of the number of spanning trees."""
    laplacian = _laplacian((height + 1) // LATTICE, (width + 1) // LATTICE)
    return float(np.linalg.slogdet(laplacian)[1])


def board_floor(env_kwargs: Mapping[str, Any]) -> float:
    """Return the least loss on the walls of an environment's mazes, nats; NaN if not known.

    A reader who knew which mazes are held out would have a little less; nothing tells one.
    """
    known = env_kwargs.get("generator") == "corridors" and env_kwargs.get("difficulty") is None
    if not known or env_kwargs.get("carver", "uniform") != "uniform":
        return math.nan
    return board_entropy(*pretrained.size(env_kwargs))


def board_probabilities(walls: np.ndarray) -> np.ndarray:
    """Return the probability that each cell is free, given the cells before it row by row.

    Args:
        walls: perfect mazes, booleans ``[L, H, W]``.

    Returns:
        float64 ``[L, H, W]``; 0 or 1 where nothing is left to chance.
    """
    count, height, width = walls.shape
    columns = (width + 1) // LATTICE
    conductance = np.linalg.inv(_laplacian((height + 1) // LATTICE, columns))
    # Effective resistances between all nodes of the lattice follow from this, the last grounded.
    green = np.broadcast_to(conductance, (count, *conductance.shape)).copy()
    free = np.zeros((count, height, width))
    free[:, ::LATTICE, ::LATTICE] = 1.0
    for row, column in np.ndindex(height, width):
        if (row + column) % LATTICE == 0:
            continue
        one = row // LATTICE * columns + column // LATTICE
        other = (row + 1) // LATTICE * columns + (column + 1) // LATTICE
        flow = _column(green, one) - _column(green, other)
        resistance = np.clip(_at(flow, one) - _at(flow, other), 0.0, 1.0)
        free[:, row, column] = resistance
        # Edges in the tree are contracted, others deleted: by Sherman and Morrison (1950).
        opened = ~walls[:, row, column]
        scale = np.where(opened, -1 / np.maximum(resistance, 1e-300), 0.0)
        scale = np.where(opened, scale, 1 / np.maximum(1 - resistance, 1e-300))
        green += scale[:, None, None] * flow[:, :, None] * flow[:, None, :]
    return free


def _laplacian(rows: int, columns: int) -> np.ndarray:
    """Return the lattice's Laplacian without its last row and column."""
    nodes = np.arange(rows * columns).reshape(rows, columns)
    laplacian = np.zeros((nodes.size, nodes.size))
    for one, other in ((nodes[1:], nodes[:-1]), (nodes[:, 1:], nodes[:, :-1])):
        for i, j in zip(one.flat, other.flat, strict=True):
            laplacian[i, i] += 1
            laplacian[j, j] += 1
            laplacian[i, j] -= 1
            laplacian[j, i] -= 1
    return laplacian[:-1, :-1]


def _column(green: np.ndarray, node: int) -> np.ndarray:
    size = green.shape[-1]
    return green[:, :, node] if node < size else np.zeros((len(green), size))


def _at(flow: np.ndarray, node: int) -> np.ndarray:
    return flow[:, node] if node < flow.shape[-1] else np.zeros(len(flow))
