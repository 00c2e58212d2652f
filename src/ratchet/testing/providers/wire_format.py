"""What it is to speak a protocol from the provider's side, and what all protocols share."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import orjson

from ratchet.models.chat import ChatReply
from ratchet.models.protocol import ErrorDetails

__all__ = [
    "SchemaProblem",
    "WireFormat",
    "event_of",
    "halves_of",
    "pieces_of",
    "unmatched_calls",
    "value_at",
]

SchemaProblem = tuple[str, str, str]
"""The parameter that holds a schema, the code of the error, and what is wrong."""


class WireFormat(Protocol):
    """One protocol, as a provider speaks it."""

    protocol: str
    path: str
    effort_at: str
    limits_at: tuple[str, ...]
    """Where the longest reply stands, by dotted paths, as does the effort above."""

    def parameters(self) -> frozenset[str]:
        """Return the names of the parameters that the protocol has."""
        ...

    def problems_in(self, body: dict[str, Any]) -> list[str]:
        """Return what the SDK's types, and the protocol's own rules, find wrong with a request."""
        ...

    def schema_problem(self, body: dict[str, Any]) -> SchemaProblem | None:
        """Return what is wrong with a schema that the reply is promised to follow."""
        ...

    def render(self, reply: ChatReply, body: dict[str, Any]) -> dict[str, Any]:
        """Return the body of a whole reply."""
        ...

    def render_events(self, reply: ChatReply, body: dict[str, Any]) -> Iterator[bytes]:
        """Yield the events of a streamed reply."""
        ...

    def render_failure(self, details: ErrorDetails) -> dict[str, Any] | None:
        """Return the body of a failure inside a good status; None where the protocol has none."""
        ...

    def render_error_event(self, details: ErrorDetails) -> bytes:
        """Return the event that breaks a stream off."""
        ...


def unmatched_calls(calls: list[Any], results: list[Any], name: str) -> list[str]:
    """Return what is wrong where calls and results do not pair off."""
    if len(set(calls)) < len(calls):
        return [f"{name}: the ids of calls must be unique"]
    if sorted(map(str, calls)) != sorted(map(str, results)):
        return [f"{name}: each call must have its result, and each result its call"]
    return []


def value_at(body: Any, path: str) -> Any:
    """Return what stands at a dotted path, None where nothing does."""
    for name in path.split("."):
        body = body.get(name) if isinstance(body, Mapping) else None
    return body


def event_of(data: dict[str, Any], *, name: str = "") -> bytes:
    """Return a server-sent event."""
    head = f"event: {name}\n".encode() if name else b""
    return head + b"data: " + orjson.dumps(data) + b"\n\n"


def pieces_of(text: str) -> list[str]:
    """Return a text word by word."""
    return re.findall(r"\s*\S+\s*$|\s*\S+|\s+$", text)


def halves_of(text: str) -> list[str]:
    """Return a text in two parts."""
    middle = len(text) // 2
    return [part for part in (text[:middle], text[middle:]) if part]
