"""What every metric promises: scores in [0, 1], 1 for the reference itself, 0 for a failed answer, an id of its own."""

import json
import math
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ratchet.core import Example, FailureKind, Json
from ratchet.metrics import (
    ExactMatch,
    FieldScores,
    FunctionMetric,
    LabelMatch,
    Metric,
    NormalisedMatch,
    NumberError,
    SpanMatch,
)

TEXTS = st.text(max_size=12)
NUMBERS = st.floats(allow_nan=False) | st.integers(-(10**6), 10**6)
OBJECTS = st.dictionaries(
    st.sampled_from(["a", "b", "c.d", ""]),
    st.recursive(
        TEXTS | st.integers() | st.booleans() | st.none(),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=2)
        ),
        max_leaves=5,
    ),
    max_size=4,
)
SPANS = st.lists(
    st.fixed_dictionaries(
        {
            "string": st.text("abc ", min_size=1, max_size=6),
            "pii_type": st.sampled_from(["NAME", "IBAN", "CITY"]),
        }
    ),
    max_size=5,
).map(lambda spans: {"fields": spans})


def same(_inputs: Json, reference: Json, answer: Json) -> bool:
    return bool(reference == answer)


CONTRACTS: dict[str, tuple[Metric, st.SearchStrategy[Json]]] = {
    "exact": (ExactMatch(), TEXTS),
    "match": (NormalisedMatch(), TEXTS),
    "label": (LabelMatch(), st.sampled_from(["a", "b"])),
    "number equal": (NumberError(), NUMBERS),
    "number absolute": (NumberError(error="absolute", zero_at=10), NUMBERS),
    "number relative": (NumberError(error="relative"), NUMBERS),
    "number squared log": (NumberError(error="squared log"), NUMBERS),
    "fields": (FieldScores(), OBJECTS),
    "spans": (SpanMatch(), SPANS),
    "near spans": (SpanMatch(near=[["NAME", "CITY"]]), SPANS),
    "function": (FunctionMetric(same), TEXTS),
}


def example(reference: Json) -> Example:
    return Example(inputs={"text": "x"}, reference=reference)


def is_finite(value: Json) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


@pytest.mark.parametrize("name", CONTRACTS)
@given(data=st.data())
@settings(max_examples=25)
def test_a_score_lies_between_0_and_1(name: str, data: st.DataObject) -> None:
    """Any answer in the task's form has a score in [0, 1] and a sentence of feedback or none."""
    metric, answers = CONTRACTS[name]
    reference, answer = data.draw(answers), data.draw(answers)

    score = metric.score(example(reference), answer)

    assert 0 <= score.value <= 1
    assert isinstance(score.feedback, str)
    json.dumps(score.parts)


@pytest.mark.parametrize("name", CONTRACTS)
@given(data=st.data())
@settings(max_examples=25)
def test_the_reference_itself_scores_1(name: str, data: st.DataObject) -> None:
    """An answer that is the reference is right, whatever it is."""
    metric, answers = CONTRACTS[name]
    reference = data.draw(answers.filter(is_finite))

    score = metric.score(example(reference), reference)

    assert score.value == 1
    assert score.feedback in ("Right.", "")


@pytest.mark.parametrize("name", CONTRACTS)
@given(data=st.data())
@settings(max_examples=25)
def test_a_score_is_the_same_each_time(name: str, data: st.DataObject) -> None:
    """A metric keeps no state: the same answer has the same score."""
    metric, answers = CONTRACTS[name]
    reference, answer = data.draw(answers), data.draw(answers)

    first, second = (metric.score(example(reference), answer) for _ in range(2))

    assert first == second


@pytest.mark.parametrize("failure", get_args(FailureKind))
@pytest.mark.parametrize("name", CONTRACTS)
@given(data=st.data())
@settings(max_examples=25)
def test_a_failed_answer_scores_0_and_says_why(
    name: str, failure: FailureKind, data: st.DataObject
) -> None:
    """Every kind of failure scores 0, with a sentence."""
    metric, answers = CONTRACTS[name]

    score = metric.failed(example(data.draw(answers)), failure)

    assert score.value == 0
    assert score.feedback.partition(".")[0] in {
        "The reply is no valid JSON",
        "The reply does not have the form that the task asks for",
        "The reply was cut off at the token limit",
        "The model was cut off while it was thinking, before any answer",
        "The reply is empty",
        "The model refused to answer",
    }


def test_every_metric_has_an_id_of_its_own() -> None:
    """Scores of different metrics or options are never mixed."""
    ids = {metric.id for metric, _ in CONTRACTS.values()}

    assert len(ids) == len(CONTRACTS)
    assert all(identity.startswith("m_") for identity in ids)
