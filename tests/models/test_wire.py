"""The pool of connections, against a server that says the very bytes that a test wants, on asyncio's own loop and on uvloop."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from ratchet.models import wire as module
from ratchet.models.wire import AHEAD, CutError, Wire

uvloop = pytest.importorskip("uvloop")

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"


class Says:
    """A server that answers each request with the next of some bytes; None closes the connection without a word."""

    def __init__(self, *replies: bytes | None, closes: bool = False) -> None:
        self.replies, self.closes = list(replies), closes
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self.connections = 0
        self.open = 0
        self.most = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection."""
        self.connections += 1
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                self.heads.append(head)
                self.bodies.append(await reader.readexactly(length))
                reply = self.replies.pop(0) if self.replies else OK
                if reply is None:
                    break
                writer.write(reply)
                await writer.drain()
                if self.closes:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open -= 1
            writer.close()


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request):
    """Run what asks a server, on either loop."""

    def go(server: Says, work: Callable[[Wire], Awaitable[object]], *, limit: int = 4) -> object:
        async def main() -> object:
            listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
            port = listening.sockets[0].getsockname()[1]
            pool = Wire(f"http://127.0.0.1:{port}/v1", headers={"x-key": "k"}, limit=limit)
            try:
                return await asyncio.wait_for(work(pool), 20)
            finally:
                await pool.close()
                listening.close()

        with asyncio.Runner(loop_factory=uvloop.new_event_loop if request.param == "uvloop" else None) as runner:  # fmt: skip
            return runner.run(main())

    return go


async def said(pool: Wire, body: bytes = b"{}", *, timeout_s: float = 5) -> tuple[int, bytes]:
    """Return status and body of a reply."""
    answer, content = await pool.post("/v1/chat", body, timeout_s=timeout_s)
    return answer.status, content


def test_one_connection_serves_many_requests(run):
    """One after another they go over the same one; head and body arrive as they were given."""
    server = Says()

    async def work(pool):
        return [await said(pool, b"[%d]" % n) for n in range(5)]

    assert run(server, work) == [(200, b"hi")] * 5
    assert server.connections == 1
    assert server.bodies == [b"[%d]" % n for n in range(5)]
    assert server.heads[0].startswith(b"POST /v1/chat HTTP/1.1\r\nhost: 127.0.0.1:")
    assert b"\r\nx-key: k\r\n" in server.heads[0]


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", b"abcde"),
        (b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc", b"abc"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\nRetry-After: 7\r\n\r\nwait", b"wait"),
    ],
)  # fmt: skip
def test_bodies_of_every_kind_are_read(run, reply, found):
    """With a length, in chunks, after an announcement, of an error; the connection is good for another one."""
    server = Says(reply)

    async def work(pool):
        answer, content = await pool.post("/v1", b"", timeout_s=5)
        again = await said(pool)
        return answer.headers.get(b"retry-after"), content, again

    retry, content, again = run(server, work)
    assert (content, again) == (found, (200, b"hi"))
    assert retry == (b"7" if b"Retry" in reply else None)
    assert server.connections == 1


def test_a_body_may_end_with_its_connection(run):
    """As of a server of HTTP/1.0; the next request gets a new one."""
    server = Says(b"HTTP/1.0 200 OK\r\n\r\nall of it", closes=True)

    async def work(pool):
        return await said(pool), await said(pool)

    assert run(server, work) == ((200, b"all of it"), (200, b"hi"))
    assert server.connections == 2


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nhalf",
        b"HTTP/1.1 200 OK\r\ncontent-length: nine\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
    ],
)
def test_a_reply_that_is_cut_or_is_none_is_told_and_the_next_one_is_whole(run, reply):
    """Nothing of it is left in front of the next one."""
    server = Says(reply, closes=True)

    async def work(pool):
        with pytest.raises((CutError, ConnectionError)):
            await said(pool)
        return await said(pool)

    assert run(server, work) == (200, b"hi")


def test_nobody_there_and_nothing_said_are_named(run):
    """A closed port, and a connection that is closed without a word, are errors of the connection."""

    async def work(pool):
        with pytest.raises(ConnectionError, match="without a reply"):
            await said(pool)
        gone = Wire("http://127.0.0.1:9", headers={}, limit=1)
        with pytest.raises(ConnectionError):
            await said(gone)
        with pytest.raises(OSError):
            await said(Wire(f"https://127.0.0.1:{pool._port}", headers={}, limit=1))

    run(Says(None), work)


