"""Verdict: a comparison of two candidates on the same examples."""

import math
from typing import Literal

from ratchet.core.records import Record

__all__ = ["Decision", "Interval", "Verdict", "points_text"]

Decision = Literal["better", "not worse", "worse", "no evidence"]


class Interval(Record):
    """A two-sided confidence interval, in score units (0.01 is one point); NaN bounds where nothing can be said."""

    low: float
    high: float
    level: float = 0.95
    method: str = ""


def points_text(score: float, interval: Interval) -> str:
    """Return a score in points of 100 with its interval: "84.2 ± 4.1", or "97.0 (91.5 to 99.4)" where a half-width would mislead.

    That is where the interval is not as wide below the score as above, to a tenth of a point, or ends at 0 or 100.
    """
    if math.isnan(score):
        return "n/a"
    low, high = interval.low, interval.high
    if math.isnan(low):
        return f"{100 * score:.1f} (too few for an interval)"
    is_even = abs((score - low) - (high - score)) < 0.001
    if is_even and 0 < low < high < 1:
        return f"{100 * score:.1f} ± {50 * (high - low):.1f}"
    return f"{100 * score:.1f} ({100 * low:.1f} to {100 * high:.1f})"


class Verdict(Record):
    """What is known of challenger minus champion."""

    prefix = "v"
    champion_id: str
    challenger_id: str
    split: str
    metric_id: str
    n: int
    """Examples that both answered."""
    missing: int = 0
    """Examples that one of them did not answer (endpoint failures); reported, never scored."""
    champion_score: float
    challenger_score: float
    effect: float
    """Mean of the paired differences, in score units."""
    interval: Interval
    p_value: float
    method: str
    wins: int
    losses: int
    ties: int
    margin: float
    """The loss that still counts as "not worse"."""
    decision: Decision
    groups: int | None = None
    """Independent groups that the examples fall into, where some share one; then the groups are what counts as evidence."""
    bootstrap: Interval | None = None
    """The BCa bootstrap interval of the effect, for graded scores."""
    adjusted_p: float | None = None
    """The p-value after Holm's adjustment, where several challengers were compared at once."""
    power: float | None = None
    """The chance that a new sample of this size would settle a true difference as large as this effect."""
    visible: float | None = None
    """The smallest true difference that a sample of this size settles with a power of 80 %."""
    answers: tuple[int, int] | None = None
    """Answers of champion and of challenger that the scores are means of: more than `n` where examples were asked repeatedly."""
    identical: bool = False
    """Whether both gave the same answers to all `n` examples."""
    settle_n: int | None = None
    """Examples that would settle a difference of this size with a power of 80 %; None where no number would."""

    @property
    def sentence(self) -> str:
        """Return the verdict in words."""
        if self.identical:
            return f"Identical: the same answers to all {self.n} examples{self._missing}."
        head = {
            "better": "The challenger is better",
            "not worse": "The challenger is not worse",
            "worse": "The challenger is worse",
            "no evidence": "No evidence of a difference",
        }[self.decision]
        low, high = 100 * self.interval.low, 100 * self.interval.high
        level = 100 * self.interval.level
        percent = f"{level:.3g}" if level < 99.9 else f"{level:.2f}"
        text = f"{head}: {100 * self.effect:+.1f} points, {percent} % interval {low:+.1f} to {high:+.1f}, on {self.n} examples"
        if self.groups:
            text += f" in {self.groups} groups"
        text += self._repeats
        if self.decision == "no evidence" and self.settle_n:
            text += f"; about {self.settle_n:,} examples would settle a difference of this size"
        return text + self._missing + "."

    @property
    def _missing(self) -> str:
        return f"; {self.missing} examples are missing an answer" if self.missing else ""

    @property
    def _repeats(self) -> str:
        """Return how often the examples were asked, where that is more than once."""
        if self.answers is None or max(self.answers) <= self.n:
            return ""
        each = {count / self.n for count in self.answers}
        if len(each) == 1 and (share := each.pop()).is_integer():
            return f", {share:.0f} answers to each on both sides"
        return f", {self.answers[0]:,} and {self.answers[1]:,} answers"
