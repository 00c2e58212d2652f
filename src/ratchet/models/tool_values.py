"""How a family of models writes the values of a tool call's arguments: to write them, to read them back, and to force them.

Most families write JSON. Others write each argument by itself: texts bare or between marks of their own, words such as `True`, and lists in
JSON, as Python shows them, or in the marks again. `Notation` is what such a family does with one value; which it is, `tool_format` finds out.
"""

import ast
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ratchet.core import Json
from ratchet.models.tool_grammar import MARK, GrammarBuilder, quantifier, resolve_alternatives

__all__ = [
    "COMPACT",
    "SPACED",
    "JsonNotation",
    "MarkedNotation",
    "Notation",
    "PythonNotation",
    "TextStyle",
    "Values",
]

NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
PYTHON_TEXT = r"""'([^'\\\n]|\\.)*'|"([^"\\\n]|\\.)*\""""


class Notation(Protocol):
    """How lists and objects are written."""

    def write(self, value: Json) -> str:
        """Return the text of a value."""
        ...

    def read(self, text: str, place: int) -> tuple[Json, int]:
        """Return the value that begins at a place, and where it ends.

        Raises: ValueError if there is none.
        """
        ...

    def force(self, builder: GrammarBuilder, schema: Json, root: Json) -> str:
        """Return what matches any value of a schema; `root` holds the definitions that it refers to."""
        ...


@dataclass(frozen=True)
class JsonNotation:
    """JSON with fixed separators."""

    item_separator: str
    key_separator: str

    def write(self, value: Json) -> str:
        """Return JSON."""
        separators = (self.item_separator, self.key_separator)
        return json.dumps(value, ensure_ascii=False, separators=separators)

    def read(self, text: str, place: int) -> tuple[Json, int]:
        """Read JSON, however it is spaced."""
        try:
            return json.JSONDecoder().raw_decode(text, place)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error

    def force(self, builder: GrammarBuilder, schema: Json, root: Json) -> str:
        """Leave JSON to the decoder's own rules."""
        guidance = {
            "whitespace_flexible": False,
            "item_separator": self.item_separator,
            "key_separator": self.key_separator,
        }
        names = {name: root[name] for name in ("$defs", "definitions") if name in root}
        return builder.rule(f"%json {json.dumps({**names, **schema, 'x-guidance': guidance})}")


COMPACT, SPACED = JsonNotation(",", ":"), JsonNotation(", ", ": ")


@dataclass(frozen=True)
class TextStyle:
    """How a text is written as a value: between what, and whether a backslash protects the end."""

    opening: str
    closing: str
    is_escaped: bool = False

    @property
    def is_open_ended(self) -> bool:
        """Whether only what follows the text tells where it ends."""
        return not self.is_escaped and not MARK.fullmatch(self.closing)

    def write(self, text: str) -> str:
        """Return a text as a value."""
        if self.is_escaped:
            text = text.replace("\\", "\\\\").replace(self.closing, "\\" + self.closing)
            text = text.replace("\n", "\\n").replace("\r", "\\r")
        return f"{self.opening}{text}{self.closing}"

    def read(self, text: str, place: int, ending: re.Pattern[str]) -> tuple[str, int]:
        """Return the text that begins at a place, and where it ends; `ending` matches what may follow its closing mark.

        Raises: ValueError if it does not end.
        """
        begin = place + len(self.opening)
        if not text.startswith(self.opening, place):
            raise ValueError("no text")
        if self.is_escaped:
            end = re.compile(rf"(?:[^{re.escape(self.closing)}\\]|\\.)*", re.DOTALL).match(
                text, begin
            )
            assert end is not None  # it matches nothing, too
            if not text.startswith(self.closing, end.end()):
                raise ValueError("the text does not end")
            return unescape(end.group()), end.end() + len(self.closing)
        pattern = re.compile(re.escape(self.closing) + (f"(?={ending.pattern})"), re.DOTALL)
        found = pattern.search(text, begin)
        if found is None:
            raise ValueError("the text does not end")
        return text[begin : found.start()], found.end()

    def force(self, builder: GrammarBuilder, schema: Json) -> str:
        """Return what matches a text with a mark at its end, or with protected ends."""
        if self.is_escaped:
            quote = self.closing.replace("/", "\\/")
            body = rf"/([^{quote}\\\n]|\\[{quote}\\nr]){quantifier(schema)}/"
            return builder.rule(
                f"{builder.literal(self.opening)} {body} {builder.literal(self.closing)}"
            )
        body = f"/(?s:.{quantifier(schema)})/"
        if builder.split_at_special(self.closing)[0] == "":
            text = builder.rule(body)
            return builder.rule(
                f"{builder.literal(self.opening)} {text} {builder.literal(self.closing)}"
            )
        text = builder.rule(body, attributes=f"[suffix={json.dumps(self.closing)}]")
        return builder.rule(f"{builder.literal(self.opening)} {text}")


