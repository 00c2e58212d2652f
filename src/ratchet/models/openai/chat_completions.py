"""OpenAI's chat completions, and completions of plain texts: what most endpoints speak, each in its own way."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from ratchet.core import Json, Usage
from ratchet.models.chat import CallPart, ChatReply, ChatRequest, ToolCall, calls_in
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
    text_of_parts,
)
from ratchet.models.schema import is_strict_schema
from ratchet.models.sse import ServerEvent

__all__ = ["ChatCompletions"]

DONE = b"[DONE]"
MESSAGE_FIELDS = frozenset(("role", "content", "refusal", "tool_calls", "function_call"))
"""Of a message, what a reply has a field for."""
BODY_FIELDS = ("service_tier", "system_fingerprint", "moderation")
"""Of a completion, what goes back to who asked as it came."""


class ChatCompletions:
    """`POST /chat/completions`, and `/completions` for a text that goes on as it is."""

    name = "chat"
    unsupported: frozenset[str] = frozenset()

    def path(self, request: ChatRequest) -> str:
        """Return the path below the base URL."""
        return "/chat/completions" if request.raw is None else "/completions"

    def headers(self, key: str | None) -> dict[str, str]:
        """Return the headers: a bearer token, where there is a key."""
        return {"authorization": f"Bearer {key}"} if key else {}

    def encode(
        self, model: str, request: ChatRequest, options: WireOptions, *, stream: bool
    ) -> dict[str, Json]:
        """Return the body of a request."""
        is_chat = request.raw is None
        body: dict[str, Json] = {"model": model}
        if is_chat:
            body["messages"] = request.messages
        else:
            body["prompt"] = request.raw
        named = {
            "temperature": request.temperature,
            "top_p": request.top_p,
            options.max_tokens_name if is_chat else "max_tokens": request.max_tokens,
            "seed": request.seed,
            "reasoning_effort": request.effort,
            "stop": list(request.stop) or None,
            "tools": request.tools,
        }
        body |= {name: value for name, value in named.items() if value is not None}
        if request.logprobs is not None:
            body["logprobs"] = True if is_chat else request.logprobs
            if is_chat and request.logprobs:
                body["top_logprobs"] = request.logprobs
        if request.tool_choice:
            body["tool_choice"] = _tool_choice(request)
        if request.json_schema and (form := _response_format(request.json_schema, options)):
            body["response_format"] = form
        merge_extra(body, request.extra)
        if stream:
            body["stream"] = True
            if options.stream_usage:
                body["stream_options"] = {"include_usage": True}
        return body

    def parse(self, body: Json) -> ChatReply:
        """Return the reply of a body's first choice."""
        usage = _usage_in(body)
        choice = _first_choice(body, usage)
        try:
            message = choice["message"] if "message" in choice else {"content": choice["text"]}
            text = text_of_parts(message.get("content"))
            calls = _calls_of(message)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise MalformedReplyError(repr(error), usage=usage) from error
        refusal = message.get("refusal")
        return ChatReply(
            text=text,
            tool_calls=calls,
            finish_reason=_finish_of(choice) or "stop",
            refusal=str(refusal) if refusal else None,
            logprobs=_logprobs_of(choice),
            usage=usage,
            beside=_beside(body, choice, message),
        )

    def stream_parser(self) -> StreamParser:
        """Return a reader for one stream."""
        return ChatStream()


