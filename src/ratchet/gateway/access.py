"""Who may ask, and how much: keys with scopes and limits, read again every few seconds."""

import asyncio
import time
from collections.abc import Iterable

import sqlalchemy as sa

from ratchet.gateway.fresh import Fresh
from ratchet.gateway.shapes import Problem
from ratchet.store.keys import Key, digest_of, load_keys, spent_by_key

__all__ = ["Access"]

DAY_S = 86_400.0


class Access:
    """Checks the keys of requests, and counts what they take."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._keys: dict[str, Key] | None = None
        """Who may ask, by the hash of the key; None where there are no keys, and so anyone on this machine may."""
        self._fresh = Fresh(self._read)
        self._left: dict[str, tuple[float, float]] = {}
        """By key: how many requests it may make at once, and when that was."""
        self._spent: dict[str, float] = {}
        """By key: dollars of the last day, as far as the log knows."""

    async def check(self, headers: Iterable[tuple[bytes, bytes]], needed: str) -> Key | None:
        """Return the key of a request, if it has the scope `needed` and is within its limits; None where there are no keys.

        Raises: Problem if it has none, or too much was asked.
        """
        await self._fresh.ensure()
        if self._keys is None:
            return None
        given = next((v for k, v in headers if k == b"authorization"), b"")
        kind, _, secret = given.decode("latin-1").partition(" ")
        key = self._keys.get(digest_of(secret.strip())) if kind.lower() == "bearer" else None
        if key is None or not key.is_good(time.time()):
            raise Problem(
                401,
                "this server wants an API key, and the one given is unknown, expired or revoked; make one with: ratchet keys add NAME",
                kind="authentication_error",
                code="invalid_api_key",
            )
        if not {needed, "admin"} & set(key.scopes):
            raise Problem(
                403,
                f"the key {key.name!r} has the scopes {', '.join(key.scopes)}, and this takes {needed}",
                kind="permission_error",
                code="insufficient_scope",
            )
        self._count(key)
        return key

    def _count(self, key: Key) -> None:
        """Let a request through, or not: a bucket that fills at the key's rate and holds a minute's worth."""
        if key.usd_a_day is not None and self._spent.get(key.name, 0.0) >= key.usd_a_day:
            raise Problem(
                429,
                f"the key {key.name!r} has spent its ${key.usd_a_day:g} of the last 24 hours",
                kind="insufficient_quota",
                code="insufficient_quota",
            )
        if key.requests_a_minute is not None:
            now, rate = time.monotonic(), key.requests_a_minute / 60
            left, at = self._left.get(key.name, (max(1.0, key.requests_a_minute), now))
            left = min(max(1.0, key.requests_a_minute), left + (now - at) * rate)
            if left < 1:
                raise Problem(
                    429,
                    f"the key {key.name!r} may make {key.requests_a_minute:g} requests a minute",
                    kind="rate_limit_error",
                    code="rate_limit_exceeded",
                    retry_after_s=(1 - left) / rate,
                )
            self._left[key.name] = (left - 1, now)

    def charge(self, key: Key | None, usd: float | None) -> None:
        """Take note of what a request cost, before the log knows."""
        if key is not None and usd:
            self._spent[key.name] = self._spent.get(key.name, 0.0) + usd

    async def ready(self) -> None:
        """Know the keys."""
        await self._fresh.ensure()

    async def _read(self) -> None:
        found = await asyncio.to_thread(load_keys, self._engine)
        if any(key.usd_a_day is not None for key in found):
            since = time.time() - DAY_S
            logged = await asyncio.to_thread(spent_by_key, self._engine, since)
            self._spent = {**dict.fromkeys(self._spent, 0.0), **logged}
        self._keys = {key.digest: key for key in found} if found else None
