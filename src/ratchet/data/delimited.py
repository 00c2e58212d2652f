"""Rows of CSV and TSV: the separator is seen, a quotation mark that nothing closes is a letter, and a broken row is named."""

import csv
import re
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TextIO

from ratchet.core.errors import DataError
from ratchet.data.cells import to_text_cell
from ratchet.data.records import BadRow, Row

__all__ = ["delimited_rows", "header_names"]

MAX_CELL_BYTES = 64 * 1024 * 1024
MAX_LINES_AHEAD = 1000
"""How far below the closing mark of a cell is looked for."""
SEPARATORS, NUM_SNIFFED_LINES = ",;\t|", 50
NO_SEPARATOR = "\x1f"
"""A character that no text holds: a file of one column is read line by line."""
UNNAMED_INDEX = "Unnamed: 0"
"""What pandas calls the column without a name that it writes first."""
SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)

Record = tuple[list[str] | str, int]
"""The cells of a row, or what is wrong with it; and the line that it ends in."""


def delimited_rows(path: Path, encoding: str) -> Iterator[Row | BadRow]:
    """Yield the rows of a file in CSV or TSV.

    Raises: DataError if it has no header.
    """
    csv.field_size_limit(MAX_CELL_BYTES)
    with path.open(encoding=encoding, newline="") as file:
        separator, line = find_separator(file, is_tsv=path.suffix.lower() == ".tsv")
        is_lenient = separator in ("\t", NO_SEPARATOR)
        records = (lenient_records if is_lenient else strict_records)(file, separator, line)
        header, _ = next(records, ([], 0))
        if isinstance(header, str):
            raise DataError(f"{path}: no header row: {header}")
        names = header_names([name.strip() for name in header], str(path))
        for number, (cells, ends_in) in enumerate(records, start=1):
            if isinstance(cells, str):
                yield BadRow(number, f"broken CSV near line {ends_in}: {cells}")
            elif cells:
                yield row_of(number, names, cells, ends_in)


def find_separator(file: TextIO, *, is_tsv: bool) -> tuple[str, int]:
    """Return the separator, and how many lines before the header are taken; the file then stands at its header."""
    first = file.readline()
    declared = SEPARATOR_LINE.fullmatch(first)
    if declared:
        return declared[1], 1
    lines = [first, *islice(file, NUM_SNIFFED_LINES)]
    file.seek(0)
    return ("\t" if is_tsv else likeliest_separator(lines)), 0


def likeliest_separator(lines: list[str]) -> str:
    """Return the separator by which most rows have as many cells as the header, then the one that gives more cells."""
    best, best_fit = NO_SEPARATOR, (0.0, 0)
    for separator in SEPARATORS:
        try:
            header, *rows = [row for row in csv.reader(lines, delimiter=separator) if row] or [[]]
        except csv.Error:
            continue
        width = len(header)
        fitting = sum(len(row) == width for row in rows)
        in_name_alone = bool(rows) and not any(separator in line for line in lines[1:])
        if width > 1 and not in_name_alone and (fitting / max(1, len(rows)), width) > best_fit:
            best, best_fit = separator, (fitting / max(1, len(rows)), width)
    return best


def header_names(names: list[str], place: str) -> list[str]:
    """Return the names of the columns; nameless ones at the end are left out, and a first one is an index that pandas wrote.

    Raises: DataError if another column has no name, or two have the same one.
    """
    while names and not names[-1]:
        names.pop()
    if not names:
        raise DataError(f"{place}: no header row: the first line is empty")
    if not names[0] and UNNAMED_INDEX not in names:
        names[0] = UNNAMED_INDEX
    for index, name in enumerate(names, start=1):
        if not name or name in names[: index - 1]:
            what = f"the column {name!r} stands twice" if name else f"column {index} has no name"
            raise DataError(
                f"{place}: {what} in the header {names!r}; give each column its own name"
            )
    return names


def row_of(number: int, names: list[str], cells: list[str], line: int) -> Row | BadRow:
    """Return the row of these cells; empty cells behind the last named column are no cells."""
    if len(cells) < len(names) or any(cell.strip() for cell in cells[len(names) :]):
        return BadRow(number, f"{len(cells)} cells where the header has {len(names)} (line {line})")
    values = {}
    for name, cell in zip(names, cells, strict=False):
        try:
            values[name] = to_text_cell(cell)
        except ValueError as error:
            return BadRow(number, f"column {name!r} {error}")
    return Row(number, values)


def strict_records(file: Iterable[str], separator: str, line: int) -> Iterator[Record]:
    """Yield the records of CSV as RFC 4180 has it."""
    reader = csv.reader(file, delimiter=separator, strict=True)
    while True:
        try:
            yield next(reader), line + reader.line_num
        except StopIteration:
            return
        except csv.Error as error:
            yield str(error), line + reader.line_num


def lenient_records(file: Iterable[str], separator: str, line: int) -> Iterator[Record]:
    """Yield the records of a table whose cells are seldom quoted: spreadsheets quote only what holds a line break or a tab."""
    lines, ahead = iter(file), deque[str]()
    width = 0
    while ahead or (following := next(lines, None)) is not None:
        text = (ahead.popleft() if ahead else str(following)).rstrip("\r\n")
        line += 1
        cells = text.split(separator) if text else []
        if '"' in text:
            quoted = quoted_cells(text, separator)
            if quoted is None:
                quoted, taken = closed_below(text, separator, width, lines, ahead)
                line += taken
            cells = quoted or [unquoted(cell) for cell in cells]
        width = width or len(cells)
        yield cells, line


def closed_below(
    text: str, separator: str, width: int, lines: Iterator[str], ahead: deque[str]
) -> tuple[list[str] | None, int]:
    """Return the cells of a row that goes on below its first line, and how many more lines it takes; None and 0 where it does not.

    Lines that are rows by themselves are rows: then the mark at the start of a cell is a letter.
    """
    are_rows = text.count(separator) == width - 1
    for taken in range(1, MAX_LINES_AHEAD):
        if len(ahead) < taken:
            following = next(lines, None)
            if following is None:
                return None, 0
            ahead.append(following)
        last = ahead[taken - 1]
        text += "\n" + last.rstrip("\r\n")
        are_rows = are_rows and last.count(separator) == width - 1
        if '"' not in last:
            continue
        try:
            cells = next(csv.reader([text], delimiter=separator, strict=True))
        except csv.Error as error:
            if "unexpected end" in str(error):
                continue
            return None, 0
        if len(cells) != width or (are_rows and width > 1):
            return None, 0
        for _ in range(taken):
            ahead.popleft()
        return cells, taken
    return None, 0


def quoted_cells(text: str, separator: str) -> list[str] | None:
    """Return the cells of a line by the rules of CSV; None where it does not follow them."""
    try:
        return next(csv.reader([text], delimiter=separator, strict=True))
    except csv.Error:
        return None


def unquoted(cell: str) -> str:
    """Return a cell without the marks around it, where they are a pair."""
    inner = cell[1:-1]
    is_pair = len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in inner.replace('""', "")
    return inner.replace('""', '"') if is_pair else cell
