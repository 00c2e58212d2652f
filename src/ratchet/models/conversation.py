"""A conversation in OpenAI's chat format, read for protocols that write it otherwise: its calls by unique ids, its content in parts."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from ratchet.core import Json
from ratchet.core.errors import UsageError

__all__ = ["ImagePart", "TextPart", "plain_text", "read_parts", "with_unique_call_ids"]

CALL_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
"""The ids that every protocol takes."""
PARTS_TAKEN = "'text' and 'image_url'"


class TextPart(NamedTuple):
    """A part of a message that is text."""

    text: str


class ImagePart(NamedTuple):
    """A part of a message that is a picture."""

    url: str
    """Where it lies, or the picture itself as a data URL."""
    detail: str


def read_parts(message: Mapping[str, Any]) -> list[TextPart | ImagePart]:
    """Return the parts of a message's content; empty texts are left out.

    Raises: UsageError if a part is neither text nor a picture.
    """
    content = message.get("content")
    if content is None:
        content = message.get("refusal") or ""
    if isinstance(content, str):
        return [TextPart(content)] if content else []
    parts = list(map(_read_part, content if isinstance(content, list) else [content]))
    return [part for part in parts if part != TextPart("")]


def plain_text(message: Mapping[str, Any]) -> str:
    """Return the content of a message that can hold text alone.

    Raises: UsageError if it holds a picture.
    """
    parts = read_parts(message)
    if any(isinstance(part, ImagePart) for part in parts):
        raise UsageError(
            f"a message of role {message.get('role')!r} takes text alone in this protocol, got a part "
            "of type 'image_url'; put it into a message of role 'user'"
        )
    return "".join(part.text for part in parts if isinstance(part, TextPart))


def with_unique_call_ids(messages: list[dict[str, Json]]) -> list[dict[str, Json]]:
    """Return the messages with every call named by an id of its own, and every result by the id of its call.

    Chat completions takes the same id twice (in two demonstrations, say); other protocols do not.

    Raises: UsageError if a result belongs to no call.
    """
    taken: set[str] = set()
    unanswered: list[tuple[Any, str]] = []
    renamed: list[dict[str, Json]] = []
    for message in messages:
        if message.get("role") == "assistant" and message.get("tool_calls"):
            calls: Any = message["tool_calls"]
            ids = [_new_id(call.get("id"), taken) for call in calls]
            unanswered = [(call.get("id"), new) for call, new in zip(calls, ids, strict=True)]
            named = [{**call, "id": new} for call, new in zip(calls, ids, strict=True)]
            message = {**message, "tool_calls": named}
        elif message.get("role") == "tool":
            message = {**message, "tool_call_id": _answered(message, unanswered)}
        renamed.append(message)
    return renamed


def _new_id(wished: Any, taken: set[str]) -> str:
    is_free = isinstance(wished, str) and CALL_ID.fullmatch(wished) and wished not in taken
    number = len(taken)
    call_id = wished if is_free else f"call_{number}"
    while call_id in taken:
        number += 1
        call_id = f"call_{number}"
    taken.add(call_id)
    return str(call_id)


def _answered(message: Mapping[str, Any], unanswered: list[tuple[Any, str]]) -> str:
    """Take the call that a result belongs to from those that have none, and return its id."""
    wished = message.get("tool_call_id")
    places = [place for place, (old, _) in enumerate(unanswered) if wished is None or old == wished]
    if not places:
        names = ", ".join(repr(old) for old, _ in unanswered) or "none"
        raise UsageError(
            "a message of role 'tool' must follow the call that it answers, "
            f"got tool_call_id={wished!r}; calls without a result are {names}"
        )
    return unanswered.pop(places[0])[1]


def _read_part(part: Any) -> TextPart | ImagePart:
    if isinstance(part, str):
        return TextPart(part)
    kind = part.get("type") if isinstance(part, Mapping) else None
    if kind in {"text", "input_text", "output_text"}:
        return TextPart(str(part.get("text") or ""))
    if kind == "refusal":
        return TextPart(str(part.get("refusal") or ""))
    image = part.get("image_url") if kind == "image_url" else None
    if isinstance(image, Mapping) and isinstance(image.get("url"), str):
        return ImagePart(image["url"], str(image.get("detail") or "auto"))
    raise UsageError(
        f"a part of a message must be of type {PARTS_TAKEN} in this protocol, got {part!r:.100}; "
        "leave it out, or use protocol 'chat'"
    )
