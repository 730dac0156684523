"""Settings with several values, as the command line and a table ``[sweep]`` write them."""

import math
import tomllib
import typing
import zlib
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdqn import environment
from jaxdqn.config import Config
from jaxdqn.config.parts import check_word, every_word
from jaxdqn.errors import ConfigError, shown
from jaxdqn.parallel.executor import with_numbers
from jaxdqn.parallel.grid import need_values

OPTIONS = {"seeds": int, "first_seed": int, "zipped": bool, "random": int, "key": int}
"""Options of the command that a table ``[sweep]`` may hold, and what they are."""
_TABLES = ("env_kwargs", "env_params")
_DIGITS = 6
"""Significant digits of a drawn number."""
_TRIES = 64
"""Times as many draws as are wanted, at most, to find so many different ones."""


class Range(NamedTuple):
    """From where to where a setting is drawn."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low:g}:{self.high:g}"


def split(arguments: list[str]) -> tuple[dict[str, list[Any]], list[str]]:
    """Take the settings out of a command line.

    Returns:
        Values by name, ``env_params.slip`` for one of the environment; and what is left.

    Raises:
        ConfigError: a setting without a value, or one that stands twice.
    """
    every, said, rest = every_word(), {}, []
    at = 0
    while at < len(arguments):
        option, equals, value = arguments[at].removeprefix("--").partition("=")
        name = option.replace("-", "_")
        table, dot, _ = name.partition(".")
        known = table in _TABLES if dot else name in every
        at += 1
        if not (known and arguments[at - 1].startswith("--")):
            rest.append(arguments[at - 1])
            continue
        texts = [value] if equals else []
        while at < len(arguments) and not arguments[at].startswith("--"):
            texts.append(arguments[at])
            at += 1
        if name in said:
            raise ConfigError(f"--{name} stands twice: give all its values after one.")
        if not texts:
            raise ConfigError(f"--{name} has no value: give one, or several to sweep.")
        said[name] = [_fitting(name, _value(text)) for text in texts]
    return said, rest


def flat(table: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the settings of a table ``[sweep]`` as ``split`` does; a single value is a list."""
    lists: dict[str, list[Any]] = {}
    for name, value in table.items():
        inner = name in _TABLES and isinstance(value, Mapping)
        for key, items in value.items() if inner else [("", value)]:
            several = items if isinstance(items, list) else [items]
            lists[f"{name}.{key}" if key else name] = [
                _fitting(name, _value(item) if isinstance(item, str) else item) for item in several
            ]
    return lists


def nested(lists: Mapping[str, list[Any]]) -> dict[str, Any]:
    """Return the lists as ``jaxdqn.sweep`` takes them: those of the environment in tables."""
    found: dict[str, Any] = {}
    for name, values in lists.items():
        table, dot, key = name.partition(".")
        if dot:
            found.setdefault(table, {})[key] = values
        else:
            found[name] = values
    return found


def apart(config: Config, lists: Mapping[str, list[Any]]) -> tuple[Config, dict[str, list[Any]]]:
    """Set what has one value; return the settings and what is swept.

    Raises:
        ConfigError: a word that isn't one, or belongs to a part that isn't chosen; no values.
    """
    for name, values in lists.items():
        if name not in every_word() and "." not in name:
            check_word(name, values, config.chosen, "key", " in [sweep]")
        need_values(name, values)
    several = {
        name: values for name, values in lists.items() if len(values) > 1 or range_of(values)
    }
    single = {name: values[0] for name, values in lists.items() if name not in several}
    return with_numbers(config, single), several


def range_of(values: list[Any]) -> Range | None:
    """Return the range that a setting is to be drawn from, if any."""
    return next((value for value in values if isinstance(value, Range)), None)


def said(lists: Mapping[str, list[Any]]) -> dict[str, Any]:
    """Return lists and ranges as a table ``[sweep]`` holds them."""
    return {name: str(values[0]) if range_of(values) else values for name, values in lists.items()}


