"""What a person sees while a training runs: rich progress and tables."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO, cast

import jax
import numpy as np
from rich import progress as bars
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jaxdqn import environment
from jaxdqn.assembly import assemble
from jaxdqn.config import Config, notes
from jaxdqn.errors import counted, typed
from jaxdqn.metrics import Metrics
from jaxdqn.parallel.memory import written
from jaxdqn.runs import signals, streams


def _console(name: str) -> Console:
    # Folders and settings may be called anything, "[/b]" and ":smile:" too.
    stream = cast(TextIO, streams.Lasting(name))
    return Console(file=stream, highlight=False, soft_wrap=True, markup=False, emoji=False)


_CONSOLE = _console("stdout")
_ERRORS = _console("stderr")
MOST_NOTES = 5
"""Most sentences on settings before a training."""
_ROWS = {
    "success": "success rate",
    "spl": "SPL",
    "regret": "regret at the start",
    "q_error": "RMS of Q - Q*",
    "q_bias": "max Q - max Q*",
    "return_distance": "W1 of returns",
    "policy_regret": "regret by chance",
    "value_error": "RMS of V - V^pi",
    "eval_return": "return (greedy)",
    "eval_length": "steps (greedy)",
    "episode_return": "return (exploring)",
    "loss": "loss",
    "q_mean": "mean value in learning",
}
_LEAST = 20
"""Letters of a long word that stand in a line of a table, however narrow the screen is."""


def announce(config: Config, seeds: range, out: Path) -> None:
    """Say what will be run, exactly, before it is compiled."""
    plan = config.schedule
    kinds = {device.device_kind for device in jax.devices()}
    say(
        config.env,
        f"{counted(len(seeds), 'seed')} × {counted(config.num_envs, 'environment')} on "
        f"{len(jax.devices())} {'/'.join(sorted(kinds))} device(s)",
    )
    method = assemble(config).method
    each = method.bytes_per_transition
    replay = f"; replay {config.capacity:,} × {each} bytes" if each else ""
    warmup = f"the first {plan.warmup_env_steps:,} at random; " if plan.warmup_env_steps else ""
    asked = "" if plan.env_steps == config.total_steps else f" ({config.total_steps:,} asked)"
    _CONSOLE.print(
        f"each seed: {plan.env_steps:,} steps{asked}, {warmup}"
        f"{plan.updates:,} updates of {plan.batch_size}{replay}"
    )
    for note in notes_on([config]):
        _CONSOLE.print(note)
    _CONSOLE.print(f"run folder: {out}\ncompiling …")


def notes_on(settings: Sequence[Config]) -> list[str]:
    """Return lines on what is honoured though it may not be meant, those of most settings first.

    Of many settings there may be as many sentences; the last line then counts those left out.
    """
    found = Counter(
        note for config in settings for note in notes(config) + environment.notes(config)
    )
    lines = [
        f"note{'' if times == len(settings) else f' on {times} of {len(settings)} settings'}: "
        f"{note}"
        for note, times in found.most_common(MOST_NOTES)
    ]
    left = len(found) - len(lines)
    return [*lines, f"note: {counted(left, 'more such note')}"] if left else lines


class Progress(signals.Held):
    """A live line of progress; on a plain stream a line per tenth of the way.

    While it is shown, signals only set ``asked``, so that what was learned is kept, as
    ``signals.Held`` says.
    """

    def __init__(self, config: Config, count: int, done: int = 0) -> None:
        """Show ``count`` seeds advancing through the schedule of ``config``.

        Args:
            config: the settings.
            count: seeds (S).
            done: evaluations before this session.
        """
        self._bar = live_line("speed", "measures")
        super().__init__(say_interrupted, self._bar.stop)
        self._plan, self._count = config.schedule, count
        self._done = self._before = done
        self._task: bars.TaskID | None = None

    def compiled(self, seconds: float) -> None:
        """Say that compilation is over, and start the bar."""
        _CONSOLE.print(f"compiled and warmed up in {seconds:.1f} s; training")
        if _CONSOLE.is_terminal:
            self._bar.start()
        self._task = self._bar.add_task(
            "", total=self._plan.evaluations, completed=self._done, speed="", measures=""
        )

    def update(self, row: Metrics) -> None:
        """Show one more evaluation.

        Args:
            row: metrics, leaves ``[S]``.
        """
        assert self._task is not None
        self._done += 1
        self._bar.update(self._task, advance=1)
        task = self._bar.tasks[self._task]
        elapsed = max(task.elapsed or 0.0, 1e-9)
        here = self._done - self._before
        iterations = self._count * here * self._plan.iterations_per_evaluation
        steps = iterations * self._plan.env_steps_per_iteration
        updates = self._count * here * self._plan.updates_per_evaluation
        speed = f"{steps / elapsed:,.0f} env-steps/s  {updates / elapsed:,.0f} updates/s"
        measures = f"ε {np.mean(row.epsilon):.2f}  return {np.mean(row.eval_return):.2f}"
        if row.success is not None:
            measures += f"  success {np.mean(row.success):.0%}"
        if row.held_out is not None and row.held_out.success is not None:
            measures += f"  held-out {np.mean(row.held_out.success):.0%}"
        self._bar.update(self._task, speed=speed, measures=measures)
        tenth = max(self._plan.evaluations // 10, 1)
        if not _CONSOLE.is_terminal and self._done % tenth == 0:
            left = elapsed / here * (self._plan.evaluations - self._done)
            share = self._done / self._plan.evaluations
            _CONSOLE.print(f"{share:4.0%}  {speed}  {measures}  ETA {left:.0f} s")


def is_terminal(errors: bool = False) -> bool:
    """Whether a person watches, or watches where errors are looked for."""
    return (_ERRORS if errors else _CONSOLE).is_terminal


def print_line(text: str, errors: bool = False) -> None:
    """Print a line as it is, or where errors are looked for."""
    (_ERRORS if errors else _CONSOLE).print(text)


def say(subject: object, text: str) -> None:
    """Say something of a file or an environment, by its name."""
    _CONSOLE.print(Text.assemble((str(subject), "bold"), f": {text}"))


def print_table(table: Table) -> None:
    """Print a table, whose columns take what width there is, but what their words need."""
    needed = 1
    for column in table.columns:
        lines = [line for x in (column.header, *column.cells) for line in str(x).splitlines()]
        if not column.no_wrap:
            lines = [word[:_LEAST] for line in lines for word in line.split()]
        column.min_width = max(map(cell_len, lines), default=0)
        needed += column.min_width + 3  # a space on either side, and a line
    if needed > _CONSOLE.width:
        table.width = needed
    _CONSOLE.print(table, soft_wrap=False, crop=False)


def say_interrupted(errors: bool = False) -> None:
    """Say that a signal was heard, and what is still done.

    Who writes standard output to a file, or to a program that the same Ctrl-C has ended, looks
    where errors are looked for.
    """
    print_line(
        "interrupted: finishing this compilation or evaluation, then saving; once more stops "
        "without saving …",
        errors or not is_terminal(),
    )


def live_line(*fields: str, errors: bool = False) -> bars.Progress:
    """Return a live line of progress: a bar, these fields of its task, and the time.

    Where errors are looked for, it leaves what a program prints alone.
    """
    return bars.Progress(
        bars.BarColumn(bar_width=24),
        bars.TaskProgressColumn(),
        *(bars.TextColumn(f"{{task.fields[{field}]}}", markup=False) for field in fields),
        bars.TimeElapsedColumn(),
        bars.TextColumn("ETA"),
        bars.TimeRemainingColumn(),
        console=_ERRORS if errors else _CONSOLE,
    )


def warn(text: str) -> None:
    """Say what went wrong where errors are looked for."""
    _ERRORS.print(f"jaxdqn: {text}")


def say_how_to_go_on(out: Path, done: int, total: int, what: str = "steps per seed") -> None:
    """Say what was kept of a training that was stopped, and how it is resumed."""
    print_line(
        f"stopped after {done:,} of {total:,} {what}; go on with: jaxdqn resume {typed(out)}"
    )


def report_evaluation(summary: dict[str, Any], seeds: int, episodes: int) -> None:
    """Print a table with one column per group of levels.

    Args:
        summary: measures by group, from ``statistics.summarise``.
        seeds: how many.
        episodes: greedy episodes of each.
    """
    title = f"{counted(seeds, 'seed')}, {episodes} greedy episodes each"
    table = Table(title=title, title_justify="left")
    table.add_column("measure")
    for group in summary:
        table.add_column(f"{group} (95 % interval)", justify="right", no_wrap=True)
    for name in next(iter(summary.values())):
        cells = [_cell(measures[name]) for measures in summary.values()]
        table.add_row(_ROWS.get(name, name), *cells)
    print_table(table)


def report(summary: dict[str, Any], out: Path) -> None:
    """Print the table of final measures and say where everything is."""
    final, seeds = summary["final"], counted(summary["seed_count"], "seed")
    title = f"after {summary['env_steps_per_seed']:,} steps, {seeds}"
    table = Table(title=title, title_justify="left")
    table.add_column("measure")
    held_out = "held_out_success" in final
    table.add_column("mean [95 % interval]", justify="right", no_wrap=True)
    if held_out:
        table.add_column("held-out levels", justify="right", no_wrap=True)
    for name, label in _ROWS.items():
        if name in final:
            unseen = [_cell(final.get(f"held_out_{name}"))] if held_out else []
            table.add_row(label, _cell(final[name]), *unseen)
    if (optimal := summary.get("shortest_path_seeds")) is not None:
        share = f"{optimal['count']} of {seeds}"
        table.add_row("shortest path", f"{share} [{optimal['low']:.3g}, {optimal['high']:.3g}]")
    print_table(table)
    saving = summary.get("checkpoint")
    saved = "" if saving is None else (
        f"{counted(saving['saved'], 'checkpoint')} of {written(saving['bytes'])} in "
        f"{saving['seconds']:.2f} s; "
    )  # fmt: skip
    _CONSOLE.print(
        f"{summary['train_seconds']:.1f} s of training, "
        f"{summary['env_steps_per_second']:,} env-steps/s; {saved}everything is in {out}"
    )
    found, count = summary.get("goal_found_seeds"), summary["seed_count"]
    if len(summary.get("halted", ())) == count:
        print_line("every seed left the finite numbers: lower learning_rate or max_grad_norm")
    elif found is not None and found < count:
        who = "no seed" if found == 0 else f"{count - found} of {count} seeds never"
        remedy = _how_to_reach_the_goal(summary)
        _CONSOLE.print(f"{who} reached the goal in any evaluation{remedy}")


def _how_to_reach_the_goal(summary: Mapping[str, Any]) -> str:
    if not summary["goal_is_rewarded"]:
        return ", and nothing rewards it: raise env_params.goal_reward"
    missing = summary["seed_count"] - summary["goal_found_seeds"]
    if summary["goal_found_only_exploring_seeds"] == missing:
        return ", and exploring did: train longer (total_steps), or change learning_rate"
    return (
        ": train longer (total_steps), explore longer (epsilon_steps, epsilon_end), start anywhere "
        "(env_kwargs.start = 'random'), or reward the way (env_params.cell_rewards)"
    )


def _cell(measure: dict[str, Any] | None) -> str:
    if measure is None:
        return ""
    if not measure["seeds"]:
        return "not measured"
    # Of one seed there is none, nor of some that aren't finite.
    known = measure["seeds"] > 1 and math.isfinite(measure["mean"])
    interval = f" [{measure['low']:.3g}, {measure['high']:.3g}]" if known else ""
    return f"{measure['mean']:.3g}{interval}"
