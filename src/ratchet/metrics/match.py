"""Exact and normalised match of texts, and the accuracy of labels."""

import re
import string
import unicodedata

from ratchet.core import Example, FailureKind, Json, Score
from ratchet.metrics.metric import Aggregate, failure_sentence, metric_id

__all__ = ["ExactMatch", "LabelMatch", "NormalisedMatch", "normalised"]


def normalised(text: str) -> str:
    """Return text in lower case without punctuation, articles and extra spaces, much as SQuAD's evaluation does.

    A text that is nothing but these keeps them, so that "A" is not "the" and "?" is not "!".
    """
    lowered = unicodedata.normalize("NFKC", text).lower()
    plain = "".join(" " if mark in string.punctuation else mark for mark in lowered)
    bare = re.sub(r"\b(a|an|the)\b", " ", plain)
    return next((" ".join(t.split()) for t in (bare, plain, lowered) if t.strip()), "")


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
        self.id = metric_id("match", 1, {})

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
