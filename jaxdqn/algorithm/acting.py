"""Acting in parallel environments, one step of all of them, whatever the method."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxdqn.config import Config
from jaxdqn.environment import Environment
from jaxdqn.method import State
from jaxdqn.random import unrolled
from jaxdqn.types import Array, Transition


class Stepped(NamedTuple):
    """What one step of all environments showed.

    Attributes:
        transitions: ``[E, ...]``.
        info: the environments' own, ``[E, ...]``.
        episodes: how many ended, int32 ``[]``.
        returns: sum of theirs, ``[]``.
    """

    transitions: Transition
    info: dict[Any, Any]
    episodes: Array
    returns: Array


def choose(config: Config, state: State, by: Callable[..., Any], *more: Any) -> Any:
    """Return what ``by(bits [2], obs, key, *more)`` chooses in each environment.

    Args:
        config: the settings.
        state: whose observations and keys.
        by: the choice in one of them.
        *more: of what it depends on beside, leaves ``[E, ...]``.
    """
    key_explore, key_noise = (
        jax.random.fold_in(unrolled(key), state.vector_steps)
        for key in (state.keys.explore, state.keys.noise)
    )
    count, shared = config.num_envs, config.part("network").shared_noise
    return jax.vmap(by, (0, 0, None if shared else 0, *(0 for _ in more)))(
        jax.random.bits(key_explore, (count, 2)),
        state.obs,
        key_noise if shared else jax.random.split(key_noise, count),
        *more,
    )


def step(
    environment: Environment, env_params: Any, state: State, actions: Array
) -> tuple[State, Stepped]:
    """Step every environment once by its action ``[E]``."""
    key_env = jax.random.fold_in(unrolled(state.keys.env), state.vector_steps)
    obs, env_state, rewards, terminated, truncated, info = jax.vmap(
        environment.step, (0, 0, 0, None)
    )(jax.random.split(key_env, len(actions)), state.env_state, actions, env_params)
    rewards = rewards.astype(jnp.float32)
    last = terminated | truncated
    transitions = Transition(
        obs_tm1=state.obs,
        a_tm1=actions,
        r_t=rewards,
        discount_t=1.0 - terminated.astype(jnp.float32),
        obs_t=info["final_observation"],
        last=last,
    )
    returns = state.episode_return + rewards
    state = state.replace(
        env_state=env_state,
        obs=obs,
        episode_return=jnp.where(last, 0.0, returns),
        vector_steps=state.vector_steps + 1,
    )
    ended = jnp.sum(jnp.where(last, returns, 0.0))
    return state, Stepped(transitions, info, jnp.sum(last), ended)
