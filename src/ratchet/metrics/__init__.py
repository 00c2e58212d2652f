"""How an answer is scored."""

from ratchet.metrics.assertions import Assertions
from ratchet.metrics.fields import FieldScores
from ratchet.metrics.function import FunctionMetric
from ratchet.metrics.judge import JudgeMetric, grading_task, pairing_task
from ratchet.metrics.judged import Judged
from ratchet.metrics.judged_assertions import JudgedAssertions
from ratchet.metrics.match import ExactMatch, LabelMatch, NormalisedMatch
from ratchet.metrics.metric import Aggregate, Metric, metric_id
from ratchet.metrics.numbers import NumberError
from ratchet.metrics.rag import RAG_METRICS, RagMetric
from ratchet.metrics.registry import METRICS, make_metric
from ratchet.metrics.spans import SpanMatch

__all__ = [
    "METRICS",
    "RAG_METRICS",
    "Aggregate",
    "Assertions",
    "ExactMatch",
    "FieldScores",
    "FunctionMetric",
    "JudgeMetric",
    "Judged",
    "JudgedAssertions",
    "LabelMatch",
    "Metric",
    "NormalisedMatch",
    "NumberError",
    "RagMetric",
    "SpanMatch",
    "grading_task",
    "make_metric",
    "metric_id",
    "pairing_task",
]
