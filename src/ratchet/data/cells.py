"""The one place where a cell of a file or a frame becomes a value, or none.

Blank text, null, NaN, NaT and pandas' NA mean that there is nothing: `None`. Everything else becomes what JSON can hold: dates
and times as ISO 8601, decimals as numbers, the scalars and arrays of numpy as Python's own. Inside a list or an object a blank
text stays, as it may be a value there.
"""

import math
from collections.abc import Iterable, Mapping
from datetime import date, time
from decimal import Decimal
from typing import Any

from ratchet.core import Json

__all__ = ["WHOLE_NUMBERS", "to_cell", "to_cells", "to_text_cell"]

MISSING_WORDS = frozenset({"nan", "NaN", "NaT", "<NA>", "null", "NULL", "#N/A"})
"""What programs write for a missing value into a file that holds text alone; `NA` and `None` are words, and stay."""
WHOLE_NUMBERS = 2**53
"""Up to here every integer has a float of its own."""


def to_text_cell(text: str) -> Json:
    """Return the cell of a file that holds text alone: the text as it is, or None where it says that nothing is there.

    Raises: ValueError if it holds half a character.
    """
    return None if text.strip() in MISSING_WORDS else to_cell(text)


def to_cells(values: Mapping[Any, object]) -> dict[str, Json]:
    """Return the cells of a row.

    Raises: ValueError if a cell cannot be kept, naming its column.
    """
    cells: dict[str, Json] = {}
    for name, value in values.items():
        try:
            cells[check_text(str(name))] = to_cell(value)
        except ValueError as error:
            raise ValueError(f"column {name!r} {error}") from error
    return cells


def to_cell(value: object) -> Json:
    """Return a value as JSON, or None where it says that nothing is there.

    Raises: ValueError if it holds half a character, which no text can be stored with.
    """
    if isinstance(value, str):
        return check_text(value) if value and not value.isspace() else None
    return to_json(value)


def to_json(value: Any) -> Json:
    """Return a value as JSON; unlike a cell, a blank text inside of a list or an object stays."""
    if isinstance(value, str):
        return check_text(str(value))
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {check_text(str(name)): to_json(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(part) for part in value]
    if type(value).__name__ == "NAType" or is_unequal_to_itself(value):
        return None
    if isinstance(value, Decimal):
        return decimal_number(value)
    if isinstance(value, date | time):
        return value.isoformat()
    if hasattr(value, "tolist"):  # numpy's arrays and scalars
        return to_json(value.tolist())
    if isinstance(value, bytes):
        return check_text(value.decode("utf-8", "replace"))
    return [to_json(part) for part in value] if is_collection(value) else str(value)


def is_collection(value: object) -> bool:
    return (isinstance(value, Iterable) and isinstance(value, set | frozenset)) or (
        type(value).__name__ == "Series"
    )


def is_unequal_to_itself(value: Any) -> bool:
    """Return whether a value is NaN of some kind: pandas' NaT is a datetime, and Decimal has a NaN too."""
    try:
        return bool(value != value)  # noqa: PLR0124 - that is how NaN is recognised
    except (TypeError, ValueError):  # an array has no single truth
        return False


def decimal_number(value: Decimal) -> Json:
    if not value.is_finite():
        return None
    return (
        int(value)
        if value == value.to_integral_value() and value.as_tuple().exponent == 0
        else float(value)
    )


def check_text(text: str) -> str:
    """Return the text; half of a surrogate pair is refused, as UTF-8 cannot hold it."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"holds half a character, {text[error.start]!r} at place {error.start}, which UTF-8 cannot hold (surrogates not allowed)"
            ) from error
    return text
