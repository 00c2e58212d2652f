"""A scripted OpenAI-compatible server that is never the bottleneck: raw asyncio protocol, one process, loopback alone.

    python benchmarks/throughput/stub.py --delay-ms 50        # prints its base URL, serves until it is stopped

It answers `POST …/chat/completions` with the number that stands in `<<…>>` in the request: an even number as it is, an odd
one plus one, so that exactly half of consecutive numbers are right. It looks at the request as bytes and never parses its
JSON; where the prompt asks for DSPy's field markers the answer carries them. Anything else is 404.
"""

import argparse
import asyncio

HEAD = b'{"id":"chatcmpl-stub","object":"chat.completion","created":0,"model":"stub","choices":[{"index":0,"message":{"role":"assistant","content":"'
TAIL = b'"},"finish_reason":"stop","logprobs":null}],"usage":{"prompt_tokens":48,"completion_tokens":4,"total_tokens":52}}'
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
DSPY_FIELD = b"[[ ## answer ## ]]"
DSPY_END = b"\\n\\n[[ ## completed ## ]]"


def said(body: bytes) -> bytes:
    """Return the text of the answer, as the inside of a JSON string."""
    start = body.rfind(b"<<") + 2
    number = int(body[start : body.find(b">>", start)])
    text = b"%d" % (number + number % 2)
    return DSPY_FIELD + b"\\n" + text + DSPY_END if DSPY_FIELD in body else text


def reply(body: bytes) -> bytes:
    """Return the whole response."""
    content = HEAD + said(body) + TAIL
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        % len(content)
        + content
    )


class Connection(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self._loop = asyncio.get_running_loop()
        self._waiting = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # a TCP server makes no other
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._waiting += data
        while (end := self._waiting.find(b"\r\n\r\n")) >= 0:
            head = self._waiting[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            stop = end + 4 + length
            if len(self._waiting) < stop:
                return
            body, self._waiting = self._waiting[end + 4 : stop], self._waiting[stop:]
            is_chat = head.startswith(b"post ") and b"/chat/completions " in head
            self._send(reply(body) if is_chat else NOT_FOUND)

    def _send(self, response: bytes) -> None:
        if self._delay_s:
            self._loop.call_later(self._delay_s, self._transport.write, response)
        else:
            self._transport.write(response)


async def serve(delay_s: float, port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(delay_s), "127.0.0.1", port, backlog=1024)
    port = server.sockets[0].getsockname()[1]
    print(f"http://127.0.0.1:{port}/v1", flush=True)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--delay-ms", type=float, default=0.0)
    parser.add_argument("--port", type=int, default=0)
    given = parser.parse_args()
    asyncio.run(serve(given.delay_ms / 1000, given.port))


if __name__ == "__main__":
    main()
