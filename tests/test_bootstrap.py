"""Munchausen: alpha 0 is soft Q-learning, and fixed points are those of a float64 table."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdqn.losses import bootstrap, distributions, heads
from jaxdqn.types import Transition

HEAD = heads.expected("squared")
STATES, ACTIONS, DISCOUNT, TEMPERATURE = 6, 3, 0.8, 0.1


def target(follows, head, transition, outputs_tm1, target_tm1, target_t, online_t):
    """What the outputs of the action taken should be: where the squared loss has no gradient."""

    def loss(outputs):
        return heads.temporal_difference_loss(
            head, follows, transition, outputs, target_t,
            online_t=lambda: head.mean(online_t), target_at_midpoints_t=lambda: None,
            target_tm1=lambda: head.mean(target_tm1),
        )[0]  # fmt: skip

    a_tm1 = transition.a_tm1
    return outputs_tm1[a_tm1, 0] - jax.grad(loss)(outputs_tm1)[a_tm1, 0]


def decisions():
    """A random decision process whose steps are certain: next states, rewards, where it ends."""
    rng = np.random.default_rng(0)
    after = rng.integers(0, STATES, (STATES, ACTIONS))
    return after, rng.normal(size=(STATES, ACTIONS)), rng.random((STATES, ACTIONS)) < 0.8


def fixed_point(alpha: float, floor: float) -> np.ndarray:
    """Iterate Munchausen's equation in double precision (Vieillard et al., 2020, eq. 1)."""
    after, rewards, goes_on = decisions()
    q = np.zeros((STATES, ACTIONS))
    for _ in range(2_000):
        soft = TEMPERATURE * np.log(np.exp((q - q.max(1, keepdims=True)) / TEMPERATURE).sum(1))
        soft += q.max(1)
        log_policy = q - soft[:, None]
        sure = alpha * np.clip(log_policy, floor, 0.0)
        q = rewards + sure + DISCOUNT * goes_on * soft[after]
    return q


@pytest.mark.parametrize(("alpha", "floor"), [(0.0, -1.0), (0.9, -1.0), (0.5, -0.05)])
def test_the_fixed_point_is_that_of_a_table_in_double_precision(alpha, floor):
    after, rewards, goes_on = decisions()
    follows = bootstrap.munchausen(False, alpha, TEMPERATURE, floor)
    states, actions = (x.reshape(-1) for x in np.mgrid[:STATES, :ACTIONS])
    batch = Transition(
        states, actions, jnp.float32(rewards).reshape(-1),
        DISCOUNT * jnp.float32(goes_on).reshape(-1), after.reshape(-1),
    )  # fmt: skip

    @jax.jit
    def sweep(q):
        table = q[..., None]
        seen, follow = table[batch.obs_tm1], table[batch.obs_t]
        each = jax.vmap(lambda *x: target(follows, HEAD, *x))
        return each(batch, seen, seen, follow, follow).reshape(STATES, ACTIONS)

    q = jnp.zeros((STATES, ACTIONS))
    for _ in range(200):
        q = sweep(q)
    np.testing.assert_allclose(q, fixed_point(alpha, floor), atol=2e-5)


@pytest.mark.parametrize("double", [True, False])
def test_the_online_network_is_the_policy_that_the_target_network_judges(double):
    rng = np.random.default_rng(1)
    online, judged, before = jnp.asarray(rng.normal(size=(3, ACTIONS, 1)), jnp.float32)
    follows = bootstrap.munchausen(double, 0.7, 0.5, -1.0)
    transition = Transition(None, 1, 0.3, 0.9, None)
    found = target(follows, HEAD, transition, before, before, judged, online)
    policy = jax.nn.softmax((online if double else judged)[:, 0] / 0.5)
    soft = jnp.sum(policy * (judged[:, 0] - 0.5 * jnp.log(policy)))
    sure = 0.5 * jax.nn.log_softmax(before[:, 0] / 0.5)[1]
    assert float(found) == pytest.approx(0.3 + 0.7 * max(float(sure), -1.0) + 0.9 * float(soft))


def test_every_quantile_is_shifted_alike():
    """The mean of the target of a distribution is the target of its mean."""
    rng = np.random.default_rng(2)
    spread = jnp.asarray(rng.normal(size=(ACTIONS, 7)), jnp.float32)
    head, follows = distributions.quantile(7), bootstrap.munchausen(False, 0.9, 0.3)
    values = head.mean(spread)
    weights = follows.weights(None, lambda: values)
    each = jnp.sum((spread + follows.shift(weights)[:, None]) * weights[:, None], axis=0)
    soft = 0.3 * jax.nn.logsumexp(values / 0.3)
    assert float(each.mean()) == pytest.approx(float(soft), rel=1e-5)


def test_a_policy_that_is_certain_stays_finite():
    follows = bootstrap.munchausen(True, 0.9, 1e-6, -1.0)
    q = jnp.array([0.0, 100.0, -100.0])
    weights = follows.weights(lambda: q, None)
    assert jnp.isfinite(follows.shift(weights)).all()
    assert float(jnp.sum(weights * follows.shift(weights))) == pytest.approx(0.0, abs=1e-6)
    assert [float(follows.bonus(lambda: q, a)) for a in (0, 1)] == pytest.approx([-0.9, 0.0])
