"""The writer: many rows share a commit, and what could not be written is said."""

import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.store.test_request_writer import bound_pages, wait_until

from ratchet.core import Score, Trial
from ratchet.core.errors import StoreError
from ratchet.store import TrialWriter, load_trials, open_database
from ratchet.store.database import transaction
from ratchet.store.tables import scores, trials
from ratchet.store.unwritten import keep_unwritten, take_in_unwritten
from ratchet.store.writer import answer_rows

COUNT = 2500


def trial(number: int) -> Trial:
    return Trial(
        candidate_id="c_1", example_id=f"e_{number:05}", output="yes", score=Score(value=1)
    )


def test_rows_share_commits(engine: sa.Engine) -> None:
    """Thousands of trials that come at once are all written, in a handful of transactions."""
    commits: list[object] = []
    sa.event.listen(engine, "commit", commits.append)

    with TrialWriter(engine) as writer:
        for number in range(COUNT):
            writer.put(trial(number), "m_1")

    assert load_trials(engine, ["c_1"], metric_id="m_1") == [trial(n) for n in range(COUNT)]
    assert 3 <= len(commits) < COUNT // 50


def test_leaving_writes_what_waits(engine: sa.Engine) -> None:
    """A trial that was put last is there as soon as the block has ended, also when the block ends in an error."""
    error = pytest.raises(ZeroDivisionError)

    with error, TrialWriter(engine) as writer:
        writer.put(trial(1), "m_1")
        raise ZeroDivisionError

    assert load_trials(engine, ["c_1"], metric_id="m_1") == [trial(1)]


def test_a_trial_and_its_score_are_written_together_or_not_at_all(engine: sa.Engine) -> None:
    """Where the scores cannot be written, no trial is left without its score, and the error surfaces on leaving."""
    with transaction(engine) as connection:
        scores.drop(connection)

    with pytest.raises(StoreError, match="scores"), TrialWriter(engine) as writer:
        writer.put(trial(1), "m_1")

    assert load_rows(engine) == []


def test_an_error_ends_the_work_at_the_next_put(engine: sa.Engine) -> None:
    """After a batch that failed, `put` refuses more, so that nothing more is paid for and lost."""
    with transaction(engine) as connection:
        trials.drop(connection)
    writer = TrialWriter(engine)

    refused = pytest.raises(StoreError, match="trials")
    with refused, writer:
        writer.put(trial(1), "m_1")
        wait_until(lambda: writer._failure)
        writer.put(trial(2), "m_1")
        pytest.fail("the second put was accepted")


def load_rows(engine: sa.Engine) -> list[object]:
    with engine.connect() as connection:
        return list(connection.execute(sa.select(trials)))


def test_what_waits_to_be_written_is_bounded(monkeypatch, tmp_path) -> None:
    """A writer that is slower than the answers makes them wait; the queue never grows beyond its bound."""
    monkeypatch.setattr("ratchet.store.writer.MOST_WAITING", 5)
    engine = open_database(f"sqlite:///{tmp_path / 'slow.db'}")
    with TrialWriter(engine) as writer:
        slow = writer._write
        monkeypatch.setattr(writer, "_write", lambda batch: (time.sleep(0.01), slow(batch)))
        waiting = []
        for number in range(40):
            writer.put(trial(number), "m_1")
            waiting.append(writer._queue.qsize())

    assert max(waiting) <= 5
    assert len(load_trials(engine, ["c_1"], metric_id="m_1")) == 40


def kept(folder: Path) -> int:
    """Return how many answers are in the files beside the database."""
    return sum(len(path.read_bytes().splitlines()) for path in folder.glob("unwritten/*"))


