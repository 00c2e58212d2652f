"""Run a coroutine for a synchronous caller, also where a loop already runs (a notebook)."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["PROGRESS", "WHO", "run_sync"]

PROGRESS = "RATCHET_PROGRESS"
"""The environment variable that names the file into which a command writes how far it is."""
WHO = "RATCHET_WHO"
"""The environment variable that names whom a command works for, where that is not the user of its process."""

T = TypeVar("T")


def run_sync(work: Coroutine[Any, Any, T]) -> T:
    """Return the result of `work`; inside a running loop it runs on a loop of its own in another thread."""
    outcome: list[T] = []
    failure: list[BaseException] = []

    async def keep() -> None:
        # asyncio.run writes the repr of its task's result twice; a measurement of thousands of trials must not be it
        outcome.append(await work)

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(keep())
        return outcome[0]

    def target() -> None:
        try:
            asyncio.run(keep())
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread unchanged
            failure.append(error)

    thread = threading.Thread(target=target, name="ratchet-run")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]
