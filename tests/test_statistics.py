"""Statistics against scipy and rliable, and against what they promise."""

import itertools
from functools import partial
from unittest import mock

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import assert_same_bits
from hypothesis import strategies
from hypothesis.extra.numpy import arrays
from scipy import stats

import jaxdqn
from jaxdqn import statistics
from jaxdqn.statistics import student


def _undecorated(*_):
    return lambda function: function


# rliable allows no newer arch than 7, which decorates a plot with a private function of pandas
# that pandas 3 changed.
with mock.patch("pandas.util._decorators.deprecate_kwarg", _undecorated):
    from rliable import library, metrics

KEY = jax.random.key(0)
HIDDEN = np.ma.masked_equal([1.0, 2.0, 1e9], 1e9)
THRESHOLDS = np.array([0.0, 0.3, 0.5, 0.8, 2.0])
IQM = jax.jit(statistics.iqm)
profile = partial(statistics.performance_profile, thresholds=THRESHOLDS)
REFEREES = {
    "mean": (statistics.mean, metrics.aggregate_mean),
    "median": (statistics.median, metrics.aggregate_median),
    "iqm": (statistics.iqm, metrics.aggregate_iqm),
    "optimality gap": (
        partial(statistics.optimality_gap, target=0.6),
        partial(metrics.aggregate_optimality_gap, gamma=0.6),
    ),
    "profile": (profile, lambda scores: library.score_distributions(scores, THRESHOLDS)),
}


def scores_like_ours(seeds: int, tasks: int, shift: float = 0.0, seed: int = 0) -> np.ndarray:
    """Success rates over 8 episodes: between 0 and 1, with ties, each task of its own level."""
    levels = np.linspace(0.3, 0.8, tasks) + shift
    draws = np.random.default_rng(seed).binomial(8, levels, size=(seeds, tasks))
    return (draws / 8).astype(np.float32)


def rliable_interval(samples, function, reps: int):
    np.random.seed(0)  # its random_state is ignored
    wrapped = {"": samples}
    estimate, interval = library.get_interval_estimates(
        wrapped, lambda *scores: np.atleast_1d(function(*scores)), reps=reps
    )
    return estimate[""], *interval[""]


def assert_close_bounds(ours, theirs, tolerance: float = 0.05) -> None:
    """Bounds agree within a share of the interval's width, which both sides' resampling leaves."""
    ours, theirs = (np.atleast_2d(np.asarray(bounds).T) for bounds in (ours, theirs))
    width = theirs[:, 1] - theirs[:, 0]
    assert np.all(np.abs(ours - theirs) <= tolerance * width[:, None] + 1e-6), (ours, theirs)


# Estimators


@pytest.mark.parametrize("name", REFEREES)
@pytest.mark.parametrize(("seeds", "tasks"), [(1, 1), (5, 3), (10, 1), (13, 6)])
def test_estimators_equal_rliable(name, seeds, tasks):
    ours, theirs = REFEREES[name]
    scores = scores_like_ours(seeds, tasks)
    np.testing.assert_allclose(jax.jit(ours)(scores), theirs(scores), rtol=1e-5, atol=1e-6)


@hypothesis.given(
    arrays(np.float32, 30, elements=strategies.floats(-1, 1, width=32) | strategies.just(np.nan))
)
@hypothesis.settings(deadline=None)
def test_iqm_equals_the_trimmed_mean_of_scipy_for_any_number_measured(scores):
    hypothesis.assume(not np.isnan(scores).all())
    expected = stats.trim_mean(scores[~np.isnan(scores)].astype(np.float64), 0.25)
    for shape in (30, (6, 5)):
        np.testing.assert_allclose(IQM(scores.reshape(shape)), expected, rtol=1e-5, atol=1e-6)


def test_the_median_of_one_task_is_that_of_its_seeds():
    assert statistics.median(jnp.array([1.0, 2.0, 30.0])) == 2.0


@pytest.mark.parametrize(("seeds", "tasks"), [((8, 5), 3), ((1, 4), 1), ((6, 6), 2)])
def test_probability_of_improvement_equals_rliable(seeds, tasks):
    x, y = (scores_like_ours(count, tasks, seed=count + i) for i, count in enumerate(seeds))
    ours = statistics.probability_of_improvement(x, y)
    np.testing.assert_allclose(ours, metrics.probability_of_improvement(x, y), rtol=1e-6)


def test_ties_count_half_and_the_two_directions_add_to_one():
    x, y = jnp.array([1.0, 2.0]), jnp.array([1.0, 1.0, 2.0])
    assert statistics.probability_of_improvement(x, x) == 0.5
    both = statistics.probability_of_improvement(x, y), statistics.probability_of_improvement(y, x)
    np.testing.assert_allclose(both, [(0.5 + 0.5 + 0 + 1 + 1 + 0.5) / 6, 2.5 / 6], rtol=1e-6)


# Intervals


