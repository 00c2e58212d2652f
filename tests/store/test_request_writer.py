"""The log loses nothing: bad requests among good ones, databases that are away for a while, processes that are killed."""

import json
import random
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
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ratchet.store.request_writer as module
from ratchet.store.request_writer import REFUSED_FILE, RequestWriter, count_refused
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


ODD_TEXT = st.text(st.characters(codec=None), max_size=300)
ODD_NUMBER = st.one_of(
    st.integers(-(2**80), 2**80), st.floats(), st.just(float("nan")), st.just(float("inf"))
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    texts=st.tuples(ODD_TEXT, ODD_TEXT, ODD_TEXT),
    numbers=st.tuples(ODD_NUMBER, ODD_NUMBER, ODD_NUMBER, ODD_NUMBER),
)
def test_any_text_and_any_figure_is_written(
    engine: sa.Engine, texts: tuple[str, str, str], numbers: tuple[Any, ...]
) -> None:
    """NUL, lone surrogates, texts that are too long, NaN, infinities and numbers of eighty bits are made such as the database takes."""
    one = replace(
        request(1),
        id=f"chatcmpl-{random.getrandbits(64):x}",
        model=texts[0],
        problem=texts[1],
        end_user=texts[2],
        prompt_tokens=numbers[0],
        completion_tokens=numbers[1],
        cost_usd=numbers[2],
        latency_s=numbers[3],
        body={"request": {"text": texts[0], "n": numbers[0]}},
    )
    with RequestWriter(engine) as writer:
        writer.add(one)

    assert writer.lost == 0
    assert one.id in logged_ids(engine)


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
