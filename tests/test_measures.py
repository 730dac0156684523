"""The exact measures: a network that is right has none, one that is wrong has what it must."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import assert_same_bits, small

import jaxdqn
from jaxdqn import environment as environments
from jaxdqn.maze import solve
from jaxdqn.metrics import Evaluation, Metrics, Rows, concatenate

KEY = jax.random.key(0)


def tabular(**env_kwargs):
    """Settings under which the network is a table: one-hot cells into one linear layer."""
    kwargs = {"height": 4, "width": 4, "generator": "scatter", "density": 0.2, **env_kwargs}
    return small(env_kwargs=kwargs, widths=(), discount=0.9)


def table(config, q):
    params = jaxdqn.init(config, KEY).agent.params
    layer = {"kernel": jnp.asarray(q).T, "bias": jnp.zeros(4)}
    assert jax.tree.map(jnp.shape, params["params"]["dense"]["output"]) == {
        "kernel": q.T.shape,
        "bias": (4,),
    }
    return {"params": {"dense": {"output": layer}}}


def exact_q(config):
    environment, params = environments.make(config)
    goal = params.levels.cells[0, -1]
    model = environment.gymnax.model(params, jnp.int32(0), goal, config.discount)
    return solve.optimal_q(model), model


@pytest.mark.parametrize("slip", [0.0, 0.25])
def test_exact_values_have_no_error_no_bias_and_no_regret(slip):
    config = tabular().replace(env_params={"slip": slip, "step_cost": 0.1})
    q, _ = exact_q(config)
    result = jaxdqn.evaluate(config, table(config, q), KEY)
    for name in ("regret", "q_error", "q_bias"):
        assert abs(float(getattr(result, name))) < 1e-5, name
    assert slip or float(result.spl) == 1.0


def test_values_too_high_by_one_are_biased_by_one_and_lose_nothing():
    config = tabular()
    q, _ = exact_q(config)
    result = jaxdqn.evaluate(config, table(config, q + 1.0), KEY)
    assert float(result.q_bias) == pytest.approx(1.0, abs=1e-5)
    assert float(result.q_error) == pytest.approx(1.0, abs=1e-5)
    assert float(result.regret) == pytest.approx(0.0, abs=1e-5)


def test_a_policy_that_never_arrives_loses_the_whole_value():
    config = tabular()
    q, _ = exact_q(config)
    wall = jnp.zeros_like(q).at[:, 0].set(1.0)  # always up, from the top left corner
    result = jaxdqn.evaluate(config, table(config, wall), KEY)
    assert float(result.regret) == pytest.approx(float(q[0].max()), abs=1e-5)
    assert float(result.success) == 0.0


def test_errors_count_connected_cells_only():
    layout = "S.#.\n..##\n....\n#..G"  # the top right corner is cut off
    config = tabular(generator="layout", layout=layout)
    q, _ = exact_q(config)
    nonsense = q.at[3].add(1e3).at[2].add(1e3).at[15].add(1e3)  # cut off, a wall, the goal
    result = jaxdqn.evaluate(config, table(config, nonsense), KEY)
    assert abs(float(result.q_error)) < 1e-4
    one_cell = q.at[0, 1].add(2.0)
    cells = 11 - 1
    result = jaxdqn.evaluate(config, table(config, one_cell), KEY)
    assert float(result.q_error) == pytest.approx(np.sqrt(4.0 / (4 * cells)), rel=1e-4)


def test_regret_of_random_starts_is_the_mean_over_connected_cells():
    config = tabular(start="random")
    q, model = exact_q(config)
    worst = -q
    result = jaxdqn.evaluate(config, table(config, worst), KEY)
    lost = q.max(1) - solve.policy_value(model, jnp.argmax(worst, 1))
    _, params = environments.make(config)
    cells = np.unique(params.levels.cells[0])[:-1]
    assert float(result.regret) == pytest.approx(float(lost[cells].mean()), abs=1e-4)


def test_measures_are_means_over_levels():
    config = tabular(num_levels=3).replace(oracle_levels=2)
    environment, params = environments.make(config)
    zero = table(config, jnp.zeros((16, 4)))
    squares, biases = [], []
    for level in range(2):
        goal = params.levels.cells[level, -1]
        model = environment.gymnax.model(params, jnp.int32(level), goal, config.discount)
        cells = np.setdiff1d(np.asarray(params.levels.cells[level]), [15])
        q = np.asarray(solve.optimal_q(model))[cells]
        squares.append((q**2).mean())
        biases.append(-q.max(1).mean())
    result = jaxdqn.evaluate(config, zero, KEY)
    assert float(result.q_error) == pytest.approx(np.sqrt(np.mean(squares)), rel=1e-5)
    assert float(result.q_bias) == pytest.approx(np.mean(biases), rel=1e-5)


def test_reward_noise_has_mean_zero_and_its_size():
    environment, params = environments.make(tabular())
    _, state = environment.reset(KEY, params)
    keys = jax.random.split(KEY, 20_000)
    noisy = params.replace(reward_noise=3.0)
    rewards = jax.vmap(environment.step, (0, None, None, None))(keys, state, 0, noisy)[2]
    assert set(np.asarray(rewards).tolist()) == {-3.0, 3.0}
    assert abs(float(rewards.mean())) < 0.1


def test_held_out_levels_are_measured_apart_and_each_once():
    """A network that is exact on the one training level is wrong on the others."""
    kwargs = {"height": 5, "width": 5, "generator": "corridors", "num_held_out": 3}
    config = tabular(**kwargs).replace(eval_episodes=3, eval_steps=40)
    q, _ = exact_q(config)
    result = jaxdqn.evaluate(config, table(config, q), KEY)
    assert (float(result.success), float(result.q_error)) == (1.0, pytest.approx(0.0, abs=1e-5))
    environment, params = environments.make(config)
    solved, errors = [], []
    for level in range(3):
        cells = np.unique(params.held_out.cells[level])[:-1]
        unseen = params.replace(levels=params.held_out)
        model = environment.gymnax.model(unseen, jnp.int32(level), 24, config.discount)
        errors.append(((solve.optimal_q(model) - q)[cells] ** 2).mean())
        value = solve.policy_value(model, q.argmax(1))[0]
        solved.append(float(value) > 0)
    assert float(result.held_out.success) == pytest.approx(np.mean(solved))
    assert float(result.held_out.q_error) == pytest.approx(np.sqrt(np.mean(errors)), rel=1e-4)
    assert 0 < np.mean(solved) < 1 or float(result.held_out.q_error) > 0


def test_without_held_out_levels_there_are_no_such_measures():
    config = tabular()
    q, _ = exact_q(config)
    assert jaxdqn.evaluate(config, table(config, q), KEY).held_out is None


def test_rows_added_one_by_one_are_those_joined_and_are_seldom_copied():
    rng = np.random.default_rng(0)
    empty = Metrics(**dict.fromkeys(field.name for field in dataclasses.fields(Metrics)))
    rows = [
        empty.replace(env_steps=np.full(3, t, np.int32), held_out=Evaluation(*rng.random((2, 3))))
        for t in range(100)
    ]
    whole, restored = concatenate(rows), concatenate(rows[:60])
    assert Rows(jax.tree.map(lambda x: x[:, :0], whole)).metrics is None
    before = jax.tree.map(np.copy, restored)
    for begin, later in ((None, rows), (restored, rows[60:])):
        kept, seen, copies = Rows(begin), [], 0
        assert (kept.metrics is None) == (begin is None)
        for row in later:
            kept.add(row)
            copies += not (seen and np.shares_memory(seen[-1].env_steps, kept.metrics.env_steps))
            seen.append(kept.metrics)
        assert_same_bits(kept.metrics, whole)
        assert_same_bits(seen[4], concatenate([*rows[: 100 - len(later)], *later[:5]]))
        assert copies <= 8
    assert_same_bits(restored, before)
