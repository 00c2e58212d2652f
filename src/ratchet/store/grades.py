"""People's grades of answers."""

import json
from collections.abc import Sequence

import sqlalchemy as sa

from ratchet.core import Grade
from ratchet.store.database import connect, transaction
from ratchet.store.tables import grades
from ratchet.store.trials import now

__all__ = ["add_grades", "load_grades"]

KEY = ("candidate_id", "task_id", "example_id", "repeat", "who")


def add_grades(engine: sa.Engine, given: Sequence[Grade]) -> None:
    """Store grades; a person's later grade of the same answer takes the place of the earlier one."""
    with transaction(engine) as connection:
        for grade in given:
            same = sa.and_(*(grades.c[name] == getattr(grade, name) for name in KEY))
            connection.execute(sa.delete(grades).where(same))
            connection.execute(
                sa.insert(grades).values(
                    **{name: getattr(grade, name) for name in KEY},
                    value=grade.value,
                    grade=json.dumps(grade.grade),
                    at=now(),
                )
            )


def load_grades(engine: sa.Engine, task_id: str) -> list[Grade]:
    """Return all grades of answers to a form of the task (its `asking_id`)."""
    query = (
        sa.select(grades)
        .where(grades.c.task_id == task_id)
        .order_by(*(grades.c[name] for name in KEY))
    )
    with connect(engine) as connection:
        return [
            Grade(
                candidate_id=row.candidate_id,
                task_id=row.task_id,
                example_id=row.example_id,
                repeat=row.repeat,
                who=row.who,
                grade=json.loads(row.grade),
                value=row.value,
            )
            for row in connection.execute(query)
        ]
