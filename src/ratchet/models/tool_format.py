"""The form in which a family of models writes tool calls: one record that writes a call, reads it back, and forces it.

A form is text around two holes, the tool's name and the call's arguments. `tool_probe` finds the text by looking at what a chat template
makes of calls that it is given; nothing here knows any family by name.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from ratchet.core import Json
from ratchet.models.chat import ToolCall
from ratchet.models.tool_grammar import (
    GrammarBuilder,
    escape,
    quantifier,
    resolve_alternatives,
)
from ratchet.models.tool_values import COMPACT, SPACED, JsonNotation, Values, sort_keys
from ratchet.store.storable import storable

__all__ = ["CALL_ID", "NAME", "PLAIN", "KeyedArguments", "ReadCall", "ToolForm", "plain_schema"]

NAME = "\ue000"
"""Stands in a form's texts for the tool's name."""
CALL_ID = "\ue001"
"""Stands for a call's id, in the forms that write it."""
ARGUMENT_KEYS = ("arguments", "parameters")
OBJECT_HEAD = re.compile(
    rf'(?P<mark>.*?)\{{\s*"(?P<name>\w+)":\s*"{NAME}",\s*"(?P<arguments>\w+)":\s*'
)
WRAPPERS = ("<|python_tag|>", "```json")
"""What some models put before a call that has no marks of its own."""
TOOL_NAME = r"[\w.\-]+"
ANY_KEY = r"[^<>\"'=:,(){}\[\]\n]+?"


@dataclass(frozen=True)
class KeyedArguments:
    """Arguments that are written one by one, each as key and value."""

    key_separator: str
    """Between a key and its value."""
    item_separator: str
    """Between a value and the next key."""
    values: Values
    is_sorted: bool = False
    """Whether keys stand in the order of the alphabet."""

    def order(self, keys: Mapping[str, Json]) -> list[str]:
        """Return keys as they are written one after the other."""
        return sort_keys(keys) if self.is_sorted else list(keys)

    def write(self, arguments: Mapping[str, Json]) -> str:
        """Return the text of arguments, of which there is one at least."""
        return self.item_separator.join(
            f"{key}{self.key_separator}{self.values.write(arguments[key])}"
            for key in self.order(arguments)
        )


@dataclass(frozen=True)
class ReadCall:
    """A call that stands in a text, from `start` to `end`."""

    call: ToolCall
    start: int
    end: int


