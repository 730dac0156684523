"""Values of one maze in double precision, by linear systems: right for any discount, 1 included."""

from typing import Any

import numpy as np

from jaxdqn.maze import grid
from jaxdqn.maze.solve import Model

ENOUGH = 1e-9
"""Share of the largest value by which a better action must be better."""


def policy_value(model: Model, probabilities: np.ndarray) -> np.ndarray:
    """Return the value of a policy in every cell, float64 ``[H * W]``.

    With a discount of 1 it is infinite where the policy may come to go round for ever in cells
    whose rewards add up to something, and NaN where these cancel out on the way, or where it may
    come to infinities of both signs.

    Args:
        model: the maze.
        probabilities: of the actions in each cell, ``[H * W, A]``.
    """
    from scipy import sparse

    moves = _moves(model, probabilities)
    rewards = np.asarray(model.rewards, np.float64)
    unended = np.arange(len(rewards)) != int(model.goal)
    on, gained = moves @ sparse.diags(unended.astype(np.float64)), moves @ rewards
    on.eliminate_zeros()
    if float(model.discount) < 1.0:
        return _solve(on, gained, float(model.discount))
    values, finite = _endless(on, gained)
    here = np.flatnonzero(finite)
    values[here] = _solve(on[here][:, here], gained[here], 1.0)
    return values


def optimum(model: Model, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return V* and Q*, float64 ``[H * W]`` and ``[H * W, A]``, with a discount below 1.

    By policy iteration (Howard, 1960).

    Args:
        model: the maze.
        actions: what to begin with in each cell, int ``[H * W]``; the fewer are wrong the better.
    """
    every = np.eye(grid.NUM_ACTIONS)
    by_action = [_moves(model, np.tile(one, (len(actions), 1))) for one in every]
    unended = np.arange(len(actions)) != int(model.goal)
    cells = np.arange(len(actions))
    for _ in cells:  # far more often than it takes, but rounding mustn't keep it going
        values = policy_value(model, every[actions])
        worth = np.asarray(model.rewards, np.float64) + float(model.discount) * unended * values
        q = np.stack([moves @ worth for moves in by_action], axis=1)
        better = q.max(axis=1) > q[cells, actions] + ENOUGH * np.abs(q).max()
        if not better.any():
            break
        actions = np.where(better, q.argmax(axis=1), actions)
    return values, q


def _moves(model: Model, probabilities: np.ndarray) -> Any:
    """Return the chances of moving from cell to cell, a sparse matrix ``[H * W, H * W]``."""
    from scipy import sparse  # comes with JAX, and is read by nothing else here

    to = np.asarray(model.successors)
    slip, chances = float(model.slip), np.asarray(probabilities, np.float64)
    sideways = np.asarray(grid.SIDEWAYS)
    ways = [(to, (1.0 - slip) * chances)]
    ways += [(to[:, sideways[:, side]], slip / 2 * chances) for side in (0, 1)]
    cells = np.broadcast_to(np.arange(len(to))[:, None], to.shape).reshape(-1)
    rows, columns = np.tile(cells, len(ways)), np.concatenate([way.reshape(-1) for way, _ in ways])
    shares = np.concatenate([share.reshape(-1) for _, share in ways])
    there = shares > 0.0
    shape = (len(to), len(to))
    return sparse.csr_matrix((shares[there], (rows[there], columns[there])), shape=shape)


def _solve(on: Any, gained: np.ndarray, discount: float) -> np.ndarray:
    """Solve ``v = gained + discount * on v``."""
    from scipy import sparse
    from scipy.sparse.linalg import spsolve

    if not len(gained):
        return gained
    system = sparse.identity(len(gained), format="csc") - discount * on.tocsc()
    found: np.ndarray = np.atleast_1d(spsolve(system, gained))
    return found


def _endless(on: Any, gained: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return values without a discount where no system has them, and where one does.

    Args:
        on: chances of moving on from cell to cell, without those of ending.
        gained: mean reward of a step from each cell.
    """
    from scipy.sparse import csgraph

    count, ring = csgraph.connected_components(on, connection="strong")
    source, target = on.nonzero()
    left = np.zeros(count, bool)
    left[ring[source[ring[source] != ring[target]]]] = True
    left[ring[np.asarray(on.sum(axis=1)).reshape(-1) < 1.0 - ENOUGH]] = True
    rate, closed = np.zeros(len(gained)), ~left[ring]
    for number in np.flatnonzero(~left):
        inside = np.flatnonzero(ring == number)
        if gained[inside].any():
            rate[inside] = _rate(on[inside][:, inside], gained[inside])
    up, down = (_leading_to(on, sign * rate > 0.0) for sign in (1.0, -1.0))
    lost = (up & down) | _leading_to(on, np.isnan(rate))
    values = np.where(up, np.inf, np.where(down, -np.inf, 0.0))
    values[lost] = np.nan
    # Where it goes round for nothing the value is 0, and the system has more than one solution.
    return values, ~(up | down | lost | closed)


def _rate(on: Any, gained: np.ndarray) -> float:
    """Return the mean reward of a step going round for ever, NaN where it is 0."""
    from scipy import sparse
    from scipy.sparse.linalg import spsolve

    # How often it is in each cell: what doesn't change by a step, and adds up to 1.
    system = (sparse.identity(len(gained)) - on.T).tolil()
    system[-1] = 1.0
    one = np.zeros(len(gained))
    one[-1] = 1.0
    found = float(np.atleast_1d(spsolve(system.tocsc(), one)) @ gained)
    return found if abs(found) > ENOUGH * np.abs(gained).max() else np.nan


def _leading_to(on: Any, cells: np.ndarray) -> np.ndarray:
    """Return from which cells some of ``cells``, booleans, may be reached."""
    while True:
        more = cells | (on @ cells > 0.0)
        if (more == cells).all():
            return more
        cells = more
