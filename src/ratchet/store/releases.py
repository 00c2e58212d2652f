"""Releases, append-only: the last one of a name is served."""

import sqlalchemy as sa

from ratchet.core import STORED, Release
from ratchet.store.database import connect, transaction
from ratchet.store.tables import releases

__all__ = ["add_release", "load_releases"]


def add_release(engine: sa.Engine, release: Release) -> None:
    """Store a promotion."""
    with transaction(engine) as connection:
        connection.execute(
            sa.insert(releases).values(
                name=release.name,
                number=release.number,
                at=release.at,
                body=release.model_dump_json(exclude_defaults=True),
            )
        )


def load_releases(engine: sa.Engine, name: str | None = None) -> list[Release]:
    """Return all promotions, or those under a name, oldest first."""
    query = sa.select(releases.c.body).order_by(releases.c.at, releases.c.name, releases.c.number)
    if name is not None:
        query = query.where(releases.c.name == name)
    with connect(engine) as connection:
        return [
            Release.model_validate_json(row.body, context=STORED)
            for row in connection.execute(query)
        ]
