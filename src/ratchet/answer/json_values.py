"""The JSON that stands in a reply, candidate after candidate, and what tells whether one fits a schema."""

import json
import re
from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from ratchet.core import Json
from ratchet.core.schemas import standard_types

__all__ = ["MAX_DEPTH", "depth", "json_candidates", "parse_json", "schema_validator"]

MAX_DEPTH = 100
"""Levels of nesting; a value that goes deeper is nothing that anyone asked for."""
MAX_STARTS = 2_000
"""Places of a reply where a value is looked for."""
MAX_TOO_DEEP = 5
"""Starts of values that were nested too deeply to be read; a text that is full of them is given up."""
FENCE = re.compile(r"```[ \t]*([\w+.#-]*)[^\S\n]*\n?(.*?)(?:```|\Z)", re.DOTALL)
JSON_FENCES = ("json", "json5", "jsonc", "jsonl", "application/json")
_START = re.compile(r"\{(?=\s*[\"}])|\[(?=\s*[\[\]{\"\-\dtfn])")
_STRUCTURE = re.compile(r"\"(?:[^\"\\]|\\.)*\"|[{}\[\]]", re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")
_BEGINS_OBJECT = re.compile(r"\{\s*\"(?:[^\"\\]|\\.)*\"\s*:|\[\s*\{\s*\"", re.DOTALL)


def parse_json(text: str) -> Json:
    """Return the value of a JSON text, integers exact.

    Raises: ValueError if it is not JSON, or holds what cannot be stored: NaN, infinities, half surrogate pairs.
    """
    try:
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if "\\ud" in text.lower() and _SURROGATE.search(json.dumps(value, ensure_ascii=False)):
        raise ValueError("it holds half of a surrogate pair")
    return value


def json_candidates(text: str) -> Iterator[Json]:
    """Yield every JSON object and array that stands in a reply, the likeliest first.

    The whole text; what stands in fences of JSON; what stands in other fences; what stands anywhere, from left to right. What stands
    inside another value, or inside one that is broken or cut off, is no candidate of its own. A whole text that is another
    value (`3`) comes too.
    """
    try:
        yield parse_json(text)
        return
    except ValueError:
        pass
    fences = [(found.group(1).lower(), found.group(2)) for found in FENCE.finditer(text)]
    fences.sort(key=lambda fence: fence[0] not in JSON_FENCES)
    for _, body in fences:
        yield from _values_in(body)
    yield from _values_in(text)


def _values_in(text: str) -> Iterator[Json]:
    """Yield the objects and arrays of a text that are parts of no other one."""
    decoder = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)
    place = too_deep = 0
    for _ in range(MAX_STARTS):
        found = _START.search(text, place)
        if found is None or too_deep >= MAX_TOO_DEEP:
            return
        start = found.start()
        try:
            _, end = decoder.raw_decode(text, start)
            yield parse_json(text[start:end])
            place = end
        except RecursionError:
            too_deep += 1
            place = start + 1
        except ValueError:
            place = start + 1
            if _BEGINS_OBJECT.match(text, start):
                end_of_broken = _balanced_end(text, start)
                if end_of_broken is None:
                    return  # cut off: what stands behind is part of it
                place = end_of_broken


def _balanced_end(text: str, start: int) -> int | None:
    """Return where the bracket that opens at `start` is closed, texts in quotation marks aside; None where it is not."""
    level = 0
    for found in _STRUCTURE.finditer(text, start):
        mark = found.group()
        if mark in "{[":
            level += 1
        elif mark in "}]":
            level -= 1
            if level == 0:
                return found.end()
    return None


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON value")


def _finite(written: str) -> float:
    value = float(written)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{written} is too large")
    return value


def depth(value: Json) -> int:
    """Return how deeply a value is nested, counted to one level beyond `MAX_DEPTH`."""
    level, deep = [value], 0
    while level and deep <= MAX_DEPTH:
        level = [
            part
            for item in level
            if isinstance(item, dict | list)
            for part in (item.values() if isinstance(item, dict) else item)
        ]
        deep += 1
    return deep


@lru_cache(maxsize=64)
def schema_validator(schema: str) -> Draft202012Validator:
    """Return what checks values against a schema, given as JSON text.

    Types are read as `standard_types` says, `multipleOf` in decimals (19.99 is a multiple of 0.01), and nothing is ever fetched.
    """
    body = standard_types(json.loads(schema))
    base = str(body.get("$id", "")) if isinstance(body, dict) else ""
    resource: Resource[Json] = Resource.from_contents(body, default_specification=DRAFT202012)
    return _DecimalValidator(body, registry=Registry().with_resource(base, resource))


def _check_multiple(
    validator: Any,  # noqa: ARG001 - the signature that jsonschema calls
    factor: float,
    instance: Json,
    schema: Json,  # noqa: ARG001
) -> Iterator[ValidationError]:
    """Yield an error where a number, as JSON writes it, is no multiple of `factor`."""
    if isinstance(instance, bool) or not isinstance(instance, int | float):
        return
    is_multiple = Fraction(repr(instance)) % Fraction(repr(factor)) == 0
    if not is_multiple:
        yield ValidationError(f"{instance!r} is not a multiple of {factor!r}")


_DecimalValidator: type[Draft202012Validator] = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator, {"multipleOf": _check_multiple}
)
