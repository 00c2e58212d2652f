"""Edits: what people changed or said of examples, until it becomes the next dataset version, and afterwards as its history."""

import json
import time
from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa

from ratchet.core import Json
from ratchet.store.database import connect, transaction
from ratchet.store.tables import edits

__all__ = ["Edit", "EditKind", "add_edit", "drop_edits", "load_edits", "settle_edits"]

EditKind = Literal["changed", "added", "removed", "reviewed", "comment", "suggested"]


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


def add_edit(engine: sa.Engine, task: str, example_id: str, what: EditKind, who: str, body: dict[str, Json]) -> None:  # fmt: skip
    """Store an edit; a change of an example replaces the one that waits for it."""
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
        connection.execute(
            sa.insert(edits).values(
                task=task,
                example_id=example_id,
                what=what,
                who=who,
                at=time.time(),
                body=json.dumps(body),
            )
        )


def load_edits(engine: sa.Engine, task: str, *, waiting: bool | None = None, example_id: str | None = None, limit: int = 500) -> list[Edit]:  # fmt: skip
    """Return edits, the newest first: all, those that wait, or those that are in a version."""
    query = sa.select(edits).where(edits.c.task == task).order_by(edits.c.id.desc()).limit(limit)
    if waiting is not None:
        query = query.where(edits.c.version.is_(None) if waiting else edits.c.version.is_not(None))
    if example_id is not None:
        query = query.where(edits.c.example_id == example_id)
    with connect(engine) as connection:
        return [
            Edit(
                id=row.id,
                task=row.task,
                example_id=row.example_id,
                what=row.what,
                who=row.who,
                at=row.at,
                body=json.loads(row.body),
                version=row.version,
            )
            for row in connection.execute(query)
        ]


def settle_edits(engine: sa.Engine, task: str, ids: list[int], version: int) -> None:
    """Say which version edits are in."""
    with transaction(engine) as connection:
        connection.execute(
            sa.update(edits)
            .where(edits.c.task == task, edits.c.id.in_(ids))
            .values(version=version)
        )


def drop_edits(engine: sa.Engine, task: str, ids: list[int]) -> None:
    """Forget edits that wait."""
    with transaction(engine) as connection:
        connection.execute(sa.delete(edits).where(edits.c.task == task, edits.c.id.in_(ids), edits.c.version.is_(None)))  # fmt: skip
