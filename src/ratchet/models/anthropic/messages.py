"""Anthropic's Messages, as its own endpoint speaks them: `base_url = "https://api.anthropic.com/v1"`."""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import orjson

from ratchet.core import Json, Usage
from ratchet.core.errors import UsageError
from ratchet.models.chat import CallPart, ChatReply, ChatRequest, ToolCall
from ratchet.models.conversation import (
    ImagePart,
    TextPart,
    plain_text,
    read_parts,
    with_unique_call_ids,
)
from ratchet.models.protocol import (
    MalformedReplyError,
    ProviderFault,
    StreamParser,
    WireOptions,
    count_of,
    error_details,
    json_arguments,
    load_event,
    merge_extra,
    refuse_unsupported,
)
from ratchet.models.schema import close_schema
from ratchet.models.sse import ServerEvent

__all__ = ["Messages"]

VERSION = "2023-06-01"
EFFORTS = {"low", "medium", "high", "xhigh", "max"}
"""What `output_config.effort` can be; `none` is said by `thinking`."""
MIN_THINKING_TOKENS = 1024
"""The smallest budget that `thinking` takes."""
DATA_URL = re.compile(r"data:(?P<type>image/(?:jpeg|png|gif|webp));base64,(?P<data>.+)", re.DOTALL)
FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "pause_turn": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
"""Why a message ended, in the words of chat completions; a turn that is paused is not at its end."""


class Messages:
    """`POST /messages`."""

    name = "messages"
    unsupported = frozenset({"seed", "logprobs"})

    def path(self, request: ChatRequest) -> str:  # noqa: ARG002 - the protocol's signature
        """Return the path below the base URL."""
        return "/messages"

    def headers(self, key: str | None) -> dict[str, str]:
        """Return the headers: the version of the protocol, and the key, where there is one."""
        version = {"anthropic-version": VERSION}
        return {**version, "x-api-key": key} if key else version

    def encode(
        self, model: str, request: ChatRequest, options: WireOptions, *, stream: bool
    ) -> dict[str, Json]:
        """Return the body of a request.

        The limit counts the thinking too, as `max_tokens` does where a request has been shaped for a model; a limit that leaves an
        answer no room beside the thinking's grows by it. A schema is sent where it can be
        closed (`close_schema`): this protocol has no form for the others.
        """
        refuse_unsupported(self, request)
        system, messages = _conversation_of(request.messages)
        thinking = _thinking_of(request)
        limit = request.max_tokens or options.max_tokens_default
        budget = count_of(thinking, "budget_tokens")
        named = {
            "system": system or None,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "stop_sequences": list(request.stop) or None,
            "thinking": thinking,
            "output_config": _output_config(request, options) or None,
        }
        body: dict[str, Json] = {
            "model": model,
            "max_tokens": limit if limit > budget else limit + budget,
            "messages": messages,
        }
        body |= {name: value for name, value in named.items() if value is not None}
        if request.tools is not None:
            body["tools"] = [_tool(tool) for tool in request.tools]
        if request.tool_choice:
            body["tool_choice"] = _tool_choice(request)
        merge_extra(body, request.extra)
        if stream:
            body["stream"] = True
        return body

    def parse(self, body: Json) -> ChatReply:
        """Return the reply that a message holds; its thinking is not the answer."""
        if not isinstance(body, Mapping):
            raise MalformedReplyError(f"it is {type(body).__name__}, not an object")
        usage = _usage_of(body.get("usage"))
        paid = usage if body.get("usage") else None
        if body.get("type") == "error" or body.get("error"):
            raise ProviderFault(error_details(body, default="an error without words"), usage=paid)
        content = body.get("content")
        if not isinstance(content, list):
            raise MalformedReplyError("it has no list of content", usage=paid)
        blocks = [block for block in content if isinstance(block, Mapping)]
        calls = tuple(
            ToolCall(
                name=str(block.get("name") or ""), arguments=json_arguments(block.get("input"))
            )
            for block in blocks
            if block.get("type") == "tool_use"
        )
        text = "".join(
            str(block.get("text") or "") for block in blocks if block.get("type") == "text"
        )
        return ChatReply(
            text=text,
            tool_calls=calls,
            finish_reason=_finish_of(body, has_calls=bool(calls)),
            refusal=_refusal_of(body),
            usage=usage,
        )

    def stream_parser(self) -> StreamParser:
        """Return a reader for one stream."""
        return MessageStream()


