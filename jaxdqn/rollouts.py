"""Episodes that are only watched: many side by side, each until its first end."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from jaxdqn.environment import Environment
from jaxdqn.networks.network import Memory
from jaxdqn.types import Array, PRNGKey

Act = Callable[[Memory, Array, PRNGKey], tuple[Array, Memory]]
"""``(memory, obs, key) -> (action [], memory)`` for one observation; the key is consumed."""


class Episodes(struct.PyTreeNode):
    """Episodes that are under way or over, ``[episodes]`` each.

    Attributes:
        alive: whether it goes on.
        returns: sum of its rewards.
        lengths: steps.
        terminated: whether the world ended it, not the clock.
    """

    alive: Array
    returns: Array
    lengths: Array
    terminated: Array


def walk(
    environment: Environment,
    env_params: Any,
    act: Act,
    memory: Memory,
    start: tuple[Array, Any],
    keys: tuple[PRNGKey, PRNGKey],
    steps: int,
    watch: Callable[[dict[Any, Any]], Any] | None = None,
) -> tuple[Episodes, Any]:
    """Step episodes side by side; what happens after the end of one is not counted.

    Args:
        environment: where.
        env_params: its numbers.
        act: the policy.
        memory: its memory at the start of an episode, of one.
        start: first observations and states, ``[episodes, ...]``.
        keys: for the policy and for the environments; consumed.
        steps: of the longest episode (T).
        watch: ``(info) -> anything`` to be kept of each step, of one episode; None: nothing.

    Returns:
        The episodes, and what was watched, leaves ``[T, episodes, ...]``.
    """
    count = len(start[0])
    fresh = Episodes(
        alive=jnp.ones(count, bool),
        returns=jnp.zeros(count),
        lengths=jnp.zeros(count, jnp.int32),
        terminated=jnp.zeros(count, bool),
    )
    memories = jax.tree.map(lambda x: jnp.broadcast_to(x, (count, *x.shape)), memory)
    key_act, key_env = keys

    def step(carry: Any, t: Array) -> tuple[Any, Any]:
        obs, env_state, memories, episodes = carry
        acting, stepping = (
            jax.random.split(jax.random.fold_in(key, t), count) for key in (key_act, key_env)
        )
        actions, memories = jax.vmap(act)(memories, obs, acting)
        obs, env_state, rewards, terminated, truncated, info = jax.vmap(
            environment.step, (0, 0, 0, None)
        )(stepping, env_state, actions, env_params)
        episodes = Episodes(
            alive=episodes.alive & ~(terminated | truncated),
            returns=episodes.returns + jnp.where(episodes.alive, rewards, 0.0),
            lengths=episodes.lengths + episodes.alive,
            terminated=episodes.terminated | (episodes.alive & terminated),
        )
        seen = None if watch is None else jax.vmap(watch)(info)
        return (obs, env_state, memories, episodes), seen

    carry = (*start, memories, fresh)
    (*_, episodes), watched = jax.lax.scan(step, carry, jnp.arange(steps))
    return episodes, watched
