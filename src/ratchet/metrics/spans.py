"""Score found spans (extraction, redaction) by the best one-to-one matching with the true ones."""

from collections.abc import Sequence
from difflib import SequenceMatcher

import numpy as np
from scipy.optimize import linear_sum_assignment

from ratchet.core import Example, FailureKind, Json, Score
from ratchet.core.errors import MetricError
from ratchet.metrics.metric import Aggregate, failure_sentence, metric_id

__all__ = ["SpanMatch"]

NEAR_CREDIT = 0.5
LEAST_SIMILAR = 0.5


class SpanMatch:
    """Dice over credits: 2 × the credit of the best matching / (true spans + found spans); 1 where both are empty.

    A pair earns the similarity of its texts (Ratcliff–Obershelp, 0 below one half) times 1 for the same class, one half for
    a near class, 0 for any other. A missed and an invented span both enlarge the denominator, so both cost. Exact pairs
    (same text, same class) are counted among the parts, for micro precision, recall and F1.

    Args:
        list: The property of the answer that holds the spans.
        text: The property of a span that holds its text.
        label: The property of a span that holds its class.
        near: Groups of classes that are near to each other.
    """

    aggregates: tuple[Aggregate, ...] = ("micro F1",)

    def __init__(
        self,
        *,
        list: str = "fields",  # noqa: A002 - the option's name in a task's file
        text: str = "string",
        label: str = "pii_type",
        near: Sequence[Sequence[str]] = (),
    ) -> None:
        for group in near:
            if isinstance(group, str):
                raise MetricError(
                    f"metric 'spans': near wants pairs (or larger groups) of classes, as in [['A', 'B']]; got {group!r} by itself"
                )
        self._list, self._text, self._label = list, text, label
        self._near = [frozenset(group) for group in near]
        self.id = metric_id(
            "spans",
            1,
            {"list": list, "text": text, "label": label, "near": [sorted(group) for group in near]},
        )

    def score(self, example: Example, answer: Json) -> Score:
        """Match the spans of answer and reference."""
        true, found = self._spans(example.reference), self._spans(answer)
        credit, pairs = self._matched(true, found)
        exact = sum(true[i] == found[j] for i, j in pairs)
        missed = [true[i] for i in range(len(true)) if i not in {i for i, _ in pairs}]
        invented = [found[j] for j in range(len(found)) if j not in {j for _, j in pairs}]
        inexact = [(true[i], found[j]) for i, j in pairs if true[i] != found[j]]
        value = 2 * credit / (len(true) + len(found)) if true or found else 1.0
        parts = {"true": len(true), "found": len(found), "exact": exact}
        return Score(
            value=min(1.0, value), parts=parts, feedback=sentence(missed, invented, inexact)
        )

    def failed(self, example: Example, failure: FailureKind) -> Score:
        """Score 0, all true spans missed."""
        parts = {"true": len(self._spans(example.reference)), "found": 0, "exact": 0}
        return Score(value=0.0, parts=parts, feedback=failure_sentence(failure))

    def _spans(self, body: Json) -> list[tuple[str, str]]:
        items = body.get(self._list) if isinstance(body, dict) else body
        if not isinstance(items, list):
            raise MetricError(
                f"metric 'spans': expected a list under {self._list!r}, got {str(body)[:80]!r}; set metric.options.list"
            )
        return [
            (str(item.get(self._text, "")), str(item.get(self._label, "")))
            for item in items
            if isinstance(item, dict)
        ]

    def _matched(
        self, true: list[tuple[str, str]], found: list[tuple[str, str]]
    ) -> tuple[float, list[tuple[int, int]]]:
        if not true or not found:
            return 0.0, []
        earned = np.array([[self._credit(a, b) for b in found] for a in true])
        rows, columns = linear_sum_assignment(earned, maximize=True)
        pairs = [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if earned[i, j] > 0]
        return float(earned[rows, columns].sum()), pairs

    def _credit(self, true: tuple[str, str], found: tuple[str, str]) -> float:
        weight = (
            1.0
            if true[1] == found[1]
            else NEAR_CREDIT
            if any({true[1], found[1]} <= group for group in self._near)
            else 0.0
        )
        if weight == 0 or true[0] == found[0]:
            return weight
        similarity = SequenceMatcher(None, true[0], found[0], autojunk=False).ratio()
        return weight * similarity if similarity >= LEAST_SIMILAR else 0.0


def sentence(
    missed: list[tuple[str, str]],
    invented: list[tuple[str, str]],
    inexact: list[tuple[tuple[str, str], tuple[str, str]]],
) -> str:
    said = [f"missed {text!r} ({label})" for text, label in missed[:3]]
    said += [f"invented {text!r} ({label})" for text, label in invented[:3]]
    said += [
        f"took {found[0]!r} ({found[1]}) for {true[0]!r} ({true[1]})" for true, found in inexact[:3]
    ]
    return "Right." if not said else "; ".join(said)[0].upper() + "; ".join(said)[1:] + "."
