"""Fine-tunes that have a name: which folder holds each, and for which base it is."""

import time
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from ratchet.core import Candidate
from ratchet.store.database import connect, transaction, upsert
from ratchet.store.tables import adapters

__all__ = [
    "NamedAdapter",
    "delete_adapter",
    "find_adapter",
    "list_adapters",
    "name_adapter",
    "size_of",
]


@dataclass(frozen=True, kw_only=True)
class NamedAdapter:
    """A fine-tune that can be asked for by name: an adapter of a base, or a model of its own where all weights were trained."""

    name: str
    adapter: str
    """The folder under `adapters/` that holds it; empty where it is a model of its own."""
    base: str
    """The name of the base model, or of the model of its own."""
    at: float
    source: str
    """The job, upload or address that it came from."""
    bytes: int

    def is_needed_by(self, candidate: Candidate) -> bool:
        """Return whether a candidate answers with it, or with an adapter of it."""
        return candidate.adapter == self.adapter if self.adapter else candidate.model == self.base

    def is_of(self, candidate: Candidate) -> bool:
        """Return whether it is the fine-tune that a candidate answers with."""
        return self.is_needed_by(candidate) and bool(self.adapter) == bool(candidate.adapter)


def size_of(folder: Path) -> int:
    """Return the bytes of a folder's files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def name_adapter(
    engine: sa.Engine, name: str, *, adapter: str, base: str, source: str, size: int
) -> NamedAdapter:
    """Give an adapter a name; the same name again means the new one."""
    found = NamedAdapter(
        name=name, adapter=adapter, base=base, at=time.time(), source=source, bytes=size
    )
    with transaction(engine) as connection:
        connection.execute(upsert(engine, adapters, update=True).values(vars(found)))
    return found


def find_adapter(engine: sa.Engine, name: str) -> NamedAdapter | None:
    """Return the adapter of that name, or None."""
    with connect(engine) as connection:
        row = connection.execute(sa.select(adapters).where(adapters.c.name == name)).first()
    return None if row is None else NamedAdapter(**row._asdict())


def list_adapters(engine: sa.Engine) -> list[NamedAdapter]:
    """Return all named adapters, the newest first."""
    query = sa.select(adapters).order_by(adapters.c.at.desc(), adapters.c.name)
    with connect(engine) as connection:
        return [NamedAdapter(**row._asdict()) for row in connection.execute(query)]


def delete_adapter(engine: sa.Engine, name: str) -> bool:
    """Take a name away; return whether it was there. The folder is removed by who knows that nobody else uses it."""
    with transaction(engine) as connection:
        return bool(connection.execute(sa.delete(adapters).where(adapters.c.name == name)).rowcount)
