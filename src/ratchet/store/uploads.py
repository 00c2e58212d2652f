"""Uploaded files: a row each, the content in a folder under the file's id; nothing that a client says becomes a path."""

import hashlib
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

import sqlalchemy as sa

from ratchet.core.errors import DataError
from ratchet.store.database import connect, transaction
from ratchet.store.tables import files
from ratchet.store.workspace import writable

__all__ = ["Upload", "delete_file", "find_file", "keep_file", "list_files"]


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A file that someone uploaded."""

    id: str
    at: float
    name: str
    """As the client called it; shown, never opened."""
    purpose: str
    bytes: int
    digest: str
    """SHA-256 of the content."""


def keep_file(
    engine: sa.Engine,
    folder: Path,
    parts: Iterable[bytes],
    *,
    name: str,
    purpose: str,
    largest: int,
) -> Upload:
    """Write a file and return its row; half a file is never left behind.

    Raises: DataError if it is larger than `largest` bytes; StoreError if it cannot be written.
    """
    file_id = f"file-{token_hex(12)}"
    beside = folder / f".{file_id}.part"
    digest, size = hashlib.sha256(), 0
    with writable(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with beside.open("wb") as out:
                for part in parts:
                    size += len(part)
                    if size > largest:
                        raise DataError(f"the file is larger than {largest // 2**20} MB")
                    digest.update(part)
                    out.write(part)
            beside.replace(folder / file_id)
        finally:
            beside.unlink(missing_ok=True)
    upload = Upload(
        id=file_id,
        at=time.time(),
        name=name[:300],
        purpose=purpose,
        bytes=size,
        digest=digest.hexdigest(),
    )
    with transaction(engine) as connection:
        connection.execute(sa.insert(files).values(vars(upload)))
    return upload


def find_file(engine: sa.Engine, file_id: str) -> Upload | None:
    """Return the row of a file, or None."""
    with connect(engine) as connection:
        row = connection.execute(sa.select(files).where(files.c.id == file_id)).first()
    return None if row is None else Upload(**row._asdict())


def list_files(engine: sa.Engine, *, purpose: str | None = None) -> list[Upload]:
    """Return all files, the newest first."""
    query = sa.select(files).order_by(files.c.at.desc(), files.c.id)
    if purpose:
        query = query.where(files.c.purpose == purpose)
    with connect(engine) as connection:
        return [Upload(**row._asdict()) for row in connection.execute(query)]


def delete_file(engine: sa.Engine, folder: Path, file_id: str) -> bool:
    """Remove a file; return whether it was there."""
    with transaction(engine) as connection:
        gone = connection.execute(sa.delete(files).where(files.c.id == file_id)).rowcount
    if gone:
        with writable(folder):
            (folder / file_id).unlink(missing_ok=True)
    return bool(gone)