def test_a_full_database_ends_the_asking_and_loses_nothing(tmp_path: Path, monkeypatch) -> None:
    """What SQLite has no room for ends the run with the remedy; what was put, then and after, is beside it, and in it when it is opened next."""
    engine = open_database(f"sqlite:///{tmp_path / 'r.db'}")
    bound = bound_pages(engine, pages=5)
    put = 0
    refused = pytest.raises(StoreError, match=r"disk is full.* answers are in .*unwritten")
    with refused, TrialWriter(engine) as writer:
        while put < 192:
            put += 1
            writer.put(trial(put).model_copy(update={"output": "x" * 2000}), "m_1")
        put += 1
        writer.put(trial(put), "m_1")
    written = len(load_trials(engine, ["c_1"], metric_id="m_1"))
    assert written + kept(tmp_path) == put
    assert kept(tmp_path) > 0
    assert (tmp_path / "unwritten").stat().st_mode & 0o077 == 0

    take_in_unwritten(engine, tmp_path)  # there is no room yet
    assert written + kept(tmp_path) == put
    bound.clear()
    take_in_unwritten(engine, tmp_path)
    take_in_unwritten(engine, tmp_path)

    found = load_trials(engine, ["c_1"], metric_id="m_1")
    assert [one.example_id for one in found] == [trial(n + 1).example_id for n in range(put)]
    assert all(one.score for one in found)
    assert kept(tmp_path) == 0
    engine.dispose()


def test_what_is_in_hand_is_tried_again_once_there_is_room(tmp_path: Path, monkeypatch) -> None:
    """Room that came while the run ended is used: the answers are in the database, and the error says so."""
    engine = open_database(f"sqlite:///{tmp_path / 'r.db'}")
    bound = bound_pages(engine, pages=5)
    long = [trial(n).model_copy(update={"output": "x" * 2000}) for n in range(100)]

    words = "All .* answers in hand were written after all"
    refused = pytest.raises(StoreError, match=words)
    with refused, TrialWriter(engine) as writer:
        for one in long:
            writer.put(one, "m_1")
        wait_until(lambda: writer._failure)
        bound.clear()

    assert len(load_trials(engine, ["c_1"])) == 100
    assert kept(tmp_path) == 0
    engine.dispose()


def test_a_disk_that_is_nearly_full_ends_the_asking_before_it_is(
    tmp_path: Path, monkeypatch
) -> None:
    """While there is room for what is under way nothing more is asked, and all of it is in the database."""
    usage = shutil.disk_usage(tmp_path)
    nearly = usage._replace(total=2**60)  # of which a tenth is more than is free
    monkeypatch.setattr("ratchet.store.writer.LEAST_FREE_BYTES", 2**62)
    monkeypatch.setattr("shutil.disk_usage", lambda _: nearly)
    engine = open_database(f"sqlite:///{tmp_path / 'r.db'}")

    words = "nearly full .* (All answers are kept|were written after all)"
    refused = pytest.raises(StoreError, match=words)
    with refused, TrialWriter(engine) as writer:
        writer.put(trial(1), "m_1")
        wait_until(lambda: writer._failure)
        writer.put(trial(2), "m_1")

    assert len(load_trials(engine, ["c_1"])) == 2
    engine.dispose()


def test_a_database_that_is_locked_for_a_moment_ends_nothing(tmp_path: Path, monkeypatch) -> None:
    """Another process that holds the database is waited for."""
    monkeypatch.setattr("ratchet.store.writer.RETRY_S", 0.01)
    engine = open_database(f"sqlite:///{tmp_path / 'r.db'}")
    sa.event.listen(engine, "begin", lambda c: c.exec_driver_sql("PRAGMA busy_timeout=1"))
    other = sqlite3.connect(tmp_path / "r.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    tries: list[object] = []
    sa.event.listen(engine, "rollback", tries.append)

    with TrialWriter(engine) as writer:
        writer.put(trial(1), "m_1")
        while len(tries) < 3:
            time.sleep(0.01)
        other.execute("COMMIT")
    other.close()

    assert len(load_trials(engine, ["c_1"])) == 1
    engine.dispose()


def test_a_file_that_may_not_grow_ends_the_asking_and_loses_nothing(tmp_path: Path) -> None:
    """Where the system lets no file grow beyond a bound, the answers are in the database or in the file beside it."""
    script = """
import resource, sys
from pathlib import Path
from tests.store.test_writer import trial
from ratchet.core.errors import StoreError
from ratchet.store import TrialWriter, open_database
engine = open_database(f"sqlite:///{sys.argv[1]}/r.db")
engine.dispose()
size = (Path(sys.argv[1]) / "r.db").stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100_000, size + 100_000))
put = 0
try:
    with TrialWriter(engine) as writer:
        while put < 3000:
            put += 1
            writer.put(trial(put).model_copy(update={"output": "x" * 400}), "m_1")
except StoreError as error:
    print(put, error)
"""

    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path], check=True, capture_output=True, text=True
    )

    put = int(done.stdout.split()[0])
    assert "answers" in done.stdout
    engine = open_database(f"sqlite:///{tmp_path / 'r.db'}")
    assert len(load_trials(engine, ["c_1"])) + kept(tmp_path) == put, done.stdout
    take_in_unwritten(engine, tmp_path)
    assert len(load_trials(engine, ["c_1"])) == put
    engine.dispose()


