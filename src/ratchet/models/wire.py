"""HTTP/1.1 as calls to an endpoint need it: POST over a pool of kept connections, read by httptools, and nothing else.

A call takes a quarter of the processor time that it takes with aiohttp, all of it on the loop's own thread (benchmarks/gateway). There are no
redirects, cookies, proxies or compression: an endpoint that wants one of these says so by its status.
"""

import asyncio
import math
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import cast
from urllib.parse import urlsplit

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

__all__ = ["Answer", "CutError", "Wire"]

CONNECT_S = 30.0
IDLE_S = 15.0
"""A connection that nobody used for so long is not used again: its server may be about to close it."""
CLOCK_S = 0.001
"""uvloop's timers come so much too early."""
AHEAD = 1 << 20
"""Bytes of a stream that may wait to be read, before its server is held up."""


class CutError(Exception):
    """A reply ended before its end, or is no HTTP."""


class Answer:
    """A reply on its way: its status is known first, then come the parts of its body."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self._parts: list[bytes] = []
        self._waiting = 0
        self._is_held = False
        self._error: Exception | None = None
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        """Names in lower case; of several of one name the last."""
        self.is_whole = False

    async def begun(self) -> None:
        """Wait for the status.

        Raises: ConnectionError if there is none; CutError if it is none.
        """
        while not self.status:
            await self._more()

    async def content(self) -> bytes:
        """Return the whole body.

        Raises: CutError if it ends before its end; and as `begun`.
        """
        while not self.is_whole:
            await self._more()
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes.

        Raises: as `content`.
        """
        while True:
            found, self._parts, self._waiting = self._parts, [], 0
            for part in found:
                yield part
            if self._parts:
                continue
            if self.is_whole:
                return
            if self._is_held:
                self._is_held = False
                self._transport.resume_reading()
            await self._more()

    async def _more(self) -> None:
        if self._error:
            raise self._error
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    # --- what the connection tells ---

    def begins(self, status: int) -> None:
        """Take the status."""
        self.status = status
        self._wake()

    def takes(self, part: bytes) -> None:
        """Take a part of the body."""
        self._parts.append(part)
        self._waiting += len(part)
        self._wake()

    def ends(self, error: Exception | None = None) -> None:
        """Take the end; the first one counts."""
        if self.is_whole or self._error:
            return
        self.is_whole, self._error = error is None, error
        self._wake()

    def hold(self) -> None:
        """Hold the server up where more waits to be read than may."""
        if self._waiting > AHEAD and not self._is_held:
            self._is_held = True
            self._transport.pause_reading()

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)


class Deadlines:
    """Ends replies that are late: one timer for all of them, as one for each takes a twentieth of a call.

    Args:
        late: Is told of each, as whoever reads it may be held up himself.
    """

    def __init__(self, late: Callable[["Connection"], None]) -> None:
        self._late = late
        self._ends: dict[Answer, tuple[float, Connection]] = {}
        self._timer: asyncio.Handle | None = None
        self._looks_at = math.inf

    def begin(self, answer: Answer, ends_at: float, connection: "Connection") -> None:
        """Take note of a reply, and of when it must be whole, by the loop's clock."""
        self._ends[answer] = ends_at, connection
        if ends_at < self._looks_at:
            self._look_at(ends_at)

    def end(self, answer: Answer) -> bool:
        """Forget a reply; return whether it was in time so far."""
        return self._ends.pop(answer, None) is not None

    def _look_at(self, moment: float) -> None:
        if self._timer:
            self._timer.cancel()
        self._looks_at = moment
        self._timer = asyncio.get_running_loop().call_at(moment, self._look)

    def _look(self) -> None:
        now = asyncio.get_running_loop().time() + CLOCK_S
        self._timer, self._looks_at = None, math.inf
        for answer, (ends_at, connection) in list(self._ends.items()):
            if ends_at <= now:
                del self._ends[answer]
                answer.ends(TimeoutError())
                self._late(connection)
        if self._ends:
            self._look_at(min(ends_at for ends_at, _ in self._ends.values()))


class Connection(asyncio.Protocol):
    """One connection, and the reply that comes on it."""

    def __init__(self) -> None:
        self.is_usable = True
        self.used_at = 0.0
        self._transport: asyncio.Transport
        self._answer: Answer | None = None
        self._parser: HttpResponseParser
        self._holds_back = False

    def ask(self, request: bytes, *, holds_back: bool) -> Answer:
        """Send a request, and return its reply; with `holds_back` the server is held up where nobody reads."""
        self._answer, self._holds_back = Answer(self._transport), holds_back
        self._parser = HttpResponseParser(self)
        self._transport.write(request)
        return self._answer

    def close(self) -> None:
        """Close it at once."""
        self.is_usable = False
        self._transport.abort()

    # --- asyncio ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one by its methods

    def data_received(self, data: bytes) -> None:
        """Read on."""
        answer = self._answer
        if answer is None:  # nobody asked
            self.close()
            return
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._ended(CutError(f"it is no HTTP: {error}"))
            self.close()
        if self._holds_back and self._answer:
            answer.hold()

    def connection_lost(self, error: Exception | None) -> None:
        """Tell who waits."""
        self.is_usable = False
        answer = self._answer
        if answer is None:
            return
        if not answer.status:
            self._ended(ConnectionError(str(error or "it closed the connection without a reply")))
        elif not error and not {b"content-length", b"transfer-encoding"} & answer.headers.keys():
            self._ended(None)  # its end is the end of the connection
        else:
            self._ended(CutError(str(error or "it closed the connection")))

    # --- httptools ---

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        if self._answer is None:  # another reply, that nobody asked for
            self.is_usable = False
            return
        self._answer.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """Take the status; one below 200 announces another one."""
        status = self._parser.get_status_code()
        if self._answer and status >= 200:
            self._answer.begins(status)

    def on_body(self, part: bytes) -> None:
        """Take a part of the body."""
        if self._answer:
            self._answer.takes(part)

    def on_message_complete(self) -> None:
        """Take the end of the reply; the connection may be used again, where its server does not close it."""
        if self._answer is None or not self._answer.status:
            return
        if not self._parser.should_keep_alive():
            self.is_usable = False
        self._ended(None)

    def _ended(self, error: Exception | None) -> None:
        answer, self._answer = self._answer, None
        if answer:
            answer.ends(error)


