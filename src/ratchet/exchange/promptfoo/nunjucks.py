"""Nunjucks templates, as far as fields go: read as ours, or filled in."""

import json
import math
import re
from collections.abc import Mapping

from ratchet.core import Json
from ratchet.core.errors import DataError
from ratchet.metrics.ecmascript import text_of_value, value_as_json

__all__ = [
    "field_names",
    "fill_fields",
    "has_more_than_fields",
    "look_up",
    "our_template",
    "plain_value",
]

_FIELD = re.compile(r"\{\{-?\s*([^{}]*?)\s*-?\}\}")
_COMMENT = re.compile(r"\{#.*?#\}", re.DOTALL)
_PATH = re.compile(r"[A-Za-z_$][\w$]*(?:\.[\w$]+|\[\d+\])*")


def our_template(text: str, names: Mapping[str, str]) -> str:
    """Return a Nunjucks template as ours.

    Args:
        text: The template.
        names: Our fields, by what `field_names` returns.
    Raises: DataError if it has more than fields.
    """
    text = _COMMENT.sub("", text)
    if "{%" in text:
        raise DataError("it has a block of Nunjucks; write it with {{#if}} and {{#each}}")
    text = re.sub(r"-\}\}\s*", "}}", re.sub(r"\s*\{\{-", "{{", text))
    for name in _FIELD.findall(text):
        if not _PATH.fullmatch(name):
            raise DataError(f"{{{{{name}}}}} is more than a field")
    if "{{" in _FIELD.sub("", text):
        raise DataError("it has {{ that no }} closes")

    return _FIELD.sub(lambda match: f"{{{{{names.get(match[1], match[1])}}}}}", text)


def field_names(text: str) -> list[str]:
    """Return the ways to values that a template's fields name, as `a`, `a.b` or `a[0]`."""
    return [path for path in _FIELD.findall(text) if _PATH.fullmatch(path)]


def look_up(values: Mapping[str, Json], path: str) -> Json:
    """Return the value at `a`, `a.b` or `a[0]`; None where there is none."""
    value: Json = values
    for part in re.findall(r"[\w$]+", path):
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def has_more_than_fields(text: str) -> bool:
    """Return whether filling in the fields of a text is not all that promptfoo would do."""
    return "{%" in text or any(not _PATH.fullmatch(name) for name in _FIELD.findall(text))


def fill_fields(text: str, values: Mapping[str, Json], *, unknown: str | None = "") -> str:
    """Return a text with its fields filled in.

    Args:
        text: The template.
        values: By variable.
        unknown: What stands for a variable without a value; None leaves the field as it is.
    """

    def fill(match: re.Match[str]) -> str:
        if not _PATH.fullmatch(match[1]):
            return match[0]
        value = look_up(values, match[1])
        if value is None and unknown is None:
            return match[0]
        if isinstance(value, dict) or (isinstance(value, list) and _holds_object(value)):
            return json.dumps(value, ensure_ascii=False)
        return unknown or "" if value is None else text_of_value(value)

    return _FIELD.sub(fill, text)


def plain_value(value: Json) -> Json:
    """Return a variable's value so that our templates write what promptfoo writes of it.

    A list is its items with commas, a number has no needless point; an object stays one, and is written as JSON.
    """
    if isinstance(value, str):
        return value.removesuffix("\n")
    if isinstance(value, list) and not _holds_object(value):
        return text_of_value(value)
    if isinstance(value, float):
        written = text_of_value(value)
        return int(written) if written.lstrip("-").isdecimal() else _number_or_text(value, written)
    return value_as_json(value)


def _number_or_text(value: float, written: str) -> float | str:
    return value if math.isfinite(value) and json.dumps(value) == written else written


def _holds_object(value: list[Json]) -> bool:
    return any(
        isinstance(part, dict) or (isinstance(part, list) and _holds_object(part)) for part in value
    )
