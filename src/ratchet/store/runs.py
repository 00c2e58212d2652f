"""Runs: commands that the page started, each in a process of its own, so that they outlive the server."""

import json
import time
from dataclasses import asdict, dataclass
from typing import Literal, get_args
from uuid import uuid4

import sqlalchemy as sa

from ratchet.store.database import connect, transaction
from ratchet.store.tables import runs

__all__ = ["DONE", "Run", "RunState", "add_run", "find_run", "load_runs", "update_run"]

RunState = Literal["waiting", "running", "succeeded", "failed", "stopped"]
STATES: tuple[RunState, ...] = get_args(RunState)
DONE: tuple[RunState, ...] = ("succeeded", "failed", "stopped")


@dataclass(frozen=True, kw_only=True)
class Run:
    """A command, and what became of it."""

    id: str
    task: str
    words: tuple[str, ...]
    """The command line, without the program's name."""
    who: str
    state: RunState
    created_at: float
    started_at: float | None = None
    ended_at: float | None = None
    place: str
    """The machine and folder that it runs in."""
    pid: int | None = None
    code: int | None = None

    @property
    def is_done(self) -> bool:
        """Return whether it has ended."""
        return self.state in DONE


def add_run(engine: sa.Engine, task: str, words: tuple[str, ...], who: str, place: str) -> Run:
    """Store a run that waits for its turn."""
    made = Run(id=f"r_{uuid4().hex[:16]}", task=task, words=words, who=who, place=place, state="waiting", created_at=time.time())  # fmt: skip
    with transaction(engine) as connection:
        connection.execute(sa.insert(runs).values(**{**asdict(made), "words": json.dumps(words)}))
    return made


def update_run(engine: sa.Engine, run_id: str, *, was: RunState | None = None, **parts: object) -> bool:  # fmt: skip
    """Change parts of a run, only if its state is `was`; return whether it did."""
    query = sa.update(runs).where(runs.c.id == run_id)
    if was:
        query = query.where(runs.c.state == was)
    with transaction(engine) as connection:
        return connection.execute(query.values(**parts)).rowcount > 0


def find_run(engine: sa.Engine, run_id: str) -> Run | None:
    """Return a run by its id; None where there is none."""
    return next(iter(load_runs(engine, run_id=run_id)), None)


def load_runs(
    engine: sa.Engine,
    *,
    task: str | None = None,
    run_id: str | None = None,
    states: tuple[RunState, ...] = STATES,
    limit: int = 200,
) -> list[Run]:
    """Return runs, the newest first."""
    query = sa.select(runs).where(runs.c.state.in_(states)).order_by(runs.c.created_at.desc())
    if task is not None:
        query = query.where(runs.c.task == task)
    if run_id is not None:
        query = query.where(runs.c.id == run_id)
    with connect(engine) as connection:
        return [
            Run(**{**row, "words": tuple(json.loads(row["words"]))})
            for row in connection.execute(query.limit(limit)).mappings()
        ]
