"""What documents are read into: text in sections under headings, and rows of tables."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ratchet.core import Json
from ratchet.core.errors import DataError

__all__ = ["TITLE_LONG", "Document", "Read", "Section", "SectionBuilder", "bounded", "row_section"]

TITLE_LONG = 120
MAX_ROWS = 200_000


@dataclass(frozen=True)
class Section:
    """A part of a document under its headings."""

    heading: str
    text: str
    meta: dict[str, Json] = field(default_factory=dict)
    is_row: bool = False
    """A row of a table: never cut together with others."""


@dataclass(frozen=True)
class Document:
    """A file as text."""

    source: str
    title: str
    sections: list[Section]
    date: str | None = None
    left_out: tuple[str, ...] = ()
    """The parts that could not be read, each with the reason."""


@dataclass(frozen=True, kw_only=True)
class Read:
    """What a reader makes of a file."""

    title: str = ""
    """Empty where the document does not say."""
    sections: list[Section]
    date: str | None = None
    left_out: tuple[str, ...] = ()


class SectionBuilder:
    """Puts lines under the headings that came before them."""

    def __init__(self) -> None:
        self.title = ""
        """The first heading of the first level."""
        self._path: list[str] = []
        self._lines: list[str] = []
        self._sections: list[Section] = []

    def heading(self, level: int, name: str) -> None:
        """Begin a section; the first heading of level 1 is the document's title."""
        self._end()
        if not self.title and level == 1:
            self.title, self._path = name[:TITLE_LONG], []
            return
        self._path = [*self._path[: level - 1], *[""] * (level - 1 - len(self._path)), name]

    def line(self, text: str) -> None:
        """Add a line."""
        self._lines.append(text)

    def sections(self) -> list[Section]:
        """Return all sections."""
        self._end()
        return self._sections

    def _end(self) -> None:
        path = " › ".join(part for part in self._path if part)
        self._sections.append(Section(path, "\n".join(self._lines).strip()))
        self._lines.clear()


def row_section(values: dict[str, Json], where: str) -> Section:
    """Return a row as a section: its `text` (and `title`) where it has such columns, else all of its columns by their names."""
    said = {name: value for name, value in values.items() if value not in (None, "")}
    body = said.get("text")
    if isinstance(body, str):
        rest = row_section({n: v for n, v in said.items() if n not in ("text", "title")}, where)
        return Section(str(said.get("title") or where), body, rest.meta, is_row=True)
    text = "\n".join(
        f"{name}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)}"
        for name, value in said.items()
    )
    plain = (str, int, float, bool)
    meta = {n: v for n, v in said.items() if isinstance(v, plain) and len(str(v)) <= TITLE_LONG}
    return Section(where, text, meta, is_row=True)


def bounded(sections: Iterator[Section], path: Path) -> list[Section]:
    """Return the rows of a file.

    Raises: DataError if there are too many.
    """
    found: list[Section] = []
    for section in sections:
        if len(found) >= MAX_ROWS:
            raise DataError(f"{path} has more than {MAX_ROWS:,} rows; split it, or ask it by SQL")
        found.append(section)
    return found
