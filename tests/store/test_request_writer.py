"""The log loses nothing: bad requests among good ones, databases that are away for a while, processes that are killed."""

import fcntl
import json
import random
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from benchmarks.log.appender import request
from benchmarks.log.run import refuse_some, run

import ratchet.store.request_writer as module
from ratchet.store import open_database
from ratchet.store.request_spool import RequestSpool
from ratchet.store.request_writer import (
    REFUSED_FILE,
    RequestWriter,
    _Item,
    count_refused,
    take_over,
)
from ratchet.store.requests import read_requests

WAIT_S = 20.0


def logged_ids(engine: sa.Engine) -> list[str]:
    return [one.id for one in read_requests(engine, after=0.0)]


def wait_until(is_so: Any) -> None:
    until = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.01)


def refused_lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / REFUSED_FILE).read_text("utf-8").splitlines()]


def bound_pages(engine: sa.Engine, pages: int = 10) -> list[int]:
    """Let a SQLite database grow by so many pages only, as on a disk that is full, until the list is cleared."""
    with engine.connect() as connection:
        bound = [int(connection.exec_driver_sql("PRAGMA page_count").scalar_one()) + pages]

    def bind(connection: sa.Connection) -> None:
        most = bound[0] if bound else 2**30
        connection.exec_driver_sql(f"PRAGMA max_page_count={most}")

    sa.event.listen(engine, "begin", bind)
    return bound


def test_a_request_that_is_refused_takes_nobody_along(engine: sa.Engine, tmp_path: Path) -> None:
    """One in a hundred is refused by the database itself: all others are in the log within a moment, those are in the file with the reason."""
    refuse_some(engine)
    with RequestWriter(engine, folder=tmp_path) as writer:
        for number in range(300):
            writer.add(request(number))
        wait_until(lambda: len(logged_ids(engine)) == 297)

    assert writer.refused == count_refused(tmp_path) == 3
    assert writer.lost == 0
    lines = refused_lines(tmp_path)
    assert [one["figures"]["id"][-3:] for one in lines] == ["000", "100", "200"]
    assert "no such user" in lines[0]["reason"]
    assert lines[0]["body"] == request(0).body
    assert not list((tmp_path / "spool").glob("*"))


def test_a_good_request_among_bad_ones_is_there_at_once(engine: sa.Engine, tmp_path: Path) -> None:
    """What the log promises holds beside bad requests: the rows of a batch are in the database before the next one is begun."""
    refuse_some(engine)
    with RequestWriter(engine, folder=tmp_path) as writer:
        for number in (100, 1, 200, 2):
            writer.add(request(number))
        wait_until(lambda: len(logged_ids(engine)) == 2)
        writer.add(request(3))
        wait_until(lambda: len(logged_ids(engine)) == 3)


def test_durable_replies_do_not_wait_for_a_refused_request(
    engine: sa.Engine, tmp_path: Path
) -> None:
    """A durable log answers for a request that is in the file of refused ones, and for its neighbours."""
    refuse_some(engine)
    with RequestWriter(engine, folder=tmp_path, durable=True) as writer:
        waiting = [writer.add(request(number)) for number in (100, 101)]
        for one in waiting:
            assert isinstance(one, Future)
            one.result(WAIT_S)

    assert count_refused(tmp_path) == 1
    assert logged_ids(engine) == [request(101).id]


def flaky(writer: RequestWriter, faults: list[Exception]) -> None:
    """Let the next writes fail."""
    write = writer._write

    def failing(items: Any) -> None:
        if faults:
            raise faults.pop()
        write(items)

    writer._write = failing  # type: ignore[method-assign]


def away() -> Exception:
    return sa.exc.OperationalError("INSERT", {}, Exception("database is locked"))


