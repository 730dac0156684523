"""Any gymnax environment by name, with what an agent needs to know of it."""

import dataclasses
import functools
import importlib
import inspect
import sys
import traceback
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdqn import maze
from jaxdqn.config import Config
from jaxdqn.deferred import gymnax, spaces
from jaxdqn.errors import ConfigError, shown, unknown
from jaxdqn.maze import check
from jaxdqn.networks.network import Seen
from jaxdqn.settings import as_float, told
from jaxdqn.types import Array, PRNGKey

_OPTIONAL = (int | None, float | None, str | None, tuple[int, int] | None)
"""Annotations of arguments without a default that the command line offers, too."""
_LIBRARIES = {"chex", "flax", "gymnax", "jax", "jaxdqn", "jaxlib", "numpy"}
"""Packages that an environment's own code calls, or is called by."""


class Environment(NamedTuple):
    """An environment's functions and shapes.

    Attributes:
        gymnax: the gymnax environment.
        num_actions: size of its discrete action space (A).
        obs: shape and dtype of one observation as it really is (spaces may lie).
        categories: number of values where observations are names, to be one-hot encoded; None
            where they are quantities.
    """

    gymnax: Any
    num_actions: int
    obs: jax.ShapeDtypeStruct
    categories: int | None

    def reset(self, key: PRNGKey, params: Any) -> tuple[Array, Any]:
        """Return the first observation and state; the key is consumed."""
        return self.gymnax.reset(key, params)

    def step(
        self, key: PRNGKey, state: Any, action: Array, params: Any
    ) -> tuple[Array, Any, Array, Array, Array, dict[Any, Any]]:
        """Step and, where an episode ended, reset; the key is consumed.

        Returns:
            Next observation (of the reset, where there was one), next state, reward, terminated,
            truncated, and info, whose ``final_observation`` is what the agent saw last.
        """
        return self.gymnax.step(key, state, action, params)

    @property
    def is_maze(self) -> bool:
        """Whether the goal, the shortest path and exact values are known."""
        return isinstance(self.gymnax, maze.Maze)


def make(config: Config) -> tuple[Environment, Any]:
    """Return the environment that a configuration names, and its parameters.

    Raises:
        ConfigError: an unknown name or argument, or an environment that Q-learning can't handle.
    """
    environment, default_params = _make(config.env, config.env_kwargs)
    params = _override(config.env, default_params, config.env_params)
    if hasattr(environment.gymnax, "check_params"):
        environment.gymnax.check_params(params)
    config.part("network").check_reads(seen(config))
    return environment, params


def seen(config: Config) -> Seen:
    """Return what a network is asked to read.

    Raises:
        ConfigError: an unknown environment or argument.
    """
    environment, _ = _make(config.env, config.env_kwargs)
    return Seen(
        config.env, config.env_kwargs, environment.obs.shape, environment.categories,
        environment.num_actions, environment.is_maze, _usual(environment),
    )  # fmt: skip


def defaults(config: Config) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the constructor arguments and scalar parameters that the environment offers.

    Raises:
        ConfigError: an unknown environment or argument.
    """
    environment, params = _make(config.env, config.env_kwargs)
    hints = _hints(environment)
    kwargs = {
        name: value
        for name, value in _usual(environment).items()
        if isinstance(value, bool | int | float | str) or hints.get(name) in _OPTIONAL
    }
    numbers = {
        field.name: value
        for field in dataclasses.fields(params)
        if isinstance(value := getattr(params, field.name), bool | int | float)
    }
    return kwargs, numbers


def described(config: Config) -> tuple[dict[str, tuple[Any, str]], dict[str, tuple[Any, str]]]:
    """Return of what ``defaults`` returns the kinds, and what docstrings say, by name.

    Raises:
        ConfigError: an unknown environment or argument.
    """
    environment, params = _make(config.env, config.env_kwargs)
    hints, kind = _hints(environment), type(environment.gymnax)
    of_kwargs, of_params = told(kind) | told(kind.__init__), told(type(params))
    kwargs, numbers = defaults(config)

    def kind_of(name: str, value: Any) -> Any:
        hint = hints.get(name)
        return hint if value is None or typing.get_origin(hint) is Literal else type(value)

    return (
        {name: (kind_of(name, x), of_kwargs.get(name, "")) for name, x in kwargs.items()},
        {name: (type(x), of_params.get(name, "")) for name, x in numbers.items()},
    )


def _hints(environment: Environment) -> dict[str, Any]:
    """Return how the constructor's arguments are annotated."""
    return {name: of.annotation for name, of in _taken(environment).items()}


