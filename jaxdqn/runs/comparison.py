"""Settings compared by one score per seed: how large the difference is, and whether it is there."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from jaxdqn import statistics
from jaxdqn.config import Config
from jaxdqn.errors import ConfigError, unknown
from jaxdqn.metrics import Metrics, named, to_arrays
from jaxdqn.statistics import student

LOWER_IS_BETTER = (
    "eval_length", "regret", "q_error", "q_bias", "return_distance", "policy_regret",
    "value_error", "loss", "grad_norm",
)  # fmt: skip
_BIAS = "q_bias"
_NOT_MEASURES = ("env_steps", "updates", "epsilon", "episodes")

ERROR = 0.05
"""Chance that an interval misses, and that anything at all is wrongly called established.

Of scores that are about normal. Where two settings' few seeds find a policy or don't, equally
often, it is up to 0.08 (eight seeds each that differ), and more where all seeds of the one score
what those of the other do on average.
"""

PAIRED, INDEPENDENT = "paired (Student)", "independent (Welch)"
"""How means are compared."""

Score = Literal["mean", "final"]


class Contender(NamedTuple):
    """One setting, trained.

    Attributes:
        name: of the setting.
        metrics: leaves ``[S, T]``.
        seeds: their numbers.
        seconds: of its training, compilation included; NaN where it was loaded.
        along: seconds of training all its seeds together, compilation apart, when each evaluation
            was over, ``[T]``; None where it was loaded, or a full disk has lost some of them.
        config: the settings; None where they aren't known.
    """

    name: str
    metrics: Metrics
    seeds: Sequence[int]
    seconds: float
    along: np.ndarray | None = None
    config: Config | None = None


class Matched(NamedTuple):
    """Scores of two contenders, as their means are compared.

    Attributes:
        x: of the one, ``[S]``.
        y: of the other; where they are paired, entry i is of the same seed.
        shared: numbers of the seeds that both have.
        paired: whether the scores are those of the shared seeds alone, in pairs.
    """

    x: np.ndarray
    y: np.ndarray
    shared: list[int]
    paired: bool

    @property
    def counts(self) -> list[int]:
        """How many were measured: pairs, or scores of each."""
        there = [~np.isnan(self.x), ~np.isnan(self.y)]
        return [int(x.sum()) for x in ([there[0] & there[1]] if self.paired else there)]


class Verdict(NamedTuple):
    """What a comparison with the first contender came to.

    Attributes:
        improvement: probability that a seed of this one is better than one of the first.
        difference: of the scores' means, this minus the first (Student, 1908, of pairs; Welch,
            1947, where seeds are taken as independent; wider where ``student.among`` is).
        established: whether there is a difference.
        seeds_needed: of each, to establish a difference as large as the one observed; where it
            isn't, more than there are.
        matched: the scores that were compared.
    """

    improvement: statistics.Estimate
    difference: student.Interval
    established: bool
    seeds_needed: float
    matched: Matched


def curves(contender: Contender, measure: str) -> np.ndarray:
    """Return a measure along training, ``[S, T]``.

    Raises:
        ConfigError: the contender doesn't have it.
    """
    check_measure(contender.metrics, measure, contender.name)
    return to_arrays(contender.metrics)[measure]


def check_measure(metrics: Metrics, measure: str, name: str) -> None:
    """Refuse a measure that a contender doesn't have.

    Args:
        metrics: its own, or their shapes.
        measure: what is to be compared.
        name: of the contender.

    Raises:
        ConfigError: naming the nearest measure that it has.
    """
    known = [measured for measured in named(metrics) if measured not in _NOT_MEASURES]
    if measure not in known:
        raise unknown("measure", measure, known, f" in {name}")
    if measure == "eval_length" and metrics.success is None:
        raise ConfigError(
            f"measure ({measure!r}) says of {name} neither good nor bad, since only in mazes a "
            "shorter episode is a better one: use 'eval_return'."
        )


def lower_is_better(measure: str) -> bool:
    """Whether a small value of a measure is a good one."""
    return measure.removeprefix("held_out_") in LOWER_IS_BETTER


def is_bias(measure: str) -> bool:
    """Whether a measure is best at 0, and worse on either side."""
    return measure.removeprefix("held_out_") == _BIAS


def sized(measure: str, values: np.ndarray) -> np.ndarray:
    """Return values as settings are ranked by: the best bias is none, not the most negative."""
    return np.abs(values) if is_bias(measure) else values


def scores(contender: Contender, measure: str, score: Score) -> np.ndarray:
    """Return one number per seed, ``[S]``: a measure's mean along training, or its last value."""
    rows = curves(contender, measure)
    if score == "final":
        return rows[:, -1]
    counts = np.sum(~np.isnan(rows), axis=1)
    return np.where(counts > 0, np.nansum(rows, axis=1) / np.maximum(counts, 1), np.nan)


