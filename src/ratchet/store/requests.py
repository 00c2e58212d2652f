"""What passed through the gateway, and what was said of it: figures in one table, compressed bodies in another."""

import logging
import queue
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from operator import attrgetter
from random import Random
from typing import Self

import orjson
import sqlalchemy as sa
import zstandard

from ratchet.core import Json
from ratchet.core.errors import StoreError
from ratchet.store.database import add_tuples, connect, transaction
from ratchet.store.redact import clean, redacted
from ratchet.store.tables import bodies, feedback, requests

__all__ = [
    "LoggedRequest",
    "RequestWriter",
    "add_feedback",
    "count_requests",
    "has_request",
    "new_id",
    "read_requests",
]


BATCH, PAUSE_S, AGAIN_S = 1000, 0.05, 1.0
MOST_WAITING = 20_000
log = logging.getLogger("ratchet.gateway")
FIGURES = tuple(column.name for column in requests.columns)
figures_of = attrgetter(*FIGURES)
RANDOM = Random()  # ids, no secrets


@dataclass(slots=True, kw_only=True)
class LoggedRequest:
    """One request with its reply; not frozen, as a request of the gateway (`models.chat`)."""

    id: str
    at: float
    """Seconds since 1970, UTC."""
    model: str
    """As it was asked for: a release, a local model, or one behind an endpoint."""
    candidate_id: str | None
    """The candidate that answered, for a release."""
    status: int
    problem: str | None
    streamed: bool
    end_user: str | None
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None
    latency_s: float
    key: str | None = None
    """The name of the key that it came with."""
    body: dict[str, Json] = field(default_factory=dict)
    """`request`, `reply`, and for a release `inputs`, so that any candidate can be given the same."""
    feedback: tuple[dict[str, Json], ...] = ()


def new_id(kind: str, at: float) -> str:
    """Return an id for a request of that moment. Ids grow with time: in a log of 100,000, rows whose keys come in order took a third of the time."""
    return f"{kind}-{int(at * 1000):011x}{RANDOM.getrandbits(52):013x}"


class RequestWriter:
    """Write requests in batches on a thread of its own, off the path of the reply; use as a context manager.

    A batch that cannot be written, as the disk is full, is tried again until it can; what waits meanwhile is bounded, and what
    does not fit any more is counted in `lost`. With `durable` nobody waits in vain: who asked is told that the log failed.
    """

    def __init__(
        self, engine: sa.Engine, *, redact: tuple[str, ...] = ("secrets",), durable: bool = False
    ) -> None:
        self._engine, self._redact, self._durable = engine, redact, durable
        self._queue: queue.SimpleQueue[tuple[LoggedRequest, Future[None] | None] | None]
        self._queue = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="ratchet-log", daemon=True)
        self._closing = threading.Event()
        self._packer = zstandard.ZstdCompressor(level=1)  # no two threads may use one
        self.failing: str | None = None
        """Why the log cannot be written at the moment."""
        self.lost = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._queue.put(None)
        self._thread.join()
        if self.lost:
            log.error("%s requests are missing in the log: %s", self.lost, self.failing)

    def add(self, logged: LoggedRequest) -> "Future[None] | None":
        """Queue a request, and never wait; return what is done once it is written, where the log is durable."""
        if self._queue.qsize() >= MOST_WAITING:
            self.lost += 1
            if not self._durable:
                return None
            raise StoreError(f"the log cannot be written: {self.failing or 'it is too slow'}")
        written = Future[None]() if self._durable else None
        if written:
            written.set_running_or_notify_cancel()  # who waits may go away, and must not take the log along
        self._queue.put((logged, written))
        return written

    def _run(self) -> None:
        ended = False
        while not ended:
            batch, ended = self._gather()
            while batch:
                try:
                    self._write([logged for logged, _ in batch])
                except Exception as error:  # noqa: BLE001 - whatever it is, the log goes on
                    self.failing = str(error)
                    for _, written in batch:
                        if written:
                            written.set_exception(error)
                    if self._closing.is_set():
                        self.lost += len(batch)
                    if self._durable or self._closing.is_set():
                        break
                    self._closing.wait(AGAIN_S)
                else:
                    self.failing = None
                    for _, written in batch:
                        if written:
                            written.set_result(None)
                    batch = []

    def _gather(self) -> tuple[list[tuple[LoggedRequest, "Future[None] | None"]], bool]:
        """Wait for a request, and take what comes within a moment; a durable log waits for nothing."""
        item, batch = self._queue.get(), []
        if item is not None and not self._durable:
            self._closing.wait(PAUSE_S)  # asleep, not woken by each of them
        while item is not None:
            batch.append(item)
            if len(batch) >= BATCH:
                break
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                break
        return batch, item is None

    def _write(self, batch: list[LoggedRequest]) -> None:
        """Write figures and compressed bodies: all of a batch packed in one call and written in a few, as each lets the interpreter go, and the loop beside it waits to have it back."""
        batch = [
            one
            if one.problem is None
            else replace(one, problem=str(clean(one.problem, self._redact)))
            for one in batch
        ]
        packed = self._packer.multi_compress_to_buffer([self._body(one) for one in batch])
        kept = [(one.id, packed[place].tobytes()) for place, one in enumerate(batch)]
        with transaction(self._engine) as connection:  # the same id again is the same request
            add_tuples(connection, requests, FIGURES, [figures_of(one) for one in batch])
            add_tuples(connection, bodies, ("request_id", "body"), kept)

    def _body(self, one: LoggedRequest) -> bytes:
        """Return what is kept of a body; of one that cannot be written, why."""
        try:
            return redacted(one.body, self._redact)
        except (RecursionError, ValueError, TypeError) as error:
            return orjson.dumps({"unreadable": str(error)})


