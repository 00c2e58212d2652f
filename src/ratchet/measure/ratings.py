"""Rankings from pairwise outcomes: Bradley-Terry strengths, Elo ratings, and how uncertain a rank is.

An outcome is a tie, or one side wins; a tie is half a win for both. Examples, or groups of them, are what is drawn anew in the
bootstrap, not single comparisons: all comparisons on one example stand or fall together. Checked against evalica in the tests.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import stats
from scipy.special import expit

from ratchet.core import Interval
from ratchet.core.errors import DataError
from ratchet.measure.intervals import Array, expanded

__all__ = ["Bout", "Rating", "bradley_terry", "elo", "rank"]

ROUNDS, PRECISION, LONGEST = 100, 1e-9, 2.0
PRIOR = 0.1
"""Ties that each pair is thought to have had beforehand: who has lost everything is weak, not infinitely so."""
K, SCALE, START = 4.0, 400.0, 1000.0


class Bout(NamedTuple):
    """One comparison of two candidates, by their positions, on one example."""

    first: int
    second: int
    result: float
    """1 if the first wins, 0 if the second does, 0.5 for a tie."""
    unit: str
    """The example, or the group that it is of: what the bootstrap draws."""


@dataclass(frozen=True, kw_only=True)
class Rating:
    """Where one candidate stands."""

    candidate: int
    strength: float
    """Bradley-Terry, on the scale of Elo: 400 points are odds of ten to one, and the mean is 1,000."""
    interval: Interval
    elo: float
    """The Elo rating, averaged over random orders of the comparisons."""
    rank: int
    best_rank: int
    worst_rank: int
    """The ranks that 95 % of the bootstrap samples stay within."""
    wins: int
    losses: int
    ties: int

    @property
    def ranks(self) -> str:
        """Return the rank with its uncertainty: "2-4", or "2" where it is sure."""
        if self.best_rank == self.worst_rank:
            return str(self.best_rank)
        return f"{self.best_rank}–{self.worst_rank}"


def won(bouts: Sequence[Bout], count: int) -> Array:
    """Return how often the row's candidate beat the column's, ties as halves, shape (count, count)."""
    table = np.zeros((count, count))
    for bout in bouts:
        table[bout.first, bout.second] += bout.result
        table[bout.second, bout.first] += 1 - bout.result
    return table


def bradley_terry(wins: Array, *, prior: float = PRIOR) -> Array:
    """Return strengths on the scale of Elo, mean 1,000, shape (count,).

    Args:
        wins: How often the row's candidate beat the column's, ties as halves, shape (count, count).
        prior: Ties added to each pair.

    The likelihood is concave, and Newton's method finds its maximum. Source: Bradley and Terry (1952).
    """
    table = wins + prior / 2 * (1 - np.eye(len(wins)))
    met = table + table.T
    strength = np.zeros(len(table))
    for _ in range(ROUNDS):
        chance = expit(strength[:, None] - strength)
        slope = (table - met * chance).sum(1)
        pull = met * chance * (1 - chance)
        step = np.linalg.pinv(np.diag(pull.sum(1)) - pull, hermitian=True) @ slope
        strength = strength + np.clip(step, -LONGEST, LONGEST)
        if float(np.abs(step).max()) < PRECISION:
            break
    rated: Array = START + SCALE / math.log(10) * (strength - strength.mean())
    return rated


def elo(bouts: Sequence[Bout], count: int, *, orders: int = 20, seed: int = 0) -> Array:
    """Return Elo ratings that start at 1,000, shape (count,), averaged over `orders` random orders: one order alone would matter."""
    rng = np.random.default_rng(seed)
    total = np.zeros(count)
    for _ in range(orders):
        ratings = np.full(count, START)
        for place in rng.permutation(len(bouts)):
            first, second, result, _ = bouts[place]
            expected = 1 / (1 + 10 ** ((ratings[second] - ratings[first]) / SCALE))
            ratings[first] += K * (result - expected)
            ratings[second] -= K * (result - expected)
        total += ratings
    mean: Array = total / orders
    return mean


def rank(
    bouts: Sequence[Bout], count: int, *, level: float = 0.95, resamples: int = 500, seed: int = 0
) -> list[Rating]:
    """Return the candidates, strongest first, with intervals of strength and rank from a bootstrap over examples or groups.

    Raises: DataError without a comparison.
    """
    if not bouts:
        raise DataError(
            "there is no comparison to rank by: no two candidates answered the same example, or no pair was judged"
        )
    strength, rated = bradley_terry(won(bouts, count)), elo(bouts, count)
    by_unit: dict[str, list[Bout]] = {}
    for bout in bouts:
        by_unit.setdefault(bout.unit, []).append(bout)
    tables = np.array([won(group, count) for group in by_unit.values()])
    rng = np.random.default_rng(seed)
    drawn = np.array(
        [
            bradley_terry(
                np.tensordot(
                    rng.multinomial(len(tables), np.full(len(tables), 1 / len(tables))), tables, 1
                )
            )
            for _ in range(resamples)
        ]
    )
    ranks = 1 + (drawn[:, None, :] > drawn[:, :, None] + 1e-9).sum(2)
    reach = expanded(level, max(2, len(tables)))
    tails = stats.norm.cdf([-reach, reach])
    low, high = np.quantile(drawn, tails, axis=0)
    best, worst = np.quantile(ranks, tails, axis=0, method="nearest")
    order = np.argsort(-strength, kind="stable")
    ratings = []
    for place, k in enumerate(map(int, order), 1):
        results = [
            b.result if b.first == k else 1 - b.result for b in bouts if k in (b.first, b.second)
        ]
        ratings.append(
            Rating(
                candidate=k,
                strength=float(strength[k]),
                interval=Interval(
                    low=float(low[k]),
                    high=float(high[k]),
                    level=level,
                    method="bootstrap over examples or groups",
                ),
                elo=float(rated[k]),
                rank=place,
                best_rank=int(best[k]),
                worst_rank=int(worst[k]),
                wins=sum(r == 1 for r in results),
                losses=sum(r == 0 for r in results),
                ties=sum(r == 0.5 for r in results),
            )
        )
    return ratings
