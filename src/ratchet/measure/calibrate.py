"""What a judge's scores are worth: how far it agrees with people, where it leans, and the mean score corrected by people's grades."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ratchet.core import Grade, Interval, Json, Trial
from ratchet.core.errors import DataError
from ratchet.core.records import written
from ratchet.measure.agreement import cohen_kappa, confusion, krippendorff_alpha
from ratchet.measure.intervals import Array, Clusters, as_array, clusters_of, standard_error
from ratchet.measure.measurement import Measurement
from ratchet.metrics import JudgeMetric
from ratchet.models import family_of

__all__ = [
    "Agreement",
    "Calibration",
    "Corrected",
    "Lean",
    "agreement",
    "calibrate",
    "corrected_mean",
    "leans",
    "own_family",
]

FEWEST = 5
"""With fewer graded answers nothing is corrected, and no lean is told."""
STEEPEST = 0.5
"""Where one answer alone makes up so much of the spread of lengths, nothing is said of lengths."""


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
        rest_clusters: The group of each of the others, in the same numbers.
        level: Coverage of the interval.

    NaN with fewer than five graded answers. Sources: Angelopoulos and others (2023), "Prediction-powered inference"; Angelopoulos,
    Duchi and Zrnic (2023), "PPI++", whose mean is checked in the tests. For few
    grades the interval is wider: Student's t, and one more answer at each extreme, as Bonett and Price add to McNemar's table.
    """
    n, m = len(people), len(rest)
    method = f"prediction-powered, {n} graded by people"
    if n < FEWEST:
        return math.nan, Interval(low=math.nan, high=math.nan, level=level, method=method)
    tuning = 0.0
    spread = float(np.concatenate([judged, rest]).var(ddof=1))
    if m > 1 and spread > 0:
        shared = float(np.cov(people, judged, ddof=0)[0, 1])
        tuning = min(1.0, max(0.0, shared / ((1 + n / m) * spread)))
    offset = tuning * float(rest.mean()) if tuning else 0.0
    # few grades that all agree with the judge are no proof that none would not: one of each extreme is added
    corrected = np.concatenate([people - tuning * judged, [-tuning, 1.0]])
    rest_error = standard_error(rest)[0] if tuning else 0.0
    error = math.hypot(standard_error(corrected)[0], tuning * rest_error)
    worth = n
    if clusters is not None or rest_clusters is not None:
        groups = joined(clusters, rest_clusters, n, m)
        error = max(error, jackknife(people - tuning * judged, tuning * rest, groups))
        worth = len(np.unique(groups[:n]))
    half = float(stats.t.ppf((1 + level) / 2, worth - 1)) * error if worth > 1 else math.inf
    centre = float(corrected.mean()) + offset
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    mean = min(1.0, max(0.0, float((people - tuning * judged).mean()) + offset))
    return mean, Interval(low=low, high=high, level=level, method=method)


def joined(
    clusters: Clusters | None, rest_clusters: Clusters | None, n: int, m: int
) -> NDArray[np.intp]:
    """Return the group of each of n + m answers, one of its own where it has none; both parts number the same groups alike."""
    first = np.arange(n) if clusters is None else clusters
    second = np.arange(n, n + m) if rest_clusters is None else rest_clusters
    return np.concatenate([first, second]).astype(np.intp)


def jackknife(corrected: Array, rest: Array, groups: NDArray[np.intp]) -> float:
    """Return the standard error of mean(corrected) + mean(rest), by leaving out one group of both at a time."""
    n, m = len(corrected), len(rest)
    _, numbers = np.unique(groups, return_inverse=True)
    count = int(numbers.max()) + 1
    first, second = numbers[:n], numbers[n:]
    sums = np.bincount(first, corrected, count), np.bincount(second, rest, count)
    sizes = np.bincount(first, minlength=count), np.bincount(second, minlength=count)
    left = (n - sizes[0], m - sizes[1])
    if not left[0].all():  # all grades are of one group
        return math.inf
    values = (corrected.sum() - sums[0]) / left[0]
    if m:
        values = values + (rest.sum() - sums[1]) / np.maximum(1, left[1])
    return math.sqrt((count - 1) * float(values.var()))


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
    _, counts = np.unique(lengths, return_counts=True)
    varied = n - int(counts.max()) if n else 0
    if varied < FEWEST or squares == 0 or float((centred**2).max()) > STEEPEST * squares:
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


