"""Any model behind an HTTP endpoint: a keep-alive pool, retries with jitter, deadlines, typed errors, and what is learnt of the model.

How a request is written and a reply read is the protocol's (`models/protocol.py`). Errors never carry the key.
"""

import asyncio
import logging
import os
import random
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from typing import Self, TypeVar
from urllib.parse import urlsplit

import numpy as np
import orjson
from numpy.typing import NDArray

from ratchet.core import Json, total
from ratchet.core.errors import AccessError, ParameterError, ReplyError, UnknownModelError
from ratchet.models.anthropic.messages import Messages
from ratchet.models.capabilities import Capabilities
from ratchet.models.chat import CallPart, ChatReply, ChatRequest
from ratchet.models.learning import learn_from_refusal, merge_lesson
from ratchet.models.openai.chat_completions import ChatCompletions
from ratchet.models.openai.responses import Responses
from ratchet.models.outcomes import (
    FilteredInput,
    RefusedRequest,
    TryAgain,
    is_stream,
    refused_reply,
)
from ratchet.models.prices import Price
from ratchet.models.protocol import (
    MalformedReplyError,
    ProviderFault,
    WireProtocol,
    count_of,
    parse_error_body,
)
from ratchet.models.refusals import decompress, is_about_access, is_moderation, retry_after
from ratchet.models.shaping import ShapedRequest, shape_request, speaking_protocol
from ratchet.models.sse import EventReader
from ratchet.models.wire import Answer, CutError, Wire
from ratchet.store.capabilities import LearnedCapability

__all__ = ["EndpointModel", "estimated_tokens", "join_url", "message_of"]

log = logging.getLogger("ratchet.models")

RETRIED = frozenset({408, 409, 429, 500, 502, 503, 504, 529})
NOT_HELPED = frozenset(
    {
        *("400", "401", "402", "403", "404", "413", "422"),
        *("context_length_exceeded", "insufficient_quota", "invalid_api_key"),
        *("invalid_request_error", "authentication_error", "permission_error"),
        *("not_found_error", "request_too_large", "billing_error"),
    }
)
"""Codes of a provider's failure inside a good status that another try does not help against."""
MAX_PAUSE_S = 30.0
MAX_LESSONS = 8
"""So many parameters are learnt from one request at most."""
MAX_MALFORMED = 1
"""A reply that cannot be read is paid for: it is asked for again so many times."""
CHARACTERS_A_TOKEN = 4
AZURE_HOSTS = (".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com")
PROTOCOLS: dict[str, WireProtocol] = {
    protocol.name: protocol for protocol in (ChatCompletions(), Responses(), Messages())
}
Read = TypeVar("Read")
Remember = Callable[[LearnedCapability], None]


