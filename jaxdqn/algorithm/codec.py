"""What the replay buffer keeps of a transition: as few bytes as give it back exactly."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdqn.config import Config
from jaxdqn.environment import Environment
from jaxdqn.errors import ConfigError
from jaxdqn.types import Array, Transition


class Codec(NamedTuple):
    """How one transition is stored.

    Attributes:
        narrow: ``(transition, state before, state after) -> stored``; the states are those of the
            environment, the one after being the last of its episode, never a reset.
        widen: ``(stored, env_params) -> transition``.
        example: shapes and dtypes of what is stored.
    """

    narrow: Callable[[Transition, Any, Any], Transition]
    widen: Callable[[Transition, Any], Transition]
    example: Transition


def make(config: Config, environment: Environment, env_params: Any) -> Codec:
    """Return how the settings store a transition.

    Actions and discounts take a byte each. With ``stored = "states"`` observations aren't stored
    at all but made anew, from what the environment's state says of them, whenever sampled.

    Raises:
        ConfigError: an environment whose states don't say what is observed.
    """
    states = config.stored == "states"
    if states and not environment.is_maze:
        raise ConfigError(
            f"stored ('states') needs observations that a small state determines, as "
            f"Maze-jaxdqn's, but env is {config.env!r}: set stored = 'observations'."
        )
    action_dtype = np.min_scalar_type(environment.num_actions - 1)

    def narrow(transition: Transition, state_tm1: Any, state_t: Any) -> Transition:
        obs_tm1, obs_t = transition.obs_tm1, transition.obs_t
        if states:
            obs_tm1, obs_t = map(environment.gymnax.compress, (state_tm1, state_t))
        return Transition(
            obs_tm1=obs_tm1,
            a_tm1=transition.a_tm1.astype(action_dtype),
            r_t=transition.r_t,
            discount_t=transition.discount_t.astype(bool),
            obs_t=obs_t,
            last=transition.last if config.n_step > 1 else None,
        )

    def widen(stored: Transition, env_params: Any) -> Transition:
        def observe(kept: Any) -> Array:
            return environment.gymnax.recall(kept, env_params) if states else kept

        return Transition(
            obs_tm1=observe(stored.obs_tm1),
            a_tm1=stored.a_tm1.astype(jnp.int32),
            r_t=stored.r_t,
            discount_t=stored.discount_t.astype(jnp.float32),
            obs_t=observe(stored.obs_t),
        )

    whole: Any = jax.ShapeDtypeStruct((), jnp.int32)
    number: Any = jax.ShapeDtypeStruct((), jnp.float32)
    truth: Any = jax.ShapeDtypeStruct((), bool)
    wide = Transition(environment.obs, whole, number, number, environment.obs, truth)
    _, state = jax.eval_shape(environment.reset, jax.random.key(0), env_params)
    return Codec(narrow, widen, jax.eval_shape(narrow, wide, state, state))
