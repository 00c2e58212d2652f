"""The database: the same tables on SQLite and PostgreSQL, and errors that name the remedy."""

from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from ratchet.core.errors import StoreError
from ratchet.store import open_database
from ratchet.store.database import add_rows, connect, transaction
from ratchet.store.tables import metadata, requests, steps


def test_migrations_make_the_tables_of_the_code(engine: sa.Engine) -> None:
    """The migrations end at exactly the tables, columns and indexes that `tables.py` describes."""
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})

        differences = compare_metadata(context, metadata)

    assert differences == []
    assert set(sa.inspect(engine).get_table_names()) == {*metadata.tables, "alembic_version"}


def test_opening_twice_keeps_what_is_there(database_url: str) -> None:
    """A database that is up to date opens again with its rows."""
    first = open_database(database_url)
    row = {"task": "t", "number": 0, "created_at": "now", "body": "{}"}
    with transaction(first) as connection:
        connection.execute(sa.insert(steps).values(**row))
    first.dispose()

    second = open_database(database_url)

    with connect(second) as connection:
        assert [r._asdict() for r in connection.execute(sa.select(steps))] == [row]
    second.dispose()


def test_a_failed_transaction_keeps_nothing(engine: sa.Engine) -> None:
    """Rows of a transaction that fails halfway are not there afterwards."""
    row = {"task": "t", "number": 0, "created_at": "now", "body": "{}"}

    refused = pytest.raises(StoreError)
    with refused, transaction(engine) as connection:
        connection.execute(sa.insert(steps).values(**row))
        connection.execute(sa.insert(steps).values(**row))

    with connect(engine) as connection:
        assert connection.execute(sa.select(steps)).all() == []


def test_a_url_that_is_none_says_how_one_looks() -> None:
    """Text that is no database URL is refused with two that are."""
    with pytest.raises(StoreError, match=r"sqlite:///path or postgresql\+psycopg"):
        open_database("ratchet.db")


def test_a_server_that_is_down_is_named_without_its_password() -> None:
    """The error for a dead server names the server and the remedy, never the password."""
    with pytest.raises(StoreError, match="the server runs") as caught:
        open_database("postgresql+psycopg://me:s3cret@127.0.0.1:1/ratchet?connect_timeout=2")

    assert "s3cret" not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """A damaged file is an error with a remedy, and stays as it is."""
    path = tmp_path / "ratchet.db"
    path.write_bytes(b"this is no database at all" * 100)

    with pytest.raises(StoreError, match="damaged or is no database"):
        open_database(f"sqlite:///{path}")

    assert path.read_bytes().startswith(b"this is no database")


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    """A path into a folder that does not exist says what to check."""
    with pytest.raises(StoreError, match="Check that the folder exists"):
        open_database(f"sqlite:///{tmp_path / 'nowhere' / 'ratchet.db'}")


@pytest.mark.parametrize("nothing", [(None, None, None), (None, "e", None), ("e", None, "e")])
@pytest.mark.parametrize("truth", [(True, False, True), (False, False, False)])
def test_rows_come_back_as_they_were_given(
    engine: sa.Engine, nothing: tuple[str | None, ...], truth: tuple[bool, ...]
) -> None:
    """Nothing everywhere in a column, here and there, and truth; what is there already stays."""
    plain = {"at": 1.5, "model": "m", "candidate_id": None, "status": 200, "problem": None, "prompt_tokens": 1, "completion_tokens": 2, "cost_usd": None, "latency_s": 0.1, "key": None}  # fmt: skip
    rows = [
        {"id": f"r{k}", "streamed": truth[k], "end_user": nothing[k], **plain} for k in range(3)
    ]

    with transaction(engine) as connection:
        add_rows(connection, requests, rows)
        add_rows(connection, requests, [rows[0] | {"model": "other"}])
        add_rows(connection, requests, [])

    with connect(engine) as connection:
        query = sa.select(requests).order_by(requests.c.id)
        assert [dict(row._mapping) for row in connection.execute(query)] == rows
