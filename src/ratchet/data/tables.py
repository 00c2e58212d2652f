"""Rows of typed tables: Parquet, spreadsheets, and what a Python program holds (frames, results of a database, lists of objects)."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, is_dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from ratchet.core.errors import DataError, did_you_mean
from ratchet.data.cells import WHOLE_NUMBERS
from ratchet.data.delimited import header_names
from ratchet.data.json_files import read_object
from ratchet.data.records import BadRow, Row

__all__ = ["frame_rows", "parquet_rows", "spreadsheet_rows"]

ROWS_AT_A_TIME = 5000
Cell = int | float | str | bool | time | date | datetime | timedelta


def parquet_rows(path: Path, _encoding: str) -> Iterator[Row | BadRow]:
    """Yield the rows of a Parquet file, a block at a time."""
    import polars as pl  # takes a moment to load

    try:
        table = pl.scan_parquet(path)
        total = table.select(pl.len()).collect().item()
        for start in range(0, total, ROWS_AT_A_TIME):
            rows = table.slice(start, ROWS_AT_A_TIME).collect().iter_rows(named=True)
            for index, row in enumerate(rows, start=1):
                yield read_object(start + index, row)
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{path}: no Parquet: {str(error).splitlines()[0]}") from error


def spreadsheet_rows(path: Path, sheet: str | None) -> Iterator[Row | BadRow]:
    """Yield the rows of a sheet below its first row that is not empty, which holds the names.

    A formula is the value that was stored with it. A cell that is merged with others stands in each of them.

    Raises: DataError if the file cannot be read, or has no such sheet.
    """
    header: list[str] | None = None
    number = 0
    for cells in sheet_cells(path, sheet):
        if header is None:
            if any(cell != "" for cell in cells):
                header = header_names([name_in(cell) for cell in cells], str(path))
            continue
        number += 1
        values = dict(zip(header, map(spreadsheet_cell, cells), strict=False))
        beyond = [cell for cell in cells[len(header) :] if cell != ""]
        if beyond:
            yield BadRow(
                number, f"{beyond[0]!r} stands in a column without a name; name it in the header"
            )
        elif any(cell is not None for cell in values.values()):
            yield read_object(number, values)
    if header is None:
        raise DataError(f"{path}: the sheet is empty; name another one with --sheet")


def sheet_cells(path: Path, sheet: str | None) -> Iterator[list[Cell]]:
    """Yield the cells of each row of a sheet, by default of the first one; empty ones are blank texts."""
    from python_calamine import CalamineError, CalamineWorkbook, PasswordError, WorksheetNotFound

    try:
        with CalamineWorkbook.from_path(path) as book:
            names = book.sheet_names
            if sheet is not None and sheet not in names:
                raise DataError(
                    f"{path} has no sheet {sheet!r}; its sheets are {', '.join(map(repr, names))}.{did_you_mean(sheet, names)}"
                )
            found = book.get_sheet_by_name(sheet) if sheet else book.get_sheet_by_index(0)
            rows = found.to_python(skip_empty_area=False)
            for (top, left), (bottom, right) in found.merged_cell_ranges or ():
                if top >= len(rows) or left >= len(rows[top]):
                    continue
                for row in rows[top : bottom + 1]:
                    row[left : right + 1] = [rows[top][left]] * len(row[left : right + 1])
    except PasswordError as error:
        raise DataError(f"{path} is locked by a password; save it without one") from error
    except (CalamineError, WorksheetNotFound, OSError) as error:
        raise DataError(f"{path}: no spreadsheet that can be read: {error}") from error
    yield from rows


def spreadsheet_cell(cell: Cell) -> object:
    """Return a cell's value: a spreadsheet has floats alone, so that a whole one is an integer."""
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < WHOLE_NUMBERS:
        return int(cell)
    return cell


def name_in(cell: Cell) -> str:
    return str(spreadsheet_cell(cell)).strip()


def frame_rows(data: object) -> Iterator[Row | BadRow]:
    """Yield the rows of a table in memory; row 1 is the first.

    Args:
        data: A frame of pandas or polars, a table of pyarrow, the result of a query (SQLAlchemy, or a cursor), or objects with names:
            mappings, named tuples, dataclasses, rows of sqlite3.
    Raises: DataError if it is none of them.
    """
    for number, row in enumerate(records_in(data), start=1):
        yield read_object(number, mapping_of(row, number))


def records_in(data: Any) -> Iterable[Any]:
    if hasattr(data, "collect") and hasattr(data, "lazy"):  # polars, not read yet
        data = data.collect()
    if hasattr(data, "iter_rows") and hasattr(data, "columns"):  # polars
        return data.iter_rows(named=True)  # type: ignore[no-any-return]
    if hasattr(data, "to_pylist"):  # pyarrow
        return data.to_pylist()  # type: ignore[no-any-return]
    if hasattr(data, "itertuples") and hasattr(data, "columns"):  # pandas
        names = [str(name) for name in data.columns]
        return (
            dict(zip(names, row, strict=True)) for row in data.itertuples(index=False, name=None)
        )
    if getattr(data, "description", None) and hasattr(data, "fetchall"):  # a cursor
        names = [str(column[0]) for column in data.description]
        return (row if hasattr(row, "keys") else dict(zip(names, row, strict=True)) for row in data)
    if isinstance(data, str | bytes | Path | Mapping) or not isinstance(data, Iterable):
        raise DataError(
            f"expected a frame, the result of a query or a list of mappings, got {type(data).__name__}; a file is read by `ratchet import FILE --task NAME`"
        )
    return data


def mapping_of(row: Any, number: int) -> dict[str, Any]:
    """Return a row by its names.

    Raises: DataError if it has none.
    """
    if isinstance(row, Mapping):
        return {str(name): cell for name, cell in row.items()}
    if hasattr(row, "_mapping"):  # SQLAlchemy
        return dict(row._mapping)  # noqa: SLF001 - its documented name
    if hasattr(row, "_asdict"):
        return dict(row._asdict())
    if is_dataclass(row) and not isinstance(row, type):
        return asdict(row)
    if hasattr(row, "keys"):  # sqlite3
        return {str(name): row[name] for name in row.keys()}  # noqa: SIM118 - it is no mapping
    raise DataError(
        f"row {number}: expected named values, got {type(row).__name__}; give mappings, or name the columns in the query"
    )
