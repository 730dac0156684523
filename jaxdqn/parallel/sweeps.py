"""Sweeps: settings × seeds in chunks, trained one after the other, results along named axes."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils

from jaxdqn import training
from jaxdqn.config import Config
from jaxdqn.errors import counted, unknown
from jaxdqn.method import State
from jaxdqn.metrics import Metrics
from jaxdqn.parallel import executor, seeds
from jaxdqn.parallel.grid import ZIPPED, Grid, Group, groups, place_on
from jaxdqn.parallel.memory import written
from jaxdqn.types import Params

LEAST = 2
"""Fewest agents side by side in a sweep, where the method trains any so. XLA:CPU gave two to eight
agents side by side the same bits and one alone others (CartPole), so that with this the number of
devices often changes nothing; not for every network (in a 6 × 6 maze with widths of 32 two or three
agree, and four or more)."""


class Sweep(NamedTuple):
    """What a sweep measured.

    Attributes:
        axes: names of the axes and the values along them, in order; the last is ``"seed"``.
        metrics: leaves ``[*axes, T]``; None where not every setting measures it.
        params: online networks, one pytree for each combination of structure swept over (one, if
            only numbers were), leaves ``[agents of it, ...]``, seeds varying fastest.
    """

    axes: dict[str, list[Any]]
    metrics: Metrics
    params: list[Params]

    def __repr__(self) -> str:
        axes = ", ".join(f"{name}: {len(values)}" for name, values in self.axes.items())
        shape, trees = self.metrics.env_steps.shape, counted(len(self.params), "pytree")
        return f"Sweep(axes {{{axes}}}, metrics {shape}, params of {trees})"

    def at(self, **where: Any) -> Metrics:
        """Return the metrics of some coordinates, e.g. ``at(learning_rate=1e-3, seed=0)``.

        Fractions are compared in 32 bits, in which they are trained. Where lists were taken side by
        side, ``setting=0`` is the first, and so are fields that only the first has:
        ``at(learning_rate=1e-3)``. An entry of a table goes by its own name: ``at(slip=0.1)``.

        Raises:
            ConfigError: an axis or a value that isn't there, or fields of several settings.
        """
        index: list[Any] = [slice(None)] * len(self.axes)
        fields = self.axes.get(ZIPPED, [{}])[0]
        known = [*self.axes, *fields]
        where = {_in_full(name, known): value for name, value in where.items()}
        for name in where:
            if name not in known:
                raise unknown("axis", name, known)
        for place, (axis, values) in enumerate(self.axes.items()):
            names = [name for name in where if name == axis or (axis == ZIPPED and name in fields)]
            if names:
                asked = {name: where[name] for name in names}
                index[place] = place_on(axis, values, asked)
        return jax.tree.map(lambda x: x[tuple(index)], self.metrics)


def _in_full(name: str, known: list[str]) -> str:
    """Return the one axis whose last part is this name, else the name."""
    meant = [axis for axis in known if axis.rpartition(".")[2] == name]
    return meant[0] if len(meant) == 1 else name


class Chunk(NamedTuple):
    """Agents that are trained at the same time, and wholly before the next ones.

    Attributes:
        group: place of their group among all.
        config: settings of that group.
        rows: their places among the agents of the group, seeds varying fastest, ``[K]``.
        cells: their settings' places in the grid, ``[K]``.
        seeds: their numbers, ``[K]``.
        numbers: settings that differ between them, by name, ``[K]``.
        how: the layout.
    """

    group: int
    config: Config
    rows: np.ndarray
    cells: list[int]
    seeds: list[int]
    numbers: dict[str, np.ndarray]
    how: executor.Plan

    def train(self, state: State | None = None) -> Iterator[tuple[State, Metrics | None]]:
        """Train, as ``seeds.train_in_periods`` does, from new agents or from a state of these."""
        return seeds.train_in_periods(
            self.config, self.seeds, state, numbers=self.numbers, how=self.how
        )


class Results:
    """What is known of each agent so far, by group; memory is taken as results come."""

    def __init__(self, found: Grid, params: bool = True) -> None:
        """Know nothing yet; without ``params`` networks aren't kept."""
        self.grid = found
        self.with_params = params
        self.groups = groups(found)
        count = len(found.seeds)
        self.done = [np.zeros(len(group.cells) * count, bool) for group in self.groups]
        self._kept: list[tuple[Params, Metrics] | None] = [None] * len(self.groups)
        self._home = {
            cell: (index, place)
            for index, group in enumerate(self.groups)
            for place, cell in enumerate(group.cells)
        }

    def put(self, group: int, rows: np.ndarray, params: Params, metrics: Metrics) -> None:
        """Keep what became of some agents.

        Args:
            group: place of their group.
            rows: their places in it, ``[K]``.
            params: online networks, leaves ``[K, ...]``.
            metrics: leaves ``[K, T]``.
        """
        agents = len(self.done[group])
        new = (params if self.with_params else None, metrics)
        if self._kept[group] is None:
            self._kept[group] = jax.tree.map(
                lambda x: np.zeros((agents, *x.shape[1:]), x.dtype), new
            )

        def fill(whole: np.ndarray, part: np.ndarray) -> None:
            whole[rows] = part

        jax.tree.map(fill, self._kept[group], new)
        self.done[group][rows] = True

    def of_cell(self, cell: int, first: int | None = None) -> tuple[list[int], Metrics | None]:
        """Return the finished seeds of one setting, and their metrics, leaves ``[S, T]``.

        Args:
            cell: place of the setting in the grid.
            first: how many of the sweep's seeds are looked at; None: all.
        """
        index, place = self._home[cell]
        count, kept = len(self.grid.seeds), self._kept[index]
        rows = place * count + np.flatnonzero(self.done[index][place * count :][:count][:first])
        if kept is None or not len(rows):
            return [], None
        seeds = [self.grid.seeds[row - place * count] for row in rows]
        return seeds, jax.tree.map(lambda x: x[rows], kept[1])

    def sweep(self) -> Sweep:
        """Return everything along the axes, once every agent is done."""
        kept = [both for both in self._kept if both is not None]
        metrics = _assemble([metrics for _, metrics in kept], self.groups, self.grid)
        axes = {**self.grid.axes, "seed": self.grid.seeds}
        return Sweep(axes, metrics, [params for params, _ in kept])

    def gather(self) -> None:
        """Share results between processes: each then has what any has."""
        if jax.process_count() == 1:
            return
        for index, (group, done) in enumerate(zip(self.groups, self.done, strict=True)):
            if self._kept[index] is None:
                self._kept[index] = _blank(group, len(done))
            every = multihost_utils.process_allgather((done, self._kept[index]))
            who = np.argmax(every[0], axis=0)
            agents = np.arange(len(done))
            self._kept[index] = jax.tree.map(lambda x, w=who, a=agents: x[w, a], every[1])
            self.done[index] = every[0].any(axis=0)


