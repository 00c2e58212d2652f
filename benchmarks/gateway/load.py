"""Ask a gateway as fast as it answers: raw sockets, keep-alive, so that the client is not what is measured.

    python benchmarks/gateway/load.py http://127.0.0.1:8100/v1 MODEL --requests 5000 --at-once 64

Prints one JSON line: requests a second, p50 and p99 in milliseconds, and how many answers were right.
"""

import argparse
import asyncio
import json
import time
from urllib.parse import urlsplit


async def connection(
    host: str, port: int, path: str, model: str, numbers: list[int], taken: list[float]
) -> int:
    """Ask the numbers one after another on one connection; return how many answers were right."""
    reader, writer = await asyncio.open_connection(host, port)
    right = 0
    while numbers:
        number = numbers.pop()
        body = json.dumps(
            {
                "model": model,
                "messages": [
                    {"role": "user", "content": f"What is <<{number}>>? " + "word " * 100}
                ],
                "max_tokens": 16,
            }
        ).encode()
        head = f"POST {path}/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        started = time.perf_counter()
        writer.write(head.encode() + body)
        received = await reader.readuntil(b"\r\n\r\n")
        at = received.lower().find(b"content-length:")
        content = await reader.readexactly(int(received[at + 15 :].split(b"\r\n", 1)[0]))
        taken.append(time.perf_counter() - started)
        said = json.loads(content)["choices"][0]["message"]["content"]
        right += said == str(number + number % 2)
    writer.close()
    return right


async def load(url: str, model: str, requests: int, at_once: int) -> dict[str, float]:
    """Return the figures."""
    parts, numbers, taken = urlsplit(url), list(range(requests)), list[float]()
    assert parts.hostname
    assert parts.port
    started = time.perf_counter()
    rights = await asyncio.gather(
        *(
            connection(parts.hostname, parts.port, parts.path, model, numbers, taken)
            for _ in range(at_once)
        )
    )
    seconds = time.perf_counter() - started
    taken.sort()
    return {
        "requests_a_second": requests / seconds,
        "p50_ms": 1000 * taken[len(taken) // 2],
        "p99_ms": 1000 * taken[int(len(taken) * 0.99)],
        "right": sum(rights),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("model")
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--at-once", type=int, default=64)
    given = parser.parse_args()
    print(json.dumps(asyncio.run(load(given.url, given.model, given.requests, given.at_once))))


if __name__ == "__main__":
    main()
