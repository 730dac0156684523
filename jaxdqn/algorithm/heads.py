"""What a network's K numbers per action mean, and the one double-Q loss for every meaning."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxdqn.settings import Float, leaf, static
from jaxdqn.types import Array


class Head(NamedTuple):
    """The meaning of the network's outputs.

    Attributes:
        width: numbers per action (K).
        mean: outputs ``[..., A, K]`` to action values ``[..., A]``.
        loss: ``(outputs [K], target outputs [K], r_t [], discount_t []) -> loss []``, for the
            action taken and the action that follows it in one transition.
    """

    width: int
    mean: Callable[[Array], Array]
    loss: Callable[[Array, Array, Array, Array], Array]


class ExpectedSettings(struct.PyTreeNode):
    """One number per action: its expected return."""

    loss: Literal["huber", "squared"] = static("huber")
    """Loss on the temporal-difference error."""
    huber_delta: Float = leaf(1.0, low=1e-8)
    """Error at which the Huber loss turns from quadratic to linear."""

    def make(self) -> Head:
        """Return what these settings mean."""
        return expected(self.loss, self.huber_delta)


def expected(loss: str, huber_delta: float | Array = 1.0) -> Head:
    """One number per action, its expected return (Mnih et al., 2015).

    Args:
        loss: ``"huber"`` or ``"squared"``, half the squared error in the quadratic region.
        huber_delta: error at which the Huber loss becomes linear.
    """

    def error_loss(outputs_tm1: Array, target_t: Array, r_t: Array, discount_t: Array) -> Array:
        error = r_t + discount_t * target_t[0] - outputs_tm1[0]
        if loss == "huber":
            return optax.losses.huber_loss(error, delta=huber_delta)
        return optax.losses.l2_loss(error)

    return Head(width=1, mean=lambda outputs: outputs[..., 0], loss=error_loss)


def double_q_loss(
    head: Head,
    outputs_tm1: Array,
    a_tm1: Array,
    r_t: Array,
    discount_t: Array,
    target_t: Array,
    selector_t: Array,
) -> Array:
    """Double Q-learning for one transition (van Hasselt et al., 2016, arXiv:1509.06461).

    Args:
        head: the meaning of the outputs.
        outputs_tm1: online outputs before the step, ``[A, K]``; the gradient flows through these.
        a_tm1: the action taken, int ``[]``.
        r_t: reward ``[]``.
        discount_t: discount ``[]``, 0 where the world ended.
        target_t: target network's outputs after the step, ``[A, K]``.
        selector_t: outputs that choose the action after the step, ``[A, K]``: the online
            network's for Double DQN, ``target_t`` again for DQN.

    Returns:
        Loss ``[]``.
    """
    a_t = jnp.argmax(head.mean(selector_t))
    # A sum over a one-hot mask, not an index: the transpose of an index is a scatter.
    chosen_tm1 = jnp.sum(outputs_tm1 * jax.nn.one_hot(a_tm1, len(outputs_tm1))[:, None], axis=0)
    chosen_t = jnp.sum(target_t * jax.nn.one_hot(a_t, len(target_t))[:, None], axis=0)
    return head.loss(chosen_tm1, jax.lax.stop_gradient(chosen_t), r_t, discount_t)
