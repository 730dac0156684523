"""The checkpoints of one session, its clock, and its watch over seeds that halt."""

import contextlib
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from jaxdqn.config import Config
from jaxdqn.errors import ConfigError, counted
from jaxdqn.method import State
from jaxdqn.metrics import Metrics, Rows
from jaxdqn.runs import checkpoint, console, files, place
from jaxdqn.runs.attempts import Attempts
from jaxdqn.runs.checkpoint import Checkpoint

LAST_GOOD = "last_good.npz"
OnNonfinite = Literal["seed", "run"]


class Saving(NamedTuple):
    """What the checkpoints of one session took.

    Attributes:
        bytes: of the last one.
        saved: how many were written.
        seconds: that writing all of them took.
    """

    bytes: int = 0
    saved: int = 0
    seconds: float = 0.0


class Keeper:
    """What a session has come to, and when it is saved.

    Args:
        out: the run folder.
        config: the settings.
        numbers: of the seeds.
        begin: where the session carries on, if anywhere.
        save_every: seconds between checkpoints.
        on_nonfinite: what a loss or network that is no longer finite stops.
    """

    def __init__(
        self,
        out: Path,
        config: Config,
        numbers: range,
        begin: Checkpoint | None,
        save_every: float,
        on_nonfinite: OnNonfinite,
    ) -> None:
        self._rows = Rows(begin.metrics if begin else None)
        self.seconds = begin.seconds if begin else 0.0
        self.saving = Saving()
        self.attempts = Attempts()
        self.halted = _halted(begin.state, numbers) if begin else {}
        self._out, self._config, self._numbers = out, config, numbers
        self._save_every, self._on_nonfinite = save_every, on_nonfinite
        self._began = self._saved = time.monotonic()

    @property
    def metrics(self) -> Metrics | None:
        """All rows so far, those of earlier sessions too."""
        return self._rows.metrics

    @property
    def is_due(self) -> bool:
        """Whether so long has gone by since the last checkpoint."""
        return time.monotonic() - self._saved >= self._save_every

    def start_clock(self) -> None:
        """Count the seconds from here to the next row as training."""
        self._began = time.monotonic()

    def take(self, row: Metrics) -> None:
        """Add a row of metrics, leaves ``[S]``, to those so far."""
        self.seconds += time.monotonic() - self._began
        self._rows.add(row)

    def save(self, state: State) -> None:
        """Write a checkpoint.

        Raises:
            ConfigError: it can't be written; the one before is still there.
        """
        began = time.monotonic()
        size = checkpoint.save(
            self._out / place.CHECKPOINT, state, self._config, self.metrics,
            seeds=self._numbers, seconds=self.seconds,
        )  # fmt: skip
        self._saved = time.monotonic()
        seconds = self.saving.seconds + self._saved - began
        self.saving = Saving(size, self.saving.saved + 1, seconds)

    @contextlib.contextmanager
    def saving_first(self, state: State) -> Iterator[None]:
        """Save a state before whatever is raised meanwhile goes on its way."""
        try:
            yield
        except BaseException as error:
            try:
                self.save(state)
            except ConfigError as unsaved:
                error.add_note(str(unsaved))
            raise

    def notice(self, state: State) -> None:
        """Name the seeds that halted since the last look, and keep the checkpoint before that.

        Raises:
            ConfigError: there are some, and they stop the run.
        """
        new = {
            seed: updates
            for seed, updates in _halted(state, self._numbers).items()
            if seed not in self.halted
        }
        if not new:
            return
        self.halted |= new
        what = " and ".join(
            f"seed {seed} (at update {updates + 1:,})" for seed, updates in new.items()
        )
        said = f"loss or network of {what} left the finite numbers"
        if self._on_nonfinite == "run":
            raise ConfigError(
                f"{said}, so the run stops, its last checkpoint kept: lower learning_rate or "
                "max_grad_norm and train again, or set on_nonfinite = 'seed' and resume."
            )
        left = len(self._numbers) - len(self.halted)
        ends = "it learns no more and keeps its last finite network"
        if len(new) > 1:
            ends = "they learn no more and keep their last finite networks"
        console.warn(
            f"{said}: {ends}; {counted(left, 'seed')} {'goes' if left == 1 else 'go'} on, and the "
            f"checkpoint before this is kept as {LAST_GOOD}."
        )
        last_good, newest = self._out / LAST_GOOD, self._out / place.CHECKPOINT
        if newest.exists() and not last_good.exists():
            self.attempts(f"'{last_good}'", _copy, newest, last_good)


def _copy(source: Path, to: Path) -> None:
    with files.replacing(to) as beside:
        shutil.copyfile(source, beside)


def _halted(state: State, numbers: range) -> dict[int, int]:
    halted, updates = np.asarray(state.agent.halted), np.asarray(state.agent.updates)
    return {numbers[i]: int(updates[i]) for i in np.flatnonzero(halted)}
