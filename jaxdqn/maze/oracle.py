"""How far what was learned is from what is true, on mazes solved exactly."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from jaxdqn.maze import solve
from jaxdqn.types import Array

if TYPE_CHECKING:
    from jaxdqn.maze.env import Maze, MazeParams

THRESHOLDS = 512
"""Returns at which distributions are compared."""

ROOM = 2
"""Of these above what can be had."""

HORIZON = 1_000.0
"""Steps, each of them counted whole, whose returns the thresholds span."""

AT_ONCE = 16
"""Levels consulted at once: 128 of 13×13 with a residual network of 64 channels took 56 GB."""


def consult(
    maze: "Maze",
    params: "MazeParams",
    discount: float | Array,
    act: Callable[[Array], Array],
    q_values: Callable[[Array], Array] | None,
    most: int,
) -> dict[str, Array]:
    """Compare action values with the exact ones, inside a compiled program.

    Goals are those of the levels; a goal drawn anew in each episode is not followed.

    Args:
        maze: the environment.
        params: its numbers, with the bank of levels.
        discount: discount factor.
        act: ``(obs) -> action []``, greedy, for one observation; read where there are no values.
        q_values: ``(obs) -> [A]`` for one observation, or None.
        most: levels to compare on, from the bank's first.

    Returns:
        ``regret``, and of action values ``q_error`` and ``q_bias``, float32 ``[]`` each; see
        ``metrics.Evaluation``.
    """

    def of_level(level: Array) -> dict[str, Array]:
        model, seen, counts, starts = _look(maze, params, level, discount)
        exact = solve.optimal_q(model)

        def regret(actions: Array) -> dict[str, Array]:
            lost = exact.max(axis=1) - solve.policy_value(model, actions)
            return {"regret": jnp.mean(lost, where=starts)}

        if q_values is None:
            return regret(jax.vmap(act)(seen))
        learned = jax.vmap(q_values)(seen)
        return {
            **regret(jnp.argmax(learned, axis=1)),
            "q_error": jnp.mean((learned - exact) ** 2, where=counts[:, None]),
            "q_bias": jnp.mean(learned.max(axis=1) - exact.max(axis=1), where=counts),
        }

    means: dict[str, Array] = _over_levels(of_level, params, most)
    if q_values is not None:
        means["q_error"] = jnp.sqrt(means["q_error"])
    return means


def judge_policy(
    maze: "Maze",
    params: "MazeParams",
    discount: float | Array,
    policy: Callable[[Array], tuple[Array, Array]],
    most: int,
) -> dict[str, Array]:
    """Compare a policy that acts by chance with the best one, and its learned with its exact value.

    Goals are those of the levels, as for ``consult``.

    Args:
        maze: the environment.
        params: its numbers, with the bank of levels.
        discount: discount factor.
        policy: ``(obs) -> (probabilities [A], value [])`` for one observation.
        most: levels to compare on, from the bank's first.

    Returns:
        ``policy_regret`` and ``value_error``, float32 ``[]`` each; see ``metrics.Evaluation``.
    """

    def of_level(level: Array) -> tuple[Array, Array]:
        model, seen, counts, starts = _look(maze, params, level, discount)
        probabilities, learned = jax.vmap(policy)(seen)
        worth = solve.stochastic_value(model, probabilities)
        lost = jnp.mean(solve.optimal_q(model).max(axis=1) - worth, where=starts)
        return lost, jnp.mean((learned - worth) ** 2, where=counts)

    lost, error = _over_levels(of_level, params, most)
    return {"policy_regret": lost, "value_error": jnp.sqrt(error)}


def _look(
    maze: "Maze", params: "MazeParams", level: Array, discount: float | Array
) -> tuple[solve.Model, Array, Array, Array]:
    """Return a level, what is seen in its cells, which of them count, and which are starts."""
    cells = params.levels.cells[level]
    goal = cells[-1]
    model = maze.model(params, level, goal, discount)
    # The goal has no value of its own; padding repeats the goal.
    counts = jnp.zeros(len(model.rewards), bool).at[cells].set(True).at[goal].set(False)
    starts = counts if maze.random_start else jnp.arange(len(counts)) == cells[0]
    return model, maze.observe_everywhere(params, level, goal), counts, starts


def _over_levels(of_level: Callable[[Array], Any], params: "MazeParams", most: int) -> Any:
    """Return means over the bank's first levels."""
    count = min(most, len(params.levels))
    by_level = jax.lax.map(of_level, jnp.arange(count), batch_size=min(count, AT_ONCE))
    return jax.tree.map(jnp.mean, by_level)


def return_distance(
    maze: "Maze",
    params: "MazeParams",
    discount: float | Array,
    returns: Callable[[Array], tuple[Array, Array]],
) -> Array:
    """Return the Wasserstein-1 distance between learned and true returns, float32 ``[]``.

    It is that at the start of the bank's first level, of the action which is best there on
    average; the true distribution is that of acting so in every cell, with the maze's slips and
    its noise of rewards, as exact as ``solve.shortfall`` says, whose spacing is a 509th of all that
    can be had: coarse where steps cost and the discount is near 1. It is NaN where returns go
    beyond what ``HORIZON`` steps come to, those of a policy that never ends with such a discount.

    Args:
        maze: the environment.
        params: its numbers, with the bank of levels.
        discount: discount factor.
        returns: ``(obs) -> (returns [A, K], probabilities [A, K])`` for one observation.
    """
    level = jnp.int32(0)
    start, goal = params.levels.cells[level, 0], params.levels.cells[level, -1]
    model = maze.model(params, level, goal, discount)
    found, chances = jax.vmap(returns)(maze.observe_everywhere(params, level, goal))
    actions = jnp.argmax(jnp.sum(found * chances, axis=-1), axis=1)
    learned, chance = found[start, actions[start]], chances[start, actions[start]]
    low, high = _bounds(model, params.reward_noise)
    low, high = jnp.minimum(low, learned.min()), jnp.maximum(high, learned.max())
    high = jnp.maximum(high, low + 1e-3)
    # Above the highest return there is room for what interpolation spreads, as it does to those
    # who reach the goal at once, and have it.
    spacing = (high - low) / (THRESHOLDS - 1 - ROOM)
    thresholds = low + spacing * jnp.arange(THRESHOLDS)
    true = solve.shortfall(model, params.reward_noise, actions, thresholds)[start]
    short = jnp.maximum(thresholds[:, None] - learned[None, :], 0.0) @ chance
    # The slope of a shortfall is a distribution function; between two is the distance.
    distance = jnp.sum(jnp.abs(jnp.diff(short) - jnp.diff(true)))
    within = (true[0] <= spacing) & (true[-1] - true[-2] >= 0.99 * spacing)
    return jnp.where(within, distance, jnp.nan)


def _bounds(model: solve.Model, noise: float | Array) -> tuple[Array, Array]:
    """Return what no return of at most ``HORIZON`` steps, discounted, is below or above."""
    steps = jnp.minimum(1.0 / jnp.maximum(1.0 - model.discount, 1e-9), HORIZON)
    last = model.rewards[model.goal]
    others = jnp.where(jnp.arange(len(model.rewards)) == model.goal, 0.0, model.rewards)
    noise = jnp.abs(noise)
    least = jnp.minimum(others.min() - noise, 0.0) * steps + jnp.minimum(last - noise, 0.0)
    most = jnp.maximum(others.max() + noise, 0.0) * steps + jnp.maximum(last + noise, 0.0)
    return least, most
