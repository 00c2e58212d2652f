"""Write what passed through the gateway into the database, off the path of the reply, and lose none of it.

A request is appended to a file before its reply ends (`request_spool.py`), and written to the database in batches by a thread. What
the database refuses for what is in it goes into a file of its own, `refused-requests.jsonl`, with the reason; all around it is written.
What fails for the database's own sake, as the disk is full or the server is away, is tried again until it can be written.
"""

import logging
import math
import queue
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path
from typing import Any, Self

import orjson
import sqlalchemy as sa
import zstandard
from sqlalchemy.exc import DBAPIError

from ratchet.core.errors import StoreError
from ratchet.store.database import add_tuples, transaction
from ratchet.store.redact import clean, redacted
from ratchet.store.request_spool import RequestSpool, SpoolFile, append_durably
from ratchet.store.requests import LoggedRequest
from ratchet.store.tables import bodies, requests
from ratchet.store.writer import storable

__all__ = ["REFUSED_FILE", "RequestWriter", "count_refused"]

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
MAX_INTEGER = 2**31 - 1
"""Of the database's columns."""
WARN_EVERY_S = 60.0
SPOOL_FOLDER = "spool"
REFUSED_FILE = "refused-requests.jsonl"
"""What the database refused, in the folder of the log: a JSON object a line, `reason`, `figures` and `body`."""
FIGURES = tuple(str(column.name) for column in requests.columns)
figures_of = attrgetter(*FIGURES)
log = logging.getLogger("ratchet.gateway")


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
        return b'{"figures":%s,"body":%s}\n' % (orjson.dumps(self.figures), self.body)


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
    is_cut: bool = False
    """More is in the file than in memory."""
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
        self._spool = RequestSpool(folder / SPOOL_FOLDER) if folder and not durable else None
        self._lock = threading.Lock()
        """Held while a request is put into file and queue, so that both hold the same."""
        self._queue: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._is_cut = False
        self._thread = threading.Thread(target=self._run, name="ratchet-log", daemon=True)
        self._large = ThreadPoolExecutor(1, thread_name_prefix="ratchet-log-large")
        self._closing = threading.Event()
        self._packer = zstandard.ZstdCompressor(level=1)  # no two threads may use one
        self._warned_at = -WARN_EVERY_S
        self._parts_written = 0
        self._known_refused: frozenset[str] = frozenset()
        """The ids that are in the file of refused requests, while files of dead processes are read."""
        self.failing: str | None = None
        """Why the log cannot be written at the moment."""
        self.lost = 0
        """Requests that are nowhere."""
        self.refused = 0
        """Requests that the database refused, and that are in the file of refused ones."""

    @property
    def waiting(self) -> int:
        """How many requests are not in the database yet, about."""
        return self._queue.qsize()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._large.shutdown()
        self._closing.set()
        self._queue.put(None)
        self._thread.join()
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
                self._is_cut = True  # it is read back from its file
            else:
                self.lost += 1
        return written

    def _take_large(self, logged: LoggedRequest) -> None:
        self._take(logged)

    def _try_spool(self, item: _Item) -> bool:
        """Put a request into the file of this moment; return whether it is there."""
        if self._spool is None:
            return False
        try:
            self._spool.append(item.line())
        except (OSError, ValueError, TypeError) as error:
            self._warn("requests are kept in memory alone until they are logged: %s", error)
            return False
        return True

    def _clean_figures(self, one: LoggedRequest) -> tuple[Any, ...]:
        """Return the figures of a request as every database takes them."""
        if one.problem is not None:
            one = replace(one, problem=str(clean(one.problem, self._redact)))
        values = zip(requests.columns, figures_of(one), strict=True)
        return tuple(clean_value(column, value) for column, value in values)

    def _clean_body(self, one: LoggedRequest) -> bytes:
        """Return what is kept of a body; of one that cannot be written, why."""
        try:
            return redacted(one.body, self._redact)
        except (RecursionError, ValueError, TypeError) as error:
            return orjson.dumps({"unreadable": str(error)})

    def _run(self) -> None:
        for file in self._spool.abandoned() if self._spool else ():
            # who died may have put some aside and not come to deleting the file
            self._known_refused = self._known_refused or refused_ids(self._folder)
            self._store_file(file)
        self._known_refused = frozenset()
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
                batch.file.close()  # the next server reads it
            elif batch.file and batch.is_cut:
                self._store_file(batch.file)
            elif batch.file:
                batch.file.remove()
            elif not self._durable:  # where it is, who asked was told
                self.lost += left

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
            batch.is_cut, self._is_cut = self._is_cut, False
        return batch

    def _store_file(self, file: SpoolFile) -> None:
        """Write what a file holds; the same id again is the same request."""
        items: list[_Item] = []
        for line in file.lines():
            if isinstance(line, dict) and len(line.get("figures", ())) == len(FIGURES):
                items.append(_Item(tuple(line["figures"]), orjson.dumps(line.get("body"))))
            if len(items) >= MAX_WAITING:
                if self._store(items):
                    file.close()
                    return
                items = []
        if self._store(items):
            file.close()
        else:
            file.remove()

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
            if is_refusal(error) or (part.tries >= MAX_TRIES and self._parts_written):
                if len(part.items) == 1:
                    self._put_aside(part.items[0], error)
                else:
                    half = len(part.items) // 2
                    parts.extendleft((_Part(part.items[half:]), _Part(part.items[:half])))
                continue
            self.failing = str(error)
            parts.append(part)  # others are tried before it is tried again
            if self._durable or self._closing.is_set():
                left = [item for one in parts for item in one.items]
                for item in left:
                    if item.written:
                        item.written.set_exception(error)
                return len(left)
            self._parts_written = 0
            self._warn("the log cannot be written, and is tried again: %s", error)
            self._closing.wait(RETRY_S)
        return 0

    def _try_write(self, part: _Part) -> Exception | None:
        """Write a part; return what went wrong, and then nothing of it is written."""
        try:
            self._write(part.items)
        except Exception as error:  # noqa: BLE001 - whatever it is, the log goes on
            return error
        self.failing = None
        self._parts_written += 1
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
        """Keep a request that the database refuses in a file, and say so."""
        if item.figures[0] in self._known_refused:
            return
        reason = orjson.dumps(str(error).splitlines()[0][:500] if str(error) else repr(error))
        named = orjson.dumps(dict(zip(FIGURES, item.figures, strict=True)))
        line = b'{"reason":%s,"figures":%s,"body":%s}\n' % (reason, named, item.body)
        try:
            if self._folder is None:
                raise OSError("there is no folder for them")
            append_durably(self._folder / REFUSED_FILE, [line])
        except OSError as failure:
            self.lost += 1
            log.error(  # noqa: TRY400 - one line a request
                "the request %s is missing in the log: %s; %s", item.figures[0], error, failure
            )
        else:
            self.refused += 1
            where = self._folder / REFUSED_FILE
            self._warn("the database refuses requests, which are kept in %s: %s", where, error)
        if item.written:
            item.written.set_result(None)

    def _warn(self, text: str, *parts: object) -> None:
        """Say what is wrong, once in a while."""
        if time.monotonic() - self._warned_at >= WARN_EVERY_S:
            self._warned_at = time.monotonic()
            log.warning(text, *parts)


