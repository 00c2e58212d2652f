"""What a connection may take before anybody is asked for a key: deadlines for headers and bodies, and a ceiling on how many there are.

uvicorn waits for ever for headers, for bodies and for clients that do not read. Its protocol notes here where each connection stands,
and one timer for all of them closes those that are late. What is being answered is never closed for taking long.
"""

import asyncio
import resource
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from ratchet.gateway.http import KEEP_ALIVE_S
from ratchet.gateway.metrics import CLOSED

__all__ = ["ConnectionLimits", "GuardedProtocol", "make_protocol", "raise_file_limit"]

LOOK_S = 0.5
"""How often connections are looked at."""
SPARE_FILES = 256
"""Open files that are not connections: the database, models, calls to endpoints."""
LATE = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
TOO_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
Phase = Literal["idle", "headers", "body", "answer"]


@dataclass(frozen=True, kw_only=True)
class ConnectionLimits:
    """Deadlines in seconds."""

    header_s: float = 10.0
    """From the connection, or the first byte of a later request, to the end of the headers."""
    body_s: float = 30.0
    """From the headers to the end of the body, and longer by what arrives at `body_bytes_per_s`."""
    body_bytes_per_s: float = 10_000.0
    write_s: float = 60.0
    """How long a client may leave a reply unread."""
    header_bytes: int = 65_536
    connections: int = 5000
    """At the most; beyond it the one that has been silent for the longest time is closed."""


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with deadlines; `make_protocol` sets them."""

    limits: ClassVar[ConnectionLimits] = ConnectionLimits()
    _timers: ClassVar[dict[asyncio.AbstractEventLoop, asyncio.TimerHandle]] = {}

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection in; beyond the ceiling somebody who is silent goes."""
        super().connection_made(transport)
        self._phase: Phase = "idle"
        self._since = self.loop.time()
        self._received = 0
        self._unread_since: float | None = None
        self._requests = 0
        if len(self.connections) > self.limits.connections:
            self._make_room()
        if self.loop not in self._timers:
            self._timers[self.loop] = self.loop.call_later(LOOK_S, self._look)

    def data_received(self, data: bytes) -> None:
        """Take bytes in; headers without end are refused."""
        if self._phase in ("idle", "headers"):
            if self._phase == "idle":
                self._phase = "headers"
                if self._requests:  # the first request's time began with the connection
                    self._since = self.loop.time()
                self._received = 0
            self._received += len(data)
        super().data_received(data)
        if self._phase == "headers" and self._received > self.limits.header_bytes:
            self._refuse("long headers", TOO_LONG)

    def on_headers_complete(self) -> None:
        """Note that the body begins."""
        self._phase, self._since, self._received = "body", self.loop.time(), 0
        self._requests += 1
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Note how much has come."""
        self._received += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that it is our turn, where we have not answered already."""
        self._phase = "answer" if self._is_answering else "idle"
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Note that the client's next request may come; uvicorn's own timer ends connections that stay idle then."""
        if self._phase == "answer":
            self._phase, self._since = "idle", self.loop.time()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Note that the client does not read."""
        self._unread_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        """Note that it does again."""
        self._unread_since = None
        super().resume_writing()

    @property
    def _is_answering(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle  # uvicorn's own type leaves the None out
        return cycle is not None and not cycle.response_complete

    @property
    def is_silent(self) -> bool:
        """Whether nothing is asked on this connection at the moment, or not wholly."""
        return self._phase in ("idle", "headers") and not self._is_answering

    def _make_room(self) -> None:
        """Close the connection that has waited for its client the longest."""
        open_ones = [
            one
            for one in self.connections
            if isinstance(one, GuardedProtocol) and not one.transport.is_closing()
        ]
        if len(open_ones) <= self.limits.connections:
            return  # those that were ended a moment ago are about to go
        silent = [one for one in open_ones if one.is_silent and one is not self]
        oldest = min(silent, key=lambda one: one._since, default=self)  # noqa: SLF001
        CLOSED["too many"] += 1
        oldest.transport.abort()

    def _refuse(self, reason: str, answer: bytes) -> None:
        """Say why, and close."""
        CLOSED[reason] += 1
        cycle: RequestResponseCycle | None = self.cycle
        if self.transport.is_closing():
            return
        if self._phase != "body" or cycle is None or not cycle.response_started:
            self.transport.write(
                answer
            )  # else there is an answer already, and two would be told apart by nobody
        self.transport.close()

    def _look(self) -> None:
        """Close those of all connections that are late, and look again in a moment."""
        now = self.loop.time()
        for one in list(self.connections):
            if isinstance(one, GuardedProtocol):
                one._end_if_late(now)  # noqa: SLF001 - of this class
        if self.connections:
            self._timers[self.loop] = self.loop.call_later(LOOK_S, self._look)
        else:
            del self._timers[self.loop]

    def _end_if_late(self, now: float) -> None:
        limits, waited = self.limits, now - self._since
        if self._unread_since is not None and now - self._unread_since > limits.write_s:
            CLOSED["unread reply"] += 1
            self.transport.abort()
        elif self.transport.is_closing():
            if waited > limits.header_s + limits.write_s:
                self.transport.abort()  # it was told, and does not read that either
        elif self._phase == "headers" or (self._phase == "idle" and not self._requests):
            if waited > limits.header_s:
                self._refuse("late headers", LATE)
        elif self._phase == "body" and not self.flow.read_paused:
            if waited > limits.body_s + self._received / limits.body_bytes_per_s:
                self._refuse("late body", LATE)
        elif self._phase == "idle" and not self._is_answering and waited > KEEP_ALIVE_S + LOOK_S:
            self.transport.close()  # uvicorn's own timer ends with the first byte of what is no request


def make_protocol(limits: ConnectionLimits) -> type[GuardedProtocol]:
    """Return the protocol with these limits, and no more connections than this process may have open files."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    most = max(1, min(limits.connections, files - SPARE_FILES))
    settings: dict[str, Any] = {
        "limits": ConnectionLimits(**{**limits.__dict__, "connections": most})
    }
    return type("LimitedProtocol", (GuardedProtocol,), settings)


def raise_file_limit() -> None:
    """Let this process open as many files as the system allows it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
