"""Training files: OpenAI's chat JSONL, supervised and preference. Read line by line, and every fault named with line and field."""

import codecs
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Literal

import orjson

from ratchet.core import Json, Record
from ratchet.core.errors import TuningError
from ratchet.store import write_text
from ratchet.tuning.conversation import Conversation, Message, Preference, Row

__all__ = [
    "Fault",
    "FileReport",
    "Method",
    "check_rows",
    "is_calls",
    "read_file",
    "read_rows",
    "write_rows",
]

Method = Literal["supervised", "dpo"]
ROLES = ("system", "developer", "user", "assistant", "tool")
LONGEST_LINE = 8 * 2**20
"""Bytes of a line."""
TOLD = 20


class Fault(Record):
    """What is wrong in a line."""

    line: int
    field: str
    message: str

    def __str__(self) -> str:
        where = f", {self.field}" if self.field else ""
        return f"line {self.line}{where}: {self.message}"


class FileReport(Record):
    """What a training file holds, and what is wrong with it."""

    rows: int
    faults: tuple[Fault, ...] = ()
    """The first few; nothing is trained on a file with faults."""
    num_faults: int = 0
    tokens: int | None = None
    """Of all rows together; None where no tokenizer is at hand."""
    shortest: int | None = None
    longest: int | None = None
    too_long: tuple[int, ...] = ()
    """Lines that are longer than allowed, and would be left out."""
    duplicates: tuple[int, ...] = ()
    """Lines that stood there before."""
    overlap: tuple[int, ...] = ()
    """Lines that the validation file holds too."""


def read_rows(file: BinaryIO, method: Method) -> Iterator[tuple[int, Row | Fault]]:
    """Yield each line's number, from 1, with its row, or with what is wrong in it; empty lines are passed over."""
    read = conversation_of if method == "supervised" else preference_of
    number = 0
    while line := file.readline(LONGEST_LINE + 1):
        number += 1
        if number == 1:
            if line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                yield number, Fault(line=1, field="", message="is UTF-16; save the file as UTF-8")
                return
            line = line.removeprefix(codecs.BOM_UTF8)
        if len(line) > LONGEST_LINE:
            yield (
                number,
                Fault(line=number, field="", message=f"is longer than {LONGEST_LINE // 2**20} MB"),
            )
            return
        if not line.strip():
            continue
        try:
            body = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            yield number, Fault(line=number, field="", message=f"is no JSON: {error}")
            continue
        try:
            yield number, read(body)
        except _Wrong as wrong:
            yield number, Fault(line=number, field=wrong.field, message=wrong.message)


def read_file(path: Path, method: Method) -> list[Row]:
    """Return the rows of a training file.

    Raises: TuningError with the first faults, if there are any, or if there are no rows.
    """
    rows: list[Row] = []
    faults: list[Fault] = []
    with path.open("rb") as file:
        for _, row in read_rows(file, method):
            if isinstance(row, Fault):
                faults.append(row)
            else:
                rows.append(row)
    if faults:
        told = "; ".join(map(str, faults[:3]))
        more = f"; and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise TuningError(f"{path.name} cannot be trained on: {told}{more}")
    if not rows:
        raise TuningError(f"{path.name} holds no rows")
    return rows


def check_rows(
    rows: Iterable[tuple[int, Row | Fault]],
    *,
    count: Callable[[Row], int] | None = None,
    longest: int | None = None,
    validation: Iterable[Row] = (),
) -> FileReport:
    """Return what a training file holds.

    Args:
        rows: As `read_rows` yields them.
        count: Counts the tokens of a row.
        longest: Rows of more tokens are named.
        validation: Rows that must not be trained on.
    """
    held_back = {key_of(row) for row in validation}
    first: set[bytes] = set()
    faults, lengths = list[Fault](), list[int]()
    too_long, duplicates, overlap = list[int](), list[int](), list[int]()
    for number, row in rows:
        if isinstance(row, Fault):
            faults.append(row)
            continue
        key = key_of(row)
        if key in first:
            duplicates.append(number)
        first.add(key)
        if key in held_back:
            overlap.append(number)
        if count:
            lengths.append(count(row))
            if longest and lengths[-1] > longest:
                too_long.append(number)
        else:
            lengths.append(0)
    return FileReport(
        rows=len(lengths),
        faults=tuple(faults[:TOLD]),
        num_faults=len(faults),
        tokens=sum(lengths) if count else None,
        shortest=min(lengths) if count and lengths else None,
        longest=max(lengths) if count and lengths else None,
        too_long=tuple(too_long),
        duplicates=tuple(duplicates),
        overlap=tuple(overlap),
    )


