"""What a network's K numbers per action mean, and the one loss for every meaning."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxdqn.losses.bootstrap import Bootstrap, Values
from jaxdqn.settings import Float, leaf, static
from jaxdqn.types import Array, Transition


class Head(NamedTuple):
    """The meaning of the network's outputs.

    Attributes:
        width: numbers per action (K).
        mean: outputs ``[..., K]`` of actions to their values ``[...]``.
        loss: ``(outputs [K], target outputs [K], r_t [], discount_t []) -> (loss [], surprise [])``
            for the action taken and what follows it in one transition; by its surprise, 0 or more,
            a transition may be drawn again.
        at_fractions: whether the K numbers stand at fractions of a distribution that the network
            chooses and gives, too, behind them.
        adds: whether what is added to an output is added to the return.
        returns: outputs ``[A, K]`` to returns and their probabilities, ``[A, K]`` each; None where
            no distribution is learned.
    """

    width: int
    mean: Callable[[Array], Array]
    loss: Callable[[Array, Array, Array, Array], tuple[Array, Array]]
    at_fractions: bool = False
    adds: bool = True
    returns: Callable[[Array], tuple[Array, Array]] | None = None


class ExpectedSettings(struct.PyTreeNode):
    """One number per action: its expected return."""

    loss: Literal["huber", "squared"] = static("huber")
    """Loss on the temporal-difference error."""
    huber_delta: Float = leaf(1.0, low=1e-8, idle={"loss": "squared"})
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

    def error_loss(
        outputs_tm1: Array, target_t: Array, r_t: Array, discount_t: Array
    ) -> tuple[Array, Array]:
        error = r_t + discount_t * target_t[0] - outputs_tm1[0]
        if loss == "huber":
            # Its slope is the cut error itself, not a difference of which nothing is left where
            # delta is large.
            cut = jax.lax.stop_gradient(jnp.clip(error, -huber_delta, huber_delta))
            return cut * (error - cut / 2), jnp.abs(error)
        return optax.losses.l2_loss(error), jnp.abs(error)

    return Head(width=1, mean=lambda outputs: outputs[..., 0], loss=error_loss)


def temporal_difference_loss(
    head: Head,
    bootstrap: Bootstrap,
    transition: Transition,
    outputs_tm1: Array,
    target_t: Array,
    online_t: Values,
    target_at_midpoints_t: Values,
    target_tm1: Values,
) -> tuple[Array, Array, Array]:
    """Return the loss ``[]``, the surprise ``[]`` and the action's value ``[]`` of one transition.

    Args:
        head: the meaning of the outputs.
        bootstrap: what the state after the step is worth.
        transition: its discount is that of the step, 0 where the world ended.
        outputs_tm1: online outputs before the step, ``[A, K]``; the gradient flows through these.
        target_t: target network's outputs after the step, ``[A, K]``.
        online_t: online action values after the step.
        target_at_midpoints_t: target network's, where its outputs stand at drawn fractions: what
            they happen to make of an action must not be what it is chosen for, as well.
        target_tm1: target network's action values before the step.
    """
    a_tm1 = transition.a_tm1
    chosen_by = target_at_midpoints_t if head.at_fractions else lambda: head.mean(target_t)
    weights = bootstrap.weights(online_t, chosen_by)
    worth = target_t + bootstrap.shift(weights)[:, None]
    # Sums over masks, not indices: the transpose of an index is a scatter.
    chosen_tm1 = jnp.sum(outputs_tm1 * jax.nn.one_hot(a_tm1, len(outputs_tm1))[:, None], axis=0)
    chosen_t = jnp.sum(worth * weights[:, None], axis=0)
    r_t = transition.r_t + bootstrap.bonus(target_tm1, a_tm1)
    loss, surprise = head.loss(
        chosen_tm1, jax.lax.stop_gradient(chosen_t), r_t, transition.discount_t
    )
    return loss, surprise, head.mean(chosen_tm1)
