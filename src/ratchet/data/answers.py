"""Read the answers of a file: numbers that are quantities, labels, and JSON that is written as text."""

import json
import re

from ratchet.core import Json
from ratchet.data.records import is_deep

__all__ = [
    "is_quantity",
    "label_key",
    "label_text",
    "parse_json_text",
    "solution_number",
]

QUANTITY = re.compile(
    r"[-+−]?\s*[$€£¥]?\s*(\d[\d,]*(?:\.(\d+))?|\.(\d+))(?:[eE][-+]?\d{1,3})?\s*%?"
)
GROUPED = re.compile(r"\d{1,3}(,\d{3})+(\.\d+)?")
MAX_DIGITS = 15
"""A float holds so many; a longer number is a name."""
MIN_PHONE_DIGITS = 7
SOLUTION = re.compile(r"####\s*(\S.*?)\s*$")
"""GSM8K's mark before the number that a worked solution ends in."""


def parse_json_text(value: Json) -> Json:
    """Return a cell as JSON where it is an object or list written as text."""
    if isinstance(value, str) and value.strip()[:1] in ("{", "["):
        try:
            body = json.loads(value)
        except (ValueError, RecursionError):
            return value
        return value if is_deep(body) else body
    return value


def label_text(value: Json) -> str:
    """Return a value as the text of a label: a whole float is the integer that it stands for, true and false are JSON's."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value.strip() if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def label_key(label: str) -> str:
    """Return what labels have in common that differ in capitals, spaces, hyphens and underscores alone."""
    return re.sub(r"[\s_-]+", " ", label).strip().casefold()


def is_quantity(value: Json) -> bool:
    """Return whether a value is an amount of something, and no name made of digits.

    Leading zeros, more than 15 digits and the plus of a telephone number are a name's.
    """
    if isinstance(value, bool) or value is None:
        return False
    if isinstance(value, int):
        return bool(abs(value) < 10**MAX_DIGITS)
    if isinstance(value, float):
        return True
    if not isinstance(value, str):
        return False
    text = value.strip()
    found = QUANTITY.fullmatch(text)
    if not found or ("," in found[1] and not GROUPED.fullmatch(found[1])):
        return False
    digits = re.sub(r"\D", "", found[1])
    whole = found[1].replace(",", "").split(".")[0]
    is_name = (len(whole) > 1 and whole[0] == "0") or len(digits) > MAX_DIGITS
    return not is_name and not (text[0] == "+" and len(digits) >= MIN_PHONE_DIGITS)


def solution_number(text: str) -> str | None:
    """Return what stands behind the last `####` of a worked solution."""
    found = SOLUTION.search(text) if "####" in text else None
    return found[1].rsplit("####", 1)[-1].strip() if found else None
