"""Trial: one candidate's answer to one example — output, score, tokens, cost and latency."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from ratchet.core.knowledge import Passage
from ratchet.core.records import Json, Record

__all__ = ["FailureKind", "Score", "Trial", "Usage", "total"]

FailureKind = Literal["unparsable", "wrong form", "cut off", "cut off thinking", "empty", "refused"]
"""How an answer can fail before it is scored; such an answer scores 0 and is counted under its kind."""


class Usage(Record):
    """What one call used; tokens are counts, cost is in US dollars, NaN-free: None where nothing is known."""

    prompt_tokens: int = 0
    """All of the prompt's, those from a cache too."""
    completion_tokens: int = 0
    """All that were generated, thinking too."""
    cost_usd: float | None = None
    cached_tokens: int = 0
    """Those of the prompt that were read from the provider's cache."""
    cache_write_tokens: int = 0
    """Those of the prompt that were written to it, where that has a price of its own."""
    reasoning_tokens: int = 0
    """Those of the completion that were thinking."""


def total(usages: Sequence[Usage]) -> Usage:
    """Return what several calls used; the cost is unknown where one of them is."""
    if len(usages) == 1:
        return usages[0]
    costs = [usage.cost_usd for usage in usages]
    known = [cost for cost in costs if cost is not None]
    return Usage(
        prompt_tokens=sum(usage.prompt_tokens for usage in usages),
        completion_tokens=sum(usage.completion_tokens for usage in usages),
        cost_usd=sum(known) if len(known) == len(costs) else None,
        cached_tokens=sum(usage.cached_tokens for usage in usages),
        cache_write_tokens=sum(usage.cache_write_tokens for usage in usages),
        reasoning_tokens=sum(usage.reasoning_tokens for usage in usages),
    )


class Score(Record):
    """What a metric says of one answer."""

    value: Annotated[float, Field(ge=0, le=1)]
    parts: dict[str, Json] = {}
    """The pieces that the value was made of, for reports and for aggregates such as macro-F1."""
    feedback: str = ""
    """A sentence that says what was right and what was wrong."""


class Trial(Record):
    """One candidate's answer to one example, kept for good: a trial that exists is never paid for twice."""

    candidate_id: str
    task_id: str = ""
    """The task's `asking_id`: what shaped the request beside candidate and example."""
    example_id: str
    repeat: int = 0
    output: str = ""
    """The text of the answer as it came, or the arguments of the tool call."""
    answer: Json = None
    """The answer in the task's form; None where it failed."""
    failure: FailureKind | None = None
    usage: Usage = Usage()
    latency_s: float = 0.0
    """Seconds from the request to the whole reply, retries left out."""
    sent: dict[str, Json] = {}
    """What went over the wire otherwise than the candidate says: the protocol, what was left out, how a form was forced."""
    probabilities: dict[str, float] = {}
    """Of each label, summing to one, where the answer is a decision."""
    score: Score | None = None
    """The score under the metric that was asked for; None until it is scored."""
    passages: tuple[str, ...] = ()
    """The ids of the passages that it saw."""
    seen: Annotated[tuple[Passage, ...], Field(exclude=True)] = ()
    """Those passages, of a new answer; of one that was read back they are read by their ids."""
    calls: Annotated[int, Field(exclude=True)] = 1
    """The calls that a new answer took; 1 where it was read back."""

    @property
    def unknown(self) -> frozenset[str]:
        """Return which figures of an answer that was collected elsewhere nobody knows: `tokens`, `latency_s`."""
        names = self.sent.get("unknown", ())
        return frozenset(names) if isinstance(names, list | tuple) else frozenset()
