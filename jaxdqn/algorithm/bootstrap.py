"""What a state is worth after a step: which network chooses, and which one judges."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

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
    """

    weights: Callable[[Values, Values], Array]
    shift: Callable[[Array], Array]
    bonus: Callable[[Values, Array], float | Array]


def greedy(double: bool) -> Bootstrap:
    """Take the best action after the step (van Hasselt et al., 2016, arXiv:1509.06461).

    Args:
        double: the online network chooses and the target network judges, Double DQN; else the
            target network does both, DQN.
    """

    def weights(online_t: Values, target_t: Values) -> Array:
        q_t = online_t() if double else target_t()
        return jax.nn.one_hot(jnp.argmax(q_t), len(q_t))

    return Bootstrap(weights, shift=jnp.zeros_like, bonus=_none)


def _none(target_tm1: Values, a_tm1: Array) -> float:
    del target_tm1, a_tm1
    return 0.0
