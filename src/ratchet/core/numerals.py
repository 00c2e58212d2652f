"""One grammar for numbers as people and models write them, used for replies and for references alike.

Grouping and decimal marks: `1,234.5`, `1.234,5`, `1 234,5` (also narrow and no-break spaces), `1'234.5`, `12,34,567`. A single comma
groups where exactly three digits follow and one to three stand before it, the first no zero (`1,234`); else it is a decimal comma
(`1,5`, `0,125`, `1234,567`). A single dot is a decimal point. What fits neither (`1,23,4`, `1.2.3`) is no number.

A number ends where its unit begins: `5 m2` is 5, `45 %` is 45, `$5` is 5. Digits inside a word (`H2O`, `m2`, `GPT-4`, `3f2a`), ranges
(`10-20`, `10 to 20`), dates (`2024-05-12`, `12 May 2024`), times and ratios (`12:30`) and tolerances (`± 2`) are no numbers.
`1/2`, `½`, `1 1/2` and `\\frac{1}{2}` are fractions; `5e3`, `5 × 10^3` and `5 × 10³` are 5000. U+2212 is a minus; so is a dash that
stands directly before a digit and not directly behind a word.
"""

import math
import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction

__all__ = ["last_number", "parse_number"]

MAX_EXACT_FLOAT = 2**53
MAX_EXPONENT = 400
"""A larger one is no finite float."""
MAX_DIGITS = 400
DASH = "-\u2010\u2011\u2012\u2013\u2212\ufe63\uff0d"
CURRENCY = r"(?:US\$|[$€£¥₹₩]|(?:USD|EUR|GBP|CHF|JPY|INR)(?=\s?\d))"
SPACES = "\u00a0\u2007\u2009\u202f"
_MAGNITUDE = re.compile(
    rf"""
      \d+(?:[.,'’_{SPACES}\ ]?\d+)*      # digits with marks between them, sorted out by `_digits`
    | [.,]\d+
    """,
    re.VERBOSE,
)
_EXPONENT_MARK = re.compile(r"[eE]([+\-\u2212]?\d+)(?![\w])")
_POWER_OF_TEN = re.compile(
    r"\s*(?:[×xX*·⋅]|\\times|\\cdot)\s*10\s*(?:(?:\^|\*\*)\s*\{?\s*([+\-\u2212]?\d+)\s*\}?|([⁺⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+))"
)
_SUPERSCRIPTS = str.maketrans("⁺⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "+-0123456789")
_MONTH = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?"
    r"|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)\.?"
)
_DATE_IN_WORDS = re.compile(
    rf"\b(?:\d{{1,2}}(?:st|nd|rd|th)?\s+(?:of\s+)?{_MONTH}(?:,?\s+\d{{4}})?|{_MONTH}\s+\d{{1,2}}(?:st|nd|rd|th)?(?:,?\s+\d{{4}})?"
    rf"|{_MONTH}\s+\d{{4}})(?![\w.,]?\d)\b"
)
_LATEX_FRACTION = re.compile(r"\\[dt]?frac\s*\{\s*([^{}]*?)\s*\}\s*\{\s*([^{}]*?)\s*\}")
_BOXED = re.compile(r"\\boxed\s*\{((?:[^{}]|\{[^{}]*\})*)\}")
_UNIT = r"(?:\s?%|\s?°\s?[CFK]?|\s?[A-Za-zµ€£$]{1,12}\.?)?"
_RANGE = re.compile(rf"{_UNIT}(?:(?P<gap>\s?)[{DASH}~](?P=gap)|\s?\.\.\.?\s?)(?:{CURRENCY}\s?)?")
_TO = re.compile(rf"{_UNIT}\s+(?:to|bis)\s+(?:{CURRENCY}\s?)?")
_SOLIDUS = re.compile(r"\s?[/\u2044]\s?")
_LIST_MARK = re.compile(r"[.)]\s+\S")
_CODE = re.compile(r"[A-Za-z]{0,20}\d|_\w")
_SQUARE_UNIT = re.compile(r"[A-Za-zµ]{1,3}[23](?!\w)")
_MAY_HOLD_SIGN = re.compile(rf"[{DASH}]|(?i:minus|negative)")
_SIGN = re.compile(
    rf"(?:(?<![\w)\]}}%°.])|^)([{DASH}])(?:{CURRENCY}\s?)?\Z|(?<![\w)\]}}%])\s(\u2212)\s\Z|[=:]\s?-\s\Z|^\s*(\u2212)\s\Z"
    r"|\b(?i:negative|(?:(?<=is )|(?<=: )|(?<=to )|(?<=of )|(?<=at )|\A)minus)\s\Z"
)
_FENCE_OF_ANSWER = "####"


