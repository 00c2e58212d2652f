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
    url: str, model: str, headers: list[str], numbers: list[int], taken: list[float]
) -> int:
    """Ask the numbers one after another on one connection; return how many answers were right."""
    parts = urlsplit(url)
    lines = [f"POST {parts.path}/chat/completions HTTP/1.1", f"Host: {parts.netloc}", "Content-Type: application/json", *headers]  # fmt: skip
    start = "\r\n".join(lines)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
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
        head = f"{start}\r\nContent-Length: {len(body)}\r\n\r\n"
        started = time.perf_counter()
        writer.write(head.encode() + body)
        received = await reader.readuntil(b"\r\n\r\n")
        at = received.lower().find(b"\r\ncontent-length:")
        content = await reader.readexactly(int(received[at + 17 :].split(b"\r\n", 1)[0]))
        taken.append(time.perf_counter() - started)
        said = json.loads(content)["choices"][0]["message"]["content"]
        right += said == str(number + number % 2)
    writer.close()
    return right


async def load(
    url: str, model: str, headers: list[str], requests: int, at_once: int
) -> dict[str, float]:
    """Return the figures."""
    numbers, taken = list(range(requests)), list[float]()
    started = time.perf_counter()
    rights = await asyncio.gather(
        *(connection(url, model, headers, numbers, taken) for _ in range(at_once))
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
    parser.add_argument("--header", action="append", default=[], help="One more: 'Name: value'.")
    given = parser.parse_args()
    found = load(given.url, given.model, given.header, given.requests, given.at_once)
    print(json.dumps(asyncio.run(found)))


if __name__ == "__main__":
    main()