def _usual(environment: Environment) -> dict[str, Any]:
    """Return what the constructor takes where nothing else is said."""
    taken = _taken(environment).items()
    return {name: of.default for name, of in taken if of.default is not of.empty}


def _taken(environment: Environment) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(type(environment.gymnax)).parameters


@functools.lru_cache(maxsize=8)
def _make(name: str, kwargs: Mapping[str, Any]) -> tuple[Environment, Any]:
    kind = _class_of(name)
    _check_kwargs(name, kind, kwargs)
    # Made now, as arrays, even while a caller is being traced, and kept: so not inside its mesh.
    nowhere = jax.sharding.AbstractMesh((), ())
    with jax.sharding.use_abstract_mesh(nowhere):
        try:
            with jax.ensure_compile_time_eval():
                env = kind(**kwargs)
        except ConfigError:
            raise
        except Exception as error:
            raise ConfigError(
                f"env_kwargs ({shown(dict(kwargs))}) were refused by {name} "
                f"({_first_line(error)}{_place(error)}): change them."
            ) from error
        params, actions, seen, obs = _look_at(name, env)
    if not isinstance(actions, spaces.Discrete):
        raise ConfigError(
            f"env ({name!r}) has continuous actions, and Q-learning needs discrete ones: "
            "use another environment."
        )
    if not hasattr(obs, "shape"):
        raise ConfigError(
            f"env ({name!r}) gives observations of several arrays, which no network here reads: "
            "use an environment that gives one array."
        )
    categories = seen.n if isinstance(seen, spaces.Discrete) else None
    if isinstance(env, maze.Maze):
        categories = env.observation.categories
    return Environment(env, int(actions.n), obs, categories), params


def _class_of(name: str) -> Any:
    """Return the class of a registered environment, or of ``package.module:Class``."""
    if ":" not in name:
        if name not in gymnax.registered_envs:
            raise _unknown(name)
        return gymnax.registration._registry[name]
    module, _, attribute = name.partition(":")
    try:
        imported = importlib.import_module(module)
    except Exception as error:  # whatever the module does when it is run
        raise ConfigError(
            f"env ({name!r}) names a module that can't be imported ({_what(error)}): write "
            "package.module:Class of something that Python can import from here."
        ) from error
    try:
        found = getattr(imported, attribute)
    except AttributeError:
        raise ConfigError(
            f"env ({name!r}) names a class that {module} doesn't have: check its name."
        ) from None
    if not inspect.isclass(found):
        raise ConfigError(f"env ({name!r}) is no class: name the environment's class.")
    return found


def _unknown(name: str) -> ConfigError:
    module, dot, attribute = name.rpartition(".")
    if dot and module and attribute.isidentifier():
        return ConfigError(
            f"env ({name!r}) is not known: a class of one's own is named package.module:Class, "
            f"such as '{module}:{attribute}'."
        )
    return unknown("env", name, gymnax.registered_envs)


