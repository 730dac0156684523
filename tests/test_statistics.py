"""Intervals against scipy, and against what they promise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxdqn import statistics

KEY = jax.random.key(0)


@pytest.mark.parametrize(("successes", "trials"), [(0, 16), (7, 16), (16, 16), (99, 100)])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_wilson_equals_scipy(successes, trials, confidence):
    low, high = statistics.wilson_interval(successes, trials, confidence=confidence)
    expected = stats.binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    np.testing.assert_allclose([low, high], expected, atol=1e-6)


@pytest.mark.parametrize("estimator", [(jnp.mean, np.mean), (jnp.median, np.median)])
def test_bootstrap_equals_scipy(estimator):
    ours, theirs = estimator
    values = np.random.default_rng(0).normal(size=50).astype(np.float32)
    low, high = statistics.bootstrap_interval(KEY, jnp.asarray(values), ours, resamples=20_000)
    expected = stats.bootstrap(
        (values,), theirs, method="percentile", n_resamples=20_000, rng=np.random.default_rng(1)
    ).confidence_interval
    np.testing.assert_allclose([low, high], expected, atol=0.02)


def test_bootstrap_refuses_what_is_not_one_number_per_seed():
    with pytest.raises(ValueError, match=r"shape \(3, 2\): give one number per seed"):
        statistics.bootstrap_interval(KEY, jnp.zeros((3, 2)))


def test_a_summary_leaves_out_seeds_without_a_measurement():
    summary = statistics.summarise(np.array([1.0, np.nan, 3.0]))
    assert (summary["mean"], summary["seeds"]) == (2.0, 2)
    assert 1.0 <= summary["low"] <= 2.0 <= summary["high"] <= 3.0
    nothing = statistics.summarise(np.array([np.nan]))
    assert nothing["seeds"] == 0
    assert np.isnan(nothing["mean"])
