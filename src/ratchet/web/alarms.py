"""Alarms: has what comes in to a release drifted? Looked at by itself, seldom, so that a look costs little and is seldom wrong.

The k-th look at a promotion is made when its log has 20 · 2^k requests, at the level 0.05 / ((k + 1)(k + 2)): these sum to 0.05, so that of a
hundred promotions for which nothing changes at most five ever give an alarm.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime

from ratchet.climbing import Climbing
from ratchet.core import Release
from ratchet.core.errors import RatchetError
from ratchet.measure.drift import ALARM
from ratchet.store import Workspace, load_releases
from ratchet.store.requests import count_requests
from ratchet.workbench import Workbench

__all__ = ["Alarms", "level_of", "look_at"]

FIRST = 20
"""Requests that the first look takes."""
EVERY_S = 600.0
"""So often one counts whether a look is due."""


class Alarms:
    """What is known of the releases that are served.

    Args:
        workspace: Its log is looked at.
        bench: Returns a task, opened.
    """

    def __init__(self, workspace: Workspace, bench: Callable[[str], Awaitable[Workbench]]) -> None:
        self._engine, self._bench = workspace.database, bench
        self._known: dict[tuple[str, int], tuple[int, list[str]]] = {}
        self._looks: set[asyncio.Task[None]] = set()

    async def watch(self) -> None:
        """Look at all of them, again and again."""
        while True:
            with suppress(RatchetError):  # the database is away: it may come back
                for release in {one.name: one for one in load_releases(self._engine)}.values():
                    self.of(release)
            await asyncio.sleep(EVERY_S)

    def of(self, release: Release) -> list[str]:
        """Return what has changed since a promotion, as far as it is known; begin a look where one is due."""
        key = (release.name, release.number)
        since = datetime.fromisoformat(release.at).timestamp()
        count, _ = count_requests(self._engine, release.name, since)
        due = look_at(count)
        before, found = self._known.get(key, (-1, []))
        if due > before:
            self._known[key] = (due, found)
            look = asyncio.get_running_loop().create_task(self._look(release, key, due))
            self._looks.add(look)
            look.add_done_callback(self._looks.discard)
        return found

    async def _look(self, release: Release, key: tuple[str, int], number: int) -> None:
        try:
            bench = await self._bench(release.task.name)
            drift = await asyncio.to_thread(Climbing(bench).drift, release.name)
        except RatchetError:  # the task has changed, or its model is gone: its own views tell that
            return
        changed = [t.what for t, p in zip(drift.tests, drift.adjusted, strict=True) if p < level_of(number)]  # fmt: skip
        before = self._known[key][1]
        self._known[key] = (number, [*before, *(one for one in changed if one not in before)])


def look_at(count: int) -> int:
    """Return the number of the last look that so many requests are enough for; -1 for none."""
    return int(math.log2(count / FIRST)) if count >= FIRST else -1


def level_of(number: int) -> float:
    """Return the level of a look, from 0 on."""
    return ALARM / ((number + 1) * (number + 2))
