"""The rule that changes the champion, and its error over a whole ladder."""

import math

import numpy as np
import pytest

from ratchet.core import Candidate, Example, Interval, Score, Trial, Usage, Verdict
from ratchet.ladder import ALPHA, admit, level_of
from ratchet.measure import Measurement
from ratchet.measure.compare import paired_t_p


def verdict(decision):
    """Return a verdict with that decision."""
    return Verdict(
        champion_id="a", challenger_id="b", split="dev", metric_id="m", n=50, champion_score=0.5, challenger_score=0.5,
        effect=0.0, interval=Interval(low=-0.01, high=0.01), p_value=1.0, method="t", wins=0, losses=0, ties=50, margin=0.02,
        decision=decision,
    )  # fmt: skip


def measured(tokens, cost):
    """Return a measurement of one trial of that size."""
    usage = Usage(prompt_tokens=tokens, completion_tokens=0, cost_usd=cost)
    trial = Trial(candidate_id="c", example_id="e", usage=usage, score=Score(value=1))
    example = Example(inputs={"x": "1"}, reference="y")
    return Measurement.of(
        [trial], candidate=Candidate(model="m", user="u"), split="dev", metric_id="m", examples=[example]
    )  # fmt: skip


def test_levels_spend_no_more_than_alpha():
    """The levels of a thousand comparisons sum to less than alpha, and the first one has most of it."""
    spent = sum(1 - level_of(k) for k in range(1, 1001))

    assert spent < ALPHA
    assert spent == pytest.approx(ALPHA, rel=0.01)


def test_a_hundred_equal_challengers_seldom_make_a_false_rung():
    """Over 100 challengers that are no better, at most 5 % (+ error) of 400 ladders have a rung that was kept as better."""
    rng = np.random.default_rng(8)
    false_ladders = 0
    for _ in range(400):
        differences = rng.normal(0, 0.3, (100, 60))
        false_ladders += any(
            paired_t_p(row) < 1 - level_of(k) and row.mean() > 0
            for k, row in enumerate(differences, start=1)
        )

    assert false_ladders / 400 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400)


@pytest.mark.parametrize(
    ("decision", "before", "after", "kept"),
    [
        ("better", (100, 1.0), (900, 9.0), True),
        ("not worse", (100, 1.0), (70, 0.7), True),
        ("not worse", (100, 1.0), (95, 0.95), False),
        ("not worse", (100, 0.0), (70, 0.0), True),
        ("not worse", (100, None), (10, None), False),
        ("worse", (100, 1.0), (1, 0.01), False),
        ("no evidence", (100, 1.0), (1, 0.01), False),
    ],
)
def test_what_is_kept(decision, before, after, kept):
    """Better is kept; not worse only where it saves a fifth of the cost, or of the tokens where calls are free."""
    assert admit(verdict(decision), measured(*before), measured(*after)) is kept