def unescape(text: str) -> str:
    names = {"n": "\n", "r": "\r", "t": "\t"}
    return re.sub(r"\\(.)", lambda m: names.get(m.group(1), m.group(1)), text, flags=re.DOTALL)


class _PythonText(TextStyle):
    """A text as Python shows it: between double quotes where it holds a single one."""

    def force(self, builder: GrammarBuilder, schema: Json) -> str:
        count = quantifier(schema)
        single, double = (
            rf"/{quote}([^{quote}\\\n]|\\[\\'nrt]){count}{quote}/" for quote in ("'", '"')
        )
        return builder.rule(single, double)


@dataclass(frozen=True)
class PythonNotation:
    """Lists and objects as Python shows them."""

    def write(self, value: Json) -> str:
        """Return Python's text of a value."""
        return repr(value)

    def read(self, text: str, place: int) -> tuple[Json, int]:
        """Read up to the bracket that closes, texts passed over."""
        depth, end = 0, None
        for token in re.compile(rf"{PYTHON_TEXT}|[\[\]{{}}]", re.DOTALL).finditer(text, place):
            depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token.group(), 0)
            if depth == 0:
                end = token.end()
                break
        try:
            return ast.literal_eval(text[place:end]), end or place
        except (SyntaxError, TypeError, MemoryError, RecursionError) as error:
            raise ValueError("is not a value of Python's") from error

    def force(self, builder: GrammarBuilder, schema: Json, root: Json) -> str:
        """Return what matches any value of a schema."""
        text = _PythonText("'", "'", is_escaped=True)
        words = {True: "True", False: "False", None: "None"}
        return force_nested(builder, schema, root, Pieces(text, words, ", ", ": ", repr, repr))


@dataclass(frozen=True)
class MarkedNotation:
    """Lists in brackets and objects in braces, texts in a family's marks, keys bare and, where `is_sorted`, by the alphabet."""

    text: TextStyle
    words: tuple[tuple[str, bool | None], ...]
    item_separator: str
    key_separator: str
    is_sorted: bool

    def write(self, value: Json) -> str:
        """Return the text of a value."""
        if isinstance(value, str):
            return self.text.write(value)
        if isinstance(value, dict):
            keys = sort_keys(value) if self.is_sorted else list(value)
            parts = [f"{key}{self.key_separator}{self.write(value[key])}" for key in keys]
            return "{" + self.item_separator.join(parts) + "}"
        if isinstance(value, list):
            return "[" + self.item_separator.join(map(self.write, value)) + "]"
        return next((word for word, meant in self.words if meant is value), str(value))

    def read(self, text: str, place: int) -> tuple[Json, int]:
        """Read a value, and those in it."""
        try:
            return self._read(text, place)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error

    def _read(self, text: str, place: int) -> tuple[Json, int]:
        if text.startswith(("[", "{"), place):
            return self._read_nested(text, place)
        if text.startswith(self.text.opening, place):
            return self.text.read(text, place, re.compile(""))
        return read_word(text, place, self.words)

    def _read_nested(self, text: str, place: int) -> tuple[Json, int]:
        items: list[Json] = []
        pairs: dict[str, Json] = {}
        is_object, closing = text[place] == "{", "}" if text[place] == "{" else "]"
        separator, place = self.item_separator.strip(), place + 1
        while not text.startswith(closing, place):
            if items or pairs:
                place = skip(text, place, separator)
            if is_object:
                end = text.find(self.key_separator.strip(), place)
                if end < 0:
                    raise ValueError("a key without a value")
                key, place = text[place:end].strip(), end + len(self.key_separator.strip())
                pairs[key], place = self._read(text, skip(text, place, ""))
            else:
                value, place = self._read(text, place)
                items.append(value)
        return pairs if is_object else items, place + 1

    def force(self, builder: GrammarBuilder, schema: Json, root: Json) -> str:
        """Return what matches any value of a schema."""
        words = {meant: word for word, meant in self.words}
        pieces = Pieces(
            self.text,
            words,
            self.item_separator,
            self.key_separator,
            str,
            self.write,
            self.is_sorted,
        )
        return force_nested(builder, schema, root, pieces)


