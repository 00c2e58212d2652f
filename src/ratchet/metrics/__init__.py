"""How an answer is scored."""

from ratchet.metrics.fields import FieldScores
from ratchet.metrics.function import FunctionMetric
from ratchet.metrics.judge import JudgeMetric, grading_task, pairing_task, written
from ratchet.metrics.match import ExactMatch, LabelMatch, NormalisedMatch
from ratchet.metrics.metric import Aggregate, Metric, metric_id
from ratchet.metrics.numbers import NumberError
from ratchet.metrics.registry import METRICS, make_metric
from ratchet.metrics.spans import SpanMatch

__all__ = [
    "METRICS",
    "Aggregate",
    "ExactMatch",
    "FieldScores",
    "FunctionMetric",
    "JudgeMetric",
    "LabelMatch",
    "Metric",
    "NormalisedMatch",
    "NumberError",
    "SpanMatch",
    "grading_task",
    "make_metric",
    "metric_id",
    "pairing_task",
    "written",
]
