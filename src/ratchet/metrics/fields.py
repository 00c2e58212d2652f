"""Score a JSON object field by field."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from ratchet.core import Example, FailureKind, Json, Score
from ratchet.core.errors import MetricError, did_you_mean
from ratchet.metrics.match import normalised
from ratchet.metrics.metric import Aggregate, failure_sentence, metric_id

__all__ = ["FieldScores"]

RELATIVE_TOLERANCE = 1e-9
"""Fractions that differ by less are the same number, written or computed in another way (0.1 + 0.2 and 0.3)."""
Path = tuple[str, ...]


class FieldScores:
    """The share of fields that are right, over all fields of reference and answer together.

    Objects are compared leaf by leaf (`address.city`), lists as wholes, texts after normalisation, numbers by value: integers
    exactly, fractions within the tolerance. True, 1 and "1" are three different values. A field that should not be there counts as
    wrong, as does one that is missing.

    Args:
        only: The fields at the top that count; by default all.
        tolerance: The absolute difference of two numbers that still counts as equal; by default integers are exact, and fractions
            equal within a billionth of their size.
        ordered: Whether the items of a list must stand in the same order.
    Raises: MetricError if an option makes no sense.
    """

    aggregates: tuple[Aggregate, ...] = ()

    def __init__(
        self,
        *,
        only: Sequence[str] | None = None,
        tolerance: float | None = None,
        ordered: bool = True,
    ) -> None:
        if isinstance(only, str):
            raise MetricError(f"metric 'fields': only is a list of names; got {only!r} by itself")
        is_number = isinstance(tolerance, int | float) and not isinstance(tolerance, bool)
        if tolerance is not None and not (is_number and 0 <= tolerance < math.inf):
            raise MetricError(
                f"metric 'fields': tolerance must be a finite number, at least 0; got {tolerance!r}"
            )
        if not isinstance(ordered, bool):
            raise MetricError(f"metric 'fields': ordered is true or false; got {ordered!r}")
        self._only = None if only is None else frozenset(only)
        self._tolerance, self._ordered = tolerance, ordered
        options: dict[str, Json] = {} if only is None else {"only": sorted(only)}
        options |= {} if tolerance is None else {"tolerance": tolerance}
        options |= {} if ordered else {"ordered": False}
        self.id = metric_id("fields", 2, options)

    def check_names(self, names: Sequence[str]) -> None:
        """Refuse fields to look at that answers do not have.

        Raises: MetricError.
        """
        for name in sorted(self._only or ()):
            if name not in names:
                raise MetricError(
                    f"metric 'fields': only names {name!r}, which answers do not have; their fields are {', '.join(names)}.{did_you_mean(name, names)}"
                )

    def score(self, example: Example, answer: Json) -> Score:
        """Compare the leaves of answer and reference.

        Raises: MetricError if the reference has none of the fields that alone count.
        """
        reference = example.reference
        if self._only and isinstance(reference, dict) and not self._only & reference.keys():
            self.check_names(list(reference))
        expected, got = self._leaves(reference), self._leaves(answer)
        names = sorted({*expected, *got})
        right = {
            name: name in expected and name in got and self._same(expected[name], got[name])
            for name in names
        }
        wrong = [name for name in names if not right[name]]
        feedback = (
            "Right."
            if not wrong
            else "Wrong: "
            + "; ".join(
                f"{_shown(name) or 'the whole'} is {got.get(name, 'missing')!r}, expected {expected.get(name, 'nothing')!r}"
                for name in wrong[:5]
            )
        )
        return Score(
            value=sum(right.values()) / len(names) if names else 1.0,
            parts={"fields": {_shown(name): is_right for name, is_right in right.items()}},
            feedback=feedback,
        )

    def failed(self, example: Example, failure: FailureKind) -> Score:
        """Score 0, all fields wrong."""
        names = self._leaves(example.reference)
        return Score(
            value=0.0,
            parts={"fields": {_shown(name): False for name in names}},
            feedback=failure_sentence(failure),
        )

    def _leaves(self, value: Json) -> dict[Path, Json]:
        if self._only is not None and isinstance(value, dict):
            value = {name: part for name, part in value.items() if name in self._only}
        return dict(_leaves(value))

    def _same(self, a: Json, b: Json) -> bool:
        """Return whether two values are the same JSON value, texts after normalisation."""
        if isinstance(a, bool) or isinstance(b, bool):
            return a is b
        if isinstance(a, int | float) and isinstance(b, int | float):
            return self._same_number(a, b)
        if isinstance(a, str) and isinstance(b, str):
            return normalised(a) == normalised(b)
        if isinstance(a, list) and isinstance(b, list):
            if len(a) != len(b):
                return False
            return all(map(self._same, a, b)) if self._ordered else self._same_in_any_order(a, b)
        if isinstance(a, dict) and isinstance(b, dict):
            return a.keys() == b.keys() and all(self._same(a[name], b[name]) for name in a)
        return a is None and b is None

    def _same_number(self, a: float, b: float) -> bool:
        if self._tolerance is not None:
            return a == b or abs(a - b) <= self._tolerance * (1 + RELATIVE_TOLERANCE)
        if isinstance(a, int) and isinstance(b, int):
            return a == b
        try:
            return math.isclose(a, b, rel_tol=RELATIVE_TOLERANCE, abs_tol=0.0)
        except OverflowError:  # an integer beyond what floats hold
            return a == b

    def _same_in_any_order(self, a: list[Json], b: list[Json]) -> bool:
        if not a:
            return True
        fits = np.array([[self._same(x, y) for y in b] for x in a], dtype=float)
        rows, columns = linear_sum_assignment(fits, maximize=True)
        return bool(fits[rows, columns].all())


def _leaves(value: Json, path: Path = ()) -> Iterator[tuple[Path, Json]]:
    if isinstance(value, dict) and value:
        for name, part in value.items():
            yield from _leaves(part, (*path, str(name)))
    else:
        yield path, value


def _shown(path: Path) -> str:
    return ".".join(path)
