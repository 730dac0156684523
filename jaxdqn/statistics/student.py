"""Student's intervals of means: as wide as few seeds need, where scores are about normal.

On the host, of scores ``[S]``; what wasn't measured (NaN) isn't counted. Where a score isn't finite
nothing is known of the spread, and the ends are NaN.
"""

import itertools
import math
from typing import NamedTuple

import numpy as np
from jax.typing import ArrayLike
from scipy.special import stdtrit  # JAX needs SciPy

from jaxdqn.statistics.estimators import Numbers, as_pair, check_one_task
from jaxdqn.statistics.intervals import as_share


class Interval(NamedTuple):
    """A mean, or a difference of means, and the ends of its interval."""

    mean: float
    low: float
    high: float


class Spread(NamedTuple):
    """How far one score of X minus one of Y is from what is expected, by all that were compared.

    Attributes:
        paired: variance where both have the same seed; its degrees of freedom.
        independent: where they don't; likewise.
    """

    paired: tuple[float, float]
    independent: tuple[float, float]


FEWEST = 3
"""Scores of which anything can be established: two that are alike by chance are not rare."""
ROUNDING = 1e-6
"""Share of the largest score by which those that are alike may differ: they are float32."""


def student_interval(scores: Numbers, *, confidence: ArrayLike = 0.95) -> Interval:
    """Estimate the mean of scores (Student, 1908).

    Of scores that are all alike nothing is known of the spread, and the interval is a point.

    Args:
        scores: one number per seed, ``[S]``; NaN where nothing was measured.
        confidence: probability that the interval should cover.

    Returns:
        ``mean``, ``low`` and ``high``, floats of Python's; the ends are NaN of fewer than two
        measured scores, or where one isn't finite.

    Raises:
        ConfigError: scores of another shape, or a confidence that is none.
    """
    confidence = as_share("confidence", confidence, 0.95)
    check_one_task("scores", scores)
    measured = _measured(scores)
    if not len(measured):
        return Interval(math.nan, math.nan, math.nan)
    return _student(measured, _largest(measured), confidence)


def student_difference(
    x: Numbers, y: Numbers, *, paired: bool, confidence: ArrayLike = 0.95
) -> Interval:
    """Estimate the mean of X minus that of Y: of pairs (Student, 1908), or not (Welch, 1947).

    Args:
        x: scores, one number per seed, ``[S]``; NaN where nothing was measured.
        y: scores likewise; if ``paired`` entry i shares a seed with that of X.
        paired: whether they do: neither counts where the other wasn't measured.
        confidence: probability that the interval should cover.

    Returns:
        As ``student_interval``, of the difference; the ends are NaN of fewer than two pairs, or
        than two measured scores of either.

    Raises:
        ConfigError: scores of another shape, pairs of different numbers of seeds, or a confidence
            that is none.
    """
    confidence = as_share("confidence", confidence, 0.95)
    as_pair(x, y, paired=paired)  # refuses what is no pair
    for name, scores in (("x", x), ("y", y)):
        check_one_task(name, scores)
    return _difference(x, y, paired, confidence)


def _difference(x: Numbers, y: Numbers, paired: bool, confidence: float) -> Interval:
    x, y = _both_measured(x, y) if paired else (_measured(x), _measured(y))
    if not (len(x) and len(y)):
        return Interval(math.nan, math.nan, math.nan)
    middle = _mean(x) - _mean(y)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return Interval(middle, math.nan, math.nan)
    if paired:
        return _student(x - y, _largest(x, y), confidence)
    one, other = _variances(x, y, paired)
    error = math.sqrt(one + other)
    if not error > 0:  # NaN: fewer than two of either
        return _around(middle, error, 1, confidence)
    freedom = (one + other) ** 2 / (one**2 / (len(x) - 1) + other**2 / (len(y) - 1))
    return _around(middle, error, freedom, confidence)


def spread(scores: np.ndarray, at_most: float = math.inf) -> Spread:
    """Pool what settings tell of how scores vary (Fisher, 1925).

    Args:
        scores: of each setting ``[K, N]``, those of a seed in one column; NaN where there is none.
            Settings with scores that are infinite say nothing.
        at_most: variance of one score; settings in which it is more say nothing either.
    """
    scores = np.asarray(scores, np.float64)
    scores = scores[~np.isinf(scores).any(axis=1)]
    scores = scores[np.sum(~np.isnan(scores), axis=1) > 1]
    scores = scores[np.nanvar(scores, axis=1, ddof=1) <= at_most * (1 + ROUNDING)]
    counts = np.sum(~np.isnan(scores), axis=1)
    freedom = float(np.sum(counts - 1))
    if not freedom:
        return Spread((0.0, 1.0), (0.0, 1.0))
    within = scores - np.nanmean(scores, axis=1, keepdims=True)
    independent = (2 * float(np.nansum(within**2)) / freedom, freedom)
    whole = scores[:, ~np.isnan(scores).any(axis=0)]
    blocks = float((len(whole) - 1) * (whole.shape[1] - 1))
    if blocks <= 0:
        return Spread(independent, independent)
    rest = whole - whole.mean(axis=1, keepdims=True) - whole.mean(axis=0) + whole.mean()
    return Spread((2 * float(np.sum(rest**2)) / blocks, blocks), independent)


