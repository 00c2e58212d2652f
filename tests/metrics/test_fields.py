"""Objects field by field, against values worked out by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratchet.core import Example, Json
from ratchet.metrics import FieldScores

OBJECTS = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 2), max_size=4)


def scored(reference: Json, answer: Json):
    return FieldScores().score(Example(inputs={}, reference=reference), answer)


@pytest.mark.parametrize(
    ("reference", "answer", "value"),
    [
        ({"a": 1, "b": 2}, {"a": 1, "b": 2}, 1),
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, 1 / 2),
        ({"a": 1, "b": 2}, {"a": 1}, 1 / 2),
        ({"a": 1}, {"a": 1, "b": 2, "c": 3}, 1 / 3),
        ({"a": 1}, {}, 0),
        ({"a": {"x": 1, "y": 2}, "b": 3}, {"a": {"x": 1, "y": 0}, "b": 3}, 2 / 3),
        ({"a": {"x": 1}}, {"a": 1}, 0),
        ({"a": "The Tower!"}, {"a": "tower"}, 1),
        ({"a": ["Rom", "Bonn"]}, {"a": ["rom", "bonn"]}, 1),
        ({"a": ["Rom", "Bonn"]}, {"a": ["Bonn", "Rom"]}, 0),
        ({"a": 1}, {"a": 1.0}, 1),
        ({"a": "1"}, {"a": 1}, 0),
        ({"a": None}, {"a": None}, 1),
        ({"a": None}, {}, 0),
        ({}, {}, 1),
    ],
)
def test_the_score_is_the_share_of_right_fields(
    reference: Json, answer: Json, value: float
) -> None:
    """Missing, wrong and invented fields all cost the same."""
    assert scored(reference, answer).value == pytest.approx(value)


def test_wrong_fields_are_told() -> None:
    """Feedback names the fields that are wrong, missing or invented; the parts say of each whether it is right."""
    score = scored({"a": 1, "b": {"c": 2}, "d": 4}, {"a": 1, "b": {"c": 3}, "e": 5})

    assert score.parts == {"fields": {"a": True, "b.c": False, "d": False, "e": False}}
    assert score.feedback == (
        "Wrong: b.c is 3, expected 2; d is 'missing', expected 4; e is 5, expected 'nothing'"
    )


def test_a_failed_object_has_all_fields_wrong() -> None:
    """A failed answer counts against each field of the reference."""
    example = Example(inputs={}, reference={"a": 1, "b": {"c": 2}})

    score = FieldScores().failed(example, "unparsable")

    assert score.parts == {"fields": {"a": False, "b.c": False}}


@given(OBJECTS, OBJECTS)
def test_the_score_is_symmetric(a: Json, b: Json) -> None:
    """Reference and answer change places without changing the score."""
    assert scored(a, b).value == scored(b, a).value


@given(OBJECTS, OBJECTS)
def test_the_score_is_the_slow_definition(a: dict[str, Json], b: dict[str, Json]) -> None:
    """On flat objects the score is the shared items over the united names."""
    names = a.keys() | b.keys()
    expected = len(a.items() & b.items()) / len(names) if names else 1.0

    assert scored(a, b).value == pytest.approx(expected)
