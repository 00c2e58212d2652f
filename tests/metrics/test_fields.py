"""Objects field by field, against values worked out by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratchet.core import AnswerForm, Example, Json, MetricSpec
from ratchet.core.errors import MetricError
from ratchet.metrics import FieldScores, make_metric

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


@pytest.mark.parametrize(
    ("a", "b", "is_equal"),
    [
        (True, 1, False),
        (False, 0, False),
        (True, True, True),
        (1, "1", False),
        (None, "", False),
        (None, False, False),
        (123456789012345678901, 123456789012345678902, False),
        (123456789012345678901, 123456789012345678901, True),
        (10**400, 1.5, False),
        (0.3, 0.1 + 0.2, True),
        (0.3, 0.31, False),
        (1e-12, 2e-12, False),
        (5, -5, False),
        ("x<5", "x>5", False),
        ([True], [1], False),
        ([{"a": 1}], [{"a": True}], False),
        ([{"a": "Rom"}], [{"a": "rom"}], True),
        ({"a.b": 1}, {"a": {"b": 1}}, False),
    ],
)
def test_values_of_different_types_are_different(a: Json, b: Json, is_equal: bool) -> None:
    """Truth is no number, integers are exact, fractions are equal up to how they were computed."""
    score = scored({"x": a}, {"x": b})

    assert (score.value == 1) is is_equal


@pytest.mark.parametrize(
    ("options", "a", "b", "value"),
    [
        ({"tolerance": 0.5}, 1.0, 1.5, 1),
        ({"tolerance": 0.5}, 1.0, 1.6, 0),
        ({"tolerance": 0}, 0.3, 0.1 + 0.2, 0),
        ({"tolerance": 0.1}, 3.0, 3.1, 1),
        ({"ordered": False}, ["Rom", "Bonn"], ["bonn", "rom"], 1),
        ({"ordered": False}, ["Rom", "Rom"], ["rom", "bonn"], 0),
        ({"ordered": False}, [{"a": [1, 2]}], [{"a": [2, 1]}], 1),
        ({"ordered": False}, [], [], 1),
        ({"ordered": False, "tolerance": 1}, [1, 2], [3, 1], 1),
    ],
)
def test_tolerance_and_order_are_options(options, a: Json, b: Json, value: float) -> None:
    """A difference within the tolerance is none, and lists may stand in any order, where the task says so."""
    score = FieldScores(**options).score(Example(inputs={}, reference={"x": a}), {"x": b})

    assert score.value == value


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"only": "city"}, "only is a list of names; got 'city'"),
        ({"tolerance": -1}, "tolerance must be a finite number, at least 0; got -1"),
        ({"tolerance": "5 %"}, "tolerance must be a finite number"),
        ({"ordered": "no"}, "ordered is true or false; got 'no'"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message: str) -> None:
    """The rule and the value are named."""
    with pytest.raises(MetricError, match=message):
        FieldScores(**options)


def test_a_field_that_the_data_lack_is_an_error() -> None:
    """A misspelt name would score every answer 1: it is named, with the nearest one, from the data and from the schema."""
    metric = FieldScores(only=["citty"])
    with pytest.raises(MetricError, match=r"only names 'citty'.*Did you mean 'city'\?"):
        metric.score(Example(inputs={}, reference={"city": "Rom"}), {"city": "Bonn"})

    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    form = AnswerForm(kind="json", json_schema=schema)
    with pytest.raises(MetricError, match="citty"):
        make_metric(MetricSpec(name="fields", options={"only": ["citty"]}), form=form)


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
