"""Adapters from outside: an archive, or what is at an address, becomes a folder that holds an adapter's two files, and nothing else of it.

No path of an archive is ever made, and links in it are not followed. An address must not lead to a private network unless that is
allowed, and redirects are not followed. What comes is written as it comes: no adapter is held in memory.
"""

import http.client
import ipaddress
import socket
import tarfile
import tempfile
import urllib.parse
import urllib.request
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from lzma import LZMAError
from pathlib import Path
from typing import IO, Any, BinaryIO

from ratchet.core.errors import DataError
from ratchet.models.adapters import CONFIG, WEIGHTS
from ratchet.store.workspace import writable

__all__ = ["arrived", "fetched", "unpacked"]

LARGEST = 2**30
"""Bytes of an adapter."""
LARGEST_CONFIG = 2**20
MAX_ENTRIES = 1000
"""Of an archive: an adapter's folder holds checkpoints and logs besides, and no more than that."""
PART = 2**20
TIMEOUT_S = 60.0
BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    LZMAError,
    zlib.error,
    EOFError,
    RuntimeError,
    ValueError,
    OSError,
)
"""What a broken archive is told by; errors of our own disk are StoreErrors."""
NAT64 = ipaddress.ip_network("64:ff9b::/96")


@contextmanager
def arrived(source: str, beside: Path, *, allow_private: bool = False) -> Iterator[Path]:
    """Give a folder with an adapter's files.

    Args:
        source: A folder, a .zip or .tar.gz, or an http(s) address of one.
        beside: The folder in which what has to be unpacked lies meanwhile.
        allow_private: Whether the address may be in a private network.
    Raises: DataError if there is nothing such.
    """
    path = Path(source)
    if source.startswith(("http://", "https://")):
        with fetched(source, beside, allow_private=allow_private) as folder:
            yield folder
    elif path.is_dir():
        yield path
    elif path.is_file():
        with path.open("rb") as archive, unpacked(archive, path.name, beside) as folder:
            yield folder
    else:
        raise DataError(f"there is no file or folder {path}")


@contextmanager
def fetched(url: str, beside: Path, *, allow_private: bool = False) -> Iterator[Path]:
    """Give a folder with the files of an archive at an address; `beside` as for `arrived`.

    Raises: DataError if it cannot be reached, is in a private network, leads elsewhere, or is no archive.
    """
    with writable(beside):
        beside.mkdir(parents=True, exist_ok=True)
        archive = tempfile.TemporaryFile(dir=beside)  # noqa: SIM115 - closed below
    with archive:
        for part in download(url, allow_private=allow_private):
            with writable(beside):
                archive.write(part)
        archive.seek(0)
        with unpacked(archive, url, beside) as folder:
            yield folder


@contextmanager
def unpacked(archive: BinaryIO | IO[bytes], name: str, beside: Path) -> Iterator[Path]:
    """Give a folder with the two files of a .zip or .tar.gz, as far as they are in there; `beside` as for `arrived`.

    Raises: DataError if it is neither, or they are too large.
    """
    with writable(beside):
        beside.mkdir(parents=True, exist_ok=True)
        made = tempfile.TemporaryDirectory(dir=beside, prefix=".arriving-")
    with made as folder:
        try:
            if zipfile.is_zipfile(archive):
                from_zip(archive, Path(folder))
            else:
                archive.seek(0)
                from_tar(archive, Path(folder))
        except BROKEN as error:
            raise DataError(
                f"{name} is neither a .zip nor a .tar.gz with an adapter: {error}"
            ) from error
        yield Path(folder)


def from_zip(file: BinaryIO | IO[bytes], folder: Path) -> None:
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        if len(entries) > MAX_ENTRIES:
            raise DataError(f"the archive has {len(entries)} entries; an adapter is two files")
        for entry in entries:
            part = entry.filename.rsplit("/", 1)[-1]
            if part in (CONFIG, WEIGHTS):
                check_new(folder / part)
                with archive.open(entry) as content:
                    write(content, folder / part, entry.file_size)


def from_tar(file: BinaryIO | IO[bytes], folder: Path) -> None:
    with tarfile.open(fileobj=file, mode="r:*") as archive:
        for number, member in enumerate(archive):
            if number >= MAX_ENTRIES:
                raise DataError(
                    f"the archive has more than {MAX_ENTRIES} entries; an adapter is two files"
                )
            part = member.name.rsplit("/", 1)[-1]
            if part in (CONFIG, WEIGHTS) and member.isfile():
                check_new(folder / part)
                content = archive.extractfile(member)
                assert content is not None  # a file has content
                write(content, folder / part, member.size)


def check_new(path: Path) -> None:
    """Raise DataError if an archive has a file a second time."""
    if path.exists():
        raise DataError(f"the archive has {path.name} more than once; an adapter has it once")


def write(content: IO[bytes], path: Path, size: int) -> None:
    """Write a file of an archive; what the archive says of its size is what it has."""
    if size > (LARGEST_CONFIG if path.name == CONFIG else LARGEST):
        raise DataError(f"{path.name} is larger than an adapter can be ({size} bytes)")
    with writable(path), path.open("wb") as out:
        for part in content_of(content):
            out.write(part)


def content_of(content: IO[bytes]) -> Iterator[bytes]:
    while True:
        try:
            part = content.read(PART)
        except OSError as error:  # of the archive, and not of our disk
            raise ValueError(str(error)) from error
        if not part:
            return
        yield part


class _Straight(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: what was checked is what is asked."""

    def redirect_request(
        self, _req: Any, _fp: Any, code: int, _msg: str, _headers: Any, newurl: str
    ) -> None:
        raise DataError(
            f"the address leads on to {newurl} ({code}); give that one, if you trust it"
        )


def is_public(address: str) -> bool:
    """Return whether an address is on the public internet, and not a private one in the clothes of a public one."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo and found.teredo[1])
        if inner or found in NAT64:
            return False
    return found.is_global


class _Checked:
    """A connection that looks at whom it reached before it says a word: a name may lead elsewhere the second time."""

    sock: socket.socket

    def connect(self) -> None:
        """Connect, and hang up on a private address."""
        super().connect()  # type: ignore[misc]  # the connection that this is mixed into
        address = self.sock.getpeername()[0]
        if not is_public(address):
            self.sock.close()
            raise OSError(
                f"it is in a private network ({address}); allow that with --allow-private, if it is yours"
            )


class _Http(_Checked, http.client.HTTPConnection):
    pass


class _Https(_Checked, http.client.HTTPSConnection):
    pass


class _HttpHandler(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Http, req)


class _HttpsHandler(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Https, req)


def download(url: str, *, allow_private: bool) -> Iterator[bytes]:
    """Yield what is at an address, part by part."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise DataError(f"{url!r} is no http(s) address")
    handlers = (
        [] if allow_private else [_HttpHandler(), _HttpsHandler(), urllib.request.ProxyHandler({})]
    )
    opener = urllib.request.build_opener(_Straight, *handlers)
    size = 0
    try:
        with opener.open(url, timeout=TIMEOUT_S) as response:
            while part := response.read(PART):
                size += len(part)
                if size > LARGEST:
                    raise DataError(f"{url} is larger than an adapter can be")
                yield part
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise DataError(f"{url} cannot be read: {getattr(error, 'reason', error)}") from error
