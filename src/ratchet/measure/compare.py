"""The verdict: two candidates on the same examples. This module alone decides what is better."""

import math

import numpy as np
from scipy import stats

from ratchet.core import Decision, Interval, Verdict
from ratchet.measure.intervals import Array, as_array, is_binary, t_interval
from ratchet.measure.measurement import Measurement

__all__ = ["bonett_price_interval", "compare", "decide", "mcnemar_p", "paired_t_p", "settling_n"]

FEWEST = 5
"""With fewer common examples nothing is decided."""


def compare(
    champion: Measurement, challenger: Measurement, *, margin: float, level: float = 0.95
) -> Verdict:
    """Return the verdict of challenger against champion on the examples that both answered.

    Exact McNemar with Bonett and Price's interval where all scores are 0 or 1, else paired t; repeats of an example are
    averaged first.

    Args:
        champion: What is there.
        challenger: What might replace it.
        margin: The loss of score, in [0, 1), that still counts as "not worse".
        level: Coverage of the interval; a difference counts where p < 1 - level.
    """
    before, after = champion.by_example(), challenger.by_example()
    common = [example_id for example_id in before if example_id in after]
    a, b = as_array([before[i] for i in common]), as_array([after[i] for i in common])
    differences = b - a
    binary = is_binary(a) and is_binary(b)
    p_value = mcnemar_p(differences) if binary else paired_t_p(differences)
    interval = (
        bonett_price_interval(differences, level=level)
        if binary
        else t_interval(differences, level=level)
    )
    effect = float(differences.mean()) if common else math.nan
    return Verdict(
        champion_id=champion.candidate.id,
        challenger_id=challenger.candidate.id,
        split=champion.split,
        metric_id=champion.metric_id,
        n=len(common),
        missing=len({*champion.wanted, *challenger.wanted}) - len(common),
        champion_score=float(a.mean()) if common else math.nan,
        challenger_score=float(b.mean()) if common else math.nan,
        effect=effect,
        interval=interval,
        p_value=p_value,
        method="exact McNemar" if binary else "paired t",
        wins=int((differences > 0).sum()),
        losses=int((differences < 0).sum()),
        ties=int((differences == 0).sum()),
        margin=margin,
        decision=decide(effect, interval, p_value, margin=margin, n=len(common)),
        settle_n=settling_n(differences),
    )


def decide(effect: float, interval: Interval, p_value: float, *, margin: float, n: int) -> Decision:
    """Return what the figures allow one to say; too few examples allow nothing."""
    if n < FEWEST or math.isnan(p_value):
        return "no evidence"
    if p_value < 1 - interval.level and effect != 0:
        return "better" if effect > 0 else "worse"
    return "not worse" if interval.low > -margin else "no evidence"


def mcnemar_p(differences: Array) -> float:
    """Return the exact two-sided p-value of McNemar's test, from differences of -1, 0 and 1, shape (n,); 1 without discordant pairs.

    As `statsmodels.stats.contingency_tables.mcnemar(exact=True)`.
    """
    wins, losses = int((differences > 0).sum()), int((differences < 0).sum())
    if wins + losses == 0:
        return 1.0 if len(differences) else math.nan
    return float(stats.binomtest(wins, wins + losses, 0.5).pvalue)


def paired_t_p(differences: Array) -> float:
    """Return the two-sided p-value of the paired t-test, never below what flipping the signs of the differences could give.

    With k differences that are not zero no sign test can fall below 2^(1-k); the floor keeps two equal gains out of two from
    passing as proof, where the spread, and with it t's p-value, is zero.
    """
    k = int(np.count_nonzero(differences))
    if len(differences) < 2:  # a spread needs two
        return math.nan
    if k == 0:
        return 1.0
    spread = differences.std(ddof=1)
    p = (
        float(stats.ttest_1samp(differences, 0.0).pvalue) if spread > 1e-12 else 0.0
    )  # equal but for rounding
    return max(p, 2.0 ** (1 - k))


def bonett_price_interval(differences: Array, *, level: float = 0.95) -> Interval:
    """Return the interval of a difference of paired proportions, from differences of -1, 0 and 1, shape (n,).

    Source: Bonett and Price (2012), "Adjusted Wald confidence interval for a difference of binomial proportions based on
    paired data", eq. 3; its coverage is simulated in tests/measure/test_compare.py.
    """
    n = len(differences)
    if n == 0:
        return Interval(low=math.nan, high=math.nan, level=level, method="Bonett-Price")
    wins, losses = int((differences > 0).sum()), int((differences < 0).sum())
    p12, p21 = (wins + 1) / (n + 2), (losses + 1) / (n + 2)
    centre = p12 - p21
    half = float(stats.norm.ppf((1 + level) / 2)) * math.sqrt((p12 + p21 - centre**2) / (n + 2))
    return Interval(
        low=max(-1.0, centre - half),
        high=min(1.0, centre + half),
        level=level,
        method="Bonett-Price",
    )


def settling_n(differences: Array, *, level: float = 0.95, power: float = 0.8) -> int | None:
    """Return how many examples would show a difference of this mean and spread with the given power; None where none would."""
    if len(differences) < 2 or differences.mean() == 0:  # a spread needs two
        return None
    z = float(stats.norm.ppf((1 + level) / 2) + stats.norm.ppf(power))
    return max(
        FEWEST,
        math.ceil((z * float(differences.std(ddof=1)) / abs(float(differences.mean()))) ** 2),
    )