class Wire:
    """A pool of connections to one host.

    Args:
        base_url: `http` or `https`, a host, and the port where it is not the usual one.
        headers: Sent with each request.
        limit: Connections at a time; who comes later waits.
    """

    def __init__(self, base_url: str, *, headers: Mapping[str, str], limit: int) -> None:
        parts = urlsplit(base_url)
        self._is_secure = parts.scheme == "https"
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if self._is_secure else 80)
        named = {"host": parts.netloc.rpartition("@")[2], "accept": "*/*", "accept-encoding": "identity", "user-agent": "ratchet", **headers}  # fmt: skip
        lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
        self._head = lines.encode("utf-8")
        self._free: list[Connection] = []
        self._turn = asyncio.Semaphore(limit)
        self._deadlines = Deadlines(self._let_go)
        self._tls: ssl.SSLContext | None = None
        self._is_closed = False

    async def post(self, path: str, body: bytes, *, timeout_s: float) -> tuple[Answer, bytes]:
        """Return the reply and its whole body.

        Args:
            path: From the first slash on.
            body: What is sent.
            timeout_s: Seconds for all of it.
        Raises: TimeoutError; OSError if nobody answers; CutError if the reply is cut.
        """
        request = self._request(path, body)
        connection, answer = await self._asked(request, timeout_s, holds_back=False)
        try:
            return answer, await answer.content()
        finally:
            self._keep(connection, answer)

    @asynccontextmanager
    async def stream(self, path: str, body: bytes, *, timeout_s: float) -> AsyncIterator[Answer]:
        """Yield the reply as soon as its status is there.

        Raises: as `post`.
        """
        request = self._request(path, body)
        connection, answer = await self._asked(request, timeout_s, holds_back=True)
        try:
            yield answer
        finally:
            self._keep(connection, answer)

    async def close(self) -> None:
        """Close the connections that nobody uses, and each other one once its reply has ended."""
        self._is_closed = True
        while self._free:
            self._free.pop().close()

    def _request(self, path: str, body: bytes) -> bytes:
        return b"POST %b HTTP/1.1\r\n%bcontent-length: %d\r\n\r\n%b" % (path.encode(), self._head, len(body), body)  # fmt: skip

    async def _asked(
        self, request: bytes, timeout_s: float, *, holds_back: bool
    ) -> tuple[Connection, Answer]:
        """Return a reply that has begun, of which `_keep` must be told when it is read; a kept connection that its server has just closed is no error, a new one is."""
        ends_at = asyncio.get_running_loop().time() + timeout_s
        if self._turn.locked():
            async with asyncio.timeout_at(ends_at):
                await self._turn.acquire()
        else:
            await self._turn.acquire()  # at once
        while True:
            kept = self._kept()
            try:
                connection = kept or await self._opened(ends_at)
                answer = connection.ask(request, holds_back=holds_back)
            except BaseException:
                self._turn.release()
                raise
            self._deadlines.begin(answer, ends_at, connection)
            try:
                await answer.begun()
            except BaseException as error:
                if kept is None or not isinstance(error, ConnectionError):
                    self._keep(connection, answer)
                    raise
                self._deadlines.end(answer)
                connection.close()
            else:
                return connection, answer

    def _let_go(self, connection: Connection) -> None:
        """Close a connection, and let the next one have its turn."""
        connection.close()
        self._turn.release()

    def _keep(self, connection: Connection, answer: Answer) -> None:
        """Take a connection back, if its reply has ended: whoever goes away early leaves the rest of it in front of the next one."""
        if not self._deadlines.end(answer):  # it was late, and its connection is let go
            return
        self._turn.release()
        if answer.is_whole and connection.is_usable and not self._is_closed:
            connection.used_at = asyncio.get_running_loop().time()
            self._free.append(connection)
        else:
            connection.close()

    def _kept(self) -> Connection | None:
        """Return the connection that was used last, if it may be used still."""
        while self._free:
            found = self._free.pop()
            if found.is_usable and asyncio.get_running_loop().time() - found.used_at < IDLE_S:
                return found
            found.close()
        return None

    async def _opened(self, ends_at: float) -> Connection:
        if self._is_secure and self._tls is None:
            self._tls = ssl.create_default_context()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(min(ends_at, loop.time() + CONNECT_S)):
                _, made = await loop.create_connection(
                    Connection, self._host, self._port, ssl=self._tls
                )
        except TimeoutError as error:
            if loop.time() >= ends_at:
                raise
            raise ConnectionError(f"no connection within {CONNECT_S:g} s") from error
        return made
