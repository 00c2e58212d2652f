"""Read documents: Markdown, text, HTML, PDF, DOCX, CSV, JSONL and SQLite. What cannot be read is named, with the reason.

All become text in sections; a row of a table is a section of its own. The date is what the document says of itself, or its file's
name: the file system's would make another passage of every copy.
"""

import csv
import json
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import yaml

from ratchet.core import Json
from ratchet.core.errors import DataError

__all__ = ["FORMATS", "Document", "Section", "read_documents"]

LARGEST = 200 * 2**20
"""Bytes of a file."""
ROWS = 200_000
"""Rows of a table."""
DAY = re.compile(r"(?<!\d)((?:19|20)\d\d)[-_./]?([01]\d)[-_./]?([0-3]\d)(?!\d\d\d)")
FRONT = re.compile(r"\A---\s*\n(.*?)\n---\s*(?:\n|\Z)", re.DOTALL)
"""What a Markdown file says of itself before its text."""
HEADING = re.compile(r"^(#{1,6})\s+(.*?)\s*#*\s*$")
TITLE_LONG = 120
DATED = ("date", "updated", "modified", "modified_time", "published_time", "published")
"""Names under which a document says its date."""


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
        title, sections, day = reader(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    sections = [s for s in sections if s.text.strip()]
    if not sections:
        what = "; a scanned document needs OCR first" if path.suffix.lower() == ".pdf" else ""
        raise DataError(f"{path} holds no text{what}")
    return Document(str(path), title or path.stem, sections, day or day_in(path.stem))


Read = tuple[str, list[Section], str | None]
"""Title, sections and date; an empty title and no date where the document does not say."""


def day_in(text: object) -> str | None:
    """Return the first date that a text names as YYYY-MM-DD (or YYYYMMDD, as PDF writes it)."""
    for found in DAY.finditer(str(text)):
        with suppress(ValueError):
            return date(*map(int, found.groups())).isoformat()
    return None


def text_of(path: Path) -> str:
    """Return a file's text: UTF-8, else what most old files are."""
    content = path.read_bytes()
    marked = content[:2] in (b"\xff\xfe", b"\xfe\xff")
    for encoding in ("utf-16" if marked else "utf-8-sig", "cp1252", "latin-1"):
        try:
            return content.decode(encoding).replace("\x00", "")
        except UnicodeDecodeError:
            continue
    raise AssertionError("latin-1 takes any byte")


def markdown(path: Path) -> Read:
    """Read Markdown; title and date may stand in its front matter."""
    text = text_of(path)
    front = FRONT.match(text)
    said: Json = {}
    if front:
        with suppress(yaml.YAMLError):
            said = yaml.safe_load(front[1])
    if not isinstance(said, dict) or not said:
        title, sections = sectioned(text)
        return title, sections, None
    title, sections = sectioned(text[front.end() :] if front else text)
    day = next((day_in(said[name]) for name in DATED if said.get(name)), None)
    return str(said.get("title") or title)[:TITLE_LONG], sections, day


def sectioned(text: str) -> tuple[str, list[Section]]:
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
    return "", [Section("", text_of(path))], None


def html(path: Path) -> Read:
    """Read a page: headings as sections, scripts and styles left out."""
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(text_of(path), "html.parser")
    for part in soup(["script", "style", "noscript", "template"]):
        part.decompose()
    title = soup.title.get_text(" ", strip=True) if soup.title else ""
    said = [
        str(mark.get("content", ""))
        for mark in soup("meta")
        if str(mark.get("property") or mark.get("name") or "").rpartition(":")[2] in DATED
    ]
    for level in range(1, 7):
        for heading in soup(f"h{level}"):
            heading.replace_with(f"\n\n{'#' * level} {heading.get_text(' ', strip=True)}\n\n")
    for line in soup(["p", "li", "tr", "div", "br", "table", "section", "article"]):
        line.append("\n")
    found, sections = sectioned(re.sub(r"\n{3,}", "\n\n", soup.get_text(" ")))
    return title or found, sections, next(filter(None, map(day_in, said)), None)


def pdf(path: Path) -> Read:
    """Read a PDF, a section a page."""
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    try:
        reader = PdfReader(path)
        if reader.is_encrypted and not reader.decrypt(""):
            raise DataError(f"{path} is locked with a password; save it without one")
        pages = [page.extract_text() for page in reader.pages]
        said: Mapping[str, object] = reader.metadata or {}
        title = str(said.get("/Title") or "")
        day = day_in(said.get("/ModDate") or said.get("/CreationDate") or "")
    except (PyPdfError, ValueError, KeyError, RecursionError) as error:
        raise DataError(f"{path} is no PDF that can be read: {error}") from error
    sections = [Section(f"page {number}", text) for number, text in enumerate(pages, start=1)]
    return title, sections, day


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
    title, sections = sectioned("\n".join(lines))
    return title, sections, day_in(document.core_properties.modified or "")


def row_section(values: dict[str, Json], where: str) -> Section:
    """Return a row as a section: its `text` (and `title`) where it has such columns, else all of its columns by their names."""
    said = {name: value for name, value in values.items() if value not in (None, "")}
    body = said.get("text")
    if isinstance(body, str):
        rest = row_section({n: v for n, v in said.items() if n not in ("text", "title")}, where)
        return Section(str(said.get("title") or where), body, rest.meta, is_row=True)
    text = "\n".join(f"{name}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}" for name, value in said.items())  # fmt: skip
    plain_values = {n: v for n, v in said.items() if isinstance(v, str | int | float | bool) and len(str(v)) <= TITLE_LONG}  # fmt: skip
    return Section(where, text, plain_values, is_row=True)


def table(path: Path) -> Read:
    rows = csv.DictReader(text_of(path).splitlines(keepends=True), delimiter="\t" if path.suffix == ".tsv" else ",")  # fmt: skip
    try:
        found = (row_section(dict(row), f"row {n}") for n, row in enumerate(rows, start=1))
        return "", bounded(found, path), None
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

    return "", bounded(rows(), path), None


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
        return "", bounded(rows(), path), None
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
