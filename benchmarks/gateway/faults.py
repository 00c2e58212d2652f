"""Many requests through the gateway to an upstream that fails in every way: each client gets an answer or an error in
OpenAI's shape, and each request is in the log, once.

python benchmarks/gateway/faults.py                  # 10,000 requests, 64 at once
python benchmarks/gateway/faults.py --requests 1000
"""

import argparse
import asyncio
import json
import random
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import uvicorn

from ratchet.gateway import Gateway
from ratchet.models import ModelPool
from ratchet.store import EndpointSettings, open_database
from ratchet.store.requests import read_requests

KINDS = ("429", "500", "reset", "slow", "half", "nonsense")
SHARE_OF_FAULTS = 0.3


@dataclass
class Found:
    """What came of it."""

    answers: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    """Replies that are neither an answer nor an error in OpenAI's shape."""
    ids: list[str] = field(default_factory=list)
    logged: list[str] = field(default_factory=list)
    seconds: float = 0.0


class Upstream:
    """A model server that fails at random."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)
        self.faults: Counter[str] = Counter()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        parts = []
        while True:
            message = await receive()
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                break
        body = json.loads(b"".join(parts))
        fault = self._random.choice(KINDS) if self._random.random() < SHARE_OF_FAULTS else "none"
        self.faults[fault] += 1
        if fault in ("429", "500"):
            await whole(
                send, int(fault), b'{"error": {"message": "scripted"}}', [(b"retry-after", b"0")]
            )
        elif fault == "nonsense":
            await whole(send, 200, b"<html>oops")
        elif fault == "reset":
            raise ConnectionResetError  # the connection is closed without a word
        else:
            pieces = events() if body.get("stream") else [completion()]
            await start(
                send, 200, b"text/event-stream" if body.get("stream") else b"application/json"
            )
            for place, piece in enumerate(pieces):
                if fault == "half" and place >= len(pieces) // 2:
                    if len(pieces) == 1:
                        await send(
                            {"type": "http.response.body", "body": piece[:20], "more_body": True}
                        )
                    raise ConnectionResetError
                if fault == "slow":
                    await asyncio.sleep(0.4 / len(pieces))
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})


async def start(
    send: Any, status: int, kind: bytes, headers: list[tuple[bytes, bytes]] | None = None
) -> None:
    named = [(b"content-type", kind), *(headers or [])]
    await send({"type": "http.response.start", "status": status, "headers": named})


async def whole(
    send: Any, status: int, body: bytes, headers: list[tuple[bytes, bytes]] | None = None
) -> None:
    await start(
        send,
        status,
        b"application/json",
        [(b"content-length", str(len(body)).encode()), *(headers or [])],
    )
    await send({"type": "http.response.body", "body": body})


def completion() -> bytes:
    message = {"role": "assistant", "content": "a b c"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return json.dumps(
        {"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 3}}
    ).encode()


def events() -> list[bytes]:
    deltas = [{"content": text} for text in ("a", " b", " c")]
    said = [{"choices": [{"index": 0, "delta": d, "finish_reason": None}]} for d in deltas]
    said += [{"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}]
    return [*(b"data: " + json.dumps(one).encode() + b"\n\n" for one in said), b"data: [DONE]\n\n"]


async def ask(session: aiohttp.ClientSession, url: str, number: int, found: Found) -> None:
    """Ask once, every second time for a stream, and look at what comes back."""
    streamed = number % 2 == 1
    body = {
        "model": "up/m",
        "messages": [{"role": "user", "content": str(number)}],
        "stream": streamed,
    }
    try:
        async with session.post(url + "/chat/completions", json=body) as response:
            said = await response.read()
            found.ids.append(response.headers["x-request-id"])
            if streamed and response.status == 200:
                lines = [
                    line[6:] for line in said.decode().split("\n") if line.startswith("data: ")
                ]
                last = lines[-1]
                if last != "[DONE]":
                    said = last.encode()
                else:
                    text = "".join(
                        choice["delta"].get("content") or ""
                        for line in lines[:-1]
                        for choice in json.loads(line)["choices"]
                    )
                    found.answers += text == "a b c"
                    if text != "a b c":
                        found.wrong.append(f"{number}: {text!r}")
                    return
            content = json.loads(said)
            if response.status == 200 and "choices" in content:
                found.answers += 1
            elif {"message", "type", "param", "code"} == set(content["error"]):
                found.errors[f"{response.status} {content['error']['code']}"] += 1
            else:
                found.wrong.append(f"{number}: {response.status} {said[:100]!r}")
    except (aiohttp.ClientError, ValueError, KeyError, IndexError) as error:
        found.wrong.append(f"{number}: {error!r}")


async def serving(app: Any) -> tuple[uvicorn.Server, asyncio.Task[None], str]:
    """Serve an application in this loop."""
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, log_level="critical", access_log=False, lifespan="auto")
    )
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    return server, task, f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/v1"


async def run(requests: int, at_once: int, *, retries: int = 1) -> tuple[Found, Counter[str]]:
    """Return what came of so many requests, and which faults there were."""
    found, upstream = Found(), Upstream()
    with tempfile.TemporaryDirectory() as folder:
        engine = open_database(f"sqlite:///{Path(folder) / 'r.db'}")
        up, up_task, up_url = await serving(upstream)
        settings = EndpointSettings(base_url=up_url, retries=retries, timeout_s=5)
        gateway, task, url = await serving(Gateway(engine, lambda: ModelPool({"up": settings})))
        started, turns = time.perf_counter(), asyncio.Semaphore(at_once)

        async def one(session: aiohttp.ClientSession, number: int) -> None:
            async with turns:
                await ask(session, url, number, found)

        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            await asyncio.gather(*(one(session, number) for number in range(requests)))
        found.seconds = time.perf_counter() - started
        gateway.should_exit = up.should_exit = True
        await asyncio.gather(task, up_task)
        found.logged = [one.id for one in read_requests(engine, after=0.0)]
        engine.dispose()
    return found, upstream.faults


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--at-once", type=int, default=64)
    given = parser.parse_args()
    found, faults = asyncio.run(run(given.requests, given.at_once))
    print(
        f"{given.requests:,} requests, {given.at_once} at once, every second one a stream: {found.seconds:.1f} s"
    )
    print(f"faults upstream: {dict(sorted(faults.items()))}")
    print(
        f"answers {found.answers:,}; errors in OpenAI's shape {dict(found.errors)}; neither {len(found.wrong)} {found.wrong[:3]}"
    )
    print(
        f"in the log {len(found.logged):,}, of them once {len(set(found.logged)):,}; ids told {len(set(found.ids)):,}, all in the log: {set(found.ids) <= set(found.logged)}"
    )


if __name__ == "__main__":
    main()
