r"""`{{field}}` templates in the Handlebars style: data in, text out, no code.

    {{field}}  {{a.b}}  {{items.0}}     a value; text as it is, anything else as JSON; nothing is escaped
    {{{field}}}                         the same
    {{#if x}} … {{else}} … {{/if}}      x is neither missing, null, false, 0, "" nor empty
    {{#unless x}} … {{/unless}}         the opposite
    {{#each items}} … {{this}} {{@index}} {{@key}} {{@first}} {{@last}} … {{else}} … {{/each}}
    {{! a comment }}
    \{{field}}                          the braces themselves, no value; `ratchet.core.escape_template` writes any text so

An unknown field is an error that lists the fields; inside `if` and `unless` a name may be one that only some examples have,
but not one that the task does not know.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import NoReturn

from ratchet.core import Json
from ratchet.core.errors import TemplateError, did_you_mean

__all__ = ["Template"]

TAG = re.compile(
    r"(?P<literal>(?:\\\\)*\\\{\{)|(?P<slashes>(?:\\\\)+)(?=\{\{)"
    r"|\{\{\{\s*(?P<triple>[^{}]*?)\s*\}\}\}|\{\{!--.*?--\}\}|\{\{(?P<double>![^}]*|[^{}]*)\}\}",
    re.DOTALL,
)
NAME = re.compile(r"@?[A-Za-z_][\w-]*(\.[\w-]+)*|this(\.[\w-]+)*")
DEEPEST = 100
"""Blocks inside one another."""
Scope = list[Mapping[str, Json]]
Part = Callable[[Scope], str]


class Template:
    """A parsed template; rendering the same values gives the same text.

    Raises: TemplateError if the text does not parse, naming the line.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.names: set[str] = set()
        self._tokens = tokens(text)
        self._place = 0
        self._depth = 0
        self._parts = self._sequence(until=None, inside=frozenset())

    def check(self, known: Iterable[str]) -> None:
        """Refuse a template that uses a field which is not in `known`."""
        names = sorted(known)
        for name in sorted(self.names - set(names)):
            raise TemplateError(
                f"the template uses the field {name!r}; the fields are {', '.join(map(repr, names))}.{did_you_mean(name, names)}"
            )

    def render(self, values: Mapping[str, Json]) -> str:
        """Return the text with `values` filled in.

        Raises: TemplateError if a value that the text prints is missing.
        """
        return "".join([part(scope) for scope in [[values]] for part in self._parts])

    def _sequence(self, until: str | None, inside: frozenset[str]) -> list[Part]:
        parts: list[Part] = []
        while self._place < len(self._tokens):
            kind, body, line = self._tokens[self._place]
            if kind == "tag" and (body == "else" or body.startswith("/")):
                if until is None or (body not in ("else", f"/{until}")):
                    fail(
                        line,
                        f"{{{{{body}}}}} closes nothing"
                        if until is None
                        else f"{{{{#{until}}}}} is closed by {{{{{body}}}}}",
                    )
                return parts
            self._place += 1
            if kind == "text":
                parts.append(lambda _scope, body=body: body)  # type: ignore[misc]  # the default binds this turn's text
            elif body.startswith("#"):
                parts.append(self._block(body, line, inside))
            else:
                parts.append(self._value(body, line, inside))
        if until is not None:
            fail(self._tokens[-1][2], f"{{{{#{until}}}}} is never closed by {{{{/{until}}}}}")
        return parts

    def _value(self, body: str, line: int, inside: frozenset[str]) -> Part:
        path = self._path(body, line, inside)
        return lambda scope: shown(look_up(scope, path, line))

    def _path(self, body: str, line: int, inside: frozenset[str]) -> list[str]:
        if not NAME.fullmatch(body):
            fail(line, f"{{{{{body}}}}} is no field name; write {{{{name}}}} or {{{{name.part}}}}")
        path = body.split(".")
        if not inside and (path[0] == "this" or path[0].startswith("@")):
            fail(line, f"{{{{{body}}}}} has a meaning only inside {{{{#each}}}}")
        if not inside:  # inside each, a name may be one of the item's; rendering checks it
            self.names.add(path[0])
        return path

    def _block(self, body: str, line: int, inside: frozenset[str]) -> Part:
        kind, _, name = body[1:].partition(" ")
        if kind not in ("if", "unless", "each"):
            fail(line, f"unknown block {{{{#{kind}}}}}; there are #if, #unless and #each")
        path = self._path(name.strip(), line, inside)
        self._depth += 1
        if self._depth > DEEPEST:
            fail(
                line, f"{{{{#{kind}}}}} stands inside {DEEPEST} other blocks, and that is the limit"
            )
        main = self._sequence(kind, inside | {"this"} if kind == "each" else inside)
        other: list[Part] = []
        if self._tokens[self._place][1] == "else":
            self._place += 1
            other = self._sequence(kind, inside)
            if self._tokens[self._place][1] == "else":
                fail(self._tokens[self._place][2], f"{{{{#{kind}}}}} has two {{{{else}}}}")
        self._place += 1
        self._depth -= 1
        if kind == "each":
            return lambda scope: each(look_up(scope, path, line), scope, main, other, line)
        if kind == "unless":
            main, other = other, main
        return lambda scope: "".join(
            part(scope) for part in (main if look_up(scope, path, line, quiet=True) else other)
        )