@dataclass(frozen=True)
class _Numeral:
    """A number that stands in a text; `value` is None where its digits make no number."""

    start: int
    end: int
    value: Fraction | None
    is_scaled: bool = False
    """Whether it has an exponent: then its digits are no claim to be exact."""


def last_number(text: str) -> float | int | None:
    """Return the number that a reply gives: the last one behind `####` or in a `\\boxed{}`, else the last one; None without one.

    An integer beyond 2**53 is an int, anything else a float.
    """
    parts = [text.rsplit(_FENCE_OF_ANSWER, 1)[1]] if _FENCE_OF_ANSWER in text else []
    parts += _BOXED.findall(text)[-1:]
    for part in (*parts, text):
        numbers = [n for n in _numbers_in(_plain(part)) if n.value is not None]
        if numbers:
            return _as_number(numbers[-1])
    return None


def parse_number(value: object) -> float | int | None:
    """Return a reference as a number: a number itself, or a text that is one and holds nothing else.

    A currency sign, a percent sign and an end mark may stand beside it, a worked solution before `####`; a unit may not.
    None where it is no finite number; a bool is none.
    """
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return value if not isinstance(value, float) or math.isfinite(value) else None
    if not isinstance(value, str):
        return None
    text = _plain(value.rsplit(_FENCE_OF_ANSWER, 1)[-1])
    numbers = [n for n in _numbers_in(text) if n.value is not None]
    if len(numbers) != 1:
        return None
    beside = text[: numbers[0].start] + text[numbers[0].end :]
    if re.sub(rf"{CURRENCY}|USD|EUR|GBP|CHF|JPY|INR|[%+*_`\"'=.\s{SPACES}]", "", beside):
        return None
    return _as_number(numbers[0])


def _as_number(numeral: _Numeral) -> float | int | None:
    value = numeral.value
    if value is None or not _is_finite(value):
        return None
    is_whole = value.denominator == 1 and not numeral.is_scaled
    return value.numerator if is_whole and abs(value) > MAX_EXACT_FLOAT else float(value)


def _plain(text: str) -> str:
    """Return text with digits of any script as ASCII, LaTeX's marks undone, and fractions of one sign written out."""
    if not text.isascii():
        text = "".join(map(_plain_character, text))
    if "\\" in text or "{,}" in text:
        text = _LATEX_FRACTION.sub(_plain_fraction, text)
        text = text.replace("{,}", ",").replace("\\,", "\u2009").replace("\\!", "")
        text = text.replace("\\%", "%").replace("\\$", "$")
    return text


def _plain_fraction(found: re.Match[str]) -> str:
    """Return a fraction of LaTeX as `1/2`, parted from a number before it, and from no sign."""
    before = found.string[max(0, found.start() - 1) : found.start()]
    return f"{' ' if before.isdigit() else ''}{found[1]}/{found[2]} "


def _plain_character(character: str) -> str:
    if character.isascii():
        return character
    category = unicodedata.category(character)
    if category == "Cf":  # of no width: a break that nobody sees
        return ""
    if category == "Nd":
        return str(unicodedata.decimal(character))
    if category == "No" and "FRACTION" in unicodedata.name(character, ""):
        return " " + unicodedata.normalize("NFKC", character).replace("\u2044", "/")
    if character in "．，＋％":  # full width
        return unicodedata.normalize("NFKC", character)
    return {"٫": ".", "٬": ","}.get(character, character)


def _numbers_in(text: str) -> list[_Numeral]:
    """Return the numbers of a text that is plain, ranges, dates and digits of words left out."""
    masked = _DATE_IN_WORDS.sub(lambda found: "\0" * len(found.group()), text)
    numerals = _signed(masked, _numerals(masked))
    numerals = _joined(masked, numerals)
    marks = [n for n in numerals if _is_list_mark(masked, n)]
    return [n for n in numerals if n not in marks] or numerals


def _numerals(text: str) -> list[_Numeral]:
    """Return the digits of a text that stand for themselves, without their signs."""
    found: list[_Numeral] = []
    place = 0
    while match := _MAGNITUDE.search(text, place):
        start, end = match.span()
        pieces = _pieces(match.group())
        for offset, piece in pieces:
            at = start + offset
            numeral, end = _numeral(text, at, at + len(piece))
            if numeral:
                found.append(numeral)
        place = max(end, match.end())
    return found


