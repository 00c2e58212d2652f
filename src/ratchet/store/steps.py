"""The ladder's rungs, kept in order."""

from collections.abc import Callable

import sqlalchemy as sa

from ratchet.core import STORED, Candidate, Step
from ratchet.store.database import connect, transaction
from ratchet.store.tables import steps
from ratchet.store.trials import find_candidate, now

__all__ = ["add_step", "clear_steps", "finish_step", "load_step_times", "load_steps", "tasks_with"]


def add_step(engine: sa.Engine, step: Step) -> None:
    """Store a rung under its task and number."""
    with transaction(engine) as connection:
        connection.execute(
            sa.insert(steps).values(
                task=step.task,
                number=step.number,
                created_at=now(),
                body=step.model_dump_json(exclude_defaults=True),
            )
        )


def finish_step(engine: sa.Engine, step: Step) -> None:
    """Say that the lever of a rung has nothing left to propose."""
    body = step.model_copy(update={"left": 0}).model_dump_json(exclude_defaults=True)
    where = (steps.c.task == step.task, steps.c.number == step.number)
    with transaction(engine) as connection:
        connection.execute(sa.update(steps).where(*where).values(body=body))


def load_steps(engine: sa.Engine, task: str) -> list[Step]:
    """Return the rungs of a task, first one first."""
    query = sa.select(steps.c.body).where(steps.c.task == task).order_by(steps.c.number)
    with connect(engine) as connection:
        return [
            Step.model_validate_json(row.body, context=STORED) for row in connection.execute(query)
        ]


def load_step_times(engine: sa.Engine, task: str) -> dict[int, str]:
    """Return when each rung of a task was made, by its number: UTC, ISO 8601."""
    query = sa.select(steps.c.number, steps.c.created_at).where(steps.c.task == task)
    with connect(engine) as connection:
        return {row.number: row.created_at for row in connection.execute(query)}


def tasks_with(engine: sa.Engine, wanted: Callable[[Candidate], bool]) -> list[str]:
    """Return the tasks on whose ladders such a candidate stands."""
    with connect(engine) as connection:
        tasks = [row.task for row in connection.execute(sa.select(steps.c.task).distinct())]
    return [
        task
        for task in tasks
        if any(
            wanted(find_candidate(engine, step.candidate_id)) for step in load_steps(engine, task)
        )
    ]


def clear_steps(engine: sa.Engine, task: str) -> None:
    """Forget the rungs of a task."""
    with transaction(engine) as connection:
        connection.execute(sa.delete(steps).where(steps.c.task == task))
