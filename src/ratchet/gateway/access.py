"""Who may ask, and how much: keys with scopes and limits, read again every few seconds.

A limit in dollars is held by reservations: before a call the most that it may cost is set aside, and afterwards what it did cost is
counted. So many calls at once never pass a limit that each alone would keep to.
"""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import sqlalchemy as sa

from ratchet.gateway.fresh import Fresh
from ratchet.gateway.shapes import Problem
from ratchet.store.keys import Key, digest_of, load_keys, spent_by_key

__all__ = ["Access", "Reservation"]

DAY_S = 86_400.0
LOG_DELAY_S = 2.0
"""What was spent so long ago is in the log, where the log is not behind."""


@dataclass(slots=True, eq=False)
class Reservation:
    """Dollars that are set aside for a call."""

    key: str
    usd: float
    is_settled: bool = False


class Access:
    """Checks the keys of requests, and counts what they take.

    Args:
        engine: Knows the keys, and what was logged.
        is_log_behind: Whether the log lacks requests of a while ago.
    """

    def __init__(
        self, engine: sa.Engine, *, is_log_behind: Callable[[], bool] = lambda: False
    ) -> None:
        self._engine, self._is_log_behind = engine, is_log_behind
        self._keys: dict[str, Key] | None = None
        """Who may ask, by the hash of the key; None where there are no keys, and so anyone on this machine may."""
        self._fresh = Fresh(self._read)
        self._left: dict[str, tuple[float, float]] = {}
        """By key: how many requests it may make at once, and when that was."""
        self._logged: dict[str, float] = {}
        """By key: dollars of the last day, as far as the log knows."""
        self._recent: defaultdict[str, deque[tuple[float, float]]] = defaultdict(deque)
        """By key: when, and how many dollars, the log may not know yet."""
        self._held: defaultdict[str, float] = defaultdict(float)
        """By key: dollars that are set aside for calls under way."""

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
        if key.usd_a_day is not None and self._spent(key.name) >= key.usd_a_day:
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

    def reserve(self, key: Key | None, most_usd: Callable[[], float | None]) -> Reservation | None:
        """Set aside what a call may cost at the most; nothing for a key without a limit in dollars.

        Args:
            key: Of the request.
            most_usd: Tells the most that it may cost, and None where the price is unknown.
        Raises: Problem if the key has not so much left, or nobody knows what the call costs.
        """
        if key is None or key.usd_a_day is None:
            return None
        usd = most_usd()
        if usd is None:
            raise Problem(
                403,
                f"the key {key.name!r} has a limit in dollars, and the price of this model is unknown: set price below its endpoint in ratchet.toml, or use a key without --usd-a-day",
                kind="permission_error",
                code="unknown_price",
            )
        left = key.usd_a_day - self._spent(key.name) - self._held[key.name]
        if usd > left:
            raise Problem(
                429,
                f"the key {key.name!r} has ${max(0.0, left):.6g} of its ${key.usd_a_day:g} of the last 24 hours left beside its calls under way, and this call may cost up to ${usd:.6g}; ask for fewer tokens (max_tokens), or later",
                kind="insufficient_quota",
                code="insufficient_quota",
            )
        self._held[key.name] += usd
        return Reservation(key.name, usd)

    def settle(self, reservation: Reservation | None, usd: float | None) -> None:
        """Count what a call did cost, and let go of what was set aside for it; where nobody knows the cost, all of that counts."""
        if reservation is None or reservation.is_settled:
            return
        reservation.is_settled = True
        self._held[reservation.key] -= reservation.usd
        spent = reservation.usd if usd is None else usd
        if spent:
            self._recent[reservation.key].append((time.monotonic(), spent))

    def _spent(self, name: str) -> float:
        recent = self._recent.get(name, ())
        return self._logged.get(name, 0.0) + sum(usd for _, usd in recent)

    async def ready(self) -> None:
        """Know the keys."""
        await self._fresh.ensure()

    async def _read(self) -> None:
        found = await asyncio.to_thread(load_keys, self._engine)
        if any(key.usd_a_day is not None for key in found):
            is_behind, before = self._is_log_behind(), time.monotonic() - LOG_DELAY_S
            since = time.time() - DAY_S
            self._logged = await asyncio.to_thread(spent_by_key, self._engine, since)
            for recent in self._recent.values():
                while recent and recent[0][0] < before and not is_behind:
                    recent.popleft()
        self._keys = {key.digest: key for key in found} if found else None