def _pieces(digits: str) -> list[tuple[int, str]]:
    """Return the numbers of digits that plain spaces part: one where they group by threes, else each by itself."""
    if " " not in digits or _GROUPED_BY_SPACE.fullmatch(digits):
        return [(0, digits)]
    pieces, place = [], 0
    for piece in digits.split(" "):
        pieces.append((place, piece))
        place += len(piece) + 1
    return pieces


_GROUPED_BY_SPACE = re.compile(r"[1-9]\d{0,2}(?: \d{3})+(?:[.,]\d+)?")


def _numeral(text: str, start: int, end: int) -> tuple[_Numeral | None, int]:
    """Return the numeral whose digits stand from `start` to `end`, and where reading goes on."""
    if start and text[start] in ".," and re.match(r"[\w.]", text[start - 1]):
        start += 1  # the dot ends what stands before it: `Rs.500`
    if _stands_in_word(text, start):
        return None, _end_of_word(text, end)
    value, is_scaled = _digits(text[start:end]), False
    if exponent := _EXPONENT_MARK.match(text, end):
        value, end = _scaled(value, exponent.group(1)), exponent.end()
        is_scaled = True
    elif power := _POWER_OF_TEN.match(text, end):
        written = power.group(1) or power.group(2).translate(_SUPERSCRIPTS)
        value, end = _scaled(value, written), power.end()
        is_scaled = True
    elif re.match(r"\s?(?:\^|\*\*)\s?\{?[\d+\-]|[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻]", text[end : end + 5]):
        value, end = _power(value, text, end)
    elif _CODE.match(text, end) and not _SQUARE_UNIT.match(text, end):
        return None, _end_of_word(text, end)
    return _Numeral(start, end, value, is_scaled), end


def _power(value: Fraction | None, text: str, end: int) -> tuple[Fraction | None, int]:
    """Return ten to a power; of another base nothing, as an expression is no number."""
    written = re.compile(r"\s?(?:\^|\*\*)\s?\{?\s?([+\-]?\d+)\s?\}?|([⁺⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+)").match(
        text, end
    )
    if not written:
        return None, end
    exponent = written.group(1) or written.group(2).translate(_SUPERSCRIPTS)
    return (_scaled(Fraction(1), exponent) if value == 10 else None), written.end()


def _scaled(value: Fraction | None, exponent: str) -> Fraction | None:
    power = int(exponent.replace("\u2212", "-")[:8])
    if value is None or value == 0:
        return value
    if abs(power) > MAX_EXPONENT:
        return None if power > 0 else Fraction(0)
    scaled = value * Fraction(10) ** power
    return scaled if abs(scaled) < Fraction(10) ** 309 and _is_finite(scaled) else None


def _is_finite(value: Fraction) -> bool:
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def _stands_in_word(text: str, start: int) -> bool:
    """Return whether digits belong to a word or a longer number: `H2O`, `GPT-4`, `v1.2`, `#3f`."""
    before = text[max(0, start - 6) : start]
    if re.search(r"(?:USD|EUR|GBP|CHF|JPY|INR)\Z", before):
        return False
    if re.search(r"\w\Z", before):
        return True
    return bool(re.search(rf"[^\W\d_][{DASH}]\Z", before)) or bool(re.search(r"\d[.,']\Z", before))


def _end_of_word(text: str, end: int) -> int:
    found = re.compile(r"\w*").match(text, end)
    return found.end() if found else end


def _digits(written: str) -> Fraction | None:
    """Return the number that digits with grouping and decimal marks make; None where they make none."""
    if len(written) > MAX_DIGITS:
        return None
    plain = re.sub(rf"(?<=\d)[{SPACES} ](?=\d{{3}}(?!\d))", "\u00a0", written)
    plain = plain.replace("’", "'")
    for group, decimal in ((",", "."), (".", ","), ("\u00a0", "[.,]"), ("'", "[.,]"), ("_", ".")):
        grouped = rf"[1-9]\d{{0,2}}(?:{re.escape(group)}\d{{3}})+"
        ends = decimal if decimal.startswith("[") else re.escape(decimal)
        found = re.fullmatch(rf"({grouped})(?:{ends}(\d+))?", plain)
        is_decimal_point = group == "." and plain.count(".") == 1 and "," not in plain
        if found and not is_decimal_point:
            return _fraction(found.group(1).replace(group, ""), found.group(2))
    if re.fullmatch(r"\d{1,2}(?:,\d{2})+,\d{3}(?:\.\d+)?", plain):  # lakh and crore
        whole, _, rest = plain.replace(",", "").partition(".")
        return _fraction(whole, rest)
    if found := re.fullmatch(r"(\d*)(?:[.,](\d+))?", plain):
        return _fraction(found.group(1), found.group(2))
    return None


