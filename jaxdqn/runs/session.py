"""A training in a run folder: saved as it goes, watched, stopped at any time, carried on."""

import contextlib
import dataclasses
import signal
import typing
from collections.abc import Callable, Iterator
from functools import partial
from numbers import Real
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import jax
import numpy as np
import tyro

from jaxdqn import settings
from jaxdqn.config import Config, check, check_single, to_toml
from jaxdqn.errors import ConfigError, as_whole, counted, shown, unknown
from jaxdqn.method import State
from jaxdqn.metrics import Metrics
from jaxdqn.parallel import seeds
from jaxdqn.precision import in_usual_numbers
from jaxdqn.runs import console, folder, loggers, place, signals
from jaxdqn.runs.checkpoint import Checkpoint, in_a_row
from jaxdqn.runs.keeper import Keeper, OnNonfinite, Saving

__all__ = ["Callback", "Options", "Outcome", "extended", "train"]

Callback = Callable[[State, Metrics | None], Any]
"""Called after compiling, and after each evaluation, with the states and one row of metrics, leaves
``[S, ...]`` and ``[S]``, as ``seeds.train_in_periods`` yields them (None for a row at first); true
stops the training, which is then saved, None or false doesn't."""


@dataclasses.dataclass(frozen=True)
class Options:
    """How a training is kept and watched; none of it changes what is learned."""

    save_every: float = 60.0
    """Seconds between checkpoints, taken at the next evaluation; 0: at every evaluation."""
    on_nonfinite: OnNonfinite = "seed"
    """What a loss or network that is no longer finite stops: that seed, or the whole run."""
    tensorboard: bool = False
    """Also write means over seeds to the folder tensorboard in the run folder."""
    wandb: Annotated[str | None, tyro.conf.arg(metavar="PROJECT")] = None
    """Also log means over seeds to this project of Weights & Biases."""

    def check(self, in_chunks: bool = False) -> None:
        """Refuse, with a ``ConfigError``, what can't be honoured, or can't be in chunks."""
        check_save_every(self.save_every)
        if self.on_nonfinite not in (choices := typing.get_args(OnNonfinite)):
            raise unknown("on_nonfinite =", self.on_nonfinite, choices)
        for name, value in (self.of_all_seeds() if in_chunks else {}).items():
            raise ConfigError(
                f"{name} ({shown(value)}) follows all seeds at once, and these are trained in "
                "chunks: leave it out."
            )
        if self.tensorboard:
            loggers.check_installed("tensorboard", "tensorboardX")
        if self.wandb is not None:
            loggers.check_installed("wandb", "wandb")

    def of_all_seeds(self) -> dict[str, Any]:
        """Return what is set, other than usual, of what follows all seeds at once."""
        usual = vars(Options())
        followed = ("on_nonfinite", "tensorboard", "wandb")
        return {name: vars(self)[name] for name in followed if vars(self)[name] != usual[name]}


def check_save_every(seconds: float) -> None:
    """Refuse, with a ``ConfigError``, a length of time between checkpoints that is none."""
    if not (isinstance(seconds, Real) and seconds >= 0):
        raise ConfigError(f"save_every ({shown(seconds)}) must be 0 or more seconds: change it.")


class Outcome(NamedTuple):
    """What a session leaves.

    Attributes:
        state: leaves ``[S, ...]`` but for the counters.
        metrics: all rows, those of earlier sessions too, leaves ``[S, T]``; None before the first.
        seconds: of training, compilation and saving apart, over all sessions.
        saving: what this session's checkpoints took.
        halted: seeds that stopped learning, and after how many updates.
        summary: what ``summary.json`` says; None before the first row.
    """

    state: State
    metrics: Metrics | None
    seconds: float
    saving: Saving
    halted: dict[int, int]
    summary: dict[str, Any] | None


