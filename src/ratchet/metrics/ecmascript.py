"""What JavaScript makes of values and patterns, for suites that were written for programs in it.

Regular expressions are translated to Python's; what has no equal there is refused, never matched in another way.
"""

import math
import re
import sys
import unicodedata
from functools import lru_cache

from ratchet.core import Json

__all__ = ["compile_pattern", "text_of_value", "value_as_json", "with_whole_texts"]

_SPACES = r"\t\n\x0b\x0c\r \xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
_CLASSES = {"d": "0-9", "w": "A-Za-z0-9_", "s": _SPACES}
_CONTROLS = {"t": r"\t", "n": r"\n", "v": r"\x0b", "f": r"\x0c", "r": r"\r"}
_GROUP = re.compile(r"\(\?<([A-Za-z_$][\w$]*)>")
_COUNT = re.compile(r"\{\d+(,\d*)?\}")
_PROPERTY = re.compile(r"\{(?:General_Category=|gc=)?(\w+)\}")
_LONG_NAMES = {
    "Letter": "L",
    "Uppercase_Letter": "Lu",
    "Lowercase_Letter": "Ll",
    "Number": "N",
    "Decimal_Number": "Nd",
    "Punctuation": "P",
    "Symbol": "S",
    "Mark": "M",
    "Separator": "Z",
}
_LARGEST_PLAIN, _SMALLEST_PLAIN = 1e21, 1e-6
"""Where numbers are no longer written without an exponent."""


