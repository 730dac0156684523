"""Sweeps: settings × seeds, trained on every device, in chunks that fit into memory."""

import itertools
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from jaxdqn.config import Config, check, check_kind
from jaxdqn.config.parts import check_word, every_word
from jaxdqn.metrics import Metrics
from jaxdqn.parallel import executor
from jaxdqn.parallel.executor import with_numbers
from jaxdqn.parallel.memory import gigabytes
from jaxdqn.types import Array, ConfigError, Params, shown, unknown


class Sweep(NamedTuple):
    """What a sweep measured.

    Attributes:
        axes: names of the axes and the values along them, in order; the last is ``"seed"``.
        metrics: leaves ``[*axes, T]``; None where not every setting measures it.
        params: online networks, one pytree for each combination of structure swept over (one, if
            only numbers were), leaves ``[*axes, ...]`` with length 1 along the axes of structure.
    """

    axes: dict[str, list[Any]]
    metrics: Metrics
    params: list[Params]

    def at(self, **where: Any) -> Metrics:
        """Return the metrics of some coordinates, e.g. ``at(learning_rate=1e-3, seed=0)``.

        Raises:
            ConfigError: an axis or a value that isn't there.
        """
        index: list[Any] = [slice(None)] * len(self.axes)
        for name, value in where.items():
            if name not in self.axes:
                raise unknown("axis", name, self.axes)
            if value not in self.axes[name]:
                raise ConfigError(
                    f"axis {name} has no value {value!r}: choose from {self.axes[name]}."
                )
            index[list(self.axes).index(name)] = self.axes[name].index(value)
        return jax.tree.map(lambda x: x[tuple(index)], self.metrics)


def sweep(
    config: Config,
    seeds: int | Sequence[int] = 16,
    *,
    zipped: bool = False,
    say: Callable[[str], Any] | None = print,
    **swept: Any,
) -> Sweep:
    """Train every setting with every seed; one compiled call for each structure among them.

    >>> result = jaxdqn.sweep(config, seeds=64, learning_rate=[1e-4, 3e-4])
    >>> result.metrics.eval_return.shape  # learning rates, seeds, evaluations
    (2, 64, 20)

    Seed ``i`` is ``train(config, jax.random.key(i))``, whatever else is in the sweep. Agents are
    spread over all devices, and over all processes of ``jax.distributed``; no device talks to
    another before the end.

    Args:
        config: the settings that are not swept.
        seeds: how many, from 0 on, or their numbers.
        zipped: take the lists side by side, as one axis ``"setting"``, not as a grid.
        say: told what is going to be run before it starts; None for silence.
        **swept: lists of values of fields; ``env_params={"slip": [0.0, 0.1]}`` sweeps a number of
            the environment, ``env_kwargs`` likewise its structure.

    Returns:
        Results with named axes. In several processes all of them get all results.

    Raises:
        ConfigError: a setting that can't be honoured, or one agent that doesn't fit into memory.
    """
    check_kind(config)
    numbers = _numbers(seeds)
    lists = _lists(config, swept)
    grid, axes = _grid(lists, zipped)
    for setting in grid:
        check(with_numbers(config, setting))
    rows = {with_numbers(config, setting).schedule.evaluations for setting in grid}
    if len(rows) > 1:
        raise ConfigError(
            f"evaluations ({config.evaluations}) are more than some settings have iterations, so "
            f"rows would not match ({min(rows)} to {max(rows)}): set {min(rows)} or fewer."
        )
    groups = _by_structure(config, grid)
    plans = [
        executor.plan(with_numbers(config, cells[0][1]), len(cells) * len(numbers))
        for cells in groups
    ]
    if say is not None:
        say(_announcement(axes, len(numbers), plans))
    results, cells_of = [], []
    for cells, how in zip(groups, plans, strict=True):
        results.append(_train_cells(config, [cell for _, cell in cells], numbers, how))
        cells_of.append([index for index, _ in cells])
    shape = [len(values) for values in axes.values()]
    metrics = _assemble([metrics for _, metrics in results], cells_of, shape, len(numbers))
    return Sweep(
        axes={**axes, "seed": numbers},
        metrics=metrics,
        params=[params for params, _ in results],
    )


def _numbers(seeds: Any) -> list[int]:
    """Return the numbers of the seeds, refusing with a ``ConfigError`` what are none."""
    try:
        numbers = list(range(seeds)) if isinstance(seeds, int) else list(map(operator.index, seeds))
    except (TypeError, OverflowError):
        numbers = []
    if not numbers or min(numbers) < 0 or max(numbers) >= 2**32:
        raise ConfigError(
            f"seeds ({shown(seeds)}) must be 1 or more numbers from 0 to 4294967295: change it."
        )
    return numbers


