"""Any OpenAI-compatible endpoint over HTTP: a keep-alive pool, retries with jitter, deadlines, and typed errors.

Errors never carry the key.
"""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Self, TypeVar
from urllib.parse import urlsplit

import numpy as np
import orjson
from numpy.typing import NDArray

from ratchet.core import Json, Usage
from ratchet.core.errors import AccessError, ReplyError, UnknownModelError
from ratchet.models.chat import CallPart, ChatReply, ChatRequest, ToolCall, calls_in
from ratchet.models.prices import Price
from ratchet.models.wire import Answer, CutError, Wire

__all__ = ["EndpointModel", "estimated_tokens", "message_of"]

RETRIED = frozenset({408, 409, 429, 500, 502, 503, 504, 529})
LONGEST_PAUSE_S = 30.0
CHARACTERS_A_TOKEN = 4
Read = TypeVar("Read")


class EndpointModel:
    """One model behind one endpoint."""

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
    ) -> None:
        self.name, self.concurrency = name, concurrency
        self._model, self._base = model, base_url.rstrip("/")
        self._url = self._base + "/chat/completions"
        self._key_env, self._timeout_s, self._retries = key_env, timeout_s, retries
        self._price = price
        self._limit_word = "max_completion_tokens" if "api.openai.com" in base_url else "max_tokens"
        self._wire: Wire | None = None
        self._key = ""
        self._rng = random.Random()  # jitter, not secrecy

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        if self._wire:
            await self._wire.close()
            self._wire = None

    def count_tokens(self, request: ChatRequest) -> tuple[int, bool]:
        """Return an estimate: an endpoint's tokenizer is unknown."""
        return estimated_tokens(request), False

    def price(self, prompt_tokens: int, completion_tokens: int) -> float | None:
        """Return the cost in US dollars, or None where the price is unknown."""
        return self._price(prompt_tokens, completion_tokens) if self._price else None

    async def chat(self, request: ChatRequest) -> ChatReply:
        """Return the reply; retries are spaced by the server's Retry-After, else by exponential pauses with full jitter."""
        return await self._tried(
            orjson.dumps(self._body(request)), self._url_of(request), self._reply
        )

    async def _tried(self, body: bytes, url: str, read: Callable[[bytes, float], Read]) -> Read:
        """Return what the endpoint says, read by `read` from the content and its latency; a failed call is tried again."""
        deadline = time.monotonic() + self._timeout_s
        last: ReplyError | None = None
        for attempt in range(self._retries + 1):
            left = deadline - time.monotonic()
            if left <= 0:
                break
            try:
                return read(*await self._once(body, left, url))
            except _Again as again:
                last = again.error
                pause = (
                    again.after_s
                    if again.after_s is not None
                    else self._rng.uniform(0, min(LONGEST_PAUSE_S, 0.5 * 2**attempt))
                )
                if attempt == self._retries or time.monotonic() + pause >= deadline:
                    break
                await asyncio.sleep(pause)
        raise last or ReplyError(
            f"{self.name}: no reply within {self._timeout_s:g} s", kind="timeout"
        )

    async def stream(self, request: ChatRequest) -> AsyncIterator[str | CallPart | ChatReply]:
        """Yield the text as the endpoint sends it, then the whole reply; only before the first piece is a call tried again."""
        body = {**self._body(request), "stream": True, "stream_options": {"include_usage": True}}
        deadline = time.monotonic() + self._timeout_s
        for attempt in range(self._retries + 1):
            begun = False
            try:
                async for piece in self._streamed(
                    orjson.dumps(body), deadline - time.monotonic(), self._url_of(request)
                ):
                    begun = True
                    yield piece
            except _Again as again:
                pause = again.after_s if again.after_s is not None else 0.5 * 2**attempt
                late = time.monotonic() + pause >= deadline
                if begun or late or attempt == self._retries:
                    raise again.error from again
                await asyncio.sleep(pause)
            else:
                return

    async def embed(self, texts: list[str]) -> tuple[NDArray[np.float32], int]:
        """Return vectors of length 1, shape (texts, dimensions), and the tokens of the texts."""
        body = orjson.dumps({"model": self._model, "input": texts, "encoding_format": "float"})
        content = await self._tried(body, self._base + "/embeddings", whole)
        try:
            said = orjson.loads(content)
            rows = sorted(said["data"], key=lambda row: row["index"])
            vectors = np.array([row["embedding"] for row in rows], dtype=np.float32)
            if vectors.shape[:1] != (len(texts),) or vectors.ndim != 2:
                raise ValueError(f"{len(texts)} texts, and vectors of shape {vectors.shape}")
            tokens = int((said.get("usage") or {}).get("prompt_tokens") or 0)
        except (ValueError, KeyError, TypeError) as error:
            raise ReplyError(
                f"{self.name}: the reply holds no embeddings ({error!r})", kind="malformed"
            ) from error
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), tokens

    def _url_of(self, request: ChatRequest) -> str:
        return self._url if request.raw is None else self._base + "/completions"

    async def _streamed(
        self, body: bytes, left_s: float, url: str
    ) -> AsyncIterator[str | CallPart | ChatReply]:
        started, gathered = time.perf_counter(), Gathered()
        try:
            wire = self._open()
            async with wire.stream(urlsplit(url).path, body, timeout_s=left_s) as answer:
                if answer.status != 200:  # the one good status of this API
                    raise self._refused(answer, await answer.content())
                async for line in lines_of(answer):
                    for piece in gathered.take(self._without_key(line)):
                        yield piece
        except TimeoutError as error:
            raise ReplyError(
                f"{self.name}: the reply was not complete within {self._timeout_s:g} s; raise timeout_s in ratchet.toml",
                kind="timeout",
            ) from error
        except CutError as error:
            raise _Again(self._cut(error)) from error
        except OSError as error:
            raise _Again(self._unreachable(error)) from error
        if gathered.finish is None:
            raise _Again(self._cut("it has no end"))
        prompt, completion = gathered.prompt_tokens, gathered.completion_tokens
        usage = Usage(
            prompt_tokens=prompt,
            completion_tokens=completion,
            cost_usd=self.price(prompt, completion) if prompt else None,
        )
        yield gathered.reply(usage, time.perf_counter() - started)

    def _cut(self, why: Exception | str) -> ReplyError:
        return ReplyError(
            f"{self.name}: the reply was cut off on the way ({why})", kind="truncated"
        )

    def _body(self, request: ChatRequest) -> dict[str, Json]:
        is_chat = request.raw is None
        body: dict[str, Json] = {
            "model": self._model,
            **({"messages": request.messages} if is_chat else {"prompt": request.raw}),
            "temperature": request.temperature,
            self._limit_word if is_chat else "max_tokens": request.max_tokens,
        }
        if request.logprobs is not None:
            body["logprobs"] = True if is_chat else request.logprobs
            if is_chat and request.logprobs:
                body["top_logprobs"] = request.logprobs
        if request.top_p < 1:
            body["top_p"] = request.top_p
        if request.seed is not None:
            body["seed"] = request.seed
        if request.effort:
            body["reasoning_effort"] = request.effort
        if request.stop:
            body["stop"] = list(request.stop)
        if request.tools:
            body["tools"] = request.tools
        if request.tool_choice:
            body["tool_choice"] = {"type": "function", "function": {"name": request.tool_choice}}
        if request.json_schema:
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "answer", "strict": True, "schema": request.json_schema},
            }
        return body

    def _open(self) -> Wire:
        if self._wire is None:
            headers = {"content-type": "application/json"}
            if self._key_env:
                self._key = os.environ.get(self._key_env, "").strip()
                if not self._key:
                    raise AccessError(
                        f"{self.name}: the environment has no {self._key_env}; set it to the endpoint's key: export {self._key_env}=…"
                    )
                if not self._key.isprintable():
                    raise AccessError(
                        f"{self.name}: {self._key_env} holds a line break or another control character, so it is no key; set it again"
                    )
                headers["authorization"] = f"Bearer {self._key}"
            self._wire = Wire(self._base, headers=headers, limit=self.concurrency)
            if self._price:
                self._price.prepare()
        return self._wire

    async def _once(self, body: bytes, left_s: float, url: str) -> tuple[bytes, float]:
        wire, started = self._open(), time.perf_counter()
        try:
            answer, content = await wire.post(urlsplit(url).path, body, timeout_s=left_s)
        except TimeoutError as error:
            raise ReplyError(
                f"{self.name}: no reply within {self._timeout_s:g} s; raise timeout_s in ratchet.toml",
                kind="timeout",
            ) from error
        except CutError as error:
            raise _Again(self._cut(error)) from error
        except OSError as error:
            raise _Again(self._unreachable(error)) from error
        if answer.status != 200:  # the one good status of this API
            raise self._refused(answer, content)
        return self._without_key(content), time.perf_counter() - started

    def _without_key(self, content: bytes) -> bytes:
        """Return what an endpoint says; it may write the key into its own message, and no answer holds one."""
        return content.replace(self._key.encode(), b"[key]") if self._key else content

    def _unreachable(self, error: OSError) -> ReplyError:
        return ReplyError(
            f"{self.name}: {self._url} does not answer ({str(error) or repr(error)}). Is the server up, and base_url in ratchet.toml right?",
            kind="connection",
        )

    def _refused(self, answer: Answer, content: bytes) -> Exception:
        status, said = answer.status, message_of(self._without_key(content))
        if status in (401, 403):
            where = (
                f"the key in {self._key_env}"
                if self._key_env
                else "the endpoint wants a key: set key_env in ratchet.toml; it"
            )
            return AccessError(f"{self.name}: {where} was refused ({status}): {said}")
        if status == 404:  # not found
            return UnknownModelError(
                f"{self.name}: {self._url} knows no model {self._model!r} (404): {said}"
            )
        error = ReplyError(
            f"{self.name}: status {status}: {said}",
            kind="rate limit" if status == 429 else f"status {status}",
        )
        if status not in RETRIED:
            return error
        return _Again(error, after_s=seconds(answer.headers.get(b"retry-after")))

    def _reply(self, content: bytes, latency_s: float) -> ChatReply:
        try:
            body = orjson.loads(content)
            choice = body["choices"][0]
            message = choice["message"] if "message" in choice else {"content": choice["text"]}
            asked = message.get("tool_calls")
            calls = calls_in(asked) if asked else ()
            used = body.get("usage") or {}
            prompt, completion = (
                int(used.get("prompt_tokens") or 0),
                int(used.get("completion_tokens") or 0),
            )
            text = message.get("content") or ""
            if not isinstance(text, str):
                raise TypeError(f"content is {type(text).__name__}, not text")
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            said = content[:80].decode("utf-8", "replace")
            raise _Again(
                ReplyError(
                    f"{self.name}: the reply is no chat completion ({error!r}): {said!r}",
                    kind="malformed",
                )
            ) from error
        usage = Usage(
            prompt_tokens=prompt,
            completion_tokens=completion,
            cost_usd=self.price(prompt, completion) if used else None,
        )
        finish = choice.get("finish_reason") or "stop"
        told = choice.get("logprobs")
        return ChatReply(
            text=text,
            tool_calls=calls,
            finish_reason=finish,
            logprobs=told.get("content") if isinstance(told, dict) else None,
            usage=usage,
            latency_s=latency_s,
        )


