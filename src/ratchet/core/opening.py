"""Opening: one look at the sealed test split — who, when, which champion, and what it showed."""

from ratchet.core.records import Record
from ratchet.core.verdict import Interval

__all__ = ["Opening"]


class Opening(Record):
    """A champion's score on the test split, kept for good, so that nobody looks until it pleases."""

    prefix = "o"
    task: str
    dataset_id: str
    candidate_id: str
    number: int
    """Counts the candidates that this test split was opened for, from 1."""
    who: str
    """The login name of who opened it."""
    at: str
    """When, UTC, ISO 8601."""
    dev_score: float
    dev_interval: Interval
    score: float
    interval: Interval
    """Holds together with those of all openings of this split, however many follow, with 95 % confidence."""
    n: int
    missing: int = 0
    challengers: int = 0
    """Challengers that were compared on dev on the way to this champion."""
    expected_shrinkage: float = 0.0
    """How far the best of that many equal candidates outshines its true score on dev, on average: the winner's curse at its worst."""

    @property
    def sentence(self) -> str:
        """Return what was seen, in words."""
        low, high = 100 * self.interval.low, 100 * self.interval.high
        change = 100 * (self.score - self.dev_score)
        text = f"Test {100 * self.score:.1f} ({low:.1f} to {high:.1f}) on {self.n} examples, dev {100 * self.dev_score:.1f}: {change:+.1f} points."
        if self.expected_shrinkage > 0:  # nobody chose a start that nothing was better than
            text += f" Choosing among {self.challengers + 1} candidates on dev explains up to {100 * self.expected_shrinkage:.1f} points of a loss."
        if self.missing:
            text += f" {self.missing} examples got no reply, or no score."
        return text
