"""Step: one rung of the ladder — the challenger, what it cost to find, the verdict, kept or dropped."""

from ratchet.core.records import Record
from ratchet.core.verdict import Interval, Verdict

__all__ = ["Entrant", "Spend", "Step"]


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


class Entrant(Record):
    """A candidate that ran in a race and did not win it."""

    candidate_id: str
    what: str
    """What it changed, in a few words."""
    estimate: float
    """Its mean score on all examples, as the race's model completes it."""
    answered: int
    """The examples that it was asked about before it was given up."""


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
    refused: tuple[str, ...] = ()
    """Conditions of the task's policy that the challenger breaks, where its score would do."""
    dataset: str = ""
    """The id of the train and dev examples that it was made with; empty where nobody wrote it down."""
    spend: Spend = Spend()
    """All that the lever took on this rung: proposals, training, and every challenger's trials."""
    tried: int = 1
    """Challengers that this rung looked at."""
    left: int = 0
    """Proposals of the lever that were still to get their own rung: a climb that was killed here goes on with them."""
    losers: tuple[Entrant, ...] = ()
    """Those beside the one that it is about, the best first, where there was a race."""

    @property
    def tried_ids(self) -> tuple[str, ...]:
        """Return the ids of all whom this rung looked at."""
        return (self.candidate_id, *(one.candidate_id for one in self.losers))
