"""Read tables, a section a row: CSV and TSV, JSON and JSONL, spreadsheets, SQLite; files of rows by the same readers as `import`."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from ratchet.core import Json
from ratchet.core.errors import DataError
from ratchet.data import BadRow, read_rows
from ratchet.retrieval.sections import Read, Section, bounded, row_section

__all__ = ["read_json", "read_spreadsheet", "read_sqlite", "read_table"]


def read_table(path: Path) -> Read:
    """Read a file of rows, whatever its separator; rows that cannot be read are named."""
    left_out: list[str] = []
    word = "line" if path.suffix.lower() in (".jsonl", ".ndjson") else "row"

    def sections() -> Iterator[Section]:
        for row in read_rows(path):
            if isinstance(row, BadRow):
                left_out.append(f"{path}, {word} {row.number}: {row.problem}")
            else:
                yield row_section(dict(row.values), f"{word} {row.number}")

    found = bounded(sections(), path)
    return Read(sections=found, left_out=tuple(left_out))


def read_json(path: Path) -> Read:
    """Read a JSON file: its rows where it holds some, else all of it as one text."""
    try:
        return read_table(path)
    except DataError:
        text = path.read_text("utf-8-sig")
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path} is not valid JSON: {error}") from error
        said = json.dumps(value, ensure_ascii=False, indent=1)
        return Read(sections=[Section("", said)])


def read_spreadsheet(path: Path) -> Read:
    """Read every sheet; a row carries the names of its columns."""
    import python_calamine

    try:
        with python_calamine.CalamineWorkbook.from_path(path) as book:
            names = list(book.sheet_names)
    except python_calamine.CalamineError as error:
        raise DataError(f"{path} is not a spreadsheet that can be read: {error}") from error
    left_out: list[str] = []

    def sections() -> Iterator[Section]:
        for name in names:
            try:
                for row in read_rows(path, sheet=name):
                    if isinstance(row, BadRow):
                        left_out.append(f"{path}, {name}, row {row.number}: {row.problem}")
                    else:
                        yield row_section(dict(row.values), f"{name}, row {row.number}")
            except DataError as error:
                left_out.append(f"{path}, sheet {name!r}: {error}")

    found = bounded(sections(), path)
    return Read(sections=found, left_out=tuple(left_out) if found else ())


def read_sqlite(path: Path) -> Read:
    """Read every table of a database, opened for reading."""

    def rows() -> Iterator[Section]:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
            query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
            for (name,) in connection.execute(query).fetchall():
                quoted = name.replace('"', '""')
                cursor = connection.execute(f'SELECT * FROM "{quoted}"')  # noqa: S608 - the database's own name, quoted
                columns = [column[0] for column in cursor.description]
                for number, row in enumerate(cursor, start=1):
                    values = dict(zip(columns, map(_shown, row), strict=True))
                    yield row_section(values, f"{name} {number}")

    try:
        return Read(sections=bounded(rows(), path))
    except sqlite3.Error as error:
        raise DataError(f"{path} is no SQLite database that can be read: {error}") from error


def _shown(value: object) -> Json:
    return "(binary)" if isinstance(value, bytes) else value
