"""A paired verdict that may be looked at after every example, and stops as soon as it stands.

The evidence is an e-process: under the hypothesis its expectation never exceeds 1, so by Ville's inequality the chance that
it ever reaches 1/α is at most α, however often one looks. A mixture of bets over a grid of stakes needs no tuning; for 0/1
scores the discordant pairs alone are bet on, with a beta mixture, which is the sharper of the two.

Sources: Waudby-Smith and Ramdas (2024), "Estimating means of bounded random variables by betting"; Robbins (1970) on mixtures.
Simulated in tests/measure/test_sequential.py.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from statistics import fmean

import numpy as np
from scipy import optimize, special

from ratchet.core import Candidate, Decision, Example, Interval, Verdict
from ratchet.core.errors import DataError
from ratchet.measure.asking import Bench
from ratchet.measure.evaluate import evaluate
from ratchet.measure.intervals import Array, as_array, is_binary
from ratchet.measure.measurement import Measurement
from ratchet.models import ChatModel

__all__ = ["Contest", "Sequential", "settle"]

LOOK = 16
"""Examples between two looks, at least: fewer would leave connections idle."""
STAKES = np.geomspace(0.01, 0.49, 12)
"""Shares of the capital that are bet; below a half, as a difference may miss the hypothesis by up to two."""
PRIOR = 4.0
"""Both parameters of the beta mixture: most weight on a share of wins between a quarter and three quarters of the discordant pairs."""


class Sequential:
    """The evidence on the mean of paired differences in [-1, 1], as it grows.

    Args:
        margin: The loss that still counts as "not worse".
        level: Confidence that holds over all looks together.
    """

    def __init__(self, *, margin: float, level: float = 0.95) -> None:
        self.margin, self.level = margin, level
        self._differences: list[float] = []
        self._binary = True
        self._decision: Decision = "no evidence"

    def add(self, before: float, after: float) -> None:
        """Take the two scores, in [0, 1], of one example."""
        self._differences.append(after - before)
        self._binary = self._binary and is_binary(as_array([before, after]))

    @property
    def differences(self) -> Array:
        """Return the differences so far, shape (n,)."""
        return as_array(self._differences)

    def e_value(self) -> float:
        """Return the evidence against "no difference", 1 at the start; 1/(1 - level) settles it."""
        return math.exp(min(700.0, self._log_e()))

    def _log_e(self) -> float:
        differences = self.differences
        if self._binary:
            wins, losses = int((differences > 0).sum()), int((differences < 0).sum())
            mixed = special.betaln(PRIOR + wins, PRIOR + losses) - special.betaln(PRIOR, PRIOR)
            return float(mixed + (wins + losses) * math.log(2))
        up, down = log_capital(differences, 0.0), log_capital(-differences, 0.0)
        return float(np.logaddexp(up, down) - math.log(2))

    def interval(self) -> Interval:
        """Return the confidence sequence of the effect: the chance that it ever misses is at most 1 - level."""
        differences = self.differences
        wall = math.log(2 / (1 - self.level))
        low, high = lowest(differences, wall), -lowest(-differences, wall)
        return Interval(
            low=low, high=high, level=self.level, method="confidence sequence by betting"
        )

    def decision(self) -> Decision:
        """Return what the evidence allows one to say now; better and worse stay once they are said."""
        if self._decision in ("better", "worse"):
            return self._decision
        if self._log_e() >= -math.log(1 - self.level):
            self._decision = "better" if self.differences.mean() > 0 else "worse"
        elif self.interval().low > -self.margin:
            self._decision = "not worse"
        return self._decision

    def is_settled(self) -> bool:
        """Return whether more examples could not change the decision but by chance: better, worse, or equal within the margin."""
        decision = self.decision()
        return decision in ("better", "worse") or (
            decision == "not worse" and self.interval().high < self.margin
        )

    def remaining(self) -> int | None:
        """Return about how many more examples would settle it if the evidence goes on growing as it did; None where it does not grow."""
        n, log_e = len(self._differences), self._log_e()
        if n == 0 or log_e <= 0:
            return None
        return max(0, math.ceil(n * (-math.log(1 - self.level) - log_e) / log_e))


def log_capital(differences: Array, mean: float) -> float:
    """Return the logarithm of what one would have who bet, stake by stake, that the mean lies above `mean`."""
    grown = np.log1p(np.outer(STAKES, differences - mean)).sum(axis=1)
    return float(special.logsumexp(grown) - math.log(len(STAKES)))


def lowest(differences: Array, wall: float) -> float:
    """Return the smallest mean that the bets on a larger one have not ruled out; -1 where they have ruled out none."""
    if len(differences) == 0 or log_capital(differences, -1.0) <= wall:
        return -1.0
    mean = float(differences.mean())
    return float(
        optimize.brentq(lambda m: log_capital(differences, m) - wall, -1.0, mean, xtol=1e-4)
    )


@dataclass(frozen=True)
class Contest:
    """Where a contest of two candidates stands after a look."""

    evidence: Sequential
    before: Measurement
    after: Measurement
    left: int
    """Examples that were not asked yet."""

    def expected_cost(self) -> tuple[int, float | None] | None:
        """Return about how many more calls, and dollars, it takes to settle it; None where the evidence does not grow."""
        more = self.evidence.remaining()
        if more is None:
            return None
        costs = [m.cost_usd for m in (self.before, self.after)]
        answered = max(1, len(self.after.outcomes))
        known = [cost for cost in costs if cost is not None]
        return 2 * more, sum(known) / answered * more if len(known) == len(costs) else None

    def verdict(self) -> Verdict:
        """Return what the evidence says, in the shape of any verdict; its p-value and interval hold at every look."""
        evidence, differences = self.evidence, self.evidence.differences
        before, after = self.before.by_example(), self.after.by_example()
        common = [example_id for example_id in before if example_id in after]
        grouped = len(differences) < len(common)
        return Verdict(
            champion_id=self.before.candidate.id,
            challenger_id=self.after.candidate.id,
            split=self.before.split,
            metric_id=self.before.metric_id,
            n=len(common),
            groups=len(differences) if grouped else None,
            missing=len({*self.before.wanted, *self.after.wanted}) - len(common),
            champion_score=fmean(before[i] for i in common) if common else math.nan,
            challenger_score=fmean(after[i] for i in common) if common else math.nan,
            effect=float(differences.mean()) if common else math.nan,
            interval=evidence.interval(),
            p_value=min(1.0, 1 / evidence.e_value()),
            method="e-process, looked at all along",
            wins=int((differences > 0).sum()),
            losses=int((differences < 0).sum()),
            ties=int((differences == 0).sum()),
            margin=evidence.margin,
            decision=evidence.decision(),
        )


async def settle(
    bench: Bench,
    champion: tuple[Candidate, ChatModel],
    challenger: tuple[Candidate, ChatModel],
    examples: Sequence[Example],
    *,
    split: str = "",
    repeats: int = 1,
    level: float = 0.95,
    watch: Callable[[Contest], None] | None = None,
    seed: int = 0,
) -> Contest:
    """Answer examples in random order with both candidates until the verdict stands, the examples end or the budget does.

    Members of one group are taken together and count as one difference, their mean.

    Raises: DataError without examples; what `evaluate` raises.
    """
    if not examples:
        raise DataError(f"task {bench.task.name!r} has no examples in split {split!r}")
    evidence = Sequential(margin=bench.task.margin, level=level)
    units = units_of(examples, seed)
    size = max(LOOK, min(champion[1].concurrency, challenger[1].concurrency, 64))
    asked: list[Example] = []
    while units:
        look: list[list[Example]] = []
        while units and sum(map(len, look)) < size:
            look.append(units.pop())
        asked += [example for unit in look for example in unit]
        before = await evaluate(bench, *champion, asked, split=split, repeats=repeats)
        after = await evaluate(bench, *challenger, asked, split=split, repeats=repeats)
        old, new = before.by_example(), after.by_example()
        for unit in look:
            both = [e.id for e in unit if e.id in old and e.id in new]
            if both:
                evidence.add(fmean(old[i] for i in both), fmean(new[i] for i in both))
        contest = Contest(evidence, before, after, sum(map(len, units)))
        if watch:
            watch(contest)
        if evidence.is_settled() or before.stopped or after.stopped:
            break
    return contest


def units_of(examples: Sequence[Example], seed: int) -> list[list[Example]]:
    """Return the examples by group, one alone where it has none, in random order."""
    grouped: dict[str, list[Example]] = {}
    for example in sorted(examples, key=lambda e: e.id):
        grouped.setdefault(example.group or example.id, []).append(example)
    units = list(grouped.values())
    Random(seed).shuffle(units)
    return units
