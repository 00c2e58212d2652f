"""What ASGI gives and takes: a request's body, a whole response, and a reply that may have begun."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from ratchet.gateway.shapes import Problem

__all__ = ["Application", "Receive", "Scope", "Send", "Told", "body_of", "respond"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

LARGEST = 32 * 2**20
"""Bytes of a request's body."""


class Told:
    """Where a reply goes to, and whether it has begun."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = False

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        """Send a message on."""
        self.begun = True
        await self._send(message)

    async def body(self, content: bytes, *, more: bool = True) -> None:
        """Send a piece of the body."""
        await self({"type": "http.response.body", "body": content, "more_body": more})


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


async def respond(send: Send, status: int, body: bytes, *, request_id: str | None = None) -> None:
    """Send a whole JSON response."""
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    if request_id:
        headers.append((b"x-request-id", request_id.encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
