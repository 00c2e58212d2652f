"""Who may ask: keys with scopes, read again every few seconds."""

import asyncio
import time
from collections.abc import Iterable

import sqlalchemy as sa

from ratchet.gateway.shapes import Problem
from ratchet.store.keys import Key, digest_of, load_keys

__all__ = ["Access"]

FRESH_S = 2.0
"""A new or revoked key is known after so many seconds at most."""


class Access:
    """Checks the keys of requests."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._keys: dict[str, Key] | None = None
        """Who may ask, by the hash of the key; None where there are no keys, and so anyone on this machine may."""
        self._read_at = -FRESH_S

    async def check(self, headers: Iterable[tuple[bytes, bytes]], needed: str) -> None:
        """Let a request pass that has a key with the scope `needed`, or any where there are no keys at all.

        Raises: Problem if it has none.
        """
        if time.monotonic() - self._read_at > FRESH_S:
            await self.read()
        if self._keys is None:
            return
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

    async def read(self) -> None:
        """Read the keys now."""
        found = await asyncio.to_thread(load_keys, self._engine)
        self._keys = {key.digest: key for key in found} if found else None
        self._read_at = time.monotonic()  # not before they are there: nobody passes meanwhile
