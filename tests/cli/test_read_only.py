"""A workspace that may only be read can be looked at; what would write in it says so in a sentence, and changes nothing."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from benchmarks.log.appender import request
from tests.cli.conftest import careful

from ratchet.store import find_workspace
from ratchet.store.request_writer import RequestWriter
from ratchet.testing import ScriptedServer

LOOKS = (
    ("show", "start"),
    ("show", "careful.yaml", "--json"),
    ("ladder", "tickets"),
    ("ladder", "tickets", "--report", "../report.html"),
    ("trials", "tickets"),
    ("trials", "tickets", "--export", "../trials.csv"),
    ("front", "tickets"),
    ("measure", "tickets", "--dry-run"),
    ("check", "tickets"),
    ("logs",),
    ("logs", "--json"),
    ("logs", "--export", "../logs.jsonl"),
    ("canary", "desk"),
    ("keys", "list"),
    ("people", "list"),
    ("knowledge", "list"),
    ("models", "show", "mock/m"),
    ("tune", "jobs"),
    ("adapters", "list"),
)
FEW = (("trials", "tickets"), ("ladder", "tickets"), ("logs", "--json"))
WRITES = (
    ("measure", "tickets"),
    ("promote", "tickets"),
    ("keys", "add", "ann"),
    ("serve",),
    ("work",),
    ("ab", "tickets", "--a", "start", "--b", "careful.yaml", "--max-calls", "9"),
    ("climb", "tickets", "--budget", "1", "--yes"),
)
RUN = """
import contextlib, io, json, sys
from ratchet.cli.app import main
told = []
for words in json.loads(sys.argv[1]):
    sys.argv = ["ratchet", *words]
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    told.append([code, out.getvalue(), " ".join(err.getvalue().split())])
print(json.dumps(told))
"""
Told = list[tuple[int, str, str]]


def without_rights(*words: str) -> list[str]:
    """Return a command that permission bits hold for, though root runs it."""
    if os.geteuid() != 0:
        return list(words)
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("setpriv is missing, and root may write everywhere")
    return [setpriv, "--bounding-set=-dac_override,-dac_read_search", *words]


def run_all(root: Path, *lines: tuple[str, ...]) -> Told:
    """Return exit code, output and errors of commands that are run in a folder without the right to write in it."""
    words = without_rights(sys.executable, "-c", RUN, json.dumps(lines))
    done = subprocess.run(words, cwd=root, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "300"})  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [tuple(one) for one in json.loads(done.stdout.splitlines()[-1])]


def set_bits(root: Path, folder_bits: int, file_bits: int) -> None:
    for path in (root, *root.rglob("*")):
        path.chmod(folder_bits if path.is_dir() else file_bits)


@pytest.fixture(scope="module")
def made(imported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a workspace with a rung, a release with a canary, and a log, to be copied."""
    root = tmp_path_factory.mktemp("made")
    shutil.copytree(imported, root, dirs_exist_ok=True)
    (root / "careful.yaml").write_text('system: "Read carefully. {{instructions}}"\n')
    with ScriptedServer(careful) as server:
        (root / "ratchet.toml").write_text(f'[endpoints.mock]\nbase_url = "{server.url}"\n')
        told = run_all(
            root,
            ("climb", "tickets", "--levers", "prompt", "--templates", "careful.yaml"),
            ("promote", "tickets", "--candidate", "start", "--as", "desk"),
            ("promote", "tickets", "--candidate", "careful.yaml", "--as", "desk", "--canary", "10"),
        )
    assert [code for code, _, _ in told] == [0, 0, 0], told
    opened = find_workspace(root)
    with RequestWriter(opened.database, folder=opened.log_folder) as writer:
        for number in range(1, 4):
            writer.add(request(number))
    opened.database.dispose()
    return root


@pytest.fixture
def used(made: Path, tmp_path: Path) -> Path:
    """Give a copy of it, within a folder that may be written."""
    return Path(shutil.copytree(made, tmp_path / "only"))


@pytest.fixture
def locked(used: Path) -> Iterator[Callable[[], Path]]:
    """Give a function that takes the right to write in the workspace away, and returns its folder."""

    def lock() -> Path:
        set_bits(used, 0o555, 0o444)
        return used

    yield lock
    set_bits(used, 0o755, 0o644)


