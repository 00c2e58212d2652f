"""Quality against cost and latency: which candidates are worth a choice, and which is the cheapest that is not worse than the best."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ratchet.measure.compare import compare_all
from ratchet.measure.measurement import Measurement

__all__ = ["Standing", "cheapest_not_worse", "standings"]


@dataclass(frozen=True)
class Standing:
    """One candidate among others."""

    measured: Measurement
    dominated_by: str | None
    """The id of a candidate that is at least as good, as cheap and as fast, and better in one of them; by point estimates."""

    @property
    def cost_per_1000(self) -> float | None:
        """Return dollars a thousand calls; None where a price is unknown."""
        cost = self.measured.cost_a_call
        return None if cost is None else 1000 * cost


def standings(measurements: Sequence[Measurement]) -> list[Standing]:
    """Return each candidate with what dominates it, best score first; of equal scores the cheapest first."""
    ordered = sorted(measurements, key=lambda m: (-m.score, *expense(m), m.candidate.id))
    return [
        Standing(one, next((o.candidate.id for o in ordered if dominates(o, one)), None))
        for one in ordered
    ]


def dominates(one: Measurement, other: Measurement) -> bool:
    """Return whether `one` is at least as good, as cheap and as fast as `other`, and better in one of them.

    Where only one of two prices, numbers of tokens or latencies is known nobody can say which is less, so that neither dominates.
    """
    if [math.isinf(x) for x in expense(one)] != [math.isinf(x) for x in expense(other)]:
        return False
    pairs = list(zip(burdens(one), burdens(other), strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def burdens(measured: Measurement) -> tuple[float, ...]:
    """Return what should be small: the score's negative, dollars and tokens a call, median latency."""
    return -measured.score, *expense(measured)


def expense(measured: Measurement) -> tuple[float, float, float]:
    """Return dollars a call, tokens a call and median latency; what is unknown comes after all that is known."""
    cost, tokens, seconds = measured.cost_a_call, measured.tokens_a_call, measured.latency(0.5)
    return (
        math.inf if cost is None else cost,
        math.inf if math.isnan(tokens) else tokens,
        math.inf if math.isnan(seconds) else seconds,
    )


def cheapest_not_worse(measurements: Sequence[Measurement], *, margin: float) -> Measurement:
    """Return the cheapest candidate that is proven to be within `margin` of the best-scoring one; that one, where none is.

    The proofs hold together at 95 %. Dollars count first, then tokens, then latency, then the score; where a price is unknown,
    tokens count first. Whom another candidate dominates is never the pick.
    """
    best = min(measurements, key=lambda m: (-m.score, *expense(m), m.candidate.id))
    others = [m for m in measurements if m is not best]
    verdicts = compare_all(best, others, margin=margin)
    close = [
        m for m, v in zip(others, verdicts, strict=True) if v.decision in ("better", "not worse")
    ]
    choices = [
        m for m in (best, *close) if m is best or not any(dominates(o, m) for o in measurements)
    ]
    first = 0 if all(m.cost_a_call is not None for m in measurements) else 1
    return min(choices, key=lambda m: (*expense(m)[first:], -m.score, m.candidate.id))
