"""How sure a measure is: intervals over seeds."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.stats import norm
from jax.typing import ArrayLike

from jaxdqn.errors import ConfigError, as_whole, shown
from jaxdqn.random import check_key
from jaxdqn.statistics import estimators
from jaxdqn.statistics.estimators import Numbers
from jaxdqn.types import Array, PRNGKey

Estimator = Callable[[Array], Array]
MOST_RESAMPLES = 1_000_000
BATCH = 100
"""Resamples that a statistic is asked of at once, which bounds what it takes of memory; who is in
which is drawn before, 4 bytes a score."""


class Estimate(NamedTuple):
    """A measure with its interval, of one shape."""

    value: Array
    low: Array
    high: Array


def bootstrap_interval(
    key: PRNGKey,
    scores: Numbers,
    estimator: Estimator = estimators.mean,
    *,
    confidence: ArrayLike = 0.95,
    resamples: ArrayLike = 2_000,
) -> tuple[Array, Array]:
    """Percentile bootstrap interval, stratified by task (Efron, 1979; Agarwal et al., 2021).

    Within each task as many seeds are drawn, with replacement, as were measured. Of few seeds the
    interval is too narrow: these per cent of 95 % intervals held the truth in 2,000 simulated
    experiments or more, on one task with 1,000 resamples. 93 are reached by the IQM with 10 seeds
    (log-normal: 20); by the mean with 24 if normal, 45 if exponential, over 50 if log-normal.

    =====================  ==  ==  ==  ==  ==
    seeds                   5  10  20  30  50
    =====================  ==  ==  ==  ==  ==
    mean of normal         83  90  93  94  95
    mean of exponential    78  86  90  92  94
    mean of log-normal     73  79  84  88  90
    IQM of normal          90  93  94  95  95
    IQM of exponential     89  93  94  95  95
    IQM of log-normal      88  92  95  95  95
    =====================  ==  ==  ==  ==  ==

    Args:
        key: consumed.
        scores: ``[S]`` or ``[S, M]``.
        estimator: scores to ``[...]``; compiled once for each function object.
        confidence: probability that the interval should cover.
        resamples: bootstrap samples.

    Returns:
        Lower and upper bound, ``[...]`` each; NaN where a task has fewer than two measured seeds,
        which say nothing of the spread.

    Raises:
        ConfigError: a key, an estimator, a shape or a number that can't be honoured.
    """
    confidence, resamples = as_request(key, estimator, confidence, resamples)
    scores = estimators.as_scores("scores", scores)
    _, low, high = bootstrap((key,), (scores,), estimator, confidence, resamples)
    return low, high


def sample_efficiency(
    key: PRNGKey,
    curves: Numbers,
    estimator: Estimator = estimators.iqm,
    *,
    confidence: ArrayLike = 0.95,
    resamples: ArrayLike = 2_000,
) -> Estimate:
    """Estimate a measure along training, ``[T]``, from curves ``[S, T]`` or ``[S, T, M]``.

    The intervals are pointwise: each covers with the given confidence, not all of them at once.
    ``estimator`` takes scores to ``[]``; all else is as in ``bootstrap_interval``.
    """
    confidence, resamples = as_request(key, estimator, confidence, resamples)
    curves = estimators.as_numbers("curves", curves)
    if curves.ndim not in (2, 3) or not curves.size:
        raise ConfigError(
            f"curves has shape {curves.shape}: give one curve per seed, shape (S, T), "
            "or per seed and task, shape (S, T, M)."
        )
    return _along_training(key, curves, estimator, confidence, resamples)


def wilson_interval(
    successes: Numbers, trials: Numbers, *, confidence: ArrayLike = 0.95
) -> tuple[Array, Array]:
    """Score interval of a success rate (Wilson, 1927); honest also at 0 or all successes.

    Args:
        successes: how many succeeded, ``[...]``.
        trials: out of how many, of the same shape; either may be one number for all of the other.
        confidence: probability that the interval should cover.

    Returns:
        Lower and upper bound of the rate, ``[...]`` each; NaN of no trials.

    Raises:
        ConfigError: more successes than trials, fewer than none, trials without end, shapes that
            don't match, or a confidence that is none.
    """
    confidence = as_share("confidence", confidence, 0.95)
    successes = estimators.as_numbers("successes", successes)
    trials = estimators.as_numbers("trials", trials)
    if successes.shape and trials.shape and successes.shape != trials.shape:
        raise ConfigError(
            f"successes has shape {successes.shape} and trials {trials.shape}: give as many of "
            "both, or one number of one of them."
        )
    # What is traced has no values to look at yet.
    traced = isinstance(successes, jax.core.Tracer) or isinstance(trials, jax.core.Tracer)
    inside = (successes >= 0) & (successes <= trials) & (trials < jnp.inf)
    if not traced and not bool(inside.all()):
        raise ConfigError(
            f"successes ({shown(successes.tolist())}) must be from 0 to trials "
            f"({shown(trials.tolist())}), which are finite: change one of them."
        )
    return _wilson(successes, trials, confidence)


@functools.partial(jax.jit, static_argnames="confidence")
def _wilson(successes: Array, trials: Array, confidence: float) -> tuple[Array, Array]:
    z = norm.ppf(0.5 + confidence / 2)
    rate = successes / trials
    centre = (rate + z**2 / (2 * trials)) / (1 + z**2 / trials)
    spread = jnp.sqrt(rate * (1 - rate) / trials + z**2 / (4 * trials**2))
    half = z * spread / (1 + z**2 / trials)
    return jnp.maximum(centre - half, 0.0), jnp.minimum(centre + half, 1.0)


def summarise(values: Numbers) -> dict[str, float | int]:
    """Return mean, 95 % bootstrap interval over the seeds that measured something, and their count.

    Args:
        values: one number per seed, ``[S]``; NaN where nothing was measured.

    Raises:
        ConfigError: values that are no numbers, or none, or of several tasks.
    """
    estimators.check_one_task("values", values)
    scores = np.asarray(values, np.float32)
    found = bootstrap((jax.random.key(0),), (scores,), estimators.mean, 0.95, 2_000)
    return {
        "mean": float(found.value),
        "low": float(found.low),
        "high": float(found.high),
        "seeds": int(np.sum(~np.isnan(scores))),
    }


def as_request(key: Any, estimator: Any, confidence: Any, resamples: Any) -> tuple[float, int]:
    """Return confidence and resamples as Python's; ConfigError where nothing can be resampled."""
    check_key(key)
    if not callable(estimator):
        raise ConfigError(
            f"estimator ({shown(estimator)}) must be a function of scores: "
            "write jaxdqn.statistics.mean or the like."
        )
    confidence, number = as_share("confidence", confidence, 0.95), as_whole(resamples)
    if number is None or not 1 <= number <= MOST_RESAMPLES:
        raise ConfigError(
            f"resamples ({shown(resamples)}) must be a whole number from 1 to {MOST_RESAMPLES:,}: "
            "change it."
        )
    return confidence, number