@dataclass(frozen=True)
class ToolForm:
    """How calls are written; the texts hold NAME, and may hold CALL_ID.

    Args:
        head: What stands before a call's arguments.
        tail: What stands after the last call's.
        joint: What stands between the arguments of two calls in one turn; None where a turn holds one call alone.
        arguments: JSON, or arguments by themselves; then `head` ends where the first key begins.
        empty: The whole call without arguments, where these are written by themselves.
        ending: The mark at the end of `tail` that ends a turn too, so that a reply may lack it.
    """

    head: str
    tail: str
    joint: str | None
    arguments: JsonNotation | KeyedArguments
    empty: str | None = None
    ending: str = ""

    def write(self, calls: Sequence[tuple[str, Json]]) -> str:
        """Return the text of calls: names with their arguments."""
        text = ""
        for place, (name, arguments) in enumerate(calls):
            if isinstance(self.arguments, KeyedArguments) and not arguments:
                return self._fill(self.empty or "", name)
            before = self.head if place == 0 else self.joint or ""
            text += self._fill(before, name) + self.arguments.write(arguments)
        return text + self._fill(self.tail, calls[-1][0])

    @staticmethod
    def _fill(text: str, name: str) -> str:
        return text.replace(NAME, name)

    # -- reading

    def read(self, text: str, tools: Sequence[Mapping[str, Json]]) -> list[ReadCall]:
        """Return the calls in a reply, in their order; what only looks like a call is left out.

        Args:
            text: All of the reply.
            tools: Those of the request: their schemas say what bare text means.
        """
        schemas = schemas_of(tools)
        found: list[ReadCall] = []
        place = 0
        while (start := self._find(text, place)) is not None:
            block = self._read_block(text, start, schemas)
            found += block
            place = block[-1].end if block else start + 1
        return found

    def _find(self, text: str, place: int) -> int | None:
        """Return where a call may begin at the earliest."""
        begun = self._beginning.search(text, place)
        return begun.start() if begun else None

    @cached_property
    def _object(self) -> re.Match[str] | None:
        """How a JSON object holds name and arguments, where it does."""
        found = OBJECT_HEAD.fullmatch(self.head)
        return found if found and self.tail.lstrip().startswith(("}", ",")) else None

    @cached_property
    def _beginning(self) -> re.Pattern[str]:
        if self._object:
            return re.compile(lenient(self._object["mark"]) + r"\s*(?=\{)")
        heads = [self.head, *([self.empty] if self.empty else [])]
        return re.compile(lenient(shared_start(heads)))

    @property
    def marks(self) -> tuple[str, ...]:
        """What a call begins with; a text that is being written may become a call where one of them begins."""
        if self._object:
            mark, name = self._object["mark"], self._object["name"]
            if mark.strip():
                return (mark,)
            keys = [f'{{"{key}":' for key in (self._object["arguments"], *ARGUMENT_KEYS)]
            return (f'{{"{name}":"', *keys, *WRAPPERS)
        return (self.head[: self.head.index(NAME)],)

    def _read_block(self, text: str, start: int, schemas: Mapping[str, Json]) -> list[ReadCall]:
        for pattern in (exact, lenient):
            for knows_keys in (True, False):
                try:
                    if self._object:
                        return list(self._read_objects(self._object, text, start, schemas))
                    return list(self._read_heads(text, start, schemas, pattern, knows_keys))
                except (ValueError, KeyError, AttributeError, TypeError):
                    continue
        return []

    def _read_objects(
        self, form: re.Match[str], text: str, start: int, schemas: Mapping[str, Json]
    ) -> Iterator[ReadCall]:
        begun = self._beginning.match(text, start)
        assert begun is not None  # found by it
        closing = lenient(self.tail[self.tail.find("}") + 1 :].removesuffix(self.ending))
        between = self.joint or ""
        next_one = re.compile(
            lenient(between[between.find("}") + 1 : between.rfind("{")]) + r"\s*(?=\{)"
        )
        place = begun.end()
        while True:
            body, end = SPACED.read(text, place)
            name = body[form["name"]]
            keys = [key for key in (form["arguments"], *ARGUMENT_KEYS) if key in body]
            is_marked = bool(form["mark"].strip())
            if not isinstance(name, str) or (not is_marked and (name not in schemas or not keys)):
                raise ValueError("an object that is no call")
            closed = re.compile(rf"{closing}(?:{lenient(self.ending)})?").match(text, end)
            more = next_one.match(text, end) if self.joint and not closed else None
            if not closed and not more:
                raise ValueError("a call that does not end")
            after = closed or more
            assert after is not None  # as checked
            yield ReadCall(call_of(name, body[keys[0]] if keys else {}), start, after.end())
            if closed:
                return
            start = place = after.end()

    def _read_heads(
        self,
        text: str,
        start: int,
        schemas: Mapping[str, Json],
        pattern: Callable[[str], str],
        knows_keys: bool,
    ) -> Iterator[ReadCall]:
        tail = re.compile(
            pattern(self.tail.removesuffix(self.ending)) + f"(?:{pattern(self.ending)})?"
        )
        joint = re.compile(pattern(self.joint)) if self.joint else None
        if self.empty and (empty := re.compile(pattern(self.empty)).match(text, start)):
            yield ReadCall(call_of(empty["name"], {}), start, empty.end())
            return
        begun = re.compile(pattern(self.head)).match(text, start)
        while True:
            if begun is None:
                raise ValueError("no call")
            name = begun["name"]
            schema = schemas.get(name, {})
            properties = schema_properties(schema)
            known = "|".join(map(re.escape, sorted(properties, key=len, reverse=True)))
            keys = known if known and knows_keys else ANY_KEY
            value, place = self._read_arguments(text, begun.end(), schema, pattern, keys)
            if ended := tail.match(text, place):
                yield ReadCall(call_of(name, value), start, ended.end())
                return
            begun = joint.match(text, place) if joint else None
            if begun:
                yield ReadCall(call_of(name, value), start, place)
                start = place

    def _read_arguments(
        self, text: str, place: int, schema: Json, pattern: Callable[[str], str], keys: str
    ) -> tuple[Json, int]:
        """Return the arguments that begin at a place, and where they end; `keys` is a pattern for the keys to look for."""
        if isinstance(self.arguments, JsonNotation):
            spaces = re.compile(r"\s*").match(text, place)
            assert spaces is not None  # it matches nothing, too
            return self.arguments.read(text, spaces.end())
        form, found = self.arguments, dict[str, Json]()
        after = [part for part in (self.tail.removesuffix(self.ending), self.joint) if part]
        key_then = f"({keys}){pattern(form.key_separator)}"
        key_next = f"{pattern(form.item_separator)}{key_then}"
        ending = re.compile("|".join([key_next, *(bare(pattern(part)) for part in after)]))
        properties = schema_properties(schema)
        key = re.compile(key_then).match(text, place)
        while key:
            own = properties.get(key[1])
            part = {**(own if isinstance(own, dict) else {}), **definitions(schema)}
            found[key[1]], place = form.values.read(text, key.end(), ending, part)
            key = re.compile(key_next).match(text, place)
        return found, place

    # -- forcing

    def force(self, builder: GrammarBuilder, tool: Mapping[str, Json]) -> str:
        """Return what matches a call of one tool, with arguments by its schema."""
        name, schema = tool["function"]["name"], plain_schema(tool)
        head, tail = (
            self._force_text(builder, self._fill(text, name)) for text in (self.head, self.tail)
        )
        if isinstance(self.arguments, JsonNotation):
            return builder.rule(f"{head} {self.arguments.force(builder, schema, schema)} {tail}")
        return self._force_keyed(builder, self.arguments, name, schema)

    @staticmethod
    def _force_text(builder: GrammarBuilder, text: str) -> str:
        parts = text.split(CALL_ID)
        return " /[a-zA-Z0-9]{9}/ ".join(builder.literal(part) for part in parts)

    def _force_keyed(
        self, builder: GrammarBuilder, form: KeyedArguments, name: str, schema: Json
    ) -> str:
        properties = schema_properties(schema)
        required = set(schema.get("required") or ())
        tail = self._fill(self.tail, name)
        keys = form.order(properties)
        bodies: dict[str, str] = {}
        following: list[tuple[str, str]] = [(tail, "")]
        """How the text may go on after a value: with what, and then which rule."""
        for key in reversed(keys):
            bodies[key] = force_value(builder, form, properties[key], schema, following)
            after = (f"{form.item_separator}{key}{form.key_separator}", bodies[key])
            following = [after] if key in required else [after, *following]
        head = builder.literal(self._fill(self.head, name))
        options = []
        for key in keys:
            options.append(f"{head} {builder.literal(key + form.key_separator)} {bodies[key]}")
            if key in required:
                return builder.rule(*options)
        if "properties" not in schema and schema.get("additionalProperties", True) is not False:
            options.append(f"{head} {self._force_any(builder, form, tail)}")
        return builder.rule(*options, builder.literal(self._fill(self.empty or "", name)))

    @staticmethod
    def _force_any(builder: GrammarBuilder, form: KeyedArguments, tail: str) -> str:
        """Return what matches any keys and values, one at least."""
        more = builder.reserve()
        ends = builder.literal(form.key_separator)
        value = force_value(builder, form, {}, {}, [(tail, ""), (form.item_separator, more)])
        builder.define(more, f"/[A-Za-z0-9_]+/ {ends} {value}")
        return more


