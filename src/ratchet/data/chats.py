"""Chats as columns: what stands before the answer, and the answer. OpenAI's fine-tuning format, and ShareGPT's."""

import json
from collections.abc import Mapping, Sequence

from ratchet.core import Json
from ratchet.data.records import BadRow, Row, RowError

__all__ = ["chat_of", "chat_row"]

SPEAKERS = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "assistant": "assistant",
    "model": "assistant",
    "system": "system",
    "developer": "system",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
    "tool_response": "tool",
    "function_response": "tool",
    "function_call": "assistant",
    "tool_call": "assistant",
}
"""Roles of OpenAI and of ShareGPT, by what they mean."""
COLUMNS = ("system", "history", "message", "steps")
"""What stands before the answer: instructions, earlier turns, what is asked, and calls and results since then."""

Message = dict[str, Json]


def chat_of(values: Mapping[str, Json]) -> Sequence[Json] | None:
    """Return the messages of a row, where it holds a chat."""
    messages = values.get("messages")
    if isinstance(messages, list):
        return messages
    turns = values.get("conversations")
    if isinstance(turns, list) and turns and all(isinstance(t, dict) for t in turns):
        names = {"role", "content"} if "role" in turns[0] else {"from", "value"}
        if all(names <= turn.keys() for turn in turns):
            return turns
    return None


def chat_row(number: int, values: Mapping[str, Json], messages: Sequence[Json]) -> Row | BadRow:
    """Turn a chat into columns: system, history, message, steps and answer, and what stands beside it in the row.

    A chat that ends with the user's message has no answer: it is not labelled. Calls of one function become `answer`, the arguments,
    and `tool`, its name; several become a list of both.
    """
    try:
        turns = [read_message(message) for message in messages]
        columns = columns_of(turns)
    except RowError as error:
        return BadRow(number, str(error))
    beside = {
        name: cell
        for name, cell in values.items()
        if name not in ("messages", "conversations", *COLUMNS, *columns)
    }
    cells = {**beside, **{name: cell for name, cell in columns.items() if cell not in ("", None)}}
    return Row(number, cells, tuple(name for name in COLUMNS if name in cells))


def columns_of(turns: Sequence[Message]) -> dict[str, Json]:
    """Return the columns of a chat; RowError where nobody asks, or nobody is to answer."""
    answer = turns[-1] if turns and turns[-1]["role"] == "assistant" else None
    if not turns or (answer is None and turns[-1]["role"] != "user"):
        raise RowError(
            "the last of messages must be the assistant's answer, or the user's message where there is none"
        )
    before = [turn for turn in (turns[:-1] if answer else turns) if turn["role"] != "system"]
    asked = max((i for i, turn in enumerate(before) if turn["role"] == "user"), default=None)
    if asked is None:
        raise RowError("there is no user message before the answer")
    columns: dict[str, Json] = {
        "system": "\n".join(turn["text"] for turn in turns if turn["role"] == "system"),
        "history": "\n".join(map(spoken, before[:asked])),
        "message": before[asked]["text"],
        "steps": "\n".join(map(spoken, before[asked + 1 :])),
    }
    if answer is None:
        return columns
    calls = answer["calls"]
    if len(calls) == 1:
        return {**columns, "answer": calls[0]["arguments"], "tool": calls[0]["name"]}
    if calls:
        names = ", ".join(dict.fromkeys(str(call["name"]) for call in calls))
        return {**columns, "answer": calls, "tool": names}
    return {**columns, "answer": answer["text"]}


def read_message(message: Json) -> Message:
    """Return a message's role, text and calls; RowError where it cannot be read."""
    if not isinstance(message, dict):
        raise RowError("each of messages must be an object with a role")
    speaker = message.get("role", message.get("from"))
    if not isinstance(speaker, str):
        raise RowError("each of messages must be an object with a role")
    role = SPEAKERS.get(speaker.strip().lower())
    if role is None:
        raise RowError(
            f"unknown role {speaker!r} of a message; there are system, developer, user, assistant and tool"
        )
    text = text_of_content(message.get("content", message.get("value")))
    calls = message.get("tool_calls") or []
    if message.get("function_call"):  # the form before there were several
        calls = [{"function": message["function_call"]}]
    return {"role": role, "text": text, "calls": [read_call(call) for call in calls]}


def text_of_content(content: Json) -> str:
    """Return the text of a message, also of one that is written in parts; RowError for a part that is no text."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return json.dumps(content, ensure_ascii=False)
    texts = []
    for part in content:
        text = part if isinstance(part, str) else None
        if isinstance(part, dict):
            text = part.get("text", part.get("refusal"))
        if not isinstance(text, str):
            kind = part.get("type") if isinstance(part, dict) else type(part).__name__
            raise RowError(
                f"a message holds a part of type {kind!r}; only text can be read. Leave the part or the row out"
            )
        texts.append(text)
    return "\n".join(texts)


def read_call(call: Json) -> dict[str, Json]:
    """Return a call's name and arguments; RowError where it has none."""
    function = call.get("function", call) if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise RowError(f"the tool call cannot be read: it names no function: {call!r:.200}")
    arguments = function.get("arguments")
    if isinstance(arguments, str) and arguments.strip():
        try:
            arguments = json.loads(arguments)
        except (ValueError, RecursionError) as error:
            raise RowError(
                f"the tool call cannot be read: the arguments of {function['name']!r} are not JSON: {error}"
            ) from error
    if arguments in (None, ""):
        arguments = {}
    if not isinstance(arguments, dict):
        raise RowError(
            f"the tool call cannot be read: the arguments of {function['name']!r} must be an object"
        )
    return {"name": function["name"], "arguments": arguments}


def spoken(turn: Message) -> str:
    """Return a turn as a line of the history: who, and what was said or called."""
    calls = [
        f"{call['name']}({json.dumps(call['arguments'], ensure_ascii=False)})"
        for call in turn["calls"]
    ]
    return f"{turn['role']}: {' '.join(filter(None, [turn['text'], *calls]))}".rstrip()
