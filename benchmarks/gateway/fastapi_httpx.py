"""The gateway one writes first: a FastAPI route, an httpx client, a row and a commit a request; nothing is checked.

uvicorn fastapi_httpx:application     # UPSTREAM and DATABASE in the environment
"""

import json
import os
import sqlite3
import time
from typing import Any

import httpx
from fastapi import FastAPI

UPSTREAM, DATABASE = os.environ.get("UPSTREAM", ""), os.environ.get("DATABASE", ":memory:")

application = FastAPI()
client = httpx.AsyncClient()
log = sqlite3.connect(DATABASE, check_same_thread=False)
log.execute("PRAGMA journal_mode=WAL")
log.execute("PRAGMA synchronous=NORMAL")
log.execute("CREATE TABLE IF NOT EXISTS log (at REAL, request TEXT, reply TEXT, latency REAL)")


@application.post("/v1/chat/completions")
async def chat(request: dict[str, Any]) -> dict[str, Any]:
    started = time.perf_counter()
    response = await client.post(f"{UPSTREAM}/chat/completions", json=request)
    reply: dict[str, Any] = response.json()
    row = (time.time(), json.dumps(request), json.dumps(reply), time.perf_counter() - started)
    with log:
        log.execute("INSERT INTO log VALUES (?, ?, ?, ?)", row)
    return reply
