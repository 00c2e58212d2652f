"""Metrics by the name that a task's file uses."""

from collections.abc import Callable
from pathlib import Path

from ratchet.core import AnswerForm, MetricSpec
from ratchet.core.errors import MetricError, did_you_mean
from ratchet.core.user_functions import UserFunction
from ratchet.metrics.assertions import Assertions
from ratchet.metrics.execution import ExecutionAccuracy
from ratchet.metrics.fields import FieldScores
from ratchet.metrics.function import FunctionMetric
from ratchet.metrics.match import ExactMatch, LabelMatch, NormalisedMatch
from ratchet.metrics.metric import MAX_FAILED_SHARE, Metric
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
        spec: Name and options; the name `function` takes the option `path: file.py:name`, and every metric `max_failed_share`.
        root: The folder that `path` and databases are meant from.
        form: Of the task's answers; `execution` runs them in its database.
    Raises: MetricError if the name or an option is unknown.
    """
    failed_share = max_failed_share(spec)
    spec = without_failed_share(spec)
    metric = _make(spec, root or Path.cwd(), form)
    if failed_share != MAX_FAILED_SHARE:
        setattr(metric, "max_failed_share", failed_share)  # noqa: B010 - any metric may have it, none must
    return metric


def _make(spec: MetricSpec, root: Path, form: AnswerForm | None) -> Metric:
    if spec.name == "function":
        for name in sorted(spec.options.keys() - {"path"}):
            raise MetricError(
                f"metric 'function' has no option {name!r}; its options are 'path'.{did_you_mean(name, ['path'])}"
            )
        place = str(spec.options.get("path", ""))
        function = UserFunction(place, root, setting="metric.options.path", error=MetricError)
        return FunctionMetric(function, root=root)
    if spec.name == EXECUTION:
        database = spec.options.get("database") or (form.database if form else None)
        if not database:
            raise MetricError(
                "metric 'execution' needs a database; name it in answer.database of the task"
            )
        options = {**spec.options, "database": str(database)}
        return made(spec.name, lambda: ExecutionAccuracy(root=root, **options))
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
    metric = made(spec.name, lambda: METRICS[spec.name](**spec.options))
    names = (form.json_schema or {}).get("properties") if form else None
    if isinstance(metric, FieldScores) and names:
        metric.check_names(list(names))
    return metric


def max_failed_share(spec: MetricSpec) -> float:
    """Return the share of examples that a metric may fail on before a measurement ends.

    Raises: MetricError if the option is no share.
    """
    share = spec.options.get("max_failed_share", MAX_FAILED_SHARE)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share < 1:
        raise MetricError(
            f"metric.options.max_failed_share is a share of the examples, at least 0 and below 1; got {share!r}"
        )
    return float(share)


def without_failed_share(spec: MetricSpec) -> MetricSpec:
    """Return what names the metric itself: how often it may fail does not change a score."""
    options = {name: value for name, value in spec.options.items() if name != "max_failed_share"}
    return spec.model_copy(update={"options": options})


def made(name: str, make: Callable[[], Metric]) -> Metric:
    try:
        return make()
    except TypeError as error:
        raise MetricError(f"metric {name!r}: {error}") from error
