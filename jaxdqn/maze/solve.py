"""Mazes solved exactly: distances, optimal values, the value of a policy."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxdqn.maze import grid
from jaxdqn.types import Array

TOLERANCE = 1e-9
"""Share of the largest value that a sweep's remaining error may have, in exact arithmetic."""
MAX_SWEEPS = 100_000
"""Bound on sweeps for discounts near 1, where they need not converge: NaN where they have not."""
WATCHED = 997
"""Sweeps after that many, twice, by whose changes it is told how far values are from their limits;
a prime, so that what goes in circles is seen to move."""
RETURN_SWEEPS = 10_000
"""Bound on those of returns' distributions, each of hundreds of numbers for each cell."""
FAR = 1e-3
"""Share of a value by which it may be from its limit, and is no NaN."""


class Model(NamedTuple):
    """A maze as a Markov decision process; one maze, vmap for more.

    Attributes:
        successors: cell reached by each direction without slipping, int32 ``[H * W, A]``.
        rewards: reward of being in a cell after a step, float32 ``[H * W]``.
        goal: the cell that ends an episode, int32 ``[]``.
        slip: probability of a sideways direction, ``[]``.
        discount: discount factor, ``[]``.
    """

    successors: Array
    rewards: Array
    goal: Array
    slip: float | Array
    discount: float | Array


@jax.jit
def successors(walls: Array) -> Array:
    """Return the cell that each move leads to, int32 ``[H * W, A]``, from walls ``[H, W]``."""
    moves = jax.vmap(jax.vmap(grid.move, (None, None, 0)), (None, 0, None))
    return moves(walls, jnp.arange(walls.size), jnp.arange(grid.NUM_ACTIONS))


@jax.jit
def model(
    walls: Array,
    goal: Array,
    discount: float | Array,
    goal_reward: float | Array,
    step_cost: float | Array,
    cell_rewards: float | Array,
    slip: float | Array,
) -> Model:
    """Return a maze ``[H, W]`` as a Markov decision process, by the rules in ``grid``."""
    height, width = walls.shape
    cells = jnp.arange(height * width)
    return Model(
        successors=successors(walls),
        rewards=grid.reward((height, width), cells, goal, goal_reward, step_cost, cell_rewards),
        goal=goal,
        slip=slip,
        discount=discount,
    )


@jax.jit
def distances(walls: Array, goal: Array) -> Array:
    """Return the fewest moves from every cell to the goal, int32 ``[H * W]``.

    Cells that can't reach the goal, walls among them, have distance ``H * W``.

    Args:
        walls: booleans ``[H, W]``.
        goal: cell, int32 ``[]``.
    """
    reached = successors(walls)
    start = jnp.where(jnp.arange(walls.size) == goal, 0, walls.size).astype(jnp.int32)

    def relax(before: Array) -> Array:
        after = jnp.minimum(before, 1 + before[reached].min(axis=1))
        return jnp.where(walls.reshape(-1), walls.size, jnp.minimum(after, walls.size))

    return _repeat(relax, start, jnp.int32(walls.size))


@jax.jit
def optimal_q(model: Model) -> Array:
    """Return Q*, float32 ``[H * W, A]``, by value iteration (Bellman, 1957).

    It sweeps until nothing changes, or until what is left to change is below ``TOLERANCE`` of the
    values; for a discount of 1 or hardly less, at most ``MAX_SWEEPS`` times: cells whose values
    still change then are NaN. A time limit has no part in it, since truncation is bootstrapped. In
    float32 what rounding leaves is some 6e-8 · max |Q*| / (1 - discount).
    """

    def sweep(values: Array) -> Array:
        return backup(model, values).max(axis=1)

    values = _repeat(sweep, jnp.zeros_like(model.rewards), _sweeps(model.discount))
    return jnp.where(_moving(model, sweep, values)[:, None], jnp.nan, backup(model, values))


@jax.jit
def policy_value(model: Model, actions: Array) -> Array:
    """Return the exact value of a deterministic policy, float32 ``[H * W]``.

    NaN in cells where ``MAX_SWEEPS`` were too few, as of a policy that never ends with a discount
    of 1.

    Args:
        model: the maze.
        actions: what the policy does in each cell, int ``[H * W]``.
    """

    def sweep(values: Array) -> Array:
        return jnp.take_along_axis(backup(model, values), actions[:, None], axis=1)[:, 0]

    values = _repeat(sweep, jnp.zeros_like(model.rewards), _sweeps(model.discount))
    return jnp.where(_moving(model, sweep, values), jnp.nan, values)


def stochastic_value(model: Model, probabilities: Array) -> Array:
    """Return the exact value of a policy that acts by chance, float32 ``[H * W]``.

    It solves ``v = r + discount * P v`` by sweeps, with NaN as in ``policy_value``. Derivatives in
    the probabilities and in the maze's numbers are those of the solution, by sweeps of the
    transposed system.

    Args:
        model: the maze.
        probabilities: of the actions in each cell, ``[H * W, A]``.
    """
    unpaid = model._replace(rewards=jnp.zeros_like(model.rewards))

    def mean(q: Array) -> Array:
        return jnp.sum(probabilities * q, axis=1)

    def solve(system: Callable[[Array], Array], constant: Array) -> Array:
        # The system is the identity less what is swept.
        return _repeat(
            lambda values: constant + values - system(values), constant, _sweeps(model.discount)
        )

    values: Array = lax.custom_linear_solve(
        lambda values: values - mean(backup(unpaid, values)),
        mean(backup(model, jnp.zeros_like(model.rewards))),
        solve,
        solve,
    )
    still, chances = lax.stop_gradient((model, probabilities))

    def sweep(values: Array) -> Array:
        return jnp.sum(chances * backup(still, values), axis=1)

    return jnp.where(_moving(still, sweep, lax.stop_gradient(values)), jnp.nan, values)


