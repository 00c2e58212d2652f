"""What a protocol is: how a request is written for an endpoint, and how its replies, streams and errors are read.

A protocol knows no sockets, no retries, no prices and no capabilities: `EndpointModel` sends what it writes and hands it what comes
back. Each protocol is one module: `openai/chat_completions.py`, `openai/responses.py`, `anthropic/messages.py`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import orjson

from ratchet.core import Json, Usage
from ratchet.core.errors import ParameterError, UsageError
from ratchet.models.chat import CallPart, ChatReply, ChatRequest
from ratchet.models.sse import ServerEvent

__all__ = [
    "MAX_TOKENS_DEFAULT",
    "ErrorDetails",
    "MalformedReplyError",
    "ProviderFault",
    "StreamParser",
    "StructuredOutput",
    "WireOptions",
    "WireProtocol",
    "count_of",
    "error_details",
    "json_arguments",
    "load_event",
    "merge_extra",
    "parse_error_body",
    "refuse_unsupported",
    "text_of_parts",
]

MAX_MESSAGE = 500
"""Characters of an error's message that are shown."""
MAX_TOKENS_DEFAULT = 8192
StructuredOutput = Literal["strict", "schema", "object", "none"]
"""How an endpoint can be made to answer in JSON: by a schema that it promises to follow, by a schema, as any object, not at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WireOptions:
    """What is known of the model, as far as it decides how a request is written."""

    structured: StructuredOutput = "strict"
    max_tokens_name: str = "max_tokens"
    stream_usage: bool = True
    """Whether the usage may be asked for at the end of a stream."""
    max_tokens_default: int = MAX_TOKENS_DEFAULT
    """For protocols that need a limit, where the request names none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorDetails:
    """What an endpoint says of an error."""

    message: str
    code: str | None = None
    """A word of the endpoint's, such as `context_length_exceeded`."""
    param: str | None = None
    """The parameter that it is about."""
    kind: str | None = None
    """The endpoint's class of errors, such as `invalid_request_error`."""


class MalformedReplyError(ValueError):
    """A body that is no reply of this protocol; `usage` is what it says was used, as far as that can be read."""

    def __init__(self, message: str, *, usage: Usage | None = None) -> None:
        super().__init__(message)
        self.usage = usage


class ProviderFault(Exception):  # noqa: N818 - a value that is handed on, told as a ReplyError
    """An error that came inside a good status: the provider failed, and nothing was answered."""

    def __init__(self, details: ErrorDetails, *, usage: Usage | None = None) -> None:
        super().__init__(details.message)
        self.details, self.usage = details, usage


class StreamParser(Protocol):
    """Reads one reply as it comes."""

    @property
    def is_complete(self) -> bool:
        """Whether the reply has come to its end."""
        ...

    def feed(self, event: ServerEvent) -> Iterator[str | CallPart]:
        """Take an event, and yield what it brings of the text and of the calls.

        An event that is none of this protocol's is passed over.

        Raises: ProviderFault if the event is an error.
        """
        ...

    def result(self) -> ChatReply:
        """Return the whole reply, without its cost and latency."""
        ...


class WireProtocol(Protocol):
    """How one kind of endpoint is spoken to."""

    name: str
    unsupported: frozenset[str]
    """The fields of a request that it has no parameter for: left out where they are optional, refused elsewhere."""

    def path(self, request: ChatRequest) -> str:
        """Return what follows the base URL, from the first slash on."""
        ...

    def headers(self, key: str | None) -> dict[str, str]:
        """Return the headers of every request."""
        ...

    def encode(
        self, model: str, request: ChatRequest, options: WireOptions, *, stream: bool
    ) -> dict[str, Json]:
        """Return the body of a request; what the request leaves unset is not in it.

        Raises: UsageError if the protocol cannot say what is asked.
        """
        ...

    def parse(self, body: Json) -> ChatReply:
        """Return the reply that a body holds, without its cost and latency.

        Raises: MalformedReplyError if it holds none; ProviderFault if it holds an error.
        """
        ...

    def stream_parser(self) -> StreamParser:
        """Return a reader for one stream."""
        ...


