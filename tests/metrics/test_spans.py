"""Spans by their best one-to-one matching, against values worked out by hand and the slow definition."""

from collections import Counter
from difflib import SequenceMatcher
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratchet.core import Example, Json, Score
from ratchet.core.errors import MetricError
from ratchet.metrics import SpanMatch

Span = tuple[str, str]
NAMES = st.sampled_from(["NAME", "CITY", "IBAN"])
SPANS = st.lists(st.tuples(st.text("ab ", min_size=1, max_size=5), NAMES), max_size=4)
LETTERS = st.lists(st.tuples(st.sampled_from("abcd"), NAMES), max_size=5)
NEAR = [["NAME", "CITY"]]


def body(spans: list[Span]) -> Json:
    return {"fields": [{"string": text, "pii_type": label} for text, label in spans]}


def scored(true: list[Span], found: list[Span], **options: Json) -> Score:
    return SpanMatch(**options).score(Example(inputs={}, reference=body(true)), body(found))


def credit(true: Span, found: Span) -> float:
    """Return what a pair earns, by the definition in the docstring."""
    weight = 1.0 if true[1] == found[1] else 0.5 if {true[1], found[1]} == set(NEAR[0]) else 0.0
    similarity = SequenceMatcher(None, true[0], found[0], autojunk=False).ratio()
    return weight * similarity if similarity >= 0.5 else 0.0


def best(true: list[Span], found: list[Span]) -> float:
    """Return the credit of the best matching by trying all of them."""
    if len(true) <= len(found):
        ways = permutations(found, len(true))
        return max(sum(map(credit, true, way)) for way in ways)
    return max(sum(map(credit, way, found)) for way in permutations(true, len(found)))


ZOE, ROM, IBAN = ("Zoe", "NAME"), ("Rom", "CITY"), ("DE12", "IBAN")


@pytest.mark.parametrize(
    ("true", "found", "value", "exact"),
    [
        ([ZOE, ROM], [ZOE, ROM], 1, 2),
        ([ZOE, ROM], [ROM, ZOE], 1, 2),
        ([], [], 1, 0),
        ([ZOE], [], 0, 0),
        ([], [ZOE], 0, 0),
        ([ZOE, ROM], [ZOE], 2 / 3, 1),
        ([ZOE], [ZOE, ROM, IBAN], 1 / 2, 1),
        ([ZOE], [("Zoe", "IBAN")], 0, 0),
        ([ZOE], [("Zoe", "CITY")], 1 / 2, 0),
        ([("abcd", "NAME")], [("abc", "NAME")], 6 / 7, 0),
        ([("abcd", "NAME")], [("abc", "CITY")], 3 / 7, 0),
        ([("abcd", "NAME")], [("ax", "NAME")], 0, 0),
        ([ZOE], [ZOE, ZOE], 2 / 3, 1),
        ([ZOE, ZOE], [ZOE, ZOE], 1, 2),
    ],
)
def test_spans_score_by_dice_over_credits(
    true: list[Span], found: list[Span], value: float, exact: int
) -> None:
    """Missed, invented, inexact and near spans cost what the definition says."""
    score = scored(true, found, near=NEAR)

    assert score.value == pytest.approx(value)
    assert score.parts == {"true": len(true), "found": len(found), "exact": exact}


@given(SPANS, SPANS)
def test_the_matching_is_the_best_one(true: list[Span], found: list[Span]) -> None:
    """The score is that of the best of all matchings, tried one by one."""
    expected = 2 * best(true, found) / (len(true) + len(found)) if true or found else 1.0

    assert scored(true, found, near=NEAR).value == pytest.approx(expected)


@given(SPANS, SPANS, st.randoms(use_true_random=False))
def test_the_order_of_spans_makes_no_difference(
    true: list[Span], found: list[Span], random
) -> None:
    """Spans may come in any order."""
    mixed = random.sample(true, len(true)), random.sample(found, len(found))

    assert scored(*mixed, near=NEAR).value == pytest.approx(scored(true, found, near=NEAR).value)


@given(LETTERS, LETTERS)
def test_texts_that_are_the_same_or_nothing_alike_score_symmetrically(
    true: list[Span], found: list[Span]
) -> None:
    """Missing a span costs as much as inventing one."""
    there, back = scored(true, found), scored(found, true)

    assert there.value == pytest.approx(back.value)
    assert there.parts["exact"] == back.parts["exact"]


@given(LETTERS.filter(bool), st.integers(0, 4))
def test_an_invented_span_costs(true: list[Span], place: int) -> None:
    """A right answer with one span more is no longer fully right."""
    found = [*true[:place], ("zzzzzz", "IBAN"), *true[place:]]

    assert scored(true, found).value == pytest.approx(2 * len(true) / (2 * len(true) + 1))