class ChatStream:
    """What has come of a streamed chat completion."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._refusal: list[str] = []
        self._finish: str | None = None
        self._is_done = False
        self._usage = Usage()
        self._logprobs: list[dict[str, Json]] = []
        self._calls: list[_PartialCall] = []
        self._by_index: dict[Any, _PartialCall] = {}

    @property
    def is_complete(self) -> bool:
        """Whether a reason for the end, or the mark of the end, has come."""
        return self._finish is not None or self._is_done

    def feed(self, event: ServerEvent) -> Iterator[str | CallPart]:
        """Take an event, and yield what it brings."""
        if event.data.strip() == DONE:
            self._is_done = True
            yield from self._complete_calls()
            return
        body = load_event(event)
        if body is None:
            return
        if used := body.get("usage"):
            self._usage = _usage_of(used)
        if body.get("error") or event.name == "error":
            default = event.data[:200].decode("utf-8", "replace")
            raise ProviderFault(error_details(body, default=default), usage=self._paid)
        choices = body.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            # a request of ours asks for one choice
            if isinstance(choice, Mapping) and not choice.get("index"):
                yield from self._take(choice)

    @property
    def _paid(self) -> Usage | None:
        return self._usage if self._usage != Usage() else None

    def _take(self, choice: Mapping[str, Any]) -> Iterator[str | CallPart]:
        if _finish_of(choice) == "error" or choice.get("error"):
            details = error_details(choice, default="the provider ended with an error")
            raise ProviderFault(details, usage=self._paid)
        delta = choice.get("delta")
        delta = delta if isinstance(delta, Mapping) else {}
        self._finish = _finish_of(choice) or self._finish
        self._logprobs += _logprobs_of(choice) or ()
        if delta.get("refusal"):
            self._refusal.append(str(delta["refusal"]))
        calls = delta.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            if isinstance(call, Mapping) and (part := self._take_call(call)):
                yield part
        if isinstance(delta.get("function_call"), Mapping):
            part = self._take_call({"function": delta["function_call"]})
            yield from (part,) if part else ()
        try:
            piece = text_of_parts(delta.get("content", choice.get("text")))
        except TypeError:
            piece = ""
        if piece:
            self._text.append(piece)
            yield piece
        if self._finish:
            yield from self._complete_calls()

    def _complete_calls(self) -> Iterator[CallPart]:
        """Yield the arguments of calls that have none, as an empty object: what reads the parts reads JSON."""
        for place, call in enumerate(self._calls):
            if not call.arguments:
                call.arguments = "{}"
                yield CallPart(place=place, arguments=call.arguments)

    def _take_call(self, part: Mapping[str, Any]) -> CallPart | None:
        """Take a part of a call, and return what it brings."""
        function = part.get("function")
        function = function if isinstance(function, Mapping) else {}
        name, arguments = str(function.get("name") or ""), _partial(function.get("arguments"))
        index = part["index"] if isinstance(part.get("index"), int) else None
        call = self._call_of(part.get("id") or None, index, name)
        if call is None:
            call = _PartialCall()
            self._calls.append(call)
        call.id = call.id or part.get("id") or None
        self._by_index[index] = call
        new_name = "" if call.name == name else name
        call.name = call.name or name
        call.arguments += arguments
        if not new_name and not arguments:
            return None
        place = next(place for place, known in enumerate(self._calls) if known is call)
        return CallPart(place=place, name=new_name, arguments=arguments)

    def _call_of(self, call_id: Any, index: Any, name: str) -> "_PartialCall | None":
        """Return the call that a part belongs to, None where it begins a new one.

        A new id begins a new call, and so does another name, whatever the index says: some servers give every call the index
        0, or none. A name that is repeated begins one where the arguments before it are whole.
        """
        if call_id is not None:
            known = next((call for call in self._calls if call.id == call_id), None)
            if known:
                return known
        begun = self._by_index.get(index)
        if begun is None and index is None and call_id is None and not name and self._calls:
            begun = self._calls[-1]  # what goes on without an index goes on with the last
        if begun is None or (call_id is not None and begun.id is not None):
            return None
        if name and begun.name and (name != begun.name or begun.is_whole):
            return None
        return begun

    def result(self) -> ChatReply:
        """Return the whole reply."""
        calls = tuple(
            ToolCall(name=call.name, arguments=call.arguments or "{}") for call in self._calls
        )
        return ChatReply(
            text="".join(self._text),
            tool_calls=calls,
            finish_reason=self._finish or ("tool_calls" if calls else "stop"),
            refusal="".join(self._refusal) or None,
            logprobs=self._logprobs or None,
            usage=self._usage,
        )


@dataclass(eq=False, slots=True)
class _PartialCall:
    """A call that is being written."""

    id: Any = None
    name: str = ""
    arguments: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether the arguments are JSON as they stand."""
        try:
            orjson.loads(self.arguments)
        except ValueError:
            return False
        return True


