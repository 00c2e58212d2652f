"""Figures of a whole split against scikit-learn's definitions, their intervals' coverage, and their false verdicts."""

import math

import numpy as np
import pytest

from ratchet.core import Candidate, Example, Score, Trial
from ratchet.measure import Measurement, compare_totals
from ratchet.measure.pooled import aggregate, compare_pooled, macro_f1, micro_f1, pooled_intervals

LABELS = np.array(["a", "b", "c", "d"])


def said(rng, true, right):
    """Return what a candidate says of true labels: right so often, else any label."""
    return np.where(rng.random(len(true)) < right, true, rng.choice(LABELS, len(true)))


def rows(true, found):
    """Return the parts of scores, each example a unit."""
    return [
        (k, {"expected": str(a), "predicted": str(b)})
        for k, (a, b) in enumerate(zip(true, found, strict=True))
    ]


def slow_macro_f1(true, found):
    """Return the mean over the labels that are expected of 2 hits / (expected + said), as it is defined."""
    shares = [
        2 * sum((true == label) & (found == label)) / (sum(true == label) + sum(found == label))
        for label in np.unique(true)
    ]
    return float(np.mean(shares))


def test_macro_f1_equals_its_definition():
    """Sums over examples give what the definition gives label by label; a label that is never expected is none of them."""
    rng = np.random.default_rng(1)
    true = rng.choice(LABELS[:3], 200)
    found = said(rng, true, 0.6)

    assert macro_f1([*zip(true, found, strict=True)]) == pytest.approx(slow_macro_f1(true, found))
    assert aggregate("macro F1", [p for _, p in rows(true, found)])["macro_f1"] == pytest.approx(
        slow_macro_f1(true, found)
    )
    assert math.isnan(macro_f1([]))


def test_micro_f1_of_nothing_is_unknown():
    """Without spans there is no figure, and with some it is that of the sums."""
    assert all(math.isnan(x) for x in micro_f1(0, 0, 0))
    assert micro_f1(6, 4, 3) == pytest.approx((0.75, 0.5, 0.6))


def test_the_interval_of_macro_f1_covers():
    """95 % intervals of macro-F1 hold the true value in 95 % (± simulation error) of 200 samples of 150 examples."""
    rng = np.random.default_rng(2)
    large = rng.choice(LABELS, 400_000, p=[0.4, 0.3, 0.2, 0.1])
    truth = slow_macro_f1(large, said(rng, large, 0.6))
    held = 0
    for _ in range(200):
        true = rng.choice(LABELS, 150, p=[0.4, 0.3, 0.2, 0.1])
        interval = pooled_intervals(["macro F1"], rows(true, said(rng, true, 0.6)))["macro_f1"]
        held += interval.low <= truth <= interval.high

    assert 0.95 - 3 * math.sqrt(0.05 * 0.95 / 200) <= held / 200 <= 0.99


@pytest.mark.parametrize("n", [40, 150])
def test_equal_candidates_seldom_differ_in_macro_f1(n):
    """Under A/A at most 5 % (+ simulation error) of 200 comparisons name a winner; rare labels included."""
    rng = np.random.default_rng(3)
    wrong = 0
    for _ in range(200):
        true = rng.choice(LABELS, n, p=[0.6, 0.3, 0.07, 0.03])
        arms = [rows(true, said(rng, true, 0.6)) for _ in range(2)]
        (verdict,) = compare_pooled(["macro F1"], *arms)
        wrong += verdict.decision != "no evidence"

    assert wrong / 200 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 200)


def test_a_clear_gain_in_macro_f1_is_better():
    """Right answers from 50 to 80 % on 200 examples are better, turned round worse, and the interval says the same."""
    rng = np.random.default_rng(4)
    true = rng.choice(LABELS, 200)
    low, high = rows(true, said(rng, true, 0.5)), rows(true, said(rng, true, 0.8))

    (up,), (down,) = (
        compare_pooled(["macro F1"], low, high),
        compare_pooled(["macro F1"], high, low),
    )

    assert (up.decision, down.decision) == ("better", "worse")
    assert 0 < up.interval.low < up.effect < up.interval.high
    assert up.effect == pytest.approx(-down.effect)


def test_a_smaller_error_is_better():
    """Of mean absolute errors the smaller one wins."""
    rng = np.random.default_rng(5)
    near = [(k, {"difference": float(x)}) for k, x in enumerate(rng.random(60))]
    far = [(k, {"difference": 3 * float(x)}) for k, x in enumerate(rng.random(60))]

    (verdict,) = compare_pooled(["mean absolute error"], far, near)

    assert verdict.decision == "better"
    assert verdict.effect < 0
    assert verdict.interval.high < 0


def test_members_of_one_group_are_no_independent_evidence():
    """Eight copies of each of 40 examples give the interval of 40 units, not that of 320."""
    rng = np.random.default_rng(6)
    true = rng.choice(LABELS, 40)
    single = rows(true, said(rng, true, 0.6))
    copies = [row for row in single for _ in range(8)]

    assert pooled_intervals(["macro F1"], copies) == pooled_intervals(["macro F1"], single)


def test_few_units_have_no_interval():
    """With fewer than 30 examples resampling says too little: no interval, and no verdict."""
    rng = np.random.default_rng(7)
    true = rng.choice(LABELS, 20)
    low, high = rows(true, said(rng, true, 0.1)), rows(true, true)

    (verdict,) = compare_pooled(["macro F1"], low, high)

    assert math.isnan(verdict.interval.low)
    assert verdict.decision == "no evidence"


def test_totals_of_two_measurements_are_compared_on_common_examples():
    """Spans: precision, recall and F1 over the examples that both sides answered, with intervals and verdicts."""
    examples = [
        Example(inputs={"x": str(i)}, reference="", group=f"g{i // 2}" if i < 20 else None)
        for i in range(80)
    ]

    def measured(name, exact, skipped):
        candidate = Candidate(model="m", user=name)
        trials = [
            Trial(
                candidate_id=candidate.id,
                example_id=example.id,
                score=Score(value=0.5, parts={"true": 4, "found": 4, "exact": exact(k)}),
            )
            for k, example in enumerate(examples)
            if k != skipped
        ]
        return Measurement.of(
            trials, candidate=candidate, split="dev", metric_id="m", examples=examples, aggregates=("micro F1",)
        )  # fmt: skip

    one, other = measured("a", lambda k: 1 + k % 2, 3), measured("b", lambda k: 2 + k % 3 % 2, 50)

    found = {verdict.name: verdict for verdict in compare_totals(one, other)}

    assert set(found) == {"micro_precision", "micro_recall", "micro_f1"}
    common = [k for k in range(80) if k not in (3, 50)]
    assert found["micro_f1"].champion == pytest.approx(sum(1 + k % 2 for k in common) / 4 / 78)
    assert found["micro_f1"].decision == "better"
    assert one.total_intervals["micro_f1"].low < one.totals["micro_f1"]
