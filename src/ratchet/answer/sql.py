"""Run a model's SQL where it can do no harm: one reading statement, on a database opened for reading, with limits on time and rows.

The text comes from a model: it is parsed first, and the database itself refuses to write (SQLite by the file's mode and an
authorizer, PostgreSQL by a read-only transaction). The value of an input never leads out of the folder that the task names.
"""

import re
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from ratchet.answer.queries import QueryError, check_reads, join_operators, query_in
from ratchet.answer.template import Template
from ratchet.core import Json
from ratchet.core.errors import TaskError, UsageError
from ratchet.core.records import canonical_json
from ratchet.core.sandbox import CallTimeoutError, Sandbox, SandboxError, SandboxLimits

__all__ = [
    "Place",
    "QueryError",
    "Rows",
    "check_reads",
    "database_of",
    "place_name",
    "query_in",
    "result_text",
    "run_query",
]

PLAIN = re.compile(r"[\w-][\w.-]*")
SERVER = re.compile(r"postgres(?:ql)?(?:\+psycopg)?://")
READING = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
}
SCHEMA_TABLES = ("sqlite_master", "sqlite_schema", "sqlite_temp_master")
"""What SQLite asks leave to write where a query names a table-valued function: it declares the function's columns, in memory."""
READING_PRAGMAS = {
    "data_version",  # full-text search looks whether its index has changed
    "foreign_key_list",
    "function_list",
    "index_info",
    "index_list",
    "index_xinfo",
    "table_info",
    "table_list",
    "table_xinfo",
}
"""What a query may ask of a schema; other pragmas tell of the file system, or change settings."""
STEPS = 10_000
"""So many steps of SQLite's machine between two looks at the clock: well under a millisecond."""
LONGEST_VALUE = 1_000_000
"""Bytes of one value: `zeroblob(1e9)` is an error, and does not fill the memory."""
LARGEST = 20_000_000
"""Bytes of a whole result, about."""
BROKEN = ("not a database", "malformed", "locked", "unable to open", "disk I/O")
"""What SQLite says where it is the file that is at fault, and not the query."""
CONNECTING_S = 5
SPARE_S = 1.0
"""After its limit a query's process has so long to say so by itself; then it is ended from outside."""
QUERY_LIMITS = SandboxLimits(memory_bytes=2**30, file_bytes=64 * 2**20)
TOO_MUCH = (
    (
        "rolsuper",
        "is a superuser, who reads and writes files of the server and ends others' queries",
    ),
    ("pg_read_server_files", "may read files of the server"),
    ("pg_write_server_files", "may write files of the server"),
    ("pg_execute_server_program", "may run programs on the server"),
    ("pg_signal_backend", "may end the queries of others"),
    ("dblink", "may call dblink, which opens connections of its own that write"),
)
"""What a role that runs a model's queries must not be or do."""
ROLE = """
SELECT current_user, current_database(), rolsuper,
  pg_has_role(current_user, 'pg_read_server_files', 'MEMBER'),
  pg_has_role(current_user, 'pg_write_server_files', 'MEMBER'),
  pg_has_role(current_user, 'pg_execute_server_program', 'MEMBER'),
  pg_has_role(current_user, 'pg_signal_backend', 'MEMBER'),
  EXISTS (SELECT 1 FROM pg_proc WHERE proname LIKE 'dblink%' AND has_function_privilege(oid, 'EXECUTE'))
FROM pg_roles WHERE rolname = current_user
"""
_CHECKED_ROLES: set[str] = set()
"""Of this process: addresses whose role may do no more than read."""
Place = Path | str
"""Where a database is: a SQLite file, or the URL of a PostgreSQL server."""
Rows = list[tuple[Any, ...]]


