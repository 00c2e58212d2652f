"""Diagnosis: why a candidate's answers fail, found by experiment, and what each lever may gain."""

from typing import Literal

from ratchet.core.records import Record
from ratchet.core.step import Spend
from ratchet.core.verdict import Interval

__all__ = ["CAUSES", "Cause", "Cluster", "Diagnosis", "Experiment", "Promise", "Share"]

Cause = Literal[
    "label looks wrong",
    "behaviour or format",
    "inconsistent",
    "knowledge missing",
    "search missed it",
    "ignored the context",
    "beyond this model",
    "unexplained",
]
CAUSES: dict[Cause, str] = {
    "label looks wrong": "all candidates agree against the reference",
    "behaviour or format": "right with examples, other words, or the error handed back",
    "inconsistent": "right when asked again",
    "knowledge missing": "right when told what one must know",
    "search missed it": "right when told, and the search did not find it",
    "ignored the context": "wrong though the passages hold it",
    "beyond this model": "right on a stronger model alone",
    "unexplained": "nothing that was tried turns it right",
}


class Share(Record):
    """How many failures have a cause."""

    cause: Cause
    count: int
    share: float
    """Of the failures."""
    interval: Interval
    examples: tuple[str, ...] = ()
    """Ids of some of them."""


class Experiment(Record):
    """One change of the candidate, and what it does to answers that failed and to answers that were right."""

    name: str
    what: str
    lever: str
    """The lever that makes such a change; empty for a control."""
    candidate_id: str
    fixed: int
    """Of `failures`."""
    failures: int
    broken: int
    """Of `others`."""
    others: int
    gain: float
    """Expected on all examples, in score units."""
    interval: Interval


class Promise(Record):
    """What a lever may gain."""

    lever: str
    gain: float
    """Expected, in score units."""
    interval: Interval
    why: str


class Cluster(Record):
    """Failures that are alike."""

    name: str
    """The words that set them apart; empty where they share none."""
    count: int
    examples: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """Return what they have in common, in words."""
        failures = "1 failure" if self.count == 1 else f"{self.count} failures"
        is_named = self.name not in ("", "(no words)")  # as earlier versions wrote it
        return f"{failures} with {self.name}" if is_named else f"{failures} with similar inputs"


class Diagnosis(Record):
    """Why a candidate's answers fail."""

    prefix = "g"
    task: str
    candidate_id: str
    n: int
    """Train examples that were looked at."""
    failures: int
    score: float
    shares: tuple[Share, ...]
    """Of the failures that were experimented on, the largest first."""
    experiments: tuple[Experiment, ...]
    promises: tuple[Promise, ...]
    """Of levers, the largest first."""
    knows: float
    """How much of the failures is a matter of what it must know, in [0, 1]."""
    acts: float
    """How much is a matter of how it must act."""
    clusters: tuple[Cluster, ...] = ()
    spend: Spend = Spend()

    @property
    def cause(self) -> Cause | None:
        """Return the cause of most failures; None where nothing fails."""
        explained = [one for one in self.shares if one.cause != "unexplained" and one.count]
        if explained:
            return explained[0].cause
        return "unexplained" if self.failures else None

    def share(self, *causes: Cause) -> float:
        """Return the share of failures that have one of these causes."""
        return sum(one.share for one in self.shares if one.cause in causes)
