"""Read plain text, and the dates in it."""

import re
from contextlib import suppress
from datetime import date
from pathlib import Path

from ratchet.retrieval.sections import Read, Section

__all__ = ["day_in", "read_plain", "text_of"]

DAY = re.compile(r"(?<!\d)((?:19|20)\d\d)[-_./]?([01]\d)[-_./]?([0-3]\d)(?!\d\d\d)")
MAX_BAD_SHARE = 0.01
"""Of the bytes: a UTF-8 file with a few damaged ones is no file of another encoding."""


def read_plain(path: Path) -> Read:
    """Read a text as one section."""
    return Read(sections=[Section("", text_of(path))])


def day_in(text: object) -> str | None:
    """Return the first date that a text names as YYYY-MM-DD (or YYYYMMDD, as PDF writes it)."""
    for found in DAY.finditer(str(text)):
        with suppress(ValueError):
            return date(*map(int, found.groups())).isoformat()
    return None


def text_of(path: Path) -> str:
    """Return a file's text: UTF-8, a few damaged bytes replaced, else what most old files are."""
    content = path.read_bytes()
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", "replace").replace("\x00", "")
    text = content.decode("utf-8-sig", "replace")
    if (bad := text.count("\ufffd")) and not _is_mostly_utf8(content, bad):
        for encoding in ("cp1252", "latin-1"):
            with suppress(UnicodeDecodeError):
                text = content.decode(encoding)
                break
    return text.replace("\x00", "")


def _is_mostly_utf8(content: bytes, bad: int) -> bool:
    """Return whether bytes beyond ASCII are UTF-8 but for a few."""
    beyond = sum(byte > 127 for byte in content)
    return bad <= MAX_BAD_SHARE * len(content) and bad * 4 <= beyond - bad
