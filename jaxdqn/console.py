"""What a person sees while a training runs: rich progress and tables."""

import signal
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import jax
import numpy as np
from rich import progress as bars
from rich.console import Console
from rich.table import Table

from jaxdqn import training
from jaxdqn.config import Config
from jaxdqn.training import Metrics

_CONSOLE = Console(highlight=False, soft_wrap=True)
_ROWS = {
    "success": "success rate",
    "spl": "success weighted by path length",
    "regret": "regret (value lost at the start)",
    "q_error": "error of Q (RMS of Q - Q*)",
    "q_bias": "overestimation (max Q - max Q*)",
    "eval_return": "return (greedy)",
    "eval_length": "steps to the end (greedy)",
    "episode_return": "return (exploring)",
    "loss": "loss",
    "q_mean": "mean Q of replayed actions",
}


def announce(config: Config, seeds: range, out: Path) -> None:
    """Say what will be run, exactly, before it is compiled."""
    plan = config.schedule
    kinds = {device.device_kind for device in jax.devices()}
    _CONSOLE.print(
        f"[bold]{config.env}[/bold]: {len(seeds)} seeds × {config.num_envs} environments on "
        f"{len(jax.devices())} {'/'.join(sorted(kinds))} device(s)"
    )
    asked = "" if plan.env_steps == config.total_steps else f" ({config.total_steps:,} asked)"
    _CONSOLE.print(
        f"each seed: {plan.env_steps:,} steps{asked}, "
        f"the first {plan.warmup_env_steps:,} at random; "
        f"{plan.updates:,} updates of {config.batch_size}; "
        f"replay {config.capacity:,} × {training.bytes_per_transition(config)} bytes"
    )
    _CONSOLE.print(f"run folder: {out}\ncompiling …")


class Progress:
    """A live line of progress; on a plain stream a line per tenth of the way.

    While it is shown, Ctrl-C only sets ``interrupted``, so that what was learned is kept; a
    second Ctrl-C stops at once.
    """

    def __init__(self, config: Config, count: int) -> None:
        """Show ``count`` seeds advancing through the schedule of ``config``."""
        self.interrupted = False
        self._plan, self._count = config.schedule, count
        self._done = 0
        self._bar = bars.Progress(
            bars.BarColumn(bar_width=24),
            bars.TaskProgressColumn(),
            bars.TextColumn("{task.fields[speed]}"),
            bars.TextColumn("{task.fields[measures]}"),
            bars.TimeElapsedColumn(),
            bars.TextColumn("ETA"),
            bars.TimeRemainingColumn(),
            console=_CONSOLE,
        )
        self._task: bars.TaskID | None = None

    def __enter__(self) -> "Progress":
        """Start listening for Ctrl-C."""
        self._previous = signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the terminal and Ctrl-C as they were."""
        self._bar.stop()
        signal.signal(signal.SIGINT, self._previous)

    def compiled(self, seconds: float) -> None:
        """Say that compilation is over, and start the bar."""
        _CONSOLE.print(f"compiled and warmed up in {seconds:.1f} s; training")
        if _CONSOLE.is_terminal:
            self._bar.start()
        self._task = self._bar.add_task("", total=self._plan.evaluations, speed="", measures="")

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
        steps = int(row.env_steps[0]) - self._plan.warmup_env_steps
        speed = (
            f"{self._count * steps / elapsed:,.0f} env-steps/s  "
            f"{self._count * int(row.updates[0]) / elapsed:,.0f} updates/s"
        )
        measures = f"ε {np.mean(row.epsilon):.2f}  return {np.mean(row.eval_return):.2f}"
        if row.success is not None:
            measures += f"  success {np.mean(row.success):.0%}"
        self._bar.update(self._task, speed=speed, measures=measures)
        tenth = max(self._plan.evaluations // 10, 1)
        if not _CONSOLE.is_terminal and self._done % tenth == 0:
            left = elapsed / self._done * (self._plan.evaluations - self._done)
            share = self._done / self._plan.evaluations
            _CONSOLE.print(f"{share:4.0%}  {speed}  {measures}  ETA {left:.0f} s")

    def _interrupt(self, _signal: int, _frame: FrameType | None) -> None:
        if self.interrupted:
            raise KeyboardInterrupt
        self.interrupted = True
        _CONSOLE.print("interrupted: finishing this evaluation, then keeping what was learned …")


def report(summary: dict[str, Any], out: Path) -> None:
    """Print the table of final measures and say where everything is."""
    title = f"after {summary['env_steps_per_seed']:,} steps, {summary['seed_count']} seeds"
    table = Table(title=title, title_justify="left")
    table.add_column("measure")
    table.add_column("mean", justify="right")
    table.add_column("95 % interval", justify="right")
    for name, label in _ROWS.items():
        if (measure := summary["final"].get(name)) is None:
            continue
        if not measure["seeds"]:
            table.add_row(label, "not measured", "")
            continue
        several = measure["seeds"] > 1
        interval = f"[{measure['low']:.3g}, {measure['high']:.3g}]" if several else ""
        table.add_row(label, f"{measure['mean']:.3g}", interval)
    if (optimal := summary.get("shortest_path_seeds")) is not None:
        interval = f"[{optimal['low']:.3g}, {optimal['high']:.3g}]"
        share = f"{optimal['count']} of {summary['seed_count']} seeds"
        table.add_row("walk the shortest path", share, interval)
    _CONSOLE.print(table)
    _CONSOLE.print(
        f"{summary['train_seconds']:.1f} s of training, "
        f"{summary['env_steps_per_second']:,} env-steps/s; everything is in {out}"
    )
