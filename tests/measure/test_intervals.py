"""Intervals against scipy and statsmodels, and their coverage by simulation."""

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.proportion import proportion_confint

from ratchet.measure.intervals import (
    agresti_coull_interval,
    bootstrap_interval,
    clusters_of,
    exact_interval,
    example_means,
    mean_interval,
    standard_error,
    t_interval,
)


@pytest.mark.parametrize(("k", "n"), [(0, 10), (3, 10), (10, 10), (47, 200), (1, 1)])
def test_agresti_coull_equals_statsmodels(k, n):
    """Agresti and Coull's interval is the one that statsmodels computes, cut to [0, 1]."""
    low, high = proportion_confint(k, n, method="agresti_coull")

    interval = agresti_coull_interval(k, n)

    assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-12)


def test_t_equals_scipy():
    """Student's interval is the one that scipy computes."""
    values = np.random.default_rng(1).beta(2, 5, 40)
    expected = stats.t.interval(0.95, 39, loc=values.mean(), scale=stats.sem(values))

    interval = t_interval(values)

    assert (interval.low, interval.high) == pytest.approx(expected)


def test_nothing_is_said_of_nothing():
    """Without values, or with one graded value, the bounds are NaN, never 0."""
    assert math.isnan(agresti_coull_interval(0, 0).low)
    assert math.isnan(t_interval(np.array([0.3])).high)
    assert math.isnan(bootstrap_interval(np.array([0.3, 0.3])).low)


def test_repeats_of_an_example_are_one_observation():
    """Ten repeats of two examples are two means: repeating is no independent evidence."""
    assert example_means([("a", 1.0)] * 10 + [("b", 0.0)] * 10) == {"a": 1.0, "b": 0.0}


def test_bootstrap_agrees_with_scipy():
    """Without clusters the BCa interval is that of scipy, within what resampling leaves open."""
    values = np.random.default_rng(8).beta(0.6, 2, 60)
    found = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="BCa", rng=np.random.default_rng(1)
    ).confidence_interval

    ours = bootstrap_interval(values, resamples=20_000)

    assert (ours.low, ours.high) == pytest.approx((found.low, found.high), abs=0.003)


def test_clusters_of_one_change_nothing():
    """With a cluster of its own for each value the standard error is the usual one."""
    values = np.random.default_rng(2).random(40)

    assert standard_error(values, np.arange(40)) == pytest.approx((standard_error(values)[0], 40))
    assert clusters_of(["a", None, "b", None]) is None
    assert list(clusters_of(["a", "b", "a"])) == [0, 1, 0]


def test_clustered_error_equals_statsmodels():
    """For clusters of one size the standard error is that of a regression on a constant with clustered covariance."""
    rng = np.random.default_rng(3)
    clusters = np.repeat(np.arange(12), 5)
    values = rng.normal(0, 1, 12)[clusters] + rng.normal(0, 1, len(clusters))
    fit = OLS(values, np.ones(len(values))).fit(
        cov_type="cluster", cov_kwds={"groups": clusters, "use_correction": False}
    )

    error, groups = standard_error(values, clusters)

    assert error == pytest.approx(fit.bse[0] * math.sqrt(12 / 11))
    assert groups == 12


@pytest.mark.parametrize("make", [t_interval, bootstrap_interval])
def test_clustered_intervals_cover(make):
    """Where 40 groups of one to nine values move together the clustered intervals still hold the mean about 95 % of the time."""
    rng = np.random.default_rng(12)

    held = plain = 0
    for seed in range(400):
        clusters = np.repeat(np.arange(40), rng.integers(1, 10, 40))
        values = rng.normal(0, 1, 40)[clusters] + rng.normal(0, 0.5, len(clusters))
        given = {"resamples": 500, "seed": seed} if make is bootstrap_interval else {}
        interval = make(values, clusters, **given)
        held += interval.low <= 0 <= interval.high
        bare = make(values, **given)
        plain += bare.low <= 0 <= bare.high

    assert 0.91 <= held / 400 <= 0.985
    assert plain / 400 < 0.8  # the same without clusters is far too sure


@pytest.mark.parametrize(("k", "n"), [(0, 10), (3, 10), (10, 10), (1, 1)])
def test_exact_equals_scipy(k, n):
    """Clopper and Pearson's interval is the one that scipy computes, and it is what a few values of 0 and 1 get."""
    expected = stats.binomtest(k, n).proportion_ci(method="exact")

    interval = exact_interval(k, n)

    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))
    assert mean_interval(np.repeat([1.0, 0.0], [k, n - k])) == interval


@pytest.mark.parametrize("n", [30, 57, 200])
def test_proportions_are_covered_everywhere(n):
    """Whatever the true proportion is, the 95 % interval holds it in 93 % or more of all samples; on average in 94 to 96.5 %."""
    p, k = np.linspace(0.005, 0.995, 397), np.arange(n + 1)
    table = [agresti_coull_interval(int(i), n) for i in k]
    low, high = np.array([(i.low, i.high) for i in table]).T

    holds = (low <= p[:, None]) & (p[:, None] <= high)
    held = (stats.binom.pmf(k, n, p[:, None]) * holds).sum(1)

    assert held.min() >= 0.93
    assert 0.94 <= held.mean() <= 0.965


def test_t_covers_graded_scores():
    """Student's interval of 40 graded scores holds their mean in 93.5 to 96.5 % of 2,000 simulations."""
    rng = np.random.default_rng(3)
    truth = 2 / 7

    held = 0
    for _ in range(2000):
        interval = mean_interval(rng.beta(2, 5, 40))
        held += interval.low <= truth <= interval.high

    assert 0.935 <= held / 2000 <= 0.965


def test_bootstrap_covers_graded_scores():
    """The BCa interval of 50 graded scores holds their mean in 91 to 98 % of 200 simulations."""
    rng = np.random.default_rng(5)

    held = 0
    for seed in range(200):
        interval = bootstrap_interval(rng.beta(2, 5, 50), resamples=500, seed=seed)
        held += interval.low <= 2 / 7 <= interval.high

    assert 0.91 <= held / 200 <= 0.985


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_groups_that_all_agree_are_no_certainty(value):
    """Where every answer is wrong, or every one right, the groups count as so many independent answers."""
    clusters = np.repeat(np.arange(48), 2)

    interval = mean_interval(np.full(96, value), clusters)

    expected = mean_interval(np.full(48, value))
    assert (interval.low, interval.high) == (expected.low, expected.high)
    assert interval.high - interval.low > 0.05
