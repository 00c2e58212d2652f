"""Matches of texts and labels, against values worked out by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratchet.core import Example, Json
from ratchet.metrics import ExactMatch, LabelMatch, NormalisedMatch
from ratchet.metrics.match import normalised


def example(reference: Json) -> Example:
    return Example(inputs={}, reference=reference)


@pytest.mark.parametrize(
    ("reference", "answer", "value"),
    [("Rom", " Rom\n", 1), ("Rom", "rom", 0), ("Rom", "Rom.", 0), (3, "3", 1), ("", " ", 1)],
)
def test_exact_is_to_the_letter(reference: Json, answer: Json, value: float) -> None:
    """Only white space around the answer is forgiven."""
    assert ExactMatch().score(example(reference), answer).value == value


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("The  Eiffel-Tower, in Paris!", "eiffeltower in paris"),
        ("an apple a day", "apple day"),
        ("Theatre", "theatre"),
        ("ﬁne", "fine"),
        ("ÄRGER", "ärger"),
        ("The", "the"),
        ("A.", "a"),
        (" ?! ", "?!"),
        ("", ""),
    ],
)
def test_normalised_texts(text: str, plain: str) -> None:
    """Case, punctuation, articles and spaces go, unless nothing else is left."""
    assert normalised(text) == plain


@given(st.text(max_size=20))
def test_case_articles_marks_and_spaces_never_matter_in_a_sentence(text: str) -> None:
    """Whatever a text holds, an article, a mark or a space around it changes nothing."""
    assert normalised(f"The {text} word!") == normalised(f"  {text}  WORD")


@pytest.mark.parametrize(
    ("reference", "answer", "value"),
    [
        ("The Beatles", "beatles.", 1),
        ("42", 42, 1),
        ("Paris", "Paris, France", 0),
        ("A", "the", 0),
        ("A", "a.", 1),
        ("?", "!", 0),
        ("A", "", 0),
    ],
)
def test_match_compares_normalised_texts(reference: Json, answer: Json, value: float) -> None:
    """Answers that differ in form alone match, those that differ in content do not."""
    assert NormalisedMatch().score(example(reference), answer).value == value


def test_feedback_says_what_was_expected() -> None:
    """A wrong text is told beside the right one."""
    score = ExactMatch().score(example("Rom"), "Bonn")

    assert score.feedback == "Expected 'Rom', got 'Bonn'."


def test_a_failed_text_says_what_was_expected() -> None:
    """A failed answer is told why it failed and what would have been right."""
    score = NormalisedMatch().failed(example("Rom"), "empty")

    assert score.feedback == "The reply is empty. Expected 'Rom'."


@pytest.mark.parametrize(("answer", "value"), [("spam", 1), ("ham", 0)])
def test_a_label_is_right_or_wrong(answer: str, value: float) -> None:
    """A label scores 1 or 0 and keeps what macro F1 needs."""
    metric = LabelMatch()

    score = metric.score(example("spam"), answer)

    assert (score.value, score.parts) == (value, {"expected": "spam", "predicted": answer})
    assert metric.aggregates == ("macro F1",)


def test_a_failed_label_is_none_of_the_labels() -> None:
    """A failed answer counts against its true label, and for no other."""
    score = LabelMatch().failed(example("spam"), "wrong form")

    assert score.parts == {"expected": "spam", "predicted": None}
    assert "Expected the label 'spam'." in score.feedback
