"""Grade: what a person said of one answer."""

from typing import Annotated

from pydantic import Field

from ratchet.core.records import Json, Record

__all__ = ["Grade"]


class Grade(Record):
    """One person's grade of one trial; the later one of the same person counts."""

    candidate_id: str
    task_id: str
    """The task's `asking_id`: with candidate, example and repeat it names the trial."""
    example_id: str
    repeat: int = 0
    who: str
    grade: Json
    """As it was given: `pass`, 4."""
    value: Annotated[float, Field(ge=0, le=1)]
    """The grade as a score."""
