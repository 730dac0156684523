"""PPO's gradient is that of the exact objective, and what it learns is judged by exact values."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax
from conftest import small
from scipy import special, stats
from test_rollout import TINY, Line, generalised_advantages, iteration, row

import jaxdqn
from jaxdqn import assembly, maze
from jaxdqn.algorithm import exploration, ppo, rollout
from jaxdqn.algorithm.rollout import Row
from jaxdqn.method import Tally
from jaxdqn.training import init

KEY = jax.random.key(0)
DRAWN, FREE = "S.\n.G", {"generator": "layout", "layout": "S.\n.G"}
RULES = {"slip": 0.2, "step_cost": 0.5}
PLAIN = {"epochs": 1, "minibatches": 1, "normalise_advantages": False}
"""With which PPO is an actor-critic method, and with lambda of 1 REINFORCE with a baseline."""


def table(params, row):
    """A policy and a value of numbers of their own in each cell, ``[cells, A + 1]``."""
    here = params[row.sample.obs_tm1]
    return jax.nn.log_softmax(here[:-1]), here[-1]


def of_policy(config):
    """The same settings, to descend the policy's gain alone."""
    return config.replace(value_coefficient=0.0, entropy_coefficient=0.0)


def test_the_mean_of_reinforces_gradient_is_the_gradient_of_the_exact_objective():
    """Differentiated through the oracle's linear solve; 4,096 episodes, a z-test of each number.

    Returns to go are discounted from the start, as the objective is; a baseline changes no mean.
    """
    time, count = 64, 4_096
    config = small(
        method="ppo", gae_lambda=1.0, discount=0.8, num_envs=count, rollout_steps=time,
        env_kwargs=FREE, env_params={**RULES, "max_steps_in_episode": 10_000}, **PLAIN,
    )  # fmt: skip
    parts = rollout.assemble(*assembly.assemble(config)[:3], outputs=5)
    level = maze.draw(DRAWN)
    params = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)

    def value(logits):
        return maze.policy_value(level, jax.nn.softmax(logits), 0.8, **RULES)

    @jax.jit
    def gradients(params):
        probabilities, worth = jax.nn.softmax(params[:, :-1]), value(params[:, :-1])

        def act(bits, obs, _, memory):
            return exploration.drawn(bits, probabilities[obs]), memory, ()

        _, _, (steps, *_) = rollout.gather(parts, init(config, KEY), Tally.zero(), lambda _: act)
        returns = jax.vmap(rollout.lambda_returns, (1, 1, None, None), 1)(
            steps, worth[steps.obs_t], config.discount, config.gae_lambda
        )
        first = jnp.cumsum(steps.last, axis=0) - steps.last == 0
        discounts = 0.8 ** jnp.arange(time)[:, None]
        advantage = jnp.where(first, discounts * (returns - params[steps.obs_tm1, -1]), 0.0)
        log_probability = jnp.log(probabilities)[steps.obs_tm1, steps.a_tm1]
        samples = ppo.Sample(steps.obs_tm1, steps.a_tm1, log_probability, advantage, returns)

        def of_episode(sample):
            return jax.grad(partial(ppo.loss, of_policy(config), table), has_aux=True)(
                params, Row(sample)
            )[0]

        exact = jax.grad(lambda logits: value(logits)[0])(params[:, :-1])
        return -time * jax.vmap(of_episode, 1)(samples), exact

    found, exact = map(np.asarray, gradients(params))
    error = found.mean(0)[:, :-1] - exact
    z = error[:3] / (found.std(0)[:3, :-1] / np.sqrt(count))
    assert np.median(np.abs(exact[:3])) > 0.05, "there is something to be wrong about"
    assert np.abs(z).max() < 4.5, "12 normal numbers exceed this once in 12,000 times"
    assert (np.abs(exact[:3]) / (found.std(0)[:3, :-1] / np.sqrt(count))).max() > 20
    np.testing.assert_array_equal(found[:, 3], 0.0, "nobody acts at the goal")
    np.testing.assert_array_equal(found[..., -1], 0.0, "the value is not the policy")


def batch_of(ratios, seed: int = 0):
    """Samples of random cells, which were taken with probabilities ``1 / ratio`` times today's."""
    rng = np.random.default_rng(seed)
    params = rng.normal(size=(6, 5)).astype(np.float32)
    cells, actions = rng.integers(0, 6, 64), rng.integers(0, 4, 64)
    now = special.log_softmax(params[:, :-1], axis=1)[cells, actions]
    before = (now - np.log(ratios)).astype(np.float32)
    return params, ppo.Sample(cells, actions, before, *rng.normal(size=(2, 64)).astype(np.float32))


@pytest.mark.parametrize("normalise", [False, True])
def test_the_first_minibatch_has_the_plain_advantage_gradient(normalise):
    """Whatever the range is clipped to, while the policy is the one that acted."""
    params, batch = batch_of(np.ones(64))
    config = of_policy(small(method="ppo", normalise_advantages=normalise, clip_range=0.01))
    found = jax.jit(jax.grad(partial(ppo.loss, config, table), has_aux=True))(params, Row(batch))[0]

    def plain(params):
        log_probabilities, _ = jax.vmap(partial(table, params))(Row(batch))
        a = np.asarray(batch.advantage)
        a = (a - a.mean()) / a.std() if normalise else a
        return -jnp.mean(a * log_probabilities[jnp.arange(64), batch.a_tm1])

    np.testing.assert_allclose(found, jax.jit(jax.grad(plain))(params), rtol=1e-5, atol=1e-7)