def test_a_database_that_is_away_is_waited_for(
    engine: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What came meanwhile is written once it is back, and nothing is refused for it."""
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    with RequestWriter(engine, folder=tmp_path) as writer:
        flaky(writer, [away() for _ in range(8)])
        for number in range(1, 20):
            writer.add(request(number))
        wait_until(lambda: len(logged_ids(engine)) == 19)

    assert (writer.lost, writer.refused, writer.failing) == (0, 0, None)


def test_what_does_not_fit_into_memory_is_read_back(
    engine: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the database is away more requests come than are held in memory: all are in the log in the end."""
    monkeypatch.setattr(module, "MAX_WAITING", 5)
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    go_on = threading.Event()
    with RequestWriter(engine, folder=tmp_path) as writer:
        write = writer._write

        def held(items: Any) -> None:
            go_on.wait(WAIT_S)
            write(items)

        writer._write = held  # type: ignore[method-assign]
        for number in range(1, 60):
            writer.add(request(number))
        go_on.set()
        wait_until(lambda: len(logged_ids(engine)) == 59)

    assert writer.lost == 0
    assert not list((tmp_path / "spool").glob("*"))


def test_a_log_that_ends_while_the_database_is_away_goes_on_later(
    engine: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next writer finds what the last one could not write."""
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    with RequestWriter(engine, folder=tmp_path) as writer:
        flaky(writer, [away() for _ in range(10_000)])
        writer.add(request(1))
        wait_until(lambda: writer.failing is not None)
    assert writer.lost == 0
    assert logged_ids(engine) == []

    with RequestWriter(engine, folder=tmp_path):
        pass

    assert logged_ids(engine) == [request(1).id]


def test_large_bodies_are_safe_before_their_replies_end(engine: sa.Engine, tmp_path: Path) -> None:
    """A body that takes long to be made ready is made ready beside the loop; who waits for it knows when it is in its file."""
    big = replace(request(1), body={"request": {"text": "word " * 100_000}})
    with RequestWriter(engine, folder=tmp_path) as writer:
        waited = writer.add(big, size=500_000)
        assert isinstance(waited, Future)
        waited.result(WAIT_S)

    assert logged_ids(engine) == [big.id]


def test_a_folder_that_cannot_be_written_is_no_reason_to_stop(
    engine: sa.Engine, tmp_path: Path
) -> None:
    """Without room for the file a request is held in memory, as before."""
    (tmp_path / "spool").write_text("a file where the folder should be")
    with RequestWriter(engine, folder=tmp_path) as writer:
        writer.add(request(1))

    assert logged_ids(engine) == [request(1).id]
    assert writer.lost == 0


def test_files_are_for_their_owner_alone(engine: sa.Engine, tmp_path: Path) -> None:
    """They hold what people wrote."""
    refuse_some(engine)
    with RequestWriter(engine, folder=tmp_path / "log") as writer:
        writer.add(request(100))
        wait_until(lambda: writer.refused)
        assert (tmp_path / "log" / "spool").stat().st_mode & 0o077 == 0

    assert (tmp_path / "log" / REFUSED_FILE).stat().st_mode & 0o077 == 0


def test_killed_processes_lose_nothing(engine: sa.Engine, tmp_path: Path) -> None:
    """Three processes are killed in the middle: each answered request is in the log once, or in the file of refused ones."""
    url = engine.url.render_as_string(hide_password=False)

    outcome = run(url, tmp_path / "log", count=2000, kills=3, rng=random.Random(3))

    assert outcome.answered == 2000
    assert (outcome.missing, outcome.twice, outcome.left) == (0, 0, 0)
    assert outcome.refused == 20


def test_what_is_read_back_is_refused_once(
    engine: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refused request that was put aside from memory is not put aside again when its file is read."""
    monkeypatch.setattr(module, "MAX_WAITING", 5)
    refuse_some(engine)
    with RequestWriter(engine, folder=tmp_path) as writer:
        with writer._lock:  # the writer cannot take what comes
            for number in (100, 1, 2, 3, 4):
                item = _Item(writer._clean_figures(request(number)), b"{}")
                writer._try_spool(item)
                writer._queue.put(item)
            for number in (200, 5):
                writer._try_spool(_Item(writer._clean_figures(request(number)), b"{}"))
                writer._cut += 1
        wait_until(lambda: len(logged_ids(engine)) == 5 and writer.waiting == 0)

    assert [one["figures"]["id"][-3:] for one in refused_lines(tmp_path)] == ["100", "200"]
    assert writer.refused == 2


def test_what_waits_is_counted_while_the_database_is_away(
    engine: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests in the writer's hand wait too, as do those that are in their file alone."""
    monkeypatch.setattr(module, "MAX_WAITING", 5)
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    with RequestWriter(engine, folder=tmp_path) as writer:
        flaky(writer, [away() for _ in range(10_000)])
        writer.add(request(1))
        wait_until(lambda: writer.failing is not None)
        for number in range(2, 12):
            writer.add(request(number))

        assert writer.waiting == 11


def test_a_line_that_finds_no_room_spoils_no_other(tmp_path: Path) -> None:
    """Where the system lets a file grow no more, in the middle of a line, the next lines that fit are whole."""
    script = """
import resource, sys
from pathlib import Path
from ratchet.store.request_spool import RequestSpool
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
spool = RequestSpool(Path(sys.argv[1]))
for line in (b"a" * 59 + b"\\n", b"b" * 59 + b"\\n", b"c" * 39 + b"\\n"):
    try:
        spool.append(line)
    except OSError as error:
        print(type(error).__name__, error.strerror)
"""

    done = subprocess.run([sys.executable, "-c", script, tmp_path], check=True, capture_output=True)

    (file,) = RequestSpool(tmp_path).abandoned()
    assert list(file.lines()) == [b"a" * 59 + b"\n", b"c" * 39 + b"\n"]
    assert b"No space left" in done.stdout
    file.close()


def test_a_file_has_its_name_only_once_it_is_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process can never find a file that is being made, and take it for a dead one's."""
    found: list[object] = []
    lock = fcntl.flock

    def look_first(descriptor: int, operation: int) -> None:
        monkeypatch.undo()
        found.extend(RequestSpool(tmp_path).abandoned())
        lock(descriptor, operation)
        found.extend(RequestSpool(tmp_path).abandoned())

    monkeypatch.setattr("ratchet.store.request_spool.fcntl.flock", look_first)
    spool = RequestSpool(tmp_path)
    spool.append(b"line\n")

    found.extend(RequestSpool(tmp_path).abandoned())
    assert found == []


def leave_behind(folder: Path, *lines: bytes) -> None:
    """Leave a file as a killed process does."""
    (folder / "spool").mkdir(parents=True, exist_ok=True)
    (folder / "spool" / "1-dead.spool").write_bytes(b"".join(lines))


def line_of(number: int, body: bytes = b'{"request":null}') -> bytes:
    with RequestWriter(sa.create_engine("sqlite://")) as writer:
        return _Item(writer._clean_figures(request(number)), body).line()


def test_a_durable_log_writes_what_a_fast_one_left(engine: sa.Engine, tmp_path: Path) -> None:
    """Whichever way the next server logs, what a killed one left is written."""
    leave_behind(tmp_path, line_of(1))

    with RequestWriter(engine, folder=tmp_path, durable=True):
        pass

    assert logged_ids(engine) == [request(1).id]


def test_a_body_is_read_back_byte_for_byte(engine: sa.Engine, tmp_path: Path) -> None:
    """Numbers of seventy bits stay as they are, and a text that looks like the end of the figures is none."""
    body = b'{"request":{"n":1180591620717411303424,"text":"],\\"body\\":1}"}}'
    odd = _Item((*_Item.of(line_of(1)).figures[:2], '],"body":', *[None] * 10), body)
    assert _Item.of(odd.line()).body == body
    assert _Item.of(odd.line()).figures[2] == '],"body":'


def test_files_of_older_versions_and_spoiled_lines(engine: sa.Engine, tmp_path: Path) -> None:
    """Figures that a version did not know yet are empty; a line that a power cut spoiled is in the file of refused ones, one that was cut short nowhere."""
    older = b'{"figures":%s,"body":{}}\n' % json.dumps(_Item.of(line_of(1)).figures[:6]).encode()
    leave_behind(tmp_path, older, b"\x00\x00\x00\n", line_of(2), line_of(3)[:40])

    take_over(engine, tmp_path)

    assert logged_ids(engine) == [request(1).id, request(2).id]
    (spoiled,) = refused_lines(tmp_path)
    assert spoiled["line"] == "\x00\x00\x00\n"
    assert not list((tmp_path / "spool").glob("*"))


def test_what_was_refused_stays_refused(engine: sa.Engine, tmp_path: Path) -> None:
    """A request that is in the file of refused ones is not logged too, though the database would take it by now."""
    refuse_some(engine)
    with RequestWriter(engine, folder=tmp_path) as writer:
        writer.add(request(100))
        wait_until(lambda: writer.refused)
    with engine.begin() as connection:
        for statement in FORGIVING[engine.dialect.name]:
            connection.exec_driver_sql(statement)
    leave_behind(tmp_path, line_of(100), line_of(1))

    take_over(engine, tmp_path)

    assert logged_ids(engine) == [request(1).id]
    assert count_refused(tmp_path) == 1


FORGIVING = {
    "sqlite": ["DROP TRIGGER refuse"],
    "postgresql": ["DROP TRIGGER refuse ON requests"],
}


def test_refusals_are_told_once_and_then_by_count(
    engine: sa.Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of 25 refused requests the console says the first, the tenth, and how many there were in the end."""
    refuse_some(engine)
    with RequestWriter(engine, folder=tmp_path) as writer:
        for number in range(25):
            writer.add(replace(request(number), end_user="refused"))

    counts = [message.split()[0] for message in caplog.messages]
    assert counts == ["1", "10", "25"]
    assert REFUSED_FILE in caplog.text
    assert "no such user" in caplog.text


def test_a_schema_that_is_gone_is_no_fault_of_the_requests(
    engine: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a table is missing requests wait, and none is refused for it."""
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    with RequestWriter(engine, folder=tmp_path) as writer:
        with engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE requests RENAME TO elsewhere")
        writer.add(request(1))
        wait_until(lambda: writer.failing is not None)
        with engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO requests")
        wait_until(lambda: logged_ids(engine))

    assert (writer.lost, writer.refused) == (0, 0)


def test_a_full_database_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What SQLite has no room for waits until it has, and is there once."""
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    engine = open_database(f"sqlite:///{tmp_path / 'r.db'}")
    bound = bound_pages(engine)
    big = replace(request(1), body={"request": {"text": random.Random(1).randbytes(200_000).hex()}})
    with RequestWriter(engine, folder=tmp_path) as writer:
        writer.add(big)
        writer.add(request(2))
        wait_until(lambda: writer.failing is not None)
        assert "full" in str(writer.failing)
        bound.clear()
        wait_until(lambda: len(logged_ids(engine)) == 2)

    assert (writer.lost, writer.refused) == (0, 0)
    engine.dispose()
