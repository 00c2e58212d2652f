"""Which schemas providers promise to follow, and how one is closed for those that take closed ones alone."""

from typing import Any

import pytest

from ratchet.models.schema import close_schema, is_strict_schema


def an_object(required: list[str] | None = None, **properties: Any) -> dict[str, Any]:
    """Return the schema of a closed object, all of whose properties are required unless it is said otherwise."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required is None else required,
        "additionalProperties": False,
    }


TEXT = {"type": "string"}
OPEN = {"type": "object", "properties": {"a": TEXT}, "required": ["a"]}


@pytest.mark.parametrize(
    ("schema", "is_strict"),
    [
        (an_object(), True),
        (an_object(a=TEXT, b={"type": ["integer", "null"]}), True),
        (an_object(a={"enum": ["x", "y"]}, b={"const": 3}), True),
        (an_object(a={"type": "array", "items": an_object(b=TEXT)}), True),
        (an_object(a={"anyOf": [TEXT, an_object(b=TEXT)]}), True),
        (an_object(a={"$ref": "#/$defs/A"}) | {"$defs": {"A": an_object(b=TEXT)}}, True),
        (an_object([], a=TEXT), False),
        (OPEN, False),
        (OPEN | {"additionalProperties": True}, False),
        (an_object(a=OPEN), False),
        (an_object(a={"type": "array", "items": OPEN}), False),
        (an_object(a={"anyOf": [TEXT, OPEN]}), False),
        (an_object(a={"type": ["object", "null"]}), False),
        (an_object(a={"$ref": "#/$defs/A"}) | {"$defs": {"A": OPEN}}, False),
        (an_object(a={"allOf": [TEXT]}), False),
        (an_object(a={"type": "array", "items": TEXT, "uniqueItems": True}), False),
        (an_object(a={"description": "anything"}), False),
        (an_object(a=True), False),
        ({"type": "array", "items": TEXT}, False),
        ({"anyOf": [an_object(a=TEXT), an_object(b=TEXT)]}, False),
        ({}, False),
        (True, False),
    ],
)
def test_a_strict_schema_is_closed_and_whole(schema: Any, is_strict: bool) -> None:
    """Strict mode takes closed objects whose properties are all required, and an object at the top."""
    assert is_strict_schema(schema) == is_strict


@pytest.mark.parametrize(
    ("schema", "closed"),
    [
        (an_object(a=TEXT), an_object(a=TEXT)),
        (OPEN, an_object(a=TEXT)),
        (an_object(["a"], a=TEXT, b=TEXT), an_object(["a"], a=TEXT, b=TEXT)),
        (
            an_object(a={"type": "integer", "minimum": 1, "maximum": 9}),
            an_object(a={"type": "integer"}),
        ),
        (an_object(a=TEXT | {"minLength": 2, "pattern": "a+"}), an_object(a=TEXT)),
        (
            an_object(a={"type": "array", "items": OPEN, "minItems": 1, "maxItems": 9}),
            an_object(a={"type": "array", "items": an_object(a=TEXT), "minItems": 1}),
        ),
        (an_object(a={"oneOf": [TEXT, OPEN]}), an_object(a={"anyOf": [TEXT, an_object(a=TEXT)]})),
        (
            an_object(a={"$ref": "#/$defs/A"}) | {"$defs": {"A": OPEN}},
            an_object(a={"$ref": "#/$defs/A"}) | {"$defs": {"A": an_object(a=TEXT)}},
        ),
        ({"type": "object"}, None),
        (OPEN | {"additionalProperties": True}, None),
        (OPEN | {"additionalProperties": TEXT}, None),
        (an_object(a={"type": "object"}), None),
        (an_object(a={"type": "array", "items": {"type": "object"}}), None),
        (an_object(a={"anyOf": [TEXT, {"type": "object"}]}), None),
        (an_object(a=True), None),
        ({"type": "object", "properties": 3}, None),
    ],
)
def test_a_schema_is_closed_or_is_none(
    schema: dict[str, Any], closed: dict[str, Any] | None
) -> None:
    """Objects are closed and limits dropped; an object that may hold anything has no closed form."""
    assert close_schema(schema) == closed


@pytest.mark.parametrize(
    "schema",
    [
        OPEN,
        an_object(a={"type": "array", "items": OPEN, "minItems": 1}),
        an_object(a={"oneOf": [TEXT, OPEN]}),
        an_object(a={"$ref": "#/$defs/A"}) | {"$defs": {"A": OPEN}},
    ],
)
def test_a_closed_schema_is_what_the_sdk_makes(schema: dict[str, Any]) -> None:
    """Anthropic's own SDK closes a schema in the same way."""
    from anthropic import transform_schema

    assert close_schema(schema) == transform_schema(schema)
