"""The record of who opened a test split, append-only: clearing a ladder does not close it again."""

import sqlalchemy as sa

from ratchet.core import Opening
from ratchet.store.database import connect, transaction
from ratchet.store.tables import openings

__all__ = ["add_opening", "load_openings"]


def add_opening(engine: sa.Engine, opening: Opening) -> None:
    """Store an opening under its dataset and number."""
    with transaction(engine) as connection:
        connection.execute(
            sa.insert(openings).values(
                dataset_id=opening.dataset_id,
                number=opening.number,
                task=opening.task,
                candidate_id=opening.candidate_id,
                body=opening.model_dump_json(exclude_defaults=True),
            )
        )


def load_openings(engine: sa.Engine, task: str) -> list[Opening]:
    """Return the openings of a task's test split in all its dataset versions, first one first."""
    query = sa.select(openings.c.body).where(openings.c.task == task).order_by(openings.c.number)
    with connect(engine) as connection:
        return [Opening.model_validate_json(row.body) for row in connection.execute(query)]
