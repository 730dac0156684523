"""What is learned is what is true: probes with known values, a maze with exact ones."""

import jax
import jax.numpy as jnp
import numpy as np
import probes
import pytest
from conftest import small

import jaxdqn
from jaxdqn import environment as environments
from jaxdqn import maze
from jaxdqn.assembly import assemble

CUT = {"max_steps_in_episode": 5}
SEEDS = jax.vmap(jax.random.key)(jnp.arange(3))


trained = jax.jit(lambda config: jax.vmap(jaxdqn.train, (None, 0))(config, SEEDS))


def learned_q(config, observations):
    """Train three seeds; return their action values, ``[3, observations, A]``."""
    state, _ = trained(config)
    q_values = assemble(config).method.q_values
    return jax.vmap(jax.vmap(q_values, (None, 0)), (0, None))(state.agent.params, observations)


SCHEDULES = {
    "dqn": {"target_period": 10, "loss": "squared", "epsilon_end": 1.0, "batch_size": 32,
            "total_steps": 64 + 4 * 2_000},
    "pqn": {"epsilon_end": 1.0, "rollout_steps": 8, "total_steps": 32 * 250},
    "ppo": {"rollout_steps": 8, "total_steps": 32 * 250},
}  # fmt: skip


def probe(kind: str, **changes):
    assert probes.Probe(kind)
    of_method = SCHEDULES[changes.get("method", "dqn")]
    settings = {
        "env": "Probe-test",
        "env_kwargs": {"kind": kind},
        "env_params": {},
        "discount": 0.9,
        "learning_rate": 1e-2,
        "learning_rate_end_factor": 0.0,
        "evaluations": 1,
        "eval_steps": 2,
        **of_method,
    }
    settings |= changes
    if settings.get("head", "expected") != "expected":
        settings.pop("loss")
    return small(**settings)


@pytest.mark.parametrize(
    ("kind", "seen", "values"),
    [
        ("one", [1.0], [[1.0, 1.0]]),
        ("delayed", [-1.0, 1.0], [[0.9, 0.9], [1.0, 1.0]]),
        ("seen", [-1.0, 1.0], [[-1.0, -1.0], [1.0, 1.0]]),
        ("acted", [1.0], [[-1.0, 1.0]]),
    ],
)
def test_known_values_are_learned(kind, seen, values):
    q = learned_q(probe(kind), jnp.asarray(seen)[:, None])
    for of_one_seed in q:
        np.testing.assert_allclose(of_one_seed, values, atol=0.02)


@pytest.mark.parametrize("double", [True, False])
def test_a_time_limit_is_bootstrapped_not_taken_for_death(double):
    """Reward 1 for ever at discount 0.9 is worth 10, however often the clock cuts it."""
    config = probe("clock", double=double, env_params=CUT)
    q = learned_q(config, jnp.ones((1, 1)))
    np.testing.assert_allclose(q, 10.0, rtol=0.02)


@pytest.mark.parametrize("td_lambda", [0.0, 0.65, 1.0])
def test_rollouts_that_meet_a_time_limit_are_bootstrapped_where_they_end(td_lambda):
    """Death at every fifth step would be worth at most 4.1, and 1 at the last one."""
    config = probe("clock", method="pqn", td_lambda=td_lambda, env_params=CUT)
    np.testing.assert_allclose(learned_q(config, jnp.ones((1, 1))), 10.0, rtol=0.02)


@pytest.mark.parametrize("gae_lambda", [0.0, 0.95])
def test_the_value_of_a_policy_is_bootstrapped_at_a_time_limit(gae_lambda):
    config = probe("clock", method="ppo", gae_lambda=gae_lambda, env_params=CUT)
    state, _ = trained(config)
    policy = assemble(config).method.policy
    _, values = jax.vmap(policy, (0, None))(state.agent.params, jnp.ones(1))
    np.testing.assert_allclose(values, 10.0, rtol=0.02)


@pytest.mark.parametrize("n_step", [3, pytest.param(7, marks=pytest.mark.slow)])
def test_windows_that_meet_a_time_limit_are_bootstrapped_where_they_end(n_step):
    """A window longer than what is left of an episode has the discount of what there is."""
    config = probe("clock", n_step=n_step, env_params=CUT)
    np.testing.assert_allclose(learned_q(config, jnp.ones((1, 1))), 10.0, rtol=0.02)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"loss": "huber", "learning_rate": 3e-2},
        {"target_period": 1, "target_rate": 0.05},
        {"updates_per_step": 2, "total_steps": 64 + 4 * 1_000},
        {"train_every": 2, "total_steps": 64 + 8 * 2_000},
        {"layer_norm": True, "activation": "tanh"},
        {"head": "categorical", "v_min": 0.0, "v_max": 20.0, "n_step": 3},
        {"head": "quantile", "quantiles": 9, "replay": "prioritised"},
        {"head": "implicit_quantile", "fractions": 8, "dueling": True},
        {"noisy": True, "epsilon_start": 1.0, "dueling": True, "replay": "prioritised"},
    ],
    ids=["huber", "polyak", "two updates", "every second step", "layer norm", "categorical",
         "quantile", "implicit quantile", "noisy"],
)  # fmt: skip
def test_every_way_of_learning_finds_the_bootstrapped_value(changes):
    config = probe("clock", env_params=CUT, **changes)
    np.testing.assert_allclose(learned_q(config, jnp.ones((1, 1))), 10.0, rtol=0.02)


def test_a_table_on_a_short_clock_converges_to_the_exact_values():
    """Episodes are cut after 6 steps, most before the goal, and yet Q converges to Q*."""
    config = small(
        env_kwargs={"height": 5, "width": 5, "density": 0.2, "start": "random"},
        env_params={"max_steps_in_episode": 6, "step_cost": 0.1},
        discount=0.9,
        learning_rate=3e-2,
        learning_rate_end_factor=0.0,
        widths=(),
        target_period=20,
        loss="squared",
        batch_size=64,
        capacity=4_000,
        warmup_steps=400,
        total_steps=400 + 4 * 4_000,
        epsilon_end=1.0,
        evaluations=1,
    )
    environment, params = environments.make(config)
    level = maze.level(params.levels, 0)
    model = environment.gymnax.model(params, jnp.int32(0), jnp.int32(level.goal), config.discount)
    exact = np.asarray(maze.solve.optimal_q(model))
    state, metrics = jax.jit(jax.vmap(jaxdqn.train, (None, 0)))(config, SEEDS)
    learned = jax.vmap(jax.vmap(assemble(config).method.q_values, (None, 0)), (0, None))(
        state.agent.params, jnp.arange(25)
    )
    learned, cells = np.asarray(learned), level.cells[:-1]
    largest = np.abs(exact[cells]).max()
    assert np.abs(learned[:, cells] - exact[cells]).max() < 0.01 * largest
    assert (metrics.q_error[:, -1] < 0.01 * largest).all()
    np.testing.assert_allclose(metrics.regret[:, -1], 0.0, atol=1e-4)
