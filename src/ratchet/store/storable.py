"""What a database takes: the one place that makes texts, figures and whole rows such as SQLite and PostgreSQL both store.

SQLite refuses lone surrogates and integers of more than 64 bits, and takes NaN for nothing; PostgreSQL refuses NUL, texts that are longer than
their column, and integers of more than its column's bytes.
"""

import math
import re
import sys
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import sqlalchemy as sa

from ratchet.core import Json

__all__ = ["StorableTuple", "storable", "storable_row", "storable_value"]

REFUSED = re.compile("[\x00\ud800-\udfff]")
MAX_INTEGER, MAX_BIG_INTEGER = 2**31 - 1, 2**63 - 1
DEFAULTS: dict[type, object] = {str: "", int: 0, float: 0.0, bool: False, bytes: b""}
"""What stands in a column that takes no NULL, where a value is none of its kind."""


def storable(value: Json, *, keep_infinite: bool = False) -> Json:
    """Return `value` with NUL and lone surrogates replaced by U+FFFD in every text, and numbers that are none by null.

    Args:
        value: Any JSON.
        keep_infinite: Leave NaN and infinite numbers as they are; a grammar lets a model write exponents that no float holds.
    """
    if isinstance(value, str):
        return REFUSED.sub("\ufffd", value)
    if isinstance(value, dict):
        return {
            storable(name): storable(item, keep_infinite=keep_infinite)
            for name, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [storable(item, keep_infinite=keep_infinite) for item in value]
    if isinstance(value, float) and not keep_infinite and not math.isfinite(value):
        return None
    return value


def storable_row(table: sa.Table, row: Mapping[str, object]) -> dict[str, Any]:
    """Return a row that every database stores in `table`, column by column as `storable_value` has it."""
    columns = table.columns
    return {name: storable_value(columns[name], value) for name, value in row.items()}


class StorableTuple:
    """Makes tuples of a table's values storable, as `storable_row` does rows; a usual value costs a look at its type.

    Args:
        table: Its columns, in their order, are what a tuple holds.
    """

    def __init__(self, table: sa.Table) -> None:
        self._columns = [
            (column, column.type.python_type, _bound(column), bool(column.nullable))
            for column in table.columns
        ]

    def __call__(self, values: Sequence[object]) -> tuple[Any, ...]:
        """Return values, one for each column, as every database takes them."""
        made = []
        for (column, kind, bound, nullable), value in zip(self._columns, values, strict=True):
            if value is None:
                is_usual = nullable
            elif type(value) is not kind:
                is_usual = False
            elif kind is str:  # what databases refuse does not print, nor do line breaks
                is_usual = len(value) <= bound and value.isprintable()  # type: ignore[arg-type, attr-defined]  # a text
            elif kind is int or kind is float:
                is_usual = -bound <= value <= bound  # type: ignore[operator]  # a number; NaN is within no bounds
            else:
                is_usual = True
            made.append(value if is_usual else storable_value(column, value))
        return tuple(made)


def _bound(column: "sa.Column[Any]") -> float:
    """Return the longest text, or the largest number, that a column takes."""
    kind = column.type.python_type
    if kind is str:
        return getattr(column.type, "length", None) or math.inf
    if kind is int:
        return MAX_BIG_INTEGER if isinstance(column.type, sa.BigInteger) else MAX_INTEGER
    return sys.float_info.max


def storable_value(column: "sa.Column[Any]", value: object) -> Any:
    """Return a value as its column takes it on every database.

    Texts lose what databases refuse and what is beyond the column's length; integers end at the column's bounds; a value of another kind, such
    as NaN or a text for a number, is NULL, or where the column takes none, 0 or an empty text.
    """
    kind = column.type.python_type
    if kind is str and isinstance(value, str):
        text = value if value.isascii() and "\x00" not in value else REFUSED.sub("\ufffd", value)
        length = getattr(column.type, "length", None)
        return text if length is None else text[:length]
    if kind is int and is_finite(value):
        most = int(_bound(column))
        return max(-most, min(most, int(value)))  # type: ignore[call-overload]  # a number
    if kind is float and is_finite(value):
        return as_float(value)
    if isinstance(value, kind) and kind in (bool, bytes):
        return value
    return None if column.nullable else DEFAULTS[kind]


def is_finite(value: object) -> bool:
    """Return whether a value is a number and neither NaN nor infinite; an integer always is, however large."""
    if isinstance(value, int):
        return True
    return isinstance(value, Real) and math.isfinite(value)


def as_float(value: Any) -> float:
    """Return a number as a float, the largest that there is where it is larger."""
    try:
        return float(value)
    except OverflowError:
        return sys.float_info.max if value > 0 else -sys.float_info.max
