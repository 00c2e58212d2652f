"""Release: the champion that is served under a name."""

from typing import Annotated

from pydantic import Field

from ratchet.core.candidate import Candidate
from ratchet.core.records import Record
from ratchet.core.task import Task

__all__ = ["Release"]


class Release(Record):
    """One promotion: from now on this name answers as this candidate does this task."""

    prefix = "l"
    name: str
    number: int
    """Counts the promotions under this name, from 1."""
    task: Task
    candidate: Candidate
    who: str
    """The login name of who promoted it."""
    at: str
    """When, UTC, ISO 8601."""
    canary: Candidate | None = None
    """Another candidate that answers a share of the requests."""
    share: Annotated[float, Field(ge=0, lt=1)] = 0.0
    returns_to: Annotated[int, Field(ge=1)] | None = None
    """The number of the promotion that a rollback goes back to."""
    why: str = ""
    """What this promotion stands on, in words: a verdict, or what people said."""
