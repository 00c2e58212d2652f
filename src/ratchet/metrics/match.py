"""Exact and normalised match of texts, and the accuracy of labels."""

import re
import unicodedata

from ratchet.core import Example, FailureKind, Json, Score
from ratchet.metrics.metric import Aggregate, failure_sentence, metric_id

__all__ = ["ExactMatch", "LabelMatch", "NormalisedMatch", "normalised"]

_ONE_SIGN = re.compile(r"(?<=\d)(?=[¼-¾⅐-⅞])")
_SUPERSCRIPT = re.compile(r"(?<=[\d)])([⁺⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+)")
_SUPERSCRIPT_DIGITS = str.maketrans("⁺⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "+-0123456789")
_DASHES = str.maketrans(dict.fromkeys("\u2010\u2011\u2012\u2013\u2212\ufe63\uff0d", "-"))
_GROUPED = re.compile(r"(?<![\d.,])([1-9]\d{0,2}(?:,\d{3})+)(?!\d|,\d)")
_MEANT = re.compile(
    r"""
      (?<=\d)[.,:/\-](?=\d)                 # 3.14, 12:30, 1/2, 1-2
    | (?<![\w\-])[.](?=\d)                  # .5
    | (?<![\w)\]])-(?=[.$€£]?\d)            # -5
    | (?<=\w)[*^](?=[\w(\-])                # a*b, 2^3
    | (?<=\w)\+(?=[\w(])                    # a+b
    | \+(?=\s+[\w(\-])                      # a + b
    | (?<=[^\W\d_])(?:\+\+?|\#)(?![\w+\#])  # C++, A+, F#
    | (?<=[^\W\d_]\+)\+                     # the second + of C++
    | [<>=](?=[=]?\s*[\w\-.(+])             # x<5, x >= 5
    | =(?=[<>=])|!(?==)
    """,
    re.VERBOSE,
)
_TAG = re.compile(r"</?[a-z][\w-]*\s*/?>")
_ARTICLE = re.compile(r"\b(?:(?:an|the)\b(?=\s+\S)|a\b(?=\s+[^\s+*^<>=]))")
_SPACED_OPERATOR = re.compile(r" ?([<>=!+*^]+) ?(?=\S)")
_LETTERED = re.compile(
    r"\b(?:vitamin|hepatitis|influenza|type|group|class|grade|plan|option|team|series|model|schedule|appendix|point|section|part|"
    r"figure|exhibit|level|tier|unit|building|gate|platform|annex|block|hall|terminal|list|category|column|vector|set|variant|"
    r"version|answer|choice|side|phase|form|protein|spectrum|string|note)\s+\Z"
)


def normalised(text: str) -> str:
    """Return text in lower case without punctuation, articles and extra spaces, as SQuAD's evaluation does, where that keeps its sense.

    Marks are deleted (U.S. is us, It’s is its), of any script and typography; an em dash parts words. Kept are marks that carry
    meaning: the sign and the decimal mark of a number, what stands between digits (1/2, 1-2, 12:30), comparisons and operators (x<5,
    a+b), C++ and C#. Commas that group digits go. An article is a word before another one, and no letter of a class (vitamin A).
    A text that is nothing but marks and articles keeps them, so that "A" is not "the" and "?" is not "!".
    """
    plain = _ONE_SIGN.sub(" ", text)
    plain = _SUPERSCRIPT.sub(lambda found: "^" + found[1].translate(_SUPERSCRIPT_DIGITS), plain)
    plain = plain.translate(_DASHES).replace("´", "'").replace("—", " ").replace("―", " ")
    lowered = unicodedata.normalize("NFKC", plain).lower().translate(_DASHES).replace("\u2044", "/")
    grouped = _GROUPED.sub(lambda found: found[1].replace(",", ""), lowered)
    marked = _without_marks(grouped)
    bare = _ARTICLE.sub(lambda found: _article(marked, found), marked)
    for form in (bare, marked):
        if form.strip():
            return _SPACED_OPERATOR.sub(r"\1", " ".join(form.split()))
    return " ".join(lowered.split())


def _article(text: str, found: re.Match[str]) -> str:
    """Return what stands for an article: nothing, or itself where it is the letter of a class."""
    is_letter = found[0] == "a" and _LETTERED.search(
        text[max(0, found.start() - 20) : found.start()]
    )
    return found[0] if is_letter else " "


def _without_marks(text: str) -> str:
    """Return text without the marks that carry no meaning."""
    kept = {place for found in _MEANT.finditer(text) for place in range(*found.span())}
    for tag in _TAG.finditer(text):
        kept -= set(range(*tag.span()))
    return "".join(
        character
        for place, character in enumerate(text)
        if place in kept or not _is_mark(character)
    )


def _is_mark(character: str) -> bool:
    """Return whether a character is punctuation, in any script; of symbols those of ASCII are."""
    if character.isascii():
        return not character.isalnum() and not character.isspace() and character.isprintable()
    return unicodedata.category(character).startswith("P")


class ExactMatch:
    """1 where the answer is the reference to the letter, surrounding white space aside."""

    aggregates: tuple[Aggregate, ...] = ()

    def __init__(self) -> None:
        self.id = metric_id("exact", 1, {})

    def score(self, example: Example, answer: Json) -> Score:
        """Compare answer and reference."""
        return self._scored(str(answer).strip(), str(example.reference).strip())

    def _scored(self, answer: str, expected: str) -> Score:
        if answer == expected:
            return Score(value=1.0, feedback="Right.")
        return Score(value=0.0, feedback=f"Expected {expected[:200]!r}, got {answer[:200]!r}.")

    def failed(self, example: Example, failure: FailureKind) -> Score:
        """Score 0."""
        return Score(
            value=0.0,
            feedback=f"{failure_sentence(failure)} Expected {str(example.reference)[:200]!r}.",
        )


class NormalisedMatch(ExactMatch):
    """1 where answer and reference are the same after `normalised`."""

    def __init__(self) -> None:
        super().__init__()
        self.id = metric_id("match", 2, {})

    def score(self, example: Example, answer: Json) -> Score:
        """Compare the normalised texts."""
        return self._scored(normalised(str(answer)), normalised(str(example.reference)))


class LabelMatch:
    """1 where the label is the reference; macro-F1 over the split comes with it."""

    aggregates: tuple[Aggregate, ...] = ("macro F1",)

    def __init__(self) -> None:
        self.id = metric_id("label", 1, {})

    def score(self, example: Example, answer: Json) -> Score:
        """Compare the labels."""
        right = answer == example.reference
        feedback = (
            "Right." if right else f"Expected the label {example.reference!r}, got {answer!r}."
        )
        return Score(
            value=float(right),
            parts={"expected": example.reference, "predicted": answer},
            feedback=feedback,
        )

    def failed(self, example: Example, failure: FailureKind) -> Score:
        """Score 0, as a label that is none."""
        parts = {"expected": example.reference, "predicted": None}
        return Score(
            value=0.0,
            parts=parts,
            feedback=f"{failure_sentence(failure)} Expected the label {example.reference!r}.",
        )
