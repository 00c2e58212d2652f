"""Which answers to ask for next, so that the best of several candidates is found without asking all of everyone.

All candidates answer the same first examples. From then on a model of candidates and examples (`twoway`) says how likely each
is to beat the present pick by more than the tolerance; those that may, and the pick, are asked on, each on the examples whose
score is hardest to foretell. A candidate that has no chance left is simply never asked again. It ends when the pick is within the
tolerance of the best with the wanted probability, on all n examples.

That probability is the model's. The bound on the regret is not: it holds for any scores in [0, 1], whatever the model chose and
however often one looks (`regret_bound`). Simulated in tests/measure/test_selection.py; figures in docs/proof.md.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ratchet.measure.intervals import Array
from ratchet.measure.twoway import Forecast, TwoWay

__all__ = ["Cell", "Place", "Selection", "regret_bound"]

FIRST = 5
"""Examples that every candidate answers at the start."""
LEAD = 1.5
"""The pick is asked so many times as often as its rivals: every comparison needs it, and each of them only itself.
Found by trying: docs/log.md, 2026-11-22."""
SHARP = 1.5
"""Rivals are asked by their chance to this power: 1 is Thompson's rule, which costs a little more."""
CARE = 0.75
"""It ends when the model's own chance of error is this share of the one that is wanted: it is looked at again and again, and ends at the
luckiest of many looks."""
DRAWS = 2000
ROUNDING = 1e-6
"""What the square root of a covariance that should be zero can come to."""
STAKES = np.geomspace(0.02, 0.49, 8)


class Cell(NamedTuple):
    """One answer: of which candidate, to which example, by their positions."""

    candidate: int
    example: int


@dataclass(frozen=True)
class Place:
    """Where one candidate stands in a race."""

    candidate: int
    estimate: float
    """Its mean score on all examples, as the model completes it."""
    low: float
    high: float
    """The model's 95 % interval of it."""
    chance: float
    """The probability, by the model, that it is within the tolerance of the best."""
    answered: int


@dataclass(frozen=True)
class _View:
    """What is known of the mean scores at one time."""

    forecast: Forecast
    drawn: Array
    """Random mean scores, shape (draws, candidates)."""