def skip(text: str, place: int, expected: str) -> int:
    if not text.startswith(expected, place):
        raise ValueError(f"{expected!r} is missing")
    place += len(expected)
    while place < len(text) and text[place].isspace():
        place += 1
    return place


def read_word(text: str, place: int, words: Sequence[tuple[str, bool | None]]) -> tuple[Json, int]:
    """Return the number or word that begins at a place, and where it ends.

    Raises: ValueError if there is none.
    """
    usual = (("true", True), ("false", False), ("null", None))
    for word, meant in (*words, *usual):
        if text.startswith(word, place):
            return meant, place + len(word)
    number = NUMBER.match(text, place)
    if number is None:
        raise ValueError("is not a value")
    return json.loads(number.group()), number.end()


def sort_keys(value: Mapping[str, Json]) -> list[str]:
    """Return keys as Jinja's `dictsort` has them: without regard to case."""
    return sorted(value, key=str.lower)


@dataclass(frozen=True)
class Values:
    """How the value of one argument is written, where a family writes each by itself."""

    text: TextStyle
    words: tuple[tuple[str, bool | None], ...]
    lists: Notation
    objects: Notation

    def write(self, value: Json) -> str:
        """Return the text of a value."""
        if isinstance(value, str):
            return self.text.write(value)
        if isinstance(value, dict | list):
            return (self.objects if isinstance(value, dict) else self.lists).write(value)
        return next((word for word, meant in self.words if meant is value), str(value))

    def read(
        self, text: str, place: int, ending: re.Pattern[str], schema: Json
    ) -> tuple[Json, int]:
        """Return the value that begins at a place, and where it ends; bare text is what its schema says that it is.

        Raises: ValueError if there is none.
        """
        if self.text.opening and text.startswith(self.text.opening, place):
            return self.text.read(text, place, ending)
        if not self.text.opening:
            bare, end = self.text.read(text, place, ending)
            return self._meaning(bare, schema), end
        return self._read_plain(text, place)

    def _meaning(self, bare: str, schema: Json) -> Json:
        kinds = {one.get("type") for one in resolve_alternatives(schema, schema)}
        if "string" in kinds and len(kinds - {None}) == 1:
            return bare
        try:
            value, end = self._read_plain(bare, 0)
        except ValueError:
            return bare
        return value if end == len(bare) else bare

    def _read_plain(self, text: str, place: int) -> tuple[Json, int]:
        if text.startswith("{", place):
            return self.objects.read(text, place)
        if text.startswith("[", place):
            return self.lists.read(text, place)
        return read_word(text, place, self.words)

    def force(self, builder: GrammarBuilder, schema: Json, root: Json) -> str:
        """Return what matches a value of one alternative of a schema that is no open-ended text."""
        words = {meant: word for word, meant in self.words}
        kind = schema.get("type")
        if "const" in schema:
            return builder.literal(self.write(schema["const"]))
        if kind in ("array", "object"):
            return (self.lists if kind == "array" else self.objects).force(builder, schema, root)
        return force_scalar(builder, schema, self.text, words)


