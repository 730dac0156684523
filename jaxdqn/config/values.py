"""Refuse a value that a word can't have, whatever the others are."""

import typing
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from jaxdqn import settings
from jaxdqn.errors import ConfigError, shown, unknown
from jaxdqn.settings import Word

SMALLEST = float(np.finfo(np.float32).tiny)
"""Least size of a number of 32 bits at full precision."""


def check_words(part: Any, numbers: bool = True) -> None:
    """Check every word of one part by itself.

    Args:
        part: the part.
        numbers: whether those are looked at that no program is compiled for, too.

    Raises:
        ConfigError: at the first that can't be honoured.
    """
    for name, known in settings.words(part.__class__).items():
        if numbers or not known.is_number:
            _check_word(known, vars(part)[name])


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
