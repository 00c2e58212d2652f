"""Intervals against scipy and statsmodels, and their coverage by simulation."""

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from ratchet.measure.intervals import (
    bootstrap_interval,
    mean_interval,
    score_interval,
    t_interval,
    wilson_interval,
)


@pytest.mark.parametrize(("k", "n"), [(0, 10), (3, 10), (10, 10), (47, 200), (1, 1)])
def test_wilson_equals_statsmodels(k, n):
    """Wilson's interval is the one that statsmodels computes."""
    low, high = proportion_confint(k, n, method="wilson")

    interval = wilson_interval(k, n)

    assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-12)


def test_t_equals_scipy():
    """Student's interval is the one that scipy computes."""
    values = np.random.default_rng(1).beta(2, 5, 40)
    expected = stats.t.interval(0.95, 39, loc=values.mean(), scale=stats.sem(values))

    interval = t_interval(values)

    assert (interval.low, interval.high) == pytest.approx(expected)


def test_nothing_is_said_of_nothing():
    """Without values, or with one graded value, the bounds are NaN, never 0."""
    assert math.isnan(wilson_interval(0, 0).low)
    assert math.isnan(t_interval(np.array([0.3])).high)
    assert math.isnan(bootstrap_interval(np.array([0.3, 0.3])).low)


def test_repeats_of_an_example_are_one_observation():
    """Ten repeats of two examples give n = 2: repeating is no independent evidence."""
    scores = [("a", 1.0)] * 10 + [("b", 0.0)] * 10

    mean, interval, n = score_interval(scores)

    assert (mean, n) == (0.5, 2)
    assert interval.high - interval.low > 0.5


@pytest.mark.parametrize("p", [0.05, 0.3, 0.9])
@pytest.mark.parametrize("n", [30, 200])
def test_wilson_covers(p, n):
    """Wilson's 95 % interval holds the truth in 93 to 98 % of 4,000 simulations."""
    rng = np.random.default_rng(7)
    table = [wilson_interval(k, n) for k in range(n + 1)]

    held = np.mean([table[k].low <= p <= table[k].high for k in rng.binomial(n, p, 4000)])

    assert 0.93 <= held <= 0.98


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
