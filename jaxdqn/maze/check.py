"""Refusals: arguments and parameters that make no maze, in the words of the configuration."""

import typing
from collections.abc import Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxdqn.errors import ConfigError, nearest, shown

Generator = Literal["empty", "scatter", "corridors", "braid", "rooms", "layout"]
Carver = Literal["uniform", "depth_first"]
GENERATORS, CARVERS = typing.get_args(Generator), typing.get_args(Carver)
READ: dict[str, tuple[str, ...]] = {
    "empty": (),
    "scatter": ("density",),
    "corridors": ("carver",),
    "braid": ("carver", "loops"),
    "rooms": ("room_size",),
    "layout": (),
}
"""What each generator reads beside height and width."""
LONGEST = 128
"""Most rows and columns of an environment's mazes."""


def choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    """Refuse a name that isn't one of ``choices``."""
    if not isinstance(value, str) or value not in choices:
        meant = nearest(value, choices)
        remedy = "choose one." if meant is None else f"choose {meant!r} or another."
        raise ConfigError(f"{name} ({shown(value)}) is not one of {', '.join(choices)}: {remedy}")


def whole(name: str, value: Any, low: int, high: int) -> None:
    """Refuse what isn't a whole number in a range."""
    if not _is_whole(value) or not low <= value <= high:
        raise ConfigError(
            f"{name} ({shown(value)}) must be a whole number from {low} to {high}: change it."
        )


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def share(name: str, value: Any, high: float) -> None:
    """Refuse what isn't a number from 0 to ``high``, 1 at most."""
    if not (_is_whole(value) or isinstance(value, float | np.floating)) or not 0 <= value <= high:
        raise ConfigError(
            f"{name} ({shown(value)}) must be a number from 0 to {high:g}: change it."
        )


def number(name: str, value: Any, low: float, high: float) -> None:
    """Refuse a number out of range; a traced one is let through."""
    numbers = as_array(value)
    if isinstance(numbers, jax.core.Tracer):
        return
    real = numbers is not None and numbers.dtype.kind in "iuf"
    if not real or not np.all((numbers >= low) & (numbers <= high)):
        raise ConfigError(
            f"{name} ({shown(value)}) must be a number from {low:g} to {high:g}: change it."
        )


def count(name: str, value: Any) -> None:
    """Refuse what isn't a whole number of 1 or more; of a traced one only its type is known."""
    numbers = as_array(value)
    traced = isinstance(value, jax.core.Tracer)
    if not is_whole(numbers) or not (traced or np.all(numbers >= 1)):
        said = f"traced {value.dtype}" if traced else shown(value)
        raise ConfigError(f"{name} ({said}) must be a whole number, 1 or more: change it.")


def as_array(value: Any) -> Any:
    """Return what is given as NumPy's array, or as it is where it is traced; None where it can't
    be read as one: random keys, lists of many lengths, numbers that a mask hides.
    """
    key = hasattr(value, "dtype") and jnp.issubdtype(value.dtype, jax.dtypes.extended)
    if key or np.ma.is_masked(value):
        return None
    if isinstance(value, jax.core.Tracer):
        return value
    try:
        return np.asarray(value)
    except (TypeError, ValueError):
        return None


def is_whole(array: Any) -> bool:
    """Whether what ``as_array`` returned holds whole numbers."""
    return array is not None and array.dtype.kind in "iu"


def levels(where: str, longest: int, options: Mapping[str, Any]) -> None:
    """Refuse what makes no levels.

    Args:
        where: what the options' names begin with.
        longest: most rows, columns, or cells along a room.
        options: those of ``levels.bank`` down to ``difficulty``, seed and count apart.
    """
    choice(f"{where}generator", options["generator"], GENERATORS)
    choice(f"{where}carver", options["carver"], CARVERS)
    for name, low in {"height": 1, "width": 1, "room_size": 2}.items():
        whole(f"{where}{name}", options[name], low, longest)
    share(f"{where}density", options["density"], 0.99)
    share(f"{where}loops", options["loops"], 1.0)
    _size(where, options["generator"], options["height"], options["width"], options["layout"])
    _difficulty(where, options["difficulty"])


def idle(options: Mapping[str, Any], asked: Mapping[str, int], observation: str) -> dict[str, str]:
    """Return arguments of a maze that change nothing beside the others, by name, and why.

    Args:
        options: those of ``levels.bank`` down to ``difficulty``.
        asked: the height and width that were asked for, whatever a layout has.
        observation: what the agent sees.
    """
    generator, height, width = (options[name] for name in ("generator", "height", "width"))
    every = {name for names in READ.values() for name in names}
    found = dict.fromkeys(
        sorted(every - {*READ[generator]}), f"env_kwargs.generator is {generator!r}"
    )
    for name, size in asked.items():
        if size != options[name]:
            found[name] = f"env_kwargs.layout has {height} × {width} cells"
    if observation != "view":
        found["view_size"] = f"env_kwargs.observation is {observation!r}"
    return found


def _size(where: str, generator: str, height: int, width: int, layout: str | None) -> None:
    """Refuse sizes that the generator can't make, and a layout where none is read."""
    if (layout is None) == (generator == "layout"):
        raise ConfigError(
            f"{where}generator ({generator!r}) and {where}layout "
            f"({'not given' if layout is None else 'given'}) contradict each other: "
            "give a layout with generator = 'layout' only."
        )
    if height * width < 2:
        raise ConfigError(
            f"{where}height ({height}) and {where}width ({width}) leave one cell, "
            "and start and goal need two: raise one."
        )
    if generator in ("corridors", "braid") and not (height % 2 and width % 2):
        raise ConfigError(
            f"{where}height ({height}) and {where}width ({width}) must be odd for "
            f"{generator}: use {height | 1} and {width | 1}."
        )


def _difficulty(where: str, value: Any) -> None:
    """Refuse what isn't two lengths, the shorter one first."""
    if value is None:
        return
    pair = isinstance(value, tuple | list) and len(value) == 2
    if not pair or not all(map(_is_whole, value)) or not 1 <= value[0] <= value[1]:
        raise ConfigError(
            f"{where}difficulty ({shown(value)}) must be the fewest and the most moves of a "
            "shortest path, such as [10, 20]: change it."
        )
