"""The yardstick: a plain ASGI handler that passes the body on by aiohttp and logs to SQLite in batches; nothing is checked.

uvicorn benchmarks.gateway.yardstick:application     # UPSTREAM and DATABASE in the environment
"""

import asyncio
import os
import sqlite3
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import aiohttp
import orjson

UPSTREAM, DATABASE = os.environ.get("UPSTREAM", ""), os.environ.get("DATABASE", ":memory:")
EVERY_S = 0.05
Message = MutableMapping[str, Any]


class Yardstick:
    """One route, one upstream, one log."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._rows: list[tuple[float, bytes, bytes, float]] = []
        self._task: asyncio.Task[None] | None = None

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Answer one connection."""
        if scope["type"] != "http":
            return
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
            self._task = asyncio.create_task(self._write())
        started, body = time.perf_counter(), b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        orjson.loads(body)
        async with self._session.post(f"{UPSTREAM}/chat/completions", data=body) as response:
            content, status = await response.read(), response.status
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(content)).encode()),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})
        self._rows.append((time.time(), body, content, time.perf_counter() - started))

    async def _write(self) -> None:
        connection = sqlite3.connect(DATABASE, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS log (at REAL, request BLOB, reply BLOB, latency REAL)"
        )
        while True:
            await asyncio.sleep(EVERY_S)
            rows, self._rows = self._rows, []
            if rows:
                await asyncio.to_thread(commit, connection, rows)


def commit(connection: sqlite3.Connection, rows: list[tuple[float, bytes, bytes, float]]) -> None:
    with connection:
        connection.executemany("INSERT INTO log VALUES (?, ?, ?, ?)", rows)


application = Yardstick()
