"""What providers demand of a JSON Schema before they promise to follow it."""

from ratchet.core import Json

__all__ = ["close_schema", "is_strict_schema"]

UNKNOWN_TO_STRICT = {
    "allOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "dependentRequired",
    "dependentSchemas",
    "patternProperties",
    "prefixItems",
    "uniqueItems",
    "contains",
    "propertyNames",
}
"""Keywords that OpenAI's strict mode refuses."""
SAYS_A_TYPE = {"type", "enum", "const", "anyOf", "$ref"}
"""Keywords of which strict mode wants to see at least one in every schema."""
PASSED_ON = {
    "$ref",
    "type",
    "enum",
    "const",
    "title",
    "description",
    "default",
    "required",
    "format",
}
"""Keywords of a closed schema that are kept as they are; limits of lengths and of sizes are not among them."""
ALTERNATIVES = {"anyOf": "anyOf", "oneOf": "anyOf", "allOf": "allOf"}
"""Keywords that list schemas, and the one that each is sent as."""


def is_strict_schema(schema: Json) -> bool:
    """Return whether a schema is one that OpenAI's strict mode takes: an object, every object in it closed, all of its properties required.

    Source: the guide to structured outputs of OpenAI's API; langchain-ai/langchain #29282.
    """
    return isinstance(schema, dict) and schema.get("type") == "object" and _is_strict(schema)


def _is_strict(schema: Json) -> bool:
    if not isinstance(schema, dict) or UNKNOWN_TO_STRICT & set(schema):
        return False
    if not SAYS_A_TYPE & set(schema):
        return False
    if "object" in _types_of(schema) or "properties" in schema:
        names = set(schema.get("properties") or {})
        is_closed = schema.get("additionalProperties") is False
        if not is_closed or set(schema.get("required") or ()) != names:
            return False
    inner = list(schema.get("anyOf") or ()) + [
        schema[name] for name in ("items",) if name in schema
    ]
    for name in ("properties", "$defs", "definitions"):
        inner += (schema.get(name) or {}).values()
    return all(map(_is_strict, inner))


def close_schema(schema: dict[str, Json]) -> dict[str, Json] | None:
    """Return a schema with every object closed and without limits of lengths and sizes, None where an object must be open.

    Anthropic's output format takes such schemas alone. The limits are left out of what is sent; the task's own check of an answer
    still holds them.

    Source: `transform_schema` of the package anthropic 2.14.0, which does the same for its users.
    """
    closed: dict[str, Json] = {name: value for name, value in schema.items() if name in PASSED_ON}
    if schema.get("minItems") in {0, 1}:
        closed["minItems"] = schema["minItems"]
    if "object" in _types_of(schema) or "properties" in schema:
        # an object of which nothing is said may hold anything: closed, it could hold nothing
        is_open = schema.get("additionalProperties", "properties" not in schema) is not False
        if is_open or "patternProperties" in schema:
            return None
        closed |= {"properties": {}, "additionalProperties": False}
    try:
        for name in {"properties", "$defs", "definitions"} & set(schema):
            closed[name] = {key: _close(part) for key, part in dict(schema[name]).items()}
        for name, target in ALTERNATIVES.items():
            if name in schema:
                closed[target] = [_close(part) for part in list(schema[name])]
        if "items" in schema:
            closed["items"] = _close(schema["items"])
    except (TypeError, ValueError):
        return None
    return closed


def _types_of(schema: dict[str, Json]) -> list[Json]:
    kinds = schema.get("type")
    return kinds if isinstance(kinds, list) else [kinds]


def _close(schema: Json) -> dict[str, Json]:
    """Return a part of a schema, closed.

    Raises: ValueError if it cannot be.
    """
    closed = close_schema(schema) if isinstance(schema, dict) else None
    if closed is None:
        raise ValueError("an open object")
    return closed
