"""Intervals for one candidate's score. Checked against scipy and statsmodels, and by simulated coverage, in the tests."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ratchet.core import Interval

__all__ = [
    "Array",
    "Clusters",
    "agresti_coull_interval",
    "as_array",
    "bca_interval",
    "bootstrap_interval",
    "clusters_of",
    "exact_interval",
    "example_means",
    "expanded",
    "is_binary",
    "mean_interval",
    "standard_error",
    "t_interval",
]

Array = NDArray[np.float64]
Clusters = NDArray[np.intp]
"""The cluster of each value, numbered from 0 without gaps, shape (n,)."""

RESAMPLED_AT_ONCE = 100
FEW = 30
"""Below so many values an interval had rather be too wide."""


def as_array(values: Sequence[float] | Array) -> Array:
    """Return the values as float64, shape (n,)."""
    return np.asarray(values, dtype=np.float64)


def is_binary(values: Array) -> bool:
    """Return whether every value is 0 or 1."""
    return bool(np.isin(values, (0.0, 1.0)).all())


def agresti_coull_interval(successes: int, n: int, *, level: float = 0.95) -> Interval:
    """Return Agresti and Coull's interval of a proportion; NaN bounds when n is 0.

    From 30 values on it holds the truth in 93.4 % or more whatever the proportion is, and on average over proportions in 95 to 96 %;
    Wilson's, which has the same middle, falls to 86 % near 0 and 1 (both enumerated exactly, for the first in `make proof`).
    Source: Agresti and Coull (1998); as `statsmodels.stats.proportion.proportion_confint(method="agresti_coull")`.
    """
    method = "Agresti-Coull"
    if n == 0:
        return Interval(low=math.nan, high=math.nan, level=level, method=method)
    z = float(stats.norm.ppf((1 + level) / 2))
    centre = (successes + z * z / 2) / (n + z * z)
    half = z * math.sqrt(centre * (1 - centre) / (n + z * z))
    return Interval(
        low=max(0.0, centre - half), high=min(1.0, centre + half), level=level, method=method
    )


def exact_interval(successes: int, n: int, *, level: float = 0.95) -> Interval:
    """Return Clopper and Pearson's interval of a proportion, which covers at least as often as it says; NaN bounds when n is 0.

    Source: Clopper and Pearson (1934); as `scipy.stats.binomtest(…).proportion_ci(method="exact")`.
    """
    method = "Clopper-Pearson"
    if n == 0:
        return Interval(low=math.nan, high=math.nan, level=level, method=method)
    tail = (1 - level) / 2
    low = float(stats.beta.ppf(tail, successes, n - successes + 1)) if successes else 0.0
    high = float(stats.beta.isf(tail, successes + 1, n - successes)) if successes < n else 1.0
    return Interval(low=low, high=high, level=level, method=method)


def standard_error(values: Array, clusters: Clusters | None = None) -> tuple[float, float]:
    """Return the standard error of the mean of `values`, shape (n,), and how many clusters of one size it is worth (Kish).

    Values of one cluster (messages of one conversation, answers from one document) may move together; only clusters count as
    independent. It is the jackknife that leaves out one cluster at a time: for few clusters of unequal sizes it is less too sure
    of itself than the sandwich estimator, which it equals for equal sizes. Source: MacKinnon, Nielsen and Webb (2023), "Fast and
    reliable jackknife and bootstrap methods for cluster-robust inference". Without clusters it is the usual standard error. NaN
    with fewer than two clusters.
    """
    n = len(values)
    if clusters is None:
        return (float(values.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan), n
    sums, sizes = np.bincount(clusters, values), np.bincount(clusters)
    groups = len(sums)
    if groups < 2:  # a spread needs two
        return math.nan, groups
    left_out = (sums.sum() - sums) / (n - sizes)
    return math.sqrt((groups - 1) * float(left_out.var())), n**2 / float((sizes**2).sum())


def t_interval(values: Array, clusters: Clusters | None = None, *, level: float = 0.95) -> Interval:
    """Return Student's interval of the mean of `values`, shape (n,), clustered where clusters are given; NaN bounds below two."""
    error, groups = standard_error(values, clusters)
    if math.isnan(error):
        return Interval(low=math.nan, high=math.nan, level=level, method="t")
    half = float(stats.t.ppf((1 + level) / 2, groups - 1)) * error
    mean = float(values.mean())
    method = "t" if clusters is None else f"t, {int(clusters.max()) + 1} groups"
    return Interval(low=mean - half, high=mean + half, level=level, method=method)