def draw(
    lists: Mapping[str, list[Any]], count: int, key: int, config: Config
) -> dict[str, list[Any]]:
    """Draw settings; more of them begin with the same ones.

    Args:
        lists: values by name, or one range.
        count: how many settings.
        key: number of the random key.
        config: the settings that are not swept.

    Returns:
        Values by name, to be zipped: ``count`` of each, all different as a whole, or as many as
        there are.

    Raises:
        ConfigError: nothing to draw from, or fewer than one setting.
    """
    if count < 1 or not lists:
        raise ConfigError(
            f"random ({count}) must be 1 or more, with values or a range of some setting to draw "
            "from: write --random 64 --learning_rate 1e-5:1e-2 or the like."
        )
    found: dict[str, list[Any]] = {}
    root, usual = jax.random.key(key), _usual(config)
    tries = count
    while len(found) < count and tries <= _TRIES * count:
        columns = []
        for name, values in lists.items():
            stream = np.uint32(zlib.crc32(name.encode()))
            shares = np.asarray(_shares(root, stream, tries), np.float64)
            columns.append(_drawn(name, values, shares, usual))
        found = {repr(row): list(row) for row in zip(*columns, strict=True)}
        tries *= 2
    chosen = list(found.values())[:count]
    return {name: [row[place] for row in chosen] for place, name in enumerate(lists)}


def _usual(config: Config) -> dict[str, Any]:
    """Return what the environment's own words are by default, by name."""
    try:
        tables = environment.defaults(config)
    except ConfigError:  # without what is swept it may be none
        return {}
    return {
        f"{table}.{name}": value
        for table, entries in zip(_TABLES, tables, strict=True)
        for name, value in entries.items()
    }


@partial(jax.jit, static_argnums=2)
def _shares(key: jax.Array, stream: np.uint32, count: int) -> jax.Array:
    """Draw a number of [0, 1) for each of so many settings.

    Each has a stream of its own, and in it each name, so that one more changes no other.
    """

    def one(setting: jax.Array) -> jax.Array:
        return jax.random.uniform(jax.random.fold_in(jax.random.fold_in(key, setting), stream))

    return jax.vmap(one)(jnp.arange(count))


def _drawn(name: str, values: list[Any], shares: np.ndarray, usual: Mapping[str, Any]) -> list[Any]:
    span = range_of(values)
    if span is None:
        return [values[int(share * len(values))] for share in shares]
    if len(values) > 1:
        raise ConfigError(f"{name} ({span}) is a range beside other values: give one range.")
    low, high = span
    whole = _is_whole(name, span, usual.get(name))
    if whole and not (float(low).is_integer() and float(high).is_integer()):
        raise ConfigError(
            f"{name} ({span}) is drawn from whole numbers, and an end is none: round it."
        )
    if low > 0 and high >= 10 * low:
        found = low * np.exp(shares * math.log((high + whole) / low))
    else:
        found = low + shares * (high + whole - low)
    if whole:
        return [min(math.floor(x), int(high)) for x in found]
    # Rounding may lead out of a narrow range, such as of discounts near 1.
    return [min(max(float(f"{x:.{_DIGITS}g}"), low), high) for x in found]


def _is_whole(name: str, span: Range, usual: Any) -> bool:
    """Whether whole numbers are drawn: of the environment's own, where it has no fraction."""
    word = every_word().get(name)
    if word is not None:
        return word.kind is int
    return isinstance(span.low, int) and isinstance(span.high, int) and type(usual) is not float


def _fitting(name: str, value: Any) -> Any:
    """Return 1 as 1.0 where fractions are taken, and as [1] where a list of sizes is."""
    word = every_word().get(name)
    if word is None or type(value) is not int:
        return value
    if typing.get_origin(word.kind) is tuple:
        return [value]
    return float(value) if word.is_number and word.kind is float else value


def _value(text: str) -> Any:
    """Return what a word of the command line means: a number, true, a list, a range or a name."""
    low, colon, high = text.partition(":")
    if colon:
        ends = _value(low), _value(high)
        if all(isinstance(end, int | float) for end in ends):
            if not all(map(math.isfinite, ends)):
                raise ConfigError(f"range ({text}) has an end that isn't finite: change it.")
            if not ends[0] < ends[1]:
                raise ConfigError(f"range ({text}) must go from the lower to the higher: turn it.")
            return Range(*ends)
    for written in (text, f"[{text}]"):
        try:
            return tomllib.loads(f"x = {written}")["x"]
        except tomllib.TOMLDecodeError:
            continue
    return text


def check_options(options: Mapping[str, Any]) -> None:
    """Refuse options of a table ``[sweep]`` that are of another kind.

    Raises:
        ConfigError: naming the first.
    """
    for name, value in options.items():
        if type(value) is not OPTIONS[name]:
            kind = "true or false" if OPTIONS[name] is bool else "a whole number"
            raise ConfigError(f"{name} ({shown(value)}) in [sweep] must be {kind}: change it.")
