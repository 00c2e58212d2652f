"""Two candidates that answer different requests at once: is one worse, by what people say of their answers, however often one looks?

Answers of the two arms are paired in the order of their coming; of a pair only which arm did better counts. Where neither is worse each
arm wins half of the pairs that differ, so that a mixture of bets against that is a martingale, and the chance that it ever reaches
1/α is at most α (Ville). Source: Robbins (1970); the uniform mixture over shares below one half. Simulated in tests/measure/test_live.py.
"""

import math
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


def live_test(old: list[float], new: list[float]) -> LiveTest:
    """Return the test of two arms.

    Args:
        old: Scores of what is served, in [0, 1], in the order of their coming.
        new: Those of the new candidate.
    """
    pairs = list(zip(old, new, strict=False))
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
    n = fewer + more
    log_below = special.betaln(fewer + 1, more + 1) + math.log(
        max(float(special.betainc(fewer + 1, more + 1, 0.5)), 1e-300)
    )
    return math.exp(min(700.0, n * math.log(2) + math.log(2) + log_below))


def mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan
