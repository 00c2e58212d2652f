"""Read rows from files, one at a time, so that a file larger than memory is no problem.

CSV, TSV, JSONL, JSON (an array of objects), Parquet and OpenAI chat JSONL. A row that cannot be read becomes a `BadRow`
with its number and the reason; the caller decides whether that ends the import.
"""

import codecs
import csv
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ratchet.core import Json
from ratchet.core.errors import DataError, did_you_mean

__all__ = ["FORMATS", "BadRow", "Row", "good_rows", "read_rows"]

FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
}
BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
LONGEST_CELL = 64 * 1024 * 1024
DEEPEST = 100
"""Lists and objects inside one another, the row itself the first; the database's JSON reader stops not far behind."""


@dataclass(frozen=True)
class Row:
    """One row: its number in the file (1 is the first data row; a line number for JSONL) and its columns."""

    number: int
    values: dict[str, Json]


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be read, and why."""

    number: int
    problem: str


def read_rows(path: Path, *, encoding: str | None = None) -> Iterator[Row | BadRow]:
    """Yield the rows of a file in order.

    Args:
        path: The file; its ending says the format.
        encoding: Of the text; by default a byte-order mark decides, else UTF-8.
    Raises: DataError if the file is missing, empty, of an unknown format, or not text in its encoding.
    """
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
    try:
        yield from {
            "csv": csv_rows,
            "jsonl": jsonl_rows,
            "json": json_rows,
            "parquet": parquet_rows,
        }[kind](path, chosen(encoding, path))
    except UnicodeDecodeError as error:
        raise not_text(path, error.encoding, f"byte {error.object[error.start]:#04x}") from error
    except LookupError as error:
        raise DataError(
            f"{path}: unknown encoding {encoding!r}; try utf-8, cp1252 or utf-16"
        ) from error


def good_rows(
    path: Path,
    *,
    encoding: str | None = None,
    skip_bad: bool = False,
    skipped: list[BadRow] | None = None,
) -> Iterator[Row]:
    """Yield the readable rows; an unreadable one ends the reading, or with `skip_bad` is put into `skipped`."""
    for row in read_rows(path, encoding=encoding):
        if isinstance(row, Row):
            yield row
        elif not skip_bad:
            raise DataError(
                f"{path}, row {row.number}: {row.problem}. Mend the row, or leave such rows out with --skip-bad"
            )
        elif skipped is not None:
            skipped.append(row)


def not_text(path: Path, encoding: str, what: str) -> DataError:
    return DataError(
        f"{path} is not text in {encoding}: {what}. Name its encoding, for example --encoding cp1252"
    )


def chosen(encoding: str | None, path: Path) -> str:
    """Return the encoding that was named, or what the file's mark says; a mark is no text in UTF-8 either."""
    name = codecs.lookup(encoding).name if encoding else "utf-8"
    return sniffed(path) if name == "utf-8" else name