def among(
    x: np.ndarray, y: np.ndarray, every: np.ndarray, *, paired: bool, confidence: float = 0.95
) -> Interval:
    """Estimate the mean of X minus that of Y, two of several settings that are compared.

    The wider one of ``student_difference`` and of the interval by the spread of all settings. Of
    scores that are about normal it hardly differs from the first. But where a policy is found or
    not, few seeds of some pair are bound to be nearly alike, and their own spread then tells
    nothing. A setting counts that varies by no more than a coin's two sides would, as far apart as
    any scores of the two: one that diverges must not hide what others differ by.

    Args:
        x: scores ``[S]``.
        y: scores; if ``paired`` entry i shares a seed with that of X.
        every: scores of all settings, X and Y among them, as ``spread`` has them.
        paired: whether they do.
        confidence: chance that an interval holds the truth.
    """
    own = _difference(x, y, paired, confidence)
    x, y = _both_measured(x, y) if paired else (_measured(x), _measured(y))
    if not (len(x) and len(y)):
        return own
    both = np.concatenate([x, y])
    coin = float(both.max() - both.min()) ** 2 / 2 if np.isfinite(both).all() else math.inf
    pool = spread(every, coin)
    variance, freedom = pool.paired if paired else pool.independent
    error = math.sqrt(variance / len(x) if paired else variance * (1 / len(x) + 1 / len(y)) / 2)
    pooled = _around(own.mean, error, freedom, confidence)
    return pooled if pooled.high - pooled.low > own.high - own.low else own


def established(
    x: np.ndarray, y: np.ndarray, every: np.ndarray, *, paired: bool, confidence: float = 0.95
) -> int:
    """Return 1 where the mean of X is established to be more than that of Y, -1 where less, else 0.

    By whether ``among`` excludes 0, of ``FEWEST`` scores at least. Where those of the two are all
    alike, there must be as many as a test of signs, or of exchanged scores, needs.
    """
    _, low, high = among(x, y, every, paired=paired, confidence=confidence)
    x, y = _both_measured(x, y) if paired else (_measured(x), _measured(y))
    if min(len(x), len(y)) < FEWEST or not (np.isfinite(x).all() and np.isfinite(y).all()):
        return 0
    alike = not any(_variances(x, y, paired))
    if alike and not _are_enough(len(x), len(y), paired, confidence):
        return 0
    return int(low > 0) - int(high < 0)


def fewest(*, paired: bool, confidence: float = 0.95) -> int:
    """Return the smallest number of scores, all alike in each, that can establish a difference."""
    return next(n for n in itertools.count(2) if _are_enough(n, n, paired, confidence))


def _are_enough(x: int, y: int, paired: bool, confidence: float) -> bool:
    """Whether so many that are alike are too rare by chance, by signs or by permutation."""
    ways = 2**x if paired else math.comb(x + y, x)
    return 2 / ways <= 1 - confidence


def _both_measured(x: Numbers, y: Numbers) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    there = ~(np.isnan(x) | np.isnan(y))
    return x[there], y[there]


def _measured(scores: Numbers) -> np.ndarray:
    scores = np.asarray(scores, np.float64)
    return scores[~np.isnan(scores)]


def _mean(scores: np.ndarray) -> float:
    with np.errstate(invalid="ignore"):  # of infinities of both signs there is none
        return float(scores.mean())


def _largest(*scores: np.ndarray) -> float:
    return max(float(np.max(np.abs(each), initial=0.0)) for each in scores)


def _student(scores: np.ndarray, largest: float, confidence: float) -> Interval:
    error = math.sqrt(_variance(scores, largest))
    return _around(_mean(scores), error, len(scores) - 1, confidence)


def _variances(x: np.ndarray, y: np.ndarray, paired: bool) -> list[float]:
    """Return that of the mean difference of pairs, or those of both means."""
    if paired:
        return [_variance(x - y, _largest(x, y))]
    return [_variance(each, _largest(each)) for each in (x, y)]


def _variance(scores: np.ndarray, largest: float) -> float:
    """Return the variance of the mean; NaN of fewer than two scores, or of infinite ones.

    It is 0 where scores, or differences of scores of which the largest is so large, differ but by
    rounding.
    """
    if len(scores) < 2 or not np.isfinite(scores).all():
        return math.nan
    alike = np.ptp(scores) <= ROUNDING * largest
    return 0.0 if alike else float(scores.var(ddof=1)) / len(scores)


def _around(middle: float, error: float, freedom: float, confidence: float) -> Interval:
    half = float(stdtrit(max(freedom, 1), 0.5 + confidence / 2)) * error
    return Interval(middle, middle - half, middle + half)
