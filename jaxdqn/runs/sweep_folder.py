"""A sweep's folder: each finished chunk in a file of its own, and those under way.

An agent is known by its settings and its seed, wherever it stands. Chunks of another session may
therefore be cut otherwise, on other machines, for more values or more seeds.
"""

import contextlib
import hashlib
import json
import operator
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxdqn import pytrees
from jaxdqn.config import Config, load_config, to_toml
from jaxdqn.errors import ConfigError, reason_of, typed
from jaxdqn.method import State
from jaxdqn.metrics import Metrics, from_arrays, to_arrays
from jaxdqn.parallel import sweeps
from jaxdqn.parallel.grid import Grid, seed_numbers, settings_along
from jaxdqn.parallel.sweeps import Chunk, Results
from jaxdqn.runs import checkpoint, files, folder, place
from jaxdqn.training import outline
from jaxdqn.types import Params

_FINISHED, _UNDER_WAY = "chunks", "under_way"
_KIND = "chunk"
_FORMAT = 1


class Begun(NamedTuple):
    """A chunk that an earlier session began.

    Attributes:
        chunk: its agents.
        state: leaves ``[K, ...]`` but for the counters.
        metrics: rows so far, leaves ``[K, T]``, or None.
        seconds: of training so far.
    """

    chunk: Chunk
    state: State
    metrics: Metrics | None
    seconds: float


class SweepFolder:
    """Where chunks of a sweep are kept."""

    def __init__(self, out: Path, found: Grid) -> None:
        """Look at a folder as that of these settings and seeds; nothing is written."""
        self._out, self._grid = out, found
        self._finished, self._under_way = out / _FINISHED, out / _UNDER_WAY
        self._digests = [_digest(found.of(cell)) for cell in range(len(found.settings))]

    def open(self, notes: Mapping[str, Any]) -> int:
        """Make the folder, or take one that an earlier session of a sweep like this has left.

        Args:
            notes: what it is to remember beside settings and seeds.

        Returns:
            How many settings that are there aren't asked for now.

        Raises:
            ConfigError: it is no sweep's, or one's that has none of these settings, whose results
                would be replaced; or it can't be written to.
        """
        out, text = self._out, to_toml(self._grid.config)
        if not is_sweep(out) and out.is_dir() and not place.is_unused(out, text):
            raise ConfigError(
                f"out ('{out}') exists already and is no sweep's: choose another folder."
            )
        there, asked_for = self._settings_there(), {*self._digests}
        if there and not there & asked_for:
            raise ConfigError(
                f"out ('{out}') holds a sweep that has none of these settings, and whose results "
                "they would replace: choose another folder."
            )
        asked = {
            "axes": self._grid.axes, "seeds": self._grid.seeds, "drawn": dict(self._grid.drawn),
            "notes": notes,
        }  # fmt: skip
        with place.writable(out):
            out.mkdir(parents=True, exist_ok=True)
            files.clear_drafts(out)
            files.write_text(out / place.SETTINGS, text)
            files.write_text(out / folder.GRID, json.dumps(pytrees.plain(asked), indent=1) + "\n")
            self._finished.mkdir(exist_ok=True)
            self._under_way.mkdir(exist_ok=True)
        return len(there - asked_for)

    def _settings_there(self) -> set[str]:
        """Return the settings that the folder was last asked for, and those it has chunks of."""
        if not is_sweep(self._out):
            return set()
        last, _ = read_grid(self._out)
        there = {_digest(last.of(cell)) for cell in range(len(last.settings))}
        for path in self._finished.glob("*.npz"):
            there |= {digest for digest, _ in _read(path, ())[0]["agents"]}
        return there

    def read(self, results: Results) -> float:
        """Take what is finished of these agents into the results; return its seconds.

        Raises:
            ConfigError: a file is damaged, or of another version.
        """
        places, seconds = self._places(results), 0.0
        wanted = ("metrics.", "params.") if results.with_params else ("metrics.",)
        for path in sorted(self._finished.glob("*.npz")):
            about, arrays = _read(path, wanted)
            agents = [places.get((digest, seed)) for digest, seed in about["agents"]]
            for index, group in enumerate(results.groups):
                chosen = [(i, at[1]) for i, at in enumerate(agents) if at and at[0] == index]
                if chosen:
                    these, rows = np.array(chosen).T
                    params = _params(path, arrays, group.config) if results.with_params else None
                    both = (params, _metrics(path, arrays))
                    results.put(index, rows, *jax.tree.map(lambda x, i=these: x[i], both))
                    seconds += about["seconds"] * len(chosen) / len(agents)
        return seconds

    def begun(self, results: Results) -> list[Begun]:
        """Return the chunks to go on with; what has been finished since is forgotten."""
        places, found = self._places(results), []
        for path in sorted(self._under_way.glob("*.npz")):
            try:
                kept = checkpoint.restore(path)
            except ConfigError:
                if path.exists():
                    raise
                continue  # another process has found that it is finished
            agents = [places.get((digest, seed)) for digest, seed in kept.agents or []]
            known = [at for at in agents if at is not None]
            if len(known) < len(agents) or not known:
                continue  # of another grid
            group, rows = known[0][0], np.array([row for _, row in known])
            if results.done[group][rows].any():
                path.unlink(missing_ok=True)
                continue
            chunk = sweeps.chunk_of(results, group, rows)
            found.append(Begun(chunk, kept.state, kept.metrics, kept.seconds))
        return found

    def keep(self, chunk: Chunk, params: Params, metrics: Metrics, seconds: float) -> None:
        """Write a finished chunk.

        Raises:
            ConfigError: it can't be written.
        """
        agents = self._agents(chunk)
        arrays = pytrees.named_leaves({"params": params, "metrics": to_arrays(metrics)})
        about = {
            "format": _FORMAT,
            "versions": checkpoint.versions(),
            "agents": agents,
            "settings": pytrees.plain([self._grid.settings[cell] for cell in chunk.cells]),
            "seconds": seconds,
        }
        name = _name(agents)
        files.write_arrays(self._finished / name, about, jax.device_get(arrays), _KIND)
        (self._under_way / name).unlink(missing_ok=True)

    def save(self, chunk: Chunk, state: State, metrics: Metrics | None, seconds: float) -> None:
        """Write a chunk that is under way.

        Raises:
            ConfigError: it can't be written; the one before is still there.
        """
        agents = self._agents(chunk)
        with contextlib.suppress(OSError):  # of which the file tells
            # Another process in this folder, which had nothing left to train, may have closed it.
            self._under_way.mkdir(exist_ok=True)
        checkpoint.save(
            self._under_way / _name(agents), state, chunk.config, metrics,
            agents=agents, seconds=seconds,
        )  # fmt: skip

    def close(self) -> None:
        """Remove what held chunks under way, where there are none."""
        with contextlib.suppress(OSError):
            self._under_way.rmdir()

    def params_of(self, cell: int, seed: int) -> Params:
        """Return the network of one agent.

        Raises:
            ConfigError: it isn't there.
        """
        wanted = [self._digests[cell], seed]
        for path in sorted(self._finished.glob("*.npz")):
            agents = _read(path, ())[0]["agents"]
            if wanted in agents:
                params = _params(path, _read(path, ("params.",))[1], self._grid.of(cell))
                return jax.tree.map(operator.itemgetter(agents.index(wanted)), params)
        raise ConfigError(f"seed ({seed}) is not in '{self._out}': choose one that was trained.")

    def _agents(self, chunk: Chunk) -> list[tuple[str, int]]:
        digests = (self._digests[cell] for cell in chunk.cells)
        return list(zip(digests, chunk.seeds, strict=True))

    def _places(self, results: Results) -> dict[tuple[str, int], tuple[int, int]]:
        """Return where each agent is: its group, and its row there."""
        seeds = self._grid.seeds
        return {
            (self._digests[cell], seed): (index, i * len(seeds) + j)
            for index, group in enumerate(results.groups)
            for i, cell in enumerate(group.cells)
            for j, seed in enumerate(seeds)
        }


