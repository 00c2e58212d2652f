"""What passed through the gateway, and what was said of it: figures in one table, compressed bodies in another."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import orjson
import sqlalchemy as sa
import zstandard

from ratchet.core import Json
from ratchet.store.database import connect, transaction
from ratchet.store.tables import bodies, feedback, requests
from ratchet.store.writer import BatchWriter, storable

__all__ = ["LoggedRequest", "RequestWriter", "add_feedback", "has_request", "read_requests"]


SECRET = re.compile(
    rb"\b(sk-[A-Za-z0-9_-]{16,}|gh[pousr]_[A-Za-z0-9]{20,}|AKIA[A-Z0-9]{16}|xox[abp]-[A-Za-z0-9-]{10,})"
)
FIGURES = tuple(column.name for column in requests.columns)


@dataclass(frozen=True, kw_only=True)
class LoggedRequest:
    """One request with its reply."""

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
    body: dict[str, Json] = field(default_factory=dict)
    """`request`, `reply`, and for a release `inputs`, so that any candidate can be given the same."""
    feedback: tuple[dict[str, Json], ...] = ()


class RequestWriter(BatchWriter[LoggedRequest]):
    """Write requests in batches, off the path of the reply."""

    def write(self, batch: list[LoggedRequest]) -> None:
        """Write figures and compressed bodies."""
        packer = zstandard.ZstdCompressor(level=1)
        rows = [{name: getattr(one, name) for name in FIGURES} for one in batch]
        packed = [
            {"request_id": one.id, "body": packer.compress(without_secrets(one.body))}
            for one in batch
        ]
        with transaction(self._engine) as connection:
            connection.execute(sa.insert(requests), rows)
            connection.execute(sa.insert(bodies), packed)


def without_secrets(body: Json) -> bytes:
    """Return a body as JSON in which keys of well-known forms are blacked out: a log is read by more people than a request."""
    try:
        text = orjson.dumps(body)
    except TypeError:  # half a surrogate pair, or a number of more than 64 bits
        text = json.dumps(storable(body), ensure_ascii=False).encode()
    return SECRET.sub(b"[secret]", text)


def add_feedback(
    engine: sa.Engine, feedback_id: str, request_id: str, at: float, body: Json
) -> None:
    """Store what was said of a reply."""
    row = {
        "id": feedback_id,
        "request_id": request_id,
        "at": at,
        "body": without_secrets(body).decode(),
    }
    with transaction(engine) as connection:
        connection.execute(sa.insert(feedback).values(row))


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
