"""Chat templates of local models: from messages to a prompt, in which only the template writes special tokens.

A text of a user, a document or a tool may hold what the model's own markers look like (`<|im_end|>`). Where it does, the template is
rendered with stand-ins in its place, so that it is known which part of the prompt is content; special tokens that lie in
content are then read as the letters that they are. Without such a text nothing is done twice.
"""

import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from ratchet.core import Json
from ratchet.core.errors import RatchetError, ReplyError, UnknownModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = [
    "RenderedPrompt",
    "encode_prompt",
    "join_prompts",
    "prompt_end",
    "render_chat",
    "with_parameters",
]

Message = dict[str, Json]
Tools = list[dict[str, Json]] | None
Render = Callable[[list[Message], Tools], str]
STRUCTURE = {"role", "type", "id", "tool_call_id"}
"""Keys whose strings say what a part is, and are never content."""
PLACED_WHOLE = {"content", "text", "reasoning_content"}
"""Keys whose strings a template writes as they are; others it may write as JSON, with escapes."""
SYSTEM_ROLES = ("system", "developer")
SEPARATOR = "\n\n"
"""Between a system text and the user's, where they become one message."""


class RenderedPrompt(str):
    """A prompt, and where in it is content: special tokens there are text."""

    __slots__ = ("content_spans",)
    content_spans: tuple[tuple[int, int], ...]


def join_prompts(first: str, second: str) -> RenderedPrompt:
    """Return two texts as one, which knows the content of both."""
    spans = tuple(
        (start + shift, end + shift)
        for text, shift in ((first, 0), (second, len(first)))
        for start, end in getattr(text, "content_spans", ())
    )
    joined = RenderedPrompt(str(first) + str(second))
    joined.content_spans = spans
    return joined


def prompt_end(whole: str, end: str) -> RenderedPrompt:
    """Return `end`, which a rendered text ends with (but for what may stand before), as a text that knows its content.

    Args:
        whole: A rendered prompt.
        end: Its last characters; before them may stand others that are no content.
    """
    shift = len(end) - len(whole)
    ending = RenderedPrompt(end)
    ending.content_spans = tuple(
        (max(0, start + shift), stop + shift)
        for start, stop in getattr(whole, "content_spans", ())
        if stop + shift > 0
    )
    return ending


@dataclass(frozen=True, slots=True)
class _Specials:
    """The special tokens of a tokenizer."""

    ids: frozenset[int]
    pattern: re.Pattern[str] | None
    """Finds them in a text; None where there are none."""


_specials: "WeakKeyDictionary[Any, _Specials]" = WeakKeyDictionary()


def render_chat(
    tokenizer: "PreTrainedTokenizerBase", render: Render, messages: Sequence[Message], tools: Tools
) -> RenderedPrompt:
    """Return the prompt that messages become.

    A message without content has an empty one. A template that refuses system messages gets their text at the beginning of the
    first user message.

    Args:
        tokenizer: With the chat template.
        render: Applies the template to messages and tools.
        messages: In OpenAI's chat format.
        tools: Likewise, or None.
    Raises: ReplyError (kind "template") with the template's own words if it refuses the messages; UnknownModelError if there is
    no template.
    """
    if tokenizer.chat_template is None:
        raise UnknownModelError(
            f"{tokenizer.name_or_path} has a tokenizer without a chat template; Ratchet needs a chat model"
        )
    text, chat = _render_with_system(render, _with_content(messages), tools)
    prompt = RenderedPrompt(text)
    prompt.content_spans = ()
    pattern = _specials_of(tokenizer).pattern
    contents = "".join(string for _, string in _strings((chat, tools)))
    if pattern is not None and pattern.search(contents):
        prompt.content_spans = _content_spans(render, chat, tools, text, pattern)
    return prompt