def test_who_goes_away_early_leaves_nothing_behind(run):
    """A reply that was not read to its end is not the next one's beginning, for a call that is dropped and for one that is too slow."""
    server = Says(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")  # fmt: skip

    async def work(pool):
        call = asyncio.create_task(said(pool))
        await asyncio.sleep(0.1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        with pytest.raises(TimeoutError):
            await said(pool, timeout_s=0.1)
        return await said(pool)

    assert run(server, work) == (200, b"hi")
    assert server.connections == 3


def test_a_connection_that_was_idle_or_closed_is_not_used_again(run, monkeypatch):
    """The server may have closed it, or may be about to."""
    server = Says(OK, closes=True)

    async def work(pool):
        await said(pool)
        await asyncio.sleep(0.1)  # the server has closed it
        await said(pool)
        server.closes = False
        await said(pool)
        monkeypatch.setattr(module, "IDLE_S", 0.0)
        await said(pool)

    run(server, work)
    assert server.connections == 4


def test_no_more_connections_than_are_allowed(run):
    """Who comes later waits."""
    server = Says()

    async def work(pool):
        return await asyncio.gather(*(said(pool) for _ in range(50)))

    assert run(server, work, limit=3) == [(200, b"hi")] * 50
    assert server.most <= 3


def test_each_call_has_its_own_deadline_wherever_it_waits(run):
    """For its turn, for the status, in the middle of a body; a later one with less time ends before an earlier one."""
    half = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"
    server = Says(b"", b"", half)

    async def work(pool):
        loop, ended = asyncio.get_running_loop(), []
        started = loop.time()

        async def call(timeout_s):
            with pytest.raises(TimeoutError):
                await said(pool, timeout_s=timeout_s)
            ended.append((timeout_s, loop.time() - started))

        async with asyncio.TaskGroup() as group:
            for timeout_s in (0.6, 0.4004, 0.2004):  # two have their turn, one waits for it
                group.create_task(call(timeout_s))
        came = []

        async def half_a_stream():
            async with pool.stream("/v1", b"", timeout_s=0.2) as answer:
                came.append(answer.status)
                async for piece in answer.pieces():
                    came.append(piece)  # noqa: PERF401 - what came before the deadline is wanted

        with pytest.raises(TimeoutError):
            await half_a_stream()
        return ended, came, await said(pool)

    ended, came, after = run(server, work, limit=2)
    assert came == [200, b"half"]
    assert [wanted for wanted, _ in ended] == [0.2004, 0.4004, 0.6]
    assert all(wanted <= took + 0.01 for wanted, took in ended)
    assert all(took < wanted + 1.0 for wanted, took in ended)
    assert after == (200, b"hi")


def test_deadlines_that_fall_between_a_clocks_ticks_hold_up_nobody(run):
    """Others begin at any moment around them; each has its reply, or its deadline."""
    server = Says(*[b""] * 40)

    async def work(pool):
        async def call(n):
            await asyncio.sleep(n * 0.0007)
            return await said(pool, timeout_s=0.0104 + n * 0.0003)

        ended = await asyncio.gather(*map(call, range(40)), return_exceptions=True)
        return [type(one) for one in ended], await said(pool)

    assert run(server, work, limit=50) == ([TimeoutError] * 40, (200, b"hi"))


def test_a_stream_whose_reader_is_held_up_itself_gives_its_turn_back_at_its_deadline(run):
    """The next call does not wait for a client that does not read; the stream says that it was late."""
    server = Says(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")

    async def work(pool):
        held = asyncio.Event()

        async def stuck():
            async with pool.stream("/v1", b"", timeout_s=0.2) as answer:
                async for _ in answer.pieces():
                    await held.wait()

        task = asyncio.create_task(stuck())
        await asyncio.sleep(0.05)
        others = await asyncio.gather(*(said(pool) for _ in range(3)))
        held.set()
        with pytest.raises(TimeoutError):
            await task
        return others, await asyncio.gather(*(said(pool) for _ in range(3)))

    assert run(server, work, limit=1) == ([(200, b"hi")] * 3, [(200, b"hi")] * 3)
    assert server.most <= 2  # the one that was let go may still be closing


def test_a_stream_comes_piece_by_piece_and_holds_its_server_up(run):
    """Its status is there before its body, and where nobody reads the server cannot send on; all of it arrives in order."""
    parts = [bytes([65 + n % 26]) * 100_000 for n in range(80)]

    class Slow(Says):
        sent = 0

        async def serve(self, reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % sum(map(len, parts)))
            for part in parts:
                writer.write(part)
                await writer.drain()
                self.sent += len(part)
            writer.close()

    server = Slow()

    async def work(pool):
        async with pool.stream("/v1", b"", timeout_s=15) as answer:
            assert answer.status == 200
            await asyncio.sleep(0.5)
            held = server.sent
            return held, b"".join([piece async for piece in answer.pieces()])

    held, content = run(server, work)
    assert content == b"".join(parts)
    assert held < len(content) - AHEAD
