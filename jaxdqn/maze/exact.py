"""Exact values of one maze: from a level, a text or walls, and a discount, to plain arrays.

A maze is a ``Level`` (of a bank, or drawn), a text that ``levels.draw`` reads, or walls, booleans
``[H, W]``, with start and goal in the first and last corner. Results have a row per cell, row by
row: ``q.reshape(H, W, 4)`` is the grid. Numbers may be traced: ``jax.vmap`` and ``jax.jit`` go over
discounts, the rules' numbers, actions and walls ``[L, H, W]``, all but text.
"""

from typing import Any, TypedDict, Unpack

import jax
import jax.numpy as jnp
import numpy as np

from jaxdqn.errors import ConfigError, brief, shown
from jaxdqn.maze import check, direct, given, grid, solve
from jaxdqn.maze.given import Drawn
from jaxdqn.maze.levels import moves_to
from jaxdqn.precision import in_usual_numbers
from jaxdqn.types import Array

Number = float | np.floating | np.integer | np.ndarray | Array
"""One number; it may be traced."""

LARGEST = float(np.finfo(np.float32).max)
NEAR_ONE = 0.999
"""Discount from which on rounding of float32 shows in optimal values."""

_of_chances = jax.jit(solve.stochastic_value)


class Rules(TypedDict, total=False):
    """The numbers of ``env_params`` that values depend on; see ``model``."""

    goal_reward: Number
    step_cost: Number
    cell_rewards: Number
    slip: Number


@in_usual_numbers
def model(
    level: Drawn,
    discount: Number,
    *,
    goal_reward: Number = 10.0,
    step_cost: Number = 0.0,
    cell_rewards: Number = 0.0,
    slip: Number = 0.0,
) -> solve.Model:
    """Return a maze as a Markov decision process, as the environment has it.

    Noise of rewards has no part in it, since it averages to 0, and neither has a time limit, since
    truncation is bootstrapped.

    Args:
        level: the maze.
        discount: discount factor, 0 to 1.
        goal_reward: for entering the goal, which ends an episode.
        step_cost: subtracted at every step.
        cell_rewards: for being in a cell after a step, ``[H, W]``, or one number for all.
        slip: probability of moving sideways instead.

    Raises:
        ConfigError: what is no maze, or a number that can't be.
    """
    walls, _, goal = given.as_walls(level)
    _check_goal(walls, goal)
    numbers = {
        "discount": discount, "goal_reward": goal_reward, "step_cost": step_cost,
        "cell_rewards": cell_rewards, "slip": slip,
    }  # fmt: skip
    for name, value in numbers.items():
        shape = np.shape(check.as_array(value))
        if name == "cell_rewards" and shape not in ((), walls.shape):
            raise ConfigError(
                f"cell_rewards has shape {shape}: "
                f"give one number or {walls.shape[0]} rows of {walls.shape[1]}."
            )
        if name != "cell_rewards" and shape:
            raise ConfigError(
                f"{name} (an array of shape {shape}) must be one number: "
                "map over the array with jax.vmap."
            )
        low, high = (0.0, 1.0) if name in ("discount", "slip") else (-LARGEST, LARGEST)
        check.number(name, value, low, high)
    return solve.model(walls, goal, **{k: jnp.asarray(v, jnp.float32) for k, v in numbers.items()})


@in_usual_numbers
def distances(level: Drawn, goal: Number | None = None) -> Array:
    """Return the fewest moves from every cell to the goal, int32 ``[H * W]``.

    Cells that can't reach the goal, walls among them, have distance ``H * W``.

    Args:
        level: the maze.
        goal: another cell than the maze's own goal, int ``[]``.

    Raises:
        ConfigError: what is no maze, or a goal that is no free cell.
    """
    walls, _, own = given.as_walls(level)
    goal = own if goal is None else goal
    _check_goal(walls, goal)
    return solve.distances(walls, jnp.asarray(goal, jnp.int32))


