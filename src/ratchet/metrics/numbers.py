"""Score a number by how far it is from the reference."""

import math
from typing import Literal

from ratchet.core import Example, FailureKind, Json, Score
from ratchet.core.errors import MetricError
from ratchet.core.numerals import parse_number
from ratchet.metrics.metric import Aggregate, failure_sentence, metric_id

__all__ = ["NumberError"]

Kind = Literal["equal", "absolute", "relative", "squared log"]


class NumberError:
    """The score is 1 at no error and falls to 0 at `zero_at`; the error itself is kept among the parts.

    Args:
        error: `equal` scores 1 within `tolerance`, else 0; `absolute` is |a - r|; `relative` is |a - r| / |r|; `squared log` is
            (log(1 + a) - log(1 + r))², for prices and counts, negative answers taken as 0.
        tolerance: For `equal`, the absolute difference that still counts as equal.
        zero_at: The error at which the score is 0; linear in between.
    """

    aggregates: tuple[Aggregate, ...] = ("mean absolute error",)

    def __init__(
        self, *, error: Kind = "equal", tolerance: float = 1e-6, zero_at: float = 1.0
    ) -> None:
        if error not in ("equal", "absolute", "relative", "squared log"):
            raise MetricError(
                f"metric 'number': error is one of equal, absolute, relative, squared log; got {error!r}"
            )
        for name, value in (("tolerance", tolerance), ("zero_at", zero_at)):
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise MetricError(
                    f"metric 'number': {name} is a number without a unit; got {value!r}"
                )
        if not (0 < zero_at < math.inf and 0 <= tolerance < math.inf):
            raise MetricError(
                f"metric 'number': zero_at must be positive and tolerance at least 0, both finite; got {zero_at!r} and {tolerance!r}"
            )
        self._error, self._tolerance, self._zero_at = error, tolerance, zero_at
        if error == "squared log":
            self.aggregates = ("mean absolute error", "root mean squared log error")
        self.id = metric_id(
            "number", 2, {"error": error, "tolerance": tolerance, "zero_at": zero_at}
        )

    def score(self, example: Example, answer: Json) -> Score:
        """Return the score of a number.

        Raises: MetricError if the reference is no number.
        """
        expected, got = _reference_of(example), _answer_as_number(answer)
        if not (math.isfinite(expected) and math.isfinite(got)):
            return Score(value=0.0, feedback=f"Expected {expected:g}, got {_shown(answer)}.")
        difference = _distance(expected, got)
        error = self._measured(expected, got, difference)
        is_right = difference <= self._tolerance
        value = float(is_right) if self._error == "equal" else max(0.0, 1 - error / self._zero_at)
        feedback = (
            "Right."
            if is_right
            else f"Expected {_shown(expected)}, got {_shown(got)} ({_signed(expected, got)})."
        )
        parts = {"error": error, "difference": difference}
        return Score(
            value=value,
            parts=parts if math.isfinite(difference) and math.isfinite(error) else {},
            feedback=feedback,
        )

    def _measured(self, expected: float, got: float, difference: float) -> float:
        if self._error == "relative":
            return (
                difference / abs(expected)
                if expected
                else (0.0 if difference == 0 else self._zero_at)
            )
        if self._error == "squared log":
            return (math.log1p(max(0.0, got)) - math.log1p(max(0.0, expected))) ** 2
        return difference

    def failed(self, example: Example, failure: FailureKind) -> Score:
        """Score 0; no error is invented for a number that is not there."""
        return Score(
            value=0.0,
            feedback=f"{failure_sentence(failure)} Expected {_shown(_reference_of(example))}.",
        )


def _reference_of(example: Example) -> float:
    """Return the reference as a number, read as replies are.

    Raises: MetricError if it is none.
    """
    value = parse_number(example.reference)
    if value is None and not isinstance(example.reference, float):
        raise MetricError(
            f"metric 'number': the reference of example {example.id} ({example.source}) is a number without a unit, as 5 or '1,234.5'; got {str(example.reference)[:100]!r}"
        )
    return example.reference if value is None else value


def _answer_as_number(answer: Json) -> float:
    """Return an answer as a number; NaN where it is none."""
    value = parse_number(answer)
    if value is not None:
        return value
    return answer if isinstance(answer, float) else math.nan


def _distance(a: float, b: float) -> float:
    """Return |a - b|, of integers without loss before the last step; infinity where it is too large."""
    try:
        return float(abs(a - b))
    except OverflowError:
        return math.inf


def _shown(value: Json) -> str:
    """Return a number for reading: whole ones in full, fractions in six digits."""
    return f"{value:g}" if isinstance(value, float) else str(value)[:200]


def _signed(expected: float, got: float) -> str:
    try:
        return f"{got - expected:+g}"
    except OverflowError:
        return "far away"