def add_feedback(
    engine: sa.Engine, feedback_id: str, request_id: str, at: float, body: Json
) -> None:
    """Store what was said of a reply."""
    row = {
        "id": feedback_id,
        "request_id": request_id,
        "at": at,
        "body": redacted(body, ("secrets",)).decode(),
    }
    with transaction(engine) as connection:
        connection.execute(sa.insert(feedback).values(row))


def spoken_of(
    engine: sa.Engine, model: str, after: float
) -> Iterator[tuple[str | None, str | None, dict[str, Json]]]:
    """Yield who answered a request to `model` later than a moment, the end user, and each word of feedback on it, in the order of the words."""
    query = (
        sa.select(requests.c.candidate_id, requests.c.end_user, feedback.c.body)
        .join(feedback, feedback.c.request_id == requests.c.id)
        .where(requests.c.model == model, requests.c.at > after)
        .order_by(feedback.c.at, feedback.c.id)
    )
    with connect(engine) as connection:
        for row in connection.execute(query):
            yield row.candidate_id, row.end_user, orjson.loads(row.body)


def count_requests(engine: sa.Engine, model: str, since: float) -> tuple[int, int]:
    """Return how many requests to a name came since a moment, and how many of them failed."""
    query = sa.select(
        sa.func.count(), sa.func.sum(sa.case((requests.c.status >= 400, 1), else_=0))
    ).where(requests.c.model == model, requests.c.at > since)
    with connect(engine) as connection:
        count, failed = connection.execute(query).one()
    return int(count), int(failed or 0)


def has_request(engine: sa.Engine, request_id: str) -> bool:
    """Return whether a request of that id is in the log."""
    with connect(engine) as connection:
        query = sa.select(requests.c.id).where(requests.c.id == request_id)
        return connection.execute(query).first() is not None


def read_requests(
    engine: sa.Engine,
    *,
    model: str | None = None,
    failed: bool = False,
    after: float | None = None,
    limit: int | None = None,
) -> Iterator[LoggedRequest]:
    """Yield logged requests with bodies and feedback.

    Args:
        engine: The database.
        model: Only those for this name.
        failed: Only those that were answered with an error.
        after: Only those later than this moment, oldest first; without it the newest come first.
        limit: At most so many.
    """
    order = requests.c.at.asc() if after is not None else requests.c.at.desc()
    query = (
        sa.select(requests, bodies.c.body)
        .join(bodies, bodies.c.request_id == requests.c.id)
        .order_by(order, requests.c.id)
        .limit(limit)
    )
    if model is not None:
        query = query.where(requests.c.model == model)
    if failed:
        query = query.where(requests.c.status >= 400)
    if after is not None:
        query = query.where(requests.c.at > after)
    unpacker = zstandard.ZstdDecompressor()
    with connect(engine) as connection:
        for row in connection.execute(query).mappings().all():
            said = (
                sa.select(feedback.c.body)
                .where(feedback.c.request_id == row["id"])
                .order_by(feedback.c.at)
            )
            figures = {key: value for key, value in row.items() if key != "body"}
            yield LoggedRequest(
                **figures,
                body=orjson.loads(unpacker.decompress(row["body"])),
                feedback=tuple(orjson.loads(one.body) for one in connection.execute(said)),
            )
