"""Files beside the database that hold requests until they are in it: what was answered survives the death of the process.

A line is appended before a reply ends, and not synced: it outlives a killed process, whose writes the kernel keeps, and not a power cut. Each file belongs to one process,
which holds a lock on it, from before it has its name; a file whose lock nobody holds was left by one that died, and is read by the next that opens the log.
"""

import errno
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

__all__ = ["SUFFIX", "RequestSpool", "SpoolFile", "append_durably"]

SUFFIX = ".spool"


@dataclass(frozen=True)
class SpoolFile:
    """A file whose lock is held by this process."""

    path: Path
    descriptor: int

    def lines(self) -> Iterator[bytes]:
        """Yield the lines of the file; a last one that was cut short belongs to a request that was never answered."""
        with self.path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    yield line

    def remove(self) -> None:
        """Delete the file: all that was in it is elsewhere now."""
        self.path.unlink(missing_ok=True)
        os.close(self.descriptor)

    def close(self) -> None:
        """Leave the file to whoever starts next."""
        os.close(self.descriptor)


class RequestSpool:
    """The files of one process; not safe to use from several threads at once.

    Args:
        folder: Holds the files; made where it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._current: SpoolFile | None = None

    def append(self, line: bytes) -> None:
        """Write a line, whole or not at all.

        Raises: OSError if it cannot be written.
        """
        current = self._current or self._begin()
        write_whole(current.descriptor, line, current.path)

    def rotate(self) -> SpoolFile | None:
        """Return the file that was written to since the last time, which is not written to any more; None where there was nothing."""
        current, self._current = self._current, None
        return current

    def abandoned(self) -> Iterator[SpoolFile]:
        """Yield the files that dead processes left."""
        if not self._folder.is_dir():
            return
        for path in sorted(self._folder.glob(f"*{SUFFIX}")):
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            except OSError:
                continue  # another process has just read it
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(descriptor)
                continue
            if path.exists():
                yield SpoolFile(path, descriptor)
            else:
                os.close(descriptor)

    def _begin(self) -> SpoolFile:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / f"{os.getpid()}-{token_hex(8)}{SUFFIX}"
        unnamed = path.with_suffix(".new")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(unnamed, flags, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        unnamed.rename(path)  # locked before anybody can find it and take it for a dead process's
        self._current = SpoolFile(path, descriptor)
        return self._current


def append_durably(path: Path, lines: list[bytes]) -> None:
    """Append lines to a file that only its owner reads, all or none, and wait until they are on the disk.

    Raises: OSError if they cannot be written.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        write_whole(descriptor, b"".join(lines), path)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(descriptor: int, content: bytes, path: Path) -> None:
    """Append to a file, or leave it as it was.

    Raises: OSError if there is no room for all of it.
    """
    if (count := os.write(descriptor, content)) < len(content):
        os.ftruncate(descriptor, os.fstat(descriptor).st_size - count)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
