"""One writer for all trials: rows gather in memory and are committed together, off the thread that asks the models.

A commit happens when `BATCH` rows wait or `PAUSE_S` seconds have passed since the first of them, so that a killed process
loses at most what arrived in that time, and thousands of rows a second share a handful of commits.
"""

import json
import queue
import re
import threading
import time
from types import TracebackType
from typing import Self

import orjson
import sqlalchemy as sa

from ratchet.core import Json, Trial
from ratchet.store.database import add_rows, transaction
from ratchet.store.knowledge import passage_row
from ratchet.store.tables import passages, scores, trials

__all__ = ["TrialWriter", "storable"]

BATCH = 1000
PAUSE_S = 0.05
MOST_WAITING = 1000
"""When so many rows wait, whoever puts another one waits too: what is held in memory does not grow with the run."""
Row = tuple[Trial, str, bool]
"""A trial, the id of its metric, and whether the answer is new."""
REFUSED = re.compile("[\x00\ud800-\udfff]")


class TrialWriter:
    """Write trials with their scores in batches on a thread of its own; use as a context manager, which waits for the last commit.

    Raises: StoreError from `put` or on leaving, if a batch could not be written.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._queue: queue.SimpleQueue[Row | None] = queue.SimpleQueue()
        self._failure: BaseException | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ratchet-writer", daemon=True)

    def __enter__(self) -> Self:
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
        if self._failure and error is None:
            raise self._failure

    def put(self, trial: Trial, metric_id: str, *, answered: bool = True) -> None:
        """Queue a trial and its score; with `answered=False` the answer is stored already and only the score is new; wait where too many wait."""
        while self._queue.qsize() >= MOST_WAITING and not self._failure:
            time.sleep(0.002)
        if self._failure:
            raise self._failure
        self._queue.put((trial, metric_id, answered))

    def _write(self, batch: list[Row]) -> None:
        """Write answers that are new, and scores."""
        answered = [trial_row(trial) for trial, _, is_new in batch if is_new]
        seen = {one.id: one for trial, _, is_new in batch if is_new for one in trial.seen}
        scored = [score_row(trial, metric_id) for trial, metric_id, _ in batch if trial.score]
        with transaction(self._engine) as connection:
            add_rows(connection, trials, answered)
            if seen:
                add_rows(connection, passages, [passage_row(one) for one in seen.values()])
            add_rows(connection, scores, scored)

    def _run(self) -> None:
        try:
            while (first := self._queue.get()) is not None:
                batch, ended = self._gather(first)
                self._write(batch)
                if ended:
                    return
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            self._failure = error

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


def text(value: Json) -> str:
    clean = storable(value)
    try:
        return orjson.dumps(clean).decode()
    except orjson.JSONEncodeError:  # an integer of more than 64 bits, which a model may well write
        return json.dumps(clean, ensure_ascii=False)


def trial_row(trial: Trial) -> dict[str, object]:
    usage = trial.usage
    return {
        "candidate_id": trial.candidate_id,
        "task_id": trial.task_id,
        "example_id": trial.example_id,
        "repeat": trial.repeat,
        "output": storable(trial.output),
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


def score_row(trial: Trial, metric_id: str) -> dict[str, object]:
    assert trial.score is not None  # the caller filters
    return {
        "candidate_id": trial.candidate_id,
        "task_id": trial.task_id,
        "example_id": trial.example_id,
        "repeat": trial.repeat,
        "metric_id": metric_id,
        "value": trial.score.value,
        "parts": text(trial.score.parts),
        "feedback": storable(trial.score.feedback),
    }


def storable(value: Json) -> Json:
    """Return `value` with NUL and lone surrogates, which PostgreSQL refuses in text, replaced by U+FFFD in every text."""
    if isinstance(value, str):
        return REFUSED.sub("\ufffd", value)
    if isinstance(value, dict):
        return {storable(name): storable(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [storable(item) for item in value]
    return value
