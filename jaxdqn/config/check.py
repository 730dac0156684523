"""Refuse a configuration that can't be honoured, in one sentence, before anything is traced."""

import typing
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.typing import ArrayLike

from jaxdqn import settings
from jaxdqn.config import parts
from jaxdqn.config.config import Config
from jaxdqn.errors import ConfigError, as_whole, brief, shown, unknown
from jaxdqn.settings import Word

SMALLEST = float(np.finfo(np.float32).tiny)
"""Least size of a number of 32 bits at full precision."""


def check(config: Config) -> None:
    """Check every word by itself, then what the parts say of their own together.

    Leaves that are being traced can't be looked at and are let through.

    Raises:
        ConfigError: at the first setting that can't be honoured, or where this is no ``Config``.
    """
    check_kind(config)
    config = config.settled()
    for word in (parts.RUN, *config.chosen):
        check_words(config.part(word))
    for word in config.chosen:
        if hasattr(part := config.part(word), "check"):
            part.check(config.part(parts.RUN))
    for word in config.chosen:
        for other in config.chosen:
            # What a part says of another stands with it, as check_network of a method.
            if refuse := getattr(config.part(word), f"check_{other}", None):
                refuse(config.part(other), config.part(parts.RUN))


def check_words(part: Any) -> None:
    """Check every word of one part by itself.

    Raises:
        ConfigError: at the first that can't be honoured.
    """
    for name, known in settings.words(part.__class__).items():
        _check_word(known, vars(part)[name])


def check_kind(config: Any) -> None:
    """Refuse what isn't a ``Config``.

    Raises:
        ConfigError: saying how to make one.
    """
    if not isinstance(config, Config):
        path = config if isinstance(config, str) else "configs/maze.toml"
        raise ConfigError(
            f"config ({brief(config)}) must be a Config: write jaxdqn.load_config({path!r}) or "
            "jaxdqn.Config(...)."
        )


def check_single(config: Config) -> None:
    """Refuse an array where one agent takes one number; traced ones have lost their sweep's axis.

    Raises:
        ConfigError: naming the first such word.
    """
    for name, word in config.words.items():
        value = getattr(config, name)
        if word.is_number and not word.is_table and np.shape(value):
            listed = isinstance(value, list | tuple)
            said = shown(list(value)) if listed else f"an array of shape {np.shape(value)}"
            raise ConfigError(
                f"{name} ({said}) is a sweep, and this trains one setting: give one number, or map "
                "over the array with jax.vmap."
            )


def chosen_length(evaluations: ArrayLike | None, usual: int) -> int:
    """Return how many evaluations are to be run: those asked for, or ``usual`` where that is None.

    Raises:
        ConfigError: so many can't be.
    """
    length = usual if evaluations is None else evaluations
    whole = as_whole(length)
    if whole is None or whole < 0:
        raise ConfigError(
            f"evaluations ({shown(length)}) must be a whole number, 0 or more: change it."
        )
    return whole


def _check_word(word: Word, value: Any) -> None:
    if word.is_table:
        _check_table(word, value)
    elif word.is_number:
        _check_leaf(word, value)
    else:
        _check_static(word, value)


def _check_static(word: Word, value: Any) -> None:
    name, hint, low = word.name, word.kind, word.bounds["low"]
    if isinstance(value, jax.Array | np.ndarray):
        raise ConfigError(
            f"{name} (an array of shape {value.shape}) is structure, fixed when the program is "
            f"compiled, so it can't be traced or swept in one call: give one plain value."
        )
    if typing.get_origin(hint) is typing.Literal:
        choices = typing.get_args(hint)
        if value not in choices:
            raise unknown(f"{name} =", value, choices)
    elif hint is bool:
        if not isinstance(value, bool):
            raise ConfigError(f"{name} ({shown(value)}) must be true or false: no quotes.")
    elif hint is str:
        if not isinstance(value, str):
            raise ConfigError(f"{name} ({shown(value)}) must be a name: {word.bounds['remedy']}.")
    else:
        sizes = value if isinstance(value, tuple) else (value,)
        plural = hint is not int
        whole = all(isinstance(size, int) and not isinstance(size, bool) for size in sizes)
        if isinstance(value, tuple) != plural or not whole or any(size < low for size in sizes):
            kind = f"a list of whole numbers, each {low}" if plural else f"a whole number, {low}"
            raise ConfigError(f"{name} ({shown(value)}) must be {kind} or more: change it.")
        if any(size >= 2**31 for size in sizes):
            raise ConfigError(f"{name} ({shown(value)}) must be below 2147483648: lower it.")


def _check_leaf(word: Word, value: Any) -> None:
    if isinstance(value, jax.core.Tracer):
        return
    name, low, high = word.name, word.bounds["low"], word.bounds["high"]
    whole = word.kind is int
    kind = "a whole number" if whole else "a number"
    span = f"{low:g} or more" if high == np.inf else f"from {low:g} to {high:g}"
    numbers = _numbers(value)
    right = numbers.dtype.kind in ("iu" if whole else "iuf")
    if not right or not np.all((numbers >= low) & (numbers <= high)):
        raise ConfigError(f"{name} ({shown(value)}) must be {kind}, {span}: change it.")
    if not (word.bounds["infinite"] and np.any(np.isinf(numbers))):
        _check_bits(name, numbers, value)


def _check_table(word: Word, value: Any) -> None:
    """Check what is known of any environment's arguments and parameters."""
    name = word.name
    if not isinstance(value, Mapping):
        raise ConfigError(
            f"{name} ({shown(value)}) must be a table: write [{name}] in TOML or {name}={{...}} in "
            "Python, or leave it out."
        )
    for key, item in value.items():
        if not isinstance(key, str):
            raise ConfigError(f"{name} key {shown(key)} must be a name: write it in quotes.")
        if word.is_number:
            _check_parameter(f"{name}.{key}", item)
        else:
            _check_argument(f"{name}.{key}", item)


def _check_parameter(name: str, value: Any) -> None:
    if isinstance(value, jax.core.Tracer):
        return
    numbers = _numbers(value)
    if numbers.dtype.kind not in "biuf":
        raise ConfigError(f"{name} ({shown(value)}) must be a number: change it.")
    _check_bits(name, numbers, value)


def _check_argument(name: str, value: Any) -> None:
    try:
        hash(value)
    except TypeError:
        raise ConfigError(
            f"{name} ({shown(value)}) is structure, fixed when the program is compiled: give a "
            "name, a number, or a list of these."
        ) from None


def _numbers(value: Any) -> np.ndarray:
    """Return an array; of dtype object where there is no array of numbers in it."""
    try:
        return np.asarray(value)
    except (TypeError, ValueError):  # random keys, ragged lists
        return np.asarray(None)


def _check_bits(name: str, numbers: np.ndarray, value: Any) -> None:
    """Refuse numbers that 32 bits don't hold."""
    if numbers.dtype.kind in "iu" and np.any(np.abs(numbers.astype(object)) >= 2**31):
        raise ConfigError(
            f"{name} ({shown(value)}) must be below 2147483648: lower it, or write it with a "
            "decimal point where fractions make sense."
        )
    with np.errstate(over="ignore", under="ignore"):
        narrow = numbers.astype(np.float32)
    if not np.isfinite(narrow).all():
        raise ConfigError(f"{name} ({shown(value)}) must be finite in 32 bits: change it.")
    # Devices take what is smaller than this for 0.
    if np.any((numbers != 0) & (np.abs(narrow) < SMALLEST)):
        raise ConfigError(
            f"{name} ({shown(value)}) is 0 in 32 bits: write 0, or {SMALLEST:.3g} or more."
        )