def as_share(name: str, value: Any, usual: float) -> float:
    """Return a number between 0 and 1 as Python's; ConfigError where it is none, or traced."""
    try:
        other = isinstance(value, str | bytes) or np.ma.is_masked(value) or np.ndim(value)
        number = math.nan if other else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if isinstance(value, jax.core.Tracer):
        raise ConfigError(
            f"{name} (traced) is fixed when the program is compiled: write {usual} or the like, "
            "a number of Python's."
        )
    if not 0 < number < 1:
        raise ConfigError(f"{name} ({shown(value)}) must lie between 0 and 1: write {usual}.")
    return number


def one_array(estimator: Callable[..., Array], *scores: Array) -> Array:
    """Return what an estimator makes of scores; ConfigError where it is several arrays, or none."""
    found = estimator(*scores)
    if not isinstance(found, jax.Array | np.ndarray | np.number | int | float):
        name = getattr(estimator, "__name__", type(estimator).__name__)
        raise ConfigError(
            f"estimator ({name}) returns a {type(found).__name__}, and one array of numbers is "
            "wanted: stack them by jnp.stack, or call once for each."
        )
    return found


@functools.partial(jax.jit, static_argnames=("statistic", "confidence", "resamples"))
def bootstrap(
    keys: tuple[PRNGKey, ...],
    samples: tuple[Array, ...],
    statistic: Callable[..., Array],
    confidence: float,
    resamples: int,
) -> Estimate:
    """Estimate a statistic of one sample of scores or several; one key each, consumed."""
    draws = tuple(_draw(key, scores, resamples) for key, scores in zip(keys, samples, strict=True))
    ranked = tuple(_measured_first(scores) for scores in samples)

    def resample(ranks: tuple[Array, ...]) -> Array:
        drawn = map(functools.partial(jnp.take_along_axis, axis=0), ranked, ranks)
        return one_array(statistic, *drawn)

    estimates = lax.map(resample, draws, batch_size=BATCH)
    tail = (1 - confidence) / 2
    bounds = jnp.quantile(estimates, jnp.array([tail, 1 - tail]), axis=0)
    enough = jnp.stack([jnp.min(_count(scores)) for scores in samples]).min() > 1
    low, high = jnp.where(enough, bounds, jnp.nan)
    return Estimate(statistic(*samples), low, high)


def _draw(key: PRNGKey, scores: Array, resamples: int) -> Array:
    """Return ranks among the measured seeds of each task, int ``[resamples, *scores.shape]``.

    They are drawn with replacement, as many as were measured; the unmeasured rank behind as they
    are, so that no draw counts them.
    """
    shape = (resamples, *scores.shape)
    count = jnp.broadcast_to(_count(scores), shape)
    rank = lax.broadcasted_iota(jnp.int32, shape, 1)
    # Drawn flat: XLA:CPU compiles the same bits in three dimensions in 3 s instead of 0.2.
    drawn = jax.random.randint(key, (rank.size,), 0, count.reshape(-1)).reshape(shape)
    return jnp.where(rank < count, drawn, rank)


def _measured_first(scores: Array) -> Array:
    order = jnp.argsort(jnp.isnan(scores), axis=0, stable=True)
    return jnp.take_along_axis(scores, order, axis=0)


def _count(scores: Array) -> Array:
    return jnp.sum(~jnp.isnan(scores), axis=0)


@functools.partial(jax.jit, static_argnames=("estimator", "confidence", "resamples"))
def _along_training(
    key: PRNGKey, curves: Array, estimator: Estimator, confidence: float, resamples: int
) -> Estimate:
    # One key for all times: each resample is of whole curves, wherever all seeds were measured.
    return lax.map(
        lambda scores: bootstrap((key,), (scores,), estimator, confidence, resamples),
        jnp.moveaxis(curves, 1, 0),
    )
