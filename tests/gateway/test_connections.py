"""Connections that take what is nobody's to take: silent, slow, endless, unread; and good requests beside them."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import uvicorn

from ratchet.gateway.connections import ConnectionLimits, make_protocol
from ratchet.gateway.http import Receive, Scope, Send, body_of, respond

QUICK = ConnectionLimits(header_s=1.0, body_s=1.0, body_bytes_per_s=50_000, write_s=1.0)
HEAD = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the length of the body; `/long` takes a while, `/much` has megabytes to say."""
    if scope["type"] != "http":
        return
    body = await body_of(receive)
    if scope["path"] == "/long":
        await asyncio.sleep(2.5)
    if scope["path"] == "/much":
        await respond(send, 200, b"x" * 50_000_000)
        return
    await respond(send, 200, json.dumps(len(body)).encode())


@contextmanager
def server(limits: ConnectionLimits) -> Iterator[int]:
    """Give the port of a server with these limits."""
    config = uvicorn.Config(
        echo, port=0, http=make_protocol(limits), lifespan="off", log_level="critical"
    )
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run)
    thread.start()
    while not running.started:
        thread.join(0.01)
    try:
        yield running.servers[0].sockets[0].getsockname()[1]
    finally:
        running.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with server(QUICK) as port:
        yield port


def opened(port: int, first: bytes = b"", *, patience_s: float = 10.0) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=patience_s)
    if first:
        connection.sendall(first)
    return connection


def told(connection: socket.socket) -> bytes:
    """Return all that comes until the server closes."""
    parts = []
    try:
        while part := connection.recv(65_536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def ask(port: int, path: bytes = b"/", body: bytes = b"hello") -> bytes:
    head = b"POST %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    with opened(port, head % (path, len(body)) + body) as connection:
        return told(connection)


@pytest.mark.parametrize(
    ("first", "answer"),
    [
        (b"", b"408"),
        (HEAD, b"408"),
        (HEAD + b"Content-Length: 100\r\n\r\nabc", b"408"),
        (HEAD + b"X-Long: " + b"a" * 70_000, b"431"),
    ],
)
def test_who_does_not_finish_is_told_so_and_closed(port: int, first: bytes, answer: bytes) -> None:
    """Nothing at all, half of the headers, half of a body, headers without end."""
    with opened(port, first) as connection:
        assert answer in told(connection).split(b"\r\n")[0]


def test_a_fair_upload_is_not_cut(port: int) -> None:
    """A body that arrives in pieces for longer than the deadline passes, as it comes at a fair rate."""
    with opened(port, HEAD + b"Connection: close\r\nContent-Length: 200000\r\n\r\n") as connection:
        for _ in range(20):
            connection.sendall(b"a" * 10_000)
            threading.Event().wait(0.1)
        assert told(connection).endswith(b"200000")


def test_a_long_answer_is_not_cut(port: int) -> None:
    """What takes the server longer than all deadlines of its clients is answered."""
    assert ask(port, b"/long").endswith(b"5")


def test_a_reply_that_nobody_reads_is_dropped(port: int) -> None:
    """The server does not hold megabytes for a client that has stopped reading."""
    with opened(port, b"POST /much HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n") as connection:
        threading.Event().wait(3.0)
        assert len(told(connection)) < 50_000_000


def test_connections_are_used_again(port: int) -> None:
    """Several requests on one connection, with pauses, are answered each."""
    request = HEAD + b"Content-Length: 2\r\n\r\nab"
    with opened(port) as connection:
        for _ in range(3):
            connection.sendall(request)
            assert connection.recv(4096).endswith(b"2")
            threading.Event().wait(0.4)


def test_good_requests_are_answered_beside_silent_and_slow_ones() -> None:
    """200 that say nothing and 50 that say too little: each good request is answered, and all others are closed."""
    with server(QUICK) as port:
        idle = [opened(port) for _ in range(200)]
        slow = [opened(port, HEAD + b"X-Slow: ") for _ in range(50)]
        answers = [ask(port) for _ in range(30)]
        ends = [told(one) for one in [*idle, *slow]]
        for one in [*idle, *slow]:
            one.close()

    assert all(answer.endswith(b"5") for answer in answers)
    assert len(ends) == 250


def test_beyond_the_ceiling_the_longest_silent_goes() -> None:
    """Ten connections at the most: a good request is answered all the same."""
    with server(ConnectionLimits(connections=10, header_s=30.0)) as port:
        idle = [opened(port) for _ in range(25)]
        assert ask(port).endswith(b"5")
        for one in idle:
            one.close()
