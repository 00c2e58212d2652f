"""A paired verdict that may be looked at after every example, and stops as soon as it stands.

The evidence is an e-process: under the hypothesis its expectation never exceeds 1, so by Ville's inequality the chance that
it ever reaches 1/α is at most α, however often one looks. Capital is bet on the mean of paired differences, half of it that the mean
lies above a hypothesis and half below, each half spread over stakes once and for all (a mixture; nothing is tuned to the data).
What capital says of 0 is the decision, what it says of all other means is the interval: capital is convex in the mean, so that
the two agree.

Sources: Waudby-Smith and Ramdas (2024), "Estimating means of bounded random variables by betting", section 4 (hedged capital);
Robbins (1970) on mixtures. Simulated in tests/measure/test_sequential.py and `make proof`.
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
from ratchet.measure.compare import count_answers
from ratchet.measure.evaluate import evaluate
from ratchet.measure.intervals import Array, as_array, is_binary
from ratchet.measure.measurement import Measurement
from ratchet.measure.power import mcnemar_n, settling_n
from ratchet.metrics import Judged, JudgeMetric, Metric
from ratchet.metrics.spans import SpanMatch
from ratchet.models import ChatModel

__all__ = [
    "Contest",
    "Sequential",
    "SequentialPrice",
    "expected_examples",
    "price_of_looking",
    "settle",
]

LOOK = 16
"""Examples between two looks, at least: fewer would leave connections idle."""
WHOLE_STAKE = 0.7
"""Share of the capital on graded scores that is always bet whole: their differences are small beside the largest there could be."""
MIXTURE_COST = 1.2
"""About how much of the logarithm of the capital it costs not to know the best stake beforehand."""
MIN_KNOWN = 10
"""Differences that are known, at least, for what is foretold to rest on them."""
EDGE = 1e-9


@dataclass(frozen=True)
class _Stakes:
    """Shares of the capital at risk, in (0, 1], and how the capital is spread over them."""

    shares: Array
    log_weights: Array

    @classmethod
    def of(cls, shares: Array, weights: Array) -> "_Stakes":
        return cls(shares, np.log(weights / weights.sum()))


def _graded_stakes() -> _Stakes:
    """Return stakes for graded scores: mostly the whole, the rest evenly over all shares."""
    nodes, weights = np.polynomial.legendre.leggauss(16)
    shares = np.append((nodes + 1) / 2, 1.0)
    return _Stakes.of(shares, np.append(weights / 2 * (1 - WHOLE_STAKE), WHOLE_STAKE))


def _binary_stakes() -> _Stakes:
    """Return stakes for scores of 0 and 1: a beta mixture, with both parameters 4, over who wins where the two differ."""
    nodes, weights = np.polynomial.legendre.leggauss(24)
    shares = (nodes + 1) / 2
    return _Stakes.of(shares, weights * (1 - shares**2) ** 3)


GRADED_STAKES, BINARY_STAKES = _graded_stakes(), _binary_stakes()


class Sequential:
    """The evidence on the mean of paired differences in [-1, 1], as it grows.

    Where nobody knows beforehand what scores there are, they are bet on as 0 and 1 until one was seen that is neither, and then as
    graded ones. Each stake depends on what came before alone, so that the evidence is valid whichever they are.

    Args:
        margin: The loss that still counts as "not worse".
        level: Confidence that holds over all looks together.
        is_graded: Whether scores between 0 and 1 are to be expected, where that is known before any score is.
    """

    def __init__(
        self, *, margin: float, level: float = 0.95, is_graded: bool | None = None
    ) -> None:
        self.margin, self.level = margin, level
        self._differences: list[float] = []
        self._num_binary: int | None = 0 if is_graded else None
        """How many differences are bet on as those of 0/1 scores; None as long as all are."""
        self._low, self._high = -1.0, 1.0
        self._looked_at = 0
        self._largest_log_e = 0.0

    def add(self, before: float, after: float) -> None:
        """Take the two scores, in [0, 1], of one example."""
        self._differences.append(after - before)
        if self._num_binary is None and not is_binary(as_array([before, after])):
            self._num_binary = len(self._differences)  # this one was bet on already

    @property
    def differences(self) -> Array:
        """Return the differences so far, shape (n,)."""
        return as_array(self._differences)

    @property
    def p_value(self) -> float:
        """Return the p-value that holds at every look: one over the largest evidence that a look has seen."""
        self._log_e()
        return math.exp(-self._largest_log_e)

    def e_value(self) -> float:
        """Return the evidence against "no difference", 1 at the start; 1/(1 - level) settles it."""
        return math.exp(min(700.0, self._log_e()))

    def _log_e(self) -> float:
        log_e = log_hedged(self._phases(), 0.0)
        self._largest_log_e = max(self._largest_log_e, log_e)
        return log_e

    def _phases(self) -> list[tuple[Array, _Stakes]]:
        """Return the differences that were bet on as those of 0/1 scores, and those that were as graded ones."""
        differences, split = self.differences, self._num_binary
        start = len(differences) if split is None else split
        phases = ((differences[:start], BINARY_STAKES), (differences[start:], GRADED_STAKES))
        return [(part, stakes) for part, stakes in phases if len(part)]

    def interval(self) -> Interval:
        """Return the confidence sequence of the effect: the chance that it ever misses is at most 1 - level.

        It is what all looks so far have left over, so that it never widens.
        """
        if self._looked_at != len(self._differences):
            low, high = self._limits()
            low, high = max(low, self._low), min(high, self._high)
            if low <= high:
                self._low, self._high = low, high
            self._looked_at = len(self._differences)
        return Interval(
            low=self._low,
            high=self._high,
            level=self.level,
            method="confidence sequence by betting",
        )

    def _limits(self) -> tuple[float, float]:
        """Return the least and the largest mean that the capital of this moment does not rule out."""
        differences = self.differences
        if not len(differences):
            return -1.0, 1.0
        wall, mean = -math.log(1 - self.level), float(differences.mean())
        phases = self._phases()

        def excess(hypothesis: float) -> float:
            return min(700.0, log_hedged(phases, hypothesis)) - wall

        rules_out_0 = self._log_e() >= wall
        ends = []
        for end in (-1 + EDGE, 1 - EDGE):
            if (end - mean) * math.copysign(1, end) <= 0 or excess(end) <= 0:
                ends.append(math.copysign(1.0, end))
                continue
            near, far = mean, end
            if mean * end < 0:  # 0 lies between: which side of it the limit is on is known
                near, far = (mean, 0.0) if rules_out_0 else (0.0, end)
            ends.append(float(optimize.brentq(excess, near, far, xtol=1e-5)))
        return ends[0], ends[1]

    def decision(self) -> Decision:
        """Return what the evidence allows one to say now; what is said once stays."""
        interval = self.interval()
        if interval.low > 0 or interval.high < 0:
            return "better" if interval.low > 0 else "worse"
        return "not worse" if interval.low > -self.margin else "no evidence"

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


def log_hedged(phases: Sequence[tuple[Array, _Stakes]], mean: float) -> float:
    """Return the logarithm of the capital of who bets, half and half, on a larger and on a smaller mean than `mean`."""
    up = sum(log_capital(part, mean, stakes) for part, stakes in phases)
    down = sum(log_capital(-part, -mean, stakes) for part, stakes in phases)
    return float(np.logaddexp(up, down) - math.log(2))


def log_capital(differences: Array, mean: float, stakes: _Stakes) -> float:
    """Return the logarithm of what one would have who bet, stake by stake, that the mean lies above `mean`.

    A whole stake is lost at a difference of -1, which is as far below as one can be.
    """
    with np.errstate(divide="ignore"):
        grown = np.log1p(np.outer(stakes.shares, (differences - mean) / (1 + mean))).sum(axis=1)
    return float(special.logsumexp(grown + stakes.log_weights))


def expected_examples(effect: float, differences: Array, *, level: float = 0.95) -> int | None:
    """Return about how many examples it takes to settle a true difference, looking all along; None where nobody can say.

    Args:
        effect: The true difference of the mean scores, in (0, 1].
        differences: Paired differences of scores that vary as those to come will, shape (n,); their own mean does not count.
        level: Confidence over all looks.
    """
    chances, values = _moved(effect, differences)
    if not len(values) or effect <= 0:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        growth = (np.log1p(np.outer(GRADED_STAKES.shares, values)) * chances).sum(axis=1)
    fastest = float(np.nanmax(growth))
    needed = math.log(2 / (1 - level)) + MIXTURE_COST
    return math.ceil(needed / fastest) if fastest > 0 else None


@dataclass(frozen=True)
class SequentialPrice:
    """What looking all along may take, before the first call."""

    basis: str
    """What the spread of differences is taken from, in words."""
    rows: tuple[tuple[float, int | None, int | None], ...]
    """True differences, each with the examples that it takes looking all along, and those of a fixed comparison with a power of 80 %."""

    @property
    def sentence(self) -> str:
        """Return the price in words."""
        told = [
            f"{100 * effect:.0f} points about {_count_text(along)} examples (a fixed comparison: {_count_text(fixed)})"
            for effect, along, fixed in self.rows
        ]
        return f"looking all along settles a true difference of {', of '.join(told)}; {self.basis}"


def price_of_looking(
    known: Array, *, effects: Sequence[float] = (0.1, 0.05), level: float = 0.95
) -> SequentialPrice:
    """Return what it takes to settle some true differences.

    Args:
        known: Paired differences that are known already, shape (n,); with fewer than `MIN_KNOWN` it is assumed that two candidates
            disagree on a fifth of the examples.
        effects: The true differences.
        level: Confidence over all looks.
    """
    basis = f"by how scores of these two differ on {len(known)} examples"
    if len(known) < MIN_KNOWN or not known.any():
        known = as_array([1.0] * 10 + [-1.0] * 10 + [0.0] * 80)
        basis = "if the two disagree on a fifth of the examples, as nothing is known of them yet"
    rows = []
    for effect in effects:
        chances, values = _moved(effect, known)
        if len(values) == 2 and np.isin(values, (-1.0, 1.0)).all():
            fixed = mcnemar_n(float(chances[0]), float(chances[1]), level=level)
        else:
            fixed = settling_n(values, level=level)
        rows.append((effect, expected_examples(effect, known, level=level), fixed))
    return SequentialPrice(basis, tuple(rows))


def _count_text(count: int | None) -> str:
    return "any number of" if count is None else f"{count:,}"


def _moved(effect: float, differences: Array) -> tuple[Array, Array]:
    """Return chances and values of differences that vary as the given ones and have another mean."""
    if not len(differences):
        return as_array([]), as_array([])
    if np.isin(differences, (-1.0, 0.0, 1.0)).all():
        share = max(float(np.abs(differences).mean()), effect)
        return as_array([(share + effect) / 2, (share - effect) / 2]), as_array([1.0, -1.0])
    moved = np.clip(differences - differences.mean() + effect, -1, 1)
    return np.full(len(moved), 1 / len(moved)), moved


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
            p_value=evidence.p_value,
            method="e-process, looked at all along",
            wins=int((differences > 0).sum()),
            losses=int((differences < 0).sum()),
            ties=int((differences == 0).sum()),
            margin=evidence.margin,
            decision=evidence.decision(),
            answers=count_answers(self.before, self.after),
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
    evidence = Sequential(
        margin=bench.task.margin, level=level, is_graded=repeats > 1 or gives_grades(bench.metric)
    )
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


def gives_grades(metric: Metric | Judged) -> bool | None:
    """Return whether a metric gives scores between 0 and 1; None where nobody knows before it has scored."""
    if isinstance(metric, JudgeMetric):
        return len(metric.grades) > 2 or metric.votes > 1
    return True if isinstance(metric, SpanMatch) else None


def units_of(examples: Sequence[Example], seed: int) -> list[list[Example]]:
    """Return the examples by group, one alone where it has none, in random order."""
    grouped: dict[str, list[Example]] = {}
    for example in sorted(examples, key=lambda e: e.id):
        grouped.setdefault(example.group or example.id, []).append(example)
    units = list(grouped.values())
    Random(seed).shuffle(units)
    return units
