"""What a person sees while a sweep runs, and at its end."""

import time
from collections.abc import Collection
from functools import partial
from pathlib import Path

import jax
from rich import progress as bars
from rich.table import Table

from jaxdqn.errors import typed
from jaxdqn.parallel import processes
from jaxdqn.parallel.sweeps import Results
from jaxdqn.runs import console, ranking, signals
from jaxdqn.runs.comparison import Score
from jaxdqn.runs.ranking import Ranked
from jaxdqn.runs.sweeps import Moment

MOST_LINES = 20
"""Lines of progress on a plain stream, and of the table of settings."""


class SweepProgress(signals.Held):
    """A live line of progress; on a plain stream a line for some of the chunks.

    While it is shown, signals only make ``show`` return true, so that what was learned is kept, as
    ``signals.Held`` says.
    """

    def __init__(
        self,
        measure: str,
        score: Score,
        *,
        holds: bool = True,
        shows: bool = True,
        errors: bool = False,
    ) -> None:
        """Name the best setting so far by this measure; only process 0 does.

        Args:
            measure: what settings are ranked by.
            score: what of it counts for a seed.
            holds: whether signals are held back.
            shows: whether anything is shown.
            errors: show it where errors are looked for.
        """
        self._bar = console.live_line("where", "best", errors=errors)
        self._errors, self._live = errors, console.is_terminal(errors)
        self._shows = shows and processes.is_first()
        ends = [self._bar.stop] if self._shows else []
        super().__init__(partial(console.say_interrupted, errors), *ends, holds=holds)
        self._measure, self._score = measure, score
        self._task: bars.TaskID | None = None
        self._called = self._began = self._learned = time.monotonic()
        self._chunks = 0
        self._compiling = 0.0
        self._best = ""

    def show(self, moment: Moment) -> bool:
        """Show where the sweep is; return whether it shall stop."""
        if moment.row is None and self._shows:
            self._start(moment)
        if self._task is not None and moment.row is not None:
            self._bar.update(self._task, advance=1)
            self._learned = time.monotonic()
        return self.asked

    def _start(self, moment: Moment) -> None:
        """Show that a chunk was compiled, and what those before it came to."""
        now = time.monotonic()
        if self._task is None:
            compiling = now - self._called
            self._print(f"compiled and warmed up in {compiling:.1f} s; training")
            if self._live:
                self._bar.start()
            total = moment.chunks * moment.chunk.config.schedule.evaluations
            self._task = self._bar.add_task("", total=total, where="", best="")
            self._compiling, self._began = compiling, now
        elif self._chunks == 1:
            # Until its last row: since then the next chunk's program may have been compiled.
            first = self._learned - self._began
            shares = -(-moment.chunks // jax.process_count())
            whole = self._compiling * moment.programs + first * shares
            self._print(
                f"the first chunk took {lasting(first)}: all {moment.chunks} of them take about "
                f"{lasting(whole)}, compilation included"
            )
        if self._chunks:
            self._say_best(moment)
        self._chunks += 1
        where = f"chunk {moment.done + 1} of {moment.chunks}"
        done = moment.done * moment.chunk.config.schedule.evaluations
        self._bar.update(self._task, where=where, best=self._best, completed=done)

    def _say_best(self, moment: Moment) -> None:
        ranked = ranking.rank(moment.results, self._measure, self._score)
        if not ranked:
            return
        best = ranked[0]
        self._best = f"best so far: {best.contender.name}: {best.value}"
        if not self._live and moment.done % max(moment.chunks // MOST_LINES, 1) == 0:
            share = moment.done / moment.chunks
            self._print(f"{share:4.0%}  {moment.done} of {moment.chunks}  {self._best}")

    def _print(self, text: str) -> None:
        console.print_line(text, self._errors)


def report(ranked: list[Ranked], said: str, measure: str, out: Path, seconds: float) -> None:
    """Print the best settings, who halted, what is established, and where everything is."""
    table = Table(title=f"{measure}, settings ranked", title_justify="left")
    for head in ("", "setting", "mean [95 % interval]", "seeds"):
        setting = head == "setting"
        table.add_column(head, justify="left" if setting else "right", no_wrap=not setting)
    shown = ranked[:MOST_LINES]
    for place, one in enumerate(shown, start=1):
        table.add_row(str(place), one.contender.name, one.value, one.seeds)
    console.print_table(table)
    if len(ranked) > len(shown):
        console.print_line(f"and {len(ranked) - len(shown)} more, in settings.csv")
    for one in ranked:
        say_halted(one.contender.name, one.halted)
    console.print_line(f"{said}.")
    console.print_line(f"{lasting(seconds)} of training; everything is in {out}")


def say_halted(name: str, seeds: Collection[int]) -> None:
    """Say which seeds of a setting left the finite numbers, if any did."""
    if seeds:
        numbers, one = ", ".join(map(str, seeds)), len(seeds) == 1
        console.print_line(
            f"{name}: loss or network of {'seed' if one else 'seeds'} {numbers} left the finite "
            f"numbers; {'it' if one else 'each'} kept its last finite network"
        )


def how_to_go_on(out: Path, results: Results) -> str:
    """Return what was kept of a sweep that was stopped, and how it is resumed."""
    done = sum(int(part.sum()) for part in results.done)
    return (
        f"stopped after {done} of {results.grid.agents} agents; go on with: jaxdqn resume "
        f"{typed(out)}"
    )


def lasting(seconds: float) -> str:
    """Write a length of time for people."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
