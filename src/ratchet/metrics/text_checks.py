"""What an assertion says of a text: yes or no, or a score in [0, 1]. The meaning of each is that of promptfoo 0.121.

A check takes the text, the assertion's value and the whole assertion; it raises ValueError where the assertion makes no sense.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence

from ratchet.core import Json
from ratchet.metrics.ecmascript import compile_pattern, text_of_value
from ratchet.metrics.json_checks import holds_object, is_json_text

__all__ = ["CHECKS", "Check"]

Check = Callable[[str, Json, dict[str, Json]], bool | float]

_USUAL_EDITS = 5
"""Edits that `levenshtein` allows where no threshold is given."""
_LONGEST_GRAM = 4


def _equals(text: str, value: Json, assertion: dict[str, Json]) -> bool:
    if "value" not in assertion:
        raise ValueError("it has no value")
    if isinstance(value, dict | list):
        try:
            return _same(json.loads(text), value)
        except (ValueError, RecursionError):
            return False
    return text == text_of_value(value)


def _same(first: Json, second: Json) -> bool:
    """Return whether two JSON values are equal; true is not 1, and 1.0 is."""
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(_same(first[k], second[k]) for k in first)
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(_same, first, second))
    if isinstance(first, bool) or isinstance(second, bool):
        return first is second
    return bool(first == second)


def _needle(value: Json) -> str:
    """Return what is looked for, a text or a number."""
    if isinstance(value, bool) or not isinstance(value, str | int | float) or value == "":
        raise ValueError(f"its value is a text or a number, got {value!r}")
    return text_of_value(value)


def _needles(value: Json) -> list[str]:
    """Return the texts of a list, or of a text with commas; one in quotation marks may hold commas.

    Raises: ValueError if it is neither, or a mark is never closed.
    """
    if isinstance(value, list):
        return [text_of_value(part) for part in value]
    if not isinstance(value, str) or value == "":
        raise ValueError(f"its value is a list, or a text with commas, got {value!r}")
    fields: list[str] = []
    rest = value
    while rest := rest.lstrip(" \t\r\n,"):
        if rest.startswith('"'):
            quoted = re.match(r'"((?:[^"]|"")*)"\s*(?=,|$)', rest)
            if quoted is None:
                raise ValueError(f"a quotation mark in {value!r} is not closed before a comma")
            fields.append(quoted[1].replace('""', '"'))
            rest = rest[quoted.end() :]
        else:
            field, _, rest = rest.partition(",")
            fields.append(field.strip())
    return [field for field in fields if field]


def _starts_with(text: str, value: Json, _: dict[str, Json]) -> bool:
    if not isinstance(value, str) or not value:
        raise TypeError(f"its value is a text, got {value!r}")
    return text.startswith(value)


def _matches(text: str, value: Json, _: dict[str, Json]) -> bool:
    if not isinstance(value, str):
        raise TypeError(f"its value is a pattern, got {value!r}")
    return compile_pattern(value).search(text) is not None


def _is_near(text: str, value: Json, assertion: dict[str, Json]) -> bool:
    if not isinstance(value, str):
        raise TypeError(f"its value is a text, got {value!r}")
    limit = float(assertion.get("threshold", _USUAL_EDITS))
    return _edits_within(_units(text), _units(value), math.floor(limit)) is not None


def _units(text: str) -> list[int]:
    """Return UTF-16's units: an emoji is two, as JavaScript counts."""
    data = text.encode("utf-16-le", "surrogatepass")
    return [data[k] + 256 * data[k + 1] for k in range(0, len(data), 2)]


def _edits_within(first: Sequence[int], second: Sequence[int], limit: int) -> int | None:
    """Return Levenshtein's distance, or None where it is more than `limit`: only the band around the diagonal is looked at."""
    if limit < 0 or abs(len(first) - len(second)) > limit:
        return None
    far = limit + 1
    before = [min(j, far) for j in range(len(second) + 1)]
    for i, unit in enumerate(first, start=1):
        row = [far] * (len(second) + 1)
        if i <= limit:
            row[0] = i
        for j in range(max(1, i - limit), min(len(second), i + limit) + 1):
            other = before[j - 1] + (unit != second[j - 1])
            row[j] = min(before[j] + 1, row[j - 1] + 1, other, far)
        before = row
    return before[-1] if before[-1] <= limit else None


