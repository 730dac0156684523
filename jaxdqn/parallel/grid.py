"""What a sweep asks for: settings × seeds, along named axes, by what they need compiled."""

import itertools
import math
import operator
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from jax.typing import ArrayLike

from jaxdqn import environment, pytrees, unread
from jaxdqn.config import Config, check, check_kind, check_single
from jaxdqn.config.parts import check_word, every_word
from jaxdqn.errors import ConfigError, as_whole, shown
from jaxdqn.parallel.executor import with_numbers
from jaxdqn.random import MOST_SEEDS, too_many

ZIPPED = "setting"
"""Name of the only axis where lists are taken side by side."""


class Grid(NamedTuple):
    """Settings and seeds; each setting is trained with each seed.

    Attributes:
        config: the settings that are not swept.
        axes: names of the axes of settings and the values along them, in order.
        settings: values of the swept fields, in the order of the axes.
        seeds: their numbers.
        drawn: from what settings were drawn, how many, and by which key; empty where none were.
    """

    config: Config
    axes: dict[str, list[Any]]
    settings: list[dict[str, Any]]
    seeds: list[int]
    drawn: Mapping[str, Any] = MappingProxyType({})

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes of settings, then of the seeds."""
        return (*(len(values) for values in self.axes.values()), len(self.seeds))

    @property
    def agents(self) -> int:
        """How many are trained."""
        return math.prod(self.shape)

    @property
    def run(self) -> range | None:
        """The seeds, where it is one setting with seeds in a row, as ``jaxdqn train`` trains."""
        row = range(self.seeds[0], self.seeds[-1] + 1)
        # Of seeds far apart a list of all between them would fill the memory.
        in_a_row = len(row) == len(self.seeds) and list(row) == self.seeds
        return row if in_a_row and not self.axes else None

    def of(self, cell: int) -> Config:
        """Return all of one setting."""
        return with_numbers(self.config, self.settings[cell])


class Group(NamedTuple):
    """Settings that share compiled programs.

    Attributes:
        config: all of the first setting; the others differ by their numbers.
        cells: places of the settings in the grid.
        numbers: their values by name, one for each cell.
    """

    config: Config
    cells: list[int]
    numbers: dict[str, np.ndarray]


def grid(
    config: Config, seeds: ArrayLike | Sequence[int], swept: Mapping[str, Any], zipped: bool = False
) -> Grid:
    """Put settings and seeds along axes.

    Args:
        config: the settings that are not swept.
        seeds: how many, from 0 on, or their numbers.
        swept: lists of values of fields; for a table, a table of lists.
        zipped: take the lists side by side, as one axis ``"setting"``, not as a grid.

    Raises:
        ConfigError: a field, a value or a seed that can't be honoured.
    """
    check_kind(config)
    config = config.settled()
    axes = _axes(_lists(config, swept), zipped)
    found = Grid(config, axes, settings_along(axes), seed_numbers(seeds))
    for name, values in {**axes, "seeds": found.seeds}.items():
        # NumPy's own repr of a large array leaves out the middle.
        marks = list(map(repr, pytrees.plain(values)))
        mark, times = Counter(marks).most_common(1)[0]
        if times > 1:
            said = shown(values[marks.index(mark)])
            raise ConfigError(f"{name} has {said} more than once: leave the others out.")
    every = [found.of(cell) for cell in range(len(found.settings))]
    for each in every:
        check(each)
        check_single(each)
        environment.make(each)
        unread.check_begins(each)
    rows = {each.schedule.evaluations for each in every}
    if len(rows) > 1:
        raise ConfigError(
            f"evaluations ({config.evaluations}) are more than some settings have iterations, so "
            f"rows would not match ({min(rows)} to {max(rows)}): set {min(rows)} or fewer."
        )
    return found


def groups(found: Grid) -> list[Group]:
    """Group the settings by what they need compiled."""
    cells_of: dict[str, list[int]] = {}
    for cell, setting in enumerate(found.settings):
        numbers = _numbers_of(found.of(cell), setting)
        # Rewards may be one number for all cells, or one for each.
        structure = {
            name: np.shape(value) if name in numbers else value for name, value in setting.items()
        }
        cells_of.setdefault(repr(structure), []).append(cell)
    return [_group(found, cells) for cells in cells_of.values()]


def _group(found: Grid, cells: list[int]) -> Group:
    config = found.of(cells[0])
    settings = [found.settings[cell] for cell in cells]
    numbers = {
        name: np.asarray([setting[name] for setting in settings])
        for name in _numbers_of(config, settings[0])
    }
    return Group(config, cells, numbers)


def _numbers_of(config: Config, setting: Mapping[str, Any]) -> list[str]:
    """Return the names of a setting that are leaves, so that all their values share one program."""
    words, tables = config.words, {name: name.partition(".")[0] for name in setting}
    return [name for name, word in tables.items() if word in words and words[word].is_number]


def seed_numbers(seeds: Any) -> list[int]:
    """Return the numbers of the seeds, refusing with a ``ConfigError`` what are none."""
    count, above = as_whole(seeds), 2**32
    try:
        if (asked := len(seeds) if count is None else count) > MOST_SEEDS:
            raise too_many(asked)
        given = list(map(as_whole, seeds if count is None else range(count)))
    except TypeError:
        given = []
    numbers = [number for number in given if number is not None and 0 <= number < above]
    if not numbers or len(numbers) < len(given):
        raise ConfigError(
            f"seeds ({shown(seeds)}) must be 1 or more numbers from 0 to 4294967295: change it."
        )
    return numbers


def _lists(config: Config, swept: Mapping[str, Any]) -> dict[str, list[Any]]:
    lists: dict[str, list[Any]] = {}
    every = every_word()
    for name, values in swept.items():
        if name not in every:
            _check_place(config, name, values)
            check_word(name, values, config.chosen, "field")
        if name == "evaluations":
            raise ConfigError("evaluations can't be swept, since rows would not match: set one.")
        word, entries = every[name], {name: values}
        if word is not None and word.is_table:
            if not isinstance(values, Mapping):
                raise ConfigError(
                    f"{name} ({shown(values)}) must be a table of lists: write {name}="
                    "{'slip': [0.0, 0.1]} or the like."
                )
            entries = {f"{name}.{key}": inner for key, inner in values.items()}
        fraction = word is not None and word.is_number and word.kind is float
        lists |= {entry: _values(entry, items, fraction) for entry, items in entries.items()}
    return lists


def _check_place(config: Config, name: str, values: Any) -> None:
    """Refuse, with a ``ConfigError``, what the environment knows outside of its table."""
    kwargs, numbers = environment.defaults(config)
    for table, entries in (("env_params", numbers), ("env_kwargs", kwargs)):
        if name in entries:
            raise ConfigError(
                f"{name} ({shown(values)}) is one of {table}, and not a field beside it: write "
                f"{table}={{{name!r}: {shown(values)}}}."
            )


def _values(name: str, items: Any, fraction: bool) -> list[Any]:
    if not isinstance(items, list | tuple) and np.ndim(items) == 0:
        raise ConfigError(
            f"{name} ({shown(items)}) must be a list of values: write [0.1, 0.2] or the like."
        )
    need_values(name, items)
    plain = [item.item() if np.ndim(item) == 0 and hasattr(item, "item") else item
             for item in items]  # fmt: skip
    # 1 and 1.0 are one setting, and would be different programs to JAX.
    return [float(item) if fraction and _is_small(item) else item for item in plain]


def need_values(name: str, items: Any) -> None:
    """Refuse, with a ``ConfigError``, an empty list of values."""
    if not len(items):
        raise ConfigError(f"{name} ([]) has no values: give one or more, or leave it out.")


def _is_small(item: Any) -> bool:
    return type(item) is int and abs(item) < 2**31


def settings_along(axes: Mapping[str, list[Any]]) -> list[dict[str, Any]]:
    """Return the settings in the order of the axes; those of an axis ``"setting"`` as they are."""
    if ZIPPED in axes:
        return axes[ZIPPED]
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def _axes(lists: Mapping[str, list[Any]], zipped: bool) -> dict[str, list[Any]]:
    if not zipped or not lists:
        return dict(lists)
    lengths = {name: len(values) for name, values in lists.items()}
    if len(set(lengths.values())) > 1:
        raise ConfigError(f"zipped lists have lengths {lengths}: make them equal.")
    rows = zip(*lists.values(), strict=True)
    return {ZIPPED: [dict(zip(lists, values, strict=True)) for values in rows]}


def place_on(axis: str, values: list[Any], asked: dict[str, Any]) -> int:
    """Return where on an axis a value is, or the setting that has some fields.

    Raises:
        ConfigError: nowhere, or at several places.
    """
    # Of arrays themselves == has no single truth.
    values, wanted = pytrees.plain(values), pytrees.plain(asked)
    found = [
        _places(values, value if name == axis else {name: value}) for name, value in wanted.items()
    ]
    places = [place for place in found[0] if all(place in others for others in found)]
    said = shown(asked[axis] if len(asked) == 1 and axis in asked else asked)
    if not places:
        raise ConfigError(f"axis {axis} has no value {said}: choose from {shown(values)}.")
    if axis == ZIPPED and len(places) > 1:
        raise ConfigError(
            f"{said} is of {len(places)} settings: write setting={places[0]}, its place, or "
            f"another of {shown(places)}."
        )
    return places[0]


def _places(values: list[Any], wanted: Any) -> list[int]:
    """Return where a value stands among others: as it is or, where it doesn't, in 32 bits."""
    place = as_whole(wanted)
    if isinstance(values[0], dict) and place is not None:
        return [place] if 0 <= place < len(values) else []
    for same in (operator.eq, _are_equal_in_32_bits):
        if places := [i for i, value in enumerate(values) if _fits(value, wanted, same)]:
            return places
    return []


def _fits(value: Any, wanted: Any, same: Callable[[Any, Any], bool]) -> bool:
    """Whether a value is the wanted one; of a setting, in the fields that are wanted."""
    if isinstance(value, dict) and isinstance(wanted, dict):
        return all(
            name in value and _fits(value[name], field, same) for name, field in wanted.items()
        )
    if isinstance(value, list) and isinstance(wanted, list):
        return len(value) == len(wanted) and all(map(_fits, value, wanted, [same] * len(value)))
    return same(value, wanted)


def _are_equal_in_32_bits(one: Any, other: Any) -> bool:
    if {float} <= {type(one), type(other)} <= {int, float}:
        with np.errstate(over="ignore"):
            return bool(np.float32(one) == np.float32(other))
    return bool(one == other)
