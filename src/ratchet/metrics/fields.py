"""Score a JSON object field by field."""

from collections.abc import Iterator, Sequence

from ratchet.core import Example, FailureKind, Json, Score
from ratchet.metrics.match import normalised
from ratchet.metrics.metric import Aggregate, failure_sentence, metric_id

__all__ = ["FieldScores"]


class FieldScores:
    """The share of fields that are right, over all fields of reference and answer together.

    Objects are compared leaf by leaf (`address.city`), lists as wholes, texts after normalisation, numbers by value. A field
    that should not be there counts as wrong, as does one that is missing.

    Args:
        only: The fields at the top that count; by default all.
    """

    aggregates: tuple[Aggregate, ...] = ()

    def __init__(self, *, only: Sequence[str] | None = None) -> None:
        self._only = None if only is None else frozenset(only)
        self.id = metric_id("fields", 1, {} if only is None else {"only": sorted(only)})

    def _leaves(self, value: Json) -> dict[str, Json]:
        if self._only is not None and isinstance(value, dict):
            value = {name: part for name, part in value.items() if name in self._only}
        return dict(leaves(value))

    def score(self, example: Example, answer: Json) -> Score:
        """Compare the leaves of answer and reference."""
        expected, got = self._leaves(example.reference), self._leaves(answer)
        names = sorted({*expected, *got})
        right = {
            name: name in expected and name in got and same(expected[name], got[name])
            for name in names
        }
        wrong = [name for name in names if not right[name]]
        feedback = (
            "Right."
            if not wrong
            else "Wrong: "
            + "; ".join(
                f"{name or 'the whole'} is {got.get(name, 'missing')!r}, expected {expected.get(name, 'nothing')!r}"
                for name in wrong[:5]
            )
        )
        return Score(
            value=sum(right.values()) / len(names) if names else 1.0,
            parts={"fields": right},
            feedback=feedback,
        )

    def failed(self, example: Example, failure: FailureKind) -> Score:
        """Score 0, all fields wrong."""
        return Score(
            value=0.0,
            parts={"fields": dict.fromkeys(self._leaves(example.reference), False)},
            feedback=failure_sentence(failure),
        )


def leaves(value: Json, path: str = "") -> Iterator[tuple[str, Json]]:
    if isinstance(value, dict) and value:
        for name, part in value.items():
            yield from leaves(part, f"{path}.{name}" if path else str(name))
    else:
        yield path, value


def same(a: Json, b: Json) -> bool:
    if isinstance(a, str) and isinstance(b, str):
        return normalised(a) == normalised(b)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)