def key_of(row: Row) -> bytes:
    """Return what two equal rows have in common; weights do not count."""
    if isinstance(row, Preference):
        return orjson.dumps(row.plain(), option=orjson.OPT_SORT_KEYS)
    bare = [{k: v for k, v in m.items() if k != "weight"} for m in row.messages]
    return orjson.dumps([bare, list(row.tools)], option=orjson.OPT_SORT_KEYS)


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write a training file, whole or not at all."""
    write_text(path, "".join(orjson.dumps(row.plain()).decode() + "\n" for row in rows))


class _Wrong(Exception):  # noqa: N818 - never leaves this module
    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field, self.message = field, message


def conversation_of(body: Json) -> Conversation:
    """Return the conversation that a line holds."""
    if not isinstance(body, dict):
        raise _Wrong("", f"must be an object with 'messages', not {kind_of(body)}")
    if "messages" not in body and "input" in body:
        raise _Wrong("input", "is a preference row; choose the method dpo")
    known(body, ("messages", "tools", "parallel_tool_calls"))
    messages = messages_of(body.get("messages"), "messages")
    found = Conversation(messages, tools_of(body.get("tools"), "tools"))
    if messages[-1]["role"] != "assistant":
        raise _Wrong(
            f"messages[{len(messages) - 1}].role", "the last message must be the assistant's"
        )
    if is_blank(messages[-1]):
        raise _Wrong(
            f"messages[{len(messages) - 1}].content",
            "is empty, so that there is no answer to learn",
        )
    if not found.taught:
        raise _Wrong(
            "messages", "every assistant message has weight 0, so there is nothing to learn"
        )
    return found


def preference_of(body: Json) -> Preference:
    """Return the pair of answers that a line holds."""
    if not isinstance(body, dict):
        raise _Wrong("", f"must be an object with 'input', not {kind_of(body)}")
    if "input" not in body and "messages" in body:
        raise _Wrong("messages", "is a supervised row; choose the method supervised")
    known(body, ("input", "preferred_output", "non_preferred_output"))
    asked = body.get("input")
    if not isinstance(asked, dict):
        raise _Wrong("input", f"must be an object with 'messages', not {kind_of(asked)}")
    known(asked, ("messages", "tools", "parallel_tool_calls"), "input.")
    messages = messages_of(asked.get("messages"), "input.messages")
    answers = []
    for name in ("preferred_output", "non_preferred_output"):
        answer = messages_of(body.get(name), name)
        if [message["role"] for message in answer] != ["assistant"]:
            raise _Wrong(name, "must be one message of the assistant")
        answers.append(answer)
    if is_blank(answers[0][0]):
        raise _Wrong("preferred_output[0].content", "is empty, so that there is no answer to learn")
    if answers[0] == answers[1]:
        raise _Wrong("non_preferred_output", "is the same as preferred_output")
    return Preference(Conversation(messages, tools_of(asked.get("tools"), "input.tools")), *answers)


def messages_of(value: Json, where: str) -> tuple[Message, ...]:
    if not isinstance(value, list) or not value:
        raise _Wrong(where, f"must be a list of messages, not {kind_of(value)}")
    return tuple(message_of(message, f"{where}[{place}]") for place, message in enumerate(value))


def message_of(value: Json, where: str) -> Message:
    if not isinstance(value, dict):
        raise _Wrong(where, f"must be an object, not {kind_of(value)}")
    role, content, calls = value.get("role"), value.get("content"), value.get("tool_calls")
    if role not in ROLES:
        raise _Wrong(f"{where}.role", f"must be one of {', '.join(ROLES)}, not {role!r}")
    if isinstance(content, list):
        if not all(
            isinstance(part, dict) and isinstance(part.get("text"), str) for part in content
        ):
            raise _Wrong(f"{where}.content", "has parts that are no text")
        content = "".join(part["text"] for part in content)
    if calls is not None:
        if role != "assistant" or not is_calls(calls):
            raise _Wrong(
                f"{where}.tool_calls",
                "must be a list of function calls by the assistant, arguments as text",
            )
    elif not isinstance(content, str):
        raise _Wrong(f"{where}.content", f"must be text, not {kind_of(content)}")
    if value.get("weight") is not None and (role != "assistant" or value["weight"] not in (0, 1)):
        raise _Wrong(f"{where}.weight", "must be 0 or 1, and on messages of the assistant alone")
    message = {k: v for k, v in value.items() if v is not None}
    return message | {"role": "system" if role == "developer" else role, "content": content or ""}


def is_blank(message: Message) -> bool:
    """Return whether an assistant's message says nothing and calls nothing."""
    return not message.get("tool_calls") and not str(message.get("content") or "").strip()


def is_calls(value: Json) -> bool:
    """Return whether a value is a list of function calls, as an assistant's message holds them: arguments as text."""
    return isinstance(value, list) and all(
        isinstance(call, dict)
        and isinstance(call.get("function"), dict)
        and isinstance(call["function"].get("name"), str)
        and isinstance(call["function"].get("arguments"), str)
        for call in value
    )


def tools_of(value: Json, where: str) -> tuple[Json, ...]:
    if value is None:
        return ()
    for place, tool in enumerate(value if isinstance(value, list) else [None]):
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise _Wrong(f"{where}[{place}]", "must be a function with a name")
    return tuple(value)


def known(body: dict[str, Json], names: tuple[str, ...], where: str = "") -> None:
    for name in body:
        if name not in names:
            raise _Wrong(where + name, f"is unknown; a row has {', '.join(names)}")


def kind_of(value: Json) -> str:
    return (
        "nothing"
        if value is None
        else {"dict": "an object", "list": "a list", "str": "text"}.get(
            type(value).__name__, "a number"
        )
    )