class EndpointModel:
    """One model behind one endpoint.

    Args:
        name: The model's name here.
        model: Its name at the endpoint.
        base_url: Up to the version: `https://api.openai.com/v1`; a path and a query stay.
        key_env: The environment variable that holds the key.
        concurrency: Calls under way at once.
        timeout_s: The longest that one call may take, its retries included, in seconds.
        retries: So often a call is tried again.
        price: What its tokens cost.
        protocol: How it is spoken to: chat, responses or messages.
        capabilities: What is known of the model.
        remember: Takes what the endpoint says of the model, to be remembered.
    """

    def __init__(
        self,
        name: str,
        model: str,
        base_url: str,
        *,
        key_env: str | None = None,
        concurrency: int = 64,
        timeout_s: float = 120.0,
        retries: int = 5,
        price: Price | None = None,
        protocol: str = "chat",
        capabilities: Capabilities | None = None,
        remember: Remember | None = None,
    ) -> None:
        self.name, self.concurrency = name, concurrency
        self._model, self._base_url = model, base_url
        self._key_env, self._timeout_s, self._retries = key_env, timeout_s, retries
        self._price = price
        self._protocol = protocol
        self.capabilities = capabilities or Capabilities()
        self._remember = remember
        self._wire: Wire | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._key = ""
        self._rng = random.Random()  # jitter, not secrecy

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        if self._wire and self._loop is asyncio.get_running_loop():
            await self._wire.close()
        self._wire = None

    def count_tokens(self, request: ChatRequest) -> tuple[int, bool]:
        """Return an estimate: an endpoint's tokenizer is unknown."""
        return estimated_tokens(request), False

    def price(self, prompt_tokens: int, completion_tokens: int) -> float | None:
        """Return the cost of a call without cached tokens in US dollars, or None where the price is unknown."""
        return self._price(prompt_tokens, completion_tokens) if self._price else None

    def shape(self, request: ChatRequest) -> ShapedRequest:
        """Return a request as it goes over the wire.

        Raises: ParameterError if it names what the model does not take.
        """
        return shape_request(
            self.name,
            request,
            self.capabilities,
            protocol=self._protocol,
            responses_url=self._protocol == "chat",
        )

    def protocol_of(self, request: ChatRequest) -> str:
        """Return how a request is spoken: chat, responses or messages; an endpoint of chat completions may take tools by Responses alone."""
        return speaking_protocol(request, self.capabilities, self._protocol)

    def _encode(
        self, shaped: ShapedRequest, *, stream: bool
    ) -> tuple[WireProtocol, dict[str, Json]]:
        """Return how a request is spoken, and the very body that is sent."""
        protocol = PROTOCOLS[shaped.protocol]
        body = protocol.encode(self._model, shaped.request, shaped.options, stream=stream)
        return protocol, body

    async def chat(self, request: ChatRequest) -> ChatReply:
        """Return the reply; retries are spaced by the server's Retry-After, else by exponential pauses with full jitter.

        A refusal that names a parameter is learnt from: the call is made again without it.
        """
        deadline = time.monotonic() + self._timeout_s
        spent: list[ChatReply] = []
        for _ in range(MAX_LESSONS):
            known = self.capabilities
            shaped = self.shape(request)
            protocol, body = self._encode(shaped, stream=False)
            try:
                reply = await self._call_with_retries(
                    orjson.dumps(body),
                    protocol.path(shaped.request),
                    partial(self._read, protocol),
                    deadline=deadline,
                    spent=spent,
                )
            except RefusedRequest as refusal:
                refusal.error.spent = [*spent, *refusal.error.spent]
                if refusal.is_moderation:
                    return self._with_account(refused_reply(refusal.details), spent)
                self._learn(refusal, request, body, known, stream=False)
                continue
            except FilteredInput as filtered:
                return self._with_account(refused_reply(filtered.details), spent)
            if self._needs_room_to_think(reply, request, shaped):
                spent.append(reply)
                continue
            return self._with_account(replace(reply, sent=shaped.sent), spent)
        raise self._unteachable()

    async def stream(self, request: ChatRequest) -> AsyncIterator[str | CallPart | ChatReply]:
        """Yield the text as the endpoint sends it, then the whole reply; only before the first piece is a call tried again."""
        deadline = time.monotonic() + self._timeout_s
        attempt = lessons = 0
        spent: list[ChatReply] = []
        while True:
            known = self.capabilities
            shaped = self.shape(request)
            protocol, body = self._encode(shaped, stream=True)
            begun = False
            try:
                async for piece in self._pieces(protocol, shaped, body, deadline):
                    begun = True
                    yield (
                        self._with_account(piece, spent) if isinstance(piece, ChatReply) else piece
                    )
            except FilteredInput as filtered:
                yield self._with_account(refused_reply(filtered.details), spent)
                return
            except RefusedRequest as refusal:
                refusal.error.spent = [*spent, *refusal.error.spent]
                if refusal.is_moderation:
                    yield self._with_account(refused_reply(refusal.details), spent)
                    return
                if lessons == MAX_LESSONS:
                    raise self._unteachable() from refusal
                lessons += 1
                self._learn(refusal, request, body, known, stream=True)
            except TryAgain as again:
                spent += [reply for reply in again.error.spent if isinstance(reply, ChatReply)]
                pause = self._pause_s(again, attempt)
                late = time.monotonic() + pause >= deadline
                if begun or late or attempt >= min(self._retries, again.max_retries):
                    again.error.spent = list(spent)  # what earlier tries took is paid for too
                    raise again.error from again
                attempt += 1
                await asyncio.sleep(pause)
            else:
                return

    async def embed(self, texts: list[str]) -> tuple[NDArray[np.float32], int]:
        """Return vectors of length 1, shape (texts, dimensions), and the tokens of the texts."""
        body = orjson.dumps({"model": self._model, "input": texts, "encoding_format": "float"})
        try:
            content = await self._call_with_retries(
                body, "/embeddings", lambda content, _: content, deadline=time.monotonic() + self._timeout_s, spent=[]
            )  # fmt: skip
        except RefusedRequest as refusal:
            raise refusal.error from refusal
        try:
            answer = orjson.loads(content)
            rows = sorted(answer["data"], key=lambda row: row["index"])
            vectors = np.array([row["embedding"] for row in rows], dtype=np.float32)
            if vectors.shape[:1] != (len(texts),) or vectors.ndim != 2:
                raise ValueError(f"{len(texts)} texts, and vectors of shape {vectors.shape}")
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
            if [row["index"] for row in rows] != list(range(len(texts))) or not np.all(lengths > 0):
                raise ValueError("a vector is missing, or has no direction")
            tokens = count_of(answer.get("usage"), "prompt_tokens")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ReplyError(
                f"{self.name}: the reply holds no embeddings ({error!r})", kind="malformed"
            ) from error
        return vectors / lengths, tokens

    # --- one call ---

    async def _call_with_retries(
        self,
        body: bytes,
        path: str,
        read: Callable[[bytes, float], Read],
        *,
        deadline: float,
        spent: list[ChatReply],
    ) -> Read:
        """Return what the endpoint says, read by `read` from the content and its latency; a failed call is tried again.

        Args:
            body: What is sent.
            path: Below the base URL.
            read: Raises `TryAgain` where another try may help.
            deadline: By the monotonic clock, in seconds.
            spent: Takes the replies that are paid for and could not be used.
        """
        last: ReplyError | None = None
        for attempt in range(self._retries + 1):
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                break
            try:
                return read(*await self._post(body, left_s, path))
            except TryAgain as again:
                last = again.error
                spent += [reply for reply in last.spent if isinstance(reply, ChatReply)]
                pause = self._pause_s(again, attempt)
                most = min(self._retries, again.max_retries)
                if attempt >= most or time.monotonic() + pause >= deadline:
                    break
                await asyncio.sleep(pause)
            except ReplyError as error:
                error.spent = [*spent, *error.spent]
                raise
        failure = last or self._late("no reply within")
        failure.spent = list(spent)
        raise failure

    async def _post(self, body: bytes, left_s: float, path: str) -> tuple[bytes, float]:
        wire, started = self._open(), time.perf_counter()
        try:
            answer, content = await wire.post(self._target(path), body, timeout_s=left_s)
        except TimeoutError as error:
            raise self._late("no reply within") from error
        except CutError as error:
            raise TryAgain(self._cut(error)) from error
        except OSError as error:
            raise TryAgain(self._unreachable(error)) from error
        content = self._without_key(decompress(content, answer.headers, self.name))
        if not 200 <= answer.status < 300:
            raise self._refused(answer, content)
        return content, time.perf_counter() - started

    async def _pieces(
        self, protocol: WireProtocol, shaped: ShapedRequest, body: dict[str, Json], deadline: float
    ) -> AsyncIterator[str | CallPart | ChatReply]:
        """Yield the pieces of one streamed reply, then the whole."""
        started, parser, reader = time.perf_counter(), protocol.stream_parser(), EventReader()
        target = self._target(protocol.path(shaped.request))
        try:
            wire = self._open()
            left_s = deadline - time.monotonic()
            async with wire.stream(target, orjson.dumps(body), timeout_s=left_s) as answer:
                if not 200 <= answer.status < 300 or not is_stream(answer):
                    content = decompress(await answer.content(), answer.headers, self.name)
                    content = self._without_key(content)
                    if not 200 <= answer.status < 300:
                        raise self._refused(answer, content)
                    whole = self._read(protocol, content, time.perf_counter() - started)
                    if whole.text:
                        yield whole.text
                    yield replace(whole, sent=shaped.sent)
                    return
                async for piece in answer.pieces():
                    for event in reader.feed(self._without_key(piece)):
                        for part in parser.feed(event):
                            yield part
            for event in reader.end():
                for part in parser.feed(event):
                    yield part
        except ProviderFault as fault:
            raise self._faulted(fault) from fault
        except TimeoutError as error:
            raise self._late("the reply was not complete within") from error
        except CutError as error:
            raise TryAgain(self._cut(error)) from error
        except OSError as error:
            raise TryAgain(self._unreachable(error)) from error
        if not parser.is_complete:
            raise TryAgain(self._cut("it has no end"), max_retries=MAX_MALFORMED)
        reply = self._with_cost(parser.result(), time.perf_counter() - started)
        yield replace(reply, sent=shaped.sent)

    def _read(self, protocol: WireProtocol, content: bytes, latency_s: float) -> ChatReply:
        """Return the reply that a body holds, with its cost.

        Raises: TryAgain where it is none, and another try may help; ReplyError where it would not.
        """
        try:
            body = orjson.loads(content.removeprefix(b"\xef\xbb\xbf"))
            reply = protocol.parse(body)
        except ProviderFault as fault:
            raise self._faulted(fault) from fault
        except (MalformedReplyError, ValueError, RecursionError) as error:
            beginning = content[:80].decode("utf-8", "replace")
            problem = ReplyError(
                f"{self.name}: the reply is not a {protocol.name} reply ({error}): {beginning!r}",
                kind="malformed",
            )
            usage = getattr(error, "usage", None)
            if usage is not None:
                problem.spent = [self._with_cost(ChatReply(usage=usage), latency_s)]
            raise TryAgain(problem, max_retries=MAX_MALFORMED) from error
        return self._with_cost(reply, latency_s)

    def _with_cost(self, reply: ChatReply, latency_s: float) -> ChatReply:
        """Return a reply with what it cost: unknown where the endpoint does not say what was used."""
        usage = reply.usage
        if self._price and (usage.prompt_tokens or usage.completion_tokens):
            cost = self._price.cost(
                usage.prompt_tokens,
                usage.completion_tokens,
                cached=usage.cached_tokens,
                cache_write=usage.cache_write_tokens,
            )
            usage = usage.model_copy(update={"cost_usd": cost})
        return replace(reply, usage=usage, latency_s=latency_s)

    def _with_account(self, reply: ChatReply, spent: list[ChatReply]) -> ChatReply:
        """Return a reply with what came before it and is paid for too."""
        if not spent:
            return reply
        return replace(reply, usage=total([*(one.usage for one in spent), reply.usage]))

    # --- what is learnt ---

    def _learn(
        self,
        refusal: "RefusedRequest",
        request: ChatRequest,
        body: dict[str, Json],
        known: Capabilities,
        *,
        stream: bool,
    ) -> None:
        """Take note of what a refusal says of the model.

        Args:
            refusal: The endpoint's words.
            request: What was asked.
            body: What was sent.
            known: What was known of the model when it was sent.
            stream: Whether it was sent as a stream.
        Raises: ParameterError if the request names what is refused; ReplyError if nothing can be learnt, or nothing would
        be sent otherwise.
        """
        lesson = learn_from_refusal(refusal.details, body, known)
        if lesson is None:
            raise refusal.error from refusal
        lesson = merge_lesson(self.capabilities, lesson)
        before = getattr(self.capabilities, lesson.field)
        is_new = (list(before) if isinstance(before, tuple) else before) != lesson.value
        self.capabilities = self.capabilities.updated("learned", **{lesson.field: lesson.value})
        try:
            _, anew = self._encode(self.shape(request), stream=stream)
        except ParameterError as error:
            error.__cause__ = refusal
            raise
        finally:
            is_lasting = (
                "invalid schema" not in lesson.reason.lower()
            )  # else it is about one schema
            if is_new and is_lasting:
                self._tell(lesson)
        if anew == body:  # the same again would be refused again
            raise refusal.error from refusal

    def _tell(self, lesson: LearnedCapability) -> None:
        """Tell once what was learnt, and have it remembered."""
        log.warning(
            "%s: %s. It is asked again accordingly; this is remembered.",
            self.name,
            lesson.reason.rstrip("."),
        )
        if self._remember:
            self._remember(lesson)

    def _needs_room_to_think(
        self, reply: ChatReply, request: ChatRequest, shaped: ShapedRequest
    ) -> bool:
        """Return whether a reply was cut off while the model was thinking, as nobody had known that it does: it needs room.

        That it thinks is remembered, whether or not it was cut off.
        """
        if reply.usage.reasoning_tokens == 0 or shaped.request.raw is not None:
            return False
        if self.capabilities.sources.get("reasoning") == "settings" or request.limit_is_whole:
            return False
        if self.capabilities.reasoning is not True:
            self.capabilities = self.capabilities.updated("learned", reasoning=True)
            if self._remember:
                reason = "its usage counts tokens of thinking"
                self._remember(LearnedCapability(field="reasoning", value=True, reason=reason))
        is_cut = reply.finish_reason == "length" and not reply.text
        return is_cut and request.max_tokens is not None and "max_tokens" not in shaped.sent

    def _unteachable(self) -> ReplyError:
        return ReplyError(
            f"{self.name}: the endpoint refused the request in {MAX_LESSONS} forms; name what the model takes in ratchet.toml "
            f"(`ratchet models show {self.name}` tells what is known)",
            kind="status 400",
            status=400,
        )

    # --- the way there ---

    def _target(self, path: str) -> str:
        return join_url(self._base_url, path)

    def _open(self) -> Wire:
        loop = asyncio.get_running_loop()
        if (
            self._loop is not loop
        ):  # connections belong to the loop that opened them, and that one has ended
            self._wire, self._loop = None, loop
        if self._wire is None:
            if self._key_env:
                self._key = self._read_key(self._key_env)
            protocol = PROTOCOLS[self._protocol]
            headers = {"content-type": "application/json", **protocol.headers(self._key or None)}
            host = urlsplit(self._base_url).hostname or ""
            if self._key and host.endswith(
                AZURE_HOSTS
            ):  # it takes keys of its own under another name
                headers["api-key"] = self._key
            self._wire = Wire(self._base_url, headers=headers, limit=self.concurrency)
            if self._price:
                self._price.prepare()
        return self._wire

    def _read_key(self, name: str) -> str:
        key = os.environ.get(name, "").strip()
        if not key:
            raise AccessError(
                f"{self.name}: the environment has no {name}; set it to the endpoint's key: export {name}=…"
            )
        if not key.isprintable():
            raise AccessError(
                f"{self.name}: {name} holds a line break or another control character, so it is no key; set it again"
            )
        return key

    def _without_key(self, content: bytes) -> bytes:
        """Return what an endpoint says; it may write the key into its own message, and no answer holds one."""
        return content.replace(self._key.encode(), b"[key]") if self._key else content

    def _pause_s(self, again: "TryAgain", attempt: int) -> float:
        if again.after_s is not None:
            return again.after_s
        return self._rng.uniform(0, min(MAX_PAUSE_S, 0.5 * 2**attempt))

    # --- errors ---

    def _late(self, what: str) -> ReplyError:
        return ReplyError(
            f"{self.name}: {what} {self._timeout_s:g} s; raise timeout_s in ratchet.toml",
            kind="timeout",
        )

    def _cut(self, why: Exception | str) -> ReplyError:
        return ReplyError(
            f"{self.name}: the reply was cut off on the way ({why})", kind="truncated"
        )

    def _unreachable(self, error: OSError) -> ReplyError:
        return ReplyError(
            f"{self.name}: {self._base_url} does not answer ({str(error) or repr(error)}). Is the server up, and base_url in ratchet.toml right?",
            kind="connection",
        )

    def _faulted(self, fault: ProviderFault) -> Exception:
        """Return what a provider's failure inside a good status is: it is asked again where that can help."""
        details = fault.details
        error = ReplyError(
            f"{self.name}: the provider failed: {details.message}",
            kind="provider error",
            code=details.code,
        )
        if fault.usage is not None:
            error.spent = [self._with_cost(ChatReply(usage=fault.usage), 0.0)]
        if details.code in (None, "400", "403") and is_moderation(details):
            return FilteredInput(details)
        return error if {details.code, details.kind} & NOT_HELPED else TryAgain(error)

    def _refused(self, answer: Answer, content: bytes) -> Exception:
        status, details = answer.status, parse_error_body(content)
        if 300 <= status < 400:
            where = answer.headers.get(b"location", b"elsewhere").decode("utf-8", "replace")
            return ReplyError(
                f"{self.name}: the endpoint sends calls on to {where!r} ({status}); set base_url in ratchet.toml to that address",
                kind=f"status {status}",
                status=status,
            )
        error = ReplyError(
            f"{self.name}: status {status}: {details.message}",
            kind="rate limit" if status == 429 else f"status {status}",
            status=status,
            code=details.code,
            param=details.param,
            retry_after_s=retry_after(answer.headers.get(b"retry-after")),
        )
        if status in (400, 403) and is_moderation(details):
            return RefusedRequest(error, details, is_moderation=True)
        if status == 401 or (status == 403 and is_about_access(details)):
            where = (
                f"the key in {self._key_env}"
                if self._key_env
                else "the endpoint wants a key: set key_env in ratchet.toml; it"
            )
            return AccessError(f"{self.name}: {where} was refused ({status}): {details.message}")
        if status == 404:
            return UnknownModelError(
                f"{self.name}: {self._base_url} does not know the model {self._model!r} (404): {details.message}"
            )
        if status in (400, 422):
            return RefusedRequest(error, details)
        return TryAgain(error, after_s=error.retry_after_s) if status in RETRIED else error


def join_url(base_url: str, path: str) -> str:
    """Return the target of a request below a base URL: the URL's own path stands before, its query behind."""
    parts = urlsplit(base_url)
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.path.rstrip('/')}{path}{query}"


def message_of(content: bytes) -> str:
    """Return the message in an error body, or the start of any other body."""
    return parse_error_body(content).message


def estimated_tokens(request: ChatRequest) -> int:
    """Return about how many tokens a request has: four characters a token is usual for English."""
    if request.raw is not None:
        return max(1, len(request.raw) // CHARACTERS_A_TOKEN)
    characters = sum(len(str(m.get("content") or "")) + 16 for m in request.messages)
    return max(1, (characters + len(str(request.tools or ""))) // CHARACTERS_A_TOKEN)
