"""Whether a text is JSON, or holds an object, that fits a schema: draft 7 with its formats asserted, as JavaScript's Ajv does it."""

import json
import math
import re
from collections.abc import Callable, Iterator
from datetime import date, datetime, time
from fractions import Fraction
from functools import lru_cache, partial
from ipaddress import IPv4Address, IPv6Address
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from jsonschema import (
    Draft7Validator,
    Draft202012Validator,
    FormatChecker,
    ValidationError,
    validators,
)
from jsonschema.exceptions import SchemaError

from ratchet.core import Json
from ratchet.core.records import canonical_json
from ratchet.data.yaml12 import parse_yaml
from ratchet.metrics.ecmascript import compile_pattern

__all__ = ["holds_object", "is_json_text"]

_MAX_ENDS = 200
"""Closing braces that are tried for each opening one."""
_MAX_STARTS = 2000
_Validator = Any
"""jsonschema's validators are classes made at run time, without a type."""


def is_json_text(text: str, schema: Json) -> bool:
    """Return whether a text is JSON as a whole, and fits the schema.

    Raises: ValueError if the schema is not one.
    """
    checker = _schema_validator(schema)
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return False
    return checker is None or bool(checker.is_valid(value))


def holds_object(text: str, schema: Json) -> bool:
    """Return whether an object that fits the schema stands in a text; objects are read as YAML 1.2 reads them.

    Raises: ValueError if the schema is not one.
    """
    checker = _schema_validator(schema)
    return any(checker is None or bool(checker.is_valid(value)) for value in _objects_in(text))


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _objects_in(text: str) -> Iterator[dict[str, Json]]:
    """Yield the objects of a text, none inside another."""
    place = 0
    for _ in range(_MAX_STARTS):
        place = text.find("{", place)
        if place < 0:
            return
        value, end = _object_at(text, place)
        if value is not None:
            yield value
        place = end


def _object_at(text: str, start: int) -> tuple[dict[str, Json] | None, int]:
    """Return the object that begins at a brace, or None, and where to look on."""
    try:
        value, length = json.JSONDecoder().raw_decode(text[start:])
        return value, start + length  # most are plain JSON
    except (ValueError, RecursionError):
        pass
    end = start
    for _ in range(_MAX_ENDS):
        end = text.find("}", end) + 1
        if not end:
            break
        try:
            value = parse_yaml(text[start:end], aliases=False)
        except ValueError:
            continue
        if isinstance(value, dict):
            return value, end
    return None, start + 1


def _schema_validator(schema: Json) -> _Validator | None:
    """Return what checks a schema, given as it is, or as text in JSON or YAML; None where anything fits.

    Raises: ValueError if it is not a schema of draft 7, or asks for an unknown format.
    """
    body = parse_yaml(schema) if isinstance(schema, str) else schema
    if body is None or body is False or body == "":
        return None
    if not isinstance(body, dict):
        raise TypeError(f"a schema is an object, got {body!r}")
    return _built_validator(canonical_json(body))


@lru_cache(maxsize=64)
def _built_validator(text: str) -> _Validator:
    schema = json.loads(text)
    dialect = str(schema.get("$schema", _DRAFT_SEVEN)).rstrip("#")
    if dialect not in _DIALECTS:
        raise ValueError(
            f"the schema is written in {dialect!r}; what is read is {', '.join(_DIALECTS)}"
        )
    own, checker = _DIALECTS[dialect]
    try:
        own.check_schema(schema, format_checker=FormatChecker(formats=()))
    except SchemaError as error:
        raise ValueError(
            f"not a JSON Schema at {error.json_path}: {error.message[:200]}"
        ) from error
    for place, part in _parts_of(schema, "$"):
        wanted = part.get("format")
        if own is Draft7Validator and (later := sorted(_LATER_WORDS & part.keys())):
            raise ValueError(
                f"{later[0]!r} at {place} has no meaning in draft 7; name draft 2020-12 in $schema"
            )
        if isinstance(wanted, str) and wanted not in _FORMATS:
            raise ValueError(f"the schema has the unknown format {wanted!r} at {place}")
        if isinstance(part.get("pattern"), str):
            compile_pattern(part["pattern"], unicode=True)
        if not str(part.get("$ref", "#")).startswith("#"):
            raise ValueError(f"the schema refers to {part['$ref']!r}, which is not in the schema")
    return checker(schema, format_checker=_format_checker())


def _parts_of(schema: Json, place: str) -> Iterator[tuple[str, dict[str, Json]]]:
    """Yield a schema and the schemas in it, with their places; what only names or lists values is none."""
    if isinstance(schema, list):
        for index, part in enumerate(schema):
            yield from _parts_of(part, f"{place}[{index}]")
    if not isinstance(schema, dict):
        return
    yield place, schema
    for name, part in schema.items():
        if name in ("properties", "patternProperties", "definitions", "$defs", "dependencies"):
            for inner, value in part.items() if isinstance(part, dict) else ():
                yield from _parts_of(value, f"{place}.{name}.{inner}")
        elif name not in ("enum", "const", "default", "examples", "required"):
            yield from _parts_of(part, f"{place}.{name}")