@pytest.mark.parametrize("estimator", [(jnp.mean, np.mean), (jnp.median, np.median)])
def test_bootstrap_equals_scipy(estimator):
    ours, theirs = estimator
    values = np.random.default_rng(0).normal(size=50).astype(np.float32)
    low, high = statistics.bootstrap_interval(KEY, jnp.asarray(values), ours, resamples=20_000)
    expected = stats.bootstrap(
        (values,), theirs, method="percentile", n_resamples=20_000, rng=np.random.default_rng(1)
    ).confidence_interval
    np.testing.assert_allclose([low, high], expected, atol=0.02)


@pytest.mark.parametrize("name", REFEREES)
def test_stratified_bootstrap_equals_rliable(name):
    ours, theirs = REFEREES[name]
    scores = np.random.default_rng(1).normal(0.5, 0.2, size=(10, 4)).astype(np.float32)
    _, low, high = rliable_interval(scores, theirs, 10_000)
    bounds = statistics.bootstrap_interval(KEY, scores, ours, resamples=20_000)
    if name == "profile":  # steps of 1/40, on either side of which a bound may fall
        np.testing.assert_allclose(bounds, (low, high), atol=1 / 40 + 1e-6)
    else:
        assert_close_bounds(bounds, (low[0], high[0]))


def test_seeds_are_drawn_within_each_task_and_apart_from_other_tasks():
    task = jnp.linspace(-1.0, 1.0, 9)
    mean_over_seeds = partial(jnp.mean, axis=0)
    levels = jnp.broadcast_to(jnp.arange(3.0), (9, 3))
    bounds = statistics.bootstrap_interval(KEY, levels, mean_over_seeds)
    np.testing.assert_array_equal(bounds, [[0, 1, 2], [0, 1, 2]])
    low, high = statistics.bootstrap_interval(KEY, jnp.stack([task, -task], axis=1))
    assert low < -0.1 < 0.1 < high, "drawn together the two would cancel"


def test_a_curve_is_estimated_at_each_time_with_the_same_draws():
    curves = jnp.asarray(np.random.default_rng(0).normal(size=(7, 4, 3)), jnp.float32)
    for picked in (curves, curves[:, :, 0]):
        found = statistics.sample_efficiency(KEY, picked, resamples=500)
        for t in range(4):
            low, high = statistics.bootstrap_interval(
                KEY, picked[:, t], statistics.iqm, resamples=500
            )
            expected = statistics.iqm(picked[:, t]), low, high
            np.testing.assert_allclose([row[t] for row in found], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("successes", "trials"), [(0, 16), (7, 16), (16, 16), (99, 100), (2**14, 2**15)]
)
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_wilson_equals_scipy(successes, trials, confidence):
    low, high = statistics.wilson_interval(successes, trials, confidence=confidence)
    expected = stats.binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    np.testing.assert_allclose([low, high], expected, atol=1e-6)


def test_a_summary_leaves_out_seeds_without_a_measurement():
    summary = statistics.summarise(np.array([1.0, np.nan, 3.0]))
    assert (summary["mean"], summary["seeds"]) == (2.0, 2)
    assert 1.0 <= summary["low"] <= 2.0 <= summary["high"] <= 3.0
    nothing = statistics.summarise(np.array([np.nan]))
    assert nothing["seeds"] == 0
    assert np.isnan(nothing["mean"])


# Coverage


def normal(key, shape):
    return jax.random.normal(key, shape)


def exponential(key, shape):
    return jax.random.exponential(key, shape)


def coverage(truth, draw, estimate, experiments: int = 2_000) -> float:
    """Share of simulated experiments, each of fresh scores, whose interval holds the truth."""

    def covers(key):
        key_scores, key_interval = jax.random.split(key)
        low, high = estimate(key_interval, draw(key_scores))[-2:]
        return (low <= truth) & (truth <= high)

    keys = jax.random.split(jax.random.key(1), experiments)
    return float(jax.jit(lambda keys: jnp.mean(jax.lax.map(covers, keys, batch_size=50)))(keys))


def one(law, seeds):
    return lambda key: law(key, (seeds,))


def two(seeds):
    """Two normal agents, half a standard deviation apart."""
    return lambda key: normal(key, (2, seeds)) + jnp.array([[0.5], [0.0]])


def of_two(function, **options):
    return lambda key, pair: function(key, *pair, **options)


