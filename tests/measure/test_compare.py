"""The verdict against statsmodels and scipy, its error rates by simulation, and its words."""

import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar

from ratchet.core import Candidate, Example, Score, Trial
from ratchet.measure import Measurement, compare
from ratchet.measure.compare import (
    bonett_price_interval,
    mcnemar_n,
    mcnemar_p,
    mcnemar_power,
    mcnemar_visible,
    paired_t_p,
    settling_n,
)


def measurement(name, scores, *, missing=()):
    """Return a measurement with these scores, one example each; indices in `missing` have no trial."""
    examples = [Example(inputs={"x": str(i)}, reference="") for i in range(len(scores))]
    candidate = Candidate(model="m", user=name)
    trials = [
        Trial(candidate_id=candidate.id, example_id=e.id, score=Score(value=s))
        for i, (e, s) in enumerate(zip(examples, scores, strict=True))
        if i not in missing
    ]
    return Measurement.of(
        trials, candidate=candidate, split="dev", metric_id="m", examples=examples
    )


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


def test_bonett_price_worked_example():
    """The interval equals the formula worked by hand for 12 wins and 3 losses in 60."""
    p12, p21 = 13 / 62, 4 / 62
    half = 1.959963985 * math.sqrt((p12 + p21 - (p12 - p21) ** 2) / 62)

    interval = bonett_price_interval(np.array([1.0] * 12 + [-1.0] * 3 + [0.0] * 45))

    assert interval.low == pytest.approx(p12 - p21 - half)
    assert interval.high == pytest.approx(p12 - p21 + half)


@pytest.mark.parametrize(("win", "loss"), [(0.15, 0.05), (0.1, 0.1), (0.02, 0.0)])
def test_bonett_price_covers(win, loss):
    """The 95 % interval of a paired difference holds the truth in at least 93 % of 3,000 simulations, and is not idle."""
    rng = np.random.default_rng(11)
    held = 0
    for _ in range(3000):
        differences = rng.choice([1.0, -1.0, 0.0], size=80, p=[win, loss, 1 - win - loss])
        interval = bonett_price_interval(differences)
        held += interval.low <= win - loss <= interval.high

    assert held / 3000 >= 0.93
    assert held / 3000 <= 0.99 or loss == 0  # near 0 it is conservative


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


def test_settling_n_gives_the_promised_power():
    """With the number of examples that is promised to settle it, 80 % (± 5) of repetitions do."""
    rng = np.random.default_rng(9)
    n = settling_n(rng.normal(0.1, 0.4, 4000))

    found = np.mean(
        [stats.ttest_1samp(rng.normal(0.1, 0.4, n), 0).pvalue < 0.05 for _ in range(800)]
    )

    assert 0.75 <= found <= 0.85


@pytest.mark.parametrize(
    ("up", "down", "n"), [(0.14, 0.06, 100), (0.3, 0.1, 60), (0.05, 0.03, 1500)]
)
def test_the_power_of_mcnemar_is_what_simulation_finds(up: float, down: float, n: int) -> None:
    """The exact test is discrete: its power is foretold within simulation error, not by a normal curve."""
    rng = np.random.default_rng(10)
    draws = rng.multinomial(n, [up, down, 1 - up - down], 3000)
    found = np.mean([a > b and stats.binomtest(a, a + b).pvalue < 0.05 for a, b, _ in draws])
    assert mcnemar_power(up, down, n) == pytest.approx(found, abs=0.03)


def test_the_n_that_settles_mcnemar_and_what_it_sees() -> None:
    """80 % at the n that is told, less at a tenth below; the visible difference has 80 % too; no difference needs no n."""
    n = mcnemar_n(0.14, 0.06)
    assert n is not None
    assert mcnemar_power(0.14, 0.06, n) >= 0.8 > mcnemar_power(0.14, 0.06, round(0.85 * n))
    seen = mcnemar_visible(0.2, 200)
    assert seen is not None
    assert mcnemar_power(0.1 + seen / 2, 0.1 - seen / 2, 200) == pytest.approx(0.8, abs=0.02)
    assert mcnemar_visible(0.1, 20) is None
    assert mcnemar_n(0.1, 0.1) is None


def test_a_clear_gain_is_better_and_a_clear_loss_worse():
    """30 wins to 2 losses is better; turned round it is worse; the sentence says so."""
    low, high = measurement("a", [0.0] * 30 + [1.0] * 20), measurement("b", [1.0] * 48 + [0.0] * 2)

    up, down = compare(low, high, margin=0.02), compare(high, low, margin=0.02)

    assert (up.decision, down.decision) == ("better", "worse")
    assert up.sentence.startswith("The challenger is better: +56.0 points")
    assert (up.wins, up.losses, up.ties) == (30, 2, 18)


def test_equal_scores_on_many_examples_are_not_worse():
    """1,000 ties give "not worse" at a margin of two points, and 10 ties give no evidence."""
    many, few = [1.0] * 1000, [1.0] * 10

    assert (
        compare(measurement("a", many), measurement("b", many), margin=0.02).decision == "not worse"
    )
    assert (
        compare(measurement("a", few), measurement("b", few), margin=0.02).decision == "no evidence"
    )


def test_missing_examples_are_reported_and_left_out():
    """Examples that one side did not answer are counted as missing, not as zero."""
    a = measurement("a", [1.0] * 20, missing=(0, 1))
    b = measurement("b", [1.0] * 20, missing=(1, 2))

    verdict = compare(a, b, margin=0.02)

    assert (verdict.n, verdict.missing) == (17, 3)
    assert "3 examples are missing" in verdict.sentence


def test_nothing_in_common_is_no_evidence():
    """Without a common example the figures are NaN and the decision is "no evidence"."""
    a, b = measurement("a", [1.0] * 4, missing=(0, 1, 2, 3)), measurement("b", [1.0] * 4)

    verdict = compare(a, b, margin=0.02)

    assert verdict.decision == "no evidence"
    assert math.isnan(verdict.effect)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=30))
def test_turning_the_sides_turns_the_sign(pairs):
    """Comparing b with a is comparing a with b with the signs turned."""
    a, b = measurement("a", [p[0] for p in pairs]), measurement("b", [p[1] for p in pairs])

    there, back = compare(a, b, margin=0.02), compare(b, a, margin=0.02)

    assert there.effect == pytest.approx(-back.effect)
    assert there.p_value == pytest.approx(back.p_value)
    assert (there.wins, there.losses) == (back.losses, back.wins)


def test_nearly_equal_candidates_are_compared_as_fast_as_others() -> None:
    """A difference of one in ten thousand would take a hundred million examples to settle: told at once."""
    started = time.perf_counter()
    found = mcnemar_n(0.1001, 0.1)
    assert found is not None
    assert found > 10_000_000
    assert time.perf_counter() - started < 1


def test_few_equal_gains_are_never_certain():
    """Twenty equal gains: the p-value is that of all flips, two in 2^20, and not zero."""
    assert paired_t_p(np.full(20, 0.5)) == pytest.approx(2.0**-19)
