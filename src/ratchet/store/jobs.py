"""Fine-tuning jobs: what was asked, how each stands, and what happened in it. The queue that runs them is elsewhere (`jobs/`)."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from secrets import token_hex
from typing import Literal

import sqlalchemy as sa

from ratchet.core import Json
from ratchet.core.errors import StoreError
from ratchet.store.database import connect, transaction, upsert
from ratchet.store.tables import job_events, jobs

__all__ = [
    "ENDED",
    "Job",
    "JobEvent",
    "Status",
    "add_event",
    "add_job",
    "change_job",
    "find_job",
    "job_events_of",
    "list_jobs",
]

Status = Literal[
    "validating_files", "queued", "running", "paused", "succeeded", "failed", "cancelled"
]
TRIES = 20
ENDED: tuple[Status, ...] = ("succeeded", "failed", "cancelled")
OPEN: tuple[Status, ...] = ("validating_files", "queued", "running", "paused")


@dataclass(frozen=True, kw_only=True)
class Job:
    """A fine-tuning job."""

    id: str
    at: float
    status: Status
    runs: int
    """How often it was put into the queue: once, and again each time it was resumed."""
    finished_at: float | None
    asked: dict[str, Json]
    """The request that made it."""
    outcome: dict[str, Json]
    """What came out: the model's name, tokens, the error."""


@dataclass(frozen=True, kw_only=True)
class JobEvent:
    """Something that happened in a job."""

    job_id: str
    number: int
    at: float
    level: str
    kind: str
    message: str
    data: dict[str, Json]


def add_job(engine: sa.Engine, asked: dict[str, Json]) -> Job:
    """Store a new job."""
    job = Job(
        id=f"ftjob-{token_hex(12)}",
        at=time.time(),
        status="validating_files",
        runs=1,
        finished_at=None,
        asked=asked,
        outcome={},
    )
    row = {**vars(job), "asked": json.dumps(asked), "outcome": None}
    with transaction(engine) as connection:
        connection.execute(sa.insert(jobs).values(row))
    return job


def change_job(
    engine: sa.Engine,
    job_id: str,
    status: Status,
    *,
    only: Sequence[Status] = OPEN,
    outcome: dict[str, Json] | None = None,
    again: bool = False,
) -> bool:
    """Change how a job stands; return False where it stands in none of `only`, and stays as it is.

    Args:
        engine: The database.
        job_id: Which job.
        status: How it stands now.
        only: How it must stand now: one process may cancel what another one runs.
        outcome: What came out.
        again: It goes into the queue once more.
    """
    values: dict[str, Json] = {"status": status}
    if outcome is not None:
        values["outcome"] = json.dumps(outcome)
    if status in ENDED:
        values["finished_at"] = time.time()
    if again:
        values["runs"] = jobs.c.runs + 1
    change = sa.update(jobs).where(jobs.c.id == job_id, jobs.c.status.in_(only))
    with transaction(engine) as connection:
        return bool(connection.execute(change.values(values)).rowcount)


def find_job(engine: sa.Engine, job_id: str) -> Job | None:
    """Return a job, or None."""
    with connect(engine) as connection:
        row = connection.execute(sa.select(jobs).where(jobs.c.id == job_id)).first()
    return None if row is None else job_of(row)


def list_jobs(engine: sa.Engine) -> list[Job]:
    """Return all jobs, the newest first."""
    with connect(engine) as connection:
        return [
            job_of(row)
            for row in connection.execute(sa.select(jobs).order_by(jobs.c.at.desc(), jobs.c.id))
        ]


def job_of(row: sa.Row[tuple[Json, ...]]) -> Job:
    body = row._asdict()
    body["asked"], body["outcome"] = json.loads(body["asked"]), json.loads(body["outcome"] or "{}")
    return Job(**body)


def add_event(
    engine: sa.Engine,
    job_id: str,
    message: str,
    *,
    level: str = "info",
    data: dict[str, Json] | None = None,
) -> None:
    """Write down what happened in a job; with data it is a measurement."""
    last = sa.select(sa.func.coalesce(sa.func.max(job_events.c.number), 0)).where(
        job_events.c.job_id == job_id
    )
    row = {
        "job_id": job_id,
        "at": time.time(),
        "level": level,
        "kind": "metrics" if data else "message",
        "message": message,
        "data": json.dumps(data or {}),
    }
    for _ in range(TRIES):  # another process may take the number in between
        with transaction(engine) as connection:
            number = int(connection.execute(last).scalar_one()) + 1
            insert = upsert(engine, job_events).values(number=number, **row)
            if connection.execute(insert).rowcount:
                return
    raise StoreError(
        f"an event of job {job_id!r} found no number in {TRIES} tries; write it down again"
    )


def job_events_of(engine: sa.Engine, job_id: str) -> list[JobEvent]:
    """Return what happened in a job, the newest first."""
    query = (
        sa.select(job_events)
        .where(job_events.c.job_id == job_id)
        .order_by(job_events.c.number.desc())
    )
    with connect(engine) as connection:
        return [
            JobEvent(**{**row._asdict(), "data": json.loads(row.data)})
            for row in connection.execute(query)
        ]