def content(root: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def logged_when_looked_at(root: Path, *lines: tuple[str, ...]) -> list[str]:
    """Return the ids of the logged requests, where all looks end well."""
    told = run_all(root, *lines)
    for words, (code, out, err) in zip(lines, told, strict=True):
        assert code == 0, (words, out, err)
        assert "Traceback" not in err
    return [row["id"] for row in json.loads(told[lines.index(("logs", "--json"))][1])]


def test_what_only_looks_works_and_what_writes_says_so(locked: Callable[[], Path]) -> None:
    """Folders and files without the right to write: each look ends well, each other command with a sentence, and nothing is changed."""
    root = locked()
    before = content(root)

    assert len(logged_when_looked_at(root, *LOOKS)) == 3
    refused = run_all(root, *WRITES)

    for words, (code, out, err) in zip(WRITES, refused, strict=True):
        assert code == 6, (words, out, err)
        assert "may only be read" in err, (words, err)
        assert "Traceback" not in err
    assert content(root) == before
    assert (root.parent / "report.html").stat().st_size > 1000


def test_a_database_that_was_not_closed_is_read_with_its_last_changes(
    used: Path, locked: Callable[[], Path]
) -> None:
    """What a killed process left in SQLite's own log is read too, where neither may be taken in."""
    opened = find_workspace(used)
    path = used / ".ratchet" / "ratchet.db"
    with opened.database.connect() as connection:  # keeps the log from being taken in
        connection.execute(sa.text("DELETE FROM requests"))
        connection.commit()
        with RequestWriter(opened.database, folder=opened.log_folder) as writer:
            for number in (7, 8, 9):
                writer.add(request(number))
        copies = {
            suffix: path.with_name(path.name + suffix).read_bytes() for suffix in ("", "-wal")
        }
    opened.database.dispose()
    for suffix, body in copies.items():
        path.with_name(path.name + suffix).write_bytes(body)
    assert copies["-wal"]

    assert logged_when_looked_at(locked(), *FEW) == [request(n).id for n in (9, 8, 7)]


def test_a_database_of_an_older_version_is_read_by_a_copy(
    used: Path, locked: Callable[[], Path]
) -> None:
    """What cannot be brought up to date in its place is brought so elsewhere, and stays as it is."""
    engine = sa.create_engine(f"sqlite:///{used / '.ratchet' / 'ratchet.db'}")
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE trials DROP COLUMN probabilities"))
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '0012'"))
    engine.dispose()
    root = locked()
    before = content(root)

    assert len(logged_when_looked_at(root, *FEW)) == 3
    assert content(root) == before


def test_a_mount_that_is_read_only_is_looked_at(used: Path) -> None:
    """Root too may only read what is mounted so."""
    words = ["mount", "--bind", "-o", "ro", str(used), str(used)]
    if os.geteuid() != 0 or subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("no right to mount")
    try:
        assert len(logged_when_looked_at(used, *FEW)) == 3
    finally:
        subprocess.run(["umount", "--lazy", str(used)], check=True)


def test_what_a_running_server_writes_is_seen(used: Path) -> None:
    """Where another may write and this process may not, it sees what is written meanwhile."""
    opened = find_workspace(used)
    database = used / ".ratchet" / "ratchet.db"
    with RequestWriter(opened.database, folder=opened.log_folder) as writer:
        writer.add(request(50))
        while writer.waiting:
            pass
        (used / ".ratchet").chmod(0o555)
        for path in used.glob(".ratchet/ratchet.db*"):
            path.chmod(0o444)
        seen = logged_when_looked_at(used, ("logs", "--json"))
        (used / ".ratchet").chmod(0o755)
        database.chmod(0o644)
    opened.database.dispose()

    assert request(50).id in seen


def test_a_workspace_without_a_database_says_so(imported: Path, tmp_path: Path) -> None:
    """Where nothing was ever stored, and nothing can be, a sentence says it."""
    root = tmp_path / "bare"
    (root / "tasks").mkdir(parents=True)
    shutil.copy(imported / "tasks" / "tickets.yaml", root / "tasks")
    shutil.copy(imported / "ratchet.toml", root)
    set_bits(root, 0o555, 0o444)

    ((code, _, err),) = run_all(root, ("show", "start"))

    set_bits(root, 0o755, 0o644)
    assert code == 6
    assert "cannot write" in err
    assert "Traceback" not in err