def _word_count(text: str, value: Json, _: dict[str, Json]) -> bool:
    count = len(text.split())
    if not isinstance(value, dict):
        return count == float(text_of_value(value))
    low, high = float(value.get("min", 0)), float(value.get("max", math.inf))
    if not {"min", "max"} & value.keys() or low > high:
        raise ValueError(f"its value is a number, or has min and max in that order; got {value!r}")
    return low <= count <= high


def _grams(words: Sequence[str], size: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[k : k + size]) for k in range(len(words) - size + 1))


def _rouge_n(text: str, value: Json, assertion: dict[str, Json]) -> float:
    """Return the F1 of shared n-grams (Lin 2004), n of `size`, 1 where none is given."""
    size = int(assertion.get("size", 1))
    said, wanted = (_grams(part.lower().split(), size) for part in (text, _needle(value)))
    return _f1(sum((said & wanted).values()), said.total(), wanted.total())


def _rouge_l(text: str, value: Json, _: dict[str, Json]) -> float:
    """Return the F1 of the longest common subsequence of words (Lin 2004)."""
    said, wanted = text.lower().split(), _needle(value).lower().split()
    return _f1(_common_length(said, wanted), len(said), len(wanted))


def _f1(shared: int, said: int, wanted: int) -> float:
    return 2 * shared / (said + wanted) if said + wanted else 0.0


def _common_length(first: Sequence[str], second: Sequence[str]) -> int:
    before = [0] * (len(second) + 1)
    for part in first:
        row = [0]
        for j, other in enumerate(second, start=1):
            row.append(before[j - 1] + 1 if part == other else max(before[j], row[-1]))
        before = row
    return before[-1]


def _gleu(text: str, value: Json, _: dict[str, Json]) -> float:
    """Return the lesser of precision and recall of all n-grams up to four (Wu et al. 2016)."""
    said, wanted = text.split(), _needle(value).split()
    shared = total_said = total_wanted = 0
    for size in range(1, _LONGEST_GRAM + 1):
        mine, theirs = _grams(said, size), _grams(wanted, size)
        shared += sum((mine & theirs).values())
        total_said += mine.total()
        total_wanted += theirs.total()
    return shared / max(total_said, total_wanted, 1)


def _bleu(text: str, value: Json, _: dict[str, Json]) -> float:
    """Return BLEU-4 of one sentence (Papineni et al. 2002), counts of n > 1 raised by one (Lin and Och 2004)."""
    said, wanted = text.split(), _needle(value).split()
    if not said:
        return 0.0
    logs = 0.0
    for size in range(1, _LONGEST_GRAM + 1):
        mine, theirs = _grams(said, size), _grams(wanted, size)
        shared, total = sum((mine & theirs).values()), mine.total()
        if size > 1:
            shared, total = shared + 1, total + 1
        if not shared:
            return 0.0
        logs += math.log(shared / total) / _LONGEST_GRAM
    return math.exp(logs + min(0.0, 1 - len(wanted) / len(said)))


def _fuzzy_match(text: str, value: Json, _: dict[str, Json]) -> float:
    """Return twice the longest common subsequence of characters, divided by both lengths."""
    wanted = _needle(value)
    return _f1(_common_length(text, wanted), len(text), len(wanted))


CHECKS: dict[str, Check] = {
    "equals": _equals,
    "contains": lambda text, value, _: _needle(value) in text,
    "icontains": lambda text, value, _: _needle(value).lower() in text.lower(),
    "contains-all": lambda text, value, _: all(v in text for v in _needles(value)),
    "contains-any": lambda text, value, _: any(v in text for v in _needles(value)),
    "icontains-all": lambda text, value, _: all(v.lower() in text.lower() for v in _needles(value)),
    "icontains-any": lambda text, value, _: any(v.lower() in text.lower() for v in _needles(value)),
    "starts-with": _starts_with,
    "regex": _matches,
    "is-json": lambda text, value, _: is_json_text(text, value),
    "contains-json": lambda text, value, _: holds_object(text, value),
    "levenshtein": _is_near,
    "word-count": _word_count,
    "rouge-n": _rouge_n,
    "rouge-l": _rouge_l,
    "gleu": _gleu,
    "bleu": _bleu,
    "fuzzy-match": _fuzzy_match,
}
"""By the type of the assertion."""
