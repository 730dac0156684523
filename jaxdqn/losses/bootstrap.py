"""What a state is worth after a step: which network chooses, and which one judges."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from jaxdqn.settings import Float, leaf
from jaxdqn.types import Array

Values = Callable[[], Array]
"""Action values ``[A]`` of one network in one state, computed only if they are asked for."""


class Bootstrap(NamedTuple):
    """The parts of a target that depend on a policy, for one transition.

    The target is ``r_t + bonus + discount_t * sum_a weights[a] * (outputs_t[a] + shift[a])``.

    Attributes:
        weights: ``(online values_t, target values_t) -> [A]``, how much each action after the step
            counts.
        shift: ``(weights [A]) -> [A]``, added to the values after the step.
        bonus: ``(target values_tm1, a_tm1 []) -> []``, added to the reward.
        adds: whether shift or bonus are ever other than 0.
    """

    weights: Callable[[Values, Values], Array]
    shift: Callable[[Array], Array]
    bonus: Callable[[Values, Array], float | Array]
    adds: bool


class GreedySettings(struct.PyTreeNode):
    """The value of the best action."""

    def make(self, double: bool) -> Bootstrap:
        """Return what these settings mean."""
        return greedy(double)


class MunchausenSettings(struct.PyTreeNode):
    """The soft value of all actions, and a reward for being sure (Munchausen)."""

    munchausen_alpha: Float = leaf(0.9, low=0.0, high=1.0)
    """Share of the action's scaled log-policy that is added to its reward; 0: soft DQN."""
    munchausen_temperature: Float = leaf(0.03, low=1e-6)
    """Of the softmax over action values that is the policy; its entropy is worth so much."""
    munchausen_floor: Float = leaf(-1.0, high=0.0)
    """Least scaled log-policy that is added."""

    def make(self, double: bool) -> Bootstrap:
        """Return what these settings mean."""
        return munchausen(
            double, self.munchausen_alpha, self.munchausen_temperature, self.munchausen_floor
        )


def greedy(double: bool) -> Bootstrap:
    """Take the best action after the step (van Hasselt et al., 2016, arXiv:1509.06461).

    Args:
        double: the online network chooses and the target network judges, Double DQN; else the
            target network does both, DQN.
    """

    def weights(online_t: Values, target_t: Values) -> Array:
        q_t = online_t() if double else target_t()
        return jax.nn.one_hot(jnp.argmax(q_t), len(q_t))

    return Bootstrap(weights, shift=jnp.zeros_like, bonus=_none, adds=False)


def munchausen(
    double: bool,
    alpha: float | Array,
    temperature: float | Array,
    floor: float | Array = -1.0,
) -> Bootstrap:
    """Take the soft value, and reward what the policy is sure of.

    Vieillard, Pietquin and Geist (2020, arXiv:2007.14430), where the target network is the policy.

    Args:
        double: the online network is the policy after the step; else the target network is. The
            target network is the policy before it, in any case.
        alpha: share of the scaled log-policy that is added to the reward.
        temperature: of the softmax that is the policy.
        floor: least scaled log-policy, at most 0.
    """

    def weights(online_t: Values, target_t: Values) -> Array:
        return jax.nn.softmax((online_t() if double else target_t()) / temperature)

    def shift(weights: Array) -> Array:
        # An action that is never taken counts nothing, whatever the logarithm of 0 is taken for.
        return -temperature * jnp.log(jnp.maximum(weights, jnp.finfo(weights.dtype).tiny))

    def bonus(target_tm1: Values, a_tm1: Array) -> Array:
        scaled = temperature * jax.nn.log_softmax(target_tm1() / temperature)
        return alpha * jnp.clip(scaled[a_tm1], floor, 0.0)

    return Bootstrap(weights, shift, bonus, adds=True)


def _none(target_tm1: Values, a_tm1: Array) -> float:
    del target_tm1, a_tm1
    return 0.0
