"""What a model is told of a database: its tables with their columns, keys, and a few values of each column."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from functools import lru_cache
from pathlib import Path

from ratchet.answer.sql import Place, QueryError, database_of, place_name, run_query
from ratchet.core import Json, Task
from ratchet.core.errors import TaskError

__all__ = ["described", "tables_for"]

SAMPLES = 3
LONGEST_SAMPLE = 30
MOST_TABLES = 100
REMEMBERED = 256

COLUMNS = """
SELECT c.table_name, c.column_name, c.data_type FROM information_schema.columns c
JOIN information_schema.tables t ON t.table_schema = c.table_schema AND t.table_name = c.table_name
WHERE c.table_schema = current_schema() ORDER BY c.table_name, c.ordinal_position
"""
"""PostgreSQL's; who may not read a table does not see it here."""


def tables_for(task: Task, inputs: Mapping[str, Json], root: Path) -> str:
    """Return the description of the database that a query over `inputs` is for; empty where there is none.

    Examples to learn from may be about databases that are not at hand.
    """
    place = task.answer.database
    if place is None:
        return ""
    return described(database_of(place, inputs, root))


def described(place: Place) -> str:
    """Return a line a table: `singer(id INTEGER: 1, 2, 3; name TEXT: 'Joe', …; key id; country -> country.code)`.

    Raises: TaskError if the database cannot be read.
    """
    return seen_at(place, place.stat().st_mtime_ns if isinstance(place, Path) else 0)


@lru_cache(maxsize=REMEMBERED)
def seen_at(place: Place, _stamp: int) -> str:
    try:
        tables = server_tables(place) if isinstance(place, str) else file_tables(place)
    except (sqlite3.Error, QueryError) as error:
        raise TaskError(f"answer.database: {place_name(place)} cannot be read: {error}") from error
    return "\n".join(f"{name}({'; '.join(parts)})" for name, parts in tables.items())


def file_tables(path: Path) -> dict[str, list[str]]:
    uri = f"{path.resolve().as_uri()}?mode=ro"
    found: dict[str, list[str]] = {}
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        connection.text_factory = lambda raw: raw.decode("utf-8", "ignore")
        names = connection.execute(
            "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%' ORDER BY rowid"
        )
        for (name,) in names.fetchmany(MOST_TABLES):
            columns = connection.execute("SELECT * FROM pragma_table_info(?)", (name,)).fetchall()
            parts = [
                f"{column} {kind}".strip() + samples(path, name, column)
                for _, column, kind, *_ in columns
            ]
            keys = [column for _, column, *_, place in columns if place]
            links = connection.execute(
                'SELECT "from", "table", "to" FROM pragma_foreign_key_list(?)', (name,)
            )
            parts += [f"key {', '.join(keys)}"] if keys else []
            parts += [f"{own} -> {other}.{to or 'key'}" for own, other, to in links.fetchall()]
            found[quoted(name)] = parts
    return found


def server_tables(url: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for table, column, kind in run_query(url, COLUMNS):
        found.setdefault(quoted(table), []).append(f"{column} {kind}{samples(url, table, column)}")
    return dict(list(found.items())[:MOST_TABLES])


def samples(place: Place, table: str, column: str) -> str:
    """Return a few of a column's values, as SQL writes them."""
    name, whole = (f'"{part.replace(chr(34), chr(34) * 2)}"' for part in (column, table))
    order = " ORDER BY 1" if isinstance(place, str) else ""  # a server's own order changes
    try:
        rows = run_query(
            place,
            f"SELECT DISTINCT {name} FROM {whole} WHERE {name} IS NOT NULL{order} LIMIT {SAMPLES}",  # noqa: S608 - names are the database's own, quoted
        )
    except QueryError:  # a view that does not run
        return ""
    return ": " + ", ".join(literal(value) for (value,) in rows) if rows else ""


def literal(value: object) -> str:
    if isinstance(value, int | float):
        return str(value)
    text = "".join(mark if mark.isprintable() else " " for mark in str(value))
    cut = text if len(text) <= LONGEST_SAMPLE else text[: LONGEST_SAMPLE - 1] + "…"
    return "'" + cut.replace("'", "''") + "'"


def quoted(name: str) -> str:
    return name if name.isidentifier() else f'"{name}"'