def chunks(
    results: Results,
    begun: Sequence[Chunk] = (),
    wanted: Sequence[np.ndarray] | None = None,
    agree: Callable[[str, list[int]], list[int]] = lambda _, values: values,
) -> list[Chunk]:
    """Lay out what hasn't been trained, group by group.

    Args:
        results: what has been.
        begun: chunks that were begun already, which are left out.
        wanted: which agents of each group are to be trained; None for all.
        agree: makes the sizes of chunks the same in all processes.

    Raises:
        ConfigError: one agent of a group doesn't fit into memory.
    """
    found = []
    sizes = agree("sizes", [_size(group, len(done)) for group, done in
                            zip(results.groups, results.done, strict=True)])  # fmt: skip
    for index, (group, done) in enumerate(zip(results.groups, results.done, strict=True)):
        there = done.copy()
        for chunk in begun:
            if chunk.group == index:
                there[chunk.rows] = True
        missing = np.flatnonzero(~there if wanted is None else ~there & wanted[index])
        if len(missing):
            how, size = executor.plan(group.config, sizes[index], LEAST), sizes[index]
            for start in range(0, len(missing), size):
                found.append(chunk_of(results, index, missing[start:][:size], how))
    return found


def _size(group: Group, agents: int) -> int:
    """Return how many agents a chunk has: as all of the group, so that there is one program."""
    each = -(-agents // jax.process_count())
    return executor.plan(group.config, each, LEAST)._replace(turns=1).agents


def chunk_of(
    results: Results, index: int, rows: np.ndarray, how: executor.Plan | None = None
) -> Chunk:
    """Return some agents of a group as a chunk, laid out over this process's devices by default."""
    group, found = results.groups[index], results.grid
    settings, places = np.divmod(rows, len(found.seeds))
    return Chunk(
        group=index,
        config=group.config,
        rows=rows,
        cells=[group.cells[i] for i in settings],
        seeds=[found.seeds[i] for i in places],
        numbers={name: values[settings] for name, values in group.numbers.items()},
        how=how or executor.plan(group.config, len(rows), LEAST),
    )


def announcement(found: Grid, waiting: list[Chunk]) -> str:
    """Say what is going to be trained, in how many chunks, and what memory it takes."""
    names = " × ".join(
        counted(len(values), name) if name == ZIPPED else f"{len(values)} {name}"
        for name, values in found.axes.items()
    )
    plans = {chunk.group: chunk.how for chunk in waiting}
    agents = sum(len(chunk.rows) for chunk in waiting)
    left = "" if agents == found.agents else f", {agents} of them still to be trained"
    said = (
        f"sweep: {names + ' × ' if names else ''}{counted(len(found.seeds), 'seed')} = "
        f"{counted(found.agents, 'agent')}{left}"
    )
    if not waiting:
        return f"{said}; all are trained already"
    how = max(plans.values(), key=lambda how: how.need.total)
    # A large network has fewer beside it than a small one.
    widths = sorted({plan.width for plan in plans.values()})
    beside = str(widths[0]) if len(widths) == 1 else f"{widths[0]} to {widths[-1]}"
    need = how.need.total * agents
    several = "" if len(waiting) == 1 else f", {len(waiting)} times one after the other"
    fit = (
        f", since all at once need {written(need)}; a device has {written(how.bytes_free)}"
        if need > how.bytes_free * how.devices
        else f"; about {written(how.need.total * how.agents)} at a time"
    )
    return (
        f"{said}, {counted(len(plans), 'compilation')}; {beside} side by side on "
        f"{counted(how.devices, 'device')}{several}{fit}"
    )


def _blank(group: Group, agents: int) -> Any:
    """Return zeros in the shapes of a group's results."""

    def train() -> tuple[Params, Metrics]:
        state, metrics = training.train(group.config, jax.random.key(0))
        return state.agent.params, metrics

    shapes = jax.eval_shape(train)
    return jax.tree.map(lambda x: np.zeros((agents, *x.shape), x.dtype), shapes)


def _assemble(parts: list[Metrics], of: list[Group], found: Grid) -> Metrics:
    """Put the rows of all cells in the order of the axes, leaves ``[*axes, T]``.

    What isn't measured in each of them is left out.
    """
    left_out = {
        field.name: None
        for field in dataclasses.fields(Metrics)
        if any(getattr(part, field.name) is None for part in parts)
    }
    parts = [part.replace(**left_out) for part in parts]
    order = np.argsort(np.concatenate([group.cells for group in of]))

    def place(*leaves: Any) -> np.ndarray | None:
        if any(leaf is None for leaf in leaves):
            return None
        rows = [leaf.reshape(len(group.cells), len(found.seeds), *leaf.shape[1:])
                for leaf, group in zip(leaves, of, strict=True)]  # fmt: skip
        return np.concatenate(rows)[order].reshape(*found.shape, *rows[0].shape[2:])

    return jax.tree.map(place, *parts, is_leaf=lambda x: x is None)
