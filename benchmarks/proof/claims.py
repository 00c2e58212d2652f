"""Our statistical claims, each as a simulation: what is promised, what came out, and whether it holds.

Every claim draws its own random numbers from its name, so that one claim can be run again alone and gives the same figures.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from ratchet.ladder import level_of
from ratchet.measure.compare import bonett_price_interval, holm, mcnemar_p, paired_t_p, power_of
from ratchet.measure.intervals import (
    bootstrap_interval,
    mean_interval,
    t_interval,
)
from ratchet.measure.sequential import Sequential

__all__ = ["CLAIMS", "Claim", "Outcome"]

Array = NDArray[np.float64]
Rng = np.random.Generator


@dataclass(frozen=True)
class Outcome:
    """What a simulation gave: a share of `runs`, and the range that was promised for it."""

    what: str
    share: float
    runs: int
    low: float
    high: float

    @property
    def error(self) -> float:
        """Return three standard errors of the share, at the promised bound that is nearer to a half."""
        bound = min((b for b in (self.low, self.high) if 0 < b < 1), key=lambda b: abs(b - 0.5))
        return 3 * math.sqrt(bound * (1 - bound) / self.runs)

    @property
    def holds(self) -> bool:
        """Return whether the share lies in the promised range, but for simulation error."""
        return self.low - self.error <= self.share <= self.high + self.error


@dataclass(frozen=True)
class Claim:
    """A promise and the simulation behind it."""

    name: str
    promise: str
    run: Callable[[Rng, float], list[Outcome]]
    """Takes random numbers and the share of the full number of runs to make."""

    def outcomes(self, size: float = 1.0) -> list[Outcome]:
        """Return what came out; the seed is the checksum of the name."""
        return self.run(np.random.default_rng(crc32(self.name.encode())), size)


def runs_of(full: int, size: float) -> int:
    return max(40, round(full * size))


def pair(rng: Rng, n: int, *, gain: float = 0.0, graded: bool = False) -> tuple[Array, Array]:
    """Return the scores of two candidates on n examples of shared difficulty; the second one is better by about `gain`."""
    hard = rng.random(n)
    a, b = (np.clip(0.6 * hard + 0.4 * rng.random(n) + shift, 0, 1) for shift in (0.0, gain))
    return (a, b) if graded else ((a > 0.5).astype(float), (b > 0.5).astype(float))


def grouped(rng: Rng, groups: int, spread: float = 0.3) -> tuple[Array, NDArray[np.intp]]:
    """Return null differences of `groups` groups of one to nine examples that move together, and their clusters."""
    clusters = np.repeat(np.arange(groups), rng.integers(1, 10, groups))
    return rng.normal(0, spread, groups)[clusters] + rng.normal(0, 0.3, len(clusters)), clusters


def false_verdicts(rng: Rng, size: float) -> list[Outcome]:
    runs = runs_of(10_000, size)
    found = []
    for n in (10, 30, 200):
        for graded in (False, True):
            test = paired_t_p if graded else mcnemar_p
            wrong = 0
            for _ in range(runs):
                a, b = pair(rng, n, graded=graded)
                wrong += test(b - a) < 0.05
            what = f"{'paired t' if graded else 'exact McNemar'}, n = {n}"
            found.append(Outcome(what, wrong / runs, runs, 0.0, 0.05))
    for groups in (8, 15, 60):
        wrong = sum(paired_t_p(*grouped(rng, groups)) < 0.05 for _ in range(runs))
        found.append(Outcome(f"paired t, {groups} groups", wrong / runs, runs, 0.0, 0.055))
    return found


def peeking(rng: Rng, size: float) -> list[Outcome]:
    runs = runs_of(2000, size)
    found = []
    for graded in (False, True):
        wrong = 0
        for _ in range(runs):
            evidence, named = Sequential(margin=0.02), False
            for count, (a, b) in enumerate(zip(*pair(rng, 200, graded=graded), strict=True), 1):
                evidence.add(a, b)
                if count % 5 == 0:
                    named = named or evidence.e_value() >= 20
            wrong += named
        what = f"{'graded' if graded else '0/1'} scores, looked at every 5 examples to 200"
        found.append(Outcome(what, wrong / runs, runs, 0.0, 0.05))
    return found


def best_of_many(rng: Rng, size: float) -> list[Outcome]:
    runs = runs_of(3000, size)
    plain = corrected = 0
    for _ in range(runs):
        hard = rng.random(100)
        champion, *others = ((0.6 * hard + 0.4 * rng.random(100) > 0.5) * 1.0 for _ in range(33))
        p_values = [mcnemar_p(other - champion) for other in others]
        gains = [float((other - champion).mean()) for other in others]
        best = max(range(32), key=gains.__getitem__)
        plain += p_values[best] < 0.05 and gains[best] > 0
        corrected += any(p < 0.05 and g > 0 for p, g in zip(holm(p_values), gains, strict=True))
    return [
        Outcome("the winner of 32 equal challengers, by Holm", corrected / runs, runs, 0.0, 0.05),
        Outcome("the same without a correction (why there is one)", plain / runs, runs, 0.06, 1.0),
    ]


def long_ladders(rng: Rng, size: float) -> list[Outcome]:
    runs = runs_of(2000, size)
    false_rungs = 0
    for _ in range(runs):
        hard = rng.random(100)
        champion = (0.6 * hard + 0.4 * rng.random(100) > 0.5) * 1.0
        for rung in range(1, 101):
            challenger = (0.6 * hard + 0.4 * rng.random(100) > 0.5) * 1.0
            difference = challenger - champion
            if difference.mean() > 0 and mcnemar_p(difference) < 1 - level_of(rung):
                false_rungs += 1
                break
    return [
        Outcome("a false rung among 100 equal challengers", false_rungs / runs, runs, 0.0, 0.05)
    ]


def power(rng: Rng, size: float) -> list[Outcome]:
    runs = runs_of(5000, size)
    found = []
    for n, gain in ((100, 0.05), (300, 0.05), (1000, 0.02)):
        large = np.subtract(*pair(rng, 200_000, gain=gain)[::-1])
        effect, spread = float(large.mean()), float(large.std())
        promised = power_of(effect, spread / math.sqrt(n)) or 0.0
        right = 0
        for _ in range(runs):
            a, b = pair(rng, n, gain=gain)
            right += mcnemar_p(b - a) < 0.05 and (b - a).mean() > 0
        what = (
            f"McNemar, n = {n}, true difference {100 * effect:.1f} points, foretold {promised:.2f}"
        )
        found.append(Outcome(what, right / runs, runs, promised - 0.08, promised + 0.05))
    return found


def coverage(rng: Rng, size: float) -> list[Outcome]:
    runs = runs_of(10_000, size)
    found = []
    for n in (5, 10, 30, 200):
        for p in (0.02, 0.5, 0.9):
            table = [mean_interval(np.repeat([1.0, 0.0], [k, n - k])) for k in range(n + 1)]
            held = [table[k].low <= p <= table[k].high for k in rng.binomial(n, p, runs)]
            low = 0.935 if n >= 30 else 0.95  # exact, and so conservative, below
            what = f"{table[0].method}, n = {n}, p = {p}"
            found.append(Outcome(what, float(np.mean(held)), runs, low, 1.0))
    for n in (10, 30, 200):
        intervals = (mean_interval(rng.beta(2, 5, n)) for _ in range(runs))
        held = [i.low <= 2 / 7 <= i.high for i in intervals]
        found.append(
            Outcome(f"Student's t, graded, n = {n}", float(np.mean(held)), runs, 0.935, 0.965)
        )
    for n in (30, 200):
        draws = (rng.choice([1.0, -1.0, 0.0], size=n, p=[0.15, 0.05, 0.8]) for _ in range(runs))
        held = [i.low <= 0.1 <= i.high for i in map(bonett_price_interval, draws)]
        found.append(Outcome(f"Bonett-Price, n = {n}", float(np.mean(held)), runs, 0.94, 0.985))
    few = runs_of(2000, size)
    for make, name in ((t_interval, "t"), (bootstrap_interval, "BCa bootstrap")):
        for groups in (15, 60):
            intervals = (make(*grouped(rng, groups)) for _ in range(few))
            held = [i.low <= 0 <= i.high for i in intervals]
            low = 0.94 if name == "t" else 0.9
            found.append(Outcome(f"{name}, {groups} groups", float(np.mean(held)), few, low, 0.97))
    return found


def openings(rng: Rng, size: float) -> list[Outcome]:
    runs = runs_of(5000, size)
    missed = 0
    for _ in range(runs):
        for number in range(1, 11):
            values = rng.beta(2, 5, 60)
            interval = mean_interval(values, level=level_of(number))
            if not interval.low <= 2 / 7 <= interval.high:
                missed += 1
                break
    return [Outcome("one or more of ten openings misses", missed / runs, runs, 0.0, 0.05)]


def repeats(rng: Rng, size: float) -> list[Outcome]:
    """Repeats of examples are no evidence: with ten repeats of ten examples the clustered interval still covers."""
    runs = runs_of(5000, size)
    held = 0
    for _ in range(runs):
        hard = rng.beta(2, 2, 12)
        means = rng.binomial(10, hard) / 10
        interval = t_interval(means)
        held += interval.low <= 0.5 <= interval.high
    return [
        Outcome("12 examples, ten repeats each, averaged first", held / runs, runs, 0.935, 0.965)
    ]


CLAIMS = (
    Claim("false verdicts", "two equal candidates are told apart in at most 5 % of comparisons (5.5 % with groups)", false_verdicts),
    Claim("peeking", "the same, though one looks all along", peeking),
    Claim("best of many", "the same for the best of 32 challengers", best_of_many),
    Claim("long ladders", "a ladder of 100 equal challengers has a false rung in at most 5 % of ladders", long_ladders),
    Claim("power", "a verdict finds a true difference as often as it foretells", power),
    Claim("coverage", "95 % intervals hold the truth 95 % of the time, small samples and the ends of the scale included", coverage),
    Claim("openings", "the intervals of ten openings of a test split hold together with 95 %", openings),
    Claim("repeats", "repeating examples adds no false certainty", repeats),
)  # fmt: skip
