"""Intervals for one candidate's score. Checked against scipy and statsmodels, and by simulated coverage, in the tests."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ratchet.core import Interval

__all__ = [
    "Array",
    "as_array",
    "bootstrap_interval",
    "is_binary",
    "mean_interval",
    "score_interval",
    "t_interval",
    "wilson_interval",
]

Array = NDArray[np.float64]


def as_array(values: Sequence[float] | Array) -> Array:
    """Return the values as float64, shape (n,)."""
    return np.asarray(values, dtype=np.float64)


def is_binary(values: Array) -> bool:
    """Return whether every value is 0 or 1."""
    return bool(np.isin(values, (0.0, 1.0)).all())


def wilson_interval(successes: int, n: int, *, level: float = 0.95) -> Interval:
    """Return Wilson's score interval of a proportion; NaN bounds when n is 0.

    Source: Wilson (1927); as `statsmodels.stats.proportion.proportion_confint(method="wilson")`.
    """
    if n == 0:
        return Interval(low=math.nan, high=math.nan, level=level, method="Wilson")
    z = float(stats.norm.ppf((1 + level) / 2))
    p = successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return Interval(
        low=max(0.0, centre - half), high=min(1.0, centre + half), level=level, method="Wilson"
    )


def t_interval(values: Array, *, level: float = 0.95) -> Interval:
    """Return Student's interval of the mean of `values`, shape (n,); NaN bounds when n < 2."""
    n = len(values)
    if n < 2:  # a spread needs two
        return Interval(low=math.nan, high=math.nan, level=level, method="t")
    half = float(stats.t.ppf((1 + level) / 2, n - 1)) * float(values.std(ddof=1)) / math.sqrt(n)
    mean = float(values.mean())
    return Interval(low=mean - half, high=mean + half, level=level, method="t")


def bootstrap_interval(
    values: Array, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Interval:
    """Return the BCa bootstrap interval of the mean of `values`, shape (n,); NaN bounds when n < 2 or all are equal.

    Source: Efron (1987); computed by `scipy.stats.bootstrap`.
    """
    if len(values) < 2 or np.ptp(values) == 0:  # a spread needs two
        return Interval(low=math.nan, high=math.nan, level=level, method="BCa bootstrap")
    found = stats.bootstrap(
        (values,),
        np.mean,
        confidence_level=level,
        n_resamples=resamples,
        method="BCa",
        rng=np.random.default_rng(seed),
    )
    bounds = found.confidence_interval
    return Interval(
        low=float(bounds.low), high=float(bounds.high), level=level, method="BCa bootstrap"
    )


def mean_interval(values: Array, *, level: float = 0.95) -> Interval:
    """Return the interval of a mean score in [0, 1]: Wilson where all values are 0 or 1, else Student's, cut to [0, 1]."""
    if is_binary(values):
        return wilson_interval(int(values.sum()), len(values), level=level)
    interval = t_interval(values, level=level)
    return interval.model_copy(
        update={"low": max(0.0, interval.low), "high": min(1.0, interval.high)}
    )


def score_interval(
    scores: Sequence[tuple[str, float]], *, level: float = 0.95
) -> tuple[float, Interval, int]:
    """Return mean, interval and number of examples of (example id, score) pairs.

    An example that was repeated counts once, with the mean of its repeats: repeats are no independent evidence.
    """
    means = example_means(scores)
    values = as_array(list(means.values()))
    return (
        (float(values.mean()) if len(values) else math.nan),
        mean_interval(values, level=level),
        len(values),
    )


def example_means(scores: Sequence[tuple[str, float]]) -> dict[str, float]:
    """Return the mean score of each example id."""
    grouped: dict[str, list[float]] = {}
    for example_id, score in scores:
        grouped.setdefault(example_id, []).append(score)
    return {example_id: sum(values) / len(values) for example_id, values in grouped.items()}
