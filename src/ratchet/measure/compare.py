"""The verdict: two candidates on the same examples. This module alone decides what is better."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import stats

from ratchet.core import Decision, Interval, Verdict
from ratchet.measure.intervals import (
    Array,
    Clusters,
    as_array,
    bootstrap_interval,
    clusters_of,
    is_binary,
    standard_error,
    t_interval,
)
from ratchet.measure.measurement import Measurement

__all__ = [
    "Pairs",
    "bonett_price_interval",
    "compare",
    "compare_all",
    "decide",
    "holm",
    "mcnemar_p",
    "paired",
    "paired_t_p",
    "settling_n",
    "verdict_of",
]

EXACT_TO = 20_000
"""Beyond so many examples the exact test and the normal curve agree."""
FLIPPED, ENUMERATED = 100, 13
"""To so many differences signs are flipped beside the t-test, and to so many in every way."""
FEWEST = 5
"""With fewer common examples, or groups of them, nothing is decided."""


@dataclass(frozen=True)
class Pairs:
    """The scores of two candidates on the examples that both answered, each of shape (n,)."""

    before: Array
    after: Array
    clusters: Clusters | None

    @property
    def differences(self) -> Array:
        return self.after - self.before

    @property
    def binary(self) -> bool:
        """Return whether exact McNemar applies: scores of 0 and 1, and no two examples that may move together."""
        return self.clusters is None and is_binary(self.before) and is_binary(self.after)


def paired(champion: Measurement, challenger: Measurement) -> Pairs:
    """Return the common examples' scores; repeats of an example are averaged first."""
    before, after = champion.by_example(), challenger.by_example()
    common = [example_id for example_id in before if example_id in after]
    return Pairs(
        as_array([before[i] for i in common]),
        as_array([after[i] for i in common]),
        clusters_of([champion.groups[i] for i in common]),
    )


def compare(
    champion: Measurement, challenger: Measurement, *, margin: float, level: float = 0.95
) -> Verdict:
    """Return the verdict of challenger against champion on the examples that both answered.

    Exact McNemar with Bonett and Price's interval where all scores are 0 or 1, else paired t (and flipped signs, for few) with a BCa bootstrap interval
    beside it. Where examples come in groups both are clustered by group.

    Args:
        champion: What is there.
        challenger: What might replace it.
        margin: The loss of score, in [0, 1), that still counts as "not worse".
        level: Coverage of the interval; a difference counts where p < 1 - level.
    """
    pairs = paired(champion, challenger)
    return verdict_of(
        pairs,
        names=(champion.candidate.id, challenger.candidate.id),
        about=(champion.split, champion.metric_id),
        missing=len({*champion.wanted, *challenger.wanted}) - len(pairs.before),
        margin=margin,
        level=level,
    )


def verdict_of(
    pairs: Pairs,
    *,
    names: tuple[str, str],
    about: tuple[str, str],
    missing: int,
    margin: float,
    level: float = 0.95,
) -> Verdict:
    """Return the verdict on pairs of scores.

    Args:
        pairs: What both answered.
        names: The ids of champion and challenger.
        about: The split, and the id of the metric.
        missing: Examples that one of them did not answer.
        margin: As for `compare`.
        level: As for `compare`.
    """
    differences, clusters = pairs.differences, pairs.clusters
    n = len(differences)
    if pairs.binary:
        method, p_value = "exact McNemar", mcnemar_p(differences)
        interval, bootstrap = bonett_price_interval(differences, level=level), None
    else:
        method, p_value = "paired t", paired_t_p(differences, clusters)
        interval = t_interval(differences, clusters, level=level)
        bootstrap = bootstrap_interval(differences, clusters, level=level)
    groups = n if clusters is None else int(clusters.max()) + 1
    effect = float(differences.mean()) if n else math.nan
    error, _ = standard_error(differences, clusters)
    return Verdict(
        champion_id=names[0],
        challenger_id=names[1],
        split=about[0],
        metric_id=about[1],
        n=n,
        groups=None if clusters is None else groups,
        missing=missing,
        champion_score=float(pairs.before.mean()) if n else math.nan,
        challenger_score=float(pairs.after.mean()) if n else math.nan,
        effect=effect,
        interval=interval,
        bootstrap=bootstrap,
        p_value=p_value,
        method=method if clusters is None else f"{method}, clustered by {groups} groups",
        wins=int((differences > 0).sum()),
        losses=int((differences < 0).sum()),
        ties=int((differences == 0).sum()),
        margin=margin,
        decision=decide(effect, interval, p_value, margin=margin, n=groups, level=level),
        **foretold(pairs, error, level),
    )


