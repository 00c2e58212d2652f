"""Any Python function of the user as a metric: `score(inputs, reference, answer)` returns a number, a bool or a Score."""

import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path

from ratchet.core import Example, FailureKind, Json, Score
from ratchet.core.errors import MetricError, did_you_mean
from ratchet.metrics.metric import Aggregate, failure_sentence, metric_id

__all__ = ["FunctionMetric", "load_function"]

ScoreFunction = Callable[[dict[str, Json], Json, Json], "float | bool | Score"]


class FunctionMetric:
    """Score by a function; the id follows the function's source, so that changing it never mixes old and new scores."""

    aggregates: tuple[Aggregate, ...] = ()

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


def load_function(place: str, root: Path) -> ScoreFunction:
    """Return the function at `file.py:name`, the file meant from `root`.

    Raises: MetricError if there is none.
    """
    file, _, name = place.partition(":")
    path = root / file
    if not name or not path.is_file():
        raise MetricError(
            f"metric.options.path is file.py:function, from the workspace's folder; got {place!r} and {path} {'exists' if path.is_file() else 'does not exist'}"
        )
    spec = importlib.util.spec_from_file_location(f"ratchet_metric_{path.stem}", path)
    assert spec  # a .py file always has a spec and a loader
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their own module up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise MetricError(f"{path} cannot be loaded: {error!r}") from error
    function = getattr(module, name, None)
    if not callable(function):
        raise MetricError(f"{path} has no function {name!r}.{did_you_mean(name, vars(module))}")
    return function  # type: ignore[no-any-return]  # the user's promise, checked at each score