FEW = {"resamples": 1_000}
mean_interval = partial(statistics.bootstrap_interval, **FEW)
iqm_interval = partial(statistics.bootstrap_interval, estimator=statistics.iqm, **FEW)
# The mean of the exponential law's middle half.
IQM_OF_EXPONENTIAL = 1 + 0.5 * np.log(0.25) - 1.5 * np.log(0.75)
PROMISED = {
    "IQM of 30 exponential": (IQM_OF_EXPONENTIAL, one(exponential, 30), iqm_interval),
    "mean of 40 on 2 tasks": (0.0, lambda key: normal(key, (40, 2)), mean_interval),
    "improvement, 20 each": (
        stats.norm.cdf(0.5 / 2**0.5), two(20), of_two(statistics.improvement, **FEW),
    ),
    "difference of 40 each": (0.5, two(40), of_two(statistics.difference, paired=False, **FEW)),
    "difference of 60 pairs": (0.5, two(60), of_two(statistics.difference, paired=True, **FEW)),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", PROMISED)
def test_intervals_cover_the_truth(name):
    assert 0.93 <= coverage(*PROMISED[name]) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize(
    ("law", "truth", "interval", "seeds", "documented"),
    [
        (normal, 0.0, mean_interval, 5, 0.83),
        (exponential, 1.0, mean_interval, 10, 0.86),
        (normal, 0.0, iqm_interval, 5, 0.90),
    ],
)
def test_few_seeds_cover_less_as_documented(law, truth, interval, seeds, documented):
    assert abs(coverage(truth, one(law, seeds), interval) - documented) < 0.02


# Comparison


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("estimator", [(statistics.mean, np.mean), (statistics.median, np.median)])
def test_difference_equals_scipy(paired, estimator):
    ours, theirs = estimator
    rng = np.random.default_rng(0)
    y = rng.normal(size=40).astype(np.float32)
    x = (y + rng.normal(0.5, 0.5, size=40)).astype(np.float32)
    found = statistics.difference(KEY, x, y, ours, paired=paired, resamples=20_000)
    expected = stats.bootstrap(
        (x, y), lambda x, y, axis=-1: theirs(x, axis=axis) - theirs(y, axis=axis), paired=paired,
        vectorized=True, method="percentile", n_resamples=20_000, rng=np.random.default_rng(1),
    ).confidence_interval  # fmt: skip
    np.testing.assert_allclose(found.value, theirs(x) - theirs(y), rtol=1e-5)
    assert_close_bounds(found[1:], expected)


def test_pairs_are_drawn_together():
    y = jnp.arange(20.0)
    x = y + 1.0
    np.testing.assert_array_equal(statistics.difference(KEY, x, y, paired=True), [1.0, 1.0, 1.0])
    apart = statistics.difference(KEY, x, y, paired=False)
    assert apart.low < -1.0
    assert apart.high > 3.0


@pytest.mark.parametrize("paired", [True, False])
def test_students_difference_equals_scipy(paired):
    x, y = np.random.default_rng(0).normal([[0.5], [0.0]], size=(2, 7))
    y = y if paired else y[:4]
    test = stats.ttest_rel(x, y) if paired else stats.ttest_ind(x, y, equal_var=False)
    found = student.student_difference(x, y, paired=paired, confidence=0.9)
    expected = test.confidence_interval(0.9)
    np.testing.assert_allclose(found, [x.mean() - y.mean(), *expected], rtol=1e-9)
    missing = student.student_difference([*x, np.nan], [*y, 3.0], paired=True) if paired else found
    np.testing.assert_allclose(missing[0], found[0])


def test_intervals_are_students():
    mean, low, high = student.student_interval(np.array([1.0, 2.0, 4.0, np.nan]))
    assert mean == pytest.approx(7 / 3)
    assert (low, high) == pytest.approx((-1.46, 6.13), abs=0.01)  # t = 4.303, s = 1.528
    assert np.isnan(student.student_interval(np.array([1.0]))[1])
    assert np.isnan(student.student_difference(np.ones(1), np.ones(3), paired=False)[1])
    assert np.isnan(student.student_interval(np.array([np.nan]))[0])


def established(x, y, paired):
    """What is established of two settings that are compared with nothing else."""
    return student.established(x, y, np.stack([x, y]), paired=paired)


@pytest.mark.parametrize("paired", [True, False])
def test_of_what_is_not_finite_no_interval_is_known(paired):
    for x in ([1.0, np.inf, 2.0], [np.inf] * 3, [np.inf, -np.inf, 0.0]):
        for y in ([1.0, 2.0, 3.0], [np.inf, np.inf, 1.0]):
            assert np.isnan(student.student_difference(x, y, paired=paired)[1:]).all()
            assert established(x, y, paired) == 0
        assert np.isnan(student.student_interval(np.array(x))[1:]).all()
    assert student.student_difference([np.inf, 0.0], [1.0, 2.0], paired=paired).mean == np.inf


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("seeds", [3, 8])
def test_of_what_is_alike_hardly_anything_is_called_established(seeds, paired):
    """As often as 95 % intervals miss, also of three seeds; a resampled one misses 23 % there."""
    pairs = np.random.default_rng(seeds).normal(size=(2_000, 2, seeds))
    wrong = np.mean([established(x, y, paired) != 0 for x, y in pairs])
    assert wrong < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 2_000)
    clear = [established(x + 30, y, paired) for x, y in pairs[:100]]
    assert np.mean(np.equal(clear, 1)) > 0.95
    assert established(*pairs[0] - [[30], [0]], paired) == -1


