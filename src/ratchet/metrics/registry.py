"""Metrics by the name that a task's file uses."""

from collections.abc import Callable
from pathlib import Path

from ratchet.core import AnswerForm, MetricSpec
from ratchet.core.errors import MetricError, did_you_mean
from ratchet.core.functions import load_function
from ratchet.metrics.assertions import Assertions
from ratchet.metrics.execution import ExecutionAccuracy
from ratchet.metrics.fields import FieldScores
from ratchet.metrics.function import FunctionMetric
from ratchet.metrics.match import ExactMatch, LabelMatch, NormalisedMatch
from ratchet.metrics.metric import Metric
from ratchet.metrics.numbers import NumberError
from ratchet.metrics.rag import RAG_METRICS
from ratchet.metrics.spans import SpanMatch

__all__ = ["METRICS", "make_metric"]

METRICS: dict[str, Callable[..., Metric]] = {
    "exact": ExactMatch,
    "match": NormalisedMatch,
    "label": LabelMatch,
    "number": NumberError,
    "fields": FieldScores,
    "spans": SpanMatch,
    "assertions": Assertions,
}


JUDGED = "judge"
"""The metric that needs models; it is made by the workbench, which knows them."""
ASSERTIONS = "assertions"
"""The metric that may call functions of the workspace, and ask models."""
EXECUTION = "execution"
"""The metric that needs the task's database."""


def make_metric(
    spec: MetricSpec, *, root: Path | None = None, form: AnswerForm | None = None
) -> Metric:
    """Return the metric that a task names.

    Args:
        spec: Name and options; the name `function` takes the option `path: file.py:name`.
        root: The folder that `path` and databases are meant from.
        form: Of the task's answers; `execution` runs them in its database.
    Raises: MetricError if the name or an option is unknown.
    """
    if spec.name == "function":
        for name in sorted(spec.options.keys() - {"path"}):
            raise MetricError(
                f"metric 'function' has no option {name!r}; its options are 'path'.{did_you_mean(name, ['path'])}"
            )
        place = str(spec.options.get("path", ""))
        found = load_function(
            place, root or Path.cwd(), setting="metric.options.path", error=MetricError
        )
        return FunctionMetric(found)
    if spec.name == EXECUTION:
        database = spec.options.get("database") or (form.database if form else None)
        if not database:
            raise MetricError(
                "metric 'execution' needs a database; name it in answer.database of the task"
            )
        options = {**spec.options, "database": str(database)}
        return made(spec.name, lambda: ExecutionAccuracy(root=root or Path.cwd(), **options))
    if spec.name == ASSERTIONS:
        models = {"judge", "graders", "embedding"} & spec.options.keys()
        if models:
            raise MetricError(
                f"metric 'assertions' with the option {min(models)!r} asks models; it is made by a workbench, which knows them"
            )
        return made(spec.name, lambda: Assertions(root=root, **spec.options))
    if spec.name not in METRICS:
        known = [*METRICS, EXECUTION, JUDGED, *RAG_METRICS, "function"]
        raise MetricError(
            f"unknown metric {spec.name!r}; there are {', '.join(known)}.{did_you_mean(spec.name, known)}"
        )
    return made(spec.name, lambda: METRICS[spec.name](**spec.options))


def made(name: str, make: Callable[[], Metric]) -> Metric:
    try:
        return make()
    except TypeError as error:
        raise MetricError(f"metric {name!r}: {error}") from error
