"""The double-Q loss against rlax, where selector and target disagree."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax

from jaxdqn.losses import bootstrap, heads
from jaxdqn.types import Transition

HEAD = heads.expected("squared")


def loss_of(outputs_tm1, a_tm1, r_t, discount_t, target_t, online_t, double):
    """The loss of one transition, by the outputs ``[A, K]`` of both networks."""
    transition = Transition(None, a_tm1, r_t, discount_t, None)
    return heads.temporal_difference_loss(
        HEAD, bootstrap.greedy(double), transition, outputs_tm1, target_t,
        online_t=lambda: HEAD.mean(online_t), target_at_midpoints_t=lambda: None,
        target_tm1=lambda: None,
    )[0]  # fmt: skip


def adversarial(rng, count=500, num_actions=5):
    """Tables whose online and target network prefer different actions."""
    q_tm1, target, selector = rng.normal(size=(3, count, num_actions))
    clash = target.argmax(1) == selector.argmax(1)
    rows = np.flatnonzero(clash)
    selector[rows, (target[rows].argmax(1) + 1) % num_actions] = 10.0
    assert (target.argmax(1) != selector.argmax(1)).all()
    actions = rng.integers(num_actions, size=count)
    rewards, discounts = rng.normal(size=count), rng.choice([0.0, 0.97], size=count)
    return [jnp.asarray(x, jnp.float32) for x in (q_tm1, rewards, discounts, target, selector)] + [
        jnp.asarray(actions, jnp.int32)
    ]


@pytest.mark.parametrize("double", [True, False])
def test_the_target_equals_rlax(double):
    q_tm1, r_t, discount_t, target_t, selector_t, a_tm1 = adversarial(np.random.default_rng(0))
    loss = jax.vmap(loss_of, (0, 0, 0, 0, 0, 0, None))(
        q_tm1[..., None], a_tm1, r_t, discount_t, target_t[..., None], selector_t[..., None], double
    )
    chooser = selector_t if double else target_t
    error = jax.vmap(rlax.double_q_learning)(q_tm1, a_tm1, r_t, discount_t, target_t, chooser)
    np.testing.assert_allclose(loss, 0.5 * error**2, rtol=1e-5, atol=1e-6)


def test_double_and_plain_targets_differ_where_the_networks_disagree():
    q_tm1 = jnp.zeros((2, 1))
    online, target = jnp.array([[0.0], [1.0]]), jnp.array([[5.0], [2.0]])
    double = loss_of(q_tm1, 0, 1.0, 0.5, target, online, True)
    plain = loss_of(q_tm1, 0, 1.0, 0.5, target, online, False)
    assert float(double) == pytest.approx(0.5 * (1 + 0.5 * 2) ** 2)
    assert float(plain) == pytest.approx(0.5 * (1 + 0.5 * 5) ** 2)


def test_only_the_action_taken_gets_a_gradient_and_the_target_none():
    def loss(outputs, target):
        return loss_of(outputs, 1, 1.0, 0.9, target, target, True)

    outputs, target = jnp.array([[1.0], [2.0], [3.0]]), jnp.array([[4.0], [0.0], [1.0]])
    grad, target_grad = jax.grad(loss, (0, 1))(outputs, target)
    np.testing.assert_allclose(grad[:, 0], [0.0, 2.0 - (1.0 + 0.9 * 4.0), 0.0], rtol=1e-6)
    assert not target_grad.any()


@pytest.mark.parametrize("delta", [0.5, 1.0, 3.0])
def test_huber_is_quadratic_inside_delta_and_linear_outside(delta):
    head = heads.expected("huber", delta)

    def loss(error):
        return head.loss(jnp.zeros(1), jnp.zeros(1), error, 0.0)[0]

    inside, outside = 0.9 * delta, 2.0 * delta
    assert float(loss(inside)) == pytest.approx(0.5 * inside**2)
    assert float(loss(outside)) == pytest.approx(delta * (outside - 0.5 * delta))


@pytest.mark.parametrize("delta", [1.0, 1e3, 1e6])
@pytest.mark.parametrize("error", [4e-4, -0.01])
def test_the_slope_of_huber_is_the_error_however_large_delta_is(delta, error):
    head = heads.expected("huber", delta)

    def loss(value):
        return head.loss(jnp.stack([value]), jnp.zeros(1), error, 0.0)[0]

    assert float(jax.grad(loss)(0.0)) == pytest.approx(-error, rel=1e-6)
