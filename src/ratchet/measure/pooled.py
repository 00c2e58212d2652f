"""Figures of a whole split that are no mean of the examples' scores: macro-F1, micro-F1, mean absolute error; with intervals.

Each is a function of sums over examples, so that a resample costs a product of matrices. Examples, or their groups, are drawn
again with replacement, for two candidates the same ones (paired); the intervals are BCa's, with percentiles moved out as Student's t
would. Nothing here knows of candidates: it takes the parts of scores, and the unit that each belongs to.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ratchet.core import Decision, Interval, Json, canonical_json
from ratchet.measure.intervals import FEW, Array, bca_interval

__all__ = ["Parts", "PooledVerdict", "aggregate", "compare_pooled", "macro_f1", "micro_f1", "pooled_intervals"]  # fmt: skip

Parts = tuple[int, dict[str, Json]]
"""The unit that a score belongs to (an example, or a group of them), numbered from 0 without gaps; and the parts of the score."""

NUM_DRAWS = 2000
MIN_DRAWS = 400
MAX_DRAWN_UNITS = 40_000_000
"""Units drawn for an interval, at most: with very many units fewer draws say the same."""
CHUNK = 100


@dataclass(frozen=True, kw_only=True)
class PooledVerdict:
    """What is known of challenger minus champion in one figure of the whole split."""

    name: str
    champion: float
    challenger: float
    effect: float
    interval: Interval
    decision: Decision
    """Better or worse where the interval leaves 0 out; never "not worse", as no task names a margin for it."""


class _Pool(ABC):
    """Figures as functions of sums.

    `terms` has shape (units, sums, columns); `figures` takes sums of shape (…, sums, columns) and returns shape (…, figures).
    """

    names: tuple[str, ...]
    sign = 1.0
    """-1 where small is good."""

    @abstractmethod
    def terms(self, rows: Sequence[Parts], units: int) -> Array: ...

    @abstractmethod
    def figures(self, sums: Array) -> Array: ...


class _MacroF1(_Pool):
    names = ("macro_f1",)

    def __init__(self, rows: Sequence[Parts]) -> None:
        expected = (_key(parts["expected"]) for _, parts in rows if "expected" in parts)
        self._columns = {label: k for k, label in enumerate(dict.fromkeys(expected))}

    def terms(self, rows: Sequence[Parts], units: int) -> Array:
        """Return how often each label was hit, was expected or said, and was expected."""
        sums = np.zeros((units, 3, len(self._columns)))
        for unit, parts in rows:
            if "expected" not in parts:
                continue
            true, said = _key(parts["expected"]), _key(parts["predicted"])
            column = self._columns[true]
            sums[unit, 1:, column] += 1
            if said in self._columns:
                sums[unit, 1, self._columns[said]] += 1
            sums[unit, 0, column] += true == said
        return sums

    def figures(self, sums: Array) -> Array:
        """Return the mean of F1 over the labels that are expected at all."""
        hits, sizes, expected = sums[..., 0, :], sums[..., 1, :], sums[..., 2, :]
        there = expected > 1e-9
        f1 = np.divide(2 * hits, sizes, out=np.zeros_like(hits), where=there)
        return _ratio(f1.sum(-1), there.sum(-1) * 1.0)[..., None]


class _MicroF1(_Pool):
    names = ("micro_precision", "micro_recall", "micro_f1")

    def terms(self, rows: Sequence[Parts], units: int) -> Array:
        """Return the numbers of true, found and exact spans."""
        sums = np.zeros((units, 3, 1))
        for unit, parts in rows:
            sums[unit, :, 0] += [parts.get(name, 0) for name in ("true", "found", "exact")]
        return sums

    def figures(self, sums: Array) -> Array:
        true, found, exact = np.moveaxis(sums[..., 0], -1, 0)
        shares = (_ratio(exact, found), _ratio(exact, true), _ratio(2 * exact, true + found))
        return np.stack(shares, -1)


class _MeanAbsoluteError(_Pool):
    names = ("mean_absolute_error",)
    sign = -1.0

    def terms(self, rows: Sequence[Parts], units: int) -> Array:
        """Return the sum of the errors, and how many there are."""
        sums = np.zeros((units, 2, 1))
        for unit, parts in rows:
            if "difference" in parts:
                sums[unit, :, 0] += [parts["difference"], 1]
        return sums

    def figures(self, sums: Array) -> Array:
        return _ratio(sums[..., 0, :], sums[..., 1, :])


class _RootMeanSquaredLogError(_Pool):
    names = ("rmsle",)
    sign = -1.0

    def terms(self, rows: Sequence[Parts], units: int) -> Array:
        """Return the sum of the squared errors of the logarithms, and how many there are."""
        sums = np.zeros((units, 2, 1))
        for unit, parts in rows:
            if "error" in parts:
                sums[unit, :, 0] += [parts["error"], 1]
        return sums

    def figures(self, sums: Array) -> Array:
        """Return the root of their mean."""
        return np.sqrt(_ratio(sums[..., 0, :], sums[..., 1, :]))


def pooled_intervals(
    kinds: Sequence[str], rows: Sequence[Parts], *, level: float = 0.95, seed: int = 0
) -> dict[str, Interval]:
    """Return the interval of each figure of these kinds; NaN bounds below 30 units, where resampling says too little."""
    units = _count_units(rows)
    found: dict[str, Interval] = {}
    for pool in _pools(kinds, rows):
        terms = pool.terms(rows, units)
        draws = np.concatenate([*_resampled([terms], pool, seed)], axis=1)[0]
        left_out = pool.figures(terms.sum(0) - terms)
        points = pool.figures(terms.sum(0))
        for k, name in enumerate(pool.names):
            interval = _limits(points[k], draws[:, k], left_out[:, k], level)
            found[name] = interval
    return found


def compare_pooled(
    kinds: Sequence[str],
    champion: Sequence[Parts],
    challenger: Sequence[Parts],
    *,
    level: float = 0.95,
    seed: int = 0,
) -> list[PooledVerdict]:
    """Return the paired verdict on each figure of these kinds.

    Args:
        kinds: The metric's aggregates; those that are no figure of quality are left out.
        champion: Parts of its scores, with their units.
        challenger: The same of the challenger, on the same units.
        level: Coverage of the intervals.
        seed: One seed, one answer.

    An interval holds 0 too where swapping the two candidates on whole units, as two equal ones could be, gives as large a
    difference in more than 1 - level of all ways (2,000 drawn): few units, or rare labels, then name no winner. False verdicts
    are simulated in `make proof`, "pooled figures".
    """
    units = _count_units([*champion, *challenger])
    verdicts = []
    for pool in _pools(kinds, [*champion, *challenger]):
        arms = [pool.terms(rows, units) for rows in (champion, challenger)]
        before, after = (pool.figures(arm.sum(0)) for arm in arms)
        draws = np.concatenate([*_resampled(arms, pool, seed)], axis=1)
        left_out = [pool.figures(arm.sum(0) - arm) for arm in arms]
        p_values = _swapped_p(arms, pool, after - before, seed)
        for k, name in enumerate(pool.names):
            effect = float(after[k] - before[k])
            interval = _limits(
                effect,
                draws[1, :, k] - draws[0, :, k],
                left_out[1][:, k] - left_out[0][:, k],
                level,
            )
            if p_values[k] >= 1 - level:
                low, high = min(interval.low, 0.0), max(interval.high, 0.0)
                interval = interval.model_copy(update={"low": low, "high": high})
            verdicts.append(
                PooledVerdict(
                    name=name,
                    champion=float(before[k]),
                    challenger=float(after[k]),
                    effect=effect,
                    interval=interval,
                    decision=_decide(interval, pool.sign),
                )
            )
    return verdicts


def aggregate(kind: str, parts: list[dict[str, Json]]) -> dict[str, float]:
    """Return the figures of one kind from the parts of all scores."""
    if kind == "votes":
        spreads = [p["spread"] for p in parts if "spread" in p]
        return {
            "spread_of_votes": float(np.mean(spreads)) if spreads else math.nan,
            "replies_without_vote": float(sum(p.get("without_vote", 0) for p in parts)),
        }
    rows = [(0, one) for one in parts]
    return {
        name: float(value)
        for pool in _pools([kind], rows)
        for name, value in zip(pool.names, pool.figures(pool.terms(rows, 1).sum(0)), strict=True)
    }


def macro_f1(pairs: list[tuple[Json, Json]]) -> float:
    """Return the unweighted mean over expected labels of F1, from (expected, predicted); NaN without pairs.

    As scikit-learn's `f1_score(average="macro")` over the labels that occur as references.
    """
    parts = [{"expected": true, "predicted": said} for true, said in pairs]
    return aggregate("macro F1", parts)["macro_f1"]


def micro_f1(true: int, found: int, exact: int) -> tuple[float, float, float]:
    """Return precision, recall and F1 of exact spans over the whole split; NaN where there is nothing to divide by."""
    figures = aggregate("micro F1", [{"true": true, "found": found, "exact": exact}])
    return figures["micro_precision"], figures["micro_recall"], figures["micro_f1"]


def _pools(kinds: Sequence[str], rows: Sequence[Parts]) -> Iterator[_Pool]:
    """Yield what computes the figures of these kinds; a kind that is no figure of quality has none."""
    for kind in kinds:
        if kind == "macro F1":
            yield _MacroF1(rows)
        elif kind == "micro F1":
            yield _MicroF1()
        elif kind == "mean absolute error":
            yield _MeanAbsoluteError()
        elif kind == "root mean squared log error":
            yield _RootMeanSquaredLogError()


def _key(label: Json) -> Json:
    """Return a label as something that a dictionary takes."""
    return canonical_json(label) if isinstance(label, list | dict) else label


def _count_units(rows: Sequence[Parts]) -> int:
    return max((unit for unit, _ in rows), default=-1) + 1


def _ratio(above: Array, below: Array) -> Array:
    """Return quotients; NaN where there is nothing to divide by."""
    unknown = np.full(np.shape(above), math.nan)
    quotients: Array = np.divide(above, below, out=unknown, where=below > 1e-9)
    return quotients


def _chunks(units: int) -> Iterator[int]:
    """Yield how many draws to make at once."""
    draws = min(NUM_DRAWS, max(MIN_DRAWS, MAX_DRAWN_UNITS // max(1, units)))
    size = max(1, min(CHUNK, MAX_DRAWN_UNITS // 10 // max(1, units)))
    for start in range(0, draws, size):
        yield min(size, draws - start)


def _resampled(arms: Sequence[Array], pool: _Pool, seed: int) -> Iterator[Array]:
    """Yield figures of resamples, shape (arms, draws, figures), some draws at a time; all arms have the same units drawn."""
    units = len(arms[0])
    rng = np.random.default_rng(seed)
    for count in _chunks(units):
        weights = rng.multinomial(units, np.full(units, 1 / max(1, units)), size=count) * 1.0
        yield np.stack([pool.figures(np.tensordot(weights, arm, 1)) for arm in arms])


def _swapped_p(arms: Sequence[Array], pool: _Pool, effect: Array, seed: int) -> Array:
    """Return for each figure the share of ways to swap the arms on whole units that give as large a difference, shape (figures,)."""
    middle, half = (arms[0] + arms[1]).sum(0) / 2, (arms[1] - arms[0]) / 2
    differing = half[np.any(half != 0, axis=(1, 2))]
    rng = np.random.default_rng(seed + 1)
    reached, total = np.ones(len(effect)), 1  # what was seen is one of the ways
    for count in _chunks(len(differing)):
        signs = rng.integers(0, 2, (count, len(differing))) * 2.0 - 1
        shift = np.tensordot(signs, differing, 1)
        differences = pool.figures(middle + shift) - pool.figures(middle - shift)
        reached += (np.abs(differences) >= np.abs(effect) - 1e-12).sum(0)
        total += count
    return reached / total


def _limits(point: float, draws: Array, left_out: Array, level: float) -> Interval:
    method = "BCa bootstrap"
    drawn = draws[np.isfinite(draws)]
    if len(left_out) < FEW or not np.isfinite(left_out).all() or len(drawn) < len(draws) / 2:
        return Interval(low=math.nan, high=math.nan, level=level, method=method)
    if np.ptp(left_out) == 0:
        return Interval(low=float(point), high=float(point), level=level, method=method)
    return bca_interval(float(point), drawn, left_out, level=level, method=method)


def _decide(interval: Interval, sign: float) -> Decision:
    low, high = sorted((sign * interval.low, sign * interval.high))
    if low > 0:
        return "better"
    return "worse" if high < 0 else "no evidence"
