"""A row of a file or a frame, before it becomes an example: its number and its columns, or why it cannot be read."""

from collections.abc import Mapping
from dataclasses import dataclass

from ratchet.core import Json

__all__ = ["MAX_DEPTH", "BadRow", "Row", "RowError", "is_deep"]

MAX_DEPTH = 100
"""Lists and objects inside one another, the row itself the first; the database's JSON reader stops not far behind."""


@dataclass(frozen=True)
class Row:
    """One row: its number in the file (1 is the first data row; a line number for JSONL) and its columns."""

    number: int
    values: dict[str, Json]
    inputs: tuple[str, ...] = ()
    """The columns that are inputs, where the format itself says so: of a chat, what stands before its answer."""


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be read, and why."""

    number: int
    problem: str


class RowError(ValueError):
    """A row that cannot be read, or does not fit; the text says why."""


def is_deep(value: Json) -> bool:
    """Tell whether lists and objects stand more than MAX_DEPTH deep inside one another."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [part for part in level if isinstance(part, dict | list)]
        if not level:
            return False
        level = [
            x for part in level for x in (part.values() if isinstance(part, Mapping) else part)
        ]
    return True
