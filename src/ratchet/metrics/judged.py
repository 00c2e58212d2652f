"""Metrics that ask models: a judge's grade, assertions with rubrics, and the four metrics of answers that stand on passages."""

from ratchet.metrics.judge import JudgeMetric
from ratchet.metrics.judged_assertions import JudgedAssertions
from ratchet.metrics.rag import RagMetric

__all__ = ["Judged"]

Judged = JudgeMetric | JudgedAssertions | RagMetric
"""Such a metric is asked with `judge`, and its votes are kept and paid for once."""