def encode_prompt(tokenizer: "PreTrainedTokenizerBase", prompt: str) -> list[int]:
    """Return the tokens of a prompt; in the content of a rendered one special tokens are read as text."""
    spans = getattr(prompt, "content_spans", ())
    if not spans:
        ids: list[int] = tokenizer(str(prompt), add_special_tokens=False)["input_ids"]
        return ids
    if not tokenizer.is_fast:
        return _encode_by_parts(tokenizer, prompt, spans)
    encoded = tokenizer(str(prompt), add_special_tokens=False, return_offsets_mapping=True)
    special = _specials_of(tokenizer).ids
    ids = []
    for token, (start, end) in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True):
        is_content = token in special and any(a < end and start < b for a, b in spans)
        ids += _encode_as_text(tokenizer, prompt[start:end]) if is_content else [token]
    return ids


def with_parameters(tools: Tools) -> Tools:
    """Return tools of which each says its parameters; one that names none takes none, as in OpenAI's API."""
    nothing: dict[str, Json] = {"type": "object", "properties": {}, "additionalProperties": False}
    return tools and [
        tool
        if tool["function"].get("parameters") is not None
        else {**tool, "function": {**tool["function"], "parameters": nothing}}
        for tool in tools
    ]


def _with_content(messages: Sequence[Message]) -> list[Message]:
    return [
        {**message, "content": ""} if message.get("content", "") is None else dict(message)
        for message in messages
    ]


def _render_with_system(
    render: Render, messages: list[Message], tools: Tools
) -> tuple[str, list[Message]]:
    """Return the text, and the messages as the template took them."""
    try:
        return _render(render, messages, tools), messages
    except ReplyError:
        merged = _merge_system(messages)
        if merged is None:
            raise
        try:
            return _render(render, merged, tools), merged
        except ReplyError:
            pass  # it was not the system message that it refused
        raise


def _render(render: Render, messages: list[Message], tools: Tools) -> str:
    try:
        return render(messages, tools)
    except RatchetError:
        raise
    except Exception as error:  # a template is a program of its own, and raises what it wants
        lines = str(error).strip().splitlines() or [type(error).__name__]
        roles = ", ".join(str(message.get("role")) for message in messages)
        raise ReplyError(
            f"the model's chat template refuses the messages ({roles}): {lines[0].rstrip('.')}; change their roles or contents, or the chat_template.jinja in the model's folder",
            kind="template",
        ) from error


def _merge_system(messages: list[Message]) -> list[Message] | None:
    """Return the messages with the leading system texts in the first user message; None where no system message leads."""
    count = 0
    while count < len(messages) and messages[count].get("role") in SYSTEM_ROLES:
        count += 1
    if not count:
        return None
    system = SEPARATOR.join(_text_of(message.get("content", "")) for message in messages[:count])
    first, *rest = messages[count:] or [{"role": "user", "content": ""}]
    if first.get("role") != "user":
        return [{"role": "user", "content": system}, first, *rest]
    content = first.get("content", "")
    if isinstance(content, list):
        merged: Json = [{"type": "text", "text": system + SEPARATOR}, *content]
    else:
        merged = SEPARATOR.join(part for part in (system, str(content)) if part)
    return [{**first, "content": merged}, *rest]


def _text_of(content: Json) -> str:
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content)


def _specials_of(tokenizer: "PreTrainedTokenizerBase") -> _Specials:
    """Return a tokenizer's special tokens; they are looked up once."""
    if tokenizer not in _specials:
        special = {
            token.content: place
            for place, token in tokenizer.added_tokens_decoder.items()
            if token.special
        }
        special |= zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True)
        alternatives = "|".join(re.escape(one) for one in sorted(special, key=len, reverse=True))
        pattern = re.compile(alternatives) if special else None
        _specials[tokenizer] = _Specials(frozenset(special.values()), pattern)
    return _specials[tokenizer]