def _fraction(whole: str, decimals: str | None) -> Fraction:
    return Fraction(f"{whole or '0'}.{decimals or '0'}")


def _signed(text: str, numerals: list[_Numeral]) -> list[_Numeral]:
    """Return numerals with the signs that stand before them."""
    signed = []
    for numeral in numerals:
        before = text[max(0, numeral.start - 24) : numeral.start]
        found = _SIGN.search(before) if _MAY_HOLD_SIGN.search(before) else None
        is_tolerance = re.search(r"(?:±|\+/-)\s?\Z", before)
        value = numeral.value
        start = numeral.start
        if found and not is_tolerance:
            start = numeral.start - (len(before) - found.start())
            value = -value if value is not None else None
        signed.append(
            _Numeral(start, numeral.end, None if is_tolerance else value, numeral.is_scaled)
        )
    return signed


def _joined(text: str, numerals: list[_Numeral]) -> list[_Numeral]:
    """Return numerals with fractions made one, and the parts of ranges, dates, times and ratios without value."""
    joined: list[_Numeral] = []
    place = 0
    while place < len(numerals):
        chain = [numerals[place]]
        marks = []
        while place + 1 < len(numerals):
            mark = _mark_between(text, chain, numerals[place + 1])
            if mark is None:
                break
            marks.append(mark)
            chain.append(numerals[place + 1])
            place += 1
        place += 1
        merged = chain[0]
        if marks:
            merged = _Numeral(chain[0].start, chain[-1].end, _fraction_of(chain, marks))
        value = merged.value
        mixed = joined and _is_mixed(text, joined[-1], merged, marks)
        if mixed:
            whole = joined.pop()
            assert whole.value is not None  # `_is_mixed` looked
            assert value is not None
            total = whole.value - value if whole.value < 0 else whole.value + value
            merged = _Numeral(whole.start, merged.end, total)
        joined.append(merged)
    return joined


def _mark_between(text: str, chain: list[_Numeral], following: _Numeral) -> str | None:
    """Return what joins two numerals into one thing that is read as a whole; None where they stand apart."""
    between = text[chain[-1].end : following.start]
    if following.start > 0 and text[following.start] in DASH and between == "":
        return "-"
    if _SOLIDUS.fullmatch(between):
        return "/"
    if between == ":":
        return ":"
    if _RANGE.fullmatch(between):
        is_right_side = re.search(r"=\s*\Z", text[max(0, chain[0].start - 12) : chain[0].start])
        return None if is_right_side and between.strip() == "-" else "-"
    if _TO.fullmatch(between):
        return (
            None
            if re.search(r"\bfrom\s+\S?\Z", text[max(0, chain[0].start - 12) : chain[0].start])
            else "-"
        )
    if between == "." and len(chain) > 0:
        return "."
    return None


def _fraction_of(chain: list[_Numeral], marks: list[str]) -> Fraction | None:
    """Return the fraction that two numerals are; None for a range, a date, a time, a ratio, or a division by zero."""
    if marks != ["/"]:
        return None
    over, under = chain[0].value, chain[1].value
    return over / under if over is not None and under else None


def _is_mixed(text: str, whole: _Numeral, part: _Numeral, marks: list[str]) -> bool:
    return (
        marks == ["/"]
        and text[whole.end : part.start] in (" ", "  ")
        and whole.value is not None
        and whole.value.denominator == 1
        and part.value is not None
        and 0 < part.value < 1
    )


def _is_list_mark(text: str, numeral: _Numeral) -> bool:
    """Return whether a number only counts the lines: `2. Then …`."""
    near = max(0, numeral.start - 12)
    line_start = text.rfind("\n", near, numeral.start) + 1 or (0 if near == 0 else numeral.start)
    return (
        (line_start == 0 or text[line_start - 1] == "\n")
        and not text[line_start : numeral.start].strip(" \t*_#")
        and numeral.value is not None
        and numeral.value.denominator == 1
        and _LIST_MARK.match(text, numeral.end) is not None
    )
