"""OpenAI's Responses: the protocol of models that think and call tools. A request stands alone; nothing is stored at the provider."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

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
    text_of_parts,
)
from ratchet.models.schema import is_strict_schema
from ratchet.models.sse import ServerEvent

__all__ = ["Responses"]

FINISH_REASONS = {"max_output_tokens": "length", "content_filter": "content_filter"}
"""What an incomplete response says of its end, in the words of chat completions."""
LAST_EVENTS = {"response.completed", "response.incomplete"}


class Responses:
    """`POST /responses`."""

    name = "responses"
    unsupported = frozenset({"seed", "stop"})

    def path(self, request: ChatRequest) -> str:  # noqa: ARG002 - the protocol's signature
        """Return the path below the base URL."""
        return "/responses"

    def headers(self, key: str | None) -> dict[str, str]:
        """Return the headers: a bearer token, where there is a key."""
        return {"authorization": f"Bearer {key}"} if key else {}

    def encode(
        self, model: str, request: ChatRequest, options: WireOptions, *, stream: bool
    ) -> dict[str, Json]:
        """Return the body of a request; `verbosity`, which chat completions has at the top, goes into `text`."""
        refuse_unsupported(self, request)
        instructions, items = _input_of(request.messages)
        reasoning: Json = {"effort": request.effort} if request.effort else None
        named = {
            "instructions": instructions or None,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "max_output_tokens": request.max_tokens,
            "reasoning": reasoning,
        }
        body: dict[str, Json] = {"model": model, "input": items, "store": False}
        body |= {name: value for name, value in named.items() if value is not None}
        if request.tools is not None:
            body["tools"] = [_tool(tool, options) for tool in request.tools]
        if request.tool_choice:
            body["tool_choice"] = _tool_choice(request)
        if request.json_schema and (form := _text_format(request.json_schema, options)):
            body["text"] = {"format": form}
        if request.logprobs is not None:
            body["include"] = ["message.output_text.logprobs"]
            if request.logprobs:
                body["top_logprobs"] = request.logprobs
        extra = dict(request.extra)
        if "verbosity" in extra:
            merge_extra(body, {"text": {"verbosity": extra.pop("verbosity")}})
        merge_extra(body, extra)
        if stream:
            body["stream"] = True
        return body

    def parse(self, body: Json) -> ChatReply:
        """Return the reply that a response holds; its commentary and its reasoning are not the answer."""
        if not isinstance(body, Mapping):
            raise MalformedReplyError(f"it is {type(body).__name__}, not an object")
        usage, paid = _usage_of(body), _paid(body)
        _raise_fault(body, paid)
        output = body.get("output")
        if not isinstance(output, list):
            raise MalformedReplyError("it has no output", usage=paid)
        if body.get("status") in {"queued", "in_progress"}:
            raise MalformedReplyError(f"its status is {body['status']!r}", usage=paid)
        try:
            contents = [item for item in output if _is_answer(item)]
            calls = tuple(map(_call_of, filter(_is_call, output)))
            text = "".join(text_of_parts(item.get("content")) for item in contents)
            refusal = "".join(map(_refusal_of, contents))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise MalformedReplyError(repr(error), usage=paid) from error
        return ChatReply(
            text=text,
            tool_calls=calls,
            finish_reason=_finish_of(body, has_calls=bool(calls)),
            refusal=refusal or None,
            logprobs=[place for item in contents for place in _logprobs_of(item)] or None,
            usage=usage,
        )

    def stream_parser(self) -> StreamParser:
        """Return a reader for one stream."""
        return ResponseStream()


@dataclass(eq=False, slots=True)
class _PartialCall:
    """A call that is being written."""

    place: int
    name: str = ""
    arguments: str = ""


class ResponseStream:
    """What has come of a streamed response."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._refusal: list[str] = []
        self._logprobs: list[dict[str, Json]] = []
        self._calls: dict[Any, _PartialCall] = {}
        self._commentary: set[Any] = set()
        self._last: Mapping[str, Any] | None = None

    @property
    def is_complete(self) -> bool:
        """Whether the event has come that ends a response."""
        return self._last is not None

    def feed(self, event: ServerEvent) -> Iterator[str | CallPart]:
        """Take an event, and yield what it brings."""
        body = load_event(event)
        if body is None:
            return
        kind = str(body.get("type") or event.name)
        if kind in {"error", "response.failed"} or (body.get("error") and "response" not in body):
            _raise_failure(body)
        place = _place_in(body)
        if kind == "response.output_text.delta" and place not in self._commentary:
            self._logprobs += _dicts_in(body.get("logprobs"))
            yield from self._take_text(body.get("delta"))
        elif kind == "response.refusal.delta":
            self._refusal.append(str(body.get("delta") or ""))
        elif kind == "response.function_call_arguments.delta":
            yield from self._take_arguments(place, body.get("delta"))
        elif kind == "response.function_call_arguments.done":
            yield from self._complete_arguments(place, body.get("arguments"))
        elif kind in {"response.output_item.added", "response.output_item.done"}:
            yield from self._take_item(place, body.get("item"), is_whole=kind.endswith("done"))
        elif kind in LAST_EVENTS:
            yield from self._take_last(body.get("response"))

    def _take_text(self, piece: Any) -> Iterator[str]:
        if isinstance(piece, str) and piece:
            self._text.append(piece)
            yield piece

    def _take_item(self, place: Any, item: Any, *, is_whole: bool) -> Iterator[CallPart]:
        """Take the beginning or the end of an item: a call's name comes with it, and what kind of message it is."""
        if not isinstance(item, Mapping):
            return
        if item.get("type") == "message" and not _is_answer(item):
            self._commentary.add(place)
        if not _is_call(item):
            return
        if place not in self._calls:
            call = _PartialCall(len(self._calls), str(item.get("name") or ""))
            self._calls[place] = call
            yield CallPart(place=call.place, name=call.name)
        if is_whole:
            yield from self._complete_arguments(place, item.get("arguments"))
        elif item.get("arguments"):
            yield from self._take_arguments(place, item["arguments"])

    def _take_arguments(self, place: Any, piece: Any) -> Iterator[CallPart]:
        call = self._calls.get(place)
        if call and piece:
            piece = json_arguments(piece)
            call.arguments += piece
            yield CallPart(place=call.place, arguments=piece)

    def _complete_arguments(self, place: Any, whole: Any) -> Iterator[CallPart]:
        """Take a call's arguments as a whole, and yield what has not come in parts."""
        call = self._calls.get(place)
        arguments = json_arguments(whole) if whole else "{}"
        if call and arguments.startswith(call.arguments):
            yield from self._take_arguments(place, arguments[len(call.arguments) :])

    def _take_last(self, response: Any) -> Iterator[str | CallPart]:
        """Take the whole response, and yield what of it has not come in parts: some servers send it alone."""
        response = response if isinstance(response, Mapping) else {}
        _raise_fault(response, _paid(response))
        self._last = response
        output = response.get("output")
        output = output if isinstance(output, list) else []
        for place, item in enumerate(output):
            yield from self._take_item(place, item, is_whole=True)
        try:
            reply = Responses().parse({**response, "status": "completed", "output": output})
        except MalformedReplyError:
            return
        if not self._text:
            yield from self._take_text(reply.text)
        if not self._refusal and reply.refusal:
            self._refusal.append(reply.refusal)
        self._logprobs = self._logprobs or reply.logprobs or []

    def result(self) -> ChatReply:
        """Return the whole reply."""
        ordered = sorted(self._calls.values(), key=lambda call: call.place)
        calls = tuple(
            ToolCall(name=call.name, arguments=call.arguments or "{}") for call in ordered
        )
        return ChatReply(
            text="".join(self._text),
            tool_calls=calls,
            finish_reason=_finish_of(self._last or {}, has_calls=bool(calls)),
            refusal="".join(self._refusal) or None,
            logprobs=self._logprobs or None,
            usage=_usage_of(self._last or {}),
        )


