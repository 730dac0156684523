"""Any gymnax environment by name, with what an agent needs to know of it.

Networks read observations as they are: an environment of images gives them divided by 255.
"""

import contextlib
import dataclasses
import functools
import inspect
import typing
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdqn import interface, maze, named
from jaxdqn.config import Config
from jaxdqn.deferred import spaces
from jaxdqn.errors import ConfigError, shown, unknown
from jaxdqn.maze import check
from jaxdqn.networks.network import Seen
from jaxdqn.precision import in_usual_numbers
from jaxdqn.settings import RunSettings, as_float, plain, told
from jaxdqn.types import Array, PRNGKey

_OPTIONAL = (int | None, float | None, str | None, tuple[int, int] | None)
"""Annotations of arguments without a default that the command line offers, too."""
_CLASSES: dict[str, type] = {}
"""What each name stood for when it was last looked up."""


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


@in_usual_numbers
def make(config: Config) -> tuple[Environment, Any]:
    """Return the environment that a configuration names, and its parameters.

    Raises:
        ConfigError: an unknown name or argument, or an environment that Q-learning can't handle.
    """
    environment, default_params = _make(config.env, config.env_kwargs)
    params = _override(config.env, default_params, config.env_params)
    if config.env_params and not interface.is_known(environment.gymnax):
        interface.check_shapes(
            config.env, environment.gymnax, environment.num_actions, environment.obs, params
        )
    if hasattr(environment.gymnax, "check_params"):
        environment.gymnax.check_params(params)
    config.part("network").check_reads(seen(config))
    return environment, params


@in_usual_numbers
def seen(config: Config) -> Seen:
    """Return what a network is asked to read.

    Raises:
        ConfigError: an unknown environment or argument.
    """
    environment, _ = _make(config.env, config.env_kwargs)
    return Seen(
        config.env, config.env_kwargs, environment.obs.shape, environment.categories,
        environment.num_actions, environment.is_maze, environment.obs.dtype,
    )  # fmt: skip


def notes(config: Config) -> list[str]:
    """Return sentences on what of an environment is honoured though it may not be meant.

    Raises:
        ConfigError: as for ``make``.
    """
    environment, params = make(config)
    found, obs = [], environment.obs
    highest = np.max(getattr(environment.gymnax.observation_space(params), "high", np.inf))
    if obs.dtype == jnp.uint8 and environment.categories is None and highest > 1:
        found.append(
            f"observations of {config.env} are bytes up to {min(highest, 255):g}, and networks "
            "read numbers as they are, of which they learn little where these are large: divide "
            "by 255 in the environment."
        )
    longest, usual = getattr(params, "max_steps_in_episode", 0), RunSettings().eval_steps
    # Whoever sets it means it; on a maze a greedy agent that is so long on its way goes in circles.
    if config.eval_steps == usual and np.max(longest) > usual and not environment.is_maze:
        found.append(
            f"greedy episodes are cut after eval_steps ({usual}), and those of training last up to "
            f"env_params.max_steps_in_episode ({np.max(longest):,}): set eval_steps to that, or "
            "their returns and lengths don't compare."
        )
    return [*found, *_idle(config, environment)]


def _idle(config: Config, environment: Environment) -> list[str]:
    """Name a maze's arguments that are set though they change nothing beside the others.

    They aren't refused, as in ``config.notes``.
    """
    if not environment.is_maze:
        return []
    given, usual = config.env_kwargs, _usual(environment)
    return [
        f"env_kwargs.{name} ({shown(given[name])}) changes nothing, since {why}."
        for name, why in environment.gymnax.idle.items()
        if name in given and given[name] != usual.get(name)
    ]


@in_usual_numbers
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


@in_usual_numbers
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


def _make(name: str, kwargs: Mapping[str, Any]) -> tuple[Environment, Any]:
    kind = interface.class_of(name)
    if _CLASSES.get(name, kind) is not kind:
        # A notebook has defined the class again, or reloaded its module. Programs are kept by the
        # settings, which say its name alone, and would go on training the old one.
        jax.clear_caches()
    _CLASSES[name] = kind
    return _made(name, kwargs, kind, repr(kwargs))


