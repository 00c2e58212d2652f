"""The verdict: two candidates on the same examples. This module alone decides what is better."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ratchet.core import Decision, Interval, Trial, Verdict, canonical_json
from ratchet.measure.intervals import (
    Array,
    Clusters,
    as_array,
    bootstrap_interval,
    clusters_of,
    is_binary,
    standard_error,
)
from ratchet.measure.measurement import Measurement
from ratchet.measure.paired import mcnemar_interval, mcnemar_p, paired_t_interval, paired_t_p
from ratchet.measure.pooled import PooledVerdict, compare_pooled
from ratchet.measure.power import (
    FEWEST,
    mcnemar_n,
    mcnemar_power,
    mcnemar_visible,
    power_of,
    settling_n,
    visible_difference,
)

__all__ = [
    "Pairs",
    "compare",
    "compare_all",
    "compare_totals",
    "count_answers",
    "decide",
    "holm",
    "paired",
    "verdict_of",
]


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
    """Return the common examples' scores, each the mean of all answers that its side has to the example.

    Repeats are no independent evidence: they make a score of an example surer, and the example stays the unit. This is the
    regression of scores on the arm, clustered by example; checked against statsmodels in tests/measure/test_compare.py.
    """
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

    Exact McNemar where all scores are 0 or 1, else paired t (and flipped signs, for few) with a BCa bootstrap interval beside it.
    Where examples come in groups both are clustered by group. The interval inverts the test, so that the two cannot disagree
    (decision 021).

    Args:
        champion: What is there.
        challenger: What might replace it.
        margin: The loss of score, in [0, 1), that still counts as "not worse".
        level: Coverage of the interval; a difference counts where p < 1 - level.
    """
    pairs = paired(champion, challenger)
    verdict = verdict_of(
        pairs,
        names=(champion.candidate.id, challenger.candidate.id),
        about=(champion.split, champion.metric_id),
        missing=len({*champion.wanted, *challenger.wanted}) - len(pairs.before),
        margin=margin,
        level=level,
    )
    return verdict.model_copy(
        update={
            "answers": count_answers(champion, challenger),
            "identical": verdict.ties == verdict.n > 0 and is_copy(champion, challenger),
        }
    )


def count_answers(champion: Measurement, challenger: Measurement) -> tuple[int, int]:
    """Return how many answers each side has to the examples that both answered."""
    common = champion.by_example().keys() & challenger.by_example().keys()
    before, after = (
        sum(outcome.example_id in common for outcome in side.outcomes)
        for side in (champion, challenger)
    )
    return before, after


def compare_totals(
    champion: Measurement, challenger: Measurement, *, level: float = 0.95
) -> list[PooledVerdict]:
    """Return the verdict on each figure of the whole split that the metric asks for, on the examples that both answered."""
    common = champion.by_example().keys() & challenger.by_example().keys()
    if not champion.aggregates or not common:
        return []
    shared = {example.id for example in champion.examples} & common
    sides = (replace(side, examples=champion.examples) for side in (champion, challenger))
    before, after = (side.parts(shared) for side in sides)
    return compare_pooled(champion.aggregates, before, after, level=level)


def is_copy(champion: Measurement, challenger: Measurement) -> bool:
    """Return whether both gave the same answers to all examples that both answered; reads the trials."""
    before, after = (replies_of(measured.trials) for measured in (champion, challenger))
    return all(before[name] == after[name] for name in before.keys() & after.keys())


def replies_of(trials: Sequence[Trial]) -> dict[str, set[str]]:
    """Return what was replied to each example, each different reply once."""
    replies: dict[str, set[str]] = {}
    for trial in trials:
        said = trial.output if trial.answer is None else canonical_json(trial.answer)
        replies.setdefault(trial.example_id, set()).add(said)
    return replies


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
        interval, bootstrap = mcnemar_interval(differences, level=level), None
    else:
        method, p_value = "paired t", paired_t_p(differences, clusters)
        interval = paired_t_interval(differences, clusters, level=level)
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
        decision=decide(interval, margin=margin, n=groups),
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

    p-values are adjusted by Holm's method. A verdict of "better" or "worse" has the interval of the level at which Holm's method
    reached it, all others Bonferroni's: so each interval agrees with its verdict.
    Source: Holm (1979); as `statsmodels.stats.multitest.multipletests(method="holm")`.
    """
    alpha, count = 1 - level, max(1, len(challengers))
    own = [p_value_of(paired(champion, other)) for other in challengers]
    adjusted = holm(own)
    tested = sum(not math.isnan(p) for p in own)
    verdicts = []
    for other, p, q in zip(challengers, own, adjusted, strict=True):
        rank = sum(before < p for before in own)
        share = alpha / (tested - rank) if q < alpha else alpha / count
        verdict = compare(champion, other, margin=margin, level=1 - share)
        verdicts.append(verdict.model_copy(update={"adjusted_p": q}))
    return verdicts


def p_value_of(pairs: Pairs) -> float:
    """Return the p-value that the verdict on pairs of scores has."""
    if pairs.binary:
        return mcnemar_p(pairs.differences)
    return paired_t_p(pairs.differences, pairs.clusters)


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


def decide(interval: Interval, *, margin: float, n: int) -> Decision:
    """Return what an interval of the difference allows one to say; too few examples, or groups of them, allow nothing."""
    if n < FEWEST or math.isnan(interval.low):
        return "no evidence"
    if interval.low > 0 or interval.high < 0:
        return "better" if interval.low > 0 else "worse"
    return "not worse" if interval.low > -margin else "no evidence"