def foretold(pairs: Pairs, error: float, level: float) -> dict[str, float | int | None]:
    """Return what a new sample would settle: the verdict's `power`, `visible` and `settle_n`, by the test that it would use."""
    differences = pairs.differences
    if pairs.binary:
        n = len(differences)
        wins, losses = int((differences > 0).sum()), int((differences < 0).sum())
        return {
            "power": mcnemar_power(wins / n, losses / n, n, level=level) if wins + losses else None,
            "visible": mcnemar_visible((wins + losses) / n, n, level=level) if n else None,
            "settle_n": mcnemar_n(wins / n, losses / n, level=level) if n else None,
        }
    return {
        "power": power_of(
            float(differences.mean()) if len(differences) else math.nan, error, level=level
        ),
        "visible": visible_difference(error, level=level),
        "settle_n": settling_n(differences, pairs.clusters),
    }


def compare_all(
    champion: Measurement, challengers: Sequence[Measurement], *, margin: float, level: float = 0.95
) -> list[Verdict]:
    """Return each challenger's verdict against the champion, so that all of them hold together with confidence `level`.

    p-values are adjusted by Holm's method, and decide; intervals are Bonferroni's, which is a little wider.
    Source: Holm (1979); as `statsmodels.stats.multitest.multipletests(method="holm")`.
    """
    share = 1 - (1 - level) / max(1, len(challengers))
    verdicts = [compare(champion, other, margin=margin, level=share) for other in challengers]
    adjusted = holm([verdict.p_value for verdict in verdicts])
    return [
        verdict.model_copy(
            update={
                "adjusted_p": p,
                "decision": decide(
                    verdict.effect,
                    verdict.interval,
                    p,
                    margin=margin,
                    n=verdict.n if verdict.groups is None else verdict.groups,
                    level=level,
                ),
            }
        )
        for verdict, p in zip(verdicts, adjusted, strict=True)
    ]


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p-values in the given order; a NaN, from a comparison that could not be made, stays one."""
    order = sorted(
        (i for i, p in enumerate(p_values) if not math.isnan(p)), key=p_values.__getitem__
    )
    adjusted, largest = list(p_values), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def decide(
    effect: float, interval: Interval, p_value: float, *, margin: float, n: int, level: float
) -> Decision:
    """Return what the figures allow one to say at `level`; too few examples, or groups of them, allow nothing."""
    if n < FEWEST or math.isnan(p_value):
        return "no evidence"
    if p_value < 1 - level and effect != 0:
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


def paired_t_p(differences: Array, clusters: Clusters | None = None) -> float:
    """Return the two-sided p-value of the paired t-test, and not less than flipping the signs of the differences gives.

    Student's t is a little too sure of a few differences that are not normal (5.6 % false winners for n = 10 graded scores, and
    with 15 groups). Two equal candidates can change places on any example, so flipped signs are exact for them, whatever the
    scores; with clusters whole clusters are flipped.
    """
    error, groups = standard_error(differences, clusters)
    if math.isnan(error):
        return math.nan
    sums = differences if clusters is None else np.bincount(clusters, differences) * 1.0
    sums = sums[sums != 0]
    if len(sums) == 0:
        return 1.0
    p = (
        2 * float(stats.t.sf(abs(float(differences.mean())) / error, groups - 1))
        if error > 1e-12
        else 0.0
    )  # equal but for rounding
    return max(p, flipped_p(sums))


def flipped_p(sums: Array) -> float:
    """Return how many of all ways to flip signs give a sum as large as that of `sums`, shape (k,).

    Exact to `ENUMERATED` of them, drawn beyond; never less than the sum itself and its mirror image among all ways, which is what
    is left where no drawn one comes up to it, or above `FLIPPED`, where t needs no help. As
    `scipy.stats.permutation_test(permutation_type="samples")`.
    """
    least = 2.0 ** (1 - len(sums))
    if len(sums) > FLIPPED:
        return least
    reached = np.abs(signs(len(sums)) @ sums) >= abs(sums.sum()) * (1 - 1e-9)
    return max(float(reached.mean()), least)


@lru_cache(maxsize=8)
def signs(k: int) -> Array:
    """Return ways to flip k signs, shape (ways, k): all of them, or a fixed random sample."""
    if k <= ENUMERATED:
        ways = (np.arange(2**k)[:, None] >> np.arange(k)) & 1
    else:
        ways = np.random.default_rng(k).integers(0, 2, (2**ENUMERATED, k))
    drawn: Array = np.where(ways, 1.0, -1.0)
    return drawn


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
