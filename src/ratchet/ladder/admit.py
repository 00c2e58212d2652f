"""Whether a challenger takes the champion's place: only on a verdict, at a level that accounts for all challengers before it.

The k-th comparison on a ladder is made at alpha_k = alpha · 6 / (π² k²). These sum to alpha over any number of rungs, so by
the union bound the chance that one or more rungs of a ladder are false stays at most alpha, however long one climbs.
Simulated in tests/ladder/test_admit.py.
"""

import math

from ratchet.core import Verdict
from ratchet.measure import Measurement

__all__ = ["ALPHA", "SAVING", "admit", "level_of"]

ALPHA = 0.05
SAVING = 0.2
"""A challenger that is not worse takes the place if it saves at least this share of the cost, or of the tokens where cost is 0."""


def level_of(comparison: int, alpha: float = ALPHA) -> float:
    """Return the confidence level of the `comparison`-th verdict on a ladder, counted from 1."""
    return 1 - alpha * 6 / (math.pi**2 * comparison**2)


def admit(verdict: Verdict, champion: Measurement, challenger: Measurement) -> bool:
    """Return whether the challenger is kept: better, or not worse and cheaper by `SAVING`."""
    if verdict.decision == "better":
        return True
    return verdict.decision == "not worse" and saving(champion, challenger) >= SAVING


def saving(champion: Measurement, challenger: Measurement) -> float:
    """Return the share of the champion's cost a call that the challenger saves; negative where it is dearer."""
    before, after = (cost_of(measured) for measured in (champion, challenger))
    return (
        0.0
        if before is None or after is None or before[1] != after[1] or not before[0]
        else 1 - after[0] / before[0]
    )


def cost_of(measured: Measurement) -> tuple[float, str] | None:
    """Return dollars a call, or tokens a call where calls are free; None where the price is unknown."""
    cost = measured.cost_a_call
    if cost is None:
        return None
    return (cost, "usd") if cost else (measured.tokens_a_call, "tokens")
