"""Tests of paired differences against statsmodels and scipy, their error rates, and the intervals that invert them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar

from ratchet.measure.intervals import clusters_of
from ratchet.measure.paired import (
    _combine,
    _discordance_limits,
    _tails,
    _win_share_limits,
    mcnemar_interval,
    mcnemar_p,
    paired_t_interval,
    paired_t_p,
)


def table(wins, losses, n):
    """Return the differences of n examples of which some are won and some lost."""
    return np.array([1.0] * wins + [-1.0] * losses + [0.0] * (n - wins - losses))


@pytest.mark.parametrize(("wins", "losses"), [(0, 0), (1, 0), (5, 5), (12, 3), (40, 60)])
def test_mcnemar_equals_statsmodels(wins, losses):
    """The p-value is that of the exact test in statsmodels."""
    differences = np.array([1.0] * wins + [-1.0] * losses + [0.0] * 20)

    p = mcnemar_p(differences)

    expected = mcnemar([[10, wins], [losses, 10]], exact=True).pvalue if wins + losses else 1.0
    assert p == pytest.approx(min(1.0, expected))


def test_paired_t_equals_scipy():
    """For many graded scores the p-value is that of scipy's paired t-test."""
    rng = np.random.default_rng(2)
    a, b = rng.random(130), rng.random(130)

    assert paired_t_p(b - a) == pytest.approx(stats.ttest_rel(b, a).pvalue)


@pytest.mark.parametrize("n", [4, 9, 12])
def test_flipped_signs_equal_scipy(n):
    """For few graded scores the p-value is never below that of scipy's permutation test, all ways to flip signs counted."""
    differences = np.random.default_rng(n).normal(0.4, 1, n)
    found = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=np.inf
    )
    t = stats.ttest_1samp(differences, 0).pvalue

    assert paired_t_p(differences) == pytest.approx(max(t, found.pvalue))


@pytest.mark.parametrize("draw", ["triangular", "skewed"])
def test_ten_equal_pairs_are_told_apart_in_one_of_twenty_at_most(draw):
    """Ten pairs of equal candidates, whatever their scores look like: at most 5 % of 4,000 comparisons name a winner."""
    rng = np.random.default_rng(8)

    def scores():
        return rng.random(10) if draw == "triangular" else rng.beta(0.2, 2, 10)

    wrong = sum(paired_t_p(scores() - scores()) < 0.05 for _ in range(4000))

    assert wrong / 4000 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 4000)


def test_two_equal_gains_prove_nothing():
    """Where the spread is zero the p-value is that of flipping signs, not zero."""
    assert paired_t_p(np.array([0.25, 0.25])) == 0.5


@pytest.mark.parametrize("graded", [False, True])
def test_equal_candidates_seldom_get_a_verdict(graded):
    """Under A/A at most 5 % (+ simulation error) of 1,500 comparisons name a winner or a loser."""
    rng = np.random.default_rng(4)
    wrong = 0
    for _ in range(1500):
        hard = rng.random(60)
        a, b = (np.clip(hard + rng.normal(0, 0.3, 60), 0, 1) for _ in range(2))
        if not graded:
            a, b = a.round(), b.round()
        p = paired_t_p(b - a) if graded else mcnemar_p(b - a)
        wrong += p < 0.05

    assert wrong / 1500 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 1500)


def test_few_equal_gains_are_never_certain():
    """Twenty equal gains: the p-value is that of all flips, two in 2^20, and not zero."""
    assert paired_t_p(np.full(20, 0.5)) == pytest.approx(2.0**-19)


@pytest.mark.parametrize("level", [0.95, 0.99, 1 - 0.05 * 6 / (math.pi**2 * 16)])
def test_interval_and_test_agree_on_all_tables_up_to_200_examples(level):
    """Whatever of 200 or fewer examples are won and lost, the interval leaves 0 out exactly where exact McNemar rejects."""
    share_tails, discordance_tails = _tails(level)
    most = 200
    widths = [
        np.stack([_discordance_limits(m, n, discordance_tails) for n in range(max(1, m), most + 1)])
        for m in range(most + 1)
    ]
    for wins in range(most + 1):
        for losses in range(most + 1 - wins):
            of_all_n = widths[wins + losses]  # (n, few or many, directions)
            low, high = _combine(
                _win_share_limits(wins, losses, share_tails), (of_all_n[:, 0], of_all_n[:, 1])
            )
            p = stats.binom.cdf(min(wins, losses), wins + losses, 0.5) * 2
            rejected = p < 1 - level

            assert (((low > 0) | (high < 0)) == rejected).all()
            assert (low <= high).all()
            if rejected:
                assert ((low > 0) == (wins > losses)).all()


def test_the_public_interval_and_p_value_agree():
    """What a verdict shows, p-value and interval, never contradict each other: all tables of 20 examples, and some of 200."""
    rng = np.random.default_rng(5)
    drawn = [rng.multinomial(200, [a, b, 1 - a - b]) for a, b in rng.uniform(0, 0.3, (300, 2))]
    tables = [(w, x, 20) for w in range(21) for x in range(21 - w)]
    tables += [(int(w), int(x), 200) for w, x, _ in drawn]
    for wins, losses, n in tables:
        differences = table(wins, losses, n)

        interval = mcnemar_interval(differences)

        assert (interval.low > 0 or interval.high < 0) == (mcnemar_p(differences) < 0.05)
        assert -1 <= interval.low <= (wins - losses) / n <= interval.high <= 1


def test_the_verdict_that_contradicted_itself():
    """Exact McNemar finds nothing in 10 wins and 3 losses of 40, and so the interval holds 0: both ends say the same."""
    differences = table(10, 3, 40)

    interval = mcnemar_interval(differences)

    assert mcnemar_p(differences) > 0.05
    assert interval.low < 0 < interval.high


def test_without_differences_the_interval_narrows_with_n():
    """Ties prove more the more they are: ±31 points on 10, ±2.5 on 100; nothing proves nothing."""
    widths = [mcnemar_interval(np.zeros(n)).high for n in (10, 100, 1000)]

    assert widths == pytest.approx([0.3085, 0.0247, 0.0025], abs=1e-3)
    assert math.isnan(mcnemar_interval(np.zeros(0)).low)


@pytest.mark.parametrize("n", [10, 30, 60])
@pytest.mark.parametrize("level", [0.95, 0.999])
def test_the_inverted_interval_covers(n, level):
    """Summed over all tables, nothing drawn, the interval holds the truth as often as it says.

    The one corner where it misses up to twice as often is that of few differences which all go one way, at a high level.
    """
    counts = [(w, x) for w in range(n + 1) for x in range(n + 1 - w)]
    found = [mcnemar_interval(table(w, x, n), level=level) for w, x in counts]
    low, high = np.array([(i.low, i.high) for i in found]).T
    wins, losses = np.array(counts).T
    held = []
    for discordant in (0.02, 0.1, 0.3, 0.6, 0.9):
        for lean in (0.0, 0.4, 0.8, 1.0):
            up, down = discordant * (1 + lean) / 2, discordant * (1 - lean) / 2
            cells = np.c_[wins, losses, n - wins - losses]
            chance = stats.multinomial.pmf(cells, n, [up, down, 1 - up - down])
            held.append(float(chance[(low <= up - down) & (up - down <= high)].sum()))

    assert min(held) >= (level if level == 0.95 else 2 * level - 1)
    assert sorted(held)[1] >= level
    assert np.mean(held) <= 1 - (1 - level) / 20 or n == 10  # and is not idle


@given(
    st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0, -0.25, -0.5]), min_size=2, max_size=40),
    st.integers(1, 4),
    st.sampled_from([0.95, 0.99, 0.9999]),
)
def test_graded_interval_and_test_agree(values, size, level):
    """For graded differences, alone or in groups, the interval leaves 0 out exactly where the p-value is below the level."""
    differences = np.array(values)
    clusters = clusters_of([str(i // size) for i in range(len(values))])

    interval = paired_t_interval(differences, clusters, level=level)
    p = paired_t_p(differences, clusters)

    if math.isnan(p):
        assert math.isnan(interval.low)
    else:
        assert (interval.low > 0 or interval.high < 0) == (p < 1 - level)
        assert -1 <= interval.low <= interval.high <= 1


def test_many_graded_differences_have_students_interval():
    """Where flipped signs say nothing else, the interval is scipy's for the mean."""
    differences = np.random.default_rng(3).normal(0.1, 0.3, 150)

    interval = paired_t_interval(differences)

    expected = stats.ttest_1samp(differences, 0).confidence_interval()
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))


def test_flipped_limits_are_means_of_parts():
    """For five differences the limits at 75 % are those means of parts that the definition, worked slowly, gives."""
    differences = np.array([0.1, 0.25, 0.3, 0.55, 0.8])

    def rejected(mean):
        rest = differences - mean
        ways = [[1 - 2 * (k >> i & 1) for i in range(5)] for k in range(32)]
        reached = [abs(np.dot(way, rest)) >= abs(rest.sum()) - 1e-12 for way in ways]
        return np.mean(reached) <= 0.25

    interval = paired_t_interval(differences, level=0.75)
    t = stats.ttest_1samp(differences, 0).confidence_interval(0.75)
    grid = np.linspace(0, 1, 2001)
    kept = [mean for mean in grid if not rejected(mean)]

    assert interval.low == pytest.approx(min(t.low, *kept), abs=1e-3)
    assert interval.high == pytest.approx(max(t.high, *kept), abs=1e-3)


def test_graded_ties_are_no_certainty():
    """Twelve equal scores that are no 0 and 1 leave room for a difference; the interval is not a point."""
    interval = paired_t_interval(np.zeros(12))

    assert interval.low < -0.1
    assert interval.high > 0.1


@pytest.mark.parametrize("n", [10, 30])
def test_the_graded_interval_covers(n):
    """95 % intervals of skewed paired differences hold the truth in 95 % (- simulation error) of 1,000 samples."""
    rng = np.random.default_rng(6)
    held = 0
    for _ in range(1000):
        a, b = rng.beta(0.5, 1.5, n), rng.beta(0.8, 1.2, n)
        interval = paired_t_interval(b - a)
        held += interval.low <= 0.4 - 0.25 <= interval.high

    assert held / 1000 >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / 1000)