@dataclass(frozen=True)
class Pieces:
    """What nested values are put together of."""

    text: TextStyle
    words: Mapping[bool | None, str]
    item_separator: str
    key_separator: str
    write_key: Callable[[str], str]
    write: Callable[[Json], str]
    is_sorted: bool = False


def force_nested(builder: GrammarBuilder, schema: Json, root: Json, pieces: Pieces) -> str:
    """Return what matches any value of a schema, written of `pieces`; a schema that refers to itself is a rule that does."""
    known: dict[str, str] = {}

    def force(part: Json) -> str:
        key = json.dumps(part, sort_keys=True)
        if key not in known:
            known[key] = builder.reserve()
            options = [force_one(one) for one in resolve_alternatives(part, root)]
            builder.define(known[key], *options)
        return known[key]

    def force_one(one: Json) -> str:
        if "const" in one:
            return builder.literal(pieces.write(one["const"]))
        if one.get("type") == "array":
            items = one.get("items")
            return force_array(
                builder, one, pieces, force(items if isinstance(items, dict) else {})
            )
        if one.get("type") == "object":
            return force_object(builder, one, pieces, force)
        return force_scalar(builder, one, pieces.text, pieces.words)

    return force(schema)


def force_array(builder: GrammarBuilder, schema: Json, pieces: Pieces, item: str) -> str:
    """Return what matches as many items as a schema allows."""
    fewest, most = schema.get("minItems") or 0, schema.get("maxItems")
    if most == 0:
        return '"[" "]"'
    count = f"{{{max(0, fewest - 1)},{'' if most is None else most - 1}}}"
    more = f"({builder.literal(pieces.item_separator)} {item}){count}" if most != 1 else ""
    filled = f'"[" {item} {more} "]"'
    return filled if fewest else f'{filled} | "[" "]"'


def force_object(
    builder: GrammarBuilder, schema: Json, pieces: Pieces, force: Callable[[Json], str]
) -> str:
    """Return what matches an object: its properties in their order, those that are not required left out or not."""
    properties = schema.get("properties") or {}
    if not properties:
        key = r"/[A-Za-z0-9_]+/" if pieces.write_key is str else f"/{PYTHON_TEXT}/"
        pair = f"{key} {builder.literal(pieces.key_separator)} {force({})}"
        separator = builder.literal(pieces.item_separator)
        return f'"{{" ({pair} ({separator} {pair})*)? "}}"'
    names = sort_keys(properties) if pieces.is_sorted else list(properties)
    required = set(schema.get("required") or ())
    after = builder.rule('"}"')
    for place in range(len(names) - 1, -1, -1):
        name = names[place]
        body = f"{builder.literal(pieces.write_key(name) + pieces.key_separator)} {force(properties[name])}"
        rest = builder.rule(
            f"{builder.literal(pieces.item_separator)} {body} {after}",
            *([] if name in required else [after]),
        )
        first = f"{body} {after}"
        names[place] = first
        after = rest
    options = list(
        first_options(
            names, list(properties if not pieces.is_sorted else sort_keys(properties)), required
        )
    )
    return " | ".join(f'"{{" {option}' for option in options)


def first_options(bodies: Sequence[str], names: Sequence[str], required: set[str]) -> Iterator[str]:
    """Yield how an object may begin: with any property before which none is required, or with none."""
    for body, name in zip(bodies, names, strict=True):
        yield body
        if name in required:
            return
    yield '"}"'


def force_scalar(
    builder: GrammarBuilder, schema: Json, text: TextStyle, words: Mapping[bool | None, str]
) -> str:
    """Return what matches a text, a number or a word."""
    kind = schema.get("type")
    if kind == "string":
        return text.force(builder, schema)
    if kind == "boolean":
        return builder.rule(builder.literal(words[True]), builder.literal(words[False]))
    if kind == "null":
        return builder.literal(words[None])
    return COMPACT.force(builder, schema, {})
