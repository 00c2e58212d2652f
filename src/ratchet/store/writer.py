"""One writer for all trials: rows gather in memory and are committed together, off the thread that asks the models.

A commit happens when `BATCH` rows wait or `PAUSE_S` seconds have passed since the first of them, so that a killed process
loses at most what arrived in that time, and thousands of rows a second share a handful of commits. What the database has no room for
is paid for all the same: asking ends, what is in hand is tried again, and then kept in a file beside the database.
"""

import json
import logging
import queue
import shutil
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import orjson
import sqlalchemy as sa

from ratchet.core import Json, Trial
from ratchet.core.errors import StoreError
from ratchet.store.database import folder_of
from ratchet.store.faults import fault_of
from ratchet.store.knowledge import passage_row
from ratchet.store.storable import storable, storable_row
from ratchet.store.tables import scores, trials
from ratchet.store.unwritten import (
    UNWRITTEN_FOLDER,
    StoredAnswer,
    give_room_back,
    keep_unwritten,
    put_by_room,
    write_all,
    write_answers,
)

__all__ = ["TrialWriter"]

BATCH = 1000
PAUSE_S = 0.05
PATIENCE_S = 20.0
"""How long a lock or a connection that is gone is waited for."""
ROOM_S = 10.0
"""How long the last of a run waits for room, where there is none beside the database either."""
RETRY_S = 0.5
LEAST_FREE_BYTES = 16 * 2**20
"""What must be free on the disk of the database, that all which is under way finds room; of a small disk a tenth."""
LITTLE_FREE_BYTES = 256 * 2**20
"""With less than this some room is put by for what may have to be kept beside the database."""
MOST_WAITING = 1000
"""When so many rows wait, whoever puts another one waits too: what is held in memory does not grow with the run."""
log = logging.getLogger("ratchet")
Row = tuple[Trial, str, bool]
"""A trial, the id of its metric, and whether the answer is new."""