def text_of_value(value: Json) -> str:
    """Return the text that JavaScript's `String` makes of a JSON value."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, int | float):
        return _number_text(float(value))
    if isinstance(value, list | tuple):
        return ",".join("" if part is None else text_of_value(part) for part in value)
    return "[object Object]"


def value_as_json(value: Json) -> Json:
    """Return a value as `JSON.stringify` keeps it: numbers that are not finite are null."""
    if isinstance(value, dict):
        return {name: value_as_json(part) for name, part in value.items()}
    if isinstance(value, list):
        return [value_as_json(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def with_whole_texts(value: Json) -> Json:
    """Return a value whose texts can be written in UTF-8: half of a pair of surrogates is U+FFFD."""
    if isinstance(value, dict):
        return {_whole_text(name): with_whole_texts(part) for name, part in value.items()}
    if isinstance(value, list):
        return [with_whole_texts(part) for part in value]
    return _whole_text(value) if isinstance(value, str) else value


def _whole_text(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _number_text(number: float) -> str:
    if math.isnan(number):
        return "NaN"
    if number in (float("inf"), float("-inf")):
        return "Infinity" if number > 0 else "-Infinity"
    if number == 0:
        return "0"
    shortest = repr(number).lower()
    mantissa, _, power = shortest.partition("e")
    if _SMALLEST_PLAIN <= abs(number) < _LARGEST_PLAIN:
        return _shifted(mantissa, int(power or 0))
    return f"{mantissa.removesuffix('.0')}e{int(power):+d}"


def _shifted(mantissa: str, power: int) -> str:
    """Return digits with an exponent written out."""
    sign = "-" if mantissa.startswith("-") else ""
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    digits, point = whole + fraction, len(whole) + power
    if point <= 0:
        return f"{sign}0.{'0' * -point}{digits}".rstrip("0")
    padded = digits.ljust(point, "0")
    rest = padded[point:].rstrip("0")
    return sign + padded[:point] + (f".{rest}" if rest else "")


@lru_cache(maxsize=1024)
def compile_pattern(pattern: str, *, unicode: bool = False) -> re.Pattern[str]:
    """Return Python's pattern for one of JavaScript's.

    Args:
        pattern: As `new RegExp(pattern)` takes it.
        unicode: Read as with the flag `u`, as JSON Schema does: `\\p{L}` and `\\u{1F600}` have a meaning.
    Raises: ValueError if it is no pattern there, or Python has no equal.
    """
    translated = _Translation(pattern, unicode).run()
    try:
        return re.compile(translated)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"the pattern {pattern!r} cannot be read: {error}") from error


class _Translation:
    """One walk over a pattern."""

    def __init__(self, pattern: str, unicode: bool) -> None:
        self._pattern, self._unicode, self._place = pattern, unicode, 0

    def run(self) -> str:
        """Return the translated pattern."""
        out: list[str] = []
        while self._place < len(self._pattern):
            out.append(self._next())
        return "".join(out)

    def _next(self) -> str:
        mark = self._pattern[self._place]
        if mark == "\\":
            return self._escape(in_class=False)
        if mark == "[":
            return self._class()
        if mark == "(" and (group := _GROUP.match(self._pattern, self._place)):
            self._place = group.end()
            return f"(?P<{group[1].replace('$', '_')}>"
        if mark == "{" and not _COUNT.match(self._pattern, self._place):
            mark = "\\{"
        self._place += 1
        return {".": r"[^\n\r\u2028\u2029]", "$": r"\Z"}.get(mark, mark)

    def _class(self) -> str:
        """Return a class of characters; `[]` matches nothing, and `[^]` anything."""
        self._place += 1
        negated = self._pattern.startswith("^", self._place)
        self._place += negated
        out: list[str] = []
        while not self._pattern.startswith("]", self._place):
            if self._place >= len(self._pattern):
                raise ValueError(f"the pattern {self._pattern!r} has a class that is never closed")
            mark = self._pattern[self._place]
            if mark == "\\":
                out.append(self._escape(in_class=True))
                continue
            out.append(f"\\{mark}" if mark in "[&~|" else mark)
            self._place += 1
        self._place += 1
        if not out:
            return r"[\s\S]" if negated else "(?!)"
        return f"[{'^' if negated else ''}{''.join(out)}]"

    def _escape(self, *, in_class: bool) -> str:
        """Return an escape: where JavaScript knows none, the letter itself is meant."""
        letter = self._pattern[self._place + 1 : self._place + 2]
        if not letter:
            raise ValueError(f"the pattern {self._pattern!r} ends in a backslash")
        self._place += 2
        if letter in _CLASSES:
            return _CLASSES[letter] if in_class else f"[{_CLASSES[letter]}]"
        if letter.lower() in _CLASSES:
            if in_class:  # Python's own class is wider than what is left out here, for letters of other scripts alone
                return {"D": r"\D", "W": r"\W", "S": r"\S"}[letter]
            return f"[^{_CLASSES[letter.lower()]}]"
        if letter in "bB":
            return r"\x08" if in_class and letter == "b" else f"(?a:\\{letter})"
        if letter in _CONTROLS:
            return _CONTROLS[letter]
        return self._coded(letter, in_class=in_class)

    def _coded(self, letter: str, *, in_class: bool) -> str:
        """Return an escape that a code or a name follows."""
        rest = self._pattern[self._place :]
        if letter == "k" and (name := re.match(r"<([\w$]+)>", rest)) and not in_class:
            self._place += name.end()
            return f"(?P={name[1].replace('$', '_')})"
        if letter == "c" and rest[:1].isascii() and rest[:1].isalpha():
            self._place += 1
            return f"\\x{ord(rest[0]) % 32:02x}"
        for mark, code in (("x", r"[0-9a-fA-F]{2}"), ("u", r"[0-9a-fA-F]{4}")):
            if letter == mark and (found := re.match(code, rest)):
                self._place += found.end()
                return re.escape(chr(int(found[0], 16)))
        if self._unicode and letter == "u" and (found := re.match(r"\{([0-9a-fA-F]+)\}", rest)):
            self._place += found.end()
            return re.escape(chr(int(found[1], 16)))
        if self._unicode and letter in "pP":
            return self._property(letter, rest, in_class=in_class)
        if letter.isdecimal() and letter != "0" and not in_class:
            return f"\\{letter}"
        return r"\x00" if letter == "0" else re.escape(letter)

    def _property(self, letter: str, rest: str, *, in_class: bool) -> str:
        name = _PROPERTY.match(rest)
        category = _LONG_NAMES.get(name[1], name[1]) if name else ""
        if name is None or len(category) > 2 or (in_class and letter == "P"):
            raise ValueError(f"the pattern {self._pattern!r} has \\{letter}{rest[:12]}…")
        self._place += name.end()
        members = _category_ranges(category)
        if not members:
            raise ValueError(f"the pattern {self._pattern!r} has the unknown \\p{{{name[1]}}}")
        if in_class:
            return members
        return f"[{'^' if letter == 'P' else ''}{members}]"


@lru_cache(maxsize=32)
def _category_ranges(category: str) -> str:
    """Return the characters of a general category, as ranges of a class."""
    ranges: list[str] = []
    start: int | None = None
    for code in range(sys.maxunicode + 2):
        belongs = code <= sys.maxunicode and unicodedata.category(chr(code)).startswith(category)
        if belongs and start is None:
            start = code
        elif not belongs and start is not None:
            ranges.append(f"\\U{start:08x}-\\U{code - 1:08x}")
            start = None
    return "".join(ranges)
