"""Grammars that force a text, in llguidance's dialect of Lark: literals, rules, and what a JSON schema leaves to choose from."""

import json
import re
from collections.abc import Mapping, Sequence

from ratchet.core import Json

__all__ = ["MARK", "GrammarBuilder", "escape", "quantifier", "resolve_alternatives"]

MARK = re.compile(r"<[^<>\s]{1,60}>|\[[A-Z_/]{3,40}\]")
"""What families put around things; a tokenizer may have a token for it."""


class GrammarBuilder:
    """Collects the rules of a grammar in llguidance's dialect of Lark.

    Args:
        tokens: Ids of the tokenizer's added tokens by their text: a mark that is a token is forced as this token.
        special: Those of them that the decoder never takes for text.
    """

    def __init__(self, tokens: Mapping[str, int], special: frozenset[str] = frozenset()) -> None:
        marks = [text for text in tokens if text in special or MARK.fullmatch(text)]
        self._tokens = tokens
        self._special = special
        self._pattern = alternatives_pattern(marks)
        self._rules: dict[str, str] = {}

    def literal(self, text: str) -> str:
        """Return what matches exactly this text; empty for no text."""
        pieces = self._pattern.split(text) if self._pattern else [text]
        return " ".join(self._piece(piece) for piece in pieces if piece)

    def _piece(self, piece: str) -> str:
        token = self._tokens.get(piece) if self._pattern else None
        return json.dumps(piece, ensure_ascii=False) if token is None else f"<[{token}]>"

    def split_at_special(self, text: str) -> tuple[str, str]:
        """Return the part of a text that bytes can match, and what begins with the first special token."""
        places = [place for mark in self._special if (place := text.find(mark)) >= 0]
        first = min(places, default=len(text))
        return text[:first], text[first:]

    def rule(self, *alternatives: str, attributes: str = "") -> str:
        """Return the name of a new rule that matches one of the alternatives."""
        name = self.reserve()
        self.define(name, *alternatives, attributes=attributes)
        return name

    def reserve(self) -> str:
        """Return the name of a rule that is defined later."""
        name = f"r{len(self._rules)}"
        self._rules[name] = ""
        return name

    def define(self, name: str, *alternatives: str, attributes: str = "") -> None:
        """Say what a reserved name matches."""
        self._rules[name] = f"{name}{attributes}: " + " | ".join(
            alternative or '""' for alternative in alternatives
        )

    def build(self, start: str) -> str:
        """Return the whole grammar."""
        return "\n".join([f"start: {start}", *self._rules.values(), ""])


def alternatives_pattern(marks: Sequence[str]) -> re.Pattern[str] | None:
    if not marks:
        return None
    longest_first = sorted(marks, key=len, reverse=True)
    return re.compile("(" + "|".join(map(re.escape, longest_first)) + ")")


def quantifier(schema: Json) -> str:
    """Return how often a character may stand, by the lengths that a schema allows."""
    shortest, longest = schema.get("minLength"), schema.get("maxLength")
    if shortest is None and longest is None:
        return "*"
    return f"{{{shortest or 0},{'' if longest is None else longest}}}"


def escape(text: str) -> str:
    """Return a pattern of llguidance's for a text."""
    names = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
    return "".join(names.get(c) or (f"\\{c}" if c in r"\.+*?()|[]{}^$/#&-~" else c) for c in text)


ANYTHING = tuple(
    {"type": kind} for kind in ("string", "number", "boolean", "null", "array", "object")
)


def resolve_alternatives(schema: Json, root: Json, *, depth: int = 0) -> list[Json]:
    """Return schemas of one type or one constant each, of which a value follows one; what is not understood allows anything."""
    if not isinstance(schema, dict) or depth > 12:
        return list(ANYTHING)
    if "$ref" in schema:
        return resolve_alternatives(follow(schema["$ref"], root), root, depth=depth + 1)
    if "enum" in schema:
        return [{"const": value} for value in schema["enum"]]
    if "const" in schema:
        return [{"const": schema["const"]}]
    for name in ("anyOf", "oneOf"):
        if isinstance(schema.get(name), list):
            parts = [resolve_alternatives(s, root, depth=depth + 1) for s in schema[name]]
            return [one for part in parts for one in part]
    kinds = schema.get("type")
    if isinstance(kinds, list):
        return [{**schema, "type": kind} for kind in kinds]
    if isinstance(kinds, str):
        return [schema]
    if "properties" in schema:
        return [{**schema, "type": "object"}]
    return list(ANYTHING)


def follow(reference: Json, root: Json) -> Json:
    """Return what a reference inside a schema means, or an empty schema."""
    if reference == "#":
        return root
    found: Json = root
    for name in str(reference).removeprefix("#/").split("/"):
        found = (
            found.get(name.replace("~1", "/").replace("~0", "~"))
            if isinstance(found, dict)
            else None
        )
    return found if isinstance(found, dict) else {}
