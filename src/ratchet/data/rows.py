"""Read rows from files, one at a time, so that a file larger than memory is no problem.

CSV, TSV, JSONL, JSON (an array of objects), Parquet, spreadsheets, chats, and tokens with tags; what a JSON file holds inside an
object, and a sheet, are read as a whole. A row that cannot be read becomes a `BadRow` with its number and the reason; the caller
decides whether that ends the import.
"""

import codecs
from collections.abc import Callable, Iterator
from pathlib import Path

from ratchet.core.errors import DataError, did_you_mean
from ratchet.data.delimited import delimited_rows
from ratchet.data.json_files import json_rows, jsonl_rows
from ratchet.data.published import conll_rows, is_conll
from ratchet.data.records import BadRow, Row
from ratchet.data.tables import parquet_rows, spreadsheet_rows

__all__ = ["FORMATS", "good_rows", "read_rows"]

FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
    ".xlsx": "spreadsheet",
    ".xlsm": "spreadsheet",
    ".conll": "conll",
    ".bio": "conll",
    ".iob": "conll",
}
BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
READERS: dict[str, Callable[[Path, str], Iterator[Row | BadRow]]] = {
    "csv": delimited_rows,
    "jsonl": jsonl_rows,
    "json": json_rows,
    "parquet": parquet_rows,
    "conll": conll_rows,
}


def read_rows(
    path: Path, *, encoding: str | None = None, sheet: str | None = None
) -> Iterator[Row | BadRow]:
    """Yield the rows of a file in order; rows without any value are passed over, as empty lines are.

    Args:
        path: The file; its ending says the format.
        encoding: Of the text; by default a byte-order mark decides, else UTF-8.
        sheet: Of a spreadsheet; by default the first one.
    Raises: DataError if the file is missing, empty, of an unknown format, or not text in its encoding.
    """
    kind, text = check_file(path, sheet), chosen_encoding(encoding, path)
    try:
        if kind == "csv" and path.suffix.lower() != ".csv" and is_conll(path, text):
            kind = "conll"
        rows = spreadsheet_rows(path, sheet) if kind == "spreadsheet" else READERS[kind](path, text)
        for row in rows:
            if isinstance(row, BadRow) or any(cell is not None for cell in row.values.values()):
                yield row
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not text in {error.encoding}: byte {error.object[error.start]:#04x}. Name its encoding, for example --encoding cp1252"
        ) from error


def check_file(path: Path, sheet: str | None) -> str:
    """Return the format of a file that is there and holds something."""
    kind = FORMATS.get(path.suffix.lower())
    if not path.is_file():
        near = (
            did_you_mean(path.name, (p.name for p in path.parent.glob("*")))
            if path.parent.is_dir()
            else ""
        )
        raise DataError(f"there is no file {path}.{near}")
    if kind is None:
        raise DataError(
            f"{path}: unknown format {path.suffix!r}; Ratchet reads {', '.join(FORMATS)}"
        )
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty")
    if sheet is not None and kind != "spreadsheet":
        raise DataError(f"{path} has no sheets; leave --sheet {sheet!r} out, it is for .xlsx")
    return kind


def good_rows(
    path: Path,
    *,
    encoding: str | None = None,
    sheet: str | None = None,
    skip_bad: bool = False,
    skipped: list[BadRow] | None = None,
) -> Iterator[Row]:
    """Yield the readable rows; an unreadable one ends the reading, or with `skip_bad` is put into `skipped`."""
    for row in read_rows(path, encoding=encoding, sheet=sheet):
        if isinstance(row, Row):
            yield row
        elif not skip_bad:
            raise DataError(
                f"{path}, row {row.number}: {row.problem}. Mend the row, or leave such rows out with --skip-bad"
            )
        elif skipped is not None:
            skipped.append(row)


def chosen_encoding(encoding: str | None, path: Path) -> str:
    """Return the encoding that was named, or what the file's mark says; a mark is no text in UTF-8 either."""
    try:
        name = codecs.lookup(encoding).name if encoding else "utf-8"
    except LookupError as error:
        raise DataError(
            f"{path}: unknown encoding {encoding!r}; try utf-8, cp1252 or utf-16"
        ) from error
    return marked_encoding(path) if name == "utf-8" else name


def marked_encoding(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(4)
    return next((name for mark, name in BOMS if head.startswith(mark)), "utf-8")