@functools.lru_cache(maxsize=8)
def _made(name: str, kwargs: Mapping[str, Any], kind: Any, said: str) -> tuple[Environment, Any]:
    del said  # a part of the key: 1, 1.0 and True are equal, and not the same arguments
    interface.check_kwargs(name, kind, kwargs)
    with nowhere():
        interface.check_made(name, kind, kwargs)
        try:
            # Now, as arrays, even while a caller is being traced.
            with jax.ensure_compile_time_eval():
                env = kind(**kwargs)
        except ConfigError:
            raise
        except Exception as error:
            raise ConfigError(
                f"env_kwargs ({shown(dict(kwargs))}) were refused by {name} "
                f"({named.first_line(error)}{named.place(error)}): change them."
            ) from error
        params, num_actions, seen, obs = interface.look_at(name, env)
    categories = seen.n if isinstance(seen, spaces.Discrete) else None
    if isinstance(env, maze.Maze):
        categories = env.observation.categories
    return Environment(env, num_actions, obs, categories), params


def nowhere() -> contextlib.AbstractContextManager[Any]:
    """Trace and make arrays in no mesh of a caller's, since they are kept."""
    return jax.sharding.use_abstract_mesh(jax.sharding.AbstractMesh((), ()))


def _override(name: str, params: Any, changes: Mapping[str, Any]) -> Any:
    declared = {field.name: field for field in dataclasses.fields(params)}
    known = declared.keys() - {"levels", "held_out"}
    for key, value in changes.items():
        if key not in known:
            raise unknown("env_params", key, known, f" to {name}")
        own, traced = getattr(params, key), isinstance(value, jax.core.Tracer)
        if traced and not declared[key].metadata.get("pytree_node", True):
            raise ConfigError(
                f"env_params.{key} is structure in {name}, fixed when the program is compiled, so "
                "it can't be traced or swept in one call: give one plain value."
            )
        if _kind(own) == "O" and own is not None:
            raise ConfigError(f"env_params.{key} is no number in {name}: leave it out.")
        is_truth = _kind(own) == "b"
        # Of an array it is its dtype that says so; a plain 1 may be meant for a fraction.
        is_array = isinstance(own, jax.Array | np.ndarray)
        counts = _kind(own) in "iu" and (is_array or declared[key].type in (int, "int"))
        if (_kind(value) == "b") != is_truth or (counts and _kind(value) == "f"):
            kind = "true or false" if is_truth else "a whole number" if counts else "a number"
            said = f"traced {value.dtype}" if traced else shown(value)
            raise ConfigError(f"env_params.{key} ({said}) is {kind} in {name}: change it.")
        shape, usual = np.shape(value), np.shape(own)
        # The maze itself says how rewards may be spread over its cells.
        if shape != usual and key != "cell_rewards" and not traced:
            raise ConfigError(
                f"env_params.{key} has shape {shape} instead of {usual}: give what one environment "
                "takes, or map over the array with jax.vmap."
            )
        if is_array and counts:
            within = np.iinfo(own.dtype)
            check.number(f"env_params.{key}", value, within.min, within.max)
        if key == "max_steps_in_episode":
            check.number(f"env_params.{key}", value, 1, 2**31 - 1)
            check.count(f"env_params.{key}", value)
    return params.replace(**{key: _as(getattr(params, key), x) for key, x in changes.items()})


def _kind(value: Any) -> str:
    """Return NumPy's letter for what a parameter is, also where it is traced; "O" of keys."""
    dtype = value.dtype if hasattr(value, "dtype") else np.asarray(value).dtype
    return str(getattr(dtype, "kind", "O"))


def _as(usual: Any, value: Any) -> Any:
    """Return a parameter of the kind that the environment's own is of."""
    if isinstance(usual, jax.Array | np.ndarray):
        # As TOML's [1, 2] for fractions: states and rewards that are made of it are of its dtype.
        return jnp.asarray(value, jnp.asarray(usual).dtype)
    if isinstance(value, np.ndarray | list | tuple):
        value = jnp.asarray(value)
    if not isinstance(usual, float):
        return plain(value)
    # A sweep over 1 and 2 traces whole numbers, which alone are fractions, too.
    is_whole = isinstance(value, jax.Array) and _kind(value) in "iu"
    return value.astype(jnp.float32) if is_whole else as_float(value)
