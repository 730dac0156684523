"""What a name of an environment stands for, and refusals of what isn't as gymnax 1.0's are."""

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jaxdqn import named, pytrees
from jaxdqn.deferred import gymnax, spaces
from jaxdqn.errors import ConfigError, unknown

LARGEST = 2**31
"""Most bytes of what an environment gives at one step, or of arrays that it is made of. Training
keeps thousands of the former; of much more XLA doesn't say that it has no memory: it aborts."""
REAL = (jnp.bool_, jnp.integer, jnp.floating)
"""Kinds of numbers that networks read and returns are sums of."""


def class_of(name: str) -> Any:
    """Return the class of a registered environment, or of ``package.module:Class``."""
    if ":" not in name:
        if name not in gymnax.registered_envs:
            raise _unknown(name)
        return gymnax.registration._registry[name]
    return named.class_of("env", name)


def _unknown(name: str) -> ConfigError:
    module, dot, attribute = name.rpartition(".")
    if dot and module and attribute.isidentifier():
        return ConfigError(
            f"env ({name!r}) is not known: a class of one's own is named package.module:Class, "
            f"such as '{module}:{attribute}'."
        )
    return unknown("env", name, gymnax.registered_envs)


def look_at(name: str, env: Any) -> tuple[Any, int, Any, Any]:
    """Return an environment's parameters, how many actions there are, the space of observations,
    and the shape and dtype of one.

    Raises:
        ConfigError: it isn't an environment of gymnax 1.0 or later, or not one for Q-learning.
    """
    for part in ("default_params", "reset", "step", "action_space", "observation_space"):
        if not hasattr(env, part):
            raise ConfigError(
                f"env ({name!r}) has no {part}, so it is no gymnax environment: derive it from "
                "gymnax.environments.environment.Environment."
            )
    try:
        with jax.ensure_compile_time_eval():
            params = env.default_params
            actions, seen = env.action_space(params), env.observation_space(params)
        if not (dataclasses.is_dataclass(params) and hasattr(params, "replace")):
            raise ConfigError(
                f"env ({name!r}) has default_params of type {type(params).__name__}: make it a "
                "flax.struct.dataclass, as gymnax's are."
            )
        num_actions = _count(name, actions)
        obs, state = jax.eval_shape(env.reset, jax.random.key(0), params)
        if not hasattr(obs, "shape"):
            raise ConfigError(
                f"env ({name!r}) gives observations of several arrays, which no network here "
                "reads: use an environment that gives one array."
            )
        if not (obs.size and _is_real(obs)):
            raise ConfigError(
                f"env ({name!r}) gives observations of {_shape(obs)}, and networks read numbers: "
                "give bools, whole numbers or fractions, one at least."
            )
        _check_bytes(name, "observation and state", (obs, state))
        # Looking takes a tenth of a second.
        if not is_known(env):
            _check_step(name, env, params, obs, state)
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(
            f"env ({name!r}) can't be used as gymnax 1.0's environments are ({named.what(error)}): "
            f"{_remedy(error)}."
        ) from error
    return params, num_actions, seen, obs


def _count(name: str, actions: Any) -> int:
    """Return how many actions a space has, refusing one that Q-learning can't choose from."""
    if isinstance(actions, spaces.Box):
        raise ConfigError(
            f"env ({name!r}) has continuous actions, and Q-learning needs discrete ones: "
            "use another environment."
        )
    if not isinstance(actions, spaces.Discrete):
        raise ConfigError(
            f"env ({name!r}) has an action_space of type {type(actions).__name__}, and Q-learning "
            "chooses one action from a list: make it a Discrete space, of all combinations where "
            "there are several choices at once."
        )
    if actions.n < 1:
        raise ConfigError(
            f"env ({name!r}) has no action to choose (Discrete({actions.n})): give it 1 or more."
        )
    return int(actions.n)


def is_known(env: Any) -> bool:
    """Whether an environment is gymnax's or ours, which are right."""
    return type(env).__module__.startswith(("gymnax.", "jaxdqn."))


def check_shapes(name: str, env: Any, num_actions: int, obs: Any, params: Any) -> None:
    """Refuse, with a ``ConfigError``, parameters that change what there is to do or to see.

    Args:
        name: of the environment.
        env: it.
        num_actions: with the parameters that it has by default.
        obs: shape and dtype of an observation with these.
        params: others, which may be traced.
    """
    try:
        found = jax.eval_shape(env.reset, jax.random.key(0), params)[0]
        same = bool(env.action_space(params).n == num_actions) and _shape(found) == _shape(obs)
    except Exception as error:
        raise ConfigError(
            f"env_params can't be used by {name} ({named.what(error)}): change them."
        ) from error
    if not same:
        raise ConfigError(
            f"env_params change how many actions {name} has ({num_actions}) or what its "
            f"observations are ({_shape(obs)}), of which a network is made: let its constructor "
            "take what does, and set it in env_kwargs."
        )


