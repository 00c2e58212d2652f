"""httpx, asynchronous, with as many connections as calls at once."""

import asyncio

import httpx
from task import MODEL, arguments, finish, in_turn, messages


async def main() -> None:
    given = arguments()
    limits = httpx.Limits(
        max_connections=given.concurrency, max_keepalive_connections=given.concurrency
    )
    async with httpx.AsyncClient(limits=limits, timeout=120) as client:

        async def one(question: str) -> str:
            body = {"model": MODEL, "messages": messages(question), "temperature": 0}
            response = await client.post(f"{given.url}/chat/completions", json=body)
            response.raise_for_status()
            return str(response.json()["choices"][0]["message"]["content"])

        right, clock = await in_turn(given.examples, given.concurrency, one)
    finish(given.examples, right, clock, "httpx")


if __name__ == "__main__":
    asyncio.run(main())
