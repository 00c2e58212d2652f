"""Quality against cost and latency: which candidates are worth a choice, and which is the cheapest that is not worse than the best."""

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
    """Return each candidate with what dominates it, best score first."""
    ordered = sorted(measurements, key=lambda m: (-m.score, m.candidate.id))
    return [
        Standing(one, next((o.candidate.id for o in ordered if dominates(o, one)), None))
        for one in ordered
    ]


def dominates(one: Measurement, other: Measurement) -> bool:
    pairs = list(zip(burdens(one), burdens(other), strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def burdens(measured: Measurement) -> tuple[float, ...]:
    """Return what should be small: the score's negative, dollars and tokens a call, median latency."""
    return (
        -measured.score,
        measured.cost_a_call or 0.0,
        measured.tokens_a_call,
        measured.latency(0.5),
    )


def cheapest_not_worse(measurements: Sequence[Measurement], *, margin: float) -> Measurement:
    """Return the cheapest candidate that is proven to be within `margin` of the best-scoring one; that one, where none is.

    The proofs hold together at 95 %. Dollars count, and tokens where calls are free or a price is unknown.
    """
    best = max(measurements, key=lambda m: (m.score, m.candidate.id))
    others = [m for m in measurements if m is not best]
    verdicts = compare_all(best, others, margin=margin)
    close = [
        m for m, v in zip(others, verdicts, strict=True) if v.decision in ("better", "not worse")
    ]
    priced = all(m.cost_a_call for m in measurements)
    return min([best, *close], key=lambda m: (m.cost_a_call or 0.0) if priced else m.tokens_a_call)