def _input_of(messages: list[dict[str, Json]]) -> tuple[str, list[Json]]:
    """Return the instructions and the items of a conversation; what a system says later stays in its place."""
    instructions = ""
    if len(messages) > 1 and messages[0].get("role") in {"system", "developer"}:
        instructions, messages = plain_text(messages[0]), messages[1:]
    return instructions, [
        item for message in with_unique_call_ids(messages) for item in _items_of(message)
    ]


def _items_of(message: Mapping[str, Any]) -> Iterator[Json]:
    role = message.get("role")
    if role == "tool":
        output = plain_text(message)
        yield {
            "type": "function_call_output",
            "call_id": message["tool_call_id"],
            "output": output,
        }
    elif role == "assistant":
        if text := plain_text(message):
            yield {"role": "assistant", "content": text}
        for call in message.get("tool_calls") or ():
            function = call.get("function") or {}
            yield {
                "type": "function_call",
                "call_id": call["id"],
                "name": str(function.get("name") or ""),
                "arguments": json_arguments(function.get("arguments")),
            }
    elif role in {"user", "system", "developer"}:
        yield {"role": role, "content": _content_of(message)}
    else:
        raise UsageError(
            "the role of a message must be 'system', 'developer', 'user', 'assistant' or 'tool', "
            f"got {role!r}"
        )


