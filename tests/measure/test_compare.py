"""The verdict: its figures against statsmodels, its decisions, and its words."""

import math

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st

from ratchet.core import Candidate, Example, Score, Trial
from ratchet.measure import Measurement, compare


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


def repeated(name, scores, *, groups=None):
    """Return a measurement of scores of shape (examples, repeats); NaN is an answer that was never asked for."""
    groups = groups or [None] * len(scores)
    examples = [
        Example(inputs={"x": str(i)}, reference="", group=group) for i, group in enumerate(groups)
    ]
    candidate = Candidate(model="m", user=name)
    trials = [
        Trial(
            candidate_id=candidate.id,
            example_id=example.id,
            repeat=repeat,
            score=Score(value=value),
            output=f"{value} of {name}",
        )
        for example, row in zip(examples, scores, strict=True)
        for repeat, value in enumerate(row)
        if not math.isnan(value)
    ]
    return Measurement.of(
        trials, candidate=candidate, split="dev", metric_id="m", examples=examples
    )


def test_thirty_repeats_a_side_are_clustered_by_example_as_statsmodels_does():
    """Effect, interval and p-value are those of the regression on the arm, clustered by example, over all 2 × 120 × 30 scores."""
    rng = np.random.default_rng(30)
    hard = rng.beta(1, 1, (120, 1))
    a, b = (
        (rng.random((120, 30)) < np.clip(hard + shift, 0, 1)).astype(float) for shift in (0, 0.04)
    )

    verdict = compare(repeated("a", a), repeated("b", b), margin=0.02)

    arm = np.repeat([0.0, 1.0], a.size)
    example = np.tile(np.repeat(np.arange(120), 30), 2)
    settings = {"groups": example, "df_correction": True, "use_correction": True}
    fit = sm.OLS(np.r_[a.ravel(), b.ravel()], sm.add_constant(arm)).fit(
        cov_type="cluster", cov_kwds=settings, use_t=True
    )
    count = 2 * a.size  # two coefficients cost statsmodels one degree more than one difference does
    error = fit.bse[1] * math.sqrt((count - 2) / (count - 1))
    assert verdict.effect == pytest.approx(fit.params[1])
    assert verdict.n == 120
    assert verdict.answers == (3600, 3600)
    reach = (fit.conf_int()[1][1] - fit.params[1]) / fit.bse[1]
    assert verdict.interval.low == pytest.approx(fit.params[1] - reach * error)
    assert verdict.interval.high == pytest.approx(fit.params[1] + reach * error)
    assert "30 answers to each on both sides" in verdict.sentence


def test_repeats_of_one_side_only_count_too():
    """Three answers of one side and one of the other: each side's mean over all its answers is what is compared."""
    a, b = repeated("a", [[1.0, 0.0, 0.5]] * 8), repeated("b", [[1.0, math.nan, math.nan]] * 8)

    verdict = compare(a, b, margin=0.02)

    assert (verdict.champion_score, verdict.challenger_score) == (a.score, b.score) == (0.5, 1.0)
    assert (verdict.wins, verdict.n, verdict.answers) == (8, 8, (24, 8))
    assert ", 24 and 8 answers" in verdict.sentence


def test_copies_are_identical():
    """Two arms with the same answers to everything are said to be identical; equal scores of other answers are not."""
    scores = [[0.5, 1.0]] * 6
    copy, other = repeated("a", scores), repeated("b", scores)

    assert compare(repeated("a", scores), copy, margin=0.02).sentence == (
        "Identical: the same answers to all 6 examples."
    )
    assert not compare(repeated("a", scores), other, margin=0.02).identical


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
