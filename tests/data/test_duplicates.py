"""Near-duplicates are exact: the filter finds what comparing all pairs finds, and no more."""

from fractions import Fraction
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratchet.data import near_duplicates, word_grams
from ratchet.data.duplicates import groups_of

WORDS = st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=9)
THRESHOLDS = st.sampled_from([Fraction(1, 2), Fraction(3, 4), Fraction(4, 5), Fraction(1)])


def similarity(a: str, b: str) -> Fraction:
    first, second = word_grams(a), word_grams(b)
    return Fraction(len(first & second), len(first | second))


@given(st.lists(WORDS.map(" ".join), max_size=12), THRESHOLDS)
def test_the_filter_finds_what_all_pairs_give(texts: list[str], threshold: Fraction) -> None:
    """The pairs found are those that the slow definition gives, each once, smaller index first."""
    slow = [
        (i, j)
        for i, j in combinations(range(len(texts)), 2)
        if similarity(texts[i], texts[j]) >= threshold
    ]

    found = list(near_duplicates(texts, float(threshold)))

    assert sorted(found) == slow


@given(st.lists(st.sampled_from("abcdefghij"), min_size=12, max_size=40), st.integers(0, 39))
def test_one_word_more_in_a_long_text_is_found(words: list[str], place: int) -> None:
    """A text and the same text with one word put in are near-duplicates just where their similarity says so."""
    texts = [" ".join(words), " ".join([*words[:place], "new", *words[place:]])]

    found = list(near_duplicates(texts))

    assert found == ([(0, 1)] if similarity(*texts) >= Fraction(4, 5) else [])


@pytest.mark.parametrize(
    ("text", "grams"),
    [
        ("One two, three FOUR!", {"one two three", "two three four"}),
        ("one two three", {"one two three"}),
        ("Hi", {"hi"}),
        ("", {""}),
        ("Zoë grüßt 3 Leute", {"zoë grüßt 3", "grüßt 3 leute"}),
    ],
)
def test_grams_are_runs_of_words(text: str, grams: set[str]) -> None:
    """Case and punctuation make no difference; a short text is one run."""
    assert word_grams(text) == grams


def test_case_and_punctuation_make_no_difference() -> None:
    """Two texts that differ in case and marks alone are duplicates even at a threshold of 1."""
    texts = ["I lost my card, please help me!", "i lost my card please help me", "Something else"]

    assert list(near_duplicates(texts, 1.0)) == [(0, 1)]


def test_groups_follow_chains() -> None:
    """Items that are linked by any chain are one group, named by its smallest item."""
    groups = groups_of(6, iter([(1, 2), (4, 5), (2, 4)]))

    assert groups == [0, 1, 1, 3, 1, 1]


@given(st.lists(st.tuples(st.integers(0, 14), st.integers(0, 14)), max_size=20))
def test_groups_are_connected_components(pairs: list[tuple[int, int]]) -> None:
    """Two items have one name just where a walk along the pairs leads from one to the other."""
    reached = {item: {item} for item in range(15)}
    for _ in range(15):
        for a, b in pairs:
            both = reached[a] | reached[b]
            for item in both:
                reached[item] = reached[item] | both

    groups = groups_of(15, iter(pairs))

    assert groups == [min(reached[item]) for item in range(15)]
