"""Keys to the gateway: kept as hashes, shown once."""

import hashlib
import secrets
import time
from dataclasses import dataclass

import sqlalchemy as sa

from ratchet.core.errors import UsageError
from ratchet.store.database import connect, transaction
from ratchet.store.tables import keys, requests

__all__ = ["SCOPES", "Key", "add_key", "digest_of", "load_keys", "revoke_key", "spent_by_key"]

SCOPES = ("chat", "tune", "admin")


@dataclass(frozen=True, kw_only=True)
class Key:
    """Someone who may ask."""

    name: str
    digest: str
    """SHA-256 of the key: a key has 256 random bits, so nothing slower is needed."""
    scopes: tuple[str, ...]
    created_at: float
    expires_at: float | None
    revoked_at: float | None
    requests_a_minute: float | None = None
    usd_a_day: float | None = None
    """Dollars in any 24 hours."""

    def is_good(self, now: float) -> bool:
        """Return whether the key opens anything at the moment `now`, in seconds since 1970."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


def digest_of(key: str) -> str:
    """Return what is kept of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


def add_key(
    engine: sa.Engine,
    name: str,
    scopes: tuple[str, ...],
    *,
    days: float | None = None,
    requests_a_minute: float | None = None,
    usd_a_day: float | None = None,
) -> str:
    """Store a new key and return it: it cannot be read back.

    Raises: UsageError if the name is taken, or a scope unknown.
    """
    unknown = set(scopes) - set(SCOPES)
    if unknown or not scopes:
        raise UsageError(f"scopes are {', '.join(SCOPES)}; got {', '.join(scopes) or 'none'}")
    if any(key.name == name for key in load_keys(engine)):
        raise UsageError(f"there is, or was, a key named {name!r}; choose another name")
    key, now = f"rk-{secrets.token_urlsafe(32)}", time.time()
    with transaction(engine) as connection:
        connection.execute(
            sa.insert(keys).values(
                name=name,
                digest=digest_of(key),
                scopes=" ".join(scopes),
                created_at=now,
                expires_at=None if days is None else now + days * 86_400,
                requests_a_minute=requests_a_minute,
                usd_a_day=usd_a_day,
            )
        )
    return key


def revoke_key(engine: sa.Engine, name: str) -> None:
    """End a key for good.

    Raises: UsageError if there is none of that name.
    """
    with transaction(engine) as connection:
        ended = connection.execute(
            sa.update(keys)
            .where(keys.c.name == name, keys.c.revoked_at.is_(None))
            .values(revoked_at=time.time())
        )
    if not ended.rowcount:
        raise UsageError(f"there is no key {name!r} to revoke; `ratchet keys list` shows all")


def load_keys(engine: sa.Engine) -> list[Key]:
    """Return all keys, ended ones too, oldest first."""
    with connect(engine) as connection:
        return [
            Key(
                name=row.name,
                digest=row.digest,
                scopes=tuple(row.scopes.split()),
                created_at=row.created_at,
                expires_at=row.expires_at,
                revoked_at=row.revoked_at,
                requests_a_minute=row.requests_a_minute,
                usd_a_day=row.usd_a_day,
            )
            for row in connection.execute(sa.select(keys).order_by(keys.c.created_at))
        ]


def spent_by_key(engine: sa.Engine, since: float) -> dict[str, float]:
    """Return the dollars that the requests of each key cost since a moment, as far as they are known."""
    query = (
        sa.select(requests.c.key, sa.func.sum(requests.c.cost_usd))
        .where(requests.c.at > since, requests.c.key.is_not(None))
        .group_by(requests.c.key)
    )
    with connect(engine) as connection:
        return {name: float(usd or 0.0) for name, usd in connection.execute(query)}