def tokens(text: str) -> list[tuple[str, str, int]]:
    """Return (kind, text, line) for each piece; comments are left out."""
    found, end = [], 0
    for tag in TAG.finditer(text):
        if tag.start() > end:
            found.append(plain_text(text[end : tag.start()], line_at(text, end)))
        line, slashes = line_at(text, tag.start()), tag["literal"] or tag["slashes"]
        if slashes:  # each pair is one; an odd one makes the braces behind it text
            kept = slashes.count("\\") // 2 * "\\"
            found.append(("text", kept + ("{{" if tag["literal"] else ""), line))
        body = tag["triple"] if tag["triple"] is not None else tag["double"]
        if body is not None and not body.startswith("!"):
            found.append(("tag", body.strip(), line))
        end = tag.end()
    if text[end:]:
        found.append(plain_text(text[end:], line_at(text, end)))
    return found


def plain_text(body: str, line: int) -> tuple[str, str, int]:
    if "{{" in body:
        fail(line_at(body, body.index("{{")) + line - 1, "{{ is never closed by }}")
    return "text", body, line


def line_at(text: str, place: int) -> int:
    return text.count("\n", 0, place) + 1


def fail(line: int, problem: str) -> NoReturn:
    raise TemplateError(f"template, line {line}: {problem}")


def look_up(scope: Scope, path: list[str], line: int, *, quiet: bool = False) -> Json:
    """Return the value at `path`; with `quiet`, a missing one is None."""
    frame = next((frame for frame in reversed(scope) if path[0] in frame), None)
    if frame is None:
        if quiet:
            return None
        names = sorted(name for name in scope[0])
        fail(
            line,
            f"there is no field {path[0]!r}; the fields are {', '.join(map(repr, names))}.{did_you_mean(path[0], names)}",
        )
    value = frame[path[0]]
    for part in path[1:]:
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, list | tuple) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        elif quiet:
            return None
        else:
            fail(line, f"{'.'.join(path)!r} has no part {part!r}")
    return value


def shown(value: Json) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def each(value: Json, scope: Scope, main: list[Part], other: list[Part], line: int) -> str:
    if not isinstance(value, list | tuple | Mapping) and value is not None:
        fail(line, f"{{{{#each}}}} wants a list or an object, got {type(value).__name__}")
    pairs = list(value.items() if isinstance(value, Mapping) else enumerate(value or ()))
    if not pairs:
        return "".join(part(scope) for part in other)
    out = []
    for index, (key, item) in enumerate(pairs):
        frame = {
            "this": item,
            "@index": index,
            "@key": key,
            "@first": index == 0,
            "@last": index == len(pairs) - 1,
        }
        own = item if isinstance(item, Mapping) else {}
        out.append("".join(part([*scope, own, frame]) for part in main))
    return "".join(out)