def refused_ids(folder: Path | None) -> frozenset[str]:
    """Return the ids of the requests that the database refused."""
    path = folder / REFUSED_FILE if folder else None
    if path is None or not path.is_file():
        return frozenset()
    with path.open("rb") as file:
        return frozenset(
            str(orjson.loads(line)["figures"]["id"]) for line in file if is_whole(line)
        )


def is_whole(line: bytes) -> bool:
    """Return whether a line was written to its end."""
    return line.endswith(b"}\n")


def count_refused(folder: Path) -> int:
    """Return how many requests the database refused, by the file in the folder of the log."""
    path = folder / REFUSED_FILE
    if not path.is_file():
        return 0
    with path.open("rb") as file:
        return sum(is_whole(line) for line in file)


def clean_value(column: "sa.Column[Any]", value: Any) -> Any:
    """Return a figure as its column takes it: texts without what databases refuse and no longer than the column, numbers within its range."""
    if isinstance(value, str):
        length = getattr(column.type, "length", None)
        return storable(value)[:length]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(column.type, sa.Integer):
        number = int(value) if math.isfinite(value) else 0
        return max(-MAX_INTEGER, min(MAX_INTEGER, number))
    if isinstance(column.type, sa.Float):
        usual = None if column.nullable else 0.0
        return float(value) if is_number(value) else usual
    return value


def is_number(value: Any) -> bool:
    """Return whether a value is a finite number that a float can hold."""
    try:
        return math.isfinite(float(value))
    except (TypeError, ValueError, OverflowError):
        return False


def is_refusal(error: BaseException) -> bool:
    """Return whether a database refuses a row for what is in it, and not for its own sake: locked, full, away."""
    found: BaseException | None = error
    while isinstance(found, StoreError):
        found = found.__cause__
    if isinstance(found, DBAPIError):
        away = (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.InternalError)
        return not found.connection_invalidated and not isinstance(found, away)
    return found is not None and not isinstance(found, OSError | sa.exc.TimeoutError)
