"""What it takes to look all along, and figures of a whole split: claims of their own."""

import math

import numpy as np
from benchmarks.proof.claim import Outcome, Rng, runs_of
from statsmodels.stats.power import TTestPower

from ratchet.measure.pooled import Parts, compare_pooled, pooled_intervals
from ratchet.measure.sequential import Sequential

__all__ = ["pooled_figures", "price_of_looking"]

SPREAD = 0.3
"""Standard deviation of the differences."""
LABELS = np.array(["a", "b", "c", "d"])
SHARES = (0.6, 0.3, 0.07, 0.03)


def price_of_looking(rng: Rng, size: float) -> list[Outcome]:
    """Return examples until a decision over those of a t-test with a power of 90 %, and how often equal candidates are told apart."""
    found = []
    for effect, full in ((0.36, 1000), (0.10, 200)):
        runs = runs_of(full, size)
        fixed = math.ceil(TTestPower().solve_power(effect / SPREAD, alpha=0.05, power=0.9))
        taken = np.array([settled_at(rng, effect, 4000) for _ in range(runs)]) / fixed
        what = f"graded, true difference {effect:.2f}: {taken.mean() * fixed:.1f} examples over the {fixed} of a t-test with 90 % power"
        found.append(Outcome(what, float(taken.mean()), runs, 0.0, 1.5, float(taken.std())))
    runs = runs_of(1000, size)
    wrong = sum(settled_at(rng, 0.0, 300) < 300 for _ in range(runs))
    what = "two equal candidates are told apart, looked at after each of 300 examples"
    return [*found, Outcome(what, wrong / runs, runs, 0.0, 0.05)]


def settled_at(rng: Rng, effect: float, most: int) -> int:
    """Return after how many graded differences the evidence suffices; `most` where it never does."""
    evidence = Sequential(margin=0.02, is_graded=True)
    for count, difference in enumerate(np.clip(rng.normal(effect, SPREAD, most), -1, 1), start=1):
        evidence.add(max(0.0, -difference), max(0.0, difference))
        if evidence.e_value() >= 20:
            return count
    return most


def said(rng: Rng, true: np.ndarray, right: float) -> list[Parts]:
    """Return what a candidate says of true labels: right so often, else any label; each example is a unit."""
    found = np.where(rng.random(len(true)) < right, true, rng.choice(LABELS, len(true)))
    return [
        (k, {"expected": str(a), "predicted": str(b)})
        for k, (a, b) in enumerate(zip(true, found, strict=True))
    ]


def pooled_figures(rng: Rng, size: float) -> list[Outcome]:
    """Return how often equal candidates differ in macro-F1, rare labels included, and how often its interval holds the truth."""
    found = []
    runs = runs_of(300, size)
    for n in (40, 150):
        wrong = 0
        for _ in range(runs):
            true = rng.choice(LABELS, n, p=SHARES)
            (verdict,) = compare_pooled(["macro F1"], said(rng, true, 0.6), said(rng, true, 0.6))
            wrong += verdict.decision != "no evidence"
        what = f"two equal candidates differ in macro-F1, n = {n}, the rarest of 4 labels at 3 %"
        found.append(Outcome(what, wrong / runs, runs, 0.0, 0.05))
    truth = true_macro_f1(0.6)
    held = 0
    for _ in range(runs):
        true = rng.choice(LABELS, 150, p=SHARES)
        interval = pooled_intervals(["macro F1"], said(rng, true, 0.6))["macro_f1"]
        held += interval.low <= truth <= interval.high
    what = "the interval of macro-F1 holds the truth, n = 150"
    return [*found, Outcome(what, held / runs, runs, 0.92, 0.98)]


def true_macro_f1(right: float) -> float:
    """Return macro-F1 of a candidate that is right so often, and else says any of the labels."""
    wrong = (1 - right) / len(LABELS)
    hits = [share * (right + wrong) for share in SHARES]
    says = [share * right + wrong for share in SHARES]
    return float(np.mean([2 * h / (s + t) for h, s, t in zip(hits, SHARES, says, strict=True)]))
