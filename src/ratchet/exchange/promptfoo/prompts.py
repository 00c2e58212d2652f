"""The prompts of a configuration: texts, chats and files of them."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ratchet.core import Json
from ratchet.core.errors import DataError
from ratchet.data.yaml12 import parse_yaml
from ratchet.exchange.losses import Losses
from ratchet.exchange.promptfoo.files import (
    CODE,
    csv_rows,
    find_files,
    json_lines,
    load_structure,
    read_text,
)
from ratchet.exchange.promptfoo.nunjucks import our_template

__all__ = ["SuitePrompt", "messages_in", "read_prompts"]

_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
_LONGEST_PATH = 300
_FILES = (".txt", ".md", ".json", ".jsonl", ".yaml", ".yml", ".csv", ".j2", *CODE)
Messages = list[dict[str, str]]


@dataclass(frozen=True)
class SuitePrompt:
    """A prompt that can be sent."""

    label: str
    messages: Messages
    """Nunjucks in the contents; the last one is the user's."""
    is_chat: bool
    """Whether it is written as messages; else it is one text."""


def read_prompts(given: Json, folder: Path, losses: Losses) -> list[SuitePrompt]:
    """Return the prompts that can be sent; the others are noted.

    Args:
        given: A text, a list, or an object from files to labels.
        folder: Where files are looked for.
        losses: Takes what is not kept.
    """
    prompts: list[SuitePrompt] = []
    for label, text in _labelled_texts(given, folder, losses):
        where = f"prompt {label!r}"
        try:
            messages, is_chat = messages_in(text)
            for message in messages:
                our_template(message["content"], {})
            _check_turns(messages)
        except DataError as error:
            losses.add(f"{where}: {error}")
            continue
        prompts.append(SuitePrompt(label, messages, is_chat))
    return prompts


def _labelled_texts(given: Json, folder: Path, losses: Losses) -> Iterator[tuple[str, str]]:
    """Yield the label and the text of each prompt."""
    if isinstance(given, dict) and not {"id", "raw", "label"} & given.keys():
        given = [{"id": name, "label": label} for name, label in given.items()]
    entries = given if isinstance(given, list) else [given]
    for number, entry in enumerate(entries, start=1):
        label = f"prompt {number}"
        if isinstance(entry, dict):
            raw = entry.get("raw", entry.get("id"))
            label = str(entry.get("label") or label)
            for part in sorted(entry.keys() - {"raw", "id", "label", "display"}):
                losses.add(f"{part} of a prompt", f"prompt {label!r}")
        else:
            raw = entry
        if not isinstance(raw, str) or not raw.strip():
            losses.add(f"prompt {label!r}: it is neither a text nor a file, but {raw!r}"[:200])
            continue
        try:
            yield from _texts_of(raw, label, folder)
        except DataError as error:
            losses.add(f"prompt {label!r}: {error}")


