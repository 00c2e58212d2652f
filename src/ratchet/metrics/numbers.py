"""Score a number by how far it is from the reference."""

import math
from typing import Literal

from ratchet.core import Example, FailureKind, Json, Score
from ratchet.core.errors import MetricError
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
        if not (0 < zero_at < math.inf and 0 <= tolerance < math.inf):
            raise MetricError(
                f"metric 'number': zero_at must be positive and tolerance at least 0, both finite; got {zero_at!r} and {tolerance!r}"
            )
        self._error, self._tolerance, self._zero_at = error, tolerance, zero_at
        self.id = metric_id(
            "number", 1, {"error": error, "tolerance": tolerance, "zero_at": zero_at}
        )

    def score(self, example: Example, answer: Json) -> Score:
        """Return the score of a number."""
        expected, got = float(example.reference), float(answer)
        difference = abs(got - expected)
        if not math.isfinite(difference):
            return Score(value=0.0, feedback=f"Expected {expected:g}, got {got:g}.")
        error = self._measured(expected, got, difference)
        value = (
            float(difference <= self._tolerance)
            if self._error == "equal"
            else max(0.0, 1 - error / self._zero_at)
        )
        feedback = (
            "Right."
            if difference <= self._tolerance
            else f"Expected {expected:g}, got {got:g} ({got - expected:+g})."
        )
        return Score(
            value=value, parts={"error": error, "difference": difference}, feedback=feedback
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
            feedback=f"{failure_sentence(failure)} Expected {float(example.reference):g}.",
        )
