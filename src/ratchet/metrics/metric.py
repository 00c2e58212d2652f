"""What it is to be a metric: from an example and an answer to a score in [0, 1], its parts and a sentence of feedback."""

from collections.abc import Sequence
from typing import Literal, Protocol

from ratchet.core import Example, FailureKind, Json, Score, Task, content_id
from ratchet.core.errors import MetricError

__all__ = [
    "MAX_FAILED_SHARE",
    "Aggregate",
    "Metric",
    "check_references",
    "failed_share_of",
    "metric_id",
    "needs_references",
    "references_are_answers",
    "takes_time",
]

MAX_FAILED_SHARE = 0.1
"""The share of examples that a metric may fail on, where the task does not say; one example always may, if another is scored."""

Aggregate = Literal[
    "macro F1", "micro F1", "mean absolute error", "root mean squared log error", "votes"
]
"""Figures over a whole split, made by `measure` from the parts of the scores."""


class Metric(Protocol):
    """A way to score one answer."""

    id: str
    """Names the metric, its options and its version; scores of different ids are never mixed."""
    aggregates: tuple[Aggregate, ...]

    def score(self, example: Example, answer: Json) -> Score:
        """Return the score of an answer that is in the task's form."""
        ...

    def failed(self, example: Example, failure: FailureKind) -> Score:
        """Return the score of an answer that failed: value 0, with the parts that the aggregates need."""
        ...


def references_are_answers(metric: object) -> bool:
    """Return whether a reference is an answer that scores 1, so that it can be shown and taught; else it says what an answer must be like."""
    return bool(getattr(metric, "references_are_answers", True))


def failed_share_of(metric: object) -> float:
    """Return the share of examples that a metric may fail on before a measurement ends."""
    return float(getattr(metric, "max_failed_share", MAX_FAILED_SHARE))


def needs_references(metric: object) -> bool:
    """Return whether a metric compares an answer with the reference; a judge that is shown none, and a function, need not have one."""
    return bool(getattr(metric, "needs_references", True))


def check_references(task: Task, metric: object, examples: Sequence[Example]) -> None:
    """Refuse to score examples without a reference by a metric that needs one, before anything is paid for.

    Raises: MetricError, which says how many they are.
    """
    if not needs_references(metric):
        return
    count = sum(not task.is_labelled(example) for example in examples)
    if count:
        raise MetricError(
            f"metric {task.metric.name!r} compares an answer with the reference, and {count} of {len(examples)} examples of task {task.name!r} have none; "
            "import answers for them, or score with a judge (metric.name: judge, with a rubric and reference: false) or a function"
        )


def takes_time(metric: object) -> bool:
    """Return whether scoring an answer may take so long that it must not hold up the others: it runs a query."""
    return bool(getattr(metric, "takes_time", False))


def metric_id(name: str, version: int, options: dict[str, Json]) -> str:
    """Return the id of a metric; raise `version` whenever the same answer would score differently."""
    return content_id("m", [name, version, options])


def failure_sentence(failure: FailureKind) -> str:
    return {
        "unparsable": "The reply is no valid JSON.",
        "wrong form": "The reply does not have the form that the task asks for.",
        "cut off": "The reply was cut off at the token limit.",
        "cut off thinking": "The model was cut off while it was thinking, before any answer.",
        "empty": "The reply is empty.",
        "refused": "The model refused to answer.",
    }[failure]
