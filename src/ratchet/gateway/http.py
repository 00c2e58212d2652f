"""What ASGI gives and takes: a request's body, a whole response, and a reply that may have begun."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from concurrent.futures import Future
from typing import Any

from ratchet.gateway.shapes import Problem

__all__ = [
    "KEEP_ALIVE_S",
    "Application",
    "Receive",
    "Scope",
    "Send",
    "Told",
    "Vigil",
    "body_of",
    "respond",
]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

KEEP_ALIVE_S = 75
"""An idle connection is kept so long: longer than clients keep theirs (the SDK 5 seconds), so that no request meets its end on the way."""
LOOK_S = 0.1
"""A request that takes longer is dropped when its client goes away."""
LARGEST = 32 * 2**20
"""Bytes of a request's body."""


class Told:
    """Where a reply goes to, and whether it has begun."""

    def __init__(self, send: Send, receive: Receive) -> None:
        self._send, self._receive = send, receive
        self._is_read = asyncio.Event()
        self.begun = self.is_gone = False

    async def read(self) -> bytes:
        """Return the body of the request."""
        content = await body_of(self._receive)
        self._is_read.set()
        return content

    async def gone(self) -> None:
        """Wait until the client has gone away; until the body is read nobody else may listen."""
        await self._is_read.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.is_gone = True

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        """Send a message on."""
        self.begun = True
        await self._send(message)

    async def stream(self, headers: Mapping[str, str]) -> None:
        """Begin a stream of events."""
        named = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
        await self(
            {"type": "http.response.start", "status": 200, "headers": raw({**named, **headers})}
        )

    async def body(self, content: bytes, *, more: bool = True) -> None:
        """Send a piece of the body."""
        await self({"type": "http.response.body", "body": content, "more_body": more})


class Vigil:
    """Drops requests whose clients go away. One that is answered within a moment is never looked at: a task for each took a tenth of it."""

    def __init__(self) -> None:
        self._begun: dict[Told, tuple[float, asyncio.Task[Any]]] = {}
        """By the time of their beginning."""
        self._watched: dict[Told, asyncio.Task[None]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, told: Told, work: asyncio.Task[Any]) -> None:
        """Take note of a request."""
        loop = asyncio.get_running_loop()
        self._begun[told] = (loop.time(), work)
        if self._timer is None:
            self._timer = loop.call_later(LOOK_S, self._look, loop)

    def end(self, told: Told) -> None:
        """Forget a request."""
        if self._begun.pop(told, None) is None:
            self._watched.pop(told).cancel()

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Listen, for those that take longer, whether their clients are there still."""
        late = loop.time() - LOOK_S
        for told, (at, work) in list(self._begun.items()):
            if at > late:
                break
            del self._begun[told]
            self._watched[told] = loop.create_task(dropped(told, work))
        self._timer = loop.call_later(LOOK_S, self._look, loop) if self._begun else None


async def dropped(told: Told, work: asyncio.Task[Any]) -> None:
    """Cancel work once its client has gone away."""
    await told.gone()
    work.cancel()


async def body_of(receive: Receive) -> bytes:
    """Return the body of a request.

    Raises: Problem if it is too large.
    """
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Problem(499, "the client closed the connection", kind="client_error")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > LARGEST:
            raise Problem(413, f"the body is larger than {LARGEST // 2**20} MB")
        if not message.get("more_body"):
            return b"".join(parts)


async def respond(
    send: Send, status: int, body: bytes, *, headers: Mapping[str, str] | None = None
) -> None:
    """Send a whole response, JSON where the headers do not say otherwise."""
    named = {"content-type": "application/json", "content-length": str(len(body))}
    start = {
        "type": "http.response.start",
        "status": status,
        "headers": raw({**named, **(headers or {})}),
    }
    await send(start)
    await send({"type": "http.response.body", "body": body})


def raw(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]


async def until_written(written: "Future[None]") -> None:
    """Wait until the log has a line; who goes away meanwhile does not take it along.

    Raises: what the writer failed with.
    """
    await asyncio.shield(asyncio.wrap_future(written))
