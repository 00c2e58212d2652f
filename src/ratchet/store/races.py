"""Which answers were there when a race began: what the same race, run again, starts from."""

import json
from collections.abc import Callable

import sqlalchemy as sa

from ratchet.store.database import transaction
from ratchet.store.tables import races
from ratchet.store.trials import now

__all__ = ["race_start"]


def race_start(
    engine: sa.Engine, race_id: str, task: str, known: Callable[[], list[str]]
) -> list[str]:
    """Return what was known when the race `race_id` began; where it begins now, `known()` is kept."""
    query = sa.select(races.c.known).where(races.c.id == race_id)
    with transaction(engine) as connection:
        row = connection.execute(query).first()
        if row is not None:
            found: list[str] = json.loads(row.known)
            return found
        found = known()
        connection.execute(
            sa.insert(races).values(
                id=race_id, task=task, created_at=now(), known=json.dumps(found)
            )
        )
        return found
