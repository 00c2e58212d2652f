"""The official SDK, asynchronous, its default HTTP backend."""

import asyncio

from openai import AsyncOpenAI
from task import MODEL, arguments, finish, in_turn, messages


async def main() -> None:
    given = arguments()
    async with AsyncOpenAI(base_url=given.url, api_key="none") as client:

        async def one(question: str) -> str:
            reply = await client.chat.completions.create(
                model=MODEL,
                messages=messages(question),  # type: ignore[arg-type]  # plain dicts are accepted
                temperature=0,
            )
            return reply.choices[0].message.content or ""

        right, clock = await in_turn(given.examples, given.concurrency, one)
    finish(given.examples, right, clock, "openai")


if __name__ == "__main__":
    asyncio.run(main())
