"""Matches of texts and labels, against values worked out by hand."""

import re
import string

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


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("-5", "5"),
        ("x<5", "x>5"),
        ("x >= 5", "x > 5"),
        ("a+b", "a-b"),
        ("a * b", "a + b"),
        ("a != b", "a = b"),
        ("vitamin A", "vitamin"),
        ("Vitamin A deficiency", "vitamin deficiency"),
        ("hepatitis A", "hepatitis B"),
        ("1/2", "1-2"),
        ("1-2", "12"),
        ("3.14", "314"),
        ("1,5", "15"),
        ("12:30", "1230"),
        ("C++", "C"),
        ("C#", "C"),
        ("10²", "102"),
        ("2^3", "23"),
        ("-$5", "$5"),
        ("SELECT a FROM t WHERE x < 5", "SELECT a FROM t WHERE x > 5"),
    ],
)
def test_a_mark_that_changes_the_sense_changes_the_text(a: str, b: str) -> None:
    """Signs, comparisons, operators and what stands between digits are no punctuation."""
    assert normalised(a) != normalised(b)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("It’s", "It's"),
        ("“yes”", "yes"),
        ("«Paris»", "Paris"),
        ("Tokyo。", "Tokyo"),
        ("48,982", "48982"),
        ("1,234,567", "1234567"),
        ("U.S.", "US"),
        ("J.K.", "JK"),
        ("−5", "-5"),
        ("1914–1918", "1914-1918"),
        ("½", "1/2"),
        ("x<5", "x < 5"),
        ("**Paris**", "paris"),
        ("yes—it is", "yes it is"),
        ("vitamin a", "Vitamin A"),
        ("Mu\u0308ller", "Müller"),
        ("(C++)", "C++."),
    ],
)
def test_a_mark_that_is_typography_alone_changes_nothing(a: str, b: str) -> None:
    """Quotation marks, end marks, dots of abbreviations and commas of large numbers are all one."""
    assert normalised(a) == normalised(b)


def squad_form(text: str) -> str:
    """Return a text as SQuAD's evaluation compares it (Rajpurkar et al. 2016): lower case, no ASCII marks, no articles, single spaces."""
    letters = "".join(mark for mark in text.lower() if mark not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", letters).split())


SQUAD_PAIRS = [
    ("Denver Broncos", "The Denver Broncos", True),
    ("well-known author", "well known author", False),
    ("well-known author", "wellknown author", True),
    ("J. K. Rowling", "JK Rowling", False),
    ("J.K. Rowling", "JK Rowling", True),
    ("O'Neil", "ONeil", True),
    ("$5 million", "5 million", True),
    ("Los Angeles, California", "Los Angeles California", True),
    ("December 22, 1973", "december 22 1973", True),
    ("AC/DC", "ACDC", True),
    ("1,500", "1500", True),
    ("48,982", "48982", True),
    ("the U.S. Army", "US Army", True),
    ("Act III: a story", "act iii story", True),
    ("no.", "No", True),
    ("yes", "no", False),
    ("20th century", "twentieth century", False),
    ("rock 'n' roll", "rock n roll", True),
    ("45%", "45", True),
    ("AT&T", "AT and T", False),
    ("Eiffel-Tower", "Eiffel Tower", False),
]


@pytest.mark.parametrize(("reference", "answer", "is_equal"), SQUAD_PAIRS)
def test_match_agrees_with_squads_evaluation(reference: str, answer: str, is_equal: bool) -> None:
    """On answers of SQuAD's kind `match` is SQuAD's exact match."""
    assert (squad_form(reference) == squad_form(answer)) is is_equal
    assert NormalisedMatch().score(example(reference), answer).value == is_equal


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
