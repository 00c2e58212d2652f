"""A mean over all examples from a sample that takes more of some kind than there are: failures, mostly, and a few of the others."""

import math
from collections.abc import Sequence

from scipy import stats

from ratchet.core import Interval
from ratchet.measure.intervals import as_array

__all__ = ["weighed_mean"]

SMALLEST = 0.5
"""Added to each stratum's count of differences, so that three of three alike are no proof."""


def weighed_mean(
    strata: Sequence[tuple[float, Sequence[float]]], *, level: float = 0.9
) -> tuple[float, Interval]:
    """Return the mean of all examples, and Student's interval of it (Cochran 1977, ch. 5).

    Args:
        strata: Of each kind its share of all examples, in [0, 1], and the values of those that were looked at; a kind of which
            none was looked at counts as 0.
        level: Two-sided coverage.
    """
    mean = variance = 0.0
    degrees = 0
    for share, values in strata:
        if not len(values):
            continue
        array = as_array(values)
        mean += share * float(array.mean())
        spread = float(array.std(ddof=1)) if len(array) > 1 else 1.0
        least = SMALLEST / len(array)  # a stratum without spread is not known exactly
        variance += share**2 * max(spread, math.sqrt(least)) ** 2 / len(array)
        degrees += len(array) - 1
    half = float(stats.t.ppf((1 + level) / 2, max(1, degrees))) * math.sqrt(variance)
    low, high = max(-1.0, mean - half), min(1.0, mean + half)
    return mean, Interval(low=low, high=high, level=level, method="t, weighed")
