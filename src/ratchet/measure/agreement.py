"""How far raters agree: people with each other, and a judge with people. Checked against published examples in the tests."""

import math
from collections.abc import Hashable, Sequence
from typing import Literal

import numpy as np

from ratchet.core import Grade
from ratchet.measure.intervals import Array, as_array

__all__ = ["Level", "cohen_kappa", "confusion", "krippendorff_alpha", "people_agree"]

Level = Literal["nominal", "ordinal", "interval"]


def confusion(
    rows: Sequence[Hashable], columns: Sequence[Hashable], kinds: Sequence[Hashable]
) -> Array:
    """Return how often each kind of `rows` met each of `columns`, shape (kinds, kinds)."""
    place = {kind: k for k, kind in enumerate(kinds)}
    table = np.zeros((len(kinds), len(kinds)))
    for row, column in zip(rows, columns, strict=True):
        table[place[row], place[column]] += 1
    return table


def cohen_kappa(table: Array, *, quadratic: bool = False) -> float:
    """Return Cohen's kappa of a confusion table, shape (kinds, kinds): agreement beyond chance, 1 at most.

    NaN without ratings, or where both raters gave but one kind. With `quadratic` weights, for ordered kinds, a disagreement counts
    by the square of its distance. Sources: Cohen (1960), (1968); as `sklearn.metrics.cohen_kappa_score`.
    """
    total = table.sum()
    if total == 0:
        return math.nan
    places = np.arange(len(table))
    distance = np.abs(places[:, None] - places)
    weights = distance**2 if quadratic else (distance > 0)
    chance = np.outer(table.sum(1), table.sum(0)) / total
    expected = float((weights * chance).sum())
    return 1 - float((weights * table).sum()) / expected if expected else math.nan


def krippendorff_alpha(ratings: Array, *, level: Level = "nominal") -> float:
    """Return Krippendorff's alpha: agreement beyond chance of any number of raters, with gaps.

    Args:
        ratings: Shape (raters, things), numbers that stand for the kinds; NaN where a rater did not rate a thing.
        level: Whether kinds have no order, an order, or distances.

    NaN where fewer than two ratings can be paired, or all are of one kind. Source: Krippendorff (2011), "Computing Krippendorff's
    Alpha-Reliability".
    """
    kinds = np.unique(ratings[~np.isnan(ratings)])
    counts = (
        np.stack([(ratings == kind).sum(0) for kind in kinds], axis=1).astype(np.float64)
        if len(kinds)
        else np.zeros((0, 0))
    )
    counts = counts[counts.sum(1) > 1]  # a thing that was rated once can be paired with nothing
    if len(counts) == 0 or len(kinds) < 2:
        return math.nan
    raters = counts.sum(1)
    pairs = (counts.T / (raters - 1)) @ counts - np.diag((counts / (raters - 1)[:, None]).sum(0))
    margin = pairs.sum(1)
    total = margin.sum()
    distance = distances(kinds, margin, level)
    expected = float((distance * np.outer(margin, margin)).sum()) / (total - 1)
    return 1 - float((distance * pairs).sum()) / expected if expected else math.nan


def distances(kinds: Array, margin: Array, level: Level) -> Array:
    """Return the squared distance between each two kinds, shape (kinds, kinds)."""
    if level == "nominal":
        return as_array(1.0 - np.eye(len(kinds)))
    if level == "interval":
        return as_array((kinds[:, None] - kinds) ** 2)
    middle = np.cumsum(margin) - margin / 2  # an ordinal distance counts the ratings in between
    return as_array((middle[:, None] - middle) ** 2)


def people_agree(grades: Sequence[Grade]) -> float | None:
    """Return Krippendorff's alpha of the people who graded; None for one person, or nothing that two have graded."""
    people = sorted({g.who for g in grades})
    places = {key: n for n, key in enumerate(dict.fromkeys((g.candidate_id, g.example_id) for g in grades))}  # fmt: skip
    if len(people) < 2:  # one agrees with himself
        return None
    table = np.full((len(people), len(places)), np.nan)
    for grade in grades:
        table[people.index(grade.who), places[(grade.candidate_id, grade.example_id)]] = grade.value
    both = (~np.isnan(table)).sum(0) > 1
    return float(krippendorff_alpha(table, level="ordinal")) if both.any() else None
