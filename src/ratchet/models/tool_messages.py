"""Messages with tools, calls and results, made over for what a chat template takes: in plain words, in parts, or one call a turn."""

import hashlib
import json
import re
from collections.abc import Sequence

from ratchet.core import Json
from ratchet.models.tool_format import PLAIN
from ratchet.models.tool_values import SPACED

__all__ = [
    "as_object",
    "describe",
    "fill_in",
    "in_parts",
    "in_words",
    "name_results",
    "short_id",
    "split_calls",
]

Message = dict[str, Json]

TOOLS_IN_WORDS = """Tools that you can call, each as JSON:
{tools}

To call a tool, answer with one JSON object and nothing else: "name" is the tool's name, "arguments" is an object whose values are taken from the message."""
"""What a model whose template knows no tools is told of them."""
RESULT_IN_WORDS = "Result of the tool {name}: {content}"
"""What the user says in a tool's place."""


def in_words(
    messages: Sequence[Message], tools: Sequence[Json] | None, *, takes_system: bool
) -> list[Message]:
    """Return messages without tools and calls: all that they say is text, and the user never speaks twice in a row.

    Args:
        messages: In OpenAI's format; a tool's result that is empty is left out.
        tools: The first message tells of them.
        takes_system: Whether it may be the system's.
    """
    said: list[Message] = []
    for message in name_results(messages):
        role, content = message["role"], message.get("content") or ""
        if role == "tool":
            words = RESULT_IN_WORDS.format(name=message["name"], content=content)
            said += [{"role": "user", "content": words}] if content else []
            continue
        calls = [
            (call["function"]["name"], as_object(call["function"]["arguments"]))
            for call in message.get("tool_calls") or ()
        ]
        written = [*([content] if content else []), *([PLAIN.write(calls)] if calls else [])]
        rest = {key: v for key, v in message.items() if key not in ("tool_calls", "name")}
        said.append({**rest, "content": "\n".join(written)})
    return _merge_users(_add_tools(said, tools, takes_system=takes_system) if tools else said)


def _add_tools(
    messages: Sequence[Message], tools: Sequence[Json], *, takes_system: bool
) -> list[Message]:
    """Return messages of which the first tells of the tools."""
    lines = "\n".join(SPACED.write(tool["function"]) for tool in tools)
    words = TOOLS_IN_WORDS.format(tools=lines)
    first = messages[0] if messages else {"role": "user", "content": ""}
    if first["role"] == "system":
        return [{**first, "content": f"{first['content']}\n\n{words}"}, *messages[1:]]
    if takes_system or first["role"] != "user":
        return [{"role": "system", "content": words}, *messages]
    return [{**first, "content": f"{words}\n\n{first['content']}"}, *messages[1:]]


def _merge_users(messages: Sequence[Message]) -> list[Message]:
    said: list[Message] = []
    for message in messages:
        if said and message["role"] == said[-1]["role"] == "user":
            both = f"{said[-1]['content']}\n\n{message['content']}"
            said[-1] = {**said[-1], "content": both}
        else:
            said.append(message)
    return said


def split_calls(messages: Sequence[Message]) -> list[Message]:
    """Return messages in which no turn holds more than one call; each call stands before its own result."""
    parted: list[Message] = []
    moved: set[int] = set()
    for place, message in enumerate(messages):
        calls = message.get("tool_calls") or ()
        if place in moved:
            continue
        if len(calls) < 2:
            parted.append(message)
            continue
        results = _results_after(messages, place)
        for number, call in enumerate(calls):
            content = message.get("content") if number == 0 else ""
            parted.append({**message, "content": content, "tool_calls": [call]})
            own = [at for at in results if messages[at].get("tool_call_id") == call.get("id")]
            parted += [messages[at] for at in own if at not in moved]
            moved.update(own)
    return parted


def _results_after(messages: Sequence[Message], place: int) -> list[int]:
    """Return the places of the results that follow a message with calls."""
    end = place + 1
    while end < len(messages) and messages[end]["role"] == "tool":
        end += 1
    return list(range(place + 1, end))


def name_results(messages: Sequence[Message]) -> list[Message]:
    """Return messages in which each tool's result says which tool gave it."""
    names: dict[Json, str] = {}
    last = "tool"
    said = []
    for message in messages:
        for call in message.get("tool_calls") or ():
            last = call["function"]["name"]
            names[call.get("id")] = last
        if message["role"] == "tool" and not message.get("name"):
            said.append({**message, "name": names.get(message.get("tool_call_id"), last)})
        else:
            said.append(message)
    return said


def in_parts(messages: Sequence[Message]) -> list[Message]:
    """Return messages whose content is a list of parts; what is one already stays."""
    return [
        m
        if isinstance(m.get("content"), list)
        else {**m, "content": [{"type": "text", "text": m.get("content") or ""}]}
        for m in messages
    ]


def fill_in(tool: Json) -> Json:
    """Return a tool with all that templates look for in it."""
    function = tool["function"]
    parameters = {"type": "object", "properties": {}, **(function.get("parameters") or {})}
    return {**tool, "function": {**function, "parameters": parameters}}


def describe(tool: Json) -> Json:
    """Return a tool with a description, be it empty: some templates do not do without."""
    return {**tool, "function": {"description": "", **tool["function"]}}


def as_object(arguments: Json) -> Json:
    """Return a call's arguments as an object; what is none stands in one."""
    if isinstance(arguments, dict):
        return arguments
    try:
        value = json.loads(arguments)
    except (TypeError, ValueError, RecursionError):
        value = arguments
    return value if isinstance(value, dict) else {"value": value}


def short_id(name: str) -> str:
    """Return an id of nine letters and digits, the same for the same one."""
    letters = re.sub(r"[^A-Za-z0-9]", "", name)
    return letters if len(letters) == 9 else hashlib.sha256(name.encode()).hexdigest()[:9]
