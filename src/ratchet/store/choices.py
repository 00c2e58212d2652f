"""Choices: which of two answers people found better, without knowing whose they were."""

import time
from collections.abc import Iterable
from typing import NamedTuple

import sqlalchemy as sa

from ratchet.store.database import connect, transaction
from ratchet.store.tables import choices

__all__ = ["Choice", "add_choice", "add_choices", "load_choices", "sort_pair"]


class Choice(NamedTuple):
    """What one person said of one pair."""

    task_id: str
    """The task's `asking_id`."""
    example_id: str
    first: str
    """The candidate whose id sorts first, wherever its answer stood."""
    second: str
    who: str
    result: float
    """1 where the first is better, 0 where the second is, 0.5 where neither is."""


def add_choice(engine: sa.Engine, choice: Choice) -> None:
    """Store a choice; the later one of the same person counts. The candidates may come in either order."""
    add_choices(engine, [choice])


def add_choices(engine: sa.Engine, given: Iterable[Choice]) -> None:
    """Store choices, all or none; of the same person's on the same pair the last one counts."""
    key = ("task_id", "example_id", "first", "second", "who")
    with transaction(engine) as connection:
        for choice in map(sort_pair, given):
            same = [choices.c[name] == getattr(choice, name) for name in key]
            connection.execute(sa.delete(choices).where(*same))
            connection.execute(sa.insert(choices).values(**choice._asdict(), at=time.time()))


def sort_pair(choice: Choice) -> Choice:
    """Return a choice with the candidate first whose id sorts first."""
    if choice.first <= choice.second:
        return choice
    return choice._replace(first=choice.second, second=choice.first, result=1 - choice.result)


def load_choices(engine: sa.Engine, task_id: str) -> list[Choice]:
    """Return what people said of a task's answers, in the order of their saying."""
    names = [choices.c[name] for name in Choice._fields]
    query = sa.select(*names).where(choices.c.task_id == task_id).order_by(choices.c.at)
    with connect(engine) as connection:
        return [Choice(*row) for row in connection.execute(query)]
