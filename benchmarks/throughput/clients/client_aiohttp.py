"""The yardstick: a bare aiohttp loop that writes every answer with its score to SQLite, in batches."""

import asyncio
import json
import sqlite3
import tempfile
from pathlib import Path

import aiohttp
import orjson
from task import MODEL, arguments, finish, in_turn, messages

BATCH = 500


class Store:
    """Answers on disk, WAL, a commit a batch."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.execute(
            "CREATE TABLE answers (question TEXT PRIMARY KEY, output TEXT, usage TEXT)"
        )
        self._waiting: list[tuple[str, str, str]] = []

    def put(self, question: str, output: str, usage: object) -> None:
        self._waiting.append((question, output, json.dumps(usage)))
        if len(self._waiting) >= BATCH:
            self.flush()

    def flush(self) -> None:
        with self._connection:
            self._connection.executemany("INSERT INTO answers VALUES (?, ?, ?)", self._waiting)
        self._waiting.clear()

    def count(self) -> int:
        return int(self._connection.execute("SELECT count(*) FROM answers").fetchone()[0])


async def main() -> None:
    given = arguments()
    url = f"{given.url}/chat/completions"
    with tempfile.TemporaryDirectory(prefix="ratchet-throughput-") as folder:
        store = Store(Path(folder) / "answers.db")
        connector = aiohttp.TCPConnector(limit=given.concurrency)
        async with aiohttp.ClientSession(connector=connector) as session:

            async def one(question: str) -> str:
                body = orjson.dumps(
                    {
                        "model": MODEL,
                        "messages": messages(question),
                        "temperature": 0,
                        "max_tokens": 512,
                    }
                )
                headers = {"Content-Type": "application/json"}
                async with session.post(url, data=body, headers=headers) as response:
                    response.raise_for_status()
                    reply = orjson.loads(await response.read())
                text: str = reply["choices"][0]["message"]["content"]
                store.put(question, text, reply["usage"])
                return text

            right, clock = await in_turn(given.examples, given.concurrency, one)
        store.flush()
        assert store.count() == given.examples
    finish(given.examples, right, clock, "aiohttp", "orjson")


if __name__ == "__main__":
    asyncio.run(main())