@dataclass(slots=True)
class _StandIns:
    """Stands in for content with words that no template and no text knows."""

    pattern: re.Pattern[str]
    """Of the special tokens."""
    stem: str = field(default_factory=lambda: f"content{secrets.token_hex(6)}n")
    originals: list[str] = field(default_factory=list)

    def place(self, text: str, *, whole: bool) -> str:
        """Return a text with a stand-in for all of it but its edges' white space, or for the special tokens in it alone."""
        if not whole:
            return self.pattern.sub(lambda match: self._add(match[0]), text)
        core = text.strip()
        return text.replace(core, self._add(core), 1) if core else text

    def _add(self, original: str) -> str:
        self.originals.append(original)
        return f"{self.stem}{len(self.originals) - 1}e"

    def resolve(self, rendered: str) -> tuple[str, tuple[tuple[int, int], ...]]:
        """Return the text with the originals, and where they stand."""
        text, spans, at = "", [], 0
        for match in re.finditer(rf"{self.stem}(\d+)e", rendered):
            text += rendered[at : match.start()]
            original = self.originals[int(match[1])]
            spans.append((len(text), len(text) + len(original)))
            text, at = text + original, match.end()
        return text + rendered[at:], tuple(spans)


def _content_spans(
    render: Render, chat: list[Message], tools: Tools, text: str, pattern: re.Pattern[str]
) -> tuple[tuple[int, int], ...]:
    """Return where in the rendered text content stands.

    A string that the template changes, rather than writes it, is left as it is: putting the originals where the stand-ins
    are must give the very text that the template gives.
    """
    keys = [key for key, _ in _strings((chat, tools))]

    def attempt(ways: Sequence[bool | None]) -> tuple[tuple[int, int], ...] | None:
        stand_ins = _StandIns(pattern)
        choice = iter(ways)

        def place(string: str) -> str:
            whole = next(choice)
            return string if whole is None else stand_ins.place(string, whole=whole)

        placed = _mapped((chat, tools), place)
        try:
            resolved, spans = stand_ins.resolve(render(*placed))
        except Exception:  # noqa: BLE001 - a template may look into what it is given
            return None
        return spans if resolved == text else None

    def way_for(place: int) -> bool | None:
        for whole in (True, False):
            alone: list[bool | None] = [None] * len(keys)
            alone[place] = whole
            if attempt(alone) is not None:
                return whole
        return None

    spans = attempt([key in PLACED_WHOLE for key in keys])
    if spans is None:
        spans = attempt([way_for(place) for place in range(len(keys))])
    return spans or ()


def _strings(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield the strings in messages and tools that are content, with the keys that they stand under, in a fixed order."""
    if isinstance(value, str):
        if key not in STRUCTURE:
            yield key, value
    elif isinstance(value, dict):
        for name, part in value.items():
            yield from _strings(part, name)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _strings(part, key)


def _mapped(value: Any, place: Callable[[str], str], key: str = "") -> Any:
    """Return the same with each string of `_strings`, in its order, put through `place`."""
    if isinstance(value, str):
        return value if key in STRUCTURE else place(value)
    if isinstance(value, dict):
        return {name: _mapped(part, place, name) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_mapped(part, place, key) for part in value]
    return value


def _encode_by_parts(
    tokenizer: "PreTrainedTokenizerBase", prompt: str, spans: Iterable[tuple[int, int]]
) -> list[int]:
    """Return the tokens where the tokenizer cannot say which letters each is of: content and the rest are read apart."""
    ids: list[int] = []
    at = 0
    for start, end in spans:
        ids += tokenizer(prompt[at:start], add_special_tokens=False)["input_ids"]
        ids += _encode_as_text(tokenizer, prompt[start:end])
        at = end
    ids += tokenizer(prompt[at:], add_special_tokens=False)["input_ids"]
    return ids


def _encode_as_text(tokenizer: "PreTrainedTokenizerBase", text: str) -> list[int]:
    """Return the tokens of a text, none of them special."""
    if not text:
        return []

    def read(part: str) -> list[int]:
        ids: list[int] = tokenizer(part, add_special_tokens=False, split_special_tokens=True)[
            "input_ids"
        ]
        return ids

    before, whole = read("a"), read("a" + text)  # a tokenizer may begin a text with a space
    ids = whole[len(before) :] if whole[: len(before)] == before else read(text)
    special = _specials_of(tokenizer).ids
    if special.isdisjoint(ids):
        return ids
    letters = [token for letter in text for token in read(letter)]
    return [token for token in letters if token not in special]
