"""Metrics by the name that a task's file uses."""

from collections.abc import Callable
from pathlib import Path

from ratchet.core import MetricSpec
from ratchet.core.errors import MetricError, did_you_mean
from ratchet.core.functions import load_function
from ratchet.metrics.assertions import Assertions
from ratchet.metrics.fields import FieldScores
from ratchet.metrics.function import FunctionMetric
from ratchet.metrics.match import ExactMatch, LabelMatch, NormalisedMatch
from ratchet.metrics.metric import Metric
from ratchet.metrics.numbers import NumberError
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


def make_metric(spec: MetricSpec, *, root: Path | None = None) -> Metric:
    """Return the metric that a task names.

    Args:
        spec: Name and options; the name `function` takes the option `path: file.py:name`.
        root: The folder that `path` is meant from.
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
    if spec.name not in METRICS:
        known = [*METRICS, JUDGED, "function"]
        raise MetricError(
            f"unknown metric {spec.name!r}; there are {', '.join(known)}.{did_you_mean(spec.name, known)}"
        )
    try:
        return METRICS[spec.name](**spec.options)
    except TypeError as error:
        raise MetricError(f"metric {spec.name!r}: {error}") from error
