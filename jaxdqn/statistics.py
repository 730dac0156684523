"""Statistics over seeds: the seed is the unit, functions are pure and keyed."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm

from jaxdqn.types import Array, PRNGKey

Estimator = Callable[[Array], Array]


def bootstrap_interval(
    key: PRNGKey,
    values: Array,
    estimator: Estimator = jnp.mean,
    *,
    confidence: float = 0.95,
    resamples: int = 2_000,
) -> tuple[Array, Array]:
    """Percentile bootstrap interval of an estimator over seeds (Efron, 1979).

    Args:
        key: consumed.
        values: one number per seed, ``[S]``.
        estimator: ``[S] -> []``.
        confidence: probability that the interval should cover.
        resamples: bootstrap samples.

    Returns:
        Lower and upper bound, ``[]`` each.

    Raises:
        ValueError: ``values`` is not one number per seed.
    """
    if values.ndim != 1 or values.size == 0:
        raise ValueError(f"values has shape {values.shape}: give one number per seed, shape (S,).")
    draws = jax.random.randint(key, (resamples, values.size), 0, values.size)
    estimates = jax.vmap(estimator)(values[draws])
    tail = (1 - confidence) / 2
    low, high = jnp.quantile(estimates, jnp.array([tail, 1 - tail]))
    return low, high


def wilson_interval(
    successes: int | Array, trials: int | Array, *, confidence: float = 0.95
) -> tuple[Array, Array]:
    """Score interval of a success rate (Wilson, 1927); honest also at 0 or all successes.

    Args:
        successes: how many succeeded, ``[]``.
        trials: out of how many, at least 1, ``[]``.
        confidence: probability that the interval should cover.

    Returns:
        Lower and upper bound of the rate, ``[]`` each.
    """
    z = norm.ppf(0.5 + confidence / 2)
    rate = jnp.asarray(successes) / trials
    centre = (rate + z**2 / (2 * trials)) / (1 + z**2 / trials)
    spread = jnp.sqrt(rate * (1 - rate) / trials + z**2 / (4 * trials**2))
    half = z * spread / (1 + z**2 / trials)
    return jnp.maximum(centre - half, 0.0), jnp.minimum(centre + half, 1.0)


def summarise(values: np.ndarray) -> dict[str, float | int]:
    """Return mean, 95 % bootstrap interval over the seeds that measured something, and their count.

    Args:
        values: one number per seed, ``[S]``; NaN where nothing was measured.
    """
    measured = np.asarray(values, np.float32)
    measured = measured[~np.isnan(measured)]
    if not measured.size:
        return {"mean": float("nan"), "low": float("nan"), "high": float("nan"), "seeds": 0}
    low, high = bootstrap_interval(jax.random.key(0), jnp.asarray(measured))
    return {
        "mean": float(measured.mean()),
        "low": float(low),
        "high": float(high),
        "seeds": int(measured.size),
    }
