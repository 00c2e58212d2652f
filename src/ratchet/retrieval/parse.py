"""Read documents: Markdown, text, HTML, PDF, DOCX, CSV, JSONL and SQLite. What cannot be read is named, with the reason.

All become text in sections; a row of a table is a section of its own.
"""

import csv
import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from ratchet.core import Json
from ratchet.core.errors import DataError

__all__ = ["FORMATS", "Document", "Section", "read_documents"]

LARGEST = 200 * 2**20
"""Bytes of a file."""
ROWS = 200_000
"""Rows of a table."""
HEADING = re.compile(r"^(#{1,6})\s+(.*?)\s*#*\s*$")
TITLE_LONG = 120


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


def read_documents(path: Path) -> Iterator[Document | str]:
    """Yield the documents of a file or folder; of a file that cannot be read, a sentence that says why.

    Raises: DataError if there is nothing at `path`, or no file of a known kind.
    """
    if path.is_file():
        files = [path]
    elif path.is_dir():
        files = sorted(
            file
            for file in path.rglob("*")
            if file.is_file()
            and file.suffix.lower() in FORMATS
            and not any(part.startswith(".") for part in file.relative_to(path).parts)
        )
    else:
        raise DataError(f"there is no file or folder {path}")
    if not files:
        raise DataError(f"{path} has no documents: {', '.join(FORMATS)} are read")
    for file in files:
        try:
            yield read(file)
        except DataError as error:
            yield str(error)


