"""The label that a reply names."""

import re
from collections.abc import Sequence
from functools import lru_cache

__all__ = ["read_label"]

_MARKS = "\"'`.*_“”‘’«»()[]{}#!:,; \t\n"
_WORDS_OF_ONE_LETTER = ("A", "I", "O")
_ANNOUNCEMENT = (
    r"(?:answer|label|class|category|classification|sentiment|intent|choice|option|prediction|rating|score|grade|verdict|"
    r"type|topic|result|output|antwort|respuesta|réponse)"
)
_ANNOUNCED = re.compile(
    rf"\b{_ANNOUNCEMENT}\b[*_\"'`]*\s*(?:\([^()]*\)\s*)?(?:is|are|was|would be|:|=|->|→|：)[*_\"'`]*\s*(?:is\s+|option\s+|the\s+)?[:(\[\"'“‘`*_]*\s*",
    re.IGNORECASE,
)
_ENDS = re.compile(r"[\"'”’`*_)\]]*\s*(?:\Z|[.!;,\n(\[]|\s[-–—]\s|because\b|since\b|as\b)")
_NOT = re.compile(
    r"\b(?:not|never|rather than|instead of|isn['’]t|nicht)(?:\s+(?:a|an|the))?\s+[\"'“‘`*(]*\Z",
    re.IGNORECASE,
)
_NUMERIC = re.compile(r"[+-]?\d+(?:\.\d+)?")


def read_label(text: str, labels: Sequence[str]) -> str | None:
    """Return the one label that a text names; None where it names none or several.

    In this order: the text is a label, marks around it and then case aside; it announces one (`Label: spam`, the last such place);
    its first or last line is one; it begins with one and goes on to explain (`Yes, it does.`); it names exactly one as whole words, not denied (`not spam`) and not inside a longer label.
    A label of one letter counts in its own case alone, and one that is an English word (A, I, O) only where it stands by itself.
    A rating `4/5` or `4 out of 5` is 4 where 5 is the highest label.
    """
    known = _Labels.of(tuple(labels))
    bare = text.strip(_MARKS)
    for form in (text.strip(), bare, text.strip().rstrip(".")):
        if label := known.same_as(form):
            return label
    if rating := known.rating_in(text):
        return rating
    text = known.without_scale(text)
    announced = [
        label
        for found in _ANNOUNCED.finditer(text)
        if (label := known.at(text, found.end())) is not None
    ]
    if announced:
        return announced[-1] if len(set(announced)) == 1 or _corrects(text) else None
    lines = [line for line in text.splitlines() if line.strip(_MARKS)]
    alone = {
        label for line in (lines[:1] + lines[-1:]) if (label := known.same_as(line.strip(_MARKS)))
    }
    if len(alone) == 1:
        return alone.pop()
    if first := known.first_in(text):
        return first
    named = known.named_in(text)
    return named.pop() if len(named) == 1 else None


def _corrects(text: str) -> bool:
    """Return whether a reply announces an answer and, later, its final one."""
    return re.search(r"\b(?:final|correct(?:ed)?)\b", text, re.IGNORECASE) is not None