def sniffed(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(4)
    return next((name for mark, name in BOMS if head.startswith(mark)), "utf-8")


def csv_rows(path: Path, encoding: str) -> Iterator[Row | BadRow]:
    csv.field_size_limit(LONGEST_CELL)
    with path.open(encoding=encoding, newline="") as file:
        first = file.readline()
        file.seek(0)
        separator = (
            "\t"
            if path.suffix.lower() == ".tsv"
            else max(",;\t|", key=re.sub(r'"[^"]*"', "", first).count)
        )
        reader = csv.reader(file, delimiter=separator, strict=True)
        try:
            names = [name.strip() for name in next(reader)]
        except (StopIteration, csv.Error) as error:
            raise DataError(f"{path}: no header row: {error}") from error
        check_header(path, names)
        number = 0
        while True:
            number += 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield BadRow(number, f"broken CSV near line {reader.line_num}: {error}")
                continue
            if len(cells) == len(names):
                yield Row(number, dict(zip(names, cells, strict=True)))
            elif cells:
                yield BadRow(
                    number,
                    f"{len(cells)} cells where the header has {len(names)} (line {reader.line_num})",
                )


def check_header(path: Path, names: list[str]) -> None:
    if not names:
        raise DataError(f"{path}: no header row: the first line is empty")
    empty = [index + 1 for index, name in enumerate(names) if not name]
    twice = sorted({name for name in names if names.count(name) > 1})
    if empty or twice:
        what = (
            f"column {empty[0]} has no name" if empty else f"the column {twice[0]!r} stands twice"
        )
        raise DataError(f"{path}: {what} in the header {names!r}")


def jsonl_rows(path: Path, encoding: str) -> Iterator[Row | BadRow]:
    with path.open(encoding=encoding) as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                try:
                    value = json.loads(line)
                except (ValueError, RecursionError) as error:
                    yield BadRow(number, f"no JSON: {error}")
                    continue
                yield checked(number, value)


def checked(number: int, value: Json) -> Row | BadRow:
    if not isinstance(value, dict):
        return BadRow(number, f"expected an object with named values, got {type(value).__name__}")
    if is_deep(value):
        return BadRow(
            number, f"lists and objects stand more than {DEEPEST} deep inside one another"
        )
    if isinstance(value.get("messages"), list):
        return chat_row(number, value)
    return Row(number, value)


def is_deep(value: Json) -> bool:
    """Tell whether lists and objects stand more than DEEPEST deep inside one another."""
    level = [value]
    for _ in range(DEEPEST + 1):
        level = [part for part in level if isinstance(part, dict | list)]
        if not level:
            return False
        level = [x for part in level for x in (part.values() if isinstance(part, dict) else part)]
    return True


def chat_row(number: int, value: dict[str, Json]) -> Row | BadRow:
    """Turn a chat in OpenAI's fine-tuning format into columns: system, history, message and answer."""
    messages = value["messages"]
    if not all(isinstance(m, dict) and isinstance(m.get("role"), str) for m in messages):
        return BadRow(number, "each of messages must be an object with a role")
    if not messages or messages[-1]["role"] != "assistant":
        return BadRow(number, "the last of messages must be the assistant's answer")
    asked = [m for m in messages[:-1] if m["role"] != "system"]
    if not asked:
        return BadRow(number, "there is no user message before the answer")
    columns: dict[str, Json] = {
        "system": "\n".join(str(m.get("content") or "") for m in messages if m["role"] == "system"),
        "history": "\n".join(f"{m['role']}: {m.get('content') or ''}" for m in asked[:-1]),
        "message": asked[-1].get("content") or "",
    }
    calls = messages[-1].get("tool_calls")
    if calls:
        try:
            columns["answer"] = json.loads(calls[0]["function"]["arguments"])
            columns["tool"] = calls[0]["function"]["name"]
        except (KeyError, TypeError, ValueError, IndexError) as error:
            return BadRow(number, f"the tool call cannot be read: {error!r}")
    else:
        columns["answer"] = messages[-1].get("content") or ""
    return Row(number, {name: cell for name, cell in columns.items() if cell != ""})


def json_rows(path: Path, encoding: str) -> Iterator[Row | BadRow]:
    import ijson  # only this format needs it

    if encoding not in ("utf-8", "utf-8-sig"):
        yield from whole_json(path, encoding)
        return
    with path.open("rb") as file:
        if encoding == "utf-8-sig":
            file.seek(len(codecs.BOM_UTF8))
        number = 0
        try:
            for value in ijson.items(ShallowJson(file), "item", use_float=True):
                number += 1
                yield checked(number, value)
        except TooDeepError as error:
            raise DataError(f"{path}, after row {number}: {error}") from error
        except ijson.JSONError as error:
            if "UTF8" in str(error):
                raise not_text(path, "utf-8", f"after row {number}") from error
            raise DataError(
                f"{path}, after row {number}: no JSON: {str(error).splitlines()[0]}"
            ) from error
        if number == 0:
            raise DataError(
                f"{path}: expected an array of objects, found no item; a file with one object a line is .jsonl"
            )


class TooDeepError(Exception):
    """JSON that would take a parser more memory or stack than there is."""


class ShallowJson:
    """A file of JSON that ends with TooDeepError where brackets nest too deep: ijson's memory grows with the square of it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._depth, self._quoted, self._rest = 0, False, b""

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, checked."""
        chunk = self._file.read(size)
        text = (self._rest + chunk).replace(b"\\\\", b"").replace(b'\\"', b"")
        self._rest = b"\\" if text.endswith(b"\\") else b""  # what it escapes comes next
        pieces = text.split(b'"')  # by turns outside and inside of a string
        outside = np.frombuffer(b"".join(pieces[self._quoted :: 2]), np.uint8)
        opened, closed = (np.isin(outside, list(marks)) for marks in (b"[{", b"]}"))
        depths = self._depth + np.cumsum(opened.astype(int) - closed)
        if len(depths):
            self._depth = int(depths[-1])
            if depths.max() > DEEPEST + 1:  # the array of rows comes on top
                raise TooDeepError(
                    f"lists and objects stand more than {DEEPEST} deep inside one another"
                )
        self._quoted ^= len(pieces) % 2 == 0
        return chunk


def whole_json(path: Path, encoding: str) -> Iterator[Row | BadRow]:
    """Read an array in an encoding that cannot be streamed."""
    try:
        values = json.loads(path.read_text(encoding))
    except UnicodeDecodeError:
        raise
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: no JSON: {error}") from error
    if not isinstance(values, list):
        raise DataError(
            f"{path}: expected an array of objects, got {type(values).__name__}; a file with one object a line is .jsonl"
        )
    yield from (checked(number, value) for number, value in enumerate(values, start=1))


def parquet_rows(path: Path, _encoding: str) -> Iterator[Row | BadRow]:
    import polars as pl  # takes a moment to load

    step = 5000
    try:
        table = pl.scan_parquet(path)
        total = table.select(pl.len()).collect().item()
        for start in range(0, total, step):
            rows = table.slice(start, step).collect().iter_rows(named=True)
            for index, row in enumerate(rows, start=1):
                yield Row(start + index, {name: as_json(cell) for name, cell in row.items()})
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{path}: no Parquet: {str(error).splitlines()[0]}") from error


def as_json(cell: Json) -> Json:
    """Return a cell of a typed table as JSON: dates and times as ISO 8601, decimals as numbers, NaN as null."""
    if isinstance(cell, dict):
        return {name: as_json(part) for name, part in cell.items()}
    if isinstance(cell, list):
        return [as_json(part) for part in cell]
    if isinstance(cell, date | time):
        return cell.isoformat()
    if isinstance(cell, Decimal):
        return float(cell)
    if isinstance(cell, float) and not math.isfinite(cell):
        return None
    return cell if isinstance(cell, str | int | float | None) else str(cell)