def read(path: Path) -> Document:
    """Return one file as a document.

    Raises: DataError if it cannot be read, or holds no text.
    """
    reader = FORMATS.get(path.suffix.lower())
    if reader is None:
        raise DataError(
            f"{path}: {path.suffix or 'a file without an ending'} is not read; there are {', '.join(FORMATS)}"
        )
    try:
        status = path.stat()
        if status.st_size > LARGEST:
            raise DataError(
                f"{path} has {status.st_size / 2**20:,.0f} MB, more than {LARGEST // 2**20}; split it"
            )
        title, sections = reader(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    sections = [s for s in sections if s.text.strip()]
    if not sections:
        what = "; a scanned document needs OCR first" if path.suffix.lower() == ".pdf" else ""
        raise DataError(f"{path} holds no text{what}")
    date = datetime.fromtimestamp(status.st_mtime, UTC).date().isoformat()
    return Document(str(path), title or path.stem, sections, date)


Read = tuple[str, list[Section]]


def text_of(path: Path) -> str:
    """Return a file's text: UTF-8, else what most old files are."""
    content = path.read_bytes()
    for encoding in ("utf-8-sig", "cp1252", "latin-1"):
        try:
            return content.decode(encoding).replace("\x00", "")
        except UnicodeDecodeError:
            continue
    raise AssertionError("latin-1 takes any byte")


def markdown(path: Path) -> Read:
    return sectioned(text_of(path))


def sectioned(text: str) -> Read:
    """Return the title and the sections of Markdown; a `#` inside a fence is no heading."""
    title, path, lines, sections, fenced = "", list[str](), list[str](), list[Section](), False

    def end() -> None:
        sections.append(
            Section(" › ".join(part for part in path if part), "\n".join(lines).strip())
        )
        lines.clear()

    for line in text.splitlines():
        fenced ^= line.lstrip().startswith(("```", "~~~"))
        found = None if fenced else HEADING.match(line)
        if found is None:
            lines.append(line)
            continue
        end()
        level, name = len(found[1]), found[2]
        if not title and level == 1:
            title, path = name[:TITLE_LONG], []
            continue
        path = [*path[: level - 1], *[""] * (level - 1 - len(path)), name]
    end()
    return title, sections


def plain(path: Path) -> Read:
    return "", [Section("", text_of(path))]


def html(path: Path) -> Read:
    """Read a page: headings as sections, scripts and styles left out."""
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(text_of(path), "html.parser")
    for part in soup(["script", "style", "noscript", "template"]):
        part.decompose()
    title = soup.title.get_text(" ", strip=True) if soup.title else ""
    for level in range(1, 7):
        for heading in soup(f"h{level}"):
            heading.replace_with(f"\n\n{'#' * level} {heading.get_text(' ', strip=True)}\n\n")
    for line in soup(["p", "li", "tr", "div", "br", "table", "section", "article"]):
        line.append("\n")
    found, sections = sectioned(re.sub(r"\n{3,}", "\n\n", soup.get_text(" ")))
    return title or found, sections


def pdf(path: Path) -> Read:
    """Read a PDF, a section a page."""
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    try:
        reader = PdfReader(path)
        if reader.is_encrypted and not reader.decrypt(""):
            raise DataError(f"{path} is locked with a password; save it without one")
        pages = [page.extract_text() for page in reader.pages]
        title = str(reader.metadata.title or "") if reader.metadata else ""
    except (PyPdfError, ValueError, KeyError, RecursionError) as error:
        raise DataError(f"{path} is no PDF that can be read: {error}") from error
    return title, [Section(f"page {number}", text) for number, text in enumerate(pages, start=1)]


def docx(path: Path) -> Read:
    """Read a Word document: paragraphs under its headings, and its tables."""
    import docx as word
    from docx.opc.exceptions import PackageNotFoundError

    try:
        document = word.Document(str(path))
    except (PackageNotFoundError, KeyError, ValueError) as error:
        raise DataError(f"{path} is no Word document that can be read: {error}") from error
    lines = []
    for paragraph in document.paragraphs:
        style = str(paragraph.style.name if paragraph.style else "")
        level = re.fullmatch(r"Heading (\d)", style)
        mark = "# " if style == "Title" else f"{'#' * int(level[1])} " if level else ""
        lines.append(f"{mark}{paragraph.text}")
    for table in document.tables:
        lines += ["", *(" | ".join(cell.text for cell in row.cells) for row in table.rows)]
    return sectioned("\n".join(lines))


def row_section(values: dict[str, Json], where: str) -> Section:
    said = {name: value for name, value in values.items() if value not in (None, "")}
    text = "\n".join(f"{name}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}" for name, value in said.items())  # fmt: skip
    plain_values = {n: v for n, v in said.items() if isinstance(v, str | int | float | bool) and len(str(v)) <= TITLE_LONG}  # fmt: skip
    return Section(where, text, plain_values, is_row=True)


def table(path: Path) -> Read:
    rows = csv.DictReader(text_of(path).splitlines(keepends=True), delimiter="\t" if path.suffix == ".tsv" else ",")  # fmt: skip
    try:
        return "", bounded(
            (row_section(dict(row), f"row {n}") for n, row in enumerate(rows, start=1)), path
        )
    except csv.Error as error:
        raise DataError(f"{path} is no table that can be read: {error}") from error


def jsonl(path: Path) -> Read:
    def rows() -> Iterator[Section]:
        for number, line in enumerate(text_of(path).splitlines(), start=1):
            if not line.strip():
                continue
            try:
                value = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{path}, line {number} is no JSON: {error}") from error
            yield row_section(
                value if isinstance(value, dict) else {"value": value}, f"line {number}"
            )

    return "", bounded(rows(), path)


def sqlite(path: Path) -> Read:
    """Read every table of a database, opened for reading."""

    def rows() -> Iterator[Section]:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
            names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name")]  # fmt: skip
            for name in names:
                quoted = name.replace('"', '""')
                cursor = connection.execute(f'SELECT * FROM "{quoted}"')  # noqa: S608 - the database's own name, quoted
                columns = [column[0] for column in cursor.description]
                for number, row in enumerate(cursor, start=1):
                    yield row_section(
                        dict(zip(columns, map(shown, row), strict=True)), f"{name} {number}"
                    )

    try:
        return "", bounded(rows(), path)
    except sqlite3.Error as error:
        raise DataError(f"{path} is no SQLite database that can be read: {error}") from error


def shown(value: object) -> Json:
    return "(binary)" if isinstance(value, bytes) else value


def bounded(sections: Iterator[Section], path: Path) -> list[Section]:
    found: list[Section] = []
    for section in sections:
        if len(found) >= ROWS:
            raise DataError(f"{path} has more than {ROWS:,} rows; split it, or ask it by SQL")
        found.append(section)
    return found


FORMATS: dict[str, Callable[[Path], Read]] = {
    ".md": markdown,
    ".markdown": markdown,
    ".txt": plain,
    ".html": html,
    ".htm": html,
    ".pdf": pdf,
    ".docx": docx,
    ".csv": table,
    ".tsv": table,
    ".jsonl": jsonl,
    ".sqlite": sqlite,
    ".db": sqlite,
}
"""By the end of a file's name: what reads it."""
