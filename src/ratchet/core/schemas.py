"""JSON Schemas as people publish them: types by their programming names read as JSON's, references that lead nowhere refused."""

from collections.abc import Iterator

from ratchet.core.records import Json

__all__ = ["schema_problem", "standard_types"]

JSON_TYPES = {
    "dict": "object",
    "map": "object",
    "hashmap": "object",
    "list": "array",
    "tuple": "array",
    "set": "array",
    "float": "number",
    "double": "number",
    "decimal": "number",
    "int": "integer",
    "long": "integer",
    "str": "string",
    "bool": "boolean",
    "none": "null",
    "nonetype": "null",
}
"""What sets of function calls write, and what it is in JSON."""
UNTYPED = ("any", "object or array")
STANDARD = ("object", "array", "string", "number", "integer", "boolean", "null")
VALUES = ("enum", "const", "default", "examples", "example")
"""Keywords whose values are data and no schemas."""
NAMED = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
"""Keywords whose keys are names, so that a property may be called `type`."""
PROBES: tuple[Json, ...] = ({}, [], "", 0, None)


def standard_types(schema: Json) -> Json:
    """Return a schema with its types in JSON Schema's words: `dict` is object, `float` number, `tuple` array, `any` no type.

    What is standard already comes back as it is.
    """
    if isinstance(schema, list):
        return [standard_types(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made: dict[str, Json] = {}
    for keyword, value in schema.items():
        if keyword in VALUES:
            made[keyword] = value
        elif keyword in NAMED and isinstance(value, dict):
            made[keyword] = {name: standard_types(part) for name, part in value.items()}
        elif keyword == "type":
            types = _standard_type(value)
            if types is not None:
                made[keyword] = types
        else:
            made[keyword] = standard_types(value)
    return made


def _standard_type(written: Json) -> Json:
    """Return a type in JSON's words; None where anything goes; what is unknown as it is."""
    if isinstance(written, list):
        types = [_standard_type(one) for one in written]
        return None if None in types else types
    if not isinstance(written, str) or written in STANDARD:
        return written
    name = written.strip().lower()
    if name in UNTYPED:
        return None
    return name if name in STANDARD else JSON_TYPES.get(name, written)


def schema_problem(schema: dict[str, Json]) -> str | None:
    """Return where a schema breaks the rules of JSON Schema (draft 2020-12) or refers to what is not in it, and how."""
    from jsonschema import Draft202012Validator  # takes a moment, and most tasks have no schema
    from jsonschema.exceptions import SchemaError

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        return f"at {error.json_path}: {error.message[:200]}"
    return _reference_problem(schema)


def _reference_problem(schema: dict[str, Json]) -> str | None:
    from jsonschema import Draft202012Validator
    from referencing import Registry, Resource
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    references = list(_references_in(schema, "$"))
    if not references:
        return None
    resource: Resource[Json] = Resource.from_contents(schema, default_specification=DRAFT202012)
    base = str(schema.get("$id", ""))
    registry: Registry[Json] = Registry().with_resource(base, resource).crawl()
    resolver = registry.resolver(base_uri=base)
    for place, reference in references:
        try:
            resolver.lookup(reference)
        except (Unresolvable, ValueError, TypeError, LookupError):
            return (
                f"at {place}: it refers to {reference!r}, which is not in the schema; write what is meant "
                "under $defs, and refer to it as '#/$defs/name'"
            )
    validator = Draft202012Validator(schema, registry=registry)
    try:
        for probe in PROBES:
            validator.is_valid(probe)
    except RecursionError:
        return f"at {references[0][0]}: a reference leads back to itself without end"
    return None


def _references_in(schema: Json, place: str) -> Iterator[tuple[str, str]]:
    """Yield the place and the target of each reference in a schema."""
    if isinstance(schema, list):
        for number, part in enumerate(schema):
            yield from _references_in(part, f"{place}[{number}]")
    if not isinstance(schema, dict):
        return
    for keyword, value in schema.items():
        here = f"{place}.{keyword}"
        if keyword in VALUES:
            continue
        if keyword in NAMED and isinstance(value, dict):
            for name, part in value.items():
                yield from _references_in(part, f"{here}.{name}")
        elif keyword in ("$ref", "$dynamicRef") and isinstance(value, str):
            yield here, value
        else:
            yield from _references_in(value, here)
