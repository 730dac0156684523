"""What a learner makes of a window of consecutive steps: one transition of several."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxdqn.types import Array, Transition


def folding(length: int, discount: float | Array) -> Callable[[Transition], Transition]:
    """Return how windows ``[B, L, ...]`` become transitions ``[B, ...]``.

    Args:
        length: steps of a window (L); 1 leaves a transition as it is.
        discount: discount factor.
    """
    if length == 1:
        return lambda windows: jax.tree.map(lambda x: x[:, 0], windows)
    return jax.vmap(lambda window: fold(window, discount))


def fold(window: Transition, discount: float | Array) -> Transition:
    """Make an n-step transition of one window (Watkins, 1989; Sutton, 1988).

    It ends with the first step that is the last of its episode: where the world ended it, nothing
    follows; where only the clock did, what the agent saw last is bootstrapped from. What the
    window holds of the next episode has no part in it.

    Args:
        window: consecutive steps of one environment, leaves ``[L, ...]``.
        discount: discount factor of one step.

    Returns:
        A transition from the first observation to that after the end, with the discounted sum of
        the rewards between. Its ``discount_t`` lacks the factor of one step, which learning
        multiplies by, as it does every transition's.
    """
    length = len(window.r_t)
    over = jnp.cumsum(window.last) - window.last > 0
    end = jnp.sum(~over) - 1
    powers = jnp.cumprod(jnp.full(length, discount, float).at[0].set(1.0))

    def at_end(x: Array) -> Array:
        return jax.lax.dynamic_index_in_dim(x, end, keepdims=False)

    return Transition(
        obs_tm1=jax.tree.map(lambda x: x[0], window.obs_tm1),
        a_tm1=window.a_tm1[0],
        r_t=jnp.sum(jnp.where(over, 0.0, powers * window.r_t)),
        discount_t=at_end(powers) * at_end(window.discount_t),
        obs_t=jax.tree.map(at_end, window.obs_t),
    )