def is_sweep(out: Path) -> bool:
    """Whether a run folder is a sweep's."""
    return (out / folder.GRID).exists()


def read_grid(out: Path) -> tuple[Grid, dict[str, Any]]:
    """Read what a sweep's folder was asked for, and what else it remembers.

    Raises:
        ConfigError: it is missing or damaged.
    """
    config = load_config(out / place.SETTINGS)
    try:
        said = json.loads((out / folder.GRID).read_text(encoding="utf-8"))
        axes, seeds = dict(said["axes"]), seed_numbers(list(said["seeds"]))
        drawn = dict(said.get("drawn", {}))
        return Grid(config, axes, settings_along(axes), seeds, drawn), dict(said["notes"])
    except OSError as error:
        raise ConfigError(
            f"sweep '{out}' can't be read ({reason_of(error, 'unreadable')}): check the path."
        ) from None
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise files.damaged(out / folder.GRID, "sweep", str(error)) from None


def read_results(out: Path, params: bool = False) -> tuple[Results, float, dict[str, Any]]:
    """Read what a sweep's folder holds: its results, their seconds, and what else it remembers.

    Raises:
        ConfigError: it is missing or damaged, or nothing of it is finished.
    """
    found, notes = read_grid(out)
    results = Results(found, params)
    seconds = SweepFolder(out, found).read(results)
    if not any(done.any() for done in results.done):
        raise ConfigError(
            f"sweep '{out}' has nothing finished: go on with jaxdqn resume {typed(out)}."
        )
    return results, seconds, notes


def _read(path: Path, prefix: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
    about, arrays = files.read_arrays(path, _KIND, prefix)
    if about.get("format") != _FORMAT:
        raise ConfigError(
            f"chunk '{path}' has format {about.get('format')}, and this reads format {_FORMAT}: "
            "go on with the jaxdqn that wrote it."
        )
    return about, arrays


def _params(path: Path, arrays: dict[str, Any], config: Config) -> Params:
    like = outline(config).agent.params
    try:
        leaves = [arrays[name] for name in pytrees.named_leaves({"params": like})]
        return jax.tree.unflatten(jax.tree.structure(like), leaves)
    except KeyError as error:
        raise files.damaged(path, _KIND, f"it has no {error}") from None


def _metrics(path: Path, arrays: dict[str, Any]) -> Metrics:
    named = {name.partition(".")[2]: x for name, x in arrays.items() if name.startswith("metrics.")}
    try:
        return from_arrays(named)
    except ValueError as error:
        raise files.damaged(path, _KIND, str(error)) from None


def _digest(config: Config) -> str:
    return hashlib.sha256(to_toml(config).encode()).hexdigest()[:16]


def _name(agents: list[tuple[str, int]]) -> str:
    return f"{hashlib.sha256(json.dumps(agents).encode()).hexdigest()[:16]}.npz"
