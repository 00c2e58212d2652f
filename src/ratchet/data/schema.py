"""Infer the JSON schema of many values, one value at a time: what was null may be null, and what was of two kinds is a union."""

from collections import Counter

from ratchet.core import Json

__all__ = ["SchemaSurvey", "infer_schema"]

MAX_NAMES = 200
"""An object with more different names is a dictionary: its names are data."""
MAX_CHOICES, MAX_CHOICE_LENGTH, MIN_REPEATS = 60, 40, 5
"""Texts that repeat so often are choices: a rule of thumb."""


class SchemaSurvey:
    """What is known of the values at one place of a structure."""

    def __init__(self) -> None:
        self._kinds: Counter[str] = Counter()
        self._texts: Counter[str] | None = Counter()
        self._names: dict[str, SchemaSurvey] = {}
        self._seen_in: Counter[str] = Counter()
        self._others: SchemaSurvey | None = None
        self._items: SchemaSurvey | None = None

    def add(self, value: Json) -> None:
        """Take the next value."""
        kind = kind_of(value)
        self._kinds[kind] += 1
        if kind == "string":
            self._add_text(value)
        elif kind == "array":
            self._items = self._items or SchemaSurvey()
            for item in value:
                self._items.add(item)
        elif kind == "object":
            self._add_object(value)

    def _add_text(self, text: str) -> None:
        if self._texts is not None:
            self._texts[text] += 1
            if len(self._texts) > MAX_CHOICES or len(text) > MAX_CHOICE_LENGTH:
                self._texts = None

    def _add_object(self, value: dict[str, Json]) -> None:
        for name, part in value.items():
            known = self._names.get(name)
            if known is None and len(self._names) >= MAX_NAMES:
                self._others = known = self._others or SchemaSurvey()
            elif known is None:
                known = self._names[name] = SchemaSurvey()
            known.add(part)
            self._seen_in[name] += 1

    def schema(self) -> dict[str, Json]:
        """Return the smallest schema, of the kinds that are used here, that all values fit."""
        kinds = set(self._kinds) - {"null"}
        if {"integer", "number"} <= kinds:
            kinds.remove("integer")
        if kinds == {"string"} and (choices := self._choices()):
            if self._kinds["null"]:
                return {"type": ["string", "null"], "enum": [*choices, None]}
            return {"type": "string", "enum": choices}
        parts = [self._schema_of(kind) for kind in sorted(kinds or {"string"})]
        if self._kinds["null"]:
            parts.append({"type": "null"})
        if len(parts) == 1:
            return parts[0]
        if all(part.keys() == {"type"} for part in parts):
            return {"type": [part["type"] for part in parts]}
        return {"anyOf": parts}

    def _choices(self) -> list[str]:
        texts: Counter[str] = self._texts or Counter()
        is_few = len(texts) > 1 and self._kinds["string"] >= MIN_REPEATS * len(texts)
        return sorted(texts) if is_few else []

    def _schema_of(self, kind: str) -> dict[str, Json]:
        if kind == "array":
            return {"type": "array", "items": (self._items or SchemaSurvey()).schema()}
        if kind != "object":
            return {"type": kind}
        always = [name for name in self._names if self._seen_in[name] == self._kinds["object"]]
        return {
            "type": "object",
            "properties": {name: part.schema() for name, part in self._names.items()},
            "required": always,
            "additionalProperties": self._others.schema() if self._others else False,
        }


def infer_schema(values: list[Json]) -> dict[str, Json]:
    """Return the smallest JSON schema, of the kinds that are used here, that all values fit."""
    survey = SchemaSurvey()
    for value in values:
        survey.add(value)
    return survey.schema()


def kind_of(value: Json) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    if isinstance(value, dict):
        return "object"
    return "array" if isinstance(value, list) else "string"
