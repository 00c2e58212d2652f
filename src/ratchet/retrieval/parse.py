"""Read documents of a file or folder: Markdown, text, HTML, PDF, Word, presentations, tables. What cannot be read is named, with the reason.

All become text in sections; a row of a table is a section of its own. The date is what the document says of itself, or its file's
name: the file system's would make another passage of every copy.
"""

import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from ratchet.core.errors import DataError, UsageError
from ratchet.retrieval.markup import read_html, read_markdown
from ratchet.retrieval.office import read_presentation, read_word
from ratchet.retrieval.pdf import read_pdf
from ratchet.retrieval.plain import day_in, read_plain
from ratchet.retrieval.sections import Document, Read, Section
from ratchet.retrieval.tabular import read_json, read_spreadsheet, read_sqlite, read_table

__all__ = ["FORMATS", "Document", "Section", "day_in", "read_documents"]

MAX_FILE_BYTES = 200 * 2**20
MAX_UNPACKED_BYTES = 2**30
"""Of all parts of a Word document, presentation or spreadsheet together."""
SAVED_AS = {
    ".doc": ".docx",
    ".rtf": ".docx",
    ".odt": ".docx",
    ".pages": ".docx",
    ".ppt": ".pptx",
    ".odp": ".pptx",
    ".key": ".pptx",
    ".xls": ".xlsx",
    ".ods": ".xlsx",
    ".numbers": ".xlsx",
}
"""By the end of the name of a file that is not read: what its program saves that is."""


def read_documents(path: Path) -> Iterator[Document | str]:
    """Yield the documents of a file or folder; of a file, or a part of one, that cannot be read, a sentence that says why.

    Raises: DataError if there is nothing at `path`, or no file of a known kind.
    """
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if _is_meant(file, path))
    elif path.exists() or path.is_symlink():
        files = [path]
    else:
        raise DataError(f"there is no file or folder {path}")
    if not any(file.suffix.lower() in FORMATS for file in files):
        raise DataError(f"{path} has no documents: {', '.join(FORMATS)} are read")
    for file in files:
        try:
            document = read(file)
        except DataError as error:
            yield str(error)
            continue
        yield document
        yield from document.left_out


def _is_meant(file: Path, folder: Path) -> bool:
    """Return whether a file of a folder is one of its documents: not hidden, and no other program's."""
    parts = file.relative_to(folder).parts
    if any(part.startswith(".") for part in parts) or file.name.startswith("~$"):
        return False
    with suppress(OSError):
        return not file.is_dir()
    return True  # it cannot be looked at, and is named for that


def read(path: Path) -> Document:
    """Return one file as a document.

    Raises: DataError if it cannot be read, or holds no text.
    """
    kind = path.suffix.lower()
    reader = FORMATS.get(kind)
    if reader is None:
        other = f"save it as {SAVED_AS[kind]}" if kind in SAVED_AS else f"there are {', '.join(FORMATS)}"  # fmt: skip
        raise DataError(f"{path}: {kind or 'a file without an ending'} is not read; {other}")
    try:
        _check_size(path)
        found = reader(path)
    except (DataError, UsageError):
        raise
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    except MemoryError as error:
        raise DataError(f"{path} cannot be read: it does not fit into memory") from error
    except ImportError as error:
        raise DataError(
            f"{path}: reading {kind} needs the extra 'knowledge' ({error}); install it with: pip install 'ratchet[knowledge]'"
        ) from error
    except Exception as error:  # a damaged file may make a library raise anything
        said = str(error).strip().splitlines()
        reason = f"{type(error).__name__}{f': {said[0][:200]}' if said else ''}"
        raise DataError(f"{path} is damaged, or no {kind} file: {reason}") from error
    sections = [section for section in found.sections if section.text.strip()]
    if not sections:
        raise DataError(f"{path} holds no text")
    return Document(
        source=str(path),
        title=found.title or path.stem,
        sections=sections,
        date=found.date or day_in(path.stem),
        left_out=found.left_out,
    )


def _check_size(path: Path) -> None:
    """Raise DataError if a file is too large, packed or unpacked."""
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise DataError(
            f"{path} has {size / 2**20:,.0f} MB, more than {MAX_FILE_BYTES // 2**20}; split it"
        )
    if path.suffix.lower() in (".docx", ".pptx", ".xlsx", ".xlsm") and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(part.file_size for part in archive.infolist())
        if unpacked > MAX_UNPACKED_BYTES:
            raise DataError(
                f"{path} unpacks to {unpacked / 2**20:,.0f} MB, more than {MAX_UNPACKED_BYTES // 2**20}; split it"
            )


FORMATS: dict[str, Callable[[Path], Read]] = {
    ".md": read_markdown,
    ".markdown": read_markdown,
    ".txt": read_plain,
    ".html": read_html,
    ".htm": read_html,
    ".pdf": read_pdf,
    ".docx": read_word,
    ".pptx": read_presentation,
    ".xlsx": read_spreadsheet,
    ".xlsm": read_spreadsheet,
    ".csv": read_table,
    ".tsv": read_table,
    ".jsonl": read_table,
    ".ndjson": read_table,
    ".json": read_json,
    ".sqlite": read_sqlite,
    ".db": read_sqlite,
}
"""By the end of a file's name: what reads it."""
