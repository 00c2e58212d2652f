"""Rows of JSON and JSON Lines: an array of objects, a wrapper around one, columns as pandas writes them, or an object a line."""

import codecs
import json
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ratchet.core import Json
from ratchet.core.errors import DataError
from ratchet.data.cells import to_cells
from ratchet.data.chats import chat_of, chat_row
from ratchet.data.published import flat_answers, has_paragraphs, squad_rows
from ratchet.data.records import MAX_DEPTH, BadRow, Row, is_deep

__all__ = ["ShallowJson", "TooDeepError", "json_rows", "jsonl_rows", "read_object"]

WRAPPERS = ("data", "examples", "rows", "records", "items", "instances", "train", "test")
"""Names under which an object holds the array of rows, the likeliest first."""
SPLIT_NAMES = ("train", "training", "dev", "val", "valid", "validation", "test")
UTF8 = ("utf-8", "utf-8-sig")


def read_object(number: int, value: Json) -> Row | BadRow:
    """Return the row that an object is: its cells, or the columns of the chat that it holds."""
    if not isinstance(value, dict):
        return BadRow(number, f"expected an object with named values, got {type(value).__name__}")
    if is_deep(value):
        return BadRow(
            number, f"lists and objects stand more than {MAX_DEPTH} deep inside one another"
        )
    try:
        cells = to_cells(value)
    except ValueError as error:
        return BadRow(number, str(error))
    messages = chat_of(cells)
    if messages is not None:
        return chat_row(number, cells, messages)
    return Row(number, flat_answers(cells))


def jsonl_rows(path: Path, encoding: str) -> Iterator[Row | BadRow]:
    """Yield the rows of a file with one object a line; each has its line's number."""
    with path.open(encoding=encoding) as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                try:
                    value = json.loads(line)
                except (ValueError, RecursionError) as error:
                    yield BadRow(number, f"no JSON: {error}")
                    continue
                yield read_object(number, value)


def json_rows(path: Path, encoding: str) -> Iterator[Row | BadRow]:
    """Yield the rows of a JSON file; an array is read item by item, anything else as a whole."""
    first, second = first_lines(path)
    if encoding not in UTF8 or first.startswith(b"{"):
        if second.startswith(b"{") and encoding in UTF8 and is_object(first):
            yield from jsonl_rows(path, encoding)  # another ending was meant
        else:
            yield from whole_json(path, encoding)
        return
    yield from streamed_json(path, encoding)


def first_lines(path: Path) -> tuple[bytes, bytes]:
    """Return the first two lines that are not empty, a mark and spaces aside."""
    with path.open("rb") as file:
        lines = (line.removeprefix(codecs.BOM_UTF8).strip() for line in file)
        full = (line for line in lines if line)
        return next(full, b""), next(full, b"")


def is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def streamed_json(path: Path, encoding: str) -> Iterator[Row | BadRow]:
    import ijson  # only this format needs it

    with path.open("rb") as file:
        if encoding == "utf-8-sig":
            file.seek(len(codecs.BOM_UTF8))
        number = 0
        try:
            for value in ijson.items(ShallowJson(file), "item", use_float=True):
                number += 1
                yield read_object(number, value)
        except TooDeepError as error:
            raise DataError(f"{path}, after row {number}: {error}") from error
        except ijson.JSONError as error:
            if "UTF8" in str(error):
                raise DataError(
                    f"{path} is not text in utf-8: after row {number}. Name its encoding, for example --encoding cp1252"
                ) from error
            raise DataError(
                f"{path}, after row {number}: no JSON: {str(error).splitlines()[0]}"
            ) from error
        if number == 0:
            raise DataError(
                f"{path}: expected an array of objects, found no item; a file with one object a line is .jsonl"
            )


def whole_json(path: Path, encoding: str) -> Iterator[Row | BadRow]:
    """Read a file that cannot be streamed: in another encoding, or with its rows inside an object."""
    try:
        if encoding in UTF8:
            check_depth(path)
        value = json.loads(path.read_text(encoding))
    except UnicodeDecodeError:
        raise
    except TooDeepError as error:
        raise DataError(f"{path}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: no JSON: {error}") from error
    rows = rows_inside(value)
    if rows is None:
        keys = ", ".join(map(repr, list(value)[:8])) if isinstance(value, dict) else ""
        what = f"an object with the keys {keys}" if keys else type(value).__name__
        raise DataError(
            f"{path}: expected an array of objects, or an object that holds one, got {what}; a file with one object a line is .jsonl"
        )
    yield from (read_object(number, row) for number, row in enumerate(rows, start=1))


def check_depth(path: Path) -> None:
    """Refuse a file whose brackets nest too deep for a parser's stack."""
    with path.open("rb") as raw:
        shallow = ShallowJson(raw)
        while shallow.read(1 << 20):
            pass


def rows_inside(value: Json) -> Iterable[Json] | None:
    """Return the rows that a JSON value holds; None where it holds none."""
    if isinstance(value, list):
        return value
    if not isinstance(value, dict):
        return None
    if has_paragraphs(value.get("data")):
        return squad_rows(value["data"])
    if len(value) == 1 and isinstance(inner := next(iter(value.values())), dict):
        return rows_inside(inner)
    if (parts := split_tables(value)) is not None:
        return parts
    lists = [name for name, part in value.items() if is_table(part)]
    chosen = next(
        (name for name in WRAPPERS if name in lists), lists[0] if len(lists) == 1 else None
    )
    if chosen is not None:
        rows = value[chosen]
        is_wrapped = all(row.keys() >= {"row_idx", "row"} for row in rows)
        return [row["row"] for row in rows] if is_wrapped else rows
    return columnar_rows(value)


def split_tables(value: dict[str, Json]) -> list[Json] | None:
    """Return the rows of several splits, each with its split's name; None where the object holds something else."""
    tables = {name: part for name, part in value.items() if is_table(part)}
    if len(tables) < 2 or not all(name.lower() in SPLIT_NAMES for name in tables):
        return None
    return [{"split": name, **row} for name, rows in tables.items() for row in rows]


def is_table(value: Json) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def columnar_rows(value: dict[str, Json]) -> list[Json] | None:
    """Return the rows of a table that is written column by column, in the ways that pandas and others write one."""
    names, cells = value.get("columns"), value.get("data")
    if isinstance(names, list) and isinstance(cells, list):
        if all(isinstance(row, list) and len(row) == len(names) for row in cells):
            return [dict(zip(map(str, names), row, strict=True)) for row in cells]
        return None
    columns = list(value.values())
    if columns and all(isinstance(c, dict) and c for c in columns):
        if all(a.keys() == b.keys() for a, b in pairwise(columns)) and not any(
            isinstance(cell, dict) for column in columns for cell in column.values()
        ):
            return [{name: value[name][key] for name in value} for key in columns[0]]
        return None
    if (
        columns
        and all(isinstance(c, list) and c for c in columns)
        and len({len(c) for c in columns}) == 1
    ):
        return [dict(zip(value, row, strict=True)) for row in zip(*columns, strict=True)]
    return None


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
            if depths.max() > MAX_DEPTH + 1:  # the array of rows comes on top
                raise TooDeepError(
                    f"lists and objects stand more than {MAX_DEPTH} deep inside one another"
                )
        self._quoted ^= len(pieces) % 2 == 0
        return chunk
