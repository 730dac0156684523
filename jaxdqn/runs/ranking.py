"""Settings of a sweep, ranked by one score per seed, and what of the ranking is established."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxdqn.config import Config
from jaxdqn.metrics import Metrics
from jaxdqn.parallel.sweeps import Results
from jaxdqn.runs import comparison
from jaxdqn.runs.comparison import ERROR, Contender, Score, lower_is_better, sized
from jaxdqn.statistics import student


class Ranked(NamedTuple):
    """One setting.

    Attributes:
        cell: its place in the grid.
        contender: its name, its finished seeds and their metrics.
        scores: one for each of these seeds, ``[S]``.
        mean: of the scores that were measured; NaN where none was.
        low: lower end of the mean's 95 % interval (Student, 1908), NaN of fewer than two seeds.
        high: upper end.
        halted: seeds that left the finite numbers.
    """

    cell: int
    contender: Contender
    scores: np.ndarray
    mean: float
    low: float
    high: float
    halted: list[int]

    @property
    def measured(self) -> int:
        """How many scores the mean is made of."""
        return int(np.sum(~np.isnan(self.scores)))

    @property
    def seeds(self) -> str:
        """How many that is, and of how many seeds where it differs."""
        return share(self.measured, len(self.scores))

    @property
    def value(self) -> str:
        """The mean and its interval, for people."""
        if math.isnan(self.mean) and not self.measured:
            return "not measured"
        if not math.isfinite(self.mean):
            infinite = int(np.sum(np.isinf(self.scores)))
            return f"not finite in {of_seeds(infinite, len(self.scores))}"
        interval = "" if math.isnan(self.low) else f" [{self.low:.3g}, {self.high:.3g}]"
        return f"{self.mean:.3g}{interval}"


def share(part: int, whole: int) -> str:
    """Return a count of seeds as a table says it: 4 of 6, or 6 where it is all of them."""
    return str(whole) if part == whole else f"{part} of {whole}"


def of_seeds(part: int, whole: int) -> str:
    """Return the same in a sentence: 4 of 6 seeds, or 1 seed."""
    return f"{share(part, whole)} seed{'s' * (whole != 1)}"


def named(setting: Mapping[str, Any], digits: int = 3) -> str:
    """Return what a setting is called: its swept values, of so many digits."""
    said = (f"{name.rpartition('.')[2]} {_short(value, digits)}" for name, value in setting.items())
    return ", ".join(said)


def told_apart(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what each of several settings is called, of as few digits as tell them apart."""
    for digits in range(3, 18):  # 17 say all of a double
        names = [named(setting, digits) for setting in settings]
        if len({*names}) == len(names):
            break
    return names


def rank(results: Results, measure: str, score: Score, first: int | None = None) -> list[Ranked]:
    """Return the settings that have finished seeds, best first.

    Args:
        results: what is known.
        measure: what they are ranked by.
        score: what of it counts for a seed.
        first: how many of the sweep's seeds are looked at; None: all.

    Raises:
        ConfigError: a measure that there isn't.
    """
    ranked = []
    for cell, name in enumerate(told_apart(results.grid.settings)):
        seeds, metrics = results.of_cell(cell, first)
        if metrics is None:
            continue
        contender = Contender(name or "these settings", metrics, seeds, math.nan)
        values = sized(measure, comparison.scores(contender, measure, score))
        mean, low, high = student.student_interval(values)
        gone = [seeds[place] for place in halted(results.grid.of(cell), metrics)]
        ranked.append(Ranked(cell, contender, values, mean, low, high, gone))
    sign = 1 if lower_is_better(measure) else -1

    def place(one: Ranked) -> tuple[bool, bool, bool, float]:
        # What isn't finite comes behind what is, and last what was never measured.
        return not one.measured, math.isnan(one.mean), math.isinf(one.mean), sign * one.mean

    return sorted(ranked, key=place)


def halted(config: Config, metrics: Metrics) -> dict[int, int]:
    """Return which agents left the finite numbers: their places, and updates until then.

    Args:
        config: their settings.
        metrics: leaves ``[S, T]``, also of a training that isn't over.
    """
    updates = np.asarray(metrics.updates)
    due = config.schedule.updates_per_evaluation * updates.shape[1]
    return {int(i): int(updates[i, -1]) for i in np.flatnonzero(updates[:, -1] < due)}


def established(ranked: list[Ranked], measure: str) -> list[bool]:
    """Return for each setting after the first whether the first is established to be better.

    Seeds that both have are compared in pairs, as ``comparison.matched`` has it. The first was
    chosen after looking, so that each of all pairs of settings could have been this one: their
    errors together are what ``ERROR`` says (Bonferroni).

    Args:
        ranked: settings, best first; by seeds of their own, so that of those that both have
            another may be the better one.
        measure: what they are ranked by.
    """
    first, *others = ranked
    pairs = len(ranked) * (len(ranked) - 1) // 2
    sign = -1 if lower_is_better(measure) else 1
    every = comparison.by_seed([one.contender for one in ranked], [one.scores for one in ranked])

    def is_worse(other: Ranked) -> bool:
        pair = comparison.matched(first.contender, other.contender, first.scores, other.scores)
        confidence = 1 - ERROR / max(pairs, 1)
        how: Any = {"paired": pair.paired, "confidence": confidence}
        return sign * student.established(pair.x, pair.y, every, **how) > 0

    return [is_worse(other) for other in others]


def sentence(ranked: list[Ranked], measure: str, score: Score) -> str:
    """Return what is established, in one sentence."""
    first, *others = ranked
    what = {"mean": "mean along training", "final": "at the end"}[score]
    said = f"best of {len(ranked)} by {measure} ({what}): {first.contender.name}, {first.value}"
    over = f" over {of_seeds(first.measured, len(first.scores))}"
    if not others:
        return said + over
    found = established(ranked, measure)
    level = "less" if lower_is_better(measure) else "more"
    said += f"{over}; "
    if all(found):
        return said + f"established to be {level} than all others"
    rivals = [other for other, is_so in zip(others, found, strict=True) if not is_so]
    near = f"{rivals[0].contender.name}, {rivals[0].value}"
    if not any(found):
        return said + f"not established against any other, of which the next is {near}"
    return said + (
        f"established to be {level} than {sum(found)} of the other {len(others)}, not than "
        f"{len(rivals)}, of which the next is {near}"
    )


def _short(value: Any, digits: int = 3) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)
