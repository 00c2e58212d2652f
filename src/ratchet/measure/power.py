"""What a sample can show: the power of the paired tests, and how many examples would settle a difference. No data, no candidates."""

import math

import numpy as np
from scipy import stats

from ratchet.measure.intervals import Array, Clusters, standard_error

__all__ = [
    "FEWEST",
    "mcnemar_n",
    "mcnemar_power",
    "mcnemar_visible",
    "power_of",
    "settling_n",
    "visible_difference",
]

EXACT_TO = 20_000
"""Beyond so many examples the exact test and the normal curve agree."""
FEWEST = 5
"""With fewer common examples, or groups of them, nothing is decided."""


def mcnemar_power(up: float, down: float, n: int, *, level: float = 0.95) -> float:
    """Return the chance that exact McNemar on n examples finds a difference in the right direction.

    Args:
        up: The chance that the challenger alone is right.
        down: The chance that the champion alone is right.
        n: How many examples.
        level: Of the test.
    """
    share = up + down
    if share == 0:
        return 0.0
    spread = math.sqrt(n * share * (1 - share))
    low, high = max(0, int(n * share - 6 * spread)), min(n, math.ceil(n * share + 6 * spread))
    discordant = np.arange(low, high + 1)
    edge = np.asarray(stats.binom.ppf((1 - level) / 2, discordant, 0.5))
    is_over = np.asarray(stats.binom.cdf(edge, discordant, 0.5)) > (1 - level) / 2
    found = stats.binom.cdf(edge - is_over, discordant, min(up, down) / share)
    return float((stats.binom.pmf(discordant, n, share) * found).sum())


def mcnemar_n(up: float, down: float, *, level: float = 0.95, power: float = 0.8) -> int | None:
    """Return how many examples give exact McNemar the wanted power; None where none would."""
    if up == down:
        return None
    gain = abs(up - down)
    reach = float(stats.norm.ppf((1 + level) / 2) + stats.norm.ppf(power))
    about = math.ceil(reach**2 * (up + down - gain**2) / gain**2)
    if about > EXACT_TO:
        return about
    most = FEWEST
    while mcnemar_power(up, down, most, level=level) < power:
        most *= 2
    least = most // 2
    while most - least > max(1, most // 100):
        middle = (least + most) // 2
        if mcnemar_power(up, down, middle, level=level) < power:
            least = middle
        else:
            most = middle
    return most


def mcnemar_visible(
    share: float, n: int, *, level: float = 0.95, power: float = 0.8
) -> float | None:
    """Return the smallest difference that exact McNemar finds with the wanted power, where two candidates disagree on `share`.

    None where even a difference as large as `share` would not be found.
    """
    if mcnemar_power(share, 0.0, n, level=level) < power:
        return None
    low, high = 0.0, share
    while high - low > 5e-4:
        middle = (low + high) / 2
        if mcnemar_power((share + middle) / 2, (share - middle) / 2, n, level=level) < power:
            low = middle
        else:
            high = middle
    return high


def power_of(effect: float, error: float, *, level: float = 0.95) -> float | None:
    """Return the chance that a new sample of this size would settle a true difference as large as `effect`; None where unknown."""
    if math.isnan(error) or error == 0:
        return None
    return float(stats.norm.sf(stats.norm.ppf((1 + level) / 2) - abs(effect) / error))


def visible_difference(error: float, *, level: float = 0.95, power: float = 0.8) -> float | None:
    """Return the smallest true difference that a sample of this size settles with the given power; None where unknown."""
    if math.isnan(error) or error == 0:
        return None
    return float(stats.norm.ppf((1 + level) / 2) + stats.norm.ppf(power)) * error


def settling_n(
    differences: Array,
    clusters: Clusters | None = None,
    *,
    level: float = 0.95,
    power: float = 0.8,
) -> int | None:
    """Return how many examples would show a difference of this mean and spread with the given power; None where none would."""
    error, _ = standard_error(differences, clusters)
    visible = visible_difference(error, level=level, power=power)
    if visible is None or differences.mean() == 0:
        return None if math.isnan(error) or differences.mean() == 0 else FEWEST
    return max(
        FEWEST, math.ceil(len(differences) * (visible / abs(float(differences.mean()))) ** 2)
    )
