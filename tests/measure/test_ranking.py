"""Ranking metrics against worked examples, and against trec_eval's own numbers for them."""

import math

import pytest

from ratchet.measure.ranking import average_precision, ndcg, precision, recall_at, reciprocal_rank

RANKED = ["a", "b", "c", "d", "e"]
GRADES = {"a": 3, "c": 2, "x": 1, "b": 0}


def test_each_metric_on_a_worked_example():
    """Three are relevant, two are found, at places 1 and 3."""
    assert precision(RANKED, GRADES, 5) == 2 / 5
    assert precision(RANKED, GRADES, 10) == 2 / 10  # as trec_eval: places that are not there count
    assert recall_at(RANKED, GRADES, 2) == pytest.approx(1 / 3)
    assert reciprocal_rank(RANKED[1:], GRADES) == 1 / 2
    assert average_precision(RANKED, GRADES) == pytest.approx((1 + 2 / 3) / 3)
    best = 3 + 2 / math.log2(3) + 1 / 2
    assert ndcg(RANKED, GRADES, 5) == pytest.approx((3 + 2 / 2) / best)


def test_nothing_relevant_is_nothing():
    """No division by zero: 0, as trec_eval says."""
    for metric in (recall_at, precision, ndcg):
        assert metric(RANKED, {}, 5) == 0
    assert average_precision(RANKED, {"a": 0}) == reciprocal_rank(RANKED, {}) == 0
    assert ndcg([], GRADES, 5) == 0