PLAIN = ToolForm(
    head=f'{{"name": "{NAME}", "arguments": ',
    tail="}",
    joint=f'}}\n{{"name": "{NAME}", "arguments": ',
    arguments=SPACED,
)
"""For models whose template knows nothing of tools."""


def force_value(
    builder: GrammarBuilder,
    form: KeyedArguments,
    schema: Json,
    root: Json,
    following: Sequence[tuple[str, str]],
) -> str:
    """Return what matches a value and all that follows it."""
    after = builder.rule(*(f"{builder.literal(text)} {rule}".strip() for text, rule in following))
    options = []
    for one in resolve_alternatives(schema, root):
        if one.get("type") == "string" and form.values.text.is_open_ended:
            style = form.values.text
            options += [
                f"{builder.literal(style.opening)} {force_up_to(builder, one, style.closing + text)} {rule}"
                for text, rule in following
            ]
        else:
            options.append(f"{form.values.force(builder, one, root)} {after}")
    return builder.rule(*options)


def force_up_to(builder: GrammarBuilder, schema: Json, delimiter: str) -> str:
    """Return what matches any text up to the first time that `delimiter` stands in it, and this."""
    count = quantifier(schema)
    before, special = builder.split_at_special(delimiter)
    if not before:
        return f"{builder.rule(f'/(?s:.{count})/')} {builder.literal(special)}"
    lazy = builder.rule(f"/(?s:.{count}){escape(before)}/", attributes="[lazy]")
    return f"{lazy} {builder.literal(special)}"