def _check_pattern(
    _validator: object, pattern: str, value: Json, _schema: Json
) -> Iterator[ValidationError]:
    if isinstance(value, str) and not compile_pattern(pattern, unicode=True).search(value):
        yield ValidationError(f"{value!r} does not match {pattern!r}")


def _check_multiple(
    _validator: object, step: float, value: Json, _schema: Json
) -> Iterator[ValidationError]:
    """Refuse what is no multiple in decimal arithmetic: 19.99 is one of 0.01, though division of floats says otherwise."""
    if _is_number(None, value) and Fraction(repr(value)) % Fraction(repr(step)):
        yield ValidationError(f"{value!r} is not a multiple of {step!r}")


def _is_number(_checker: object, value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_integer(_checker: object, value: object) -> bool:
    return _is_number(None, value) and float(value) == int(value)  # type: ignore[arg-type,call-overload]


def _asserting(base: _Validator) -> _Validator:
    """Return a validator with JavaScript's patterns and numbers that are finite."""
    types = base.TYPE_CHECKER.redefine("number", _is_number).redefine("integer", _is_integer)
    return validators.extend(
        base, {"pattern": _check_pattern, "multipleOf": _check_multiple}, type_checker=types
    )  # type: ignore[no-untyped-call]  # jsonschema has no types for it


_DRAFT_SEVEN = "http://json-schema.org/draft-07/schema"
_DIALECTS: dict[str, tuple[_Validator, _Validator]] = {
    _DRAFT_SEVEN: (Draft7Validator, _asserting(Draft7Validator)),
    "https://json-schema.org/draft/2020-12/schema": (
        Draft202012Validator,
        _asserting(Draft202012Validator),
    ),
}
"""By the name in `$schema`: what checks schemas, and what checks values."""
_LATER_WORDS = frozenset(
    (
        "prefixItems",
        "dependentRequired",
        "dependentSchemas",
        "unevaluatedItems",
        "unevaluatedProperties",
        "minContains",
        "maxContains",
    )
)


def _matches(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(pattern, re.ASCII)
    return lambda text: compiled.fullmatch(text) is not None


def _parses(read: Callable[[str], object]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            read(text)
        except ValueError:
            return False
        return True

    return check


def _read_moment(text: str) -> datetime:
    if not re.fullmatch(r"\d{4}-\d\d-\d\d[tT ]\d\d:\d\d:\d\d(\.\d+)?([zZ]|[+-]\d\d:?\d\d)", text):
        raise ValueError(text)
    return datetime.fromisoformat(text.upper())


def _read_time(text: str) -> time:
    if not re.fullmatch(r"\d\d:\d\d:\d\d(\.\d+)?([zZ]|[+-]\d\d:?\d\d)", text):
        raise ValueError(text)
    return time.fromisoformat(text.upper())


def _read_day(text: str) -> date:
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII):
        raise ValueError(text)
    return date.fromisoformat(text)


def _is_uri(text: str) -> bool:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"{}|\\^`]+", text):
        return False
    return _parses(urlsplit)(text)


_HOST = r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
_FORMATS: dict[str, Callable[[str], bool]] = {
    "date": _parses(_read_day),
    "date-time": _parses(_read_moment),
    "iso-date-time": _parses(datetime.fromisoformat),
    "time": _parses(_read_time),
    "iso-time": _parses(time.fromisoformat),
    "duration": _matches(r"P(?!$)((\d+Y)?(\d+M)?(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+S)?)?|(\d+W)?)"),
    "uri": _is_uri,
    "uri-reference": _matches(r"[^\s<>\"{}|\\^`]*"),
    "uri-template": _matches(r"([^\s<>\"'{}|\\^`]|\{[^{}\s]+\})*"),
    "url": lambda text: text.startswith(("http://", "https://", "ftp://")) and _is_uri(text),
    "email": _matches(rf"[A-Za-z0-9!#$%&'*+/=?^_`{{|}}~.-]+(?<!\.)@{_HOST}"),
    "hostname": _matches(_HOST),
    "ipv4": _parses(IPv4Address),
    "ipv6": _parses(IPv6Address),
    "regex": _parses(lambda text: compile_pattern(text, unicode=True)),
    "uuid": lambda text: len(text.removeprefix("urn:uuid:")) == 36 and _parses(UUID)(text),
    "json-pointer": _matches(r"(/([^~/]|~[01])*)*"),
    "relative-json-pointer": _matches(r"(0|[1-9]\d*)(#|(/([^~/]|~[01])*)*)"),
    "byte": _matches(r"([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"),
    **dict.fromkeys(("int32", "int64", "float", "double", "password", "binary"), lambda _: True),
}


def _fits_format(check: Callable[[str], bool], value: object) -> bool:
    return not isinstance(value, str) or check(value)


@lru_cache(maxsize=1)
def _format_checker() -> FormatChecker:
    checker = FormatChecker(formats=())
    for name, check in _FORMATS.items():
        checker.checkers[name] = (partial(_fits_format, check), ())
    return checker
