"""Run a model's SQL where it can do no harm: one reading statement, on a file opened for reading, with limits on time and rows.

The text comes from a model: it is parsed first, may only read (SQLite itself refuses the rest), and the value of an input never
leads out of the folder that the task names.
"""

import re
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from ratchet.answer.template import Template
from ratchet.core import Json
from ratchet.core.errors import TaskError

__all__ = ["QueryError", "check_reads", "database_of", "query_in", "run_query"]

FENCE = re.compile(r"```(?:sql\w*)?\s*\n(.*?)(?:```|\Z)", re.DOTALL | re.IGNORECASE)
PLAIN = re.compile(r"[\w-][\w.-]*")
READING = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
}
STEPS = 10_000
"""So many steps of SQLite's machine between two looks at the clock: well under a millisecond."""
LONGEST_VALUE = 10_000_000
"""Bytes of one value: `zeroblob(1e9)` is an error, and does not fill the memory."""


class QueryError(Exception):
    """A query that cannot be run; its text is meant for who wrote the query."""


def query_in(text: str) -> str:
    """Return the query of a reply: what stands in its first fence, else all of it; without a semicolon at the end."""
    fenced = FENCE.search(text)
    return (fenced.group(1) if fenced else text).strip().rstrip(";").strip()


def database_of(place: str, inputs: Mapping[str, Json], root: Path) -> Path:
    """Return the file that a query over `inputs` is for.

    Raises: TaskError if there is none, or a value would lead elsewhere.
    """
    template = Template(place)
    for name in sorted(template.names):
        value = inputs.get(name)
        if (
            not isinstance(value, str | int)
            or not PLAIN.fullmatch(str(value))
            or ".." in str(value)
        ):
            raise TaskError(
                f"answer.database: the field {name!r} is part of a file's name, so letters, digits, _, - and dots alone; got {value!r}"
            )
    path = root / template.render(inputs)
    if not path.is_file():
        raise TaskError(
            f"answer.database: there is no file {path}; name a SQLite file from the workspace's folder"
        )
    return path


def run_query(
    path: Path, query: str, *, timeout_s: float = 5.0, rows: int = 10_000
) -> list[tuple[object, ...]]:
    """Return the rows of a query.

    Args:
        path: A SQLite file; it is opened for reading.
        query: One statement that reads.
        timeout_s: The longest it may take.
        rows: The most rows that it may have.
    Raises: QueryError if it does not parse, does not run, would write, takes too long or gives too much.
    """
    check_reads(query)
    ends = time.monotonic() + timeout_s
    uri = f"{path.resolve().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, check_same_thread=False)) as connection:
        connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_VALUE)
        connection.set_authorizer(
            lambda action, *_: sqlite3.SQLITE_OK if action in READING else sqlite3.SQLITE_DENY
        )
        connection.set_progress_handler(lambda: time.monotonic() > ends, STEPS)
        try:
            found = connection.execute(query).fetchmany(rows + 1)
        except sqlite3.DatabaseError as error:
            if "not a database" in str(error) or "malformed" in str(error):
                raise TaskError(
                    f"answer.database: {path} is no SQLite database: {error}"
                ) from error
            late = isinstance(error, sqlite3.OperationalError) and "interrupted" in str(error)
            raise QueryError(
                f"it takes longer than {timeout_s:g} seconds" if late else str(error)
            ) from error
        except (sqlite3.Error, sqlite3.Warning) as error:
            raise QueryError(str(error)) from error
    if len(found) > rows:
        raise QueryError(f"it gives more than {rows:,} rows")
    return found


def check_reads(query: str) -> None:
    """Refuse what is not one reading statement.

    Raises: QueryError.
    """
    import sqlglot  # takes a moment, and most tasks have no SQL
    from sqlglot import errors, exp

    try:
        statements = [one for one in sqlglot.parse(query, read="sqlite") if one is not None]
    except (errors.SqlglotError, RecursionError) as error:
        raise QueryError(f"it does not parse: {str(error).splitlines()[0][:300]}") from error
    if len(statements) != 1:
        raise QueryError(f"it must be one statement, and is {len(statements)}")
    if not isinstance(statements[0], exp.Query):
        raise QueryError("it must be a SELECT: the database is there for reading alone")