def test_feedback_says_what_was_missed_invented_and_mistaken() -> None:
    """A wrong answer is told span by span."""
    score = scored([ZOE, ROM], [("Zoe", "CITY"), IBAN], near=NEAR)

    assert score.feedback == (
        "Missed 'Rom' (CITY); invented 'DE12' (IBAN); took 'Zoe' (CITY) for 'Zoe' (NAME)."
    )


def test_a_failed_answer_missed_everything() -> None:
    """A failed answer counts all true spans as missed in micro F1."""
    metric = SpanMatch()

    score = metric.failed(Example(inputs={}, reference=body([ZOE, ROM])), "empty")

    assert score.parts == {"true": 2, "found": 0, "exact": 0}
    assert metric.aggregates == ("micro F1",)


def test_the_names_of_properties_are_options() -> None:
    """Lists, texts and classes are found under the names that the task gives; a bare list is taken too."""
    metric = SpanMatch(list="NER", text="entity", label="label")
    reference = {"NER": [{"entity": "Zoe", "label": "NAME"}]}

    score = metric.score(Example(inputs={}, reference=reference), reference["NER"])

    assert score.value == 1


@pytest.mark.parametrize("answer", [{"spans": []}, {"fields": "x"}, "x", None])
def test_an_answer_without_the_list_is_an_error(answer: Json) -> None:
    """A metric that does not fit the task is an error with the remedy, never a zero score."""
    metric = SpanMatch()

    with pytest.raises(MetricError, match=r"expected a list under 'fields'.*metric\.options\.list"):
        metric.score(Example(inputs={}, reference=body([])), answer)


def test_the_order_of_near_classes_is_not_part_of_the_id() -> None:
    """Options that mean the same have the same id, others another."""
    one, same, other = (
        SpanMatch(near=near).id for near in ([["A", "B"]], [["B", "A"]], [["A", "C"]])
    )

    assert one == same
    assert one != other


def placed(*spans: tuple[str, str, int]) -> Json:
    """Return a body of spans with offsets, from text, class and start."""
    return {
        "fields": [
            {"string": text, "pii_type": label, "start": start, "end": start + len(text)}
            for text, label, start in spans
        ]
    }


def test_offsets_decide_where_both_sides_have_them() -> None:
    """The same name at another place is another span; without offsets on one side the text decides."""
    reference = placed(("Ann", "NAME", 0), ("Ann", "NAME", 40))
    example = Example(inputs={}, reference=reference)

    right = SpanMatch().score(example, reference)
    twice = SpanMatch().score(example, placed(("Ann", "NAME", 0), ("Ann", "NAME", 20)))
    unplaced = SpanMatch().score(example, body([("Ann", "NAME"), ("Ann", "NAME")]))

    assert (right.value, right.parts["exact"]) == (1, 2)
    assert (twice.value, twice.parts["exact"]) == (pytest.approx(1 / 2), 1)
    assert (unplaced.value, unplaced.parts["exact"]) == (1, 2)


def test_spans_that_overlap_earn_their_common_part() -> None:
    """Dice over the characters that both cover: eight of ten and eight."""
    example = Example(inputs={}, reference=placed(("abcdefghij", "NAME", 10)))

    near = SpanMatch().score(example, placed(("abcdefgh", "NAME", 10)))
    far = SpanMatch().score(example, placed(("jklmnopqrs", "NAME", 19)))

    assert near.value == pytest.approx(16 / 18)
    assert far.value == 0
    assert near.parts["exact"] == 0


def test_exact_pairs_come_first_in_the_counts() -> None:
    """A matching of more partial credit does not hide that a span was found to the letter."""
    score = scored([("ab", "NAME"), ("abyyy", "NAME")], [("ab", "NAME"), ("xxxab", "NAME")])

    assert score.parts == {"true": 2, "found": 2, "exact": 1}


@given(SPANS, SPANS)
def test_the_exact_pairs_are_as_many_as_there_can_be(true: list[Span], found: list[Span]) -> None:
    """Without offsets they are the common spans of the two lists, repeats counted."""
    common = sum((Counter(true) & Counter(found)).values())

    assert scored(true, found, near=NEAR).parts["exact"] == common


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"text": "strin"}, r"has no 'strin'.*set metric\.options\.text\. Did you mean 'string'\?"),
        ({"label": "type"}, r"has no 'type'.*set metric\.options\.label"),
    ],
)
def test_a_name_that_the_references_lack_is_an_error(options, message: str) -> None:
    """All texts would be empty, and any answer right."""
    example = Example(inputs={}, reference=body([ZOE]))
    with pytest.raises(MetricError, match=message):
        SpanMatch(**options).score(example, body([ROM]))
    with pytest.raises(MetricError, match=message):
        SpanMatch(**options).failed(example, "empty")
