"""Release: the champion that is served under a name."""

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