def env_steps(contender: Contender) -> int:
    """Return how many steps each of a contender's agents made in its environments."""
    return int(contender.metrics.env_steps[0, -1])


def common_seconds(contenders: Sequence[Contender]) -> float | None:
    """Return how long all of them were trained; None where one was loaded."""
    ends = [None if one.along is None else float(one.along[-1]) for one in contenders]
    known = [end for end in ends if end is not None]
    return min(known) if len(known) == len(ends) else None


def scores_by_seconds(contender: Contender, measure: str, until: float) -> np.ndarray:
    """Return one number per seed, ``[S]``: a measure's mean along the first seconds of training.

    Between two evaluations it is what the earlier one found, and before the first what that will
    find.

    Args:
        contender: was trained, not loaded.
        measure: its name.
        until: seconds, those of the last evaluation at most.
    """
    assert contender.along is not None
    rows = curves(contender, measure)
    begins = np.concatenate([[0.0], contender.along[1:]])
    weights = np.maximum(np.minimum(np.append(begins[1:], np.inf), until) - begins, 0.0)
    there = ~np.isnan(rows) * weights
    total = there.sum(axis=1)
    counted = np.where(there > 0, rows, 0.0)  # of infinity, 0 seconds are none
    return np.where(total > 0, (counted * there).sum(axis=1) / np.maximum(total, 1e-12), np.nan)


def matched(one: Contender, other: Contender, x: np.ndarray, y: np.ndarray) -> Matched:
    """Return scores ``x [S]`` and ``y [S]`` of two contenders as their means are compared.

    In pairs where both have at least half of the smaller one's seeds, and two. Where they share
    fewer, pairs would throw most away, and all seeds are taken as independent: what a few have in
    common, being alike, then makes the interval too wide rather than too narrow.
    """
    shared = sorted({*one.seeds} & {*other.seeds})
    if len(shared) < max(2, min(len(one.seeds), len(other.seeds)) / 2):
        return Matched(x, y, shared, paired=False)
    places = ([list(each.seeds).index(seed) for seed in shared] for each in (one, other))
    return Matched(x[next(places)], y[next(places)], shared, paired=True)


def by_seed(contenders: Sequence[Contender], values: Sequence[np.ndarray]) -> np.ndarray:
    """Return scores of all contenders, ``[S]`` each, with those of a seed in one column, or NaN."""
    seeds = sorted({seed for contender in contenders for seed in contender.seeds})
    table = np.full((len(contenders), len(seeds)), np.nan)
    for row, contender, scores in zip(table, contenders, values, strict=True):
        row[np.searchsorted(seeds, list(contender.seeds))] = scores
    return table