def parse_error_body(content: bytes) -> ErrorDetails:
    """Return what the body of a refused request says, whatever its shape; the beginning of the body where it says nothing."""
    beginning = content[:200].decode("utf-8", "replace").strip() or "no message"
    try:
        body = orjson.loads(content.removeprefix(b"\xef\xbb\xbf"))
    except (ValueError, RecursionError):
        return ErrorDetails(message=beginning)
    return error_details(body, default=beginning)


def error_details(body: Any, *, default: str) -> ErrorDetails:
    """Return what an error object says: OpenAI's and Anthropic's shape, `detail` and `message` at the top, or a list of one."""
    if isinstance(body, list) and body:
        body = body[0]
    if not isinstance(body, Mapping):
        return ErrorDetails(message=default)
    error = body.get("error")
    inner: Mapping[str, Any] = error if isinstance(error, Mapping) else body
    message = error if isinstance(error, str) else inner.get("message") or inner.get("detail")
    param = _word(inner.get("param"))
    if isinstance(message, list) and message and isinstance(message[0], Mapping):
        message, param = _first_problem(message[0], param)
    if isinstance(message, list | dict):
        message = orjson.dumps(message).decode()
    return ErrorDetails(
        message=str(message or default)[:MAX_MESSAGE],
        code=_word(inner.get("code")),
        param=param,
        kind=_word(inner.get("type")),
    )


def _first_problem(problem: Mapping[str, Any], param: str | None) -> tuple[Any, str | None]:
    """Return the message of a problem in FastAPI's shape, and the parameter that it is about."""
    place = problem.get("loc")
    names = [str(name) for name in place if name != "body"] if isinstance(place, list) else []
    return problem.get("msg") or dict(problem), param or ".".join(names)[:100] or None


def _word(value: Any) -> str | None:
    return (
        str(value)[:100] if isinstance(value, str | int) and not isinstance(value, bool) else None
    )


def count_of(usage: Any, *names: str) -> int:
    """Return a count of tokens in a usage object, by the names that lead to it; 0 where there is none."""
    for name in names:
        usage = usage.get(name) if isinstance(usage, Mapping) else None
    if not isinstance(usage, int | float) or isinstance(usage, bool):
        return 0
    return int(usage) if 0 <= usage < 2**31 else 0  # no call has so many


def load_event(event: ServerEvent) -> Mapping[str, Any] | None:
    """Return the object that an event holds, None where it holds none."""
    try:
        body = orjson.loads(event.data)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, Mapping) else None


def json_arguments(arguments: Any) -> str:
    """Return a call's arguments as JSON text, also where an endpoint writes them as a value."""
    if isinstance(arguments, str):
        return arguments
    return "{}" if arguments is None else orjson.dumps(arguments).decode()


def refuse_unsupported(protocol: WireProtocol, request: ChatRequest) -> None:
    """Refuse what a request names and a protocol cannot say, unless it only helps.

    Raises: ParameterError that names it; UsageError for a text to go on from.
    """
    if request.raw is not None:
        raise UsageError(
            f"protocol {protocol.name!r} takes messages, not a text to go on from, got raw={request.raw[:40]!r}; "
            "use protocol 'chat'"
        )
    for name in sorted(protocol.unsupported - request.optional):
        value = getattr(request, name)
        if value is not None and value != ():
            raise ParameterError(
                f"protocol {protocol.name!r} has no parameter for {name!r}, got {value!r}; leave it unset",
                param=name,
            )


def merge_extra(body: dict[str, Json], extra: Mapping[str, Json]) -> None:
    """Add an endpoint's own parameters to a body; objects of both are put together, and `extra` wins elsewhere."""
    for name, value in extra.items():
        present = body.get(name)
        is_object = isinstance(present, dict) and isinstance(value, dict)
        body[name] = {**present, **value} if is_object else value  # type: ignore[dict-item]  # just checked


def text_of_parts(content: Any) -> str:
    """Return the text of a message's content: a text, or a list of parts of which only those of text count.

    Raises: TypeError if it is neither.
    """
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise TypeError(f"content is {type(content).__name__}, not text")
    texts = []
    for part in content:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, Mapping) and part.get("type") in ("text", "output_text", None):
            texts.append(str(part.get("text") or ""))
    return "".join(texts)
