"""Step: one rung of the ladder — the challenger, what it cost to find, the verdict, kept or dropped."""

from ratchet.core.records import Record
from ratchet.core.verdict import Interval, Verdict

__all__ = ["Spend", "Step"]


class Spend(Record):
    """What something took."""

    calls: int = 0
    tokens: int = 0
    seconds: float = 0.0
    cost_usd: float | None = None
    """US dollars; None where a price is unknown."""

    def plus(self, other: "Spend") -> "Spend":
        """Return the sum; a cost that is unknown on one side is unknown in the sum."""
        unknown = self.cost_usd is None or other.cost_usd is None
        cost = None if unknown else (self.cost_usd or 0) + (other.cost_usd or 0)
        return Spend(
            calls=self.calls + other.calls,
            tokens=self.tokens + other.tokens,
            seconds=self.seconds + other.seconds,
            cost_usd=cost,
        )


class Step(Record):
    """One rung of the ladder."""

    prefix = "s"
    task: str
    number: int
    lever: str
    """The lever that proposed the challenger; `start` for the first rung."""
    what: str
    """What changed, in a few words."""
    candidate_id: str
    score: float
    interval: Interval
    n: int
    verdict: Verdict | None = None
    """Challenger against the champion of the time; None for the first rung."""
    kept: bool
    spend: Spend = Spend()
    """All that the lever took on this rung: proposals, training, and every challenger's trials."""
    tried: int = 1
    """Challengers that this rung looked at."""