@pytest.mark.parametrize("paired", [True, False])
def test_scores_that_are_all_alike_tell_apart_as_many_as_chance_needs(paired):
    """Six signs, or four and four exchanged, are rarer than 1 in 20; five, or three, aren't."""
    few, many = (5, 6) if paired else (3, 4)
    for count, expected in ((few, 0), (many, 1)):
        found = established(np.ones(count), np.zeros(count), paired)
        assert found == expected
        assert established(np.zeros(count), np.ones(count), paired) == -expected
    assert established(np.ones(9), np.ones(9), paired) == 0


def test_of_two_seeds_nothing_is_established():
    assert established(np.array([1.0, 1.001]), np.array([0.0, 0.001]), True) == 0
    assert established(np.array([1.0, 1.001, 1.0]), np.array([0.0, 0.0, 0.001]), True) == 1


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scores_that_differ_but_by_rounding_are_alike(dtype, paired):
    """Neither the rounding of a mean nor that of a difference is a spread."""
    values = np.arange(1, 11, dtype=dtype) / 10
    for x, y in itertools.combinations(values, 2):
        x, y = np.full(3, x), np.full(3, y)
        assert established(x, y, paired) == 0
        low, high = student.student_difference(x, y, paired=paired)[1:]
        assert low == high
        assert statistics.seeds_needed(x, y, paired=paired) == (6 if paired else 4)
    x, y = np.array([0.3, 0.5, 0.7], dtype), np.array([0.2, 0.4, 0.6], dtype)
    assert established(x, y, paired) == 0
    assert paired == (statistics.seeds_needed(x, y, paired=paired) == 6)


def test_of_two_settings_all_together_tell_what_the_pair_tells():
    x, y = np.random.default_rng(0).normal([[0.5], [0.0]], size=(2, 7))
    both = np.stack([x, y])
    np.testing.assert_allclose(
        student.among(x, y, both, paired=True), student.student_difference(x, y, paired=True)
    )
    equal = stats.ttest_ind(x, y).confidence_interval(0.95)  # of one variance
    welch = student.student_difference(x, y, paired=False)
    assert student.among(x, y, both, paired=False) == max(
        welch, (x.mean() - y.mean(), *equal), key=lambda found: found[2] - found[1]
    )


def test_the_spread_of_all_settings_is_that_of_an_analysis_of_variance():
    """Of blocks the residual, else what is within; by pairs and all together, in plain NumPy."""
    scores = np.random.default_rng(0).normal(size=(5, 6)) + np.arange(6)
    found = student.spread(scores)
    pairs = [np.var(one - other, ddof=1) for one, other in itertools.combinations(scores, 2)]
    assert found.paired == pytest.approx((np.mean(pairs), 4 * 5))
    assert found.independent == pytest.approx((2 * scores.var(axis=1, ddof=1).mean(), 5 * 5))
    scores[2, 0] = np.nan
    gone = student.spread(np.concatenate([scores, np.full((1, 6), np.inf)]))
    assert gone.paired == pytest.approx(student.spread(scores[:, 1:]).paired)
    assert gone.independent[1] == 5 * 5 - 1


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize(("settings", "seeds", "difference"), [(4, 4, 100), (64, 8, 30)])
def test_a_setting_that_diverges_hides_no_difference_of_others(settings, seeds, difference, paired):
    rng, pairs = np.random.default_rng(0), settings * (settings - 1) // 2
    how = {"paired": paired, "confidence": 1 - 0.05 / pairs}
    for _ in range(20):
        scores = rng.normal(size=(settings, seeds))
        scores[0] += difference
        scores[-1] *= 1e6
        assert student.established(scores[0], scores[1], scores, **how) == 1
        assert student.established(scores[2], scores[1], scores[:-1], **how) == 0


@pytest.mark.parametrize("seeds", [9, 6])
def test_improvement_equals_rliable_which_draws_both_independently(seeds):
    x = scores_like_ours(9, 3)
    y = x[:seeds] - 0.125  # as if seeds were shared
    expected = rliable_interval((x, y), metrics.probability_of_improvement, 1_000)
    found = statistics.improvement(KEY, x, y, resamples=20_000)
    np.testing.assert_allclose(found.value, expected[0][0], rtol=1e-6)
    assert_close_bounds(found[1:], [bound[0] for bound in expected[1:]], 0.1)


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("effect", [0.3, 0.5, 1.0, 2.0])
@pytest.mark.parametrize(("confidence", "power"), [(0.95, 0.8), (0.9, 0.9)])
def test_seeds_needed_agrees_with_the_power_of_the_t_test(paired, effect, confidence, power):
    noise = np.random.default_rng(0).normal(size=30)
    noise = (noise - noise.mean()) / noise.std(ddof=1)
    x, y = noise + effect, np.zeros(30) if paired else noise[::-1]
    found = statistics.seeds_needed(x, y, paired=paired, confidence=confidence, power=power)

    def reached(n: int) -> float:
        freedom, shift = (
            (n - 1, effect * n**0.5) if paired else (2 * n - 2, effect * (n / 2) ** 0.5)
        )
        critical = stats.t.ppf(0.5 + confidence / 2, freedom)
        return 1 - stats.nct.cdf(critical, freedom, shift)

    exact = next(n for n in range(2, 1_000) if reached(n) >= power)
    assert abs(found - exact) <= 1


