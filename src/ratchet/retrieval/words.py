"""Words of any script: how texts are made alike before they are compared, how they are parted into words, and how long they are.

Chinese, Japanese, Thai, Lao, Khmer and Burmese are written without spaces between words. Their runs are searched by pairs of
characters, so that any word inside a sentence is found, and two characters count as a word where lengths are measured.
"""

import re
import unicodedata
from functools import cache

__all__ = [
    "SPACELESS",
    "count_words",
    "join_texts",
    "split_words",
    "to_search_text",
    "word_pattern",
]

SPACELESS = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u19e0-\u19ff\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029"
    "\u3031-\u3035\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua9e0-\ua9ff\uaa60-\uaa7f"
    "\uf900-\ufaff\U00020000-\U0003ffff"
)
"""Of a character class: the letters of scripts without spaces."""
RUN = re.compile(f"[{SPACELESS}]+")
UNIT = re.compile(f"[{SPACELESS}]{{1,2}}|[^\\s{SPACELESS}]+")
"""What counts as a word: two characters of such a script, or all between spaces of another."""
INVISIBLE = re.compile(
    "[\u00ad\u0640\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufe00-\ufe0f\ufeff]"
)
"""Soft hyphens, lengthened Arabic, joiners, marks of direction: the same word with and without them."""


def to_search_text(text: str) -> str:
    """Return a text as it is searched: one normal form (NFKC, case folded), nothing invisible, pairs where there are no spaces."""
    if text.isascii():
        return text
    plain = INVISIBLE.sub("", unicodedata.normalize("NFKC", text)).casefold()
    return RUN.sub(_spread_pairs, unicodedata.normalize("NFKC", plain))


def _spread_pairs(run: re.Match[str]) -> str:
    """Return the pairs of neighbouring characters in a run, parted by spaces; a single character stays."""
    text = run[0]
    pairs = [text[place : place + 2] for place in range(len(text) - 1)] or [text]
    return f" {' '.join(pairs)} "


@cache
def word_pattern() -> str:
    """Return the pattern of a word of a searched text: letters and digits of any script, with the marks that belong to them."""
    marks: list[tuple[int, int]] = []
    for code in range(0x300, 0x11000):
        if unicodedata.category(chr(code)) in ("Mn", "Mc"):
            if marks and marks[-1][1] == code - 1:
                marks[-1] = (marks[-1][0], code)
            else:
                marks.append((code, code))
    ranges = "".join(f"{chr(first)}-{chr(last)}" for first, last in marks)
    return f"(?u)[\\w{ranges}]+"


def split_words(text: str) -> list[tuple[int, int]]:
    """Return where the words of a text begin and end."""
    return [found.span() for found in UNIT.finditer(text)]


def count_words(text: str) -> int:
    """Return how many words a text has."""
    if text.isascii():
        return len(text.split())
    return sum(1 for _ in UNIT.finditer(text))


def join_texts(parts: list[str]) -> str:
    """Return sentences as one text, with a space between them where their script has spaces."""
    joined = ""
    for part in parts:
        is_close = bool(joined) and bool(
            RUN.search(joined[-1] + part[:1]) or joined[-1] in "。！？；"
        )
        is_close = is_close and not joined[-1].isascii() and not part[:1].isascii()
        joined += part if not joined or is_close else f" {part}"
    return joined
