"""Open the database: SQLite in WAL mode by default, PostgreSQL by URL; bring its tables up to date.

Driver errors leave this floor as `StoreError`, with the remedy.
"""

import logging
import os
import shutil
import sqlite3
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy.exc import DBAPIError

from ratchet.core.errors import StoreError

__all__ = [
    "READS_ALONE",
    "add_rows",
    "add_tuples",
    "connect",
    "folder_of",
    "is_read_only",
    "open_database",
    "open_passing_database",
    "transaction",
    "upsert",
]

READS_ALONE = "It may only be read: show, ladder, trials, logs, check and reports work on it, and nothing that writes."
AT_ONCE = 200
"""Rows of one statement: at 13 columns far below the variables that SQLite allows."""


FOLDERS: "weakref.WeakKeyDictionary[sa.Engine, Path]" = weakref.WeakKeyDictionary()
"""The folders that were named when databases were opened."""
READ_ONLY: "weakref.WeakSet[sa.Engine]" = weakref.WeakSet()
"""The databases that may only be read."""
log = logging.getLogger("ratchet")


def open_database(url: str, *, folder: Path | None = None) -> sa.Engine:
    """Return an engine for `url` with all migrations applied; a SQLite database that may only be read is opened to be read.

    Args:
        url: As SQLAlchemy has it.
        folder: Where files are put that belong to the database; a SQLite database has its own.
    Raises: StoreError if the database cannot be reached, or its driver is not installed.
    """
    try:
        engine = sa.create_engine(url)
    except ModuleNotFoundError as error:
        raise StoreError(
            f"no driver for the database {shown(url)}; install it with: pip install 'ratchet[postgres]'"
        ) from error
    except sa.exc.ArgumentError as error:
        raise StoreError(
            f"{shown(url)!r} is no database URL; write sqlite:///path or postgresql+psycopg://user@host/name"
        ) from error
    path = file_of(engine)
    if path is not None and may_only_be_read(path):
        engine = open_to_read(url, path)
        FOLDERS[engine] = folder or path.parent
        return engine
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", tune_sqlite)
    else:
        logging.getLogger("psycopg").addFilter(_is_news)
    if folder is not None:
        FOLDERS[engine] = folder
    with translated(url):
        migrate(engine)
    return engine


def folder_of(engine: sa.Engine) -> Path | None:
    """Return the folder for files that belong to a database; None where it has none, as one in memory or on a server."""
    if engine in FOLDERS:
        return FOLDERS[engine]
    path = file_of(engine)
    return path.parent if path else None


def file_of(engine: sa.Engine) -> Path | None:
    """Return the file of a SQLite database, None where a database has none."""
    name = engine.url.database
    is_file = engine.dialect.name == "sqlite" and name not in (None, "", ":memory:")
    return Path(str(name)) if is_file else None


def is_read_only(engine: sa.Engine) -> bool:
    """Return whether a database was opened to be read alone."""
    return engine in READ_ONLY


def may_only_be_read(path: Path) -> bool:
    """Return whether a SQLite database is there and cannot be written: its file, or the folder that its log has to be made in."""
    return path.is_file() and not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))


def open_to_read(url: str, path: Path) -> sa.Engine:
    """Return an engine for a SQLite database that may only be read.

    What another process writes is seen where SQLite's own files beside it can be read. Without those, the database must be one that nobody
    writes, and is read as such. An older version's, and one whose last changes lie in a log that nobody may take in, is copied, and the copy read.
    """
    place = quote(str(path.absolute()))
    wal = path.with_name(f"{path.name}-wal")
    has_log = wal.is_file() and wal.stat().st_size > 0
    for options in ("mode=ro", "mode=ro&immutable=1"):
        if options.endswith("immutable=1") and has_log:
            continue  # what is in the log would be left out
        engine = _engine_to_read(url, f"file:{place}?{options}")
        with suppress(DBAPIError), engine.connect() as connection:
            if connection.scalar(sa.text("SELECT version_num FROM alembic_version")) == _newest():
                return engine
        engine.dispose()
    return _open_copy(url, path)


def _engine_to_read(url: str, uri: str) -> sa.Engine:
    def connect_to_it() -> sqlite3.Connection:
        return sqlite3.connect(uri, uri=True, check_same_thread=False, timeout=30)

    engine = sa.create_engine(url, creator=connect_to_it)
    sa.event.listen(engine, "connect", _forbid_writing)
    READ_ONLY.add(engine)
    return engine