def test_seeds_needed_over_tasks_is_that_of_the_mean_over_tasks():
    rng = np.random.default_rng(0)
    x, y = rng.normal(0.2, 1.0, size=(2, 40, 3))
    y = y - 0.2
    z = stats.norm.ppf([0.975, 0.8])
    for paired, variances in ((True, np.var(x - y, 0, ddof=1)),
                              (False, np.var(x, 0, ddof=1) + np.var(y, 0, ddof=1))):  # fmt: skip
        ratio = np.sum(variances) / 9 / (x.mean() - y.mean()) ** 2
        expected = np.ceil(z.sum() ** 2 * ratio + z[0] ** 2 / (2 if paired else 4))
        assert statistics.seeds_needed(x, y, paired=paired) == expected


def test_what_does_not_differ_takes_seeds_without_end():
    same = jnp.array([1.0, 2.0, 3.0])
    assert statistics.seeds_needed(same, same, paired=True) == jnp.inf
    assert statistics.seeds_needed(same, same, paired=False) == jnp.inf
    # Six signs, or four and four exchanged, are rarer than 1 in 20: fewer establish nothing.
    assert statistics.seeds_needed(same + 9.0, same, paired=True) == 6.0
    assert statistics.seeds_needed(same + 9.0, same, paired=True, confidence=0.99) == 8.0
    ones = jnp.ones(3)
    assert statistics.seeds_needed(ones, 2 * ones, paired=False) == 4.0
    assert jnp.isnan(statistics.seeds_needed(same[:1], same[1:2], paired=True))


# What was not measured

MISSING = np.array([[0.1, np.nan], [np.nan, 0.9], [0.4, 0.2], [0.8, np.nan], [0.3, 0.6]])


def test_what_was_not_measured_is_not_counted():
    first, second = MISSING[[0, 2, 3, 4], 0], MISSING[[1, 2, 4], 1]
    both = np.concatenate([first, second])
    per_task = [first.mean(), second.mean()]
    shares = [np.mean([np.mean(first > t), np.mean(second > t)]) for t in THRESHOLDS]
    gaps = [np.mean(0.5 - np.minimum(task, 0.5)) for task in (first, second)]
    close = partial(np.testing.assert_allclose, rtol=1e-5)
    close(statistics.mean(MISSING), np.mean(per_task))
    close(statistics.median(MISSING), np.median(per_task))
    close(statistics.median(MISSING[:, 0]), np.median(first))
    close(statistics.iqm(MISSING), stats.trim_mean(both, 0.25))
    close(statistics.optimality_gap(MISSING, 0.5), np.mean(gaps))
    close(profile(MISSING), shares)
    other = scores_like_ours(4, 2)
    wins = [stats.mannwhitneyu(x, y).statistic / x.size / 4
            for x, y in zip((first, second), other.T, strict=True)]  # fmt: skip
    close(statistics.probability_of_improvement(MISSING, other), np.mean(wins))


def test_unmeasured_seeds_leave_the_interval_of_the_others():
    measured = np.random.default_rng(0).normal(size=(12, 2)).astype(np.float32)
    padded = np.full((30, 2), np.nan, np.float32)
    padded[4:28:2] = measured
    interval = partial(statistics.bootstrap_interval, KEY, resamples=20_000)
    assert_close_bounds(interval(padded), interval(measured))
    assert_same_bits(interval(padded), interval(np.roll(padded, 2, axis=0)))


def test_a_pair_counts_only_where_both_measured():
    x, y = np.arange(6.0), np.zeros(6)
    x[1], y[2] = np.nan, np.nan
    kept = [0, 3, 4, 5]
    for paired, expected in ((True, np.mean(x[kept])), (False, np.nanmean(x))):
        found = statistics.difference(KEY, x, y, paired=paired)
        np.testing.assert_allclose(found.value, expected, rtol=1e-6)
    assert_same_bits(
        statistics.difference(KEY, x, y, paired=True),
        statistics.difference(KEY, np.where(np.isnan(y), 7.0, x), y, paired=True),
    )
    assert statistics.seeds_needed(x, y, paired=True) == statistics.seeds_needed(
        x[kept], y[kept], paired=True
    )


