"""Diagnoses of candidates: the newest of each counts."""

import sqlalchemy as sa

from ratchet.core import Diagnosis
from ratchet.store.database import connect, transaction
from ratchet.store.tables import diagnoses
from ratchet.store.trials import now

__all__ = ["add_diagnosis", "load_diagnoses"]


def add_diagnosis(engine: sa.Engine, found: Diagnosis) -> None:
    """Store a diagnosis in place of the one before of the same candidate."""
    mine = sa.and_(diagnoses.c.task == found.task, diagnoses.c.candidate_id == found.candidate_id)
    with transaction(engine) as connection:
        connection.execute(sa.delete(diagnoses).where(mine))
        connection.execute(
            sa.insert(diagnoses).values(
                task=found.task,
                candidate_id=found.candidate_id,
                created_at=now(),
                body=found.model_dump_json(),
            )
        )


def load_diagnoses(engine: sa.Engine, task: str) -> dict[str, Diagnosis]:
    """Return a task's diagnoses by candidate, the oldest first."""
    query = (
        sa.select(diagnoses.c.body)
        .where(diagnoses.c.task == task)
        .order_by(diagnoses.c.created_at, diagnoses.c.candidate_id)
    )
    with connect(engine) as connection:
        found = [Diagnosis.model_validate_json(row.body) for row in connection.execute(query)]
    return {one.candidate_id: one for one in found}
