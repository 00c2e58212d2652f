"""Score found spans (extraction, redaction) by the best one-to-one matching with the true ones."""

from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from ratchet.core import Example, FailureKind, Json, Score
from ratchet.core.errors import MetricError, did_you_mean
from ratchet.metrics.metric import Aggregate, failure_sentence, metric_id

__all__ = ["SpanMatch"]

NEAR_CREDIT = 0.5
LEAST_SIMILAR = 0.5


class Span(NamedTuple):
    """A span: its text, its class, and where it stands, if that is known."""

    text: str
    label: str
    place: tuple[int, int] | None = None
    """Its first character and the one behind its last, counted from 0."""


class SpanMatch:
    """Dice over credits: 2 × the credit of the best matching / (true spans + found spans); 1 where both are empty.

    A pair earns its similarity times 1 for the same class, one half for a near class, 0 for any other. Where both spans have offsets,
    these decide: the similarity is Dice over the characters of the text that both cover. Else it is that of the texts
    (Ratcliff–Obershelp). Below one half it counts as 0. A missed and an invented span both enlarge the denominator, so both cost.
    Exact pairs (same place or, without offsets, same text; same class) are counted among the parts, as many as there can be, for
    micro precision, recall and F1.

    Args:
        list: The property of the answer that holds the spans.
        text: The property of a span that holds its text.
        label: The property of a span that holds its class.
        start: The property that holds the offset of its first character, where spans have offsets.
        end: The property that holds the offset behind its last character.
        near: Groups of classes that are near to each other.
    """

    aggregates: tuple[Aggregate, ...] = ("micro F1",)

    def __init__(
        self,
        *,
        list: str = "fields",  # noqa: A002 - the option's name in a task's file
        text: str = "string",
        label: str = "pii_type",
        start: str = "start",
        end: str = "end",
        near: Sequence[Sequence[str]] = (),
    ) -> None:
        for group in near:
            if isinstance(group, str):
                raise MetricError(
                    f"metric 'spans': near wants pairs (or larger groups) of classes, as in [['A', 'B']]; got {group!r} by itself"
                )
        self._list, self._text, self._label, self._ends = list, text, label, (start, end)
        self._near = [frozenset(group) for group in near]
        options: dict[str, Json] = {"list": list, "text": text, "label": label}
        options |= {} if (start, end) == ("start", "end") else {"start": start, "end": end}
        options["near"] = [sorted(group) for group in near]
        self.id = metric_id("spans", 2, options)

    def score(self, example: Example, answer: Json) -> Score:
        """Match the spans of answer and reference.

        Raises: MetricError if there is no list, or a span of the reference lacks what the options name.
        """
        true, found = self._true_spans(example), self._spans(answer)
        credit, pairs = self._matched(true, found)
        exact = sum(_is_exact(true[i], found[j]) for i, j in pairs)
        missed = [true[i] for i in range(len(true)) if i not in {i for i, _ in pairs}]
        invented = [found[j] for j in range(len(found)) if j not in {j for _, j in pairs}]
        inexact = [(true[i], found[j]) for i, j in pairs if not _is_exact(true[i], found[j])]
        value = 2 * credit / (len(true) + len(found)) if true or found else 1.0
        parts = {"true": len(true), "found": len(found), "exact": exact}
        return Score(
            value=min(1.0, value), parts=parts, feedback=sentence(missed, invented, inexact)
        )

    def failed(self, example: Example, failure: FailureKind) -> Score:
        """Score 0, all true spans missed."""
        parts = {"true": len(self._true_spans(example)), "found": 0, "exact": 0}
        return Score(value=0.0, parts=parts, feedback=failure_sentence(failure))

    def _true_spans(self, example: Example) -> list[Span]:
        items = self._items(example.reference)
        for name, setting in ((self._text, "text"), (self._label, "label")):
            lacking = next(
                (item for item in items if isinstance(item, dict) and name not in item), None
            )
            has_place = lacking is not None and self._place(lacking) is not None
            if lacking is not None and not (setting == "text" and has_place):
                raise MetricError(
                    f"metric 'spans': a span of example {example.id} ({example.source}) has no {name!r}, its properties are {', '.join(map(repr, lacking))}; set metric.options.{setting}.{did_you_mean(name, lacking)}"
                )
        return self._spans(example.reference)

    def _items(self, body: Json) -> list[Json]:
        items = body.get(self._list) if isinstance(body, dict) else body
        if not isinstance(items, list):
            raise MetricError(
                f"metric 'spans': expected a list under {self._list!r}, got {str(body)[:80]!r}; set metric.options.list"
            )
        return items

    def _spans(self, body: Json) -> list[Span]:
        return [
            Span(str(item.get(self._text, "")), str(item.get(self._label, "")), self._place(item))
            for item in self._items(body)
            if isinstance(item, dict)
        ]

    def _place(self, item: dict[str, Json]) -> tuple[int, int] | None:
        start, end = (item.get(name) for name in self._ends)
        if isinstance(start, bool) or isinstance(end, bool):
            return None
        return (start, end) if isinstance(start, int) and isinstance(end, int) else None

    def _matched(self, true: list[Span], found: list[Span]) -> tuple[float, list[tuple[int, int]]]:
        """Return the largest credit of any matching, and the pairs of the best one among those with the most exact pairs."""
        if not true or not found:
            return 0.0, []
        earned = np.array([[self._credit(a, b) for b in found] for a in true])
        exact = np.array([[_is_exact(a, b) for b in found] for a in true])
        best = linear_sum_assignment(earned, maximize=True)
        first = linear_sum_assignment(exact * (1.0 + min(earned.shape)) + earned, maximize=True)
        pairs = [(int(i), int(j)) for i, j in zip(*first, strict=True) if earned[i, j] > 0]
        return float(earned[best].sum()), pairs

    def _credit(self, true: Span, found: Span) -> float:
        weight = (
            1.0
            if true.label == found.label
            else NEAR_CREDIT
            if any({true.label, found.label} <= group for group in self._near)
            else 0.0
        )
        if weight == 0:
            return 0.0
        similarity = _similarity(true, found)
        return weight * similarity if similarity >= LEAST_SIMILAR else 0.0


def _is_exact(true: Span, found: Span) -> bool:
    """Return whether two spans are the same one: by place where both have it, else by text."""
    if true.label != found.label:
        return False
    if true.place is not None and found.place is not None:
        return true.place == found.place
    return true.text == found.text


def _similarity(true: Span, found: Span) -> float:
    """Return how much of two spans is the same, in [0, 1]."""
    if true.place is not None and found.place is not None:
        if true.place == found.place:
            return 1.0
        common = min(true.place[1], found.place[1]) - max(true.place[0], found.place[0])
        lengths = true.place[1] - true.place[0] + found.place[1] - found.place[0]
        return 2 * common / lengths if common > 0 and lengths > 0 else 0.0
    if true.text == found.text:
        return 1.0
    return SequenceMatcher(None, true.text, found.text, autojunk=False).ratio()


def sentence(missed: list[Span], invented: list[Span], inexact: list[tuple[Span, Span]]) -> str:
    said = [f"missed {_shown(span)}" for span in missed[:3]]
    said += [f"invented {_shown(span)}" for span in invented[:3]]
    said += [f"took {_shown(found)} for {_shown(true)}" for true, found in inexact[:3]]
    return "Right." if not said else "; ".join(said)[0].upper() + "; ".join(said)[1:] + "."


def _shown(span: Span) -> str:
    place = "" if span.place is None else f" at {span.place[0]}–{span.place[1]}"
    return f"{span.text!r} ({span.label}){place}"
