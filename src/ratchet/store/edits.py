"""Edits: what people changed or said of examples, until it becomes the next dataset version, and afterwards as its history."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa

from ratchet.core import Json
from ratchet.store.database import connect, transaction
from ratchet.store.tables import edits

__all__ = ["CHANGES", "Edit", "EditKind", "add_edit", "drop_edits", "load_edits", "settle_edits"]

BATCH = 500
EditKind = Literal["changed", "added", "removed", "reviewed", "comment", "suggested"]
CHANGES: tuple[EditKind, ...] = ("changed", "added", "removed")
"""What makes a version."""


@dataclass(frozen=True, kw_only=True)
class Edit:
    """One thing that one person did to one example."""

    id: int
    task: str
    example_id: str
    """The example that it was done to; of one that was added, its own id."""
    what: EditKind
    who: str
    at: float
    body: dict[str, Json]
    """`{"example": …}` of what it becomes, `{"text": …}` of a comment."""
    version: int | None
    """The dataset version that it is in; None while it waits."""


def add_edit(
    engine: sa.Engine, task: str, example_id: str, what: EditKind, who: str, body: dict[str, Json]
) -> None:
    """Store an edit; a change of an example takes the place of the one that waits for it."""
    with transaction(engine) as connection:
        if what in ("changed", "removed"):
            connection.execute(
                sa.delete(edits).where(
                    edits.c.task == task,
                    edits.c.example_id == example_id,
                    edits.c.what.in_(("changed", "removed")),
                    edits.c.version.is_(None),
                )
            )
        connection.execute(sa.insert(edits).values(task=task, example_id=example_id, what=what, who=who, at=time.time(), body=json.dumps(body)))  # fmt: skip


def load_edits(
    engine: sa.Engine,
    task: str,
    *,
    waiting: bool = False,
    what: Sequence[EditKind] = (),
    example_ids: Sequence[str] | None = None,
    limit: int = 500,
) -> list[Edit]:
    """Return edits, the newest first.

    Args:
        engine: The database.
        task: The task's name.
        waiting: Only those that are in no version yet.
        what: Only these kinds.
        example_ids: Only of these examples.
        limit: At most so many.
    """
    query = sa.select(edits).where(edits.c.task == task).order_by(edits.c.id.desc()).limit(limit)
    if waiting:
        query = query.where(edits.c.version.is_(None))
    if what:
        query = query.where(edits.c.what.in_(what))
    if example_ids is not None:
        query = query.where(edits.c.example_id.in_(example_ids))
    with connect(engine) as connection:
        rows = connection.execute(query).mappings()
        return [Edit(**{**row, "body": json.loads(row["body"])}) for row in rows]


def settle_edits(
    connection: sa.Connection,
    task: str,
    ids: Sequence[int],
    version: int,
    renamed: Mapping[str, str],
) -> None:
    """Say which version edits are in; what was said of an example goes with it where its content, and so its id, has changed."""
    for some in batched(ids):
        connection.execute(sa.update(edits).where(edits.c.id.in_(some)).values(version=version))
    for old, new in renamed.items():
        where = (edits.c.task == task, edits.c.example_id == old)
        connection.execute(sa.update(edits).where(*where).values(example_id=new))


def drop_edits(engine: sa.Engine, task: str, ids: Sequence[int]) -> int:
    """Forget edits that wait; return how many there were."""
    gone = 0
    with transaction(engine) as connection:
        for some in batched(ids):
            done = connection.execute(sa.delete(edits).where(edits.c.task == task, edits.c.id.in_(some), edits.c.version.is_(None)))  # fmt: skip
            gone += done.rowcount
    return gone


def batched(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    """Yield ids, as many at a time as a database takes."""
    return (ids[start : start + BATCH] for start in range(0, len(ids), BATCH))
