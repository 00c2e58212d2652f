"""The writer: many rows share a commit, and what could not be written is said."""

import time

import pytest
import sqlalchemy as sa

from ratchet.core import Score, Trial
from ratchet.core.errors import StoreError
from ratchet.store import TrialWriter, load_trials, open_database
from ratchet.store.database import transaction
from ratchet.store.tables import scores, trials

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
        writer._thread.join(timeout=30)
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
