"""Write what passed through the gateway into the database, off the path of the reply, and lose none of it.

A request is appended to a file before its reply ends (`request_spool.py`), and written to the database in batches by a thread. What
the database refuses for what is in it goes into a file of its own, `refused-requests.jsonl`, with the reason; all around it is written.
What fails for the database's own sake, as the disk is full or the server is away, is tried again until it can be written.
"""

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any, Self

import orjson
import sqlalchemy as sa
import zstandard

from ratchet.core.errors import StoreError
from ratchet.store.database import add_tuples, transaction
from ratchet.store.faults import fault_of
from ratchet.store.redact import clean, redacted
from ratchet.store.request_spool import SUFFIX, RequestSpool, SpoolFile, append_durably
from ratchet.store.requests import LoggedRequest
from ratchet.store.storable import StorableTuple
from ratchet.store.tables import bodies, requests

__all__ = ["REFUSED_FILE", "RequestWriter", "count_refused", "take_over"]

BATCH_ROWS = 1000
PAUSE_S = 0.05
"""How long requests gather before they are written."""
RETRY_S = 1.0
MAX_WAITING = 20_000
"""Requests that are held in memory; more are read back from their files."""
LARGE_BODY_BYTES = 256_000
"""Bodies from this size on are made ready by another thread than the one that answers."""
MAX_TRIES = 5
"""After so many failures of one row, while others are written, it is the row."""
WARN_EVERY_S = 60.0
SPOOL_FOLDER = "spool"
REFUSED_FILE = "refused-requests.jsonl"
"""What the database refused, in the folder of the log: a JSON object a line, `reason`, `figures` and `body`."""
FIGURES = tuple(str(column.name) for column in requests.columns)
storable_figures = StorableTuple(requests)
PROBLEM = FIGURES.index("problem")
figures_of = attrgetter(*FIGURES)
log = logging.getLogger("ratchet.gateway")


BODY = b',"body":'
"""What parts figures from body in a line; within a text of the figures its quotes are escaped."""


@dataclass(slots=True, eq=False)
class _Item:
    """A request on its way."""

    figures: tuple[Any, ...]
    """In the order of `FIGURES`, as the database takes them."""
    body: bytes
    """JSON, with what is to be blacked out blacked out."""
    written: "Future[None] | None" = None
    """Done once it is in the database, where somebody waits for that."""

    def line(self) -> bytes:
        """Return what is kept of it in a file."""
        return b'{"figures":%s%s%s}\n' % (orjson.dumps(self.figures), BODY, self.body)

    @classmethod
    def of(cls, line: bytes) -> "_Item":
        """Return the request of a line, its body byte for byte; one that an older version wrote may lack the last figures.

        Raises: ValueError if the line is none.
        """
        said = orjson.loads(line)
        figures = said.get("figures") if isinstance(said, dict) else None
        if not isinstance(figures, list) or not figures or BODY not in line:
            raise ValueError("the line is not a request")
        padded = [*figures, *[None] * (len(FIGURES) - len(figures))]
        return cls(storable_figures(padded), line[line.index(BODY) + len(BODY) : -2])


@dataclass(slots=True, eq=False)
class _Part:
    """Requests that are written in one transaction."""

    items: Sequence[_Item]
    tries: int = 0


@dataclass(slots=True)
class _Batch:
    """What came since the last time, and the file that holds it."""

    items: list[_Item] = field(default_factory=list)
    file: SpoolFile | None = None
    cut: int = 0
    """So many more are in the file than in memory."""
    is_last: bool = False