async def lines_of(answer: Answer) -> AsyncIterator[bytes]:
    """Yield the lines of a body as they come, the last one also without its end."""
    rest = b""
    async for piece in answer.pieces():
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield line
    yield rest


def whole(content: bytes, _latency_s: float) -> bytes:
    return content


class Gathered:
    """What has come of a streamed reply."""

    def __init__(self) -> None:
        self.text = ""
        self.finish: str | None = None
        self.prompt_tokens = self.completion_tokens = 0
        self._calls: dict[int, list[str]] = {}

    def take(self, line: bytes) -> Iterator[str | CallPart]:
        """Take a line of the stream, and yield what it brings; lines that are no data bring nothing."""
        if not line.startswith(b"data:") or line.strip() == b"data: [DONE]":
            return
        try:
            body = orjson.loads(line[5:])
        except ValueError:
            return
        used = body.get("usage") or {}
        self.prompt_tokens = int(used.get("prompt_tokens") or self.prompt_tokens)
        self.completion_tokens = int(used.get("completion_tokens") or self.completion_tokens)
        for choice in body.get("choices") or ():
            delta = choice.get("delta") or {}
            self.finish = choice.get("finish_reason") or self.finish
            for call in delta.get("tool_calls") or ():
                index, said = int(call.get("index") or 0), call.get("function") or {}
                parts = self._calls.setdefault(index, ["", ""])
                name, arguments = said.get("name") or "", said.get("arguments") or ""
                parts[0] += name
                parts[1] += arguments
                yield CallPart(place=list(self._calls).index(index), name=name, arguments=arguments)
            piece = delta.get("content", choice.get("text"))
            if isinstance(piece, str) and piece:
                self.text += piece
                yield piece

    def reply(self, usage: Usage, latency_s: float) -> ChatReply:
        """Return the whole reply."""
        calls = [ToolCall(name=name, arguments=said) for name, said in self._calls.values()]
        return ChatReply(
            text=self.text,
            tool_calls=tuple(calls),
            finish_reason=self.finish or "stop",
            usage=usage,
            latency_s=latency_s,
        )


class _Again(Exception):  # noqa: N818 - a signal inside this module
    """The call may be tried again; `error` is what to say if it is not."""

    def __init__(self, error: ReplyError, *, after_s: float | None = None) -> None:
        super().__init__(str(error))
        self.error, self.after_s = error, after_s


def message_of(content: bytes) -> str:
    """Return the message in an OpenAI-shaped error body, or the start of any other body."""
    try:
        error = orjson.loads(content)["error"]
        return str(error["message"] if isinstance(error, dict) else error)[:300]
    except (ValueError, KeyError, TypeError):
        return content[:200].decode("utf-8", "replace")


def seconds(header: bytes | None) -> float | None:
    """Return a Retry-After header in seconds, or None where it is missing or a date."""
    try:
        return None if header is None else max(0.0, float(header))
    except ValueError:
        return None


def estimated_tokens(request: ChatRequest) -> int:
    """Return about how many tokens a request has: four characters a token is usual for English."""
    if request.raw is not None:
        return max(1, len(request.raw) // CHARACTERS_A_TOKEN)
    characters = sum(len(str(m.get("content") or "")) + 16 for m in request.messages)
    return max(1, (characters + len(str(request.tools or ""))) // CHARACTERS_A_TOKEN)
