"""Refuse a configuration that can't be honoured, in one sentence, before anything is traced."""

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdqn.config.config import Config, check_table
from jaxdqn.types import ConfigError, unknown

FIELDS = {field.name: field for field in dataclasses.fields(Config)}
_HINTS = typing.get_type_hints(Config)


def check(config: Config) -> None:
    """Check every field by itself, then the schedule's arithmetic.

    Leaves that are being traced can't be looked at and are let through.

    Raises:
        ConfigError: at the first setting that can't be honoured.
    """
    check_kind(config)
    for name, field in FIELDS.items():
        value = getattr(config, name)
        if name in ("env_kwargs", "env_params"):
            check_table(name, value)
            continue
        if field.metadata.get("pytree_node", True):
            _check_leaf(name, value, field.metadata)
        else:
            _check_static(name, value, field.metadata["low"])
    _check_schedule(config)


def _check_static(name: str, value: Any, low: int | None) -> None:
    hint = _HINTS[name]
    if isinstance(value, jax.Array | np.ndarray):
        raise ConfigError(
            f"{name} (an array of shape {value.shape}) is structure, fixed when the program is "
            f"compiled, so it can't be traced or swept in one call: give one plain value."
        )
    if typing.get_origin(hint) is typing.Literal:
        choices = typing.get_args(hint)
        if value not in choices:
            raise unknown(f"{name} =", str(value), choices)
    elif hint is bool:
        if not isinstance(value, bool):
            raise ConfigError(f"{name} ({value!r}) must be true or false: write it without quotes.")
    elif hint is str:
        if not isinstance(value, str):
            raise ConfigError(
                f"{name} ({value!r}) must be a name in quotes: that of an environment registered "
                "with gymnax, or of a class as 'package.module:Class'."
            )
    else:
        sizes = value if isinstance(value, tuple) else (value,)
        plural = hint is not int
        whole = all(isinstance(size, int) and not isinstance(size, bool) for size in sizes)
        if isinstance(value, tuple) != plural or not whole or any(size < low for size in sizes):
            kind = f"a list of whole numbers, each {low}" if plural else f"a whole number, {low}"
            raise ConfigError(f"{name} ({value!r}) must be {kind} or more: change it.")
        if any(size >= 2**31 for size in sizes):
            raise ConfigError(f"{name} ({value!r}) must be below 2147483648: lower it.")


def check_kind(config: Any) -> None:
    """Refuse, with a ``ConfigError``, what isn't a configuration."""
    if not isinstance(config, Config):
        raise ConfigError(
            f"config ({config!r}) must be a jaxdqn.Config: read a file with jaxdqn.load_config."
        )


def check_key(key: Any) -> None:
    """Refuse what isn't one typed random key.

    Raises:
        ConfigError: with the way to make one.
    """
    kind = getattr(key, "dtype", None)
    if kind is None or not jnp.issubdtype(kind, jax.dtypes.prng_key):
        raise ConfigError(f"key ({key!r}) must be a random key: write jax.random.key(0).")
    if key.shape:
        raise ConfigError(
            f"key (an array of shape {key.shape}) is many keys, and this trains one agent: "
            "give one of them, or map over the array with jax.vmap."
        )


def check_single(config: Config) -> None:
    """Refuse an array where one agent takes one number; traced ones have lost their sweep's axis.

    Raises:
        ConfigError: naming the first such field.
    """
    for name, field in FIELDS.items():
        value = getattr(config, name)
        if field.metadata.get("pytree_node", True) and name != "env_params" and np.shape(value):
            raise ConfigError(
                f"{name} (an array of shape {np.shape(value)}) is a sweep, and this trains one "
                "setting: give one number, or map over the array with jax.vmap."
            )


def _check_leaf(name: str, value: Any, bounds: Mapping[str, Any]) -> None:
    if isinstance(value, jax.core.Tracer):
        return
    low, high = bounds["low"], bounds["high"]
    whole = _HINTS[name] is int
    kind = "a whole number" if whole else "a number"
    span = f"{low:g} or more" if high == np.inf else f"from {low:g} to {high:g}"
    numbers = np.asarray(value)
    right = numbers.dtype.kind in ("iu" if whole else "iuf")
    if not right or not np.all((numbers >= low) & (numbers <= high)):
        raise ConfigError(f"{name} ({value!r}) must be {kind}, {span}: change it.")
    with np.errstate(over="ignore"):
        finite = np.isfinite(numbers.astype(np.float32)).all()
    if not finite and not bounds["infinite"]:
        raise ConfigError(f"{name} ({value!r}) must be finite in 32 bits: lower it.")
    if whole and np.any(numbers >= 2**31):
        raise ConfigError(f"{name} ({value!r}) must be below 2147483648: lower it.")


def _check_schedule(config: Config) -> None:
    plan = config.schedule
    warm, per_iteration = plan.warmup_env_steps, plan.env_steps_per_iteration
    if config.batch_size > warm:
        raise ConfigError(
            f"batch_size ({config.batch_size}) exceeds what warm-up collects ({warm}): "
            f"raise warmup_steps to {config.batch_size} or more."
        )
    if warm > config.capacity:
        raise ConfigError(
            f"warmup_steps ({config.warmup_steps}, in {config.num_envs} environments {warm}) "
            f"exceeds capacity ({config.capacity}), so its beginning would be lost: "
            f"raise capacity to {warm} or lower warmup_steps."
        )
    if per_iteration > config.capacity:
        raise ConfigError(
            f"num_envs ({config.num_envs}) × train_every ({config.train_every}) = {per_iteration} "
            f"transitions between updates exceed capacity ({config.capacity}): "
            f"raise capacity to {per_iteration} or lower num_envs or train_every."
        )
    if config.total_steps - warm < per_iteration:
        raise ConfigError(
            f"total_steps ({config.total_steps}) leaves nothing to learn after warm-up ({warm}): "
            f"raise total_steps to {warm + per_iteration} or more, or lower warmup_steps "
            f"({config.warmup_steps}), or shorten all of a schedule with --scale."
        )
    if plan.env_steps >= 2**31:
        raise ConfigError(
            f"total_steps ({config.total_steps}) must stay below 2147483648, since steps are "
            f"counted in 32 bits: lower it and call run again to carry on."
        )
    if plan.updates >= 2**31:
        raise ConfigError(
            f"updates_per_step ({config.updates_per_step}) makes {plan.updates} updates, which "
            "must stay below 2147483648: lower it."
        )
    _check_epsilon(config)


def _check_epsilon(config: Config) -> None:
    start, end = config.epsilon_start, config.epsilon_end
    if isinstance(start, jax.core.Tracer) or isinstance(end, jax.core.Tracer):
        return
    if np.any(np.asarray(end) > np.asarray(start)):
        raise ConfigError(
            f"epsilon_end ({end}) exceeds epsilon_start ({start}): lower epsilon_end or raise "
            f"epsilon_start."
        )