class RequestWriter:
    """Write requests in batches on a thread of its own; use as a context manager.

    Args:
        engine: The database.
        redact: The kinds of secrets that are blacked out.
        durable: Whether a reply waits until its request is in the database. Nobody waits in vain: who asked is told that the log failed.
        folder: Holds what is not in the database yet, and what it refused. Without one a request is in memory alone until it is
            written, and what is refused or does not fit is counted in `lost`.
    """

    def __init__(
        self,
        engine: sa.Engine,
        *,
        redact: tuple[str, ...] = ("secrets",),
        durable: bool = False,
        folder: Path | None = None,
    ) -> None:
        self._engine, self._redact, self._durable = engine, redact, durable
        self._folder = folder
        self._spool = RequestSpool(folder / SPOOL_FOLDER) if folder else None
        self._lock = threading.Lock()
        """Held while a request is put into file and queue, so that both hold the same."""
        self._queue: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._cut = 0
        """So many requests are in the file of this moment alone."""
        self._in_hand = 0
        self._thread = threading.Thread(target=self._run, name="ratchet-log", daemon=True)
        self._large = ThreadPoolExecutor(1, thread_name_prefix="ratchet-log-large")
        self._closing = threading.Event()
        self._packer = zstandard.ZstdCompressor(level=1)  # no two threads may use one
        self._warned_at: dict[str, float] = {}
        self._parts_written = self._told_of_refused = 0
        self.failing: str | None = None
        """Why the log cannot be written at the moment."""
        self.lost = 0
        """Requests that are nowhere."""
        self.refused = 0
        """Requests that the database refused, and that are in the file of refused ones."""

    @property
    def waiting(self) -> int:
        """How many requests are not in the database yet, about."""
        return self._queue.qsize() + self._cut + self._in_hand

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._large.shutdown()
        self._closing.set()
        self._queue.put(None)
        self._thread.join()
        if self.refused > self._told_of_refused:
            self._tell_of_refused()
        if self.lost:
            log.error("%s requests are missing in the log: %s", self.lost, self.failing)

    def add(self, logged: LoggedRequest, *, size: int = 0) -> "Future[None] | None":
        """Take a request, and never wait for the database.

        Args:
            logged: The request.
            size: Of its body, in bytes, about.
        Return what is done once it is safe, where that is not yet so: a durable log's is in the database, a large one's in its file.
        Raises: StoreError if a durable log cannot be written.
        """
        if self._durable and self._queue.qsize() >= MAX_WAITING:
            self.lost += 1
            raise StoreError(f"the log cannot be written: {self.failing or 'it is too slow'}")
        if size >= LARGE_BODY_BYTES and not self._durable:
            return self._large.submit(self._take_large, logged)
        return self._take(logged)

    def _take(self, logged: LoggedRequest) -> "Future[None] | None":
        """Put a request into file and queue; return what is done once it is in the database, where the log is durable."""
        written = Future[None]() if self._durable else None
        if written:
            written.set_running_or_notify_cancel()  # who waits may go away, and must not take the log along
        item = _Item(self._clean_figures(logged), self._clean_body(logged), written)
        with self._lock:
            is_spooled = self._try_spool(item)
            if self._queue.qsize() < MAX_WAITING:
                self._queue.put(item)
            elif is_spooled:
                self._cut += 1  # it is read back from its file
            else:
                self.lost += 1
        return written

    def _take_large(self, logged: LoggedRequest) -> None:
        self._take(logged)

    def _try_spool(self, item: _Item) -> bool:
        """Put a request into the file of this moment; return whether it is there."""
        if self._spool is None or self._durable:
            return False
        try:
            self._spool.append(item.line())
        except (OSError, ValueError, TypeError) as error:
            self._warn("requests are kept in memory alone until they are logged: %s", error)
            return False
        return True

    def _clean_figures(self, one: LoggedRequest) -> tuple[Any, ...]:
        """Return the figures of a request as every database takes them."""
        values = figures_of(one)
        if one.problem is not None:
            problem = clean(one.problem, self._redact)
            values = (*values[:PROBLEM], problem, *values[PROBLEM + 1 :])
        return storable_figures(values)

    def _clean_body(self, one: LoggedRequest) -> bytes:
        """Return what is kept of a body; of one that cannot be written, why."""
        try:
            return redacted(one.body, self._redact)
        except (RecursionError, ValueError, TypeError) as error:
            return orjson.dumps({"unreadable": str(error)})

    def _run(self) -> None:
        for file in self._spool.abandoned() if self._spool else ():
            self._try_store_file(file)
        is_last = False
        while not is_last:
            batch = self._gather()
            is_last = batch.is_last
            try:
                left = self._store(batch.items)
            except Exception:  # the log must go on, whatever it is
                log.exception("requests could not be logged")
                left = len(batch.items)
            if batch.file and left:
                batch.file.close()  # whoever opens the log next reads it
                log.warning("%s requests wait in %s until the log is opened again", left + batch.cut, batch.file.path)  # fmt: skip
            elif batch.file and batch.cut:
                self._try_store_file(batch.file)
            elif batch.file:
                batch.file.remove()
            elif not self._durable:  # where it is, who asked was told
                self.lost += left
            self._in_hand = 0

    def _gather(self) -> _Batch:
        """Wait for a request, and take what comes within a moment; a durable log waits for nothing."""
        item = self._queue.get()
        if item is not None and not self._durable:
            self._closing.wait(PAUSE_S)  # asleep, not woken by each of them
        batch = _Batch()
        with self._lock:
            while item is not None:
                batch.items.append(item)
                try:
                    item = self._queue.get_nowait()
                except queue.Empty:
                    break
            batch.is_last = item is None
            batch.file = self._spool.rotate() if self._spool else None
            batch.cut, self._cut = self._cut, 0
            self._in_hand = len(batch.items) + batch.cut
        return batch

    def _try_store_file(self, file: SpoolFile) -> None:
        """Write what a file holds, and delete it; it stays where that cannot be done now."""
        try:
            is_done = self._store_file(file)
        except Exception:  # a file that cannot be read must not end the log
            log.exception("%s cannot be read, and stays as it is", file.path)
            is_done = False
        if is_done:
            file.remove()
        else:
            file.close()

    def _store_file(self, file: SpoolFile) -> bool:
        """Write what a file holds, the same id again being the same request; return whether nothing is left of it."""
        # who died, or this one, may have put some aside and not come to deleting the file
        known, items = refused_ids(self._folder), list[_Item]()
        for line in file.lines():
            try:
                item = _Item.of(line)
            except ValueError as error:  # a power cut
                self._keep_refused(
                    b'"line":' + orjson.dumps(line.decode("utf-8", "replace")), error
                )
                continue
            if item.figures[0] not in known:
                items.append(item)
            if len(items) >= MAX_WAITING:
                if self._store(items):
                    return False
                items = []
        return not self._store(items)

    def _store(self, items: Sequence[_Item]) -> int:
        """Write requests, or put them aside; return how many are left because the log ends meanwhile, or is durable and failed."""
        parts = deque(
            _Part(items[start : start + BATCH_ROWS]) for start in range(0, len(items), BATCH_ROWS)
        )
        while parts:
            part = parts.popleft()
            error = self._try_write(part)
            if error is None:
                continue
            part.tries += 1
            if fault_of(error) == "row" or (part.tries >= MAX_TRIES and self._parts_written):
                if len(part.items) > 1:
                    half = len(part.items) // 2
                    parts.extendleft((_Part(part.items[half:]), _Part(part.items[:half])))
                    continue
                try:
                    self._put_aside(part.items[0], error)
                    continue
                except (
                    OSError
                ) as failure:  # no room for the file: the row is kept, and waits for some
                    error = StoreError(f"{self._folder} cannot be written: {failure}")
            parts.append(part)  # others are tried before it is tried again
            if not self._may_try_again(parts, error):
                return sum(len(one.items) for one in parts)
        return 0

    def _may_try_again(self, parts: Sequence[_Part], error: Exception) -> bool:
        """Wait a moment and return True; where the log ends or is durable, tell who waits, and return False."""
        if self.failing is None:
            log.error("the log cannot be written, and is tried again until it can: %s", error)
        self.failing = str(error)
        if self._durable or self._closing.is_set():
            for item in (item for one in parts for item in one.items):
                if item.written:
                    item.written.set_exception(error)
            return False
        self._parts_written = 0
        self._closing.wait(RETRY_S)
        return True

    def _try_write(self, part: _Part) -> Exception | None:
        """Write a part; return what went wrong, and then nothing of it is written."""
        try:
            self._write(part.items)
        except Exception as error:  # noqa: BLE001 - whatever it is, the log goes on
            return error
        if self.failing is not None:
            log.warning("the log is written again")
        self.failing = None
        self._parts_written += 1
        self._in_hand = max(0, self._in_hand - len(part.items))
        for item in part.items:
            if item.written:
                item.written.set_result(None)
        return None

    def _write(self, items: Sequence[_Item]) -> None:
        """Write figures and compressed bodies: all packed in one call and written in a few, as each lets the interpreter go, and the loop beside it waits to have it back."""
        packed = self._packer.multi_compress_to_buffer([item.body for item in items])
        kept = [(item.figures[0], packed[place].tobytes()) for place, item in enumerate(items)]
        with transaction(self._engine) as connection:  # the same id again is the same request
            add_tuples(connection, requests, FIGURES, [item.figures for item in items])
            add_tuples(connection, bodies, ("request_id", "body"), kept)

    def _put_aside(self, item: _Item, error: Exception) -> None:
        """Keep a request that the database refuses in a file, and say so.

        Raises: OSError if the file cannot be written.
        """
        named = orjson.dumps(dict(zip(FIGURES, item.figures, strict=True)))
        self._keep_refused(b'"figures":%s,"body":%s' % (named, item.body), error)
        self._in_hand = max(0, self._in_hand - 1)
        if item.written:
            item.written.set_result(None)

    def _keep_refused(self, said: bytes, error: Exception) -> None:
        """Append what is known of a request to the file of refused ones; without a folder it is lost."""
        if self._folder is None:
            self.lost += 1
            self._warn(
                "the database refuses requests, and there is no folder to keep them: %s", error
            )
            return
        reason = orjson.dumps(str(error).splitlines()[0][:500] if str(error) else repr(error))
        append_durably(self._folder / REFUSED_FILE, [b'{"reason":%s,%s}\n' % (reason, said)])
        self.refused += 1
        if self.refused == 1 or self.refused >= 10 * self._told_of_refused:
            self._tell_of_refused(f": {error}")

    def _tell_of_refused(self, why: str = "") -> None:
        """Say how many were refused: at the first, the tenth, the hundredth, and in the end."""
        self._told_of_refused = self.refused
        assert self._folder is not None  # they are there
        log.warning(
            "%s requests are not in the log, as the database refused them; they are in %s%s",
            self.refused,
            self._folder / REFUSED_FILE,
            why,
        )

    def _warn(self, text: str, *parts: object) -> None:
        """Say what is wrong, each thing once in a while."""
        if time.monotonic() - self._warned_at.get(text, -WARN_EVERY_S) >= WARN_EVERY_S:
            self._warned_at[text] = time.monotonic()
            log.warning(text, *parts)


def take_over(engine: sa.Engine, folder: Path) -> None:
    """Write what killed processes left in the folder of the log into the database; what cannot be written now stays where it is."""
    if any((folder / SPOOL_FOLDER).glob(f"*{SUFFIX}")):
        with RequestWriter(engine, folder=folder):
            pass  # it begins with what is left


def refused_ids(folder: Path | None) -> frozenset[str]:
    """Return the ids of the requests that the database refused."""
    path = folder / REFUSED_FILE if folder else None
    if path is None or not path.is_file():
        return frozenset()
    with path.open("rb") as file:
        said = [orjson.loads(line) for line in file if is_whole(line)]
    return frozenset(str(one["figures"]["id"]) for one in said if "figures" in one)


def is_whole(line: bytes) -> bool:
    """Return whether a line of the file of refused requests was written to its end."""
    return line.startswith(b'{"reason":') and line.endswith(b"}\n")


def count_refused(folder: Path) -> int:
    """Return how many requests the database refused, by the file in the folder of the log."""
    path = folder / REFUSED_FILE
    if not path.is_file():
        return 0
    with path.open("rb") as file:
        return sum(is_whole(line) for line in file)
