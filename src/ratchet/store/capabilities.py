"""What models turned out to take: an endpoint's own words, learned once and remembered for the workspace."""

import json
from typing import NamedTuple

import sqlalchemy as sa

from ratchet.core import Json
from ratchet.store.database import connect, transaction, upsert
from ratchet.store.tables import capabilities
from ratchet.store.trials import now

__all__ = ["LearnedCapability", "forget_capabilities", "load_capabilities", "save_capability"]

MAX_REASON = 500
"""Characters of an endpoint's message that are kept."""


class LearnedCapability(NamedTuple):
    """One thing that an endpoint said of a model."""

    field: str
    """The field of `Capabilities` that it is about."""
    value: Json
    reason: str
    """The endpoint's words."""


def save_capability(
    engine: sa.Engine, base_url: str, model: str, learned: LearnedCapability
) -> None:
    """Remember what an endpoint said of a model; what was said later counts."""
    row = {
        "base_url": base_url[:400],
        "model": model[:400],
        "field": learned.field,
        "value": json.dumps(learned.value),
        "reason": learned.reason[:MAX_REASON],
        "learned_at": now(),
    }
    with transaction(engine) as connection:
        connection.execute(upsert(engine, capabilities, update=True), [row])


def load_capabilities(engine: sa.Engine, base_url: str, model: str) -> list[LearnedCapability]:
    """Return what was learned of a model at an address."""
    query = (
        sa.select(capabilities)
        .where(capabilities.c.base_url == base_url[:400], capabilities.c.model == model[:400])
        .order_by(capabilities.c.field)
    )
    with connect(engine) as connection:
        rows = connection.execute(query).all()
    return [LearnedCapability(row.field, json.loads(row.value), row.reason) for row in rows]


def forget_capabilities(engine: sa.Engine, base_url: str, model: str) -> int:
    """Forget what was learned of a model, as its endpoint may have changed; return how many things that were."""
    with transaction(engine) as connection:
        done = connection.execute(
            sa.delete(capabilities).where(
                capabilities.c.base_url == base_url[:400], capabilities.c.model == model[:400]
            )
        )
    return int(done.rowcount)
