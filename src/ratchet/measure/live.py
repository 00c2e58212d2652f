"""Two candidates that answer different requests at once: is one worse, by what people say of their answers, however often one looks?

Each word on the new arm is paired with the next one on the old arm, so that both speak of the same time; a pair that is made stays as it
is, and of a pair only which arm did better counts. Where neither is worse each arm wins half of the pairs that differ, so that a mixture of bets against that is a martingale, and the chance that it ever reaches
1/α is at most α (Ville). Source: Robbins (1970); the uniform mixture over shares below one half. Simulated in tests/measure/test_live.py.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from scipy import special

__all__ = ["LiveTest", "LiveWord", "live_test"]

ALPHA = 0.05
LiveWord = str
"""`worse`, `better`, or `no evidence`."""


@dataclass(frozen=True, kw_only=True)
class LiveTest:
    """What is known of the new arm beside the old one."""

    old: tuple[int, float]
    """Answers that somebody spoke of, and their mean score."""
    new: tuple[int, float]
    wins: int
    """Pairs in which the new arm did better."""
    losses: int
    against: float
    """The evidence that it is worse: e-value, 1 is none."""
    for_it: float
    """The evidence that it is better."""

    @property
    def word(self) -> LiveWord:
        """Return what is proven with 95 %."""
        if self.against >= 1 / ALPHA:
            return "worse"
        return "better" if self.for_it >= 1 / ALPHA else "no evidence"


def live_test(words: Sequence[tuple[bool, float]]) -> LiveTest:
    """Return the test of two arms.

    Args:
        words: What was said, in the order in which it was said: whether of the new arm, and the score in [0, 1].
    """
    waiting: deque[float] = deque()
    pairs: list[tuple[float, float]] = []
    for is_new, score in words:
        if is_new:
            waiting.append(score)
        elif waiting:
            pairs.append((score, waiting.popleft()))
    old, new = ([score for is_new, score in words if is_new == which] for which in (False, True))
    wins = sum(b > a for a, b in pairs)
    losses = sum(b < a for a, b in pairs)
    return LiveTest(
        old=(len(old), mean(old)),
        new=(len(new), mean(new)),
        wins=wins,
        losses=losses,
        against=mixture(wins, losses),
        for_it=mixture(losses, wins),
    )


def mixture(fewer: int, more: int) -> float:
    """Return the e-value against a fair coin for one that shows `fewer` less than half of the time."""
    n, below = fewer + more, float(special.betainc(fewer + 1, more + 1, 0.5))
    if below == 0.0:  # it shows much more than half of the time
        return 0.0
    log_below = special.betaln(fewer + 1, more + 1) + math.log(below)
    return math.exp(min(700.0, n * math.log(2) + math.log(2) + log_below))


def mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan
