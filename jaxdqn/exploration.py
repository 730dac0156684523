"""When to act at random: the epsilon schedule and the epsilon-greedy choice."""

import jax
import jax.numpy as jnp

from jaxdqn.types import Array, PRNGKey


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


def epsilon_greedy(key: PRNGKey, q: Array, epsilon: Array) -> Array:
    """Choose a uniformly random action with probability ``epsilon``, else the best one.

    Args:
        key: consumed.
        q: action values ``[A]``.
        epsilon: probability ``[]``.

    Returns:
        Action, int32 ``[]``.
    """
    key_coin, key_action = jax.random.split(key)
    random_action = jax.random.randint(key_action, (), 0, len(q), jnp.int32)
    greedy_action = jnp.argmax(q).astype(jnp.int32)
    return jnp.where(jax.random.uniform(key_coin) < epsilon, random_action, greedy_action)
