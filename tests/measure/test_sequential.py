"""Verdicts that are looked at after every example: false alarms, stopping times, agreement with the fixed-size verdict."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratchet import Candidate, InputField, MetricSpec, Roles, Task
from ratchet.core.errors import DataError
from ratchet.measure import Bench
from ratchet.measure.sequential import Sequential, log_capital, settle
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

    assert log_capital(values, mean) >= log_capital(values, mean + 0.05) - 1e-9


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