def test_the_loss_is_that_of_rlax_with_its_signs_and_coefficients():
    rng = np.random.default_rng(3)
    ratios = np.exp(rng.normal(scale=0.5, size=64))
    params, batch = batch_of(ratios)
    config = small(
        method="ppo", normalise_advantages=False, clip_range=0.3, value_coefficient=0.7,
        entropy_coefficient=0.05,
    )  # fmt: skip
    here = params[batch.obs_tm1]
    chances, values = special.softmax(here[:, :-1], axis=1), here[:, -1]
    policy = rlax.clipped_surrogate_pg_loss(jnp.float32(ratios), jnp.asarray(batch.advantage), 0.3)
    entropy = stats.entropy(chances, axis=1).mean()
    value = 0.5 * jnp.mean((values - batch.target) ** 2)
    found, mean = jax.jit(partial(ppo.loss, config, table))(params, Row(batch))
    assert float(found) == pytest.approx(float(policy + 0.7 * value - 0.05 * entropy), rel=1e-5)
    assert float(mean) == pytest.approx(float(values.mean()), rel=1e-5)
    clipped = (ratios > 1.3) & (batch.advantage > 0) | (ratios < 0.7) & (batch.advantage < 0)
    assert 5 < clipped.sum() < 60


@pytest.mark.parametrize("gae_lambda", [0.0, 0.95, 1.0])
def test_an_iteration_descends_the_advantages_and_returns_of_plain_python(gae_lambda, monkeypatch):
    """From its first gradient on: the ratio is 1, so that what is gained is the mean advantage."""
    monkeypatch.setattr("test_rollout.DECAY", gae_lambda)
    config = small(
        method="ppo", gae_lambda=gae_lambda, discount=0.9, rollout_steps=32, learning_rate=0.0,
        entropy_coefficient=0.0, **PLAIN, **TINY,
    )  # fmt: skip
    start = init(config, KEY)
    judged = jax.vmap(partial(assembly.assemble(config).method.policy, start.agent.params))
    chances, values = jax.device_get(judged(jnp.arange(6)))
    _, tally = iteration(config, start)
    steps = jax.device_get(walked(config, start)[2][0])
    assert (steps.last & (steps.discount_t == 1)).any()
    assert (steps.discount_t == 0).any()
    advantages, errors = [], []
    for env in range(4):
        line = row(Line(steps, values[steps.obs_t]), (slice(None), env))
        here = generalised_advantages(line, values[line.steps.obs_tm1])
        advantages += here
        errors += [0.5 * a**2 for a in here]  # the target is the value and the advantage
    assert np.ptp(chances) > 0.01
    expected = 0.5 * np.mean(errors) - np.mean(advantages)
    assert float(tally.loss) == pytest.approx(expected, rel=1e-4, abs=1e-6)


@jax.jit
def walked(config, state):
    """The rollout that an iteration makes."""
    assembled = assembly.assemble(config)
    parts = rollout.assemble(*assembled[:3], outputs=5)
    policy = partial(assembled.method.policy, state.agent.params)

    def act(bits, obs, _, memory):
        return exploration.drawn(bits, policy(obs)[0]), memory, ()

    return rollout.gather(parts, state, Tally.zero(), lambda _: act)


def test_actions_are_drawn_by_their_probabilities():
    """Of 2¹⁶ equally spaced coins each action gets its share."""
    probabilities = jnp.array([0.125, 0.0, 0.5, 0.375])
    bits = jnp.stack([jnp.arange(2**16, dtype=jnp.uint32) << 16] * 2, axis=1)
    drawn = jax.vmap(exploration.drawn, (0, None))(bits, probabilities)
    np.testing.assert_array_equal(np.bincount(drawn, minlength=4), 2**16 * probabilities)
    # Rounding may leave the sum of all below the largest coin.
    short = exploration.drawn(jnp.full(2, 2**32 - 1, jnp.uint32), jnp.array([0.5, 0.49]))
    assert int(short) == 1


def test_value_and_policy_are_judged_by_the_exact_value_of_the_policy_by_chance():
    config = small(method="ppo", discount=0.9, env_params={**RULES, "max_steps_in_episode": 20})
    state, metrics = jaxdqn.train(config, KEY)
    level = maze.level(assembly.assemble(config).env_params.levels, 0)

    @jax.jit
    def judged(params):
        judge = partial(assembly.assemble(config).method.policy, params)
        chances, learned = jax.vmap(judge)(jnp.arange(16))
        exact = maze.policy_value(level, chances, 0.9, **RULES)
        greedy = maze.regret(level, chances.argmax(axis=1), 0.9, **RULES)
        error = jnp.sqrt(jnp.mean((learned - exact)[:15] ** 2))
        return maze.regret(level, chances, 0.9, **RULES), greedy, error

    lost, greedy, error = judged(state.agent.params)
    assert float(metrics.policy_regret[-1]) == pytest.approx(float(lost), rel=1e-4)
    assert float(metrics.regret[-1]) == pytest.approx(float(greedy), rel=1e-4)
    assert float(metrics.value_error[-1]) == pytest.approx(float(error), rel=1e-4)
    assert abs(lost - greedy) > 0.1
    assert metrics.q_error is None
    assert (np.asarray(metrics.epsilon) == 0.0).all()
