"""Verdicts that are looked at after every example: false alarms, stopping times, agreement with the fixed-size verdict."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special
from statsmodels.stats.power import TTestPower

from ratchet import Candidate, InputField, MetricSpec, Roles, Task
from ratchet.core.errors import DataError
from ratchet.measure import Bench
from ratchet.measure.power import mcnemar_n
from ratchet.measure.sequential import (
    BINARY_STAKES,
    GRADED_STAKES,
    Sequential,
    expected_examples,
    log_capital,
    price_of_looking,
    settle,
)
from ratchet.metrics import make_metric
from ratchet.testing import ScriptedModel


def fed(pairs, *, margin=0.02):
    """Return the evidence of all pairs, and the number after which it was settled first (None if never)."""
    evidence, settled = Sequential(margin=margin), None
    for count, (before, after) in enumerate(pairs, start=1):
        evidence.add(before, after)
        if settled is None and count % 10 == 0 and evidence.is_settled():
            settled = count
    return evidence, settled


def drawn(rng, count, *, gain, graded):
    """Return pairs of scores that share the examples' difficulty, the second better by `gain` on average."""
    hard = rng.random(count)
    a, b = (np.clip(0.6 * hard + 0.4 * rng.random(count) + shift, 0, 1) for shift in (0.0, gain))
    return (
        list(zip(a, b, strict=True))
        if graded
        else [(float(x > 0.5), float(y > 0.5)) for x, y in zip(a, b, strict=True)]
    )


@pytest.mark.parametrize("graded", [False, True])
def test_equal_candidates_seldom_settle_as_better_or_worse(graded):
    """Looking every ten examples, at most 5 % (+ simulation error) of equal pairs are ever called better or worse."""
    rng = np.random.default_rng(1)
    wrong = 0
    for _ in range(100):
        evidence, _ = fed(drawn(rng, 100, gain=0.0, graded=graded))
        wrong += evidence.decision() in ("better", "worse")

    assert wrong / 100 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 100)


@pytest.mark.parametrize("graded", [False, True])
def test_a_real_gain_is_found_early(graded):
    """A gain of ten points is called better, in most runs, long before 1,000 examples, and never worse."""
    rng = np.random.default_rng(2)
    runs = [fed(drawn(rng, 1000, gain=0.1, graded=graded)) for _ in range(12)]

    assert all(evidence.decision() == "better" for evidence, _ in runs)
    assert np.median([settled for _, settled in runs]) < 500


def test_the_interval_never_loses_the_truth():
    """The confidence sequence holds the true effect at every look in at least 95 % (- simulation error) of runs."""
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(100):
        evidence, always = Sequential(margin=0.02), True
        for count, (before, after) in enumerate(drawn(rng, 200, gain=0.0, graded=True), start=1):
            evidence.add(before, after)
            if count % 30 == 0:
                interval = evidence.interval()
                always = always and interval.low <= 0 <= interval.high
        held += always

    assert held / 100 >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / 100)


def test_ties_end_as_not_worse():
    """Thousands of ties settle it as not worse within the margin."""
    evidence, settled = fed([(1.0, 1.0)] * 1500)

    assert evidence.decision() == "not worse"
    assert settled


def test_at_the_start_nothing_is_known():
    """Without an example the evidence is 1, the interval is everything, and nothing is foretold."""
    evidence = Sequential(margin=0.02)

    assert (evidence.e_value(), evidence.decision(), evidence.remaining()) == (
        1.0,
        "no evidence",
        None,
    )
    assert (evidence.interval().low, evidence.interval().high) == (-1.0, 1.0)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=40), st.floats(-0.9, 0.9))
def test_bets_pay_more_against_smaller_means(differences, mean):
    """The capital of who bets on a larger mean falls as the hypothesis rises, so that the interval is one piece."""
    values = np.array(differences)

    for stakes in (GRADED_STAKES, BINARY_STAKES):
        lower, higher = (log_capital(values, at, stakes) for at in (mean, mean + 0.05))

        assert lower >= higher - 1e-9


async def test_nothing_to_compare_on_is_named():
    """An empty split is an error, not a verdict."""
    task = Task(
        name="t", instructions="Say.", inputs=(InputField(name="q"),), metric=MetricSpec(name="exact"), models=Roles(student="m")
    )  # fmt: skip
    model, candidate = ScriptedModel(["x"]), Candidate(model="m", user="{{q}}")

    with pytest.raises(DataError, match="no examples"):
        await settle(
            Bench(task=task, metric=make_metric(task.metric)),
            (candidate, model),
            (candidate, model),
            [],
            split="dev",
        )


