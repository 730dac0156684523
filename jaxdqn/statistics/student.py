"""Student's intervals of means: as wide as few seeds need, where scores are about normal.

On the host, of scores ``[S]``; what wasn't measured (NaN) isn't counted.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit  # JAX needs SciPy


class Interval(NamedTuple):
    """A mean, or a difference of means, and the ends of its interval."""

    mean: float
    low: float
    high: float


def student_interval(scores: np.ndarray, *, confidence: float = 0.95) -> Interval:
    """Estimate the mean (Student, 1908); the ends are NaN of fewer than two scores.

    Of scores that are all alike nothing is known of the spread, and the interval is a point.
    """
    scores = _measured(scores)
    if not len(scores):
        return Interval(math.nan, math.nan, math.nan)
    error = math.sqrt(_variance(scores))
    return _around(float(scores.mean()), error, len(scores) - 1, confidence)


def student_difference(
    x: np.ndarray, y: np.ndarray, *, paired: bool, confidence: float = 0.95
) -> Interval:
    """Estimate the mean of X minus that of Y: of pairs (Student, 1908), or not (Welch, 1947).

    Args:
        x: scores.
        y: scores; if ``paired`` entry i shares a seed with that of X.
        paired: whether they do: neither counts where the other wasn't measured.
        confidence: chance that an interval holds the truth.
    """
    if paired:
        return student_interval(np.subtract(x, y), confidence=confidence)
    x, y = _measured(x), _measured(y)
    if not (len(x) and len(y)):
        return Interval(math.nan, math.nan, math.nan)
    one, other = _variance(x), _variance(y)
    middle, error = float(x.mean() - y.mean()), math.sqrt(one + other)
    if not error > 0:  # NaN: fewer than two of either
        return _around(middle, error, 1, confidence)
    freedom = (one + other) ** 2 / (one**2 / (len(x) - 1) + other**2 / (len(y) - 1))
    return _around(middle, error, freedom, confidence)


def established(x: np.ndarray, y: np.ndarray, *, paired: bool, confidence: float = 0.95) -> int:
    """Return 1 where the mean of X is established to be more than that of Y, -1 where less, else 0.

    By whether ``student_difference`` excludes 0; where that is a point, since all are alike, there
    must be as many as a test of signs, or of exchanged scores, needs.
    """
    middle, low, high = student_difference(x, y, paired=paired, confidence=confidence)
    if low == high:
        ways = 2 ** len(_measured(np.subtract(x, y))) if paired else _exchanges(x, y)
        return int(np.sign(middle)) if 2 / ways <= 1 - confidence else 0
    return int(low > 0) - int(high < 0)


def _exchanges(x: np.ndarray, y: np.ndarray) -> int:
    """Return in how many ways as many scores as X has could be chosen of all."""
    count = len(_measured(x))
    return math.comb(count + len(_measured(y)), count)


def _measured(scores: np.ndarray) -> np.ndarray:
    scores = np.asarray(scores, np.float64)
    return scores[~np.isnan(scores)]


def _variance(scores: np.ndarray) -> float:
    """Return that of a mean; NaN of fewer than two scores."""
    return float(scores.var(ddof=1)) / len(scores) if len(scores) > 1 else math.nan


def _around(middle: float, error: float, freedom: float, confidence: float) -> Interval:
    half = float(stdtrit(max(freedom, 1), 0.5 + confidence / 2)) * error
    return Interval(middle, middle - half, middle + half)