def test_fewer_than_two_seeds_have_no_interval_and_none_no_value():
    for scores in ([3.0], [3.0, np.nan], [[1.0, 2.0], [1.0, np.nan]], [np.nan, np.nan]):
        assert np.isnan(statistics.bootstrap_interval(KEY, jnp.array(scores))).all(), scores
    nothing = jnp.full((3, 2), jnp.nan)
    for estimator, _ in REFEREES.values():
        assert jnp.isnan(estimator(nothing)).all()
    assert jnp.isnan(statistics.probability_of_improvement(nothing, jnp.ones((3, 2))))
    assert jnp.isnan(statistics.improvement(KEY, jnp.ones(1), jnp.ones(5)).low)
    assert np.isnan(statistics.wilson_interval(0, 0)).all()


# Refusals


def two_measures(scores):
    """What looks like an estimator, and gives two."""
    return jnp.mean(scores), jnp.std(scores)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: statistics.mean(jnp.zeros((2, 3, 4))), r"scores has shape \(2, 3, 4\): give one"),
        (lambda: statistics.iqm(1.0), r"scores has shape \(\): give one number per seed"),
        (lambda: statistics.bootstrap_interval(KEY, jnp.zeros(0)), r"shape \(0,\): give one"),
        (lambda: statistics.performance_profile(jnp.zeros(3), 0.5), r"thresholds has shape \(\)"),
        (
            lambda: statistics.improvement(KEY, jnp.zeros((3, 2)), jnp.zeros((3, 4))),
            r"x has shape \(3, 2\) and y \(3, 4\): give both on the same tasks",
        ),
        (
            lambda: statistics.difference(KEY, jnp.zeros(3), jnp.zeros(4), paired=True),
            r"x has shape \(3,\) and y \(4,\): give the same seeds .* or say paired=False",
        ),
        (
            lambda: statistics.difference(KEY, jnp.zeros(3), jnp.zeros((3, 1)), paired=False),
            r"x has shape \(3,\) and y \(3, 1\)",
        ),
        (
            lambda: statistics.sample_efficiency(KEY, jnp.zeros(5)),
            r"curves has shape \(5,\): give one curve per seed, shape \(S, T\)",
        ),
        (
            lambda: statistics.bootstrap_interval(KEY, jnp.zeros(5), confidence=95),
            r"confidence \(95\) must lie between 0 and 1: write 0\.95",
        ),
        (lambda: statistics.wilson_interval(1, 2, confidence=0.0), r"confidence \(0\.0\) must lie"),
        (
            lambda: statistics.bootstrap_interval(KEY, jnp.zeros(5), resamples=0),
            r"resamples \(0\) must be a whole number from 1 to 1,000,000: change it",
        ),
        (
            lambda: statistics.sample_efficiency(KEY, jnp.zeros((5, 2)), resamples=2.5),
            r"resamples \(2\.5\) must be a whole number",
        ),
        (
            lambda: statistics.bootstrap_interval(KEY, jnp.zeros(5), "mean"),
            r"estimator \('mean'\) must be a function of scores: write jaxdqn\.statistics\.mean",
        ),
        (
            lambda: statistics.difference(KEY, jnp.zeros(5), jnp.ones(5), None, paired=True),
            r"estimator \(None\) must be a function of scores",
        ),
        (
            lambda: statistics.bootstrap_interval(0, jnp.zeros(5)),
            r"key \(0\) must be typed: write jax\.random\.key\(0\)",
        ),
        (
            lambda: statistics.improvement(0, jnp.zeros(5), jnp.ones(5)),
            r"key \(0\) must be typed",
        ),
        (lambda: statistics.mean([10**400]), r"^scores .* must be numbers in lists of equal"),
        (
            lambda: statistics.bootstrap_interval(KEY, [1.0, 2.0], resamples=10**400),
            r"^resamples .* must be a whole number from 1 to 1,000,000",
        ),
        (
            lambda: statistics.bootstrap_interval(KEY, [1.0, 2.0], confidence=10**400),
            r"^confidence .* must lie between 0 and 1",
        ),
        (lambda: statistics.mean("abc"), r"scores \('abc'\) must be numbers in lists of equal"),
        (lambda: statistics.mean("12"), r"scores \('12'\) must be numbers in lists of equal"),
        (lambda: statistics.mean([b"1", b"2"]), r"scores \(\[b'1', b'2'\]\) must be numbers"),
        (lambda: statistics.iqm(np.zeros(2, [("a", float)])), r"^scores .* must be numbers"),
        (lambda: statistics.iqm(np.zeros(2, "datetime64[s]")), r"^scores .* must be numbers"),
        (
            lambda: statistics.summarise(np.zeros(2, "timedelta64[s]")),
            r"^values .* must be numbers",
        ),
        (
            lambda: statistics.student_interval(HIDDEN),
            r"scores \(of type MaskedArray\) .*filled\(n",
        ),
        (lambda: statistics.median([HIDDEN, HIDDEN]), r"scores \(of type list\) .* by a mask: wri"),
        (lambda: statistics.mean([1.0, np.ma.masked]), r"scores \(of type list\) .* by a mask"),
        (lambda: statistics.mean([1e39, 1.0]), r"scores \(\[1e\+39, 1\.0\]\) .* 3\.4e\+38: divide"),
        (
            lambda: statistics.improvement(KEY, [1.0], [-(10**39)]),
            r"^y .* beyond 3\.4e\+38: divide",
        ),
        (lambda: statistics.mean(np.array([1.0, 1e39])), r"^scores .* beyond 3\.4e\+38: divide"),
        (
            lambda: statistics.student_interval([1.0, 2.0], confidence=b"0.9"),
            r"confidence \(b'0\.9'\) must lie between 0 and 1",
        ),
        (lambda: statistics.iqm(None), r"scores \(None\) must be numbers"),
        (
            lambda: statistics.median([[1.0, 2.0], [3.0]]),
            r"scores \(\[\[1\.0, 2\.0\], \[3\.0\]\]\)",
        ),
        (lambda: statistics.performance_profile([1.0], "x"), r"thresholds \('x'\) must be num"),
        (lambda: statistics.sample_efficiency(KEY, "abc"), r"curves \('abc'\) must be numbers"),
        (lambda: statistics.improvement(KEY, [1.0], [None]), r"y \(\[None\]\) must be numbers"),
        (lambda: statistics.wilson_interval(5, 3), r"successes \(5\.0\) must be from 0 to trials"),
        (lambda: statistics.wilson_interval(-1, 3), r"successes \(-1\.0\) must be from 0"),
        (lambda: statistics.wilson_interval(1, np.inf), r"to trials \(inf\), which are finite"),
        (lambda: statistics.wilson_interval("x", 3), r"successes \('x'\) must be numbers"),
        (
            lambda: statistics.seeds_needed(jnp.zeros(5), jnp.ones(5), paired=True, power=80),
            r"power \(80\) must lie between 0 and 1: write 0\.8",
        ),
        (
            lambda: statistics.seeds_needed([1.0, 2.0], [0.0, 1.0], paired=True, power="a"),
            r"power \('a'\) must lie between 0 and 1: write 0\.8",
        ),
        (
            lambda: jax.jit(lambda p: statistics.wilson_interval(1, 2, confidence=p))(0.9),
            r"confidence \(traced\) is fixed when the program is compiled: write 0\.95 or the like",
        ),
        (
            lambda: statistics.wilson_interval(jnp.array([1, 2]), jnp.array([5, 5, 5])),
            r"successes has shape \(2,\) and trials \(3,\): give as many of both",
        ),
        (
            lambda: statistics.optimality_gap([1.0, 2.0, 3.0], [1.0, 2.0]),
            r"target has shape \(2,\)",
        ),
        (lambda: statistics.optimality_gap([1.0], "a"), r"target \('a'\) must be numbers"),
        (lambda: statistics.optimality_gap([1.0], None), r"target \(None\) must be numbers"),
        (
            lambda: statistics.optimality_gap(jnp.ones((12, 5)), jnp.arange(3.0)),
            r"target has shape \(3,\): give one number or 5, one for each task\.",
        ),
        (
            lambda: statistics.optimality_gap([0.5, 0.5], [1.0, 2.0]),
            r"target has shape \(2,\): give one number\.",
        ),
        (
            lambda: statistics.optimality_gap(jnp.ones((2, 3)), jnp.ones((2, 3))),
            r"target has shape \(2, 3\): give one number or 3, one for each task\.",
        ),
        (
            lambda: statistics.bootstrap_interval(KEY, [1.0, 2.0], two_measures),
            r"estimator \(two_measures\) returns a tuple, and one array .* by jnp\.stack",
        ),
        (
            lambda: statistics.difference(KEY, [1.0, 2.0], [2.0, 1.0], two_measures, paired=True),
            r"estimator \(two_measures\) returns a tuple",
        ),
        (
            lambda: statistics.difference(KEY, [1.0, 2.0], [2.0, 1.0], paired="no"),
            r"paired \('no'\) must be True, where entry i of x and of y share a seed, or False",
        ),
        (
            lambda: statistics.seeds_needed([1.0, 2.0], [2.0, 1.0], paired=None),
            r"paired \(None\) must be True",
        ),
        (lambda: statistics.summarise("a"), r"values \('a'\) must be numbers"),
        (
            lambda: statistics.student_interval(np.ones((8, 4))),
            r"^scores has shape \(8, 4\): give one number per seed, shape \(S,\), such as the mean",
        ),
        (
            lambda: statistics.summarise([[1.0, 2.0], [3.0, 4.0]]),
            r"^values has shape \(2, 2\): give one number per seed",
        ),
        (
            lambda: statistics.student_interval([1.0, 2.0], confidence=95),
            r"confidence \(95\) must lie between 0 and 1",
        ),
        (
            lambda: statistics.student_difference(np.ones((8, 4)), np.ones((8, 4)), paired=False),
            r"^x has shape \(8, 4\): give one number per seed",
        ),
        (
            lambda: statistics.student_difference([1.0, 2.0, 3.0], [1.0, 2.0], paired=True),
            r"x has shape \(3,\) and y \(2,\): give the same seeds",
        ),
    ],
)
def test_what_can_not_be_honoured_is_refused_in_one_sentence(call, words):
    with pytest.raises(jaxdqn.ConfigError, match=words) as refused:
        call()
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("kind", [np.float32, np.array, jnp.float32])
def test_numbers_of_numpy_and_of_jax_are_those_of_python(kind):
    x, y = jnp.arange(6.0), jnp.arange(6.0) ** 1.5

    def everything(number, whole):
        return (
            statistics.bootstrap_interval(KEY, x, confidence=number(0.75), resamples=whole(50)),
            statistics.improvement(KEY, x, y, confidence=number(0.75), resamples=whole(50)),
            statistics.sample_efficiency(KEY, [x, y], confidence=number(0.75)),
            statistics.seeds_needed(
                x, y, paired=np.bool_(True), confidence=number(0.75), power=number(0.5)
            ),
            statistics.wilson_interval(whole(3), number(5.0), confidence=number(0.75)),
            statistics.optimality_gap(x, number(2.5)),
        )

    assert_same_bits(everything(kind, jnp.int32), everything(float, int))


