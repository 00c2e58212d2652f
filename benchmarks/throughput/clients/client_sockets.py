"""The ceiling: bare asyncio sockets, one request in flight on each; shows what the stub itself can take."""

import asyncio
import json
from collections.abc import Iterator
from urllib.parse import urlsplit

from task import MODEL, Clock, arguments, asked, finish, messages


class Caller(asyncio.Protocol):
    """One connection that asks until the questions run out."""

    def __init__(self, requests: Iterator[tuple[bytes, bytes]], done: asyncio.Future[int]) -> None:
        self._requests, self._done = requests, done
        self._right, self._waiting, self._expected = 0, b"", b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # a TCP connection is no other
        self._transport = transport
        self._next()

    def _next(self) -> None:
        request, self._expected = next(self._requests, (b"", b""))
        if request:
            self._transport.write(request)
        else:
            self._transport.close()
            self._done.set_result(self._right)

    def data_received(self, data: bytes) -> None:
        self._waiting += data
        if self._waiting.endswith(b"}}"):  # the end of the stub's body
            self._right += self._expected in self._waiting
            self._waiting = b""
            self._next()


def written(url: str, count: int) -> Iterator[tuple[bytes, bytes]]:
    place = urlsplit(url)
    for question, reference in asked(count):
        body = json.dumps({"model": MODEL, "messages": messages(question)}).encode()
        head = f"POST {place.path}/chat/completions HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Length: {len(body)}\r\n\r\n"
        yield head.encode() + body, f'"content":"{reference}"'.encode()


async def main() -> None:
    given = arguments()
    place = urlsplit(given.url)
    loop = asyncio.get_running_loop()
    requests = iter(list(written(given.url, given.examples)))
    ends = [loop.create_future() for _ in range(given.concurrency)]
    clock = Clock()
    for end in ends:
        await loop.create_connection(
            lambda end=end: Caller(requests, end), place.hostname, place.port
        )
    right = sum(await asyncio.gather(*ends))
    finish(given.examples, right, clock.stop())


if __name__ == "__main__":
    asyncio.run(main())
