"""One update of the agent against rlax and optax, with networks that disagree."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import rlax
from conftest import small

from jaxdqn import environment as environments
from jaxdqn.algorithm import dqn
from jaxdqn.types import Transition

KEY, ONES = jax.random.key(0), jnp.ones(64)


def situation(**changes):
    """An agent whose online and target networks differ, and a batch."""
    config = small(loss="squared", discount=0.9, **changes)
    agent, *_ = dqn.learner_of(config, environments.make(config)[0])
    init = jax.jit(agent.init)
    state = init(KEY).replace(target_params=init(jax.random.key(1)).params)
    rng = np.random.default_rng(0)
    batch = Transition(
        obs_tm1=jnp.asarray(rng.integers(0, 16, 64), jnp.int32),
        a_tm1=jnp.asarray(rng.integers(0, 4, 64), jnp.int32),
        r_t=jnp.asarray(rng.normal(size=64), jnp.float32),
        discount_t=jnp.asarray(rng.random(64) < 0.8, jnp.float32),
        obs_t=jnp.asarray(rng.integers(0, 16, 64), jnp.int32),
    )
    return config, agent, state, batch


def rlax_loss(agent, params, target_params, batch, double):
    q = jax.vmap(agent.q_values, (None, 0))
    target = q(target_params, batch.obs_t)
    chooser = q(params, batch.obs_t) if double else target
    errors = jax.vmap(rlax.double_q_learning)(
        q(params, batch.obs_tm1), batch.a_tm1, batch.r_t, 0.9 * batch.discount_t, target, chooser
    )
    return jnp.mean(0.5 * errors**2)


@pytest.mark.parametrize("double", [True, False])
def test_the_loss_of_an_update_is_that_of_rlax(double):
    _, agent, state, batch = situation(double=double)
    _, info, _ = jax.jit(agent.learn)(state, batch, ONES, KEY)
    loss = jax.jit(rlax_loss, static_argnums=(0, 4))
    expected = loss(agent, state.params, state.target_params, batch, double)
    other = loss(agent, state.params, state.target_params, batch, not double)
    assert float(info.loss) == pytest.approx(float(expected), rel=1e-5)
    assert abs(float(expected - other)) > 1e-3, "the two methods must disagree here"


def test_an_update_is_a_clipped_adam_step():
    """Its epsilon is as large as gradients are, so that the first step depends on their size."""
    config, agent, state, batch = situation(
        max_grad_norm=0.05, learning_rate=1.0, adam_epsilon=0.01
    )
    slope = jax.jit(jax.grad(rlax_loss, 1), static_argnums=(0, 4))
    grads = slope(agent, state.params, state.target_params, batch, True)
    norm = optax.tree.norm(grads)
    assert norm > config.max_grad_norm, "clipping must bite here"
    optimizer = optax.adam(1.0, eps=0.01)

    @jax.jit
    def stepped(params, grads):
        clipped = jax.tree.map(lambda g: g * config.max_grad_norm / norm, grads)
        step, _ = optimizer.update(clipped, optimizer.init(params))
        return optax.apply_updates(params, step)

    expected = stepped(state.params, grads)
    new, info, _ = jax.jit(agent.learn)(state, batch, ONES, KEY)
    assert float(info.grad_norm) == pytest.approx(float(norm), rel=1e-4)
    for one, other in zip(jax.tree.leaves(new.params), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("rate", "period"), [(1.0, 3), (0.25, 2)])
def test_the_target_moves_only_when_it_is_time(rate, period):
    _, agent, state, batch = situation(target_rate=rate, target_period=period)
    learn = jax.jit(agent.learn)
    for update in range(1, 7):
        before = jax.device_get(state.target_params)
        state, *_ = learn(state, batch, ONES, KEY)
        params = jax.device_get(state.params)
        moved = jax.tree.map(lambda p, t: rate * p + (1 - rate) * t, params, before)
        expected = moved if update % period == 0 else before
        for one, other in zip(
            jax.tree.leaves(state.target_params), jax.tree.leaves(expected), strict=True
        ):
            np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7)


def test_the_step_size_falls_linearly_to_its_last_fraction():
    config, agent, state, batch = situation(learning_rate_end_factor=0.25, learning_rate=1e-2)
    last = state.replace(updates=jnp.int32(config.schedule.updates))
    half = state.replace(updates=jnp.int32(config.schedule.updates // 2))

    @jax.jit
    def change(start):
        learned = agent.learn(start, batch, ONES, KEY)[0]
        return optax.tree.norm(jax.tree.map(jnp.subtract, learned.params, start.params))

    assert change(last) / change(state) == pytest.approx(0.25, rel=1e-3)
    assert change(half) / change(state) == pytest.approx(0.625, rel=1e-3)


def test_weights_count_in_the_loss_as_often_as_they_say():
    """A transition that weighs 2 and one that weighs 0 are the first one twice."""
    _, agent, state, batch = situation()
    weights = jnp.where(jnp.arange(64) < 32, 2.0, 0.0)
    twice = jax.tree.map(lambda x: jnp.concatenate([x[:32], x[:32]]), batch)
    learn = jax.jit(agent.learn)
    weighted, _, _ = learn(state, batch, weights, KEY)
    doubled, _, _ = learn(state, twice, ONES, KEY)
    for one, other in zip(
        jax.tree.leaves(weighted.params), jax.tree.leaves(doubled.params), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_the_surprise_is_the_size_of_the_error():
    """Half its square is the loss."""
    _, agent, state, batch = situation()
    _, info, surprise = jax.jit(agent.learn)(state, batch, ONES, KEY)
    assert surprise.shape == (64,)
    assert float(jnp.mean(0.5 * surprise**2)) == pytest.approx(float(info.loss), rel=1e-5)