@in_usual_numbers
def train(
    out: str | Path,
    config: Config,
    numbers: range,
    *,
    options: Options = Options(),
    callback: Callback | None = None,
    begin: Checkpoint | None = None,
    holds: bool = True,
) -> Outcome:
    """Train seeds in a run folder to the end of the schedule, and leave checkpoints and results.

    Results are what ``jaxdqn train`` leaves but for the pictures, which ``jaxdqn plot`` draws.
    What was learned up to the last evaluation is saved whatever ends the training between two:
    the callback, an error in it, Ctrl-C or SIGTERM.

    >>> from jaxdqn.runs import folder
    >>> folder.create(out, config)
    >>> session.train(out, config, range(16))
    >>> begin = jaxdqn.restore(out)
    >>> session.train(out, session.extended(begin, 200_000), begin.seeds, begin=begin)

    Args:
        out: the run folder, from ``folder.create``; it holds these settings from now on.
        config: the settings.
        numbers: of the seeds.
        options: how it is kept and watched.
        callback: called after compiling, with None for a row, and after each evaluation. True
            stops the training, with results as far as it came; None or false doesn't.
        begin: where to carry on; by default the agents are new.
        holds: let Ctrl-C and SIGTERM wait for the evaluation under way and save it, before they do
            what they would have done; a second one doesn't wait. In a thread that signals don't
            reach they stay as they are.

    Raises:
        ConfigError: a setting, a seed or an option that can't be honoured, a folder that can't be
            written to, that holds another training or is trained into already, a checkpoint of
            another schedule or other seeds, before anything is learned; a callback that returns
            something else; or a seed that is no longer finite, with that option.
        KeyboardInterrupt: Ctrl-C; what was learned is in ``out``.
    """
    out = place.as_path(out, "out")
    with place.alone(out):
        _check(out, config, numbers, options, callback, begin)
        folder.clear(out, to_toml(config))
        keeper = Keeper(out, config, numbers, begin, options.save_every, options.on_nonfinite)
        agents, finished = begin.state if begin else None, config.schedule.evaluations
        with signals.Held(partial(console.say_interrupted, errors=True), holds=holds) as held:
            watchers = _logs(out, config, numbers, options, keeper.metrics)
            logs = {what: held.enter_context(watcher) for what, watcher in watchers}
            for state, row in seeds.train_in_periods(config, numbers, agents):
                if row is not None:
                    keeper.take(row)
                keeper.notice(state)
                with keeper.saving_first(state):
                    for what, log in logs.items() if row is not None else ():
                        keeper.attempts(what, log, row)
                    stop = callback is not None and _wants_to_stop(callback(state, row))
                stop |= held.asked or len(keeper.halted) == len(numbers)
                if row is None or stop or int(state.evaluations) == finished:
                    keeper.save(state)
                elif keeper.is_due:
                    keeper.attempts("the checkpoint", keeper.save, state)
                if stop:
                    break
                keeper.start_clock()
        outcome = _leave(out, config, numbers, keeper, state)
    if held.heard is not None:
        signal.raise_signal(held.heard)
        if int(state.evaluations) < finished:
            raise KeyboardInterrupt  # also for whoever handles the signal otherwise
    return outcome


