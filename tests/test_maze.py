"""The maze against plain Python, gymnasium and its own spaces."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import MOVES, maze_env
from gymnasium.envs.toy_text.frozen_lake import FrozenLakeEnv
from gymnax.environments import spaces
from scipy import stats

from jaxdqn import maze
from jaxdqn.maze import grid

KEY = jax.random.key(0)


def test_ascii_round_trips_and_marks_start_and_goal():
    text = "S.#\n#.G\n..."
    walls, start, goal = maze.parse(text)
    assert (start, goal) == (0, 5)
    assert maze.to_text(walls, start, goal) == text
    env, params = maze_env(generator="layout", layout="\n  ..S\n  #..\n  G..\n")
    _, state = env.reset(KEY, params)
    assert (int(state.agent), int(state.goal)) == (2, 6)


@pytest.mark.parametrize("observation", maze.observe.OBSERVATIONS)
@pytest.mark.parametrize("ends", ["corner", "random"])
def test_spaces_are_true(observation, ends):
    env, params = maze_env(
        height=5, width=4, observation=observation, start=ends, goal=ends, num_levels=3
    )
    space = env.observation_space(params)
    keys = jax.random.split(KEY, 64)
    obs, state = jax.jit(jax.vmap(env.reset, (0, None)))(keys, params)
    actions = jax.jit(jax.vmap(env.action_space(params).sample))(keys)
    assert actions.dtype == env.action_space(params).dtype
    step = jax.jit(jax.vmap(env.step, (0, 0, 0, None)))
    contains = jax.jit(jax.vmap(space.contains))
    for _ in range(3):
        assert obs.shape[1:] == space.shape
        assert obs.dtype == space.dtype
        assert np.asarray(contains(obs)).all()
        for name, inner in env.state_space(params).spaces.items():
            values = getattr(state, name)
            assert values.dtype == inner.dtype
            assert values.shape[1:] == inner.shape
            assert np.asarray(jax.jit(jax.vmap(inner.contains))(values)).all()
        obs, state, reward, terminated, truncated, info = step(keys, state, actions, params)
        assert (reward.dtype, terminated.dtype, truncated.dtype) == (jnp.float32, bool, bool)
        assert info["final_observation"].dtype == space.dtype
    if isinstance(space, spaces.Discrete):
        assert space.n == 20


def test_observations_say_where_agent_and_goal_are():
    state = maze.MazeState(*map(jnp.int32, (0, 7, 11, 0)))  # 3×4: agent (1, 3), goal (2, 3)
    layout = "S.#.\n....\n.#.G"
    seen = {}
    for observation in ("position", "coordinates", "planes"):
        env, params = maze_env(generator="layout", layout=layout, observation=observation)
        seen[observation] = np.asarray(env.get_obs(state, params))
    assert seen["position"] == 7
    np.testing.assert_allclose(seen["coordinates"], [0.5, 1.0, 1.0, 1.0])
    walls, agent, goal = np.moveaxis(seen["planes"], -1, 0)
    assert list(np.flatnonzero(walls)) == [2, 9]
    assert list(np.flatnonzero(agent)) == [7]
    assert list(np.flatnonzero(goal)) == [11]


def step_from(env, params, cell, action, key=KEY, time=0):
    _, state = env.reset(key, params)
    state = state.replace(agent=jnp.int32(cell), time=jnp.int32(time))
    return env.step(key, state, action, params)


def test_moves_follow_the_grid_and_bumps_stay():
    layout = "S.#\n...\n#.G"
    env, params = maze_env(generator="layout", layout=layout)
    walls, _, _ = maze.parse(layout)
    for cell in np.flatnonzero(~walls.reshape(-1)):
        for action, (dr, dc) in enumerate(MOVES):
            row, column = cell // 3 + dr, cell % 3 + dc
            inside = 0 <= row < 3 and 0 <= column < 3
            expected = row * 3 + column if inside and not walls[row, column] else cell
            final = step_from(env, params, cell, action)[5]["final_observation"]
            assert int(final) == expected, f"cell {cell}, action {action}"


def test_rewards_are_goal_cost_and_cell():
    cells = np.arange(9.0).reshape(3, 3)
    env, params = maze_env(height=3, width=3, generator="empty")
    params = params.replace(step_cost=0.25, cell_rewards=jnp.asarray(cells), goal_reward=7.0)
    assert float(step_from(env, params, 0, grid.RIGHT)[2]) == 1.0 - 0.25
    assert float(step_from(env, params, 3, grid.LEFT)[2]) == 3.0 - 0.25, "a bump pays its cell"
    assert float(step_from(env, params, 7, grid.RIGHT)[2]) == 8.0 - 0.25 + 7.0
    assert maze_env(height=3, width=3)[1].goal_reward == 10.0


def test_the_goal_terminates_and_the_clock_truncates():
    env, params = maze_env(height=3, width=3, generator="empty")
    params = params.replace(max_steps_in_episode=5)

    def ending(cell, action, time):
        _, state, _, terminated, truncated, info = step_from(env, params, cell, action, time=time)
        return bool(terminated), bool(truncated), int(info["final_observation"]), int(state.agent)

    assert ending(0, grid.RIGHT, 0) == (False, False, 1, 1)
    assert ending(0, grid.RIGHT, 4) == (False, True, 1, 0), "last seen 1, then reset to 0"
    assert ending(7, grid.RIGHT, 0) == (True, False, 8, 0)
    assert ending(7, grid.RIGHT, 4) == (True, True, 8, 0)


def test_slipping_has_the_dynamics_of_frozen_lake():
    """Action order differs (ours up, down, left, right; theirs left, down, right, up)."""
    lake = FrozenLakeEnv(desc=["SFFF", "FFFF", "FFFF", "FFFG"], is_slippery=True).P
    env, params = maze_env(height=4, width=4, generator="empty")
    params = params.replace(slip=2 / 3)
    keys = jax.random.split(KEY, 6_000)
    step = jax.jit(jax.vmap(lambda k, c, a: step_from(env, params, c, a, k)[5], (0, None, None)))
    for cell in (0, 5, 7, 12):
        for ours, theirs in enumerate([3, 1, 0, 2]):
            expected = np.zeros(16)
            for probability, target, _, _ in lake[cell][theirs]:
                expected[target] += probability
            landed = np.asarray(step(keys, cell, ours)["final_observation"])
            counts = np.bincount(landed, minlength=16)
            assert counts[expected == 0].sum() == 0
            possible = expected > 0
            if possible.sum() > 1:
                chance = stats.chisquare(counts[possible], expected[possible] * 6_000)
                assert chance.pvalue > 1e-4


def test_random_ends_cover_all_connected_cells_and_never_coincide():
    env, params = maze_env(height=4, width=4, start="random", goal="random", level_seed=3)
    level = maze.level(params.levels, 0)
    _, state = jax.vmap(env.reset, (0, None))(jax.random.split(KEY, 8_000), params)
    starts, goals = np.asarray(state.agent), np.asarray(state.goal)
    assert (starts != goals).all()
    count = len(level.cells)
    pairs, hits = np.unique(np.stack([starts, goals]), axis=1, return_counts=True)
    assert set(pairs.ravel()) == set(level.cells.tolist())
    assert pairs.shape[1] == count * (count - 1)
    assert stats.chisquare(hits).pvalue > 1e-4


@pytest.mark.parametrize(("start", "goal"), [("random", "corner"), ("corner", "random")])
def test_one_random_end_leaves_the_other_in_its_corner(start, goal):
    env, params = maze_env(height=4, width=4, start=start, goal=goal, level_seed=3)
    level = maze.level(params.levels, 0)
    _, state = jax.vmap(env.reset, (0, None))(jax.random.split(KEY, 2_000), params)
    starts, goals = set(np.asarray(state.agent).tolist()), set(np.asarray(state.goal).tolist())
    cells = set(level.cells.tolist())
    assert starts == ({level.start} if start == "corner" else cells - {level.goal})
    assert goals == ({level.goal} if goal == "corner" else cells - {level.start})


def test_resets_draw_every_level():
    env, params = maze_env(height=4, width=4, num_levels=7)
    _, state = jax.vmap(env.reset, (0, None))(jax.random.split(KEY, 500), params)
    assert set(np.asarray(state.level).tolist()) == set(range(7))


class Many:
    """Of a million levels without walls, which would take 65 GB, what they hold."""

    shape = (10**6, 128 * 128)
    num_cells = jnp.full(10**6, 128 * 128, jnp.int32)
    cells = property(lambda self: self)
    walls = cells

    def __len__(self):
        return 10**6

    def __getitem__(self, index):
        return index[1] if isinstance(index, tuple) else jnp.zeros((128, 128), bool)


def test_every_cell_is_a_start_as_often_as_any_other_however_many_levels_there_are():
    env = maze.Maze(128, 128, generator="empty", start="random")
    params = env.default_params.replace(levels=Many())
    keys = jax.random.split(jax.random.key(0), 400_000)
    state = jax.vmap(lambda key: env.reset_env(key, params)[1])(keys)
    starts = np.bincount(state.agent, minlength=128 * 128)
    assert starts[-1] == 0, "that is the goal"
    assert stats.chisquare(starts[:-1]).pvalue > 1e-4
    assert stats.kstest(np.asarray(state.level) / 10**6, "uniform").pvalue > 1e-4
    middle = np.asarray(state.agent)[np.asarray(state.level) < 10**4]
    assert stats.kstest(middle / 128**2, "uniform").pvalue > 1e-4, "whatever the level is"