def _lists(config: Config, swept: Mapping[str, Any]) -> dict[str, list[Any]]:
    lists: dict[str, list[Any]] = {}
    every = every_word()
    for name, values in swept.items():
        if name not in every:
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
        for entry, items in entries.items():
            if not isinstance(items, list | tuple) and np.ndim(items) == 0:
                raise ConfigError(
                    f"{entry} ({shown(items)}) must be a list of values: write [{shown(items)}]."
                )
            if not len(items):
                raise ConfigError(f"{entry} ([]) has no values: give one or more, or leave it out.")
            lists[entry] = [item.item() if np.ndim(item) == 0 and hasattr(item, "item") else item
                            for item in items]  # fmt: skip
    return lists


def _grid(
    lists: Mapping[str, list[Any]], zipped: bool
) -> tuple[list[dict[str, Any]], dict[str, list[Any]]]:
    """Return the settings in the order of the axes, and the axes."""
    if not zipped:
        grid = itertools.product(*lists.values())
        return [dict(zip(lists, values, strict=True)) for values in grid], dict(lists)
    lengths = {name: len(values) for name, values in lists.items()}
    if len(set(lengths.values())) > 1:
        raise ConfigError(f"zipped lists have lengths {lengths}: make them equal.")
    settings = [
        dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)
    ]
    return settings, {"setting": settings}


def _numbers_of(config: Config, setting: Mapping[str, Any]) -> set[str]:
    """Return the names of a setting that are leaves, so that all their values share one program."""
    words = with_numbers(config, setting).words
    tables = {name: name.partition(".")[0] for name in setting}
    return {name for name, word in tables.items() if word in words and words[word].is_number}


def _by_structure(
    config: Config, grid: list[dict[str, Any]]
) -> list[list[tuple[int, dict[str, Any]]]]:
    """Group numbered settings by what they need compiled."""
    groups: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for index, setting in enumerate(grid):
        numbers = _numbers_of(config, setting)
        structure = {name: value for name, value in setting.items() if name not in numbers}
        groups.setdefault(repr(structure), []).append((index, setting))
    return list(groups.values())


def _announcement(axes: Mapping[str, list[Any]], seeds: int, plans: list[executor.Plan]) -> str:
    settings = math.prod(len(values) for values in axes.values())
    names = " × ".join(f"{len(values)} {name}" for name, values in axes.items())
    need = max(how.bytes_per_agent for how in plans) * settings * seeds
    how = plans[0]
    chunks = "" if how.turns == 1 else f", {how.turns} times one after the other"
    fit = (
        f", since all at once need {gigabytes(need)}; a device has {gigabytes(how.bytes_free)}"
        if need > how.bytes_free * how.devices
        else f"; about {gigabytes(how.bytes_per_agent * how.width * how.devices)} at a time"
    )
    return (
        f"sweep: {names + ' × ' if names else ''}{seeds} seeds = {settings * seeds} agents, "
        f"{len(plans)} compilation{'s' * (len(plans) > 1)}; {how.width} side by side on "
        f"{how.devices} device{'s' * (how.devices > 1)}{chunks}{fit}"
    )


def _train_cells(
    config: Config, cells: list[dict[str, Any]], seeds: list[int], how: executor.Plan
) -> tuple[Params, Metrics]:
    """Train settings of one structure with all seeds; leaves ``[len(cells) · S, ...]``."""
    given = arguments(config, cells, seeds, how)
    result = jax.device_get(executor.programs(given[0], how).through(*given))
    if jax.process_count() > 1:
        result = multihost_utils.process_allgather(result, tiled=True)
    return jax.tree.map(lambda x: x[: len(cells) * len(seeds)], result)


def arguments(
    config: Config, cells: list[dict[str, Any]], seeds: list[int], how: executor.Plan
) -> tuple[Config, dict[str, np.ndarray], Array]:
    """Return this process's share of the agents as ``Programs.through`` takes it.

    Args:
        config: the settings that are not swept.
        cells: values of the swept fields, of one structure.
        seeds: numbers of the seeds; seeds vary fastest.
        how: from ``executor.plan``.
    """
    share = how.agents
    # The last agent again and again, to make the shares of all devices equal.
    agents = np.minimum(np.arange(share * jax.process_count()), len(cells) * len(seeds) - 1)
    mine = agents[share * jax.process_index() :][:share]
    numbers = {
        name: np.asarray([cell[name] for cell in cells])[mine // len(seeds)]
        for name in _numbers_of(config, cells[0])
    }
    keys = jax.vmap(jax.random.key)(jnp.asarray(np.array(seeds)[mine % len(seeds)], jnp.uint32))
    return with_numbers(config, cells[0]), numbers, keys


def _assemble(
    parts: list[Metrics], cells_of: list[list[int]], shape: list[int], seeds: int
) -> Metrics:
    """Put the rows of all cells in the order of the axes, leaves ``[*shape, S, T]``."""

    def place(*leaves: Any) -> np.ndarray | None:
        if any(leaf is None for leaf in leaves):
            return None
        rows = [leaf.reshape(len(cells), seeds, *leaf.shape[1:]) for leaf, cells in
                zip(leaves, cells_of, strict=True)]  # fmt: skip
        whole = np.concatenate(rows)[np.argsort(np.concatenate(cells_of))]
        return whole.reshape(*shape, *whole.shape[1:])

    return jax.tree.map(place, *parts, is_leaf=lambda x: x is None)