def _texts_of(raw: str, label: str, folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the prompts of an entry: itself, or those of the files that it names."""
    if not _is_path(raw, folder):
        yield label, raw
        return
    if raw.split(":", 1)[0] in ("http", "https", "exec", "langfuse", "portkey", "helicone", "az"):
        raise DataError(f"it is made by {raw.split(':', 1)[0]}, which is not called here")
    pattern = re.sub(r"^(.*\.\w+):\w+$", r"\1", raw.removeprefix("file://"))
    if Path(pattern).suffix in CODE:
        raise DataError(f"prompt in code ({pattern})")
    for path in find_files(folder, pattern):
        if path.suffix in CODE:
            raise DataError(f"prompt in code ({path.name})")
        texts = list(_file_texts(path))
        for number, (own, text) in enumerate(texts, start=1):
            yield own or (path.stem if len(texts) == 1 else f"{path.stem} {number}"), text


def _is_path(raw: str, folder: Path) -> bool:
    if raw.startswith(("file://", "exec:", "http://", "https://", "langfuse://", "az://")):
        return True
    if "\n" in raw or "{{" in raw or len(raw) > _LONGEST_PATH:
        return False
    if Path(re.sub(r":\w+$", "", raw)).suffix in _FILES and " " not in raw:
        return True
    try:
        return bool(find_files(folder, raw))
    except (DataError, OSError):
        return False


def _file_texts(path: Path) -> Iterator[tuple[str | None, str]]:
    """Yield the label, where the file gives one, and the text of each prompt in a file."""
    if path.suffix in (".yaml", ".yml"):
        yield None, json.dumps(load_structure(path), ensure_ascii=False)
    elif path.suffix == ".jsonl":
        for _, value in json_lines(path):
            yield None, json.dumps(value, ensure_ascii=False)
    elif path.suffix == ".csv":
        for _, row, _ in csv_rows(path):
            first = next(iter(row.values()), "")
            yield row.get("label") or None, row.get("prompt", first)
    elif path.suffix == ".txt":
        for part in re.split(r"^---[ \t]*\r?$", read_text(path), flags=re.MULTILINE):
            if part.strip():
                yield None, part.strip()
    else:
        yield None, read_text(path)


def messages_in(text: str) -> tuple[Messages, bool]:
    """Return the messages of a prompt, and whether it is written as a chat: in JSON, or YAML that begins with `- role:`.

    Raises: DataError if a message of a chat is not a text by system, user or assistant.
    """
    start = text.lstrip()
    chat: Json = None
    try:
        if start.startswith(("[", "{")):
            chat = json.loads(text)
        elif start.startswith("- role:"):
            chat = parse_yaml(text)
    except (ValueError, RecursionError):
        if start.startswith("- role:") or (re.match(r'[\[{]\s*[{"]', start) and '"role"' in start):
            raise DataError("it is a chat, and no JSON before its fields are filled in") from None
    if isinstance(chat, dict) and isinstance(chat.get("messages"), list):
        chat = chat["messages"]
    if isinstance(chat, dict) and {"role", "content"} <= chat.keys():
        chat = [chat]
    if not isinstance(chat, list) or not chat or not all(_is_message(m) for m in chat):
        return [{"role": "user", "content": text}], False
    return [_message(m) for m in chat], True


def _is_message(value: Json) -> bool:
    return isinstance(value, dict) and "role" in value


def _message(message: dict[str, Json]) -> dict[str, str]:
    role = _ROLES.get(str(message["role"]))
    if role is None or set(message) - {"role", "content", "type"}:
        odd = sorted(set(message) - {"role", "content", "type"})
        raise DataError(
            f"a message of {message['role']!r}{f' with {odd[0]!r}' if odd else ''} has no equal; messages are by system, user and assistant"
        )
    content = message.get("content")
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, dict) else part for part in content]
        kinds = [part.get("type", "text") if isinstance(part, dict) else "text" for part in content]
        odd_kind = next((k for k in kinds if k not in ("text", "input_text", "output_text")), None)
        if odd_kind or not all(isinstance(part, str) for part in parts):
            raise DataError(f"a message has a part of type {odd_kind!r}, and only text is read")
        content = "\n".join(map(str, parts))
    if not isinstance(content, str):
        raise DataError(f"a message's content is no text, but {str(content)[:60]!r}")
    return {"role": role, "content": content}


def _check_turns(messages: Messages) -> None:
    """Refuse a chat that a candidate cannot send.

    Raises: DataError.
    """
    if messages[-1]["role"] != "user":
        raise DataError("its last message is not the user's")
    turns = [m for m in messages if m["role"] != "system"][:-1]
    if [m["role"] for m in turns] != ["user", "assistant"] * (len(turns) // 2) or any(
        "{{" in m["content"] for m in turns
    ):
        raise DataError(
            "turns before the last must be the user's and the assistant's in turn, without fields"
        )
