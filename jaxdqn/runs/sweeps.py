"""A sweep, trained chunk by chunk: watched, kept in a folder where one is given, carried on."""

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxdqn.errors import ConfigError, counted
from jaxdqn.method import State
from jaxdqn.metrics import Metrics, Rows
from jaxdqn.parallel import executor, processes, sweeps
from jaxdqn.parallel.grid import Grid
from jaxdqn.parallel.sweeps import Chunk, Results
from jaxdqn.runs.attempts import Attempts
from jaxdqn.runs.sweep_folder import Begun, SweepFolder

SAVE_EVERY = 60.0


class Moment(NamedTuple):
    """Where a sweep is, between compiled periods.

    Attributes:
        results: of every agent that is finished.
        chunk: the one that is trained.
        done: chunks before it in this session.
        chunks: how many there are in this session.
        programs: structures that are compiled for them.
        row: one evaluation of the chunk, leaves ``[K]``; None once it is compiled.
        seconds: of training the chunk so far, compilation and saving apart.
    """

    results: Results
    chunk: Chunk
    done: int
    chunks: int
    programs: int
    row: Metrics | None
    seconds: float


Watch = Callable[[Moment], Any]
"""Called as a sweep goes; true stops it, and what is under way is saved."""


class Outcome(NamedTuple):
    """What a session leaves of a sweep.

    Attributes:
        results: of every agent that is finished.
        seconds: of training, compilation and saving apart, over all sessions.
        chunks: how many were trained to their end in this session.
        finished: whether every agent is trained that was to be.
    """

    results: Results
    seconds: float
    chunks: int
    finished: bool


def run(
    found: Grid,
    out: Path | None = None,
    *,
    params: bool = True,
    notes: Mapping[str, Any] | None = None,
    wanted: Callable[[Results], list[np.ndarray]] | None = None,
    save_every: float = SAVE_EVERY,
    say: Callable[[str], Any] | None = None,
    watch: Watch | None = None,
) -> Outcome:
    """Train what is missing of a grid, chunk by chunk.

    Args:
        found: settings and seeds.
        out: where chunks are kept, and found; None: nowhere.
        params: whether networks are kept in memory, too.
        notes: what else the folder shall remember.
        wanted: which agents of each group are to be trained; None: all.
        save_every: seconds after which a chunk under way is saved, at its next evaluation.
        say: told what is going to be run before it starts.
        watch: called as it goes.

    Raises:
        ConfigError: one agent doesn't fit into memory, or the folder holds a sweep without any of
            these settings or can't be written to; what was finished is kept.
    """
    results, shares = Results(found, params), processes.Shares()
    folder = None if out is None else SweepFolder(out, found)
    seconds, begun, attempts = 0.0, [], Attempts()
    if folder:
        left_out = shares.first(partial(_open, folder, results, notes or {}))
        if left_out and say is not None:
            say(
                f"note: {counted(left_out, 'setting')} in '{out}' not asked for now: left out of "
                "the tables, with chunks that stay"
            )
        seconds, begun = folder.read(results), folder.begun(results)
        shares.meet("read")
    waiting = [begin.chunk for begin in begun]
    waiting += sweeps.chunks(results, waiting, wanted(results) if wanted else None, shares.agree)
    if say is not None:
        say(sweeps.announcement(found, waiting))
    programs, trained = len({chunk.group for chunk in waiting}), 0
    try:
        while (index := shares.take()) < len(waiting):
            chunk = waiting[index]
            session = _Session(
                chunk, begun[index] if index < len(begun) else None, folder, save_every, attempts
            )

            def show(row: Metrics | None, session: _Session = session, index: int = index) -> bool:
                moment = Moment(
                    results, waiting[index], index, len(waiting), programs, row, session.seconds
                )
                return bool(watch(moment)) if watch else False

            done = session.train(show)
            seconds += session.seconds
            if not done:
                shares.close()
                break
            trained += 1
            results.put(chunk.group, chunk.rows, *session.results)
    except ConfigError:
        shares.close()
        shares.meet("trained")
        raise
    shares.meet("trained")
    if folder and jax.process_count() > 1:
        seconds = folder.read(results)
    finished = all(results.done[chunk.group][chunk.rows].all() for chunk in waiting)
    if folder and finished and processes.is_first():
        folder.close()
    return Outcome(results, seconds, trained, finished)


def _open(folder: SweepFolder, results: Results, notes: Mapping[str, Any]) -> int:
    """Open the folder, unless one agent doesn't fit into memory; see ``SweepFolder.open``."""
    for group in results.groups:
        executor.plan(group.config, 1)
    return folder.open(notes)


class _Session:
    """One chunk, trained to its end or until it is stopped; its clock and its checkpoints."""

    def __init__(
        self,
        chunk: Chunk,
        begin: Begun | None,
        folder: SweepFolder | None,
        save_every: float,
        attempts: Attempts,
    ) -> None:
        self.seconds = begin.seconds if begin else 0.0
        self._rows = Rows(begin.metrics if begin else None)
        self._state = begin.state if begin else None
        self._chunk, self._folder, self._save_every = chunk, folder, save_every
        self._attempts = attempts

    @property
    def results(self) -> tuple[Any, Metrics]:
        """Networks and metrics at the end."""
        metrics = self._rows.metrics
        assert self._state is not None
        assert metrics is not None
        return jax.device_get(self._state.agent.params), metrics

    def train(self, watch: Callable[[Metrics | None], Any]) -> bool:
        """Train, and keep the chunk; return whether it came to its end."""
        saved = time.monotonic()
        for state, row in self._timed():
            self._state = state
            if row is not None:
                self._rows.add(row)
            stop = bool(watch(row))
            if int(state.evaluations) == self._chunk.config.schedule.evaluations:
                break
            so_far = (self._chunk, state, self._rows.metrics, self.seconds)
            if stop:
                if self._folder:
                    self._folder.save(*so_far)
                return False
            if self._folder and time.monotonic() - saved >= self._save_every:
                self._attempts("the chunk under way", self._folder.save, *so_far)
                saved = time.monotonic()
        if self._folder:
            self._folder.keep(self._chunk, *self.results, self.seconds)
        return True

    def _timed(self) -> Iterator[tuple[State, Metrics | None]]:
        """Count the seconds of training alone; the first pause is after compilation."""
        periods = self._chunk.train(self._state)
        yield next(periods)
        began = time.monotonic()
        for pause in periods:
            self.seconds += time.monotonic() - began
            yield pause
            began = time.monotonic()
