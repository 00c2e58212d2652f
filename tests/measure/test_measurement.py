"""Aggregates and figures of a measurement."""

import math

import pytest

from ratchet.core import Candidate, Example, Score, Trial, Usage
from ratchet.measure import Measurement, Missing, grade_text
from ratchet.measure.pooled import macro_f1, micro_f1


def test_macro_f1_worked_by_hand():
    """Two labels with F1 of 2/3 and 4/5 have a macro-F1 of their mean; a failed answer is no label."""
    pairs = [("a", "a"), ("a", None), ("b", "b"), ("b", "b"), ("a", "b")]

    assert macro_f1(pairs) == pytest.approx(((2 * 1 / (3 + 1)) + (2 * 2 / (2 + 3))) / 2)


def test_micro_f1_worked_by_hand():
    """Precision 3/4 and recall 3/6 give F1 0.6; nothing to divide by gives NaN."""
    assert micro_f1(6, 4, 3) == pytest.approx((0.75, 0.5, 0.6))
    assert all(math.isnan(x) for x in micro_f1(0, 0, 0))


def test_figures_of_a_measurement():
    """Failures are counted by kind, missing replies by reason, cost is unknown where one price is."""
    example = Example(inputs={"x": "1"}, reference="y")
    other = Example(inputs={"x": "2"}, reference="y")
    trials = [
        Trial(
            candidate_id="c", example_id=example.id, failure="empty", score=Score(value=0.0),
            usage=Usage(prompt_tokens=3, completion_tokens=1, cost_usd=None), latency_s=0.5,
        )
    ]  # fmt: skip
    measured = Measurement.of(
        trials, candidate=Candidate(model="m", user="u"), split="dev", metric_id="m", examples=[example, other],
        missing=[Missing(other.id, "timeout", "late")],
    )  # fmt: skip

    assert measured.failures == {"empty": 1, "no reply (timeout)": 1}
    assert measured.cost_usd is None
    assert (measured.tokens, measured.n, measured.latency(0.5)) == ((3, 1), 1, 0.5)
    assert measured.frame().height == 1
    assert measured.plain()["low"] is not None


def test_a_score_is_told_in_its_judges_own_scale():
    """24.2 points of grades from 1 to 5 are a mean grade of 1.97; of pass and fail the score says all there is."""
    assert grade_text(0.242, (1, 2, 3, 4, 5)) == "grade 1.97 of 1 to 5"
    assert grade_text(1.0, (0, 1, 10)) == "grade 10.00 of 0 to 10"
    assert grade_text(0.5, ("fail", "pass")) == ""
    assert grade_text(0.5, ()) == ""
    assert grade_text(math.nan, (1, 2, 3)) == ""
