"""What a server knows by heart, and reads again every few seconds: names and keys."""

import asyncio
import time
from collections.abc import Awaitable, Callable

__all__ = ["Fresh"]

FRESH_S = 2.0
"""What has changed is known after so many seconds at most."""


class Fresh:
    """Something that is read again where that was some seconds ago, once for all who come meanwhile; they wait for it.

    Args:
        read: Reads it.
    """

    def __init__(self, read: Callable[[], Awaitable[None]]) -> None:
        self._read = read
        self._until = float("-inf")
        self._expired = self._known = 0
        """How often it was taken for old, and how often when what is known began to be read."""
        self._reading: asyncio.Task[None] | None = None

    def expire(self) -> None:
        """Take what is known for old, and what is being read at the moment too, for all who come from now on."""
        self._expired += 1

    async def ensure(self) -> None:
        """Return once what is known is fresh; who came before it was taken for old once more does not wait for that.

        Raises: what reading it raises, to all who waited for it.
        """
        wanted = self._expired
        while self._known < wanted or time.monotonic() > self._until:
            if self._reading is None:
                self._reading = asyncio.create_task(self._go())
                self._reading.add_done_callback(told)
            await asyncio.shield(self._reading)  # who goes away does not take it along

    async def _go(self) -> None:
        expired = self._expired
        try:
            await self._read()
            self._known, self._until = expired, time.monotonic() + FRESH_S
        finally:
            self._reading = None


def told(task: asyncio.Task[None]) -> None:
    """Take note of an error that nobody waits for any more."""
    if not task.cancelled():
        task.exception()
