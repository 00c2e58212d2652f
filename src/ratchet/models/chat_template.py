"""What a model's chat template makes of messages, tools and calls: the prompt that is sent, and the turn that is to follow it.

Serving and training both render here, so what is taught is what is asked for. A template that knows tools is given them, and calls are
written in its own form; for any other the tools stand in the system message, calls are plain JSON, and what a tool gave back is what
the user says next.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from ratchet.core import Json
from ratchet.models.chat import ChatRequest
from ratchet.models.tool_format import CALL_ID, PLAIN, ReadCall, ToolForm
from ratchet.models.tool_grammar import MARK
from ratchet.models.tool_messages import (
    as_object,
    describe,
    fill_in,
    in_parts,
    in_words,
    name_results,
    short_id,
    split_calls,
)
from ratchet.models.tool_probe import PROBE_TOOL, find_form
from ratchet.models.tool_values import COMPACT

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["ChatFormat", "TemplateMismatchError", "chat_format_of"]

Message = dict[str, Json]

QUESTION, WORDS, RESULT = "probequestion", "probewords", "proberesult"
CALL_IDS = ("call_1", "call00001")
"""Ids for a probe; some templates take none but those of nine letters and digits."""
OPEN_THOUGHT = re.compile(r"\s*(<think>)?\s*")
CLOSED_THOUGHT = "\n</think>\n\n"
"""Ends a thought that a prompt begins, where the template leaves thoughts out of the turns that it writes."""


def is_forced(request: ChatRequest) -> bool:
    """Return whether the reply must follow a form."""
    return bool(request.tool_choice or request.json_schema or request.choices or request.pattern)


class TemplateMismatchError(ValueError):
    """A chat template does not continue its own prompt with the answer."""


@dataclass(frozen=True)
class _Calls:
    """How a template is given tools and calls."""

    form: ToolForm
    is_native: bool
    """Whether the template is given tools and calls; else they stand in the messages."""
    takes_text: bool = False
    """Whether arguments are handed to it as JSON in a text."""
    takes_short_ids: bool = False


class ChatFormat:
    """How one tokenizer's chat template writes what it is given; what can be known ahead is looked up when it is first needed.

    Args:
        tokenizer: It is only called, never changed.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase") -> None:
        self._tokenizer = tokenizer

    # -- prompts

    def prompt(self, request: ChatRequest) -> str:
        """Return the text that a request becomes; a forced answer begins where the template lets one begin."""
        if request.raw is not None:
            return request.raw
        text = self.render(request.messages, request.tools, is_prompt=True)
        if request.tool_choice:
            return text + self.lead_of_calls
        return text + self.lead if is_forced(request) else text

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Json] | None,
        *,
        is_prompt: bool,
    ) -> str:
        """Return messages as text.

        Args:
            messages: In OpenAI's format; calls' arguments are text.
            tools: Those that may be called.
            is_prompt: Whether the assistant speaks next.
        """
        has_calls = any(m.get("tool_calls") or m["role"] == "tool" for m in messages)
        if not tools and not has_calls:
            return self._apply(messages, None, is_prompt)
        if not self._calls.is_native:
            return self._apply(
                in_words(messages, tools, takes_system=self._takes_system), None, is_prompt
            )
        said = name_results(self.split_calls(messages))
        given = [self._given(message, place) for place, message in enumerate(said)]
        offered = [fill_in(tool) for tool in tools or ()]
        try:
            return self._apply(given, offered, is_prompt)
        except Exception:
            if all(tool["function"].get("description") for tool in offered):
                raise
            return self._apply(given, [describe(tool) for tool in offered], is_prompt)

    def turn(self, messages: Sequence[Message], tools: Sequence[Json] | None) -> tuple[str, str]:
        """Return the prompt before the last message, which is the assistant's, and what is to follow the prompt.

        Raises: TemplateMismatchError if the template writes something else before the answer than it asks for.
        """
        prompt = self.render(messages[:-1], tools, is_prompt=True)
        whole = self.render(messages, tools, is_prompt=False)
        return prompt, following(prompt, whole)

    def split_calls(self, messages: Sequence[Message]) -> list[Message]:
        """Return messages in which no turn holds more calls than the template writes."""
        is_single = self.form.joint is None
        return split_calls(messages) if is_single else list(messages)

    # -- replies

    @property
    def form(self) -> ToolForm:
        """How calls are written."""
        return self._calls.form

    def read_calls(self, text: str, tools: Sequence[Mapping[str, Json]]) -> list[ReadCall]:
        """Return the calls that a reply holds."""
        return self.form.read(text, tools)

    def without_lead(self, text: str) -> str:
        """Return a reply without what the template writes before any words."""
        return text.removeprefix(self.lead) if self.lead else text

    def count_spoken(self, text: str) -> int:
        """Return how much of a text that is being written is surely no call: what stands before the first one, or before what may become one."""
        places = [begins_at(text, mark) for mark in self.form.marks]
        spoken = text[: min(places)].rstrip()
        lead = self.lead_of_calls.strip()
        return 0 if lead and lead.startswith(spoken.strip()) else len(spoken)

    def text_beside(self, text: str, calls: Sequence[ReadCall]) -> str:
        """Return what a reply with calls says beside them; what stands before the first is its beginning."""
        spoken = self.count_spoken(text)
        rest, place = "", spoken
        for one in calls:
            rest, place = rest + text[place : max(place, one.start)], max(place, one.end)
        after = (rest + text[place:]).strip()
        if spoken == 0:
            after = after.removeprefix(self.lead_of_calls.strip()).strip()
        before, after = self.without_lead(text[:spoken]), FENCES.sub("", after).strip()
        return f"{before}\n{after}" if before and after else before or after

    # -- what the template does

    @cached_property
    def _words(self) -> tuple[str, str]:
        """What stands around an answer in words, from the end of the prompt."""
        asked = {"role": "user", "content": QUESTION}
        try:
            _, text = self.turn([asked, {"role": "assistant", "content": WORDS}], None)
        except Exception:  # noqa: BLE001 - a template may raise anything
            return "", ""
        before, found, after = text.partition(WORDS)
        return (before, after) if found else ("", "")

    @property
    def lead(self) -> str:
        """What the template writes between a prompt and an answer in words, such as an empty thought."""
        return self._words[0]

    @property
    def ending(self) -> str:
        """What the template writes after an answer in words."""
        return self._words[1]

    @cached_property
    def lead_of_calls(self) -> str:
        """What the template writes between a prompt and a call, as far as an answer in words begins with it too."""
        if not self._calls.is_native:
            return self.lead
        try:
            text = self._write_probe([("probe_tool", {"key_b": "x", "key_a": "y"})], self._calls)
        except Exception:  # noqa: BLE001 - a template may raise anything
            return ""
        return self.lead if text.startswith(self.lead) else ""

    @cached_property
    def _wants_parts(self) -> bool:
        """Whether the template loses content that is plain text, and takes parts."""
        asked = [{"role": "user", "content": QUESTION}]
        return not self._shows(asked, QUESTION) and self._shows(in_parts(asked), QUESTION)

    @cached_property
    def _takes_system(self) -> bool:
        messages = [
            {"role": "system", "content": WORDS},
            {"role": "user", "content": QUESTION},
        ]
        return self._shows(in_parts(messages) if self._wants_parts else messages, WORDS)

    def _shows(
        self, messages: Sequence[Message], text: str, tools: Sequence[Json] | None = None
    ) -> bool:
        try:
            return text in self._apply_template(messages, tools, is_prompt=True)
        except Exception:  # noqa: BLE001 - a template may raise anything
            return False

    @cached_property
    def _calls(self) -> _Calls:
        plain = _Calls(PLAIN, is_native=False)
        asked = [{"role": "user", "content": QUESTION}]
        if not self._shows(asked, "probe_tool", [PROBE_TOOL]):
            return plain
        for takes_short_ids in (False, True):
            ways = [
                _Calls(PLAIN, is_native=True, takes_text=text, takes_short_ids=takes_short_ids)
                for text in (False, True)
            ]
            objects, texts = (self._find_form(way) for way in ways)
            if texts and (objects is None or texts.head.endswith('":')):
                return replace(ways[1], form=texts)  # JSON without spaces, as it is handed over
            if objects:
                return replace(ways[0], form=objects)
        return plain

    def _find_form(self, way: _Calls) -> ToolForm | None:
        """Return the form of the template's calls if it is given arguments, and ids, in this way."""
        ending = self.ending
        call_id = CALL_IDS[way.takes_short_ids]

        def write(calls: Sequence[tuple[str, Json]]) -> str:
            text = self._write_probe(calls, way).removesuffix(ending)
            return text.removeprefix(self.lead)

        try:
            whole = self._write_probe([("probe_tool", {"key_b": "x"})], way)
            form = find_form(write, call_id, ends_as_words=whole.endswith(ending))
            if form is None or not self._is_steady(form, way):
                return None
        except Exception:  # noqa: BLE001 - a template may raise anything
            return None
        return form

    def _write_probe(self, calls: Sequence[tuple[str, Json]], way: _Calls) -> str:
        """Return the turn of a template that is given calls."""
        asked = {"role": "user", "content": QUESTION}
        return self._turn_of([asked, called(calls, way)])

    def _turn_of(self, messages: Sequence[Message]) -> str:
        prompt = self._apply(messages[:-1], [PROBE_TOOL], is_prompt=True)
        return following(prompt, self._apply(messages, [PROBE_TOOL], is_prompt=False))

    def _is_steady(self, form: ToolForm, way: _Calls) -> bool:
        """Return whether a later call is written as the first one is, and what a tool gave back is shown."""
        calls = [("probe_tool", {"key_b": "x"})]
        call = called(calls, way)
        result = {
            "role": "tool",
            "content": RESULT,
            "name": "probe_tool",
            "tool_call_id": call["tool_calls"][0]["id"],
        }
        before = [{"role": "user", "content": QUESTION}, call, result]
        if RESULT not in self._apply(before, [PROBE_TOOL], is_prompt=True):
            return False
        again = self._turn_of([*before, {"role": "user", "content": QUESTION}, call])
        written = form.write(calls).replace(CALL_ID, CALL_IDS[way.takes_short_ids])
        return again.removeprefix(self.lead).startswith(written)

    # -- giving messages to the template

    def _apply(
        self, messages: Sequence[Message], tools: Sequence[Json] | None, is_prompt: bool
    ) -> str:
        given = in_parts(messages) if self._wants_parts else messages
        return self._apply_template(given, tools, is_prompt=is_prompt)

    def _apply_template(
        self, messages: Sequence[Message], tools: Sequence[Json] | None, *, is_prompt: bool
    ) -> str:
        text: Any = self._tokenizer.apply_chat_template(
            list(messages),
            tools=list(tools) if tools else None,
            tokenize=False,
            add_generation_prompt=is_prompt,
        )
        assert isinstance(text, str)  # tokenize=False returns text
        return text

    def _given(self, message: Message, place: int) -> Message:
        """Return a message as the template takes it."""
        given = {**message, "content": message.get("content") or ""}
        if calls := message.get("tool_calls"):
            given["tool_calls"] = [self._given_call(c, place, at) for at, c in enumerate(calls)]
        if self._calls.takes_short_ids and "tool_call_id" in message:
            given["tool_call_id"] = short_id(message["tool_call_id"])
        return given

    def _given_call(self, call: Json, place: int, at: int) -> Json:
        function = call["function"]
        arguments = function["arguments"]
        if not self._calls.takes_text and isinstance(arguments, str):
            arguments = as_object(arguments)
        name = str(call.get("id") or f"call_{place}_{at}")
        return {
            **call,
            "type": "function",
            "id": short_id(name) if self._calls.takes_short_ids else name,
            "function": {**function, "arguments": arguments},
        }