class Selection:
    """The state of a race between candidates on n examples.

    Args:
        candidates: How many there are.
        examples: How many.
        tolerance: A loss of score against the best, in [0, 1), that does not matter.
        confidence: The probability of a pick within the tolerance at which it ends.
        seed: Of the order of the examples and of all draws: the same scores lead to the same questions.
    """

    def __init__(
        self,
        candidates: int,
        examples: int,
        *,
        tolerance: float = 0.01,
        confidence: float = 0.95,
        seed: int = 0,
    ) -> None:
        self.tolerance, self.confidence = tolerance, confidence
        self.order: NDArray[np.intp] = np.random.default_rng(seed).permutation(examples)
        self.scores = np.zeros((candidates, examples))
        self.seen = np.zeros((candidates, examples))
        self._closed = np.zeros((candidates, examples), dtype=bool)
        """Cells that are asked already, or will never be answered."""
        self._pending = np.zeros((candidates, examples), dtype=bool)
        """Cells that are asked and not answered yet."""
        self._out = np.zeros(candidates, dtype=bool)
        self.costs = np.ones(candidates)
        """What a call of each candidate costs, in any one unit: a dear one must be the likelier winner to be asked."""
        self._model, self._seed, self._looks = TwoWay(candidates), seed, 0
        self._normal = np.random.default_rng([seed, 1]).standard_normal((DRAWS, candidates))
        """The same random numbers at every look: what is known is all that changes between them."""
        self._views: dict[bool, _View] = {}
        """What is known: without, and with what can be foreseen of the answers under way."""
        self._is_over = False

    def put(self, cell: Cell, score: float | None) -> None:
        """Take a score; None where none will come."""
        self._closed[cell], self._pending[cell] = True, False
        if score is not None:
            self.scores[cell], self.seen[cell] = score, 1
        self._views.clear()

    def close(self, candidate: int) -> None:
        """Ask a candidate nothing more, and do not pick it."""
        self._closed[candidate], self._out[candidate] = True, True

    @property
    def forecast(self) -> Forecast:
        """Return what is known of the mean scores; fitted again where scores came in."""
        return self._view().forecast

    def _view(self, *, ahead: bool = False) -> _View:
        """Return what is known now, or ahead: once what is asked is answered, as far as that can be foreseen.

        An answer under way makes its candidate as well known as one that is there, so that nobody is asked twice over.
        """
        ahead = ahead and bool(self._pending.any())
        if not self._views:
            self._model.fit(self.scores, self.seen)
        if ahead not in self._views:
            scores, seen = self.scores, self.seen
            if ahead:
                expected = self._model.expected(scores, seen)
                scores, seen = np.where(self._pending, expected, scores), seen + self._pending
            forecast = self._model.forecast(scores, seen)
            self._views[ahead] = _View(forecast, forecast.draws(self._normal))
        return self._views[ahead]

    @property
    def pick(self) -> int:
        """Return the candidate that looks best; of equals the cheapest, then the first."""
        return self._ranked(self._view())[0]

    def _ranked(self, view: _View) -> list[int]:
        means = np.where(self._out, -1.0, view.forecast.means.round(9))
        return [int(k) for k in np.lexsort((self.costs, -means))]

    def chances(self, *, ahead: bool = False) -> Array:
        """Return each candidate's probability to be within the tolerance of the best, by the model, shape (candidates,).

        Args:
            ahead: Not now, but once what is asked is answered.
        """
        drawn = np.where(self._out, -1.0, self._view(ahead=ahead).drawn)
        best = drawn.max(1, keepdims=True)
        return np.asarray((drawn >= best - self.tolerance - ROUNDING).mean(0))

    def is_settled(self) -> bool:
        """Return whether the pick is, or was at a look, within the tolerance of the best with the wanted probability."""
        if not self._is_over and self.seen.any():
            enough = 1 - CARE * (1 - self.confidence)
            may_be = self.chances(ahead=True).max() >= enough  # more is known then
            self._is_over = may_be and bool(self.chances()[self.pick] >= enough)
        return self._is_over

    def ask(self, size: int) -> list[Cell]:
        """Return up to `size` cells to ask next, all of the first round at once; none when it is settled, or nothing is left."""
        if self._looks == 0:
            cells = [Cell(k, int(j)) for j in self.order[:FIRST] for k in range(len(self.scores))]
        elif self.is_settled():
            return []
        else:
            cells = self._next(size)
        self._looks += 1
        fresh = [cell for cell in cells if not self._closed[cell]]
        for cell in fresh:
            self._closed[cell] = self._pending[cell] = True
        self._views.pop(True, None)
        return fresh if fresh or self._closed.all() or self._looks > 1 else self.ask(size)

    def _next(self, size: int) -> list[Cell]:
        view = self._view(ahead=True)
        pick = self._ranked(view)[0]
        drawn = np.where(self._out, -1.0, view.drawn)
        rng = np.random.default_rng([self._seed, self._looks])
        beaten = drawn[(drawn > drawn[:, [pick]] + self.tolerance + ROUNDING).any(1)]
        wins = np.bincount(beaten.argmax(1), minlength=len(self.scores))
        weights = wins**SHARP / self.costs
        left = (~self._closed).sum(1)
        counts = self.seen.shape[1] - left
        taken = np.zeros(len(self.scores), dtype=int)
        for _ in range(size):
            free = weights * (taken < left)
            pick_is_free = taken[pick] < left[pick]
            if free.sum():
                rival = int(rng.choice(len(free), p=free / free.sum()))
                behind = counts[pick] + taken[pick] <= LEAD * (counts[rival] + taken[rival])
                chosen = pick if pick_is_free and behind else rival
            elif pick_is_free:
                chosen = pick
            else:
                break
            taken[chosen] += 1
        return [
            Cell(int(k), j) for k in np.flatnonzero(taken) for j in self._examples(int(k), taken[k])
        ]

    def _examples(self, candidate: int, count: int) -> list[int]:
        """Return the examples that a candidate answers next: the least foreseeable, in the random order where they are alike."""
        queue = self.order[~self._closed[candidate, self.order]]
        expected = self._view(ahead=True).forecast.expected[candidate, queue]
        surest_last = np.argsort(-expected * (1 - expected), kind="stable")
        return [int(j) for j in queue[surest_last[:count]]]

    def places(self, *, ahead: bool = False) -> list[Place]:
        """Return all candidates, best first; `ahead` as for `chances`."""
        view, chances = self._view(ahead=ahead), self.chances(ahead=ahead)
        forecast = view.forecast
        half = 1.96 * np.sqrt(np.maximum(0, np.diag(forecast.covariance)))
        places = [
            Place(
                candidate=k,
                estimate=float(mean),
                low=max(0.0, float(mean - half[k])),
                high=min(1.0, float(mean + half[k])),
                chance=float(chances[k]),
                answered=int(self.seen[k].sum()),
            )
            for k, mean in enumerate(forecast.means)
        ]
        return [places[k] for k in self._ranked(view)]

    def regret(self, level: float = 0.95) -> float:
        """Return how far the pick can be from the best on all examples; holds at every look together with confidence `level`."""
        return regret_bound(self.scores, self.seen, self.order, self.pick, level=level)


