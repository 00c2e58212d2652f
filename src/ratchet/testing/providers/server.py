"""A stand-in for a provider: chat completions, Responses and Messages over real HTTP, as strict as the family of models that it plays."""

import importlib.util
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

import orjson
from aiohttp import web

from ratchet.core import Json, Usage
from ratchet.core.errors import UsageError, did_you_mean
from ratchet.models.chat import ChatReply, reply_in
from ratchet.models.protocol import ErrorDetails, ProviderFault
from ratchet.testing.loopback import LoopbackServer
from ratchet.testing.providers.chat import ChatFormat
from ratchet.testing.providers.messages import MessagesFormat
from ratchet.testing.providers.personalities import PERSONALITIES, Personality
from ratchet.testing.providers.responses import ResponsesFormat
from ratchet.testing.providers.wire_format import WireFormat, value_at
from ratchet.testing.server import Fault, answer_fault

__all__ = ["FLAGGED", "ProviderServer", "Refusal"]

FLAGGED = "[flagged]"
"""A request with this text is one that a provider's filter refuses, where its personality has one."""
FORMATS: tuple[WireFormat, ...] = (ChatFormat(), ResponsesFormat(), MessagesFormat())
SDKS = ("openai", "anthropic")
Answer = Callable[[dict[str, Json]], "str | dict[str, Json] | ChatReply | ProviderFault"]


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A request that was refused."""

    status: int
    details: ErrorDetails
    body: Mapping[str, Json]


class ProviderServer(LoopbackServer):
    """Serve the protocols of a family of models on a free port.

    Every request is checked by the types of the official SDKs and by the rules of the personality; one that breaks them is
    answered 400 in the provider's own form, which says what is wrong. Needs the packages `openai` and `anthropic`.

    Args:
        answer: From the request body to the reply: a text, a message in OpenAI's chat format (a dict), a whole `ChatReply`, or
            a `ProviderFault`, which is a failure of the provider's: before anything is said, or in the middle of a stream.
        personality: A name in `PERSONALITIES`, or a personality of your own; None takes all protocols and refuses nothing more.
        key: The key that requests must carry, if any.
        faults: What goes wrong with the first requests, in turn; None lets one pass.
    """

    def __init__(
        self,
        answer: Answer,
        *,
        personality: str | Personality | None = None,
        key: str | None = None,
        faults: Sequence[Fault | None] = (),
    ) -> None:
        super().__init__()
        _require_sdks()
        self._answer, self._key = answer, key
        self._faults = itertools.chain(faults, itertools.repeat(None))
        self._personality = _personality_of(personality)
        self.calls = 0
        self.bodies: list[dict[str, Json]] = []
        """What was asked, refused requests too."""
        self.paths: list[str] = []
        """The protocol of each of them."""
        self.refused: list[Refusal] = []

    @property
    def url(self) -> str:
        """The base URL, as a client wants it, with the query that the provider demands."""
        query = self._personality.query
        return f"{self.root}{self._personality.prefix}" + (f"?{urlencode(query)}" if query else "")

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add a route for each protocol."""
        for wire_format in FORMATS:
            router.add_post(self._personality.prefix + wire_format.path, self._handler(wire_format))

    def _handler(self, wire_format: WireFormat) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.StreamResponse:
            return await self._handle(request, wire_format)

        return handle

    async def _handle(self, request: web.Request, wire_format: WireFormat) -> web.StreamResponse:
        try:
            body = orjson.loads(await request.read())
        except ValueError:
            body = {}
        body = body if isinstance(body, dict) else {}
        self.calls += 1
        self.bodies.append(body)
        self.paths.append(wire_format.protocol)
        fault = next(self._faults)
        if refusal := self._refusal_of(request, body, wire_format):
            self.refused.append(refusal)
            return self._refuse(refusal, wire_format)
        if fault:
            return await answer_fault(request, fault)
        reply = self._reply_to(body, wire_format)
        if body.get("stream"):
            return await self._stream(request, body, reply, wire_format)
        return self._whole(body, reply, wire_format)

    def _refusal_of(
        self, request: web.Request, body: dict[str, Any], wire_format: WireFormat
    ) -> Refusal | None:
        """Return why a request is refused, None where it is not."""
        personality, protocol = self._personality, wire_format.protocol

        def refuse(status: int, message: str, **details: str | None) -> Refusal:
            error = ErrorDetails(message=message, **details)
            return Refusal(status=status, details=error, body=body)

        if self._key is not None and self._key not in _keys_in(request):
            return refuse(401, "The key is not a valid one.", code="invalid_api_key")
        wanted = personality.query or {}
        if protocol not in personality.protocols or any(
            name not in request.query for name in wanted
        ):
            return refuse(404, f"Nothing is served at POST {request.path_qs}.", code="404")
        effort = value_at(body, wire_format.effort_at) or personality.effort
        for rule in personality.rules:
            if rule.is_broken_by(body, protocol, str(effort)):
                return refuse(400, rule.message, code=rule.code, param=rule.param)
        problems = wire_format.problems_in(self._without_unknown(body, wire_format))
        if problems:
            param = problems[0].partition(":")[0]
            return refuse(400, "; ".join(problems), code="invalid_request", param=param)
        problem = wire_format.schema_problem(body) if personality.checks_schemas else None
        if problem:
            return refuse(400, problem[2], code=problem[1], param=problem[0])
        if personality.flagged and FLAGGED.encode() in orjson.dumps(body):
            status, code = personality.flagged
            return refuse(status, "The provider's filter flagged the input.", code=code)
        return None

    def _without_unknown(self, body: dict[str, Any], wire_format: WireFormat) -> dict[str, Any]:
        """Return a request without the parameters that the protocol has not, where they are passed over."""
        if not self._personality.ignores_unknown:
            return body
        parameters = wire_format.parameters()
        return {name: value for name, value in body.items() if name in parameters}

    def _refuse(self, refusal: Refusal, wire_format: WireFormat) -> web.Response:
        style = self._personality.style
        if style == "anthropic" and wire_format.protocol != "messages":
            style = "openai"
        elif wire_format.protocol == "messages":
            style = "anthropic"
        status, body = error_body(style, refusal)
        return web.json_response(body, status=status)

    def _reply_to(self, body: dict[str, Any], wire_format: WireFormat) -> ChatReply | ProviderFault:
        """Return the scripted reply, with its usage, and cut off where the request's limit demands it."""
        answer = self._answer(body)
        if isinstance(answer, ProviderFault):
            return answer
        effort = str(value_at(body, wire_format.effort_at) or self._personality.effort)
        is_off = effort == "none" or value_at(body, "thinking.type") == "disabled"
        thinking = 0 if is_off else self._personality.thinking_tokens
        reply = _reply_of(answer)
        if reply.usage == Usage():
            words = len((reply.text + "".join(c.arguments for c in reply.tool_calls)).split())
            prompt = value_at(body, "messages") or value_at(body, "input")
            reply = replace(
                reply,
                usage=Usage(
                    prompt_tokens=len(_texts_in(prompt).split()),
                    completion_tokens=words + thinking,
                    reasoning_tokens=thinking,
                ),
            )
        limits = [value_at(body, path) for path in wire_format.limits_at]
        limit = next((limit for limit in limits if limit is not None), None)
        return reply if limit is None else _cut_off(reply, limit)

    def _whole(
        self, body: dict[str, Any], reply: ChatReply | ProviderFault, wire_format: WireFormat
    ) -> web.Response:
        if isinstance(reply, ProviderFault):
            failure = wire_format.render_failure(reply.details)
            is_inside = wire_format.protocol != "chat" or self._personality.fails_inside
            if failure is not None and is_inside:
                return web.json_response(failure)
            return self._refuse(Refusal(status=500, details=reply.details, body=body), wire_format)
        rendered = wire_format.render(reply, body)
        if self._personality.content_parts:
            message = rendered["choices"][0]["message"]
            message["content"] = _parts_of(message["content"] or "")
        return web.json_response(rendered)

    async def _stream(
        self,
        request: web.Request,
        body: dict[str, Any],
        reply: ChatReply | ProviderFault,
        wire_format: WireFormat,
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        if isinstance(reply, ProviderFault):
            begun = wire_format.render_events(ChatReply(text="so far"), body)
            events: Iterable[bytes] = [
                *itertools.islice(begun, 2),
                wire_format.render_error_event(reply.details),
            ]
        else:
            events = wire_format.render_events(reply, body)
        for event in self._in_character(events):
            await response.write(event)
        await response.write_eof()
        return response

    def _in_character(self, events: Iterable[bytes]) -> Iterator[bytes]:
        """Yield events as the personality writes them."""
        for event in events:
            if self._personality.comments:
                yield b": PROCESSING\n\n"
            yield _event_in_parts(event) if self._personality.content_parts else event


def error_body(style: str, refusal: Refusal) -> tuple[int, Any]:
    """Return the status and the body of an error, as a provider writes it."""
    status, details = refusal.status, refusal.details
    if style == "anthropic":
        kinds = {401: "authentication_error", 404: "not_found_error", 500: "api_error"}
        error = {"type": kinds.get(status, "invalid_request_error"), "message": details.message}
        return status, {"type": "error", "error": error, "request_id": "req_scripted"}
    if style == "mistral" and details.code == "extra_forbidden":
        place = ["body", *(details.param or "").split(".")]
        return 422, {"detail": [{"type": details.code, "loc": place, "msg": details.message}]}
    if style == "mistral":
        return status, {"object": "error", "message": details.message, "type": "invalid_request"}
    if style == "openrouter":
        return status, {"error": {"code": status, "message": details.message, "metadata": {}}}
    kind = "BadRequestError" if style == "vllm" else "invalid_request_error"
    code: Any = status if style == "vllm" else details.code
    content = {"message": details.message, "type": kind, "param": details.param, "code": code}
    return status, {"error": content}


def _require_sdks() -> None:
    missing = [name for name in SDKS if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"a ProviderServer checks requests by the types of the packages {', '.join(SDKS)}, "
            f"missing {missing!r}; install with: pip install {' '.join(missing)}"
        )


def _personality_of(personality: str | Personality | None) -> Personality:
    if personality is None:
        return Personality(protocols=("chat", "responses", "messages"))
    if isinstance(personality, Personality):
        return personality
    if personality not in PERSONALITIES:
        names = ", ".join(map(repr, PERSONALITIES))
        raise UsageError(
            f"personality must be one of {names}, got {personality!r}."
            + did_you_mean(personality, PERSONALITIES)
        )
    return PERSONALITIES[personality]


def _keys_in(request: web.Request) -> set[str]:
    bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
    return {bearer, *(request.headers.get(name, "") for name in ("x-api-key", "api-key"))}


def _reply_of(answer: str | dict[str, Json] | ChatReply) -> ChatReply:
    if isinstance(answer, ChatReply):
        return answer
    if isinstance(answer, str):
        return ChatReply(text=answer)
    reply = reply_in(answer)
    finish = answer.get("finish_reason") or ("tool_calls" if reply.tool_calls else "stop")
    refusal = answer.get("refusal")
    return replace(reply, finish_reason=str(finish), refusal=str(refusal) if refusal else None)


def _cut_off(reply: ChatReply, limit: int) -> ChatReply:
    """Return a reply cut off where its tokens, thinking among them, are more than the limit."""
    if reply.usage.completion_tokens <= limit:
        return reply
    thinking = min(reply.usage.reasoning_tokens, limit)
    words = reply.text.split()[: limit - thinking]
    counted = {"completion_tokens": limit, "reasoning_tokens": thinking}
    return ChatReply(
        text=" ".join(words),
        finish_reason="length",
        usage=reply.usage.model_copy(update=counted),
    )


def _texts_in(value: Any) -> str:
    """Return the texts of messages, of whatever shape."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return " ".join(map(_texts_in, value))
    if isinstance(value, Mapping):
        return " ".join(_texts_in(value.get(name)) for name in ("content", "text", "output"))
    return ""


def _parts_of(text: str) -> list[dict[str, Any]]:
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "Let me see."}]}
    return [thought, {"type": "text", "text": text}]


def _event_in_parts(event: bytes) -> bytes:
    """Return an event of a chat with its content in parts."""
    data = event.removeprefix(b"data: ").strip()
    if data == b"[DONE]":
        return event
    body = orjson.loads(data)
    for choice in body.get("choices") or ():
        if choice["delta"].get("content"):
            choice["delta"]["content"] = _parts_of(choice["delta"]["content"])
    return b"data: " + orjson.dumps(body) + b"\n\n"
