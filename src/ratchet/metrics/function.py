"""Any Python function of the user as a metric: `score(inputs, reference, answer)` returns a number, a bool or a Score."""

import inspect
from collections.abc import Callable

from ratchet.core import Example, FailureKind, Json, Score
from ratchet.core.errors import MetricError
from ratchet.metrics.metric import Aggregate, failure_sentence, metric_id

__all__ = ["FunctionMetric"]

ScoreFunction = Callable[[dict[str, Json], Json, Json], "float | bool | Score"]


class FunctionMetric:
    """Score by a function; the id follows the function's source, so that changing it never mixes old and new scores."""

    aggregates: tuple[Aggregate, ...] = ()
    needs_references = False

    def __init__(self, function: ScoreFunction) -> None:
        self._function = function
        self._name = getattr(function, "__name__", "function")
        try:
            source = inspect.getsource(function)
        except (OSError, TypeError):
            source = self._name
        self.id = metric_id("function", 1, {"name": self._name, "source": source})

    def score(self, example: Example, answer: Json) -> Score:
        """Call the function.

        Raises: MetricError if it fails, or returns something that is no score in [0, 1].
        """
        try:
            outcome = self._function(example.inputs, example.reference, answer)
        except Exception as error:
            raise MetricError(
                f"metric {self._name!r} failed on example {example.id} ({example.source}): {error!r}"
            ) from error
        if isinstance(outcome, Score):
            return outcome
        if not is_score(outcome):
            raise MetricError(
                f"metric {self._name!r} returned {outcome!r} for example {example.id}; return a number in [0, 1] or a Score"
            )
        return Score(value=float(outcome))

    def failed(self, _example: Example, failure: FailureKind) -> Score:
        """Score 0 without a call: there is no answer to hand over."""
        return Score(value=0.0, feedback=failure_sentence(failure))


def is_score(outcome: object) -> bool:
    return isinstance(outcome, int | float) and 0 <= outcome <= 1
