"""A verdict in words says the decision, the size and the certainty."""

import math

import pytest

from ratchet.core import Decision, Interval, Json, Trial, Verdict, points_text

PARTS: dict[str, Json] = {
    "champion_id": "c_1",
    "challenger_id": "c_2",
    "split": "dev",
    "metric_id": "m_1",
    "n": 200,
    "champion_score": 0.5,
    "challenger_score": 0.625,
    "effect": 0.125,
    "interval": Interval(low=0.0625, high=0.1875),
    "p_value": 0.001,
    "method": "paired",
    "wins": 40,
    "losses": 15,
    "ties": 145,
    "margin": 0.02,
}


@pytest.mark.parametrize(
    ("decision", "head"),
    [
        ("better", "The challenger is better"),
        ("not worse", "The challenger is not worse"),
        ("worse", "The challenger is worse"),
        ("no evidence", "No evidence of a difference"),
    ],
)
def test_a_verdict_reads_as_a_sentence(decision: Decision, head: str) -> None:
    """The sentence gives decision, effect, interval and number of examples, in points."""
    verdict = Verdict(**PARTS, decision=decision)

    tail = ": +12.5 points, 95 % interval +6.2 to +18.8, on 200 examples."
    assert verdict.sentence == head + tail


def test_a_verdict_without_evidence_says_what_would_settle_it() -> None:
    """Where there is no evidence, the number of examples that would settle it is said."""
    verdict = Verdict(**PARTS, decision="no evidence", settle_n=12345)

    assert "; about 12,345 examples would settle a difference of this size." in verdict.sentence


def test_missing_answers_are_said() -> None:
    """Examples that one candidate did not answer are never passed over in silence."""
    verdict = Verdict(**PARTS, decision="better", missing=3)

    assert verdict.sentence.endswith("; 3 examples are missing an answer.")


def test_an_interval_of_which_nothing_is_known_survives_json() -> None:
    """NaN bounds are read back as NaN."""
    interval = Interval(low=math.nan, high=math.nan)

    again = Interval.model_validate_json(interval.model_dump_json())

    assert math.isnan(again.low)
    assert math.isnan(again.high)


def test_a_trial_is_kept_under_candidate_example_and_repeat() -> None:
    """The key of a trial names what was paid for."""
    trial = Trial(candidate_id="c_1", example_id="e_1", repeat=2)

    assert (trial.candidate_id, trial.example_id, trial.repeat) == ("c_1", "e_1", 2)


@pytest.mark.parametrize(
    ("score", "low", "high", "text"),
    [
        (0.842, 0.801, 0.883, "84.2 ± 4.1"),
        (1.0, 0.929, 1.0, "100.0 (92.9 to 100.0)"),
        (0.0, 0.0, 0.04, "0.0 (0.0 to 4.0)"),
        (0.97, 0.91, 0.99, "97.0 (91.0 to 99.0)"),
        (0.5, math.nan, math.nan, "50.0 (too few for an interval)"),
        (math.nan, math.nan, math.nan, "n/a"),
    ],
)
def test_no_score_is_shown_with_an_interval_that_cannot_be(
    score: float, low: float, high: float, text: str
) -> None:
    """A half-width is shown where it says the same as both ends; else the ends are, and never beyond 0 or 100."""
    assert points_text(score, Interval(low=low, high=high)) == text


def test_what_is_identical_is_said_to_be() -> None:
    """Copies are not "not worse by 0.0": the sentence says that they are the same."""
    verdict = Verdict(**PARTS, decision="not worse", identical=True)

    assert verdict.sentence == "Identical: the same answers to all 200 examples."