def shortest_path(level: Drawn) -> int:
    """Return the fewest moves from the start of a maze to its goal.

    It is ``H * W``, as in ``distances``, where there is no way, which walls as an array may lack.

    Raises:
        ConfigError: what is no maze, walls that are traced, or a goal that is no free cell.
    """
    walls, start, goal = given.as_walls(level)
    if isinstance(walls, jax.core.Tracer):
        raise ConfigError(
            "level (traced) has walls that aren't known yet: write maze.distances(level)[0], which "
            "is compiled."
        )
    _check_goal(walls, goal)
    return int(moves_to(np.asarray(walls)[None], goal)[0, start])


@in_usual_numbers
def optimal_q(level: Drawn, discount: Number, **rules: Unpack[Rules]) -> Array:
    """Return Q*, float32 ``[H * W, A]``; actions are 0 up, 1 down, 2 left, 3 right.

    Rows of walls say what one would get who stood there. The goal's row means nothing: an
    episode ends there. NaN where it isn't finite, or, of numbers that are traced, where a discount
    near 1 would take too many sweeps.

    Args:
        level: the maze.
        discount: discount factor.
        rules: ``goal_reward``, ``step_cost``, ``cell_rewards`` and ``slip``, see ``model``.

    Raises:
        ConfigError: as ``model`` does.
    """
    problem = model(level, discount, **rules)
    if _is_traced(problem) or not NEAR_ONE < float(discount) < 1.0:
        return solve.optimal_q(problem)
    return jnp.asarray(_optimum(level, problem, discount)[1], jnp.float32)


@in_usual_numbers
def policy_value(
    level: Drawn, actions: np.ndarray | Array, discount: Number, **rules: Unpack[Rules]
) -> Array:
    """Return the exact value of a policy in every cell, float32 ``[H * W]``.

    It solves Bellman's linear system in double precision. With a discount of 1 the value is
    infinite where the policy may never end and its rewards add up, NaN where they cancel out.
    Numbers that are traced go through ``solve.policy_value``, and are NaN where a discount near 1
    would take it too long; of probabilities that has exact derivatives.

    Args:
        level: the maze.
        actions: what is done in each cell, int ``[H * W]``, or with what probability each action
            is, float ``[H * W, A]``.
        discount: discount factor.
        rules: ``goal_reward``, ``step_cost``, ``cell_rewards`` and ``slip``, see ``model``.

    Raises:
        ConfigError: as ``model`` does, or actions that are neither.
    """
    return jnp.asarray(_worth(model(level, discount, **rules), actions, discount), jnp.float32)


@in_usual_numbers
def regret(
    level: Drawn, actions: np.ndarray | Array, discount: Number, **rules: Unpack[Rules]
) -> Array:
    """Return how much value a policy loses at the start, float32 ``[]``.

    Infinite or NaN where the values are of which it is the difference. Of any other cell it is
    ``optimal_q(...).max(axis=1) - policy_value(...)``.

    Args:
        level: the maze.
        actions: what is done in each cell, as for ``policy_value``.
        discount: discount factor.
        rules: ``goal_reward``, ``step_cost``, ``cell_rewards`` and ``slip``, see ``model``.

    Raises:
        ConfigError: as ``policy_value`` does.
    """
    problem = model(level, discount, **rules)
    start = given.as_walls(level)[1]
    worth = _worth(problem, actions, discount)
    if _is_traced(problem, actions) or float(discount) == 1.0:
        return (solve.optimal_q(problem).max(axis=1) - worth)[start]
    # Of the best policy's own linear system, so that no difference is rounding.
    return jnp.float32((_optimum(level, problem, discount)[0] - worth)[start])