FENCES = re.compile(r"<\|python_tag\|>|```(?:json)?")
"""What some models put around a call that has no marks of its own."""


def following(prompt: str, whole: str) -> str:
    """Return what is to follow a prompt so that it becomes what the template writes of the whole.

    A prompt may begin a thought that the template leaves out of the turns that it writes: then the thought ends first.

    Raises: TemplateMismatchError if the two differ in more than that.
    """
    if whole.startswith(prompt):
        return whole[len(prompt) :]
    shared = shared_length(prompt, whole)
    left = prompt[shared:]
    thought = OPEN_THOUGHT.fullmatch(left)
    if thought is None:
        raise TemplateMismatchError(
            f"the model's chat template does not continue the prompt with the answer: it asks with {left[-80:]!r} and writes {whole[shared:][:80]!r}"
        )
    return (CLOSED_THOUGHT if thought[1] else "") + whole[shared:]


def shared_length(first: str, second: str) -> int:
    """Return how many characters two texts begin with alike; marks count as a whole."""
    length = 0
    while length < min(len(first), len(second)) and first[length] == second[length]:
        length += 1
    for mark in MARK.finditer(first, max(0, length - 64), min(len(first), length + 64)):
        if mark.start() < length < mark.end():
            return mark.start()
    return length


def called(calls: Sequence[tuple[str, Json]], way: _Calls) -> Message:
    """Return the assistant's message with calls, as a template takes it."""
    return {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {
                "id": CALL_IDS[way.takes_short_ids],
                "type": "function",
                "function": {
                    "name": name,
                    "arguments": COMPACT.write(arguments) if way.takes_text else arguments,
                },
            }
            for name, arguments in calls
        ],
    }


def begins_at(text: str, mark: str) -> int:
    """Return where a text holds a mark, or ends with the beginning of one; its length where it does neither. Spaces do not count."""
    bare = re.sub(r"\s+", "", mark)
    place = text.find(bare[0])
    while place >= 0:
        written = re.sub(r"\s+", "", text[place : place + 4 * len(bare)])
        if written.startswith(bare) or bare.startswith(written):
            return place
        place = text.find(bare[0], place + 1)
    return len(text)


def chat_format_of(tokenizer: "PreTrainedTokenizerBase") -> ChatFormat:
    """Return what a tokenizer's chat template does, looked up once as long as it is the same template."""
    return _chat_format_of(tokenizer, json.dumps(tokenizer.chat_template))


@lru_cache(maxsize=4)
def _chat_format_of(tokenizer: "PreTrainedTokenizerBase", _template: str) -> ChatFormat:
    return ChatFormat(tokenizer)