class TrialWriter:
    """Write trials with their scores in batches on a thread of its own; use as a context manager, which waits for the last commit.

    Raises: StoreError from `put` or on leaving, if a batch could not be written, or the disk is nearly full. Whatever was put is kept even then, in the
        database or beside it, and the error on leaving says where.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._folder = folder_of(engine)
        self._queue: queue.SimpleQueue[Row | None] = queue.SimpleQueue()
        self._failure: Exception | None = None
        """Why nothing more should be asked."""
        self._told: Exception | None = None
        """What was raised where a trial was put."""
        self._is_broken = False
        """Batches are not even tried any more."""
        self._left: list[StoredAnswer] = []
        """What could not be written."""
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ratchet-writer", daemon=True)

    def __enter__(self) -> Self:
        self._nearly_full()  # room is put by, where there is little
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.set()
        self._queue.put(None)
        self._thread.join()
        where = self._keep_left()
        if self._folder is not None:
            give_room_back(self._folder)
        failure = self._told or (self._failure if self._is_broken else None)
        if failure is None:
            return
        if error is None or error is failure:
            raise StoreError(f"{failure} {where}") from failure
        log.error("%s %s", failure, where)

    def put(self, trial: Trial, metric_id: str, *, answered: bool = True) -> None:
        """Queue a trial and its score; with `answered=False` the answer is stored already and only the score is new; wait where too many wait.

        Raises: StoreError if a batch could not be written. The trial is kept even so; nothing more should be asked.
        """
        while self._queue.qsize() >= MOST_WAITING and not self._failure:
            time.sleep(0.002)
        self._queue.put((trial, metric_id, answered))
        if self._failure:
            self._told = self._failure
            raise self._told

    def _run(self) -> None:
        ended = False
        while not ended and (first := self._queue.get()) is not None:
            batch, ended = self._gather(first)
            self._try_write(batch)

    def _try_write(self, batch: list[Row]) -> None:
        """Write a batch; a passing fault is waited for, and after any other the batch is kept in memory until the end."""
        try:
            answers = [answer_rows(*row) for row in batch]
        except Exception as error:  # noqa: BLE001 - raised again in the caller's thread
            self._failure, self._is_broken = error, True
            return
        until = time.monotonic() + PATIENCE_S
        while not self._is_broken:
            try:
                self._write(answers)
            except Exception as error:  # noqa: BLE001 - raised again in the caller's thread
                if fault_of(error) == "passing" and time.monotonic() < until:
                    time.sleep(RETRY_S)
                    continue
                self._failure, self._is_broken = error, True
            else:
                self._failure = self._nearly_full()
                return
        self._left += answers

    def _write(self, answers: Sequence[StoredAnswer]) -> None:
        write_answers(self._engine, answers)

    def _nearly_full(self) -> StoreError | None:
        """Return what is said where so little room is left that what is under way might find none; where it is getting little, put some by."""
        if self._folder is None:
            return None
        try:
            disk = shutil.disk_usage(self._folder)
            if disk.free < LITTLE_FREE_BYTES:
                put_by_room(self._folder, disk.free)
        except OSError:  # a folder that cannot even be looked at is told of when it is written to
            return None
        wanted = min(LEAST_FREE_BYTES, disk.total // 10)
        if disk.free >= wanted:
            return None
        return StoreError(
            f"the disk of {self._folder} is nearly full ({disk.free / 2**20:.1f} MB are free, and {wanted / 2**20:.1f} are wanted): nothing more is asked. "
            "Free some space and run the same command again; it goes on from there."
        )

    def _keep_left(self) -> str:
        """Write what is left once there is room, or put it beside the database; return what became of it, in words."""
        count, until = len(self._left), time.monotonic() + ROOM_S
        self._left, why = write_all(self._write, self._left) if self._left else ([], None)
        beside = 0
        while self._left and self._folder is not None:
            give_room_back(self._folder)  # not sooner: the database would have taken it
            homeless, why = keep_unwritten(self._folder, self._left)
            beside += len(self._left) - len(homeless)
            self._left = homeless
            if not homeless or time.monotonic() >= until:
                break
            time.sleep(RETRY_S)
            self._left, _ = write_all(self._write, self._left)
        where = f"{self._folder}/{UNWRITTEN_FOLDER}: the next command that opens the workspace takes them in"
        if self._left:
            aside = f", {beside} are in {where}" if beside else ""
            return f"{len(self._left)} of {count} answers in hand are lost, as there was no room beside the database either ({why}){aside}."
        if beside:
            return f"{beside} answers are in {where}."
        return (
            f"All {count} answers in hand were written after all."
            if count
            else "All answers are kept."
        )

    def _gather(self, first: Row) -> tuple[list[Row], bool]:
        self._closing.wait(PAUSE_S)  # asleep, not woken by each of them
        batch = [first]
        while len(batch) < BATCH:
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                break
            if item is None:
                return batch, True
            batch.append(item)
        return batch, False


def answer_rows(trial: Trial, metric_id: str, answered: bool) -> StoredAnswer:
    """Return the rows of a trial: of its answer where that is new, and of its score."""
    return {
        "trials": [trial_row(trial)] if answered else [],
        "passages": [passage_row(one) for one in trial.seen] if answered else [],
        "scores": [score_row(trial, metric_id)] if trial.score else [],
    }


def text(value: Json) -> str:
    clean = storable(value)
    try:
        return orjson.dumps(clean).decode()
    except orjson.JSONEncodeError:  # an integer of more than 64 bits, which a model may well write
        return json.dumps(clean, ensure_ascii=False)


def trial_row(trial: Trial) -> dict[str, object]:
    usage = trial.usage
    row = {
        "candidate_id": trial.candidate_id,
        "task_id": trial.task_id,
        "example_id": trial.example_id,
        "repeat": trial.repeat,
        "output": trial.output,
        "answer": None if trial.answer is None else text(trial.answer),
        "failure": trial.failure,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cost_usd": usage.cost_usd,
        "latency_s": trial.latency_s,
        "passages": text(list(trial.passages)) if trial.passages else None,
        "cached_tokens": usage.cached_tokens or None,
        "cache_write_tokens": usage.cache_write_tokens or None,
        "reasoning_tokens": usage.reasoning_tokens or None,
        "sent": text(trial.sent) if trial.sent else None,
        "probabilities": text(trial.probabilities) if trial.probabilities else None,
    }
    return storable_row(trials, row)


def score_row(trial: Trial, metric_id: str) -> dict[str, object]:
    assert trial.score is not None  # the caller filters
    row = {
        "candidate_id": trial.candidate_id,
        "task_id": trial.task_id,
        "example_id": trial.example_id,
        "repeat": trial.repeat,
        "metric_id": metric_id,
        "value": trial.score.value,
        "parts": text(trial.score.parts),
        "feedback": trial.score.feedback,
    }
    return storable_row(scores, row)
