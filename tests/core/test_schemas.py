"""Schemas are read as they are published, and refused where they lead nowhere."""

import pytest

from ratchet.answer import parse_answer
from ratchet.core import AnswerForm, InputField, Json, MetricSpec, Roles, Task
from ratchet.core.schemas import schema_problem, standard_types
from ratchet.models.chat import ChatReply


def task(schema: Json) -> Task:
    """Return a task whose answers have that schema."""
    return Task(
        name="t",
        instructions="Do.",
        inputs=(InputField(name="q"),),
        answer=AnswerForm(kind="json", json_schema=schema),
        metric=MetricSpec(name="fields"),
        models=Roles(student="m"),
    )


@pytest.mark.parametrize(
    ("published", "standard"),
    [
        ({"type": "dict"}, {"type": "object"}),
        ({"type": "float"}, {"type": "number"}),
        (
            {"type": "tuple", "items": {"type": "int"}},
            {"type": "array", "items": {"type": "integer"}},
        ),
        ({"type": "any"}, {}),
        ({"type": ["str", "none"]}, {"type": ["string", "null"]}),
        ({"type": ["any", "null"]}, {}),
        ({"type": "String"}, {"type": "string"}),
        ({"enum": [{"type": "dict"}]}, {"enum": [{"type": "dict"}]}),
        ({"properties": {"type": {"type": "bool"}}}, {"properties": {"type": {"type": "boolean"}}}),
        ({"default": {"type": "float"}}, {"default": {"type": "float"}}),
        ({"anyOf": [{"type": "list"}]}, {"anyOf": [{"type": "array"}]}),
        ({"type": "strange"}, {"type": "strange"}),
        (True, True),
    ],
)
def test_types_of_programming_languages_are_read_as_jsons(published: Json, standard: Json) -> None:
    """Words of Python and Java become JSON's; data and names of properties stay."""
    assert standard_types(published) == standard


def test_a_task_with_published_types_has_standard_ones() -> None:
    """So that an endpoint takes its schema, and answers are checked."""
    schema = {"type": "dict", "properties": {"x": {"type": "float"}}, "required": ["x"]}
    made = task(schema)

    assert made.answer.json_schema == {
        "type": "object",
        "properties": {"x": {"type": "number"}},
        "required": ["x"],
    }
    assert parse_answer(made, ChatReply(text='{"x": "1"}')) == (None, "wrong form")
    assert parse_answer(made, ChatReply(text='{"x": 1.5}')) == ({"x": 1.5}, None)


@pytest.mark.parametrize(
    "reference",
    [
        "http://127.0.0.1:1/schema.json",
        "other.json",
        "#/$defs/gone",
        "#nowhere",
        "file:///etc/passwd",
    ],
)
def test_a_reference_to_what_is_not_in_the_schema_is_refused(reference: str) -> None:
    """When the task is loaded, with the place, the value and the remedy; nothing is fetched."""
    schema = {"type": "object", "properties": {"a": {"$ref": reference}}, "$defs": {"b": {}}}

    with pytest.raises(ValueError, match=r"at \$\.properties\.a\.\$ref: it refers to .*\$defs"):
        task(schema)


@pytest.mark.parametrize(
    "schema",
    [{"$ref": "#"}, {"allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"$ref": "#/$defs/a"}}}],
)
def test_a_reference_that_never_ends_is_refused(schema: Json) -> None:
    """It would end the reading of every answer with an error."""
    assert "leads back to itself" in str(schema_problem(schema))


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/$defs/a", "$defs": {"a": {"type": "object"}}},
        {"properties": {"next": {"$ref": "#"}}},
        {"properties": {"$ref": {"type": "string"}}},
        {"const": {"$ref": "http://x"}},
        {"$id": "http://x/y", "$ref": "z", "$defs": {"z": {"$id": "z"}}},
        {"$ref": "#here", "$defs": {"a": {"$anchor": "here"}}},
    ],
)
def test_a_reference_inside_the_schema_is_taken(schema: Json) -> None:
    """By a pointer, an anchor or an id; a property that is called so refers to nothing."""
    assert schema_problem(schema) is None
    assert parse_answer(task(schema), ChatReply(text="{}"))[1] != "unparsable"


@pytest.mark.parametrize("factor", [0.01, 0.1, 0.05, 1e-6, 5, 0.5])
def test_multiples_are_counted_in_decimals(factor: float) -> None:
    """Every price in cents is a multiple of 0.01, as JSON writes both; what is between two is none."""
    made = task({"properties": {"x": {"multipleOf": factor}}})
    for count in (1, 3, 29, 435, 1999, 99999):
        text = f"{count * factor:.6f}".rstrip("0").rstrip(".")
        body = f'{{"x": {text}}}'
        assert parse_answer(made, ChatReply(text=body))[1] is None, body
    assert parse_answer(made, ChatReply(text=f'{{"x": {factor / 2:.8f}}}'))[1] == "wrong form"
