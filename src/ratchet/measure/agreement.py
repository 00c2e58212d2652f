"""How far raters agree: people with each other, and a judge with people. Checked against published examples in the tests."""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np

from ratchet.core import Grade, Interval
from ratchet.core.errors import DataError
from ratchet.measure.intervals import Array, as_array

__all__ = [
    "Agreement",
    "Level",
    "PairAgreement",
    "cohen_kappa",
    "confusion",
    "krippendorff_alpha",
    "measure_agreement",
    "people_agree",
]

Level = Literal["nominal", "ordinal", "interval"]
NUM_RESAMPLES = 1000
MIN_ITEMS = 10
"""Fewer things that two have rated say nothing of how an alpha varies."""


@dataclass(frozen=True, kw_only=True)
class PairAgreement:
    """How far two people agree, on what both have rated."""

    first: str
    second: str
    n: int
    same: float
    """The share of things that both gave the same label; NaN where there are none."""
    kappa: float
    """Cohen's kappa; with quadratic weights where the labels have an order."""


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How far people agree."""

    people: tuple[str, ...]
    level: Level
    labels: tuple[str, ...]
    """As they are ordered, where they have an order."""
    items: int
    """Things that at least two people rated: the others say nothing of agreement."""
    single: int
    """Things that one person alone rated."""
    alpha: float
    """Krippendorff's."""
    interval: Interval
    pairs: tuple[PairAgreement, ...]


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


def measure_agreement(
    ratings: Sequence[tuple[str, str, str]], *, level: Level | None = None, seed: int = 0
) -> Agreement:
    """Return how far people agree.

    Args:
        ratings: Item, person and label; each person's on an item once.
        level: Whether labels have no order, an order, or distances; by default an order where all are numbers, and none else.
        seed: Of the bootstrap over items, which the interval of alpha is from.
    Raises: DataError for fewer than two people, nothing that two have rated, or labels that are not numbers and should have an order.
    """
    people = tuple(dict.fromkeys(who for _, who, _ in ratings))
    if len(people) < 2:  # one agrees with himself
        raise DataError(
            f"agreement takes at least two people; there is {people[0] if people else 'nobody'}"
        )
    labels, chosen = ordered_labels({label for *_, label in ratings}, level)
    values = label_values(labels, chosen)
    items = list(dict.fromkeys(item for item, *_ in ratings))
    row_of = {who: k for k, who in enumerate(people)}
    column_of = {item: k for k, item in enumerate(items)}
    table = np.full((len(people), len(items)), np.nan)
    for item, who, label in ratings:
        table[row_of[who], column_of[item]] = values[label]
    shared = table[:, (~np.isnan(table)).sum(0) > 1]
    if not shared.shape[1]:
        raise DataError(
            f"no item was rated by two people, of {len(items)} that {len(people)} people rated; agreement takes the same items"
        )
    return Agreement(
        people=people,
        level=chosen,
        labels=labels,
        items=shared.shape[1],
        single=len(items) - shared.shape[1],
        alpha=krippendorff_alpha(shared, level=chosen),
        interval=alpha_interval(shared, chosen, seed=seed),
        pairs=tuple(
            pair_agreement(people[i], people[j], table[[i, j]], chosen)
            for i, j in combinations(range(len(people)), 2)
        ),
    )


def ordered_labels(labels: set[str], level: Level | None) -> tuple[tuple[str, ...], Level]:
    """Return the labels in their order, and their level.

    Raises: DataError if they should have an order and are not numbers.
    """
    numbers = {label: number for label in labels if (number := as_number(label)) is not None}
    is_numeric = len(numbers) == len(labels)
    chosen: Level = level or ("ordinal" if is_numeric else "nominal")
    if chosen != "nominal" and not is_numeric:
        odd = min(labels - numbers.keys())
        raise DataError(
            f"labels of level {chosen!r} must be numbers, got {odd!r}; write them as numbers, or take level 'nominal'"
        )
    return tuple(sorted(labels, key=lambda label: (numbers.get(label, 0.0), label))), chosen


def label_values(labels: Sequence[str], level: Level) -> dict[str, float]:
    """Return a number for each label: itself where it has an order, so that 4 and 4.0 are one label; else its place."""
    if level == "nominal":
        return {label: float(place) for place, label in enumerate(labels)}
    return {label: float(label) for label in labels}


def as_number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def alpha_interval(table: Array, level: Level, *, seed: int) -> Interval:
    """Return the 95 % interval of alpha from items that are drawn anew; NaN bounds below `MIN_ITEMS`."""
    method = "percentile bootstrap over items"
    count = table.shape[1]
    if count < MIN_ITEMS:
        return Interval(low=math.nan, high=math.nan, method=method)
    rng = np.random.default_rng(seed)
    draws = [
        krippendorff_alpha(table[:, rng.integers(0, count, count)], level=level)
        for _ in range(NUM_RESAMPLES)
    ]
    known = [alpha for alpha in draws if not math.isnan(alpha)]
    low, high = np.quantile(known, (0.025, 0.975)) if known else (math.nan, math.nan)
    return Interval(low=float(low), high=float(high), method=method)


def pair_agreement(first: str, second: str, table: Array, level: Level) -> PairAgreement:
    """Return how far two people agree; `table` has their ratings, shape (2, items)."""
    both = table[:, ~np.isnan(table).any(axis=0)]
    kinds = np.unique(both).tolist()
    counts = confusion(both[0].tolist(), both[1].tolist(), kinds)
    return PairAgreement(
        first=first,
        second=second,
        n=both.shape[1],
        same=float((both[0] == both[1]).mean()) if both.shape[1] else math.nan,
        kappa=cohen_kappa(counts, quadratic=level != "nominal"),
    )