def _check_step(name: str, env: Any, params: Any, obs: Any, state: Any) -> None:
    step_env = getattr(env, "step_env", None)
    action = jax.ShapeDtypeStruct((), jnp.int32)
    if step_env is not None:
        values = jax.eval_shape(step_env, jax.random.key(0), state, action, params)
        if len(values) != 5:
            raise ConfigError(
                f"env ({name!r}) returns {len(values)} values from step_env: return observation, "
                "state, reward, whether the world ended, and a dictionary."
            )
        _check_outcome(name, "step_env", *values[2:4])
        if not isinstance(values[4], Mapping):
            raise ConfigError(
                f"env ({name!r}) gives info of type {type(values[4]).__name__} from step_env: "
                "return a dictionary, {} where there is nothing to say."
            )
        _check_goes_on(name, (obs, state), values[:2])
    values = jax.eval_shape(env.step, jax.random.key(0), state, action, params)
    if len(values) != 6 or "final_observation" not in values[-1]:
        raise ConfigError(
            f"env ({name!r}) returns {len(values)} values from step, and gymnax 1.0's are six, the "
            "last with a final_observation: derive it from "
            "gymnax.environments.environment.Environment and define step_env only."
        )
    _check_outcome(name, "step", *values[2:4])
    _check_outcome(name, "is_truncated", values[2], values[4])


def _check_goes_on(name: str, begun: Any, went_on: Any) -> None:
    """Refuse, with a ``ConfigError``, a step that gives other arrays than an episode begins with.

    Args:
        name: of the environment.
        begun: observation and state at the start.
        went_on: and after a step.
    """
    first, then = (
        pytrees.named_leaves(dict(zip(("observation", "state"), pair, strict=True)))
        for pair in (begun, went_on)
    )
    for part in first | then:
        begins, goes_on = (_shape(leaves.get(part)) for leaves in (first, then))
        if begins != goes_on:
            raise ConfigError(
                f"env ({name!r}) gives {part} as {begins} from reset and {goes_on} from step_env: "
                "give both the same shape and dtype."
            )


def _check_outcome(name: str, where: str, reward: Any, ended: Any) -> None:
    """Refuse, with a ``ConfigError``, a reward that isn't a real number, or an end that is no bool.

    Args:
        name: of the environment.
        where: what gave them.
        reward: shape and dtype of it.
        ended: and of whether the world or the time did.
    """
    if getattr(reward, "shape", None) != () or not _is_real(reward):
        raise ConfigError(
            f"env ({name!r}) gives a reward of {_shape(reward)} from {where}, and a step has one "
            "real number: return it without axes, such as reward.squeeze()."
        )
    if getattr(ended, "shape", None) != () or ended.dtype != bool:
        raise ConfigError(
            f"env ({name!r}) says whether an episode ended by {_shape(ended)} from {where}, and it "
            "must be one bool: return a comparison, such as done > 0, without axes."
        )


def _is_real(value: Any) -> bool:
    return any(jnp.issubdtype(value.dtype, kind) for kind in REAL)


def _shape(value: Any) -> str:
    """Return what a sentence says of an array's dtype and shape, or of what is none."""
    return f"{value.dtype} {value.shape}" if hasattr(value, "shape") else type(value).__name__


def _remedy(error: Exception) -> str:
    branches = isinstance(error, jax.errors.TracerBoolConversionError)
    return "use jnp.where in place of if" if branches else "mend it"


def check_made(name: str, kind: Any, kwargs: Mapping[str, Any]) -> None:
    """Refuse, with a ``ConfigError``, arguments of which gymnax's own classes make huge arrays."""
    if not (kwargs and kind.__module__.startswith("gymnax.")):
        return

    def arrays() -> dict[str, Any]:
        return {key: x for key, x in vars(kind(**kwargs)).items() if isinstance(x, jax.Array)}

    try:
        made = jax.eval_shape(arrays)
    except Exception:  # it can't be traced, or is refused when it is made
        return
    _check_bytes(name, "arrays to begin with", made)


def _check_bytes(name: str, what: str, arrays: Any) -> None:
    if (size := pytrees.size(arrays)) > LARGEST:
        raise ConfigError(
            f"env ({name!r}) has {what} of {size:.3g} bytes, more than {LARGEST}: make it smaller, "
            "by env_kwargs where it takes any."
        )


def check_kwargs(name: str, kind: Any, kwargs: Mapping[str, Any]) -> None:
    """Refuse, with a ``ConfigError``, arguments that the constructor of a class doesn't take."""
    try:
        known = inspect.signature(kind).parameters
    except ValueError:
        raise ConfigError(
            f"env ({name!r}) is built in and shows no arguments, so it is no gymnax environment: "
            "name the environment's class."
        ) from None
    all_others = [key for key, one in known.items() if one.kind is one.VAR_KEYWORD]
    for key, value in kwargs.items():
        if key not in known and not all_others:
            raise unknown("env_kwargs", key, known, f" to {name}")
        if value is None and (key not in known or known[key].default is not None):
            raise ConfigError(
                f"env_kwargs.{key} (None) is not its default and can't be written down in TOML: "
                "give another value, or leave it out."
            )