def _check_goal(walls: Array, goal: Number) -> None:
    number = check.as_array(goal)
    if not check.is_whole(number) or number.shape:
        raise ConfigError(
            f"goal ({shown(goal)}) must be the number of one cell: "
            f"choose one from 0 to {walls.size - 1}."
        )
    if isinstance(number, jax.core.Tracer):
        return
    cell = int(number)
    if not 0 <= cell < walls.size:
        raise ConfigError(f"goal ({cell}) is no cell: choose one from 0 to {walls.size - 1}.")
    if not isinstance(walls, jax.core.Tracer) and np.asarray(walls).reshape(-1)[cell]:
        raise ConfigError(f"goal ({cell}) is a wall: choose a free cell, in a text by 'G'.")


def _worth(problem: solve.Model, actions: Any, discount: Number) -> Any:
    """Return the value of a policy ``[H * W]``, refusing what is none."""
    known = check.as_array(actions) if hasattr(actions, "dtype") else None
    chances = known is not None and known.ndim == 2 and known.dtype.kind == "f"
    cells = problem.successors.shape[0]
    (_check_probabilities if chances else _check_actions)(actions, cells)
    if not _is_traced(problem, actions):
        table = np.asarray(actions) if chances else np.eye(grid.NUM_ACTIONS)[np.asarray(actions)]
        return direct.policy_value(_precise(problem, discount), table)
    if chances:
        return _of_chances(problem, jnp.asarray(actions, jnp.float32))
    return solve.policy_value(problem, jnp.asarray(actions, jnp.int32))


def _is_traced(*values: Any) -> bool:
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(values))


def _precise(problem: solve.Model, discount: Number) -> solve.Model:
    """Return a maze with all digits of a discount, of which 1 less it is what counts."""
    return problem._replace(discount=float(discount))


def _optimum(level: Drawn, problem: solve.Model, discount: Number) -> tuple[np.ndarray, np.ndarray]:
    """Return V* and Q* of a discount below 1, float64 ``[H * W]`` and ``[H * W, A]``."""
    if float(discount) > NEAR_ONE:
        # Sweeps would be many, and the shortest way is nearly best where little is discounted.
        moves = solve.distances(given.as_walls(level)[0], problem.goal)
        first = moves[problem.successors].argmin(axis=1)
    else:
        first = solve.optimal_q(problem).argmax(axis=1)
    return direct.optimum(_precise(problem, discount), np.asarray(first))


def _check_probabilities(chances: Any, cells: int) -> None:
    if chances.shape != (cells, grid.NUM_ACTIONS):
        raise ConfigError(
            f"actions has shape {chances.shape}: give probabilities of each cell's "
            f"{grid.NUM_ACTIONS} actions, shape ({cells}, {grid.NUM_ACTIONS})."
        )
    if isinstance(chances, jax.core.Tracer):
        return
    found = np.asarray(chances)
    sums = found.sum(axis=1)
    if not (np.all(found >= 0) and np.all(np.abs(sums - 1) < 1e-3)):
        worst = int(np.argmax(np.where(found.min(axis=1) < 0, np.inf, np.abs(sums - 1))))
        raise ConfigError(
            f"actions of cell {worst} ({shown(found[worst].tolist())}) are no probabilities: make "
            "them 0 or more, their sum 1, as jax.nn.softmax does."
        )


def _check_actions(actions: Any, cells: int) -> None:
    given = isinstance(actions, jax.Array | np.ndarray) and not np.ma.is_masked(actions)
    if not given or not check.is_whole(check.as_array(actions)):
        said = str(actions.dtype) if given else brief(actions)
        raise ConfigError(
            f"actions ({said}) must be an array of whole numbers: "
            "give one action for each cell, such as q.argmax(axis=1)."
        )
    if actions.shape != (cells,):
        raise ConfigError(
            f"actions has shape {actions.shape}: give one for each of the {cells} cells, "
            f"shape ({cells},)."
        )
    if isinstance(actions, jax.core.Tracer):
        return
    table = np.asarray(actions)
    wrong = table[(table < 0) | (table >= grid.NUM_ACTIONS)]
    if wrong.size:
        raise ConfigError(
            f"actions contains {wrong[0]}: use 0 up, 1 down, 2 left, 3 right "
            f"(0 to {grid.NUM_ACTIONS - 1})."
        )
