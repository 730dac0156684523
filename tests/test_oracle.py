"""The exact oracle against value iteration in plain NumPy, and against its own equation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import MOVES

from jaxdqn import maze
from jaxdqn.maze import solve

SIDES = [(2, 3), (2, 3), (0, 1), (0, 1)]


def model_of(walls, goal, rewards, slip, discount) -> solve.Model:
    return solve.Model(solve.successors(walls), rewards, goal, slip, discount)


def numpy_q(walls, goal, rewards, slip, discount):
    """Value iteration in double precision, cell by cell."""
    height, width = walls.shape
    size = walls.size
    next_cell = np.zeros((size, 4), int)
    for cell in range(size):
        for action, (dr, dc) in enumerate(MOVES):
            row, column = cell // width + dr, cell % width + dc
            inside = 0 <= row < height and 0 <= column < width
            free = inside and not walls[row, column]
            next_cell[cell, action] = row * width + column if free else cell
    chance = np.zeros((size, 4, size))
    for cell in range(size):
        for action in range(4):
            chance[cell, action, next_cell[cell, action]] += 1 - slip
            for side in SIDES[action]:
                chance[cell, action, next_cell[cell, side]] += slip / 2
    values = np.zeros(size)
    for _ in range(100_000):
        worth = rewards + discount * np.where(np.arange(size) == goal, 0.0, values)
        q = chance @ worth
        if np.abs(q.max(1) - values).max() < 1e-12:
            break
        values = q.max(1)
    return q


def random_problems(count: int, seed: int):
    """Mazes of mixed kinds, sizes, slip, costs, discounts and reward cells."""
    rng = np.random.default_rng(seed)
    for index in range(count):
        generator = ("empty", "scatter", "corridors", "braid", "rooms")[index % 5]
        height, width = ((5, 5), (7, 9), (3, 11))[index // 5 % 3]
        walls = np.asarray(maze.bank(generator, height, width, seed=seed + index).walls[0])
        rewards = np.full(walls.size, -rng.choice([0.0, 0.1]))
        rewards += rng.choice([0.0, 0.0, 1.0, -2.0], size=walls.size)
        goal = walls.size - 1
        rewards[goal] += 10.0
        yield walls, goal, rewards, rng.choice([0.0, 0.1, 0.7]), rng.choice([0.9, 0.95])


@pytest.mark.parametrize("seed", [0, 1_000])
def test_optimal_values_equal_value_iteration_in_numpy(seed):
    oracle = jax.jit(lambda *problem: solve.optimal_q(model_of(*problem)))
    for walls, goal, rewards, slip, discount in random_problems(100, seed):
        found = oracle(walls, goal, jnp.asarray(rewards, jnp.float32), slip, discount)
        expected = numpy_q(walls, goal, rewards, slip, discount)
        assert np.abs(found - expected).max() < 1e-4


def test_optimal_values_satisfy_their_own_equation():
    for problem in random_problems(30, 7):
        walls, goal, rewards, slip, discount = problem
        model = model_of(walls, goal, jnp.asarray(rewards, jnp.float32), slip, discount)
        q = solve.optimal_q(model)
        scale = max(1.0, float(jnp.abs(q).max()))
        assert jnp.abs(solve.backup(model, q.max(1)) - q).max() < 1e-5 * scale


@pytest.mark.parametrize("generator", ["empty", "scatter", "corridors", "braid", "rooms"])
def test_greedy_on_optimal_values_walks_a_shortest_path(generator):
    levels = maze.bank(generator, 9, 9, count=1 if generator == "empty" else 20, seed=5)
    goal_rewards = jnp.zeros(81).at[80].set(10.0)

    def follow(walls):
        model = model_of(walls, 80, goal_rewards, 0.0, 0.95)
        step = jnp.take_along_axis(
            model.successors, solve.optimal_q(model).argmax(1)[:, None], axis=1
        )[:, 0]
        return step, maze.distances(walls, 80)

    for step, distance in zip(*jax.vmap(follow)(levels.walls), strict=True):
        for cell in np.flatnonzero((distance > 0) & (distance < 81)):
            assert distance[step[cell]] == distance[cell] - 1


def test_a_bank_is_solved_at_once_like_each_maze_alone():
    levels = maze.bank("scatter", 6, 6, count=8, seed=2)
    rewards = jnp.zeros(36).at[35].set(10.0)

    def of_one(walls):
        return solve.optimal_q(model_of(walls, 35, rewards, 0.2, 0.9))

    together = jax.vmap(of_one)(levels.walls)
    for index in range(8):
        np.testing.assert_allclose(together[index], of_one(levels.walls[index]), atol=1e-5)


@pytest.mark.parametrize("slip", [0.0, 0.3])
def test_the_value_of_a_policy_solves_its_linear_system(slip):
    rng = np.random.default_rng(0)
    walls = np.asarray(maze.bank("scatter", 6, 6, seed=4).walls[0])
    rewards = rng.normal(size=36).astype(np.float32)
    actions = rng.integers(4, size=36)
    model = model_of(walls, 35, jnp.asarray(rewards), slip, 0.9)
    basis = jax.vmap(lambda values: solve.backup(model, values), out_axes=-1)(jnp.eye(36))
    constant = solve.backup(model, jnp.zeros(36))
    rows = np.arange(36)
    matrix = np.asarray(basis - constant[..., None])[rows, actions]
    expected = np.linalg.solve(np.eye(36) - matrix, np.asarray(constant)[rows, actions])
    np.testing.assert_allclose(solve.policy_value(model, actions), expected, atol=1e-4)


def test_the_optimal_policy_is_worth_the_optimal_values():
    for walls, goal, rewards, slip, discount in random_problems(9, 3):
        model = model_of(walls, goal, jnp.asarray(rewards, jnp.float32), slip, discount)
        q = solve.optimal_q(model)
        np.testing.assert_allclose(
            solve.policy_value(model, q.argmax(1)), q.max(1), rtol=1e-4, atol=1e-3
        )