def _content_of(message: Mapping[str, Any]) -> Json:
    parts = read_parts(message)
    if all(isinstance(part, TextPart) for part in parts) and len(parts) <= 1:
        return plain_text(message)
    return [_content_part(part) for part in parts]


def _content_part(part: TextPart | ImagePart) -> Json:
    if isinstance(part, TextPart):
        return {"type": "input_text", "text": part.text}
    return {"type": "input_image", "image_url": part.url, "detail": part.detail}


def _tool(tool: Mapping[str, Any], options: WireOptions) -> Json:
    """Return a tool in this protocol's flat form; its schema counts as strict here unless it is said not to be."""
    function = tool.get("function")
    if not isinstance(function, Mapping):
        return dict(tool)  # one of the provider's own
    parameters = function.get("parameters") or {"type": "object", "properties": {}}
    strict = function.get("strict")
    if strict is None:
        strict = options.structured == "strict" and is_strict_schema(parameters)
    described = {"description": function["description"]} if function.get("description") else {}
    return {
        "type": "function",
        "name": function["name"],
        **described,
        "parameters": parameters,
        "strict": strict,
    }


def _tool_choice(request: ChatRequest) -> Json:
    names = {tool["function"]["name"] for tool in request.tools or () if "function" in tool}
    if request.tool_choice == "required" and "required" not in names:
        return "required"
    return {"type": "function", "name": request.tool_choice}


def _text_format(schema: dict[str, Json], options: WireOptions) -> dict[str, Json] | None:
    if options.structured == "none":
        return None
    if options.structured == "object":
        return {"type": "json_object"}
    strict = options.structured == "strict" and is_strict_schema(schema)
    return {"type": "json_schema", "name": "answer", "strict": strict, "schema": schema}


def _raise_fault(response: Mapping[str, Any], paid: Usage | None) -> None:
    """Raise: ProviderFault if a response failed."""
    if response.get("error") or response.get("status") in {"failed", "cancelled"}:
        default = f"the response's status is {response.get('status')!r}"
        raise ProviderFault(error_details(response, default=default), usage=paid)


def _raise_failure(body: Mapping[str, Any]) -> None:
    """Raise: ProviderFault, by an event that says that a response failed."""
    response = body.get("response")
    failed = response if isinstance(response, Mapping) else body
    details = error_details(failed, default="the provider ended the stream with an error")
    raise ProviderFault(details, usage=_paid(failed))


def _place_in(body: Mapping[str, Any]) -> Any:
    """Return the place of the item that an event is about; by its id where no place is given."""
    place = body.get("output_index")
    return place if isinstance(place, int) else str(body.get("item_id"))


def _is_call(item: Any) -> bool:
    return isinstance(item, Mapping) and item.get("type") == "function_call"


def _is_answer(item: Any) -> bool:
    is_message = isinstance(item, Mapping) and item.get("type") == "message"
    return is_message and item.get("phase") != "commentary"


def _call_of(item: Mapping[str, Any]) -> ToolCall:
    if not isinstance(item["name"], str):
        raise TypeError("a call's name must be text")
    return ToolCall(name=item["name"], arguments=json_arguments(item.get("arguments") or "{}"))


def _refusal_of(item: Mapping[str, Any]) -> str:
    parts = _dicts_in(item.get("content"))
    return "".join(
        str(part.get("refusal") or "") for part in parts if part.get("type") == "refusal"
    )


def _logprobs_of(item: Mapping[str, Any]) -> list[dict[str, Json]]:
    return [
        place
        for part in _dicts_in(item.get("content"))
        for place in _dicts_in(part.get("logprobs"))
    ]


def _dicts_in(values: Any) -> list[dict[str, Any]]:
    return (
        [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []
    )


def _finish_of(response: Mapping[str, Any], *, has_calls: bool) -> str:
    if response.get("status") == "incomplete":
        details = response.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, Mapping) else None
        return FINISH_REASONS.get(str(reason), "length")
    return "tool_calls" if has_calls else "stop"


def _paid(response: Mapping[str, Any]) -> Usage | None:
    return _usage_of(response) if response.get("usage") else None


def _usage_of(response: Mapping[str, Any]) -> Usage:
    used = response.get("usage")
    return Usage(
        prompt_tokens=count_of(used, "input_tokens"),
        completion_tokens=count_of(used, "output_tokens"),
        cached_tokens=count_of(used, "input_tokens_details", "cached_tokens"),
        cache_write_tokens=count_of(used, "input_tokens_details", "cache_write_tokens"),
        reasoning_tokens=count_of(used, "output_tokens_details", "reasoning_tokens"),
    )
