"""Settings compared by one score per seed: how large the difference is, and whether it is there."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from jaxdqn import statistics
from jaxdqn.metrics import Metrics, named, to_arrays
from jaxdqn.types import ConfigError, unknown

LOWER_IS_BETTER = (
    "eval_length", "regret", "q_error", "q_bias", "return_distance", "policy_regret",
    "value_error", "loss", "grad_norm",
)  # fmt: skip
_NOT_MEASURES = ("env_steps", "updates", "epsilon", "episodes")

Score = Literal["mean", "final"]


class Contender(NamedTuple):
    """One setting, trained.

    Attributes:
        name: of the setting.
        metrics: leaves ``[S, T]``.
        seeds: their numbers.
        seconds: of its training, compilation included; NaN where it was loaded.
    """

    name: str
    metrics: Metrics
    seeds: Sequence[int]
    seconds: float


class Verdict(NamedTuple):
    """What a comparison with the first contender came to.

    Attributes:
        improvement: probability that a seed of this one is better than one of the first.
        difference: of the scores' means, this minus the first.
        seeds_needed: of each, to establish a difference as large as the one observed.
    """

    improvement: statistics.Estimate
    difference: statistics.Estimate
    seeds_needed: float

    @property
    def established(self) -> bool:
        """Whether the interval of the difference excludes 0."""
        return bool(self.difference.low > 0 or self.difference.high < 0)


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


def scores(contender: Contender, measure: str, score: Score) -> np.ndarray:
    """Return one number per seed, ``[S]``: a measure's mean along training, or its last value."""
    rows = curves(contender, measure)
    if score == "final":
        return rows[:, -1]
    counts = np.sum(~np.isnan(rows), axis=1)
    return np.where(counts > 0, np.nansum(rows, axis=1) / np.maximum(counts, 1), np.nan)


def against(first: Contender, other: Contender, measure: str, score: Score) -> Verdict:
    """Compare with the first contender; seeds that both have are compared in pairs."""
    key_improvement, key_difference = jax.random.split(jax.random.key(0))
    x, y = scores(other, measure, score), scores(first, measure, score)
    better = (-x, -y) if measure.removeprefix("held_out_") in LOWER_IS_BETTER else (x, y)
    paired = list(first.seeds) == list(other.seeds)
    return Verdict(
        improvement=statistics.improvement(key_improvement, *better),
        difference=statistics.difference(key_difference, x, y, paired=paired),
        seeds_needed=float(statistics.seeds_needed(x, y, paired=paired)),
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
    """Return the figures of a comparison, by name of the contender, as plain numbers."""
    content: dict[str, Mapping[str, Any]] = {}
    for contender in contenders:
        values = scores(contender, measure, score)
        low, high = statistics.bootstrap_interval(jax.random.key(0), values, statistics.iqm)
        steps = int(contender.metrics.env_steps[0, -1]) * len(contender.seeds)
        entry: dict[str, Any] = {
            "seeds": len(contender.seeds),
            "iqm": float(statistics.iqm(values)),
            "low": float(low),
            "high": float(high),
            "seconds": contender.seconds,
            "env_steps_per_second": steps / contender.seconds,
        }
        if contender is not contenders[0]:
            verdict = against(contenders[0], contender, measure, score)
            entry |= {
                "improvement": [float(x) for x in verdict.improvement],
                "difference": [float(x) for x in verdict.difference],
                "established": verdict.established,
                "seeds_needed": verdict.seeds_needed,
            }
        content[contender.name] = entry
    return content