def _look_at(name: str, env: Any) -> tuple[Any, Any, Any, Any]:
    """Return an environment's parameters, its spaces and the shape of what it shows.

    Raises:
        ConfigError: it isn't an environment of gymnax 1.0 or later.
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
        if not dataclasses.is_dataclass(params):
            raise ConfigError(
                f"env ({name!r}) has default_params of type {type(params).__name__}: make it a "
                "flax.struct.dataclass, as gymnax's are."
            )
        obs, state = jax.eval_shape(env.reset, jax.random.key(0), params)
        # Those of gymnax and ours are known to be right; looking takes a tenth of a second.
        if not type(env).__module__.startswith(("gymnax.", "jaxdqn.")):
            _check_step(name, env, params, state)
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(
            f"env ({name!r}) can't be used as gymnax 1.0's environments are ({_what(error)}): "
            f"{_remedy(error)}."
        ) from error
    return params, actions, seen, obs


def _check_step(name: str, env: Any, params: Any, state: Any) -> None:
    step_env = getattr(env, "step_env", None)
    action = jax.ShapeDtypeStruct((), jnp.int32)
    if step_env is not None:
        values = jax.eval_shape(step_env, jax.random.key(0), state, action, params)
        if len(values) != 5:
            raise ConfigError(
                f"env ({name!r}) returns {len(values)} values from step_env: return observation, "
                "state, reward, whether the world ended, and a dictionary."
            )
    values = jax.eval_shape(env.step, jax.random.key(0), state, action, params)
    if len(values) != 6 or "final_observation" not in values[-1]:
        raise ConfigError(
            f"env ({name!r}) returns {len(values)} values from step, and gymnax 1.0's are six, the "
            "last with a final_observation: derive it from "
            "gymnax.environments.environment.Environment and define step_env only."
        )


def _what(error: Exception) -> str:
    return f"{type(error).__name__}: {_first_line(error)}{_place(error)}"


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(".")


def _place(error: Exception) -> str:
    """Return where in the user's own code an error comes from, such as " at myenv.py:27"."""
    at = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        package = str(frame.f_globals.get("__name__")).partition(".")[0]
        if package not in _LIBRARIES | sys.stdlib_module_names:
            at = f" at {Path(frame.f_code.co_filename).name}:{line}"
    return at


def _remedy(error: Exception) -> str:
    branches = isinstance(error, jax.errors.TracerBoolConversionError)
    return "use jnp.where in place of if" if branches else "mend it"


def _check_kwargs(name: str, kind: Any, kwargs: Mapping[str, Any]) -> None:
    try:
        known = inspect.signature(kind).parameters
    except ValueError:
        raise ConfigError(
            f"env ({name!r}) is built in and shows no arguments, so it is no gymnax environment: "
            "name the environment's class."
        ) from None
    for key, value in kwargs.items():
        if key not in known:
            raise unknown("env_kwargs", key, known, f" to {name}")
        if value is None and known[key].default is not None:
            raise ConfigError(
                f"env_kwargs.{key} (None) is not its default and can't be written down in TOML: "
                "give another value, or leave it out."
            )


def _override(name: str, params: Any, changes: Mapping[str, Any]) -> Any:
    known = {field.name for field in dataclasses.fields(params)} - {"levels", "held_out"}
    for key, value in changes.items():
        if key not in known:
            raise unknown("env_params", key, known, f" to {name}")
        shape, usual = np.shape(value), np.shape(getattr(params, key))
        # The maze itself says how rewards may be spread over its cells.
        if shape != usual and key != "cell_rewards" and not isinstance(value, jax.core.Tracer):
            raise ConfigError(
                f"env_params.{key} has shape {shape} instead of {usual}: give what one environment "
                "takes, or map over the array with jax.vmap."
            )
        if key == "max_steps_in_episode":
            check.number(f"env_params.{key}", value, 1, 2**31 - 1)
    return params.replace(**{key: _as(getattr(params, key), x) for key, x in changes.items()})


def _as(usual: Any, value: Any) -> Any:
    """Return a parameter of the kind that the environment's own is of."""
    if isinstance(value, np.ndarray | list | tuple):
        return jnp.asarray(value)
    return as_float(value) if isinstance(usual, float) else value