def _open_copy(url: str, path: Path) -> sa.Engine:
    """Return an engine for a copy of a database, in a folder that goes with the engine."""
    folder = Path(tempfile.mkdtemp(prefix="ratchet-"))
    copy = folder / path.name
    try:
        for suffix in ("", "-wal"):
            with suppress(FileNotFoundError):
                shutil.copyfile(
                    path.with_name(path.name + suffix), copy.with_name(copy.name + suffix)
                )
        open_database(f"sqlite:///{copy}").dispose()
        engine = _engine_to_read(url, f"file:{quote(str(copy))}?mode=ro&immutable=1")
    except (OSError, StoreError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise StoreError(
            f"{path} may only be read, and cannot be copied to be read: {error}"
        ) from error
    weakref.finalize(engine, shutil.rmtree, folder, ignore_errors=True)
    log.info(
        "%s may only be read, and is of an older version or was not closed: a copy is read", path
    )
    return engine


def _is_news(record: logging.LogRecord) -> bool:
    """Return whether a line of the driver says more than the error that it raises for the same rows."""
    return not record.getMessage().startswith("error ignored terminating")


def _forbid_writing(connection: Any, _record: object) -> None:  # the driver's own connection
    connection.execute("PRAGMA query_only=ON")


def open_passing_database() -> tuple[sa.Engine, Path]:
    """Return an engine for a database in a folder of its own, and the folder, which goes when nothing uses the engine any more."""
    folder = Path(tempfile.mkdtemp(prefix="ratchet-"))
    engine = open_database(f"sqlite:///{folder / 'ratchet.db'}")
    weakref.finalize(engine, shutil.rmtree, folder, ignore_errors=True)
    return engine, folder


def tune_sqlite(connection: Any, _record: object) -> None:  # the driver's own connection
    cursor = connection.cursor()
    cursor.execute("PRAGMA busy_timeout=30000")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _migrations() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def _newest() -> str | None:
    """Return the number of the last migration."""
    return ScriptDirectory.from_config(_migrations()).get_current_head()


def migrate(engine: sa.Engine) -> None:
    config = _migrations()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise StoreError(
                f"the database was made by a newer Ratchet ({error}); install that version, or name another database"
            ) from error


def shown(url: str) -> str:
    """Return the URL without its password."""
    try:
        return sa.make_url(url).render_as_string(hide_password=True)
    except sa.exc.ArgumentError:
        return url.split("://", maxsplit=1)[0]


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Turn a driver's error into a StoreError that names the remedy."""
    try:
        yield
    except DBAPIError as error:
        text = str(error.orig).strip().splitlines()[0] if error.orig else str(error)
        raise StoreError(f"database {shown(where)}: {text}. {remedy(text)}") from error


def remedy(text: str) -> str:
    low = text.lower()
    if "full" in low or "no space" in low or "i/o error" in low:
        return "The disk is full, or does not work: free some space and run the same command again; all that was written is kept."
    if "locked" in low:
        return "Another process holds it: wait until that one ends, or stop it."
    if "readonly" in low or "read-only" in low:
        return f"{READS_ALONE} Whatever writes needs a folder that you may write to."
    if "unable to open" in low or "permission" in low:
        return "Check that the folder exists and that you may write to it."
    if "connection" in low or "connect" in low:
        return "Check that the server runs and that the URL in ratchet.toml is right."
    if "malformed" in low or "not a database" in low:
        return "The file is damaged or is no database: move it away, or restore it from a copy."
    return "Nothing half-written was kept."


@contextmanager
def transaction(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Yield a connection whose changes are committed together, or not at all."""
    with translated(str(engine.url)), engine.begin() as connection:
        yield connection


@contextmanager
def connect(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Yield a connection for reading."""
    with translated(str(engine.url)), engine.connect() as connection:
        yield connection


def add_rows(
    connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, object]]
) -> None:
    """Insert rows that all have the same columns, and leave rows that are there already as they are."""
    if rows:
        names = tuple(rows[0])
        add_tuples(connection, table, names, [tuple([row[name] for name in names]) for row in rows])


def add_tuples(
    connection: sa.Connection,
    table: sa.Table,
    names: Sequence[str],
    rows: Sequence[tuple[object, ...]],
) -> None:
    """Insert rows, each with a value for each of the columns, and leave rows that are there already as they are.

    On SQLite many in one statement: with a statement a row the interpreter is let go and taken again for each, and a busy thread beside
    it, such as a server's loop, is woken up as often. Its driver takes a microsecond for each None and True, so columns of nothing are
    left out, and truth is written as the number that it becomes.
    """
    if connection.dialect.name != "sqlite":
        if rows:
            named = [dict(zip(names, row, strict=True)) for row in rows]
            connection.execute(upsert(connection.engine, table), named)
        return
    for start in range(0, len(rows), AT_ONCE):
        some = rows[start : start + AT_ONCE]
        given = {
            name: [None if one is None else int(one) for one in values]
            if isinstance(values[0], bool)
            else values
            for name, values in zip(names, zip(*some, strict=True), strict=True)
            if values.count(None) < len(some)
        }
        line = f"({', '.join('?' * len(given))})"
        columns = ", ".join(f'"{name}"' for name in given)
        statement = f'INSERT INTO "{table.name}" ({columns}) VALUES {", ".join([line] * len(some))} ON CONFLICT DO NOTHING'  # noqa: S608 - names of our own
        connection.exec_driver_sql(
            statement, tuple(chain.from_iterable(zip(*given.values(), strict=True)))
        )


def upsert(engine: sa.Engine, table: sa.Table, *, update: bool = False) -> sa.Insert:
    """Return an insert that leaves an existing row as it is, or with `update` replaces its other columns."""
    if engine.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert  # one of two dialects
    else:
        from sqlalchemy.dialects.sqlite import insert  # type: ignore[assignment]  # same shape
    statement = insert(table)
    if not update:
        return statement.on_conflict_do_nothing()
    others = {
        column.name: statement.excluded[column.name]
        for column in table.columns
        if not column.primary_key
    }
    return statement.on_conflict_do_update(
        index_elements=list(table.primary_key.columns), set_=others
    )
