"""What providers demand of a JSON Schema before they promise to follow it."""

from ratchet.core import Json

__all__ = ["is_strict_schema"]


def is_strict_schema(schema: Json) -> bool:
    """Return whether a schema is one that OpenAI's strict mode takes: every object closed, and all of its properties required.

    Source: the guide to structured outputs of OpenAI's API; langchain-ai/langchain #29282.
    """
    if isinstance(schema, list):
        return all(map(is_strict_schema, schema))
    if not isinstance(schema, dict):
        return True
    kind = schema.get("type")
    if kind == "object" or (isinstance(kind, list) and "object" in kind) or "properties" in schema:
        names = set(schema.get("properties") or {})
        if (
            schema.get("additionalProperties") is not False
            or set(schema.get("required") or ()) != names
        ):
            return False
    inner = [value for name, value in schema.items() if name in ("items", "anyOf", "prefixItems")]
    inner += [
        part
        for name in ("properties", "$defs", "definitions")
        for part in (schema.get(name) or {}).values()
    ]
    return all(map(is_strict_schema, inner)) and not {"allOf", "oneOf", "not"} & set(schema)
