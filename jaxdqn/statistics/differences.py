"""Is X better than Y, by how much, and how many seeds would tell?

X and Y are scores ``[S]`` or ``[S, M]`` of two agents on the same tasks; each function raises
ConfigError for a key, an estimator, a shape or a number that can't be honoured.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.scipy.stats import norm
from jax.typing import ArrayLike

from jaxdqn.statistics import student
from jaxdqn.statistics.estimators import Numbers, as_pair, mean, probability_of_improvement
from jaxdqn.statistics.intervals import (
    Estimate,
    Estimator,
    as_request,
    as_share,
    bootstrap,
    one_array,
)
from jaxdqn.types import Array, PRNGKey


def improvement(
    key: PRNGKey,
    x: Numbers,
    y: Numbers,
    *,
    confidence: ArrayLike = 0.95,
    resamples: ArrayLike = 2_000,
) -> Estimate:
    """Estimate ``probability_of_improvement`` of X over Y by bootstrap.

    Seeds of X and of Y are drawn independently, shared or not. Where every run of one beats every
    run of the other the interval is a point: resampling can't imagine what was never seen.

    Args:
        key: consumed.
        x: scores ``[S]`` or ``[S, M]``; NaN where nothing was measured.
        y: those of the other agent, of as many tasks; it may have another number of seeds.
        confidence: probability that the interval should cover.
        resamples: bootstrap samples.

    Returns:
        ``value``, ``low`` and ``high``, ``[]`` each; the ends are NaN where a task has fewer than
        two measured seeds of either.
    """
    confidence, resamples = as_request(key, probability_of_improvement, confidence, resamples)
    keys, samples = tuple(jax.random.split(key)), as_pair(x, y)
    return bootstrap(keys, samples, probability_of_improvement, confidence, resamples)


def difference(
    key: PRNGKey,
    x: Numbers,
    y: Numbers,
    estimator: Estimator = mean,
    *,
    paired: bool,
    confidence: ArrayLike = 0.95,
    resamples: ArrayLike = 2_000,
) -> Estimate:
    """Estimate ``estimator(x) - estimator(y)`` by bootstrap.

    Args:
        key: consumed.
        x: scores ``[S]`` or ``[S, M]``; NaN where nothing was measured.
        y: those of the other agent, of as many tasks.
        estimator: scores to ``[...]``.
        paired: whether entry i of X and of Y share a seed: they are then drawn together, and
            neither counts where the other wasn't measured. Otherwise they are drawn independently.
        confidence: probability that the interval should cover.
        resamples: bootstrap samples.

    Returns:
        ``value``, ``low`` and ``high``, ``[...]`` each; the ends are NaN where a task has fewer
        than two measured seeds of either.
    """
    confidence, resamples = as_request(key, estimator, confidence, resamples)
    samples = as_pair(x, y, paired=paired)
    # Of one key both get the same draws.
    keys = (key, key) if paired else tuple(jax.random.split(key))
    return bootstrap(keys, samples, _minus(estimator), confidence, resamples)


def seeds_needed(
    x: Numbers,
    y: Numbers,
    *,
    paired: bool,
    confidence: ArrayLike = 0.95,
    power: ArrayLike = 0.8,
) -> Array:
    """Return how many seeds of each agent would establish the observed difference of means, ``[]``.

    Were difference d and variance s² (of a pair's difference, or the sum of both agents') just as
    observed, a two-sided interval would exclude 0 with probability ``power`` for

        n = (z_confidence + z_power)² s² / d² + z_confidence² / (2 if paired else 4)

    seeds (Guenther, 1981; for reinforcement learning Colas et al., 2018, arXiv:1806.08295). An
    observed difference is in part luck, so take it for an order of magnitude; where it is far
    larger than s, a few more are needed than the three that are answered at least. Where s is 0 it
    is as many as a test of signs, or of exchanged scores, needs.

    Args:
        x: scores ``[S]`` or ``[S, M]``; NaN where nothing was measured.
        y: those of the other agent, of as many tasks.
        paired: whether entry i of X and of Y share a seed.
        confidence: of the interval that is to exclude 0.
        power: probability that it does.

    Returns:
        A whole number, at least 3, as a float; infinity where nothing differs; NaN where a task
        has fewer than two measured seeds, or a score is infinite.
    """
    confidence, power = as_share("confidence", confidence, 0.95), as_share("power", power, 0.8)
    x, y = as_pair(x, y, paired=paired)
    least = student.fewest(paired=paired, confidence=confidence)
    return _needed(x, y, paired, confidence, power, least)


@functools.partial(jax.jit, static_argnames=("paired", "confidence", "power", "least"))
def _needed(x: Array, y: Array, paired: bool, confidence: float, power: float, least: int) -> Array:
    scale = jnp.nanmax(jnp.abs(jnp.concatenate([x, y])))
    x, y = (
        jnp.where(scale > 0, scores / scale, scores) for scores in (x, y)
    )  # squares stay finite
    largest = [jnp.nanmax(jnp.abs(scores), 0) for scores in (x, y)]
    spreads = [(x - y, jnp.maximum(*largest))] if paired else zip((x, y), largest, strict=True)
    variances = sum(_variance(*spread) for spread in spreads)
    # The mean over M tasks varies as their sum does, over M².
    variance = jnp.mean(variances) / jnp.size(variances)
    z, z_power = norm.ppf(0.5 + confidence / 2), norm.ppf(power)
    d2 = (mean(x) - mean(y)) ** 2
    needed = (z + z_power) ** 2 * variance / d2 + z**2 / (2 if paired else 4)
    needed = jnp.where((d2 == 0) & (variance == 0), jnp.inf, needed)
    return jnp.maximum(
        jnp.ceil(needed), jnp.where(variance == 0, float(least), float(student.FEWEST))
    )


def _variance(scores: Array, largest: Array) -> Array:
    """Return that of each task's scores ``[S, M]``; 0 where they differ but by rounding."""
    alike = jnp.nanmax(scores, 0) - jnp.nanmin(scores, 0) <= student.ROUNDING * largest
    variance = jnp.nanvar(scores, 0, ddof=1)
    return jnp.where(alike & ~jnp.isnan(variance), 0.0, variance)


@functools.lru_cache  # one function per estimator, which compiles once
def _minus(estimator: Estimator) -> Callable[[Array, Array], Array]:
    return lambda x, y: one_array(estimator, x) - one_array(estimator, y)