def test_an_answer_that_is_refused_keeps_no_other_out(engine: sa.Engine, tmp_path: Path) -> None:
    """Of the answers in a file all that the database takes are taken in, and the one that it does not is still in a file."""
    with transaction(engine) as connection:
        for statement in REFUSING[engine.dialect.name]:
            connection.exec_driver_sql(statement)
    rows = [answer_rows(trial(n), "m_1", answered=True) for n in range(20)]
    rows[7]["trials"][0]["output"] = "refused"  # type: ignore[index]
    keep_unwritten(tmp_path, rows)

    take_in_unwritten(engine, tmp_path)

    assert len(load_trials(engine, ["c_1"])) == 19
    assert kept(tmp_path) == 1


REFUSING = {
    "sqlite": [
        "CREATE TRIGGER refuse BEFORE INSERT ON trials WHEN NEW.output = 'refused' BEGIN SELECT RAISE(ABORT, 'no'); END"
    ],
    "postgresql": [
        "CREATE FUNCTION refuse() RETURNS trigger AS $$ BEGIN IF NEW.output = 'refused' THEN RAISE EXCEPTION 'no'; END IF; RETURN NEW; END $$ LANGUAGE plpgsql",
        "CREATE TRIGGER refuse BEFORE INSERT ON trials FOR EACH ROW EXECUTE FUNCTION refuse()",
    ],
}


def test_room_is_put_by_where_it_gets_little(tmp_path: Path, monkeypatch) -> None:
    """While the writer is at work on a disk that is getting full the room is really taken, and given back in the end."""
    monkeypatch.setattr("ratchet.store.writer.LITTLE_FREE_BYTES", 2**62)
    engine = open_database(f"sqlite:///{tmp_path / 'r.db'}")

    with TrialWriter(engine):
        taken = (tmp_path / "reserve").stat().st_blocks * 512

    assert taken >= 4 * 2**20
    assert not (tmp_path / "reserve").exists()
    engine.dispose()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a disk of 24 MB, where this process may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    words = ["-t", "tmpfs", "-o", "size=24m", "tmpfs", place]
    if (
        mount is None
        or subprocess.run([mount, *words], check=False, capture_output=True).returncode
    ):
        pytest.skip("no right to mount a disk")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.parametrize("mark", [16 * 2**20, 0])
def test_a_real_disk_that_fills_loses_nothing(small_disk: Path, mark: int, monkeypatch) -> None:
    """With the mark at which asking ends, and where others take the last room and the mark does not help: all that was put is kept."""
    monkeypatch.setattr("ratchet.store.writer.LEAST_FREE_BYTES", mark)
    monkeypatch.setattr("ratchet.store.writer.MOST_WAITING", 50)
    engine = open_database(f"sqlite:///{small_disk / 'r.db'}")
    put = 0
    refused = pytest.raises(StoreError, match="full")
    with refused, TrialWriter(engine) as writer:
        while put < 5000:
            put += 1
            writer.put(trial(put).model_copy(update={"output": "x" * 20_000}), "m_1")

    assert len(load_trials(engine, ["c_1"])) + kept(small_disk) == put
    engine.dispose()