def judge(
    first: Contender,
    other: Contender,
    measure: str,
    x: np.ndarray,
    y: np.ndarray,
    every: np.ndarray,
    others: int = 1,
) -> Verdict:
    """Compare scores ``x [S]`` of a contender with those of the first, ``y [S]``.

    Means as ``matched`` has it, with the spread of all contenders, ``every`` as ``by_seed`` has
    it. The errors of all ``others`` that are compared with the first together stay below ``ERROR``
    (Bonferroni).
    """
    sign = -1 if lower_is_better(measure) else 1
    better = [sign * sized(measure, values) for values in (x, y)]
    pair = matched(other, first, x, y)
    how: Any = {"paired": pair.paired, "confidence": 1 - ERROR / others}
    is_so = student.established(pair.x, pair.y, every, **how) != 0
    needed = float(statistics.seeds_needed(pair.x, pair.y, **how))
    return Verdict(
        improvement=statistics.improvement(jax.random.key(0), *better),
        difference=student.among(pair.x, pair.y, every, **how),
        established=is_so,
        # Of few seeds it says about as many as there are, where luck would have to help.
        seeds_needed=needed if is_so else max(needed, min(pair.counts) + 1.0),
        matched=pair,
    )


def check_names(names: list[str]) -> None:
    """Refuse a comparison of one, and two contenders of one name.

    Raises:
        ConfigError: naming what is missing or doubled.
    """
    if len(names) < 2:
        raise ConfigError(f"settings ({', '.join(names)}) must be two or more: add one.")
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"settings have two of the name {name!r}: rename one of the files.")


def report(contenders: list[Contender], measure: str, score: Score) -> dict[str, Mapping[str, Any]]:
    """Return the figures of a comparison, by name of the contender, as plain numbers.

    Of each how many ``seeds`` it has, how many of them were ``measured``, and how many of these are
    ``infinite``; of those after the first how it compares with it, by which ``test``, and how many
    pairs, or scores of each, were ``compared``.
    """
    content: dict[str, Mapping[str, Any]] = {}
    until = common_seconds(contenders)
    values = [scores(contender, measure, score) for contender in contenders]
    figures = partial(_figures, contenders, measure, values, by_seed(contenders, values))
    if until is not None:
        timed = [scores_by_seconds(contender, measure, until) for contender in contenders]
        by_seconds = partial(_figures, contenders, measure, timed, by_seed(contenders, timed))
    for place, contender in enumerate(contenders):
        steps, along = env_steps(contender) * len(contender.seeds), contender.along
        entry: dict[str, Any] = {
            "seeds": len(contender.seeds),
            "seed_numbers": list(contender.seeds),
            "seconds": contender.seconds,
            "env_steps_per_second": math.nan if along is None else steps / float(along[-1]),
            **figures(place),
        }
        if until is not None:
            assert contender.along is not None
            found = by_seconds(place)
            # Seeds were timed once, all together: how sure their seconds are isn't known.
            found.pop("established", None)
            entry["by_seconds"] = {
                "until": until, "along": contender.along.tolist(), **found
            }  # fmt: skip
        content[contender.name] = entry
    return content


def _figures(
    contenders: Sequence[Contender],
    measure: str,
    values: Sequence[np.ndarray],
    every: np.ndarray,
    place: int,
) -> dict[str, Any]:
    """Return what one's scores come to, of those of all, and beside those of the first."""
    others, own = len(contenders) - 1, values[place]
    low, high = statistics.bootstrap_interval(jax.random.key(0), own, statistics.iqm)
    found = {
        "measured": int(np.sum(~np.isnan(own))),
        "infinite": int(np.sum(np.isinf(own))),
        "iqm": float(statistics.iqm(own)), "low": float(low), "high": float(high),
    }  # fmt: skip
    if not place:
        return found
    verdict = judge(contenders[0], contenders[place], measure, own, values[0], every, others)
    return found | {
        "improvement": [float(x) for x in verdict.improvement],
        "difference": [float(x) for x in verdict.difference],
        "established": verdict.established,
        "seeds_needed": verdict.seeds_needed,
        "test": PAIRED if verdict.matched.paired else INDEPENDENT,
        "shared_seeds": verdict.matched.shared,
        "compared": verdict.matched.counts,
        "confidence": 1 - ERROR / others,
    }