def test_lists_are_arrays():
    assert statistics.summarise([1.0, 2.0, 4.0]) == statistics.summarise(np.array([1.0, 2.0, 4.0]))
    both = statistics.wilson_interval([1, 2], [5, 5])
    assert_same_bits(both, statistics.wilson_interval(jnp.array([1, 2]), jnp.array([5, 5])))
    np.testing.assert_allclose(both, statistics.wilson_interval([1, 2], 5), rtol=1e-5)
    scores = jnp.array([[1.0, 2.0], [3.0, 4.0]])
    gap = statistics.optimality_gap([[1.0, 2.0], [3.0, 4.0]], [2.0, 5.0])
    np.testing.assert_allclose(gap, jnp.mean(jnp.maximum(jnp.array([[2.0, 5.0]] * 2) - scores, 0)))


# Compilation


def every_interval(key, x, y):
    """All that resamples, of scores ``[S, M]``."""
    few = {"resamples": 150}
    return (
        statistics.bootstrap_interval(key, x, profile, **few),
        statistics.sample_efficiency(key, x, **few),
        statistics.improvement(key, x, y, **few),
        statistics.difference(key, x, y, statistics.iqm, paired=True, **few),
        statistics.difference(key, x, y, statistics.iqm, paired=False, **few),
        statistics.seeds_needed(x, y, paired=True),
        statistics.wilson_interval(jnp.sum(x > 0.5), x.size),
    )