def bootstrap_interval(
    values: Array,
    clusters: Clusters | None = None,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Return the BCa bootstrap interval of the mean of `values`, shape (n,); NaN bounds below `FEW` clusters, or if all are equal.

    Whole clusters are drawn. A bootstrap of the mean is too narrow by what Student's t corrects, so the percentiles are moved out
    by as much; few clusters it cannot correct for. Sources: Efron (1987), "Better bootstrap confidence intervals"; Hesterberg
    (2015), "What teachers should know about the bootstrap", on expanded percentiles. For many values it agrees with
    `scipy.stats.bootstrap`, whose jackknife needs memory of n squared.
    """
    method = "BCa bootstrap"
    sums, sizes = (
        (values, np.ones(len(values)))
        if clusters is None
        else (
            np.bincount(clusters, values).astype(np.float64),
            np.bincount(clusters).astype(np.float64),
        )
    )
    if len(sums) < FEW or np.ptp(values) == 0:
        return Interval(low=math.nan, high=math.nan, level=level, method=method)
    rng = np.random.default_rng(seed)
    means = np.concatenate(
        [
            drawn_means(sums, sizes, rng, RESAMPLED_AT_ONCE)
            for _ in range(0, resamples, RESAMPLED_AT_ONCE)
        ]
    )
    mean = sums.sum() / sizes.sum()
    left_out = (sums.sum() - sums) / (sizes.sum() - sizes)
    return bca_interval(float(mean), means, left_out, level=level, method=method)


def bca_interval(
    point: float, draws: Array, left_out: Array, *, level: float, method: str
) -> Interval:
    """Return the BCa interval of a figure, its percentiles moved out by what Student's t corrects.

    Args:
        point: The figure of the sample.
        draws: The same of resamples, shape (draws,).
        left_out: The same without each unit in turn, shape (units,).
        level: Two-sided coverage.
        method: The interval's name.
    """
    below = np.clip((draws < point).mean(), 1 / len(draws), 1 - 1 / len(draws))
    influence = left_out.mean() - left_out
    influence /= np.abs(influence).max() or 1.0  # only its shape counts
    squares = float((influence**2).sum())
    skew = float((influence**3).sum()) / (6 * squares**1.5) if squares else 0.0
    bias = float(stats.norm.ppf(below))
    reach = expanded(level, len(left_out))
    z = bias + np.array([-reach, reach])
    low, high = np.quantile(draws, stats.norm.cdf(bias + z / (1 - skew * z)))
    return Interval(low=float(low), high=float(high), level=level, method=method)


def expanded(level: float, units: int) -> float:
    """Return how many standard errors of `units` bootstrapped units the ends lie from the middle: more than the normal's, for few."""
    return float(stats.t.ppf((1 + level) / 2, units - 1)) * math.sqrt(units / (units - 1))


def drawn_means(sums: Array, sizes: Array, rng: np.random.Generator, count: int) -> Array:
    """Return the means of `count` samples of the clusters with replacement."""
    drawn = rng.integers(len(sums), size=(count, len(sums)), dtype=np.int32)
    means: Array = sums[drawn].sum(1) / sizes[drawn].sum(1)
    return means


def mean_interval(
    values: Array, clusters: Clusters | None = None, *, level: float = 0.95
) -> Interval:
    """Return the interval of a mean score in [0, 1], cut to it.

    Where all values are 0 or 1 and none are clustered: Agresti and Coull's, and Clopper and Pearson's below `FEW` values, where
    the other may hold too seldom. Where all are 0, or all are 1, the same of the clusters, which are the evidence: they show no
    spread, and that is no certainty. Else Student's.
    """
    if clusters is not None and len(values) and is_binary(values) and np.ptp(values) == 0:
        count = int(clusters.max()) + 1
        make = agresti_coull_interval if count >= FEW else exact_interval
        return make(count if values[0] else 0, count, level=level)
    if clusters is None and is_binary(values):
        make = agresti_coull_interval if len(values) >= FEW else exact_interval
        return make(int(values.sum()), len(values), level=level)
    interval = t_interval(values, clusters, level=level)
    return interval.model_copy(
        update={"low": max(0.0, interval.low), "high": min(1.0, interval.high)}
    )


def example_means(scores: Sequence[tuple[str, float]]) -> dict[str, float]:
    """Return the mean score of each example id: repeats of an example are no independent evidence."""
    grouped: dict[str, list[float]] = {}
    for example_id, score in scores:
        grouped.setdefault(example_id, []).append(score)
    return {example_id: sum(values) / len(values) for example_id, values in grouped.items()}


def clusters_of(groups: Sequence[str | None]) -> Clusters | None:
    """Return the cluster number of each example from its group's name, shape (n,); None where no group has two of them."""
    numbers: dict[str, int] = {}
    named = [f"\0{index}" if group is None else group for index, group in enumerate(groups)]
    found = np.asarray([numbers.setdefault(name, len(numbers)) for name in named], dtype=np.intp)
    return found if len(numbers) < len(found) else None
