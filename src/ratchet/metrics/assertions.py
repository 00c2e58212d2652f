"""Assertions about an answer: the share, by weight, that holds. A reference is a list of them, as promptfoo writes its tests.

    {type: contains, value: Paris}   {type: not-regex, value: "sorry"}   {type: is-json, value: {…a schema…}, weight: 2}

Types: equals, contains, icontains, contains-all, contains-any, icontains-all, icontains-any, starts-with, regex, is-json,
contains-json, levenshtein (at most `threshold` edits), word-count (a number, or `min` and `max`); each also with `not-` before it.
"""

import csv
import json
import re
from collections.abc import Callable

from jsonschema import Draft202012Validator

from ratchet.answer.json_values import (
    MAX_DEPTH,
    depth,
    json_candidates,
    parse_json,
    schema_validator,
)
from ratchet.core import Example, FailureKind, Json, Score
from ratchet.core.errors import MetricError, did_you_mean
from ratchet.core.numerals import parse_number
from ratchet.core.records import canonical_json
from ratchet.core.schemas import schema_problem, standard_types
from ratchet.metrics.metric import Aggregate, failure_sentence, metric_id

__all__ = ["KINDS", "Assertions"]

EDITS = 5
"""Edits that `levenshtein` allows where no threshold is given."""
LONGEST = 2000
"""Characters of a text that edits are counted in."""


class Assertions:
    """The share of an example's assertions that hold."""

    aggregates: tuple[Aggregate, ...] = ()
    references_are_answers = False

    def __init__(self) -> None:
        self.id = metric_id("assertions", 2, {})

    def score(self, example: Example, answer: Json) -> Score:
        """Try each assertion.

        Raises: MetricError if the reference holds none, or one of an unknown type.
        """
        text = answer if isinstance(answer, str) else canonical_json(answer)
        held, whole, wrong = 0.0, 0.0, []
        for one in assertions_of(example):
            weight = weight_of(one, example)
            whole += weight
            if holds(one, text, example):
                held += weight
            else:
                wrong.append(f"{one['type']} {canonical_json(one.get('value'))[:120]}")
        value = held / whole if whole else 1.0
        return Score(
            value=value, feedback=f"Does not hold: {'; '.join(wrong)}." if wrong else "All hold."
        )

    def failed(self, _example: Example, failure: FailureKind) -> Score:
        """Score 0."""
        return Score(value=0.0, feedback=failure_sentence(failure))


def assertions_of(example: Example) -> list[dict[str, Json]]:
    found = example.reference
    if isinstance(found, str):  # as a column of a file holds it
        try:
            found = json.loads(found)
        except ValueError:
            found = None
    if not isinstance(found, list) or not all(
        isinstance(one, dict) and "type" in one for one in found
    ):
        raise MetricError(
            f"metric 'assertions': the reference of example {example.id} ({example.source}) is a list as [{{type: contains, value: …}}]; got {str(example.reference)[:100]!r}"
        )
    return found


def weight_of(one: dict[str, Json], example: Example) -> float:
    """Return how much an assertion counts.

    Raises: MetricError if that is no number of at least 0.
    """
    weight = parse_number(one.get("weight", 1))
    if weight is None or weight < 0:
        raise MetricError(
            f"metric 'assertions', example {example.id} ({example.source}): weight is a number, at least 0; got {one['weight']!r}"
        )
    return float(weight)


def holds(one: dict[str, Json], text: str, example: Example) -> bool:
    """Return whether an assertion holds of a text."""
    kind = str(one["type"])
    plain = kind.removeprefix("not-")
    if plain not in KINDS:
        raise MetricError(
            f"metric 'assertions', example {example.id} ({example.source}): there is no type {kind!r}; there are {', '.join(KINDS)}, also with not- before them.{did_you_mean(plain, KINDS)}"
        )
    try:
        is_so = KINDS[plain](text, one.get("value"), one)
    except (TypeError, ValueError, re.error) as error:
        raise MetricError(
            f"metric 'assertions', example {example.id} ({example.source}): {kind} cannot be read: {error}"
        ) from error
    return is_so != kind.startswith("not-")


def several(value: Json) -> list[str]:
    """Return the words of a list, or of a text with commas; commas between quotation marks part nothing, and no word is empty."""
    if isinstance(value, list):
        return [v if isinstance(v, str) else canonical_json(v) for v in value]
    words = next(csv.reader([" ".join(str(value).split("\n"))], skipinitialspace=True), [])
    return [word.strip() for word in words if word.strip()]


def equals(text: str, value: Json, _: dict[str, Json]) -> bool:
    """Return whether a text is a text, or is JSON of the same value: true is not 1, and 1 is 1.0."""
    if isinstance(value, str):
        return text == value
    try:
        return canonical_json(_plain_numbers(parse_json(text))) == canonical_json(
            _plain_numbers(value)
        )
    except ValueError:
        return False


def _plain_numbers(value: Json) -> Json:
    """Return a JSON value with whole numbers written as integers."""
    if isinstance(value, dict):
        return {name: _plain_numbers(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_plain_numbers(part) for part in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def is_json(text: str, schema: Json, _: dict[str, Json]) -> bool:
    known = checker(schema)
    try:
        return known.is_valid(parse_json(text))
    except (ValueError, RecursionError):
        return False


def contains_json(text: str, schema: Json, _: dict[str, Json]) -> bool:
    """Return whether any object or list of a text fits."""
    known = checker(schema)
    return any(
        known.is_valid(value)
        for value in json_candidates(text)
        if isinstance(value, dict | list) and depth(value) <= MAX_DEPTH
    )


def checker(schema: Json) -> Draft202012Validator:
    """Return what checks a schema, given as it is or as text; without one anything fits.

    Raises: ValueError if it is no schema.
    """
    body = json.loads(schema) if isinstance(schema, str) else schema
    if body is None:
        body = {}
    if not isinstance(body, dict | bool):
        raise TypeError(f"a JSON Schema is an object; got {str(body)[:100]!r}")
    if isinstance(body, dict) and (problem := schema_problem(standard_types(body))):
        raise ValueError(f"no JSON Schema {problem}")
    return schema_validator(canonical_json(body))


def near(text: str, value: Json, one: dict[str, Json]) -> bool:
    return edits(text[:LONGEST], str(value)[:LONGEST]) <= float(one.get("threshold", EDITS))


def edits(a: str, b: str) -> int:
    """Return Levenshtein's distance."""
    before = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        row = [i]
        for j, y in enumerate(b, start=1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (x != y)))
        before = row
    return before[-1]


def word_count(text: str, value: Json, _: dict[str, Json]) -> bool:
    count = len(text.split())
    if isinstance(value, dict):
        return float(value.get("min", 0)) <= count <= float(value.get("max", "inf"))
    return count == int(value)


KINDS: dict[str, Callable[[str, Json, dict[str, Json]], bool]] = {
    "equals": equals,
    "contains": lambda text, value, _: str(value) in text,
    "icontains": lambda text, value, _: str(value).lower() in text.lower(),
    "contains-all": lambda text, value, _: all(v in text for v in several(value)),
    "contains-any": lambda text, value, _: any(v in text for v in several(value)),
    "icontains-all": lambda text, value, _: all(v.lower() in text.lower() for v in several(value)),
    "icontains-any": lambda text, value, _: any(v.lower() in text.lower() for v in several(value)),
    "starts-with": lambda text, value, _: text.startswith(str(value)),
    "regex": lambda text, value, _: re.search(str(value), text) is not None,
    "is-json": is_json,
    "contains-json": contains_json,
    "levenshtein": near,
    "word-count": word_count,
}