def _partial(arguments: Any) -> str:
    return "" if arguments is None else json_arguments(arguments)


def _calls_of(message: Mapping[str, Any]) -> tuple[ToolCall, ...]:
    """Return the calls of a message, the one call of the older form too."""
    asked = message.get("tool_calls") or ()
    if not asked and isinstance(message.get("function_call"), Mapping):
        asked = ({"function": message["function_call"]},)
    return calls_in(
        {
            "function": {
                **call["function"],
                "arguments": json_arguments(call["function"].get("arguments")),
            }
        }
        for call in asked
        if isinstance(call.get("function"), Mapping)
    )


def _first_choice(body: Any, usage: Usage) -> Mapping[str, Any]:
    if not isinstance(body, Mapping):
        raise MalformedReplyError(f"it is {type(body).__name__}, not an object")
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    paid = usage if body.get("usage") else None
    if isinstance(choice, Mapping) and (choice.get("error") or _finish_of(choice) == "error"):
        raise ProviderFault(
            error_details(choice, default="the provider ended with an error"), usage=paid
        )
    if body.get("error") and choice is None:
        raise ProviderFault(error_details(body, default="an error without a message"), usage=paid)
    if not isinstance(choice, Mapping):
        raise MalformedReplyError("it has no choices", usage=paid)
    return choice


def _finish_of(choice: Mapping[str, Any]) -> str | None:
    reason = choice.get("finish_reason")
    return str(reason) if reason else None


def _logprobs_of(choice: Mapping[str, Any]) -> list[dict[str, Json]] | None:
    logprobs = choice.get("logprobs")
    content = logprobs.get("content") if isinstance(logprobs, Mapping) else None
    return content if isinstance(content, list) else None


def _beside(
    body: Mapping[str, Any], choice: Mapping[str, Any], message: Mapping[str, Any]
) -> dict[str, Json]:
    """Return what a completion says beyond the fields of a reply; empty for most."""
    beside: dict[str, Json] = {}
    if more := {name: message[name] for name in message if name not in MESSAGE_FIELDS}:
        beside["message"] = more
    if more := {name: body[name] for name in BODY_FIELDS if body.get(name) is not None}:
        beside["body"] = more
    logprobs = choice.get("logprobs")
    if isinstance(logprobs, Mapping) and logprobs.get("refusal"):
        beside["refusal_logprobs"] = logprobs["refusal"]
    return beside


def _usage_in(body: Any) -> Usage:
    used = body.get("usage") if isinstance(body, Mapping) else None
    return _usage_of(used)


def _usage_of(used: Any) -> Usage:
    return Usage(
        prompt_tokens=count_of(used, "prompt_tokens"),
        completion_tokens=count_of(used, "completion_tokens"),
        cached_tokens=count_of(used, "prompt_tokens_details", "cached_tokens"),
        cache_write_tokens=count_of(used, "prompt_tokens_details", "cache_write_tokens"),
        reasoning_tokens=count_of(used, "completion_tokens_details", "reasoning_tokens"),
    )


def _tool_choice(request: ChatRequest) -> Json:
    names = {tool["function"]["name"] for tool in request.tools or () if "function" in tool}
    if request.tool_choice == "required" and "required" not in names:
        return "required"
    return {"type": "function", "function": {"name": request.tool_choice}}


def _response_format(schema: dict[str, Json], options: WireOptions) -> dict[str, Json] | None:
    if options.structured == "none":
        return None
    if options.structured == "object":
        return {"type": "json_object"}
    strict = options.structured == "strict" and is_strict_schema(schema)
    return {
        "type": "json_schema",
        "json_schema": {"name": "answer", "strict": strict, "schema": schema},
    }
