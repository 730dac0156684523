"""A training in a run folder: saved as it goes, watched, stopped at any time, carried on."""

import contextlib
import dataclasses
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import tyro

from jaxdqn.config import Config
from jaxdqn.errors import ConfigError, counted, shown
from jaxdqn.method import State
from jaxdqn.metrics import Metrics, Rows
from jaxdqn.parallel import seeds
from jaxdqn.precision import in_32_bits
from jaxdqn.runs import checkpoint, console, files, loggers
from jaxdqn.runs.checkpoint import Checkpoint

Callback = Callable[[State, Metrics | None], Any]
"""Called between compiled chunks with the states and one row of metrics, as yielded by
``seeds.train_in_periods``; true stops the training, which is then saved."""

LAST_GOOD = "last_good.npz"


@dataclasses.dataclass(frozen=True)
class Options:
    """How a training is kept and watched; none of it changes what is learned."""

    save_every: float = 60.0
    """Seconds between checkpoints, taken at the next evaluation; 0: at every evaluation."""
    on_nonfinite: Literal["seed", "run"] = "seed"
    """What a loss or network that is no longer finite stops: that seed, or the whole run."""
    tensorboard: bool = False
    """Also write means over seeds to the folder tensorboard in the run folder."""
    wandb: Annotated[str | None, tyro.conf.arg(metavar="PROJECT")] = None
    """Also log means over seeds to this project of Weights & Biases."""

    def check(self) -> None:
        """Refuse, with a ``ConfigError``, a length of time that is none."""
        check_save_every(self.save_every)

    def of_all_seeds(self) -> dict[str, Any]:
        """Return what is set, other than usual, of what follows all seeds at once."""
        usual = vars(Options())
        followed = ("on_nonfinite", "tensorboard", "wandb")
        return {name: vars(self)[name] for name in followed if vars(self)[name] != usual[name]}

    def check_chunks(self) -> None:
        """Refuse, with a ``ConfigError``, what needs all seeds at once, of chunks."""
        for name, value in self.of_all_seeds().items():
            raise ConfigError(
                f"{name} ({shown(value)}) follows all seeds at once, and these are trained in "
                "chunks: leave it out."
            )


def check_save_every(seconds: float) -> None:
    """Refuse, with a ``ConfigError``, a length of time between checkpoints that is none."""
    if not seconds >= 0:
        raise ConfigError(f"save_every ({seconds}) must be 0 or more: change it.")


class Outcome(NamedTuple):
    """What a session leaves.

    Attributes:
        state: leaves ``[S, ...]`` but for the counters.
        metrics: all rows, those of earlier sessions too, leaves ``[S, T]``; None before the first.
        seconds: of training, compilation and saving apart, over all sessions.
        saving: bytes of a checkpoint, how many were saved in this session, in how many seconds.
        halted: seeds that stopped learning, and after how many updates.
    """

    state: State
    metrics: Metrics | None
    seconds: float
    saving: dict[str, float]
    halted: dict[int, int]


@in_32_bits
def train(
    out: str | Path,
    config: Config,
    numbers: range,
    *,
    options: Options = Options(),
    callback: Callback | None = None,
    begin: Checkpoint | None = None,
) -> Outcome:
    """Train seeds with checkpoints and logs in a run folder, to the end of the schedule.

    Args:
        out: the run folder, from ``folder.create``.
        config: the settings.
        numbers: of the seeds.
        options: how it is kept and watched.
        callback: called after compiling, with None for a row, and after each evaluation.
        begin: where to carry on; by default the agents are new.

    Raises:
        ConfigError: a setting that can't be honoured, a folder that can't be written to before
            anything is learned, or a seed that is no longer finite, with that option.
    """
    options.check()
    keeper = _Keeper(Path(out), config, numbers, options, begin)
    finished = config.schedule.evaluations
    with contextlib.ExitStack() as stack:
        watchers = _logs(Path(out), config, numbers, options, keeper.metrics)
        logs = [stack.enter_context(watcher) for watcher in watchers]
        for state, row in seeds.train_in_periods(config, numbers, begin.state if begin else None):
            if row is not None:
                keeper.take(row)
                for log in logs:
                    _attempt(log, row)
            keeper.notice(state)
            stop = bool(callback(state, row)) if callback else False
            stop |= len(keeper.halted) == len(numbers)
            if row is None or stop or int(state.evaluations) == finished:
                keeper.save(state)
            elif keeper.is_due:
                _attempt(keeper.save, state)
            if stop:
                break
            keeper.start_clock()
    return Outcome(state, keeper.metrics, keeper.seconds, keeper.saving, keeper.halted)


class _Keeper:
    """The checkpoints of one session, its clock, and its watch over seeds that halt."""

    def __init__(
        self, out: Path, config: Config, numbers: range, options: Options, begin: Checkpoint | None
    ) -> None:
        self._rows = Rows(begin.metrics if begin else None)
        self.seconds = begin.seconds if begin else 0.0
        self.saving: dict[str, float] = {"bytes": 0, "saved": 0, "seconds": 0.0}
        self.halted = _halted(begin.state, numbers) if begin else {}
        self._out, self._config, self._numbers, self._options = out, config, numbers, options
        self._began = self._saved = time.monotonic()

    @property
    def metrics(self) -> Metrics | None:
        return self._rows.metrics

    @property
    def is_due(self) -> bool:
        return time.monotonic() - self._saved >= self._options.save_every

    def start_clock(self) -> None:
        self._began = time.monotonic()

    def take(self, row: Metrics) -> None:
        self.seconds += time.monotonic() - self._began
        self._rows.add(row)

    def save(self, state: State) -> None:
        began = time.monotonic()
        self.saving["bytes"] = checkpoint.save(
            self._out / checkpoint.FILE, state, self._config, self.metrics,
            seeds=self._numbers, seconds=self.seconds,
        )  # fmt: skip
        self._saved = time.monotonic()
        self.saving["saved"] += 1
        self.saving["seconds"] += self._saved - began

    def notice(self, state: State) -> None:
        """Name the seeds that halted since the last look, and keep the checkpoint before that."""
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
        if self._options.on_nonfinite == "run":
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
        last_good, newest = self._out / LAST_GOOD, self._out / checkpoint.FILE
        if newest.exists() and not last_good.exists():
            _attempt(_copy, newest, last_good)


def _copy(source: Path, to: Path) -> None:
    with files.replacing(to) as beside:
        shutil.copyfile(source, beside)


def _halted(state: State, numbers: range) -> dict[int, int]:
    halted, updates = np.asarray(state.agent.halted), np.asarray(state.agent.updates)
    return {numbers[i]: int(updates[i]) for i in np.flatnonzero(halted)}


def _logs(
    out: Path, config: Config, numbers: range, options: Options, so_far: Metrics | None
) -> Iterator[contextlib.AbstractContextManager[loggers.Log]]:
    steps = 0 if so_far is None else int(so_far.env_steps[0, -1])
    yield loggers.table(out / "metrics.csv", numbers, so_far)
    if options.tensorboard:
        yield loggers.tensorboard(out / "tensorboard", steps)
    if options.wandb is not None:
        yield loggers.weights_and_biases(options.wandb, out, config)


def _attempt(action: Callable[..., Any], *arguments: Any) -> None:
    """Training in memory is worth more than one file less on disk: say it and go on."""
    try:
        action(*arguments)
    except (OSError, ConfigError) as error:
        console.warn(f"{str(error).rstrip('.')}; training goes on.")
