"""What a judge's scores are worth: how far it agrees with people, where it leans, and the mean score corrected by people's grades."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ratchet.core import Interval
from ratchet.measure.agreement import cohen_kappa, confusion, krippendorff_alpha
from ratchet.measure.intervals import Array, Clusters, standard_error
from ratchet.models import family_of

__all__ = ["Agreement", "Lean", "agreement", "corrected_mean", "leans", "own_family"]

FEWEST = 5
"""With fewer graded answers nothing is corrected, and no lean is told."""


def corrected_mean(
    people: Array,
    judged: Array,
    rest: Array,
    clusters: Clusters | None = None,
    rest_clusters: Clusters | None = None,
    *,
    level: float = 0.95,
) -> tuple[float, Interval]:
    """Return the mean that people would give all answers, and its interval, by prediction-powered inference.

    The judge's mean over all answers is moved by how far it is from people where both graded. It holds however wrong the judge is;
    a better judge makes the interval narrower, and one that is worth nothing is left out (power tuning).

    Args:
        people: People's scores of n answers drawn at random, shape (n,).
        judged: The judge's scores of the same answers, shape (n,).
        rest: The judge's scores of the other answers, shape (m,).
        clusters: The group of each of the n answers, where there are groups.
        rest_clusters: The group of each of the others.
        level: Coverage of the interval.

    NaN with fewer than five graded answers. Sources: Angelopoulos and others (2023), "Prediction-powered inference"; Angelopoulos,
    Duchi and Zrnic (2023), "PPI++", whose mean is checked in the tests; Student's t instead of the normal, for small n.
    """
    n, m = len(people), len(rest)
    method = f"prediction-powered, {n} graded by people"
    if n < FEWEST:
        return math.nan, Interval(low=math.nan, high=math.nan, level=level, method=method)
    tuning = 0.0
    spread = float(np.concatenate([judged, rest]).var(ddof=1))
    if m > 1 and spread > 0:
        shared = float(np.cov(people, judged)[0, 1])
        tuning = min(1.0, max(0.0, shared / ((1 + n / m) * spread)))
    corrected = people - tuning * judged
    mean = float(corrected.mean()) + (tuning * float(rest.mean()) if tuning else 0.0)
    error, worth = standard_error(corrected, clusters)
    rest_error = standard_error(rest, rest_clusters)[0] if tuning else 0.0
    half = float(stats.t.ppf((1 + level) / 2, worth - 1)) * math.hypot(error, tuning * rest_error)
    low, high = max(0.0, mean - half), min(1.0, mean + half)
    return mean, Interval(low=low, high=high, level=level, method=method)


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How far a judge agrees with people."""

    n: int
    share: float
    """Of the answers that got the same grade from both."""
    kappa: float
    """Cohen's; with quadratic weights where there are more than two grades."""
    alpha: float
    """Krippendorff's, ordinal, over the judge and every person."""
    between_people: float
    """Krippendorff's alpha of the people alone; NaN where no answer was graded by two."""
    table: Array
    """Rows: people's grades; columns: the judge's; shape (grades, grades)."""


def agreement(people: Sequence[Array], judge: Array, count: int) -> Agreement:
    """Return how far the judge agrees with people.

    Args:
        people: For each person the place of their grades on the scale, 0 and up, NaN where they gave none; shape (answers,).
        judge: The judge's places, rounded to grades; NaN where it has none; shape (answers,).
        count: How many grades the scale has.
    """
    pairs = [
        (int(mine), int(its))
        for grades in people
        for mine, its in zip(grades, judge, strict=True)
        if not (math.isnan(mine) or math.isnan(its))
    ]
    table = confusion([a for a, _ in pairs], [b for _, b in pairs], range(count))
    return Agreement(
        n=len(pairs),
        share=float(np.trace(table) / table.sum()) if pairs else math.nan,
        kappa=cohen_kappa(table, quadratic=count > 2),
        alpha=krippendorff_alpha(np.stack([*people, judge]), level="ordinal"),
        between_people=krippendorff_alpha(np.stack(people), level="ordinal")
        if len(people) > 1
        else math.nan,
        table=table,
    )


@dataclass(frozen=True, kw_only=True)
class Lean:
    """A way in which a judge may differ from people that has nothing to do with quality."""

    what: str
    effect: float
    interval: Interval
    n: int

    @property
    def is_proven(self) -> bool:
        """Return whether the interval leaves out zero."""
        return self.interval.low > 0 or self.interval.high < 0


def leans(
    people: Array, judged: Array, lengths: Array, own: Sequence[bool], *, level: float = 0.95
) -> list[Lean]:
    """Return where the judge is kinder than people: to long answers, and to answers of its own family.

    Args:
        people: People's scores, shape (n,).
        judged: The judge's scores of the same answers, shape (n,).
        lengths: Characters of each answer, shape (n,).
        own: Whether a model of the judge's own family gave the answer, shape (n,).
        level: Coverage of the intervals.
    """
    kinder = judged - people
    found = [length_lean(kinder, lengths, level)]
    mine, others = kinder[np.asarray(own, bool)], kinder[~np.asarray(own, bool)]
    if min(len(mine), len(others)) >= FEWEST:
        test = stats.ttest_ind(mine, others, equal_var=False).confidence_interval(level)
        interval = Interval(low=float(test.low), high=float(test.high), level=level, method="Welch")
        found.append(
            Lean(
                what="answers of its own family",
                effect=float(mine.mean() - others.mean()),
                interval=interval,
                n=len(kinder),
            )
        )
    return [lean for lean in found if not math.isnan(lean.effect)]


def length_lean(kinder: Array, lengths: Array, level: float) -> Lean:
    """Return how much kinder the judge is to an answer of twice the length, by least squares with robust errors (HC3)."""
    doublings = np.log2(np.maximum(1.0, lengths))
    centred = doublings - doublings.mean() if len(doublings) else doublings
    squares = float((centred**2).sum())
    what, n = "each doubling of the answer's length", len(kinder)
    if n < FEWEST or squares == 0:
        nothing = Interval(low=math.nan, high=math.nan, level=level, method="HC3")
        return Lean(what=what, effect=math.nan, interval=nothing, n=n)
    slope = float((centred * kinder).sum()) / squares
    residuals = kinder - kinder.mean() - slope * centred
    leverage = 1 / n + centred**2 / squares
    error = (
        math.sqrt(float((centred**2 * (residuals / np.maximum(1e-9, 1 - leverage)) ** 2).sum()))
        / squares
    )
    half = float(stats.t.ppf((1 + level) / 2, n - 2)) * error
    interval = Interval(low=slope - half, high=slope + half, level=level, method="HC3")
    return Lean(what=what, effect=slope, interval=interval, n=n)


def own_family(judges: Sequence[str], models: Sequence[str]) -> list[str]:
    """Return a warning for each judge that grades answers of a model of its own family."""
    return [
        f"{judge} judges answers of {model}, which is of its own family ({family_of(judge)}): judges tend to prefer their own; use another judge, or correct it by people's grades"
        for judge in dict.fromkeys(judges)
        for model in dict.fromkeys(models)
        if family_of(judge) == family_of(model)
    ]