def regret_bound(
    scores: Array, seen: Array, order: NDArray[np.intp], pick: int, *, level: float = 0.95
) -> float:
    """Return a bound on (best mean score − the pick's) over all n examples, for scores in [0, 1], shape (candidates, n).

    Two bounds for each rival, whichever is lower. One is arithmetic: what is not seen counts as 1 for the rival and 0 for the pick.
    The other bets on the differences along the random order, as far as both were asked without a gap: a sample without
    replacement, so by Ville's inequality it fails at any look with probability (1 - level)/(candidates - 1) at most. Only the pair
    of the true best and the pick must hold, and there are candidates - 1 such pairs, whichever the pick is.

    Source: Waudby-Smith and Ramdas (2020), "Confidence sequences for sampling without replacement".
    """
    candidates, n = scores.shape
    if candidates < 2:  # nobody to be behind
        return 0.0
    wall = math.log((candidates - 1) / (1 - level))
    reach = first_gap(seen[:, order])
    bounds = []
    for rival in (k for k in range(candidates) if k != pick):
        most = np.where(seen[rival] > 0, scores[rival], 1) - np.where(
            seen[pick] > 0, scores[pick], 0
        )
        common = order[: min(reach[rival], reach[pick])]
        sample = scores[rival, common] - scores[pick, common]
        bounds.append(min(float(most.mean()), highest_mean(sample, n, wall)))
    return max(0.0, *bounds)


def first_gap(seen: Array) -> NDArray[np.intp]:
    """Return how many columns each row has seen before its first gap, shape (rows,)."""
    gaps = seen == 0
    reach: NDArray[np.intp] = np.where(gaps.any(1), gaps.argmax(1), seen.shape[1])
    return reach


def highest_mean(sample: Array, n: int, wall: float) -> float:
    """Return the largest mean of n values in [-1, 1] that bets on a smaller one have not ruled out.

    Args:
        sample: The first of the values, in random order, shape (m,) with m ≤ n.
        n: How many there are in all.
        wall: Logarithm of the capital at which a mean is ruled out.
    """
    if len(sample) == 0:
        return 1.0
    before = np.concatenate([[0.0], np.cumsum(sample)[:-1]])
    left = n - np.arange(len(sample))

    def log_capital(mean: float) -> float:
        rest = np.minimum(1.0, (n * mean - before) / left)
        """The mean of the values that are left; above 1 it would be ruled out anyhow."""
        grown = np.log1p(np.outer(STAKES, rest - sample)).sum(1)
        return float(np.logaddexp.reduce(grown) - math.log(len(STAKES)))

    most = (float(sample.sum()) + n - len(sample)) / n
    low, high = max(-1.0, float(sample.mean())), most
    if log_capital(high) < wall:
        return high
    while high - low > 1e-3:
        middle = (low + high) / 2
        low, high = (low, middle) if log_capital(middle) >= wall else (middle, high)
    return high