def plain_schema(tool: Mapping[str, Json]) -> Json:
    """Return the schema of a tool's arguments; a tool without one takes any."""
    return tool["function"].get("parameters") or {"type": "object"}


def schema_properties(schema: Json) -> dict[str, Json]:
    """Return the properties of an object's schema."""
    properties = schema.get("properties") if isinstance(schema, dict) else None
    return properties if isinstance(properties, dict) else {}


def definitions(schema: Json) -> dict[str, Json]:
    """Return what references in a schema may mean."""
    return {name: schema[name] for name in ("$defs", "definitions") if name in schema}


def schemas_of(tools: Sequence[Mapping[str, Json]]) -> dict[str, Json]:
    return {tool["function"]["name"]: plain_schema(tool) for tool in tools}


def call_of(name: str, arguments: Json) -> ToolCall:
    """Return a call; arguments that are JSON inside a text are what they mean."""
    if isinstance(arguments, str):
        try:
            meant = json.loads(arguments)
        except ValueError:
            meant = None
        arguments = meant if isinstance(meant, dict) else arguments
    return ToolCall(name=name, arguments=COMPACT.write(storable(arguments, keep_infinite=True)))


def shared_start(texts: Sequence[str]) -> str:
    """Return what texts begin with, up to and with the name."""
    return texts[0][: texts[0].index(NAME) + len(NAME)]


def exact(text: str) -> str:
    """Return a pattern for a form's text as it is."""
    return holes(re.escape(text))


def lenient(text: str) -> str:
    """Return a pattern for a form's text, however it is spaced."""
    parts = [re.escape(part) for part in re.split(r"\s+", text)]
    return holes(r"\s*".join(parts))


def holes(pattern: str) -> str:
    first, *others = pattern.split(NAME)
    if others:
        first += f"(?P<name>{TOOL_NAME})" + "(?P=name)".join(others)
    return first.replace(CALL_ID, r"[\w\-]+")


def bare(pattern: str) -> str:
    """Return a pattern without names, so that several stand in one."""
    return pattern.replace(f"(?P<name>{TOOL_NAME})", TOOL_NAME).replace("(?P=name)", TOOL_NAME)