class _Labels:
    """The labels of a task, ready to be looked for."""

    def __init__(self, labels: tuple[str, ...]) -> None:
        self._labels = labels
        self._folded: dict[str, list[str]] = {}
        for label in labels:
            self._folded.setdefault(label.casefold(), []).append(label)
        self._places = [(label, re.compile(_pattern(label))) for label in labels]
        self._scale = _scale_of(labels)

    @classmethod
    @lru_cache(maxsize=64)
    def of(cls, labels: tuple[str, ...]) -> "_Labels":
        return cls(labels)

    def same_as(self, text: str) -> str | None:
        """Return the label that a text is; another case counts where it leaves no doubt, and never for one letter."""
        if text in self._labels:
            return text
        folded = self._folded.get(text.casefold(), [])
        return folded[0] if len(folded) == 1 and len(folded[0]) > 1 else None

    def at(self, text: str, place: int) -> str | None:
        """Return the longest label that stands at a place and ends there with what ends a statement."""
        fits = [
            (found.end(), label)
            for label, pattern in self._places
            if (found := pattern.match(text, place)) and _ENDS.match(text, found.end())
        ]
        ends = [end for end, _ in fits]
        longest = [label for end, label in fits if end == max(ends)]
        return longest[0] if len(longest) == 1 else None

    def named_in(self, text: str) -> set[str]:
        """Return the labels that stand in a text as whole words and are not denied."""
        places = [
            (label, found.span())
            for label, pattern in self._places
            for found in pattern.finditer(text)
            if label not in _WORDS_OF_ONE_LETTER or _stands_alone(text, found.start(), found.end())
        ]
        outer: list[tuple[str, int]] = []
        reach = (-1, -1)
        for label, (start, end) in sorted(places, key=lambda place: (place[1][0], -place[1][1])):
            if (
                end > reach[1] or (start, end) == reach
            ):  # inside no longer one that begins before it
                outer.append((label, start))
                reach = (start, end)
        return {
            label for label, start in outer if not _NOT.search(text[max(0, start - 30) : start])
        }

    def first_in(self, text: str) -> str | None:
        """Return the label that a text begins with before a mark; None where a second one follows, or begins another line."""
        starts = [self._beginning(line) for line in text.splitlines()]
        labels = [label for label in starts if label is not None]
        return labels[0] if starts and starts[0] is not None and len(labels) == 1 else None

    def _beginning(self, line: str) -> str | None:
        line = line.strip().lstrip(_MARKS)
        for label, pattern in self._places:
            found = pattern.match(line)
            if not found or _NUMERIC.fullmatch(label):
                continue
            mark = re.compile(
                r"[\"'”’`*_)\]]*\s*(?:[.,;:!]|[-–—]\s|(?=because\b|since\b))\s*(?=\w)"
            ).match(line, found.end())
            if mark and not any(other.match(line, mark.end()) for _, other in self._places):
                return label
        return None

    def rating_in(self, text: str) -> str | None:
        """Return the one rating that a text gives over the highest label; None where it gives none or several."""
        if self._scale is None:
            return None
        ratings = {found.group(1) for found in re.finditer(_over(self._scale[1]), text)}
        return ratings.pop() if len(ratings) == 1 and ratings <= set(self._labels) else None

    def without_scale(self, text: str) -> str:
        """Return a text with `4/5` as 4, and without `from 1 to 5`, where these are the ends of a scale."""
        if self._scale is None:
            return text
        low, high = self._scale
        ends = rf"(?<![\w.])(?:from\s+)?{low}\s*(?:to|-|–|—|and|\.\.)\s*{high}(?![\w.]*\d)"
        scale = rf"\(?\b(?:scale|range|between|out)\b[^\S\n]*(?:of\s+)?{ends}\)?|\(\s*{ends}\s*\)|\bfrom\s+{low}\s+to\s+{high}\b|\b{ends}\s+scale\b"
        return re.sub(_over(high), r"\1", re.sub(scale, " ", text, flags=re.IGNORECASE))


def _over(high: str) -> str:
    """Return what finds a rating over the highest label: `4/5`, `4 out of 5`, `4 stars out of 5`."""
    between = (
        r"(?:/|(?:stars?|points?)?\s*\(?(?:out of|of|von|sur)(?:\s+a\s+(?:possible|total\s+of))?)"
    )
    return rf"(?<![\w./])({_NUMERIC.pattern})[*_]*\s*{between}\s*{high}(?![\w/]|[.,]\d)"


def _pattern(label: str) -> str:
    """Return what finds a label as whole words: a number as a whole number, one letter in its own case."""
    words = re.escape(label)
    if _NUMERIC.fullmatch(label):
        return rf"(?<![\w+\-−–/])(?<!\d[.,:]){words}(?![\w/]|[.,:]\d|\s?%|\s?[-–—]\s?\d)"
    flags = "" if len(label) == 1 else "(?i:"
    return rf"(?<!\w){flags}{words}{')' if flags else ''}(?!\w)" + (
        "(?!['’]\\w)" if not flags else ""
    )


def _scale_of(labels: tuple[str, ...]) -> tuple[str, str] | None:
    """Return the lowest and the highest label, as patterns, where all are numbers."""
    if not all(_NUMERIC.fullmatch(label) for label in labels):
        return None
    low, *_, high = sorted(labels, key=float)
    return re.escape(low), re.escape(high)


def _stands_alone(text: str, start: int, end: int) -> bool:
    """Return whether a letter that is a word of English, too, stands there as a letter: `(A)`, `A.`, `option A`."""
    before, after = text[max(0, start - 12) : start], text[end : end + 12]
    if re.search(r"(?:option|choice|answer|letter|label|class|grade)\s+\Z", before, re.IGNORECASE):
        return True
    opened = re.search(r"(?:\A|[(\[*_\"'“‘`:=>\n]|\b(?:is|be|choose|pick|select))\s*\Z", before)
    closed = re.match(
        r"\s*(?:\Z|[)\].*_\"'”’`:;,!<\n]|\s?[-–—]\s|(?:is|because|since|seems)\b)", after
    )
    is_one_of_two = re.match(r"\s*(?:/|(?:or|and)\s+[A-Z]\b)", after)
    return bool(opened and closed) or is_one_of_two is not None