def extended(begin: Checkpoint, total_steps: int) -> Config:
    """Return settings that go on from a checkpoint, with evaluations as far apart as so far.

    Args:
        begin: from ``restore``.
        total_steps: environment steps per agent, warm-up included, those so far among them; rounded
            up to whole evaluations.

    Raises:
        ConfigError: fewer steps than were trained, or too many to count.
    """
    if (wanted := as_whole(total_steps)) is None:
        raise ConfigError(f"total_steps ({shown(total_steps)}) must be a whole number: change it.")
    plan, done = begin.config.schedule, _counter(begin.state.evaluations)
    apart = plan.env_steps_per_evaluation
    evaluations = -(-(wanted - plan.warmup_env_steps) // apart)
    if evaluations < max(done, 1):
        raise ConfigError(
            f"total_steps ({wanted}) is less than the {plan.warmup_env_steps + done * apart} "
            "steps trained already: raise it, or leave it out to finish what was asked for."
        )
    made = plan.warmup_env_steps + evaluations * apart
    settings.check_steps(wanted, made)
    longer = begin.config.replace(total_steps=made, evaluations=evaluations)
    check(longer)
    return longer


def _check(
    out: Path,
    config: Config,
    numbers: range,
    options: Options,
    callback: Callback | None,
    begin: Checkpoint | None,
) -> None:
    """Refuse, with a ``ConfigError``, what can't be trained or kept, before it is compiled."""
    check(config)
    check_single(config)
    if not in_a_row(numbers) or not numbers or numbers.start < 0 or numbers.stop > 2**32:
        raise ConfigError(
            f"numbers ({shown(numbers)}) must be a range of seeds in a row, from 0 to 4294967295: "
            "write range(4) or the like."
        )
    if not isinstance(options, Options):
        raise ConfigError(
            f"options ({shown(options)}) must be Options: write session.Options(save_every=0) or "
            "the like."
        )
    options.check()
    if callback is not None and not callable(callback):
        raise ConfigError(
            f"callback ({shown(callback)}) must be a function of states and a row of metrics: "
            "change it, or leave it out."
        )
    if begin is not None:
        _check_begin(config, numbers, begin)
    if not out.is_dir():
        raise ConfigError(
            f"out ('{out}') can't be written to, since there is no such folder: make it with "
            "jaxdqn.runs.folder.create(out, config)."
        )
    if begin is None and (out / place.CHECKPOINT).exists():
        raise ConfigError(
            f"out ('{out}') holds a checkpoint, which new agents would replace: go on from it with "
            f"begin=jaxdqn.restore({str(out)!r}), or choose another folder."
        )


def _check_begin(config: Config, numbers: range, begin: Any) -> None:
    if not isinstance(begin, Checkpoint):
        path = repr(str(begin)) if isinstance(begin, str | Path) else "out"
        raise ConfigError(
            f"begin ({shown(begin)}) must be a Checkpoint: write begin=jaxdqn.restore({path})."
        )
    if begin.seeds not in (None, numbers):
        raise ConfigError(
            f"numbers ({shown(numbers)}) are not the seeds of begin: write {shown(begin.seeds)}."
        )
    seeds.check_agents(config, numbers, begin.state)
    plan, done = config.schedule, _counter(begin.state.evaluations)
    steps = _counter(begin.state.vector_steps) * config.num_envs
    apart = plan.env_steps_per_evaluation
    if plan.warmup_env_steps + done * apart != steps or done > plan.evaluations:
        raise ConfigError(
            f"total_steps ({config.total_steps}) with evaluations ({config.evaluations}) is not "
            f"the schedule of begin, which made {counted(done, 'evaluation')} in {steps} steps: "
            "give begin.config to finish it, or session.extended(begin, total_steps) to train "
            "longer."
        )


def _counter(value: Any) -> int:
    """Return what all agents count together."""
    return int(np.ravel(value)[0])


def _wants_to_stop(answer: Any) -> bool:
    """Return what a callback meant: a truth, perhaps of an array, or nothing at all."""
    truth = isinstance(answer, bool | np.bool_ | np.ndarray | jax.Array) and (
        np.shape(answer) == () and np.asarray(answer).dtype == bool
    )
    if answer is not None and not truth:
        raise ConfigError(
            f"callback returned {shown(answer)}: return True to stop the training, or None or "
            "False to go on."
        )
    return bool(answer)


def _leave(out: Path, config: Config, numbers: range, keeper: Keeper, state: State) -> Outcome:
    """Write the results of a session, and return what it leaves."""
    summary = None
    if (metrics := keeper.metrics) is not None:
        name = out.resolve().name
        summary = folder.summarise(name, config, metrics, numbers, keeper.seconds)
        summary |= {"checkpoint": keeper.saving._asdict(), "halted": keeper.halted}
        folder.save_results(out, metrics, summary, state.agent.params)
    return Outcome(state, metrics, keeper.seconds, keeper.saving, keeper.halted, summary)


def _logs(
    out: Path, config: Config, numbers: range, options: Options, so_far: Metrics | None
) -> Iterator[tuple[str, contextlib.AbstractContextManager[loggers.Log]]]:
    """Return what keeps rows as they come, each with what a sentence calls it."""
    steps = 0 if so_far is None else int(so_far.env_steps[0, -1])
    table, board = out / "metrics.csv", out / "tensorboard"
    yield f"table '{table}'", loggers.table(table, numbers, so_far)
    if options.tensorboard:
        yield f"folder '{board}'", loggers.tensorboard(board, steps)
    if options.wandb is not None:
        yield f"wandb ({options.wandb!r})", loggers.weights_and_biases(options.wandb, out, config)