class MessageStream:
    """What has come of a streamed message."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._calls: list[_PartialCall] = []
        self._by_index: dict[Any, _PartialCall] = {}
        self._usage: dict[str, Any] = {}
        self._end: dict[str, Any] = {}
        self._is_stopped = False

    @property
    def is_complete(self) -> bool:
        """Whether a reason for the end, or the event of the end, has come."""
        return self._is_stopped or bool(self._end.get("stop_reason"))

    def feed(self, event: ServerEvent) -> Iterator[str | CallPart]:
        """Take an event, and yield what it brings."""
        body = load_event(event)
        if body is None:
            return
        kind = str(body.get("type") or event.name)
        if kind == "error" or body.get("error"):
            details = error_details(body, default="the provider ended the stream with an error")
            raise ProviderFault(details, usage=_usage_of(self._usage) if self._usage else None)
        if kind == "message_start":
            self._take_message(body.get("message"))
        elif kind == "content_block_start":
            yield from self._begin_block(body.get("index"), body.get("content_block"))
        elif kind == "content_block_delta":
            yield from self._take_delta(body.get("index"), body.get("delta"))
        elif kind == "content_block_stop":
            yield from self._end_block(body.get("index"))
        elif kind == "message_delta":
            self._count(body.get("usage"))
            delta = body.get("delta")
            self._end |= delta if isinstance(delta, Mapping) else {}
        elif kind == "message_stop":
            self._is_stopped = True

    def _take_message(self, message: Any) -> None:
        if isinstance(message, Mapping):
            self._count(message.get("usage"))

    def _count(self, usage: Any) -> None:
        """Take the counts of an event: they are of the message so far, and those that are not given stay as they were."""
        if isinstance(usage, Mapping):
            self._usage |= {name: count for name, count in usage.items() if count is not None}

    def _begin_block(self, index: Any, block: Any) -> Iterator[str | CallPart]:
        if not isinstance(block, Mapping):
            return
        if block.get("type") == "text":
            yield from self._take_text(block.get("text"))
        elif block.get("type") == "tool_use":
            call = _PartialCall(len(self._calls), str(block.get("name") or ""), block.get("input"))
            self._calls.append(call)
            self._by_index[index if isinstance(index, int) else None] = call
            yield CallPart(place=call.place, name=call.name)

    def _take_delta(self, index: Any, delta: Any) -> Iterator[str | CallPart]:
        if not isinstance(delta, Mapping):
            return
        if delta.get("type") == "text_delta":
            yield from self._take_text(delta.get("text"))
        elif delta.get("type") == "input_json_delta":
            call = self._by_index.get(index if isinstance(index, int) else None)
            piece = delta.get("partial_json")
            if call and isinstance(piece, str) and piece:
                call.arguments += piece
                yield CallPart(place=call.place, arguments=piece)

    def _end_block(self, index: Any) -> Iterator[CallPart]:
        """Yield the arguments of a call that came with its beginning, or that has none."""
        call = self._by_index.pop(index if isinstance(index, int) else None, None)
        if call and not call.arguments:
            call.arguments = json_arguments(call.initial or {})
            yield CallPart(place=call.place, arguments=call.arguments)

    def _take_text(self, piece: Any) -> Iterator[str]:
        if isinstance(piece, str) and piece:
            self._text.append(piece)
            yield piece

    def result(self) -> ChatReply:
        """Return the whole reply."""
        calls = tuple(
            ToolCall(name=call.name, arguments=call.arguments or json_arguments(call.initial or {}))
            for call in self._calls
        )
        return ChatReply(
            text="".join(self._text),
            tool_calls=calls,
            finish_reason=_finish_of(self._end, has_calls=bool(calls)),
            refusal=_refusal_of(self._end),
            usage=_usage_of(self._usage),
        )


class _PartialCall:
    """A call that is being written; `initial` is what its beginning says of its arguments."""

    def __init__(self, place: int, name: str, initial: Any) -> None:
        self.place, self.name, self.initial = place, name, initial
        self.arguments = ""


def _conversation_of(messages: list[dict[str, Json]]) -> tuple[str, list[Json]]:
    """Return the system's text, and the messages, in which user and assistant take turns.

    There is always a turn: where nobody but the system says anything, it is the user who says it.
    """
    systems: list[str] = []
    turns: list[dict[str, Any]] = []
    for message in with_unique_call_ids(messages):
        role = message.get("role")
        if role in {"system", "developer"}:
            systems.append(plain_text(message))
            continue
        speaker = "user" if role == "tool" else role
        blocks = _blocks_of(message)
        if turns and turns[-1]["role"] == speaker:
            turns[-1]["content"] += blocks
        elif blocks or speaker == "user":  # an empty input is the provider's to refuse
            turns.append({"role": speaker, "content": blocks})
    system = "\n\n".join(filter(None, systems))
    if not turns:
        return "", [{"role": "user", "content": system}]
    return system, [_shortened(turn) for turn in turns]


def _shortened(turn: dict[str, Any]) -> Json:
    """Return a turn with its content as a text, where it is one."""
    content = turn["content"] or [{"type": "text", "text": ""}]
    if len(content) == 1 and content[0]["type"] == "text":
        return {**turn, "content": content[0]["text"]}
    return turn


def _blocks_of(message: Mapping[str, Any]) -> list[dict[str, Json]]:
    role = message.get("role")
    if role == "tool":
        result: dict[str, Json] = {
            "type": "tool_result",
            "tool_use_id": message["tool_call_id"],
            "content": _result_of(message),
        }
        return [result]
    if role == "user":
        return [_block_of(part) for part in read_parts(message)]
    if role == "assistant":
        text = plain_text(message)
        spoken: list[dict[str, Json]] = [{"type": "text", "text": text}] if text.strip() else []
        return spoken + [_tool_use(call) for call in message.get("tool_calls") or ()]
    raise UsageError(
        "the role of a message must be 'system', 'developer', 'user', 'assistant' or 'tool', "
        f"got {role!r}"
    )


def _result_of(message: Mapping[str, Any]) -> Json:
    parts = read_parts(message)
    if all(isinstance(part, TextPart) for part in parts):
        return plain_text(message)
    return [_block_of(part) for part in parts]


def _block_of(part: TextPart | ImagePart) -> dict[str, Json]:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    picture = DATA_URL.fullmatch(part.url)
    if picture:
        source = {
            "type": "base64",
            "media_type": picture["type"],
            "data": picture["data"],
        }
    elif part.url.startswith("data:"):
        raise UsageError(
            "a picture must be a JPEG, PNG, GIF or WebP in base64 in protocol 'messages', "
            f"got {part.url[:40]!r}"
        )
    else:
        source = {"type": "url", "url": part.url}
    return {"type": "image", "source": source}


def _tool_use(call: Mapping[str, Any]) -> dict[str, Json]:
    """Return a call that a model made; arguments that are no object stand under a name, as this protocol takes objects alone."""
    function = call.get("function") or {}
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        with suppress(ValueError):  # a call that is handed back for repair may be broken
            arguments = orjson.loads(arguments or "{}")
    if not isinstance(arguments, dict):
        arguments = {"arguments": arguments}
    name = str(function.get("name") or "")
    return {"type": "tool_use", "id": call["id"], "name": name, "input": arguments}


def _tool(tool: Mapping[str, Any]) -> Json:
    function = tool.get("function")
    if not isinstance(function, Mapping):
        return dict(tool)  # one of the provider's own
    described = {"description": function["description"]} if function.get("description") else {}
    schema = {"type": "object", **(function.get("parameters") or {})}
    return {"name": function["name"], **described, "input_schema": schema}


def _tool_choice(request: ChatRequest) -> Json:
    names = {tool["function"]["name"] for tool in request.tools or () if "function" in tool}
    if request.tool_choice == "required" and "required" not in names:
        return {"type": "any"}
    return {"type": "tool", "name": request.tool_choice}


def _thinking_of(request: ChatRequest) -> dict[str, Json] | None:
    """Return how a model is to think; None leaves it to the model.

    Raises: UsageError if a budget is too small, or stands beside the effort `none`.
    """
    budget = request.thinking_tokens
    if budget is None:
        return {"type": "disabled"} if request.effort == "none" else None
    if budget >= MIN_THINKING_TOKENS and request.effort != "none":
        return {"type": "enabled", "budget_tokens": budget}
    if "thinking_tokens" in request.optional:
        return {"type": "disabled"} if request.effort == "none" else None
    raise UsageError(
        f"thinking_tokens must be at least {MIN_THINKING_TOKENS} in protocol 'messages', and unset where effort "
        f"is 'none', got thinking_tokens={budget!r} with effort={request.effort!r}"
    )


def _output_config(request: ChatRequest, options: WireOptions) -> dict[str, Json]:
    """Return the effort and the form that an answer must have.

    Raises: UsageError if this protocol has not got the effort.
    """
    config: dict[str, Json] = {}
    if request.effort in EFFORTS:
        config["effort"] = request.effort
    elif request.effort not in {None, "none"} and "effort" not in request.optional:
        raise UsageError(
            "effort must be 'none', 'low', 'medium', 'high', 'xhigh' or 'max' in protocol 'messages', "
            f"got {request.effort!r}"
        )
    if request.json_schema and options.structured in {"strict", "schema"}:
        schema = close_schema(request.json_schema)
        if schema is not None:
            config["format"] = {"type": "json_schema", "schema": schema}
    return config


def _finish_of(message: Mapping[str, Any], *, has_calls: bool) -> str:
    reason = message.get("stop_reason")
    if not reason:
        return "tool_calls" if has_calls else "stop"
    return FINISH_REASONS.get(str(reason), str(reason))


def _refusal_of(message: Mapping[str, Any]) -> str | None:
    """Return why a message was refused; the provider's words where it gives some."""
    if message.get("stop_reason") != "refusal":
        return None
    details = message.get("stop_details")
    details = details if isinstance(details, Mapping) else {}
    return str(details.get("explanation") or details.get("category") or "refused by the provider")


def _usage_of(used: Any) -> Usage:
    """Return the usage; the prompt's tokens are all of them, those read from and written to the cache too."""
    read = count_of(used, "cache_read_input_tokens")
    written = count_of(used, "cache_creation_input_tokens")
    return Usage(
        prompt_tokens=count_of(used, "input_tokens") + read + written,
        completion_tokens=count_of(used, "output_tokens"),
        cached_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=count_of(used, "output_tokens_details", "thinking_tokens"),
    )