def test_binary_evidence_is_the_beta_mixture():
    """For scores of 0 and 1 the evidence is what a beta mixture over the discordant pairs gives, in closed form."""
    evidence = Sequential(margin=0.02)
    for before, after in [(0, 1)] * 30 + [(1, 0)] * 12 + [(1, 1)] * 40:
        evidence.add(before, after)

    mixed = special.betaln(4 + 30, 4 + 12) - special.betaln(4, 4) + 42 * math.log(2)
    assert math.log(evidence.e_value()) == pytest.approx(mixed, abs=1e-3)


@pytest.mark.parametrize("is_graded", [None, True])
def test_evidence_that_changes_its_stakes_on_the_way_is_valid(is_graded):
    """Scores that are mostly 0 and 1, and now and then between, of equal candidates: at most 5 % are ever settled."""
    rng = np.random.default_rng(14)
    wrong = 0
    for _ in range(300):
        evidence = Sequential(margin=0.02, is_graded=is_graded)
        for _ in range(60):
            evidence.add(*rng.choice([0.0, 0.4, 1.0], 2, p=[0.45, 0.1, 0.45]))
        wrong += evidence.p_value <= 0.05 or evidence.e_value() >= 20

    assert wrong / 300 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 300)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.3, 0.5, 1.0]), st.sampled_from([0.0, 0.6, 1.0])),
        min_size=1,
        max_size=60,
    )
)
def test_evidence_interval_and_decision_agree(pairs):
    """At every look the decision is "better" or "worse" exactly where the interval leaves 0 out and the p-value is below 5 %."""
    evidence = Sequential(margin=0.02)
    for before, after in pairs:
        evidence.add(before, after)
        interval, decision = evidence.interval(), evidence.decision()

        is_clear = interval.low > 0 or interval.high < 0
        assert is_clear == (decision in ("better", "worse")) == (evidence.p_value <= 0.05)
        assert -1 <= interval.low <= interval.high <= 1


@pytest.mark.parametrize(("effect", "runs"), [(0.36, 400), (0.1, 60)])
def test_graded_scores_are_settled_nearly_as_early_as_by_a_fixed_test(effect, runs):
    """With a standard deviation of .3 it takes at most 1.5 times the examples of a t-test with a power of 90 %, on average."""
    rng = np.random.default_rng(12)
    fixed = math.ceil(TTestPower().solve_power(effect / 0.3, alpha=0.05, power=0.9))
    taken = []
    for _ in range(runs):
        evidence = Sequential(margin=0.02, is_graded=True)
        for count, difference in enumerate(rng.normal(effect, 0.3, 2000), start=1):
            shift = float(np.clip(difference, -1, 1))
            evidence.add(max(0.0, -shift), max(0.0, shift))
            if evidence.e_value() >= 20:
                taken.append(count)
                break

    assert len(taken) == runs
    assert np.mean(taken) <= 1.5 * fixed
    assert np.mean(taken) == pytest.approx(
        expected_examples(effect, rng.normal(0, 0.3, 4000)), rel=0.3
    )


def test_what_it_takes_is_foretold_for_binary_scores():
    """A difference of ten points where three in ten differ takes about as many examples as simulations do."""
    rng = np.random.default_rng(13)
    taken = []
    for _ in range(60):
        evidence = Sequential(margin=0.02)
        for count, won in enumerate(rng.choice([1, -1, 0], 3000, p=[0.2, 0.1, 0.7]), start=1):
            evidence.add(float(won < 0), float(won > 0))
            if count % 5 == 0 and evidence.e_value() >= 20:
                taken.append(count)
                break

    told = expected_examples(0.1, np.array([1.0, -1.0, 1.0] + [0.0] * 7))
    assert told == pytest.approx(np.mean(taken), rel=0.5)
    assert expected_examples(0.0, np.array([0.1, 0.2])) is None
    assert expected_examples(0.1, np.array([])) is None


def test_the_price_is_told_by_what_is_known():
    """With nothing known a fifth is taken to differ; with known differences their spread counts, and few take fewer examples."""
    unknown = price_of_looking(np.array([]))
    steady = price_of_looking(np.random.default_rng(15).normal(0, 0.1, 50))

    assert "if the two disagree on a fifth" in unknown.sentence
    assert "on 50 examples" in steady.sentence
    assert unknown.rows[0][2] == mcnemar_n(0.15, 0.05)
    assert steady.rows[0][1] < unknown.rows[0][1]
    assert all(0.5 * fixed <= along <= 3 * fixed for _, along, fixed in unknown.rows)
