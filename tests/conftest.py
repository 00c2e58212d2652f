"""What all tests share: an empty database on each of the two engines that Ratchet keeps trials in.

PostgreSQL is a private cluster in a temporary folder, on a free port of the loopback interface; it lives as long as the test
session. Where its binaries are missing its tests are skipped, or fail if `RATCHET_REQUIRE_POSTGRES=1` is set, as in CI.
"""

import itertools
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from ratchet.store import open_database

BINARIES = Path("/usr/lib/postgresql")
HOW = "install it with: apt-get install -y postgresql, and pip install 'psycopg[binary]'"
NUMBERS = itertools.count()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Give the URL of an empty database, once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'test.db'}"
        return
    server = request.getfixturevalue("postgres_server")
    name = f"test_{next(NUMBERS)}"
    statement(server, f"CREATE DATABASE {name}")
    yield f"{server}/{name}"
    statement(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    """Give an empty database with its tables."""
    opened = open_database(database_url)
    yield opened
    opened.dispose()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """Give the URL of a private PostgreSQL server, without a database name."""
    binaries = postgres_binaries()
    folder = Path(tempfile.mkdtemp(prefix="ratchet-postgres-"))
    prefix = as_postgres(folder)
    port = free_port()
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off -c autovacuum=off"
    data = folder / "data"
    run(
        *prefix,
        binaries / "initdb",
        "-D",
        data,
        "-U",
        "postgres",
        "-A",
        "trust",
        "-E",
        "UTF8",
        "-N",
    )
    control = (*prefix, binaries / "pg_ctl", "-D", data, "-w")
    run(*control, "-l", folder / "log", "-o", options, "start")
    try:
        yield f"postgresql+psycopg://postgres@127.0.0.1:{port}"
    finally:
        run(*control, "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


def postgres_binaries() -> Path:
    """Return the folder of the newest PostgreSQL; skip or fail where there is none."""
    try:
        import psycopg  # noqa: F401 - the driver is an extra
    except ModuleNotFoundError:
        unavailable("psycopg")
    found = sorted(BINARIES.glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if not found:
        unavailable(f"PostgreSQL ({BINARIES}/*/bin/initdb)")
    return found[-1].parent


def unavailable(what: str) -> None:
    """Skip the test, or fail it where PostgreSQL is required."""
    if os.environ.get("RATCHET_REQUIRE_POSTGRES") == "1":
        pytest.fail(f"{what} is missing; {HOW}")
    pytest.skip(f"{what} is missing; {HOW}")


def as_postgres(folder: Path) -> tuple[str, ...]:
    """Return how a command is run by a user that PostgreSQL accepts: root is refused, so `postgres` owns the folder."""
    if os.geteuid() != 0:
        return ()
    user = pwd.getpwnam("postgres")
    os.chown(folder, user.pw_uid, user.pw_gid)
    return ("runuser", "-u", "postgres", "--")


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def run(*command: "str | Path") -> None:
    """Run a command; its output is shown where it fails."""
    done = subprocess.run(
        command, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stdout}"


def statement(server: str, text: str) -> None:
    """Run a statement outside of a transaction."""
    admin = sa.create_engine(f"{server}/postgres", isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(sa.text(text))
    admin.dispose()