def test_everything_holds_under_jit_and_vmap():
    x = jnp.stack([jnp.asarray(scores_like_ours(6, 2, seed=i)) for i in range(3)])
    x = x.at[1, 0, 0].set(jnp.nan)
    y = x[::-1] * 0.9
    keys = jax.random.split(KEY, 3)
    batched = jax.jit(jax.vmap(every_interval))(keys, x, y)
    for i in range(3):
        alone = every_interval(keys[i], x[i], y[i])
        for one, many in zip(jax.tree.leaves(alone), jax.tree.leaves(batched), strict=True):
            np.testing.assert_allclose(one, many[i], rtol=1e-5, atol=1e-6)


def test_the_same_key_gives_the_same_bits_and_another_key_others():
    x, y = scores_like_ours(6, 2, seed=1), scores_like_ours(6, 2, seed=2)
    assert_same_bits(every_interval(KEY, x, y), every_interval(KEY, x, y))
    values = jnp.linspace(0.0, 1.0, 30) ** 2
    other = statistics.bootstrap_interval(jax.random.key(1), values)
    assert statistics.bootstrap_interval(KEY, values)[0] != other[0]


def test_an_estimator_is_compiled_once(caplog):
    def estimator(scores):
        return jnp.mean(scores)

    def compilations(key) -> int:
        caplog.clear()
        with jax.log_compiles():
            statistics.bootstrap_interval(key, jnp.arange(5.0), estimator)
            statistics.difference(key, jnp.arange(5.0), jnp.ones(5), estimator, paired=True)
            statistics.sample_efficiency(key, jnp.ones((5, 2)), estimator)
        return sum("XLA compilation" in message for message in caplog.messages)

    first, again = (compilations(key) for key in jax.random.split(KEY))
    assert first >= 3
    assert again == 0


@pytest.mark.parametrize(
    "ask",
    [
        statistics.summarise,
        statistics.student_interval,
        lambda x: statistics.student_difference(x, np.ones(3), paired=True),
        lambda x: statistics.student_difference(np.ones(3), x, paired=False),
    ],
)
def test_what_is_made_on_the_host_is_not_made_of_what_is_traced(ask):
    said = r"^(scores|values|x|y) \(traced\) must be known, .*: call it outside of jax\.jit"
    with pytest.raises(jaxdqn.ConfigError, match=said):
        jax.jit(ask)(jnp.arange(3.0))