def database_of(place: str, inputs: Mapping[str, Json], root: Path) -> Place:
    """Return the file that a query over `inputs` is for, or the server's URL.

    Raises: TaskError if there is no such file, or a value would lead elsewhere.
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
                f"answer.database: the field {name!r} is part of a database's name, so letters, digits, _, - and dots alone; got {value!r}"
            )
    named = template.render(inputs)
    if SERVER.match(named):
        return named
    path = root / named
    if not path.is_file():
        raise TaskError(
            f"answer.database: there is no file {path}; name a SQLite file from the workspace's folder, or a URL postgresql://…"
        )
    return path


def run_query(place: Place, query: str, *, timeout_s: float = 5.0, rows: int = 10_000) -> Rows:
    """Return the rows of a query.

    Args:
        place: A SQLite file, opened for reading; or a PostgreSQL URL, read in a transaction that cannot write.
        query: One statement that reads.
        timeout_s: The longest it may take.
        rows: The most rows that it may have.
    Raises: QueryError if it does not parse, does not run, would write, takes too long or gives too much; TaskError if the database
        cannot be opened.
    """
    where = place if isinstance(place, str) else str(place.resolve())
    try:
        found: Rows = _sandbox().call(
            "ratchet.answer.sql:run_here",
            where,
            isinstance(place, str),
            query,
            timeout_s,
            rows,
            timeout_s=timeout_s + SPARE_S,
        )
    except CallTimeoutError as error:
        raise QueryError(f"it takes longer than {timeout_s:g} seconds") from error
    except SandboxError as error:
        raise QueryError(f"it needs more than it may have: {error}") from error
    return found


def run_here(place: str, is_server: bool, query: str, timeout_s: float, rows: int) -> Rows:
    """Return the rows of a query, run in this process: parsing too takes as long as it takes."""
    query = join_operators(query)
    if is_server:
        check_reads(query, "postgres")
        found = from_server(place, query, timeout_s, rows)
    else:
        check_reads(query)
        found = from_file(Path(place), query, timeout_s, rows)
    if len(found) > rows:
        raise QueryError(f"it gives more than {rows:,} rows")
    return found


@cache
def _sandbox() -> Sandbox:
    """Return the processes that queries run in: an empty folder, a gigabyte of memory, small temporary files."""
    errors = {"QueryError": QueryError, "TaskError": TaskError, "UsageError": UsageError, "MemoryError": QueryError}  # fmt: skip
    return Sandbox(
        QUERY_LIMITS, folder=Path(tempfile.mkdtemp(prefix="ratchet-sql-")), errors=errors
    )


def result_text(place: Place, query: str) -> str:
    """Return what tells results apart: their rows in any order; the query itself where it cannot be run."""
    try:
        found = run_query(place, query)
    except QueryError:
        return query
    return canonical_json(sorted(repr(row) for row in found))


def from_file(path: Path, query: str, timeout_s: float, rows: int) -> Rows:
    ends = time.monotonic() + timeout_s
    uri = f"{path.resolve().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, check_same_thread=False)) as connection:
        connection.text_factory = lambda raw: raw.decode("utf-8", "ignore")
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_VALUE)
        connection.set_authorizer(_authorize)
        connection.set_progress_handler(lambda: time.monotonic() > ends, STEPS)
        try:
            return bounded(connection.execute(query), rows, ends)
        except sqlite3.DatabaseError as error:
            if any(word in str(error) for word in BROKEN):
                raise TaskError(f"answer.database: {path} cannot be read: {error}") from error
            late = isinstance(error, sqlite3.OperationalError) and "interrupted" in str(error)
            raise QueryError(
                f"it takes longer than {timeout_s:g} seconds" if late else str(error)
            ) from error
        except (sqlite3.Error, sqlite3.Warning) as error:
            raise QueryError(str(error)) from error


def _authorize(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    """Return SQLite's word for what a query may do: read, call functions, and ask about the schema.

    The file is opened for reading alone and the statement was parsed as one that reads, so that the leave to write the schema table,
    which SQLite asks for before it declares a table-valued function, writes nothing.
    """
    is_allowed = (
        action in READING
        or (action == sqlite3.SQLITE_UPDATE and first in SCHEMA_TABLES)
        or (
            action == sqlite3.SQLITE_PRAGMA
            and first in READING_PRAGMAS
            and (second is None or first != "data_version")
        )
    )
    return sqlite3.SQLITE_OK if is_allowed else sqlite3.SQLITE_DENY


def from_server(url: str, query: str, timeout_s: float, rows: int) -> Rows:
    """Return rows from PostgreSQL; who connects should be a role that may read and nothing else."""
    try:
        import psycopg  # the extra 'postgres'
    except ImportError as missing:
        raise UsageError(
            f"a PostgreSQL database needs the extra 'postgres' ({missing}); install it with: pip install 'ratchet[postgres]'"
        ) from missing
    address, ends = SERVER.sub("postgresql://", url), time.monotonic() + timeout_s
    try:
        connection = psycopg.connect(address, connect_timeout=CONNECTING_S)
    except psycopg.Error as error:
        raise TaskError(
            f"answer.database: {place_name(url)!r} cannot be reached: {str(error).strip()[:300]}"
        ) from error
    with closing(connection):
        connection.read_only = True
        try:
            _check_role(connection, url)
            with _cancelled_at(connection, ends), connection.transaction(force_rollback=True):
                limit = str(round(timeout_s * 1000))
                connection.execute("SELECT set_config('statement_timeout', %s, true)", (limit,))
                with connection.cursor(name="answer") as cursor:  # the server holds the rest back
                    cursor.execute(query.encode())
                    return bounded(cursor, rows, ends)
        except psycopg.errors.QueryCanceled as error:
            raise QueryError(f"it takes longer than {timeout_s:g} seconds") from error
        except psycopg.Error as error:
            raise QueryError(str(error).strip().splitlines()[0]) from error


@contextmanager
def _cancelled_at(connection: Any, ends: float) -> Iterator[None]:
    """Cancel what a connection is at once the time has come, over a connection of its own: no query can lift that limit."""
    timer = threading.Timer(max(0.0, ends - time.monotonic()), connection.cancel_safe)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _check_role(connection: Any, url: str) -> None:
    """Refuse a role that may do more than read tables.

    Raises: TaskError with the statements that make one which may not.
    """
    if url in _CHECKED_ROLES:
        return
    found = connection.execute(ROLE).fetchone()
    connection.rollback()
    role, database, *flags = found
    for (_, words), is_so in zip(TOO_MUCH, flags, strict=True):
        if is_so:
            raise TaskError(
                f"answer.database: the role {role!r} of {place_name(url)!r} {words}, and queries come from a model; connect as a role that may read tables alone: "
                f"CREATE ROLE ratchet_reader LOGIN PASSWORD '…'; GRANT CONNECT ON DATABASE {database} TO ratchet_reader; GRANT USAGE ON SCHEMA public TO ratchet_reader; GRANT SELECT ON ALL TABLES IN SCHEMA public TO ratchet_reader;"
            )
    _CHECKED_ROLES.add(url)


def bounded(found: Iterable[tuple[Any, ...]], rows: int, ends: float) -> Rows:
    """Return rows, one more than the most at most; they may neither fill the memory nor take for ever.

    Raises: QueryError.
    """
    kept: Rows = []
    size = 0
    for row in found:
        kept.append(tuple(row))
        size += sum(len(value) if isinstance(value, str | bytes) else 16 for value in row)
        if size > LARGEST:
            raise QueryError(f"it gives more than {LARGEST // 10**6} MB")
        if len(kept) > rows:
            break
        if time.monotonic() > ends:
            raise QueryError("it takes too long")
    return kept


def place_name(place: Place) -> str:
    """Return what a database is called where others read it: a file's name, a server without who asks."""
    return SERVER.sub("", place).rpartition("@")[2].partition("?")[0] if isinstance(place, str) else place.name  # fmt: skip
