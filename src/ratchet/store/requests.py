"""What passed through the gateway, and what was said of it: figures in one table, compressed bodies in another."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

import orjson
import sqlalchemy as sa
import zstandard

from ratchet.core import Json
from ratchet.store.database import connect, transaction
from ratchet.store.redact import redacted
from ratchet.store.storable import storable, storable_row
from ratchet.store.tables import bodies, feedback, requests

__all__ = [
    "LoggedRequest",
    "add_feedback",
    "count_requests",
    "has_request",
    "new_id",
    "read_requests",
]


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
        connection.execute(sa.insert(feedback).values(storable_row(feedback, row)))


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
    if storable(request_id) != request_id:
        return False  # no database could even be asked
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