@dataclass(frozen=True, kw_only=True)
class Corrected:
    """One candidate's judged score, and what people would have said of it."""

    measured: Measurement
    graded: int
    """Answers that people graded."""
    score: float
    interval: Interval


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """A judge held against people."""

    agreement: Agreement
    leans: list[Lean]
    corrected: list[Corrected]
    grades: tuple[Json, ...]
    warnings: list[str]


def calibrate(
    metric: JudgeMetric, measured: Sequence[Measurement], grades: Sequence[Grade]
) -> Calibration:
    """Return how the judges of `metric` compare with people on the candidates' answers, and the scores corrected by people.

    Args:
        metric: The metric with judges.
        measured: The candidates' measurements under it.
        grades: People's grades of these answers, on the metric's scale; those of other answers are left out.
    Raises: DataError if people graded none of these answers.
    """
    steps = len(metric.grades) - 1
    rows = [
        (one, trial, trial.score.value)
        for one in measured
        for trial in one.trials
        if trial.score and not trial.failure  # an answer that failed is judged by nobody
    ]
    place = {(one.candidate.id, t.example_id, t.repeat): k for k, (one, t, _) in enumerate(rows)}
    people = sorted({grade.who for grade in grades})
    given = np.full((len(people), len(rows)), math.nan)
    for grade in grades:
        k = place.get((grade.candidate_id, grade.example_id, grade.repeat))
        if k is not None:
            given[people.index(grade.who), k] = grade.value
    seen = ~np.isnan(given).all(0) if people else np.zeros(len(rows), bool)
    if not seen.any():
        raise DataError(
            "people have graded none of these answers yet; grade some with: ratchet grade TASK"
        )
    judged = as_array([value for _, _, value in rows])
    human = np.full(len(rows), math.nan)
    human[seen] = np.nanmean(given[:, seen], axis=0)
    families = {family_of(name) for name in metric.names}
    own = np.array([family_of(one.candidate.model) in families for one, _, _ in rows])
    lengths = as_array([len(written(t.answer)) for _, t, _ in rows])
    return Calibration(
        agreement=agreement(
            list(given[:, seen] * steps), np.rint(judged[seen] * steps), len(metric.grades)
        ),
        leans=leans(human[seen], judged[seen], lengths[seen], list(own[seen])),
        corrected=[corrected(one, rows, human, judged) for one in measured],
        grades=metric.grades,
        warnings=own_family(metric.names, [one.candidate.model for one in measured]),
    )


def corrected(
    one: Measurement, rows: Sequence[tuple[Measurement, Trial, float]], human: Array, judged: Array
) -> Corrected:
    """Return one candidate's corrected score: answers that failed count as 0, as they do in the judged score."""
    mine = np.array([row[0] is one for row in rows])
    seen = ~np.isnan(human)
    groups = clusters_of([one.groups[row[1].example_id] if row[0] is one else None for row in rows])
    chosen, rest = np.flatnonzero(mine & seen), np.flatnonzero(mine & ~seen)
    score, interval = corrected_mean(
        human[chosen],
        judged[chosen],
        judged[rest],
        None if groups is None else groups[chosen],
        None if groups is None else groups[rest],
    )
    share = float(mine.sum()) / max(1, len(one.outcomes))
    return Corrected(
        measured=one,
        graded=len(chosen),
        score=score * share,
        interval=interval.model_copy(
            update={"low": interval.low * share, "high": interval.high * share}
        ),
    )
