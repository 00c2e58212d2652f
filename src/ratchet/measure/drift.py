"""Has what comes in changed since a candidate was admitted? Tests of two samples, and one alarm for all of them together.

Inputs: the energy distance of their vectors, with permutations (Székely and Rizzo 2013). Outputs: lengths by Kolmogorov and Smirnov, or
labels by χ². Scores: what people said lately against what they said before, by Mann and Whitney. The p-values are adjusted by Holm, so that the alarm is false in at most 5 of 100 looks.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.spatial.distance import cdist

from ratchet.measure.compare import holm

__all__ = ["ALARM", "Drift", "DriftTest", "drift_of", "energy_test", "labels_test", "lengths_test", "scores_test"]  # fmt: skip

ALARM = 0.05
PERMUTATIONS = 999
FEWEST = 10
"""Values on each side that a test needs."""


@dataclass(frozen=True)
class DriftTest:
    """One look at one thing."""

    what: str
    """`inputs`, `outputs` or `scores`."""
    before: int
    after: int
    p_value: float
    note: str
    """What changed, in figures."""


@dataclass(frozen=True)
class Drift:
    """All of them, with p-values that hold together."""

    tests: list[DriftTest]
    adjusted: list[float]

    @property
    def alarms(self) -> list[str]:
        """Return what has changed."""
        return [t.what for t, p in zip(self.tests, self.adjusted, strict=True) if p < ALARM]


def drift_of(tests: Sequence[DriftTest | None]) -> Drift:
    """Return the tests that could be made, adjusted for their number."""
    made = [one for one in tests if one is not None]
    return Drift(made, holm([one.p_value for one in made]))


def energy_test(
    before: NDArray[np.float32], after: NDArray[np.float32], *, seed: int = 0
) -> DriftTest | None:
    """Return whether two samples of vectors, shapes (n, d) and (m, d), are of one kind; None where one of them is too small."""
    n, m = len(before), len(after)
    if min(n, m) < FEWEST:
        return None
    both = np.concatenate([before, after]).astype(np.float64)
    distances = cdist(both, both)
    rng = np.random.default_rng(seed)

    def energy(order: NDArray[np.intp]) -> float:
        a, b = order[:n], order[n:]
        across = distances[np.ix_(a, b)].mean()
        return float(2 * across - distances[np.ix_(a, a)].mean() - distances[np.ix_(b, b)].mean())

    seen = energy(np.arange(n + m))
    others = [energy(rng.permutation(n + m)) for _ in range(PERMUTATIONS)]
    p = (1 + sum(other >= seen for other in others)) / (PERMUTATIONS + 1)
    return DriftTest("inputs", n, m, p, f"energy distance {seen:.3f}, by chance {np.mean(others):.3f}")  # fmt: skip


def lengths_test(before: Sequence[int], after: Sequence[int]) -> DriftTest | None:
    """Return whether answers have other lengths than before."""
    if min(len(before), len(after)) < FEWEST:
        return None
    p = float(stats.ks_2samp(before, after).pvalue)
    note = f"median length {np.median(before):.0f}, now {np.median(after):.0f} letters"
    return DriftTest("outputs", len(before), len(after), p, note)


def labels_test(before: Sequence[str], after: Sequence[str]) -> DriftTest | None:
    """Return whether labels come in other shares than before; rare ones are taken together."""
    if min(len(before), len(after)) < FEWEST:
        return None
    whole = Counter([*before, *after])
    common = {label for label, count in whole.items() if count >= FEWEST}
    counts = [Counter(one if one in common else "(others)" for one in some) for some in (before, after)]  # fmt: skip
    labels = sorted(counts[0].keys() | counts[1].keys())
    if len(labels) < 2:  # all are one label, then and now
        return DriftTest("outputs", len(before), len(after), 1.0, f"all {labels[0]}")
    table = np.array([[count[label] for label in labels] for count in counts])
    p = float(stats.chi2_contingency(table).pvalue)
    shares = table / table.sum(1, keepdims=True)
    most = int(np.argmax(np.abs(shares[1] - shares[0])))
    note = f"{labels[most]}: {100 * shares[0][most]:.0f} %, now {100 * shares[1][most]:.0f} %"
    return DriftTest("outputs", len(before), len(after), p, note)


def scores_test(before: Sequence[float], after: Sequence[float]) -> DriftTest | None:
    """Return whether scores are other than before."""
    if min(len(before), len(after)) < FEWEST:
        return None
    p = float(stats.mannwhitneyu(before, after).pvalue) if len({*before, *after}) > 1 else 1.0
    note = f"mean {100 * np.mean(before):.1f}, now {100 * np.mean(after):.1f}"
    return DriftTest("scores", len(before), len(after), p, note)