def shortfall(model: Model, noise: float | Array, actions: Array, thresholds: Array) -> Array:
    """Return how much a policy's return is expected to fall short of thresholds, ``[H * W, N]``.

    That is ``E[max(x - G, 0)]`` for each threshold x, which says all about the distribution of G:
    its slope is the probability of a return below x. A return of ``r + discount * G`` falls short
    of x by ``discount`` times what G does of ``(x - r) / discount``, so the distribution is found
    by backups as values are (Bellman, 1957); between thresholds it is taken for linear, which moves
    no mean and leaves a distance of at most ``spacing / (2 sqrt(1 - discount²))``. What comes after
    ``RETURN_SWEEPS`` steps is left out.

    Args:
        model: the maze.
        noise: added to or taken from each reward, with even chances.
        actions: what the policy does in each cell, int ``[H * W]``.
        thresholds: evenly spaced, rising, of which none of the returns lies outside, ``[N]``.
    """
    # Not from two of them, whose difference is rounded as they are, 511 times over.
    spacing = (thresholds[-1] - thresholds[0]) / (len(thresholds) - 1)
    discount = jnp.maximum(model.discount, 1e-6)
    cells = jnp.arange(len(actions))
    nothing = jnp.maximum(thresholds, 0.0)
    # Most mazes have no noise, of which both signs would be the same.
    signs = jnp.where(noise == 0.0, 1, 2)

    def after(kept: Array, reward: Array) -> Array:
        # Counted in thresholds, so that without a reward or a discount nothing moves: what rounding
        # moves adds up over the sweeps.
        moved = (reward - (1.0 - discount) * thresholds[0]) / spacing
        wanted = (jnp.arange(len(thresholds)) - moved) / discount
        place = jnp.clip(wanted, 0.0, len(thresholds) - 1.0)
        below = jnp.minimum(place.astype(jnp.int32), len(thresholds) - 2)
        part = place - below
        beyond = spacing * jnp.maximum(wanted - (len(thresholds) - 1.0), 0.0)
        return discount * ((1 - part) * kept[below] + part * kept[below + 1] + beyond)

    def sweep(kept: Array) -> Array:
        goes_on = (cells != model.goal)[:, None]
        kept = jnp.where(goes_on, kept, nothing)

        def by_sign(turn: Array, arrived: Array) -> Array:
            rewards = model.rewards + (1.0 - 2.0 * turn) * noise
            return arrived + jax.vmap(after)(kept, rewards) / signs

        arrived = lax.fori_loop(0, signs, by_sign, jnp.zeros_like(kept))
        straight = jnp.take_along_axis(model.successors, actions[:, None], axis=1)[:, 0]
        sides = jnp.asarray(grid.SIDEWAYS)[actions]
        sideways = arrived[jnp.take_along_axis(model.successors, sides, axis=1)].mean(axis=1)
        return (1.0 - model.slip) * arrived[straight] + model.slip * sideways

    start = jnp.broadcast_to(nothing, (len(actions), len(thresholds)))
    left = 1e-4
    # What is still to come is at most what came last, discounted for ever.
    enough = left * (thresholds[-1] - thresholds[0]) * (1.0 - discount) / discount
    most = jnp.minimum(_sweeps(model.discount, left), RETURN_SWEEPS)
    return _repeat(sweep, start, most, enough)


def backup(model: Model, values: Array) -> Array:
    """Return the action values ``[H * W, A]`` of one step followed by ``values [H * W]``."""
    goes_on = jnp.arange(values.shape[0]) != model.goal
    worth = model.rewards + model.discount * jnp.where(goes_on, values, 0.0)
    straight = worth[model.successors]
    sideways = straight[:, np.asarray(grid.SIDEWAYS)].mean(axis=-1)
    return (1.0 - model.slip) * straight + model.slip * sideways


def _sweeps(discount: float | Array, tolerance: float = TOLERANCE) -> Array:
    return jnp.minimum(jnp.ceil(_needed(discount, tolerance)), MAX_SWEEPS).astype(jnp.int32)


def _needed(discount: float | Array, tolerance: float = TOLERANCE) -> Array:
    return jnp.log(tolerance) / jnp.log(jnp.clip(discount, 1e-6, 1.0 - 1e-6))


def _moving(model: Model, sweep: Callable[[Array], Array], values: Array) -> Array:
    """Return where too few sweeps were made, and values are further than ``FAR`` from their limits.

    What is still to come falls from sweep to sweep by about the same factor.
    """
    more = jnp.where(_needed(model.discount) > MAX_SWEEPS, WATCHED, 0)

    def watch(before: Array, _: None) -> tuple[Array, Array]:
        after = lax.fori_loop(0, more, lambda _, values: sweep(values), before)
        return after, jnp.abs(after - before)

    _, (first, second) = lax.scan(watch, values, length=2)
    size = jnp.abs(values)
    moved = second > 1e-6 * size + 1e-7 * jnp.max(size)  # by more than rounding
    return moved & (second**2 > FAR * size * (first - second))


def _repeat(
    sweep: Callable[[Array], Array], start: Array, most: Array, enough: float | Array = 0.0
) -> Array:
    """Sweep until nothing changes by more than ``enough``, at most ``most`` times."""

    def unsettled(carry: tuple[Array, Array, Array]) -> Array:
        _, changed, count = carry
        return changed & (count < most)

    def step(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        before, _, count = carry
        after = sweep(before)
        return after, jnp.any(jnp.abs(after - before) > enough), count + 1

    return lax.while_loop(unsettled, step, (start, jnp.array(True), jnp.int32(0)))[0]
