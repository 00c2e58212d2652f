"""A real HTTP server that speaks the OpenAI chat format from a script, with settable latency, errors and rate limits.

It listens on loopback alone. Use it as a context manager; its own thread and loop serve until the block ends.
"""

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import orjson
from aiohttp import web

from ratchet.core import Json
from ratchet.testing.loopback import LoopbackServer

__all__ = ["Fault", "ScriptedServer", "answer_fault"]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A way for one request to go wrong: a status with a body, a malformed or truncated body, or a dropped connection."""

    status: int = 200
    body: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()
    drop: bool = False
    truncate: bool = False


class ScriptedServer(LoopbackServer):
    """Serve `/v1/chat/completions` on a free port.

    Args:
        answer: From the request body to the text of the reply, or to a whole message (a dict).
        delay_s: How long each reply takes.
        faults: What goes wrong with the first requests, in turn; None lets one pass.
        limit: Requests a second above which the answer is 429 with Retry-After.
        key: The key that requests must carry, if any.
        models: The model names that exist; empty means any.
    """

    def __init__(
        self,
        answer: Callable[[dict[str, Json]], "str | dict[str, Json]"],
        *,
        delay_s: float = 0.0,
        faults: Sequence[Fault | None] = (),
        limit: int | None = None,
        key: str | None = None,
        models: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self._answer, self._delay_s, self._faults = (
            answer,
            delay_s,
            itertools.chain(faults, itertools.repeat(None)),
        )
        self._limit, self._key, self._models = limit, key, tuple(models)
        self._window: tuple[int, int] = (0, 0)
        self.calls = 0
        self.bodies: list[dict[str, Json]] = []
        self.keep_bodies = True

    @property
    def url(self) -> str:
        """The base URL, as a client wants it."""
        return f"{self.root}/v1"

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add the route of chat completions."""
        router.add_post("/v1/chat/completions", self._chat)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = orjson.loads(await request.read())
        self.calls += 1
        if self.keep_bodies:
            self.bodies.append(body)
        fault = next(self._faults)
        if self._key is not None and request.headers.get("Authorization") != f"Bearer {self._key}":
            return problem(401, "Incorrect API key provided.")
        if self._models and body["model"] not in self._models:
            return problem(404, f"The model {body['model']!r} does not exist.")
        if fault:
            return await answer_fault(request, fault)
        if self._limit and self._over_limit():
            return problem(429, "Rate limit reached.", {"Retry-After": "1"})
        if self._delay_s:
            await asyncio.sleep(self._delay_s)
        return web.Response(
            body=orjson.dumps(completion(body, self._answer(body))), content_type="application/json"
        )

    def _over_limit(self) -> bool:
        now = int(time.monotonic())
        second, count = self._window
        self._window = (now, count + 1 if second == now else 1)
        return self._limit is not None and self._window[1] > self._limit


async def answer_fault(request: web.Request, fault: Fault) -> web.StreamResponse:
    """Answer a request with what goes wrong with it."""
    if fault.drop and request.transport:
        request.transport.abort()
    if fault.truncate:
        response = web.StreamResponse(
            headers={"Content-Length": "1000", "Content-Type": "application/json"}
        )
        await response.prepare(request)
        await response.write(b'{"choices": [')
        if request.transport:
            request.transport.close()
        return response
    if fault.body is not None:
        return web.Response(status=fault.status, body=fault.body, headers=dict(fault.headers))
    return problem(fault.status, "scripted fault", dict(fault.headers))


def problem(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    body = {"error": {"message": message, "type": "scripted", "param": None, "code": None}}
    return web.Response(
        status=status, body=orjson.dumps(body), content_type="application/json", headers=headers
    )


def completion(body: dict[str, Json], said: "str | dict[str, Json]") -> dict[str, Json]:
    message = {"role": "assistant", "content": said} if isinstance(said, str) else said
    prompt = sum(len(str(m.get("content") or "").split()) for m in body["messages"])
    words = len(str(message.get("content") or message).split())
    finish = "tool_calls" if message.get("tool_calls") else "stop"
    return {
        "id": "chatcmpl-scripted",
        "object": "chat.completion",
        "created": 0,
        "model": body["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": finish, "logprobs": None}],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": words,
            "total_tokens": prompt + words,
        },
    }
