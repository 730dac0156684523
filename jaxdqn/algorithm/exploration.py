"""When to act at random: the epsilon schedule and the epsilon-greedy choice."""

import jax.numpy as jnp

from jaxdqn.random import unit
from jaxdqn.types import Array


def linear_epsilon(
    step: Array, start: float | Array, end: float | Array, horizon: int | Array
) -> Array:
    """Fall linearly from ``start`` at step 0 to ``end`` at step ``horizon``, then stay.

    Args:
        step: environment steps of learning so far, int ``[]``.
        start: probability of a random action at step 0.
        end: probability of a random action from step ``horizon`` on.
        horizon: environment steps, at least 1.
    """
    fraction = jnp.minimum(step / horizon, 1.0)
    return start + fraction * (end - start)


def epsilon_greedy(bits: Array, q: Array, epsilon: float | Array) -> Array:
    """Choose a uniformly random action with probability ``epsilon``, else the best one.

    Args:
        bits: see ``sometimes_random``.
        q: action values ``[A]``.
        epsilon: probability ``[]``.

    Returns:
        Action, int32 ``[]``.
    """
    return sometimes_random(bits, jnp.argmax(q).astype(jnp.int32), len(q), epsilon)


def sometimes_random(bits: Array, action: Array, count: int, epsilon: float | Array) -> Array:
    """Replace an action by a uniformly random one with probability ``epsilon``.

    Args:
        bits: uniform and independent, uint32 ``[2]``: one word for the coin, one for the action.
        action: int32 ``[]``.
        count: actions that there are (A).
        epsilon: probability ``[]``.
    """
    coin = unit(bits[0])
    return jnp.where(coin < epsilon, random_action(bits, count), action)


def drawn(bits: Array, probabilities: Array) -> Array:
    """Choose an action by its probability ``[A]``, to 24 bits of it; int32 ``[]``.

    Args:
        bits: uniform and independent, uint32 ``[2]``, of which the first word is used.
        probabilities: at least 0, their sum 1.
    """
    coin = unit(bits[0])
    return jnp.sum(jnp.cumsum(probabilities)[:-1] <= coin).astype(jnp.int32)


def random_action(bits: Array, count: int) -> Array:
    """Choose uniformly among ``count`` actions, int32 ``[]``; see ``sometimes_random``."""
    # The remainder of 32 bits favours no action by more than A / 2³².
    return (bits[1] % count).astype(jnp.int32)
