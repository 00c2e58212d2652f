"""What sets failures apart, in words."""

from hypothesis import given
from hypothesis import strategies as st

from ratchet.ladder.clusters import _stop_words, distinctive_words

INVOICES = [f"What should I know about the invoice number {n}? The invoices are late." for n in range(6)]  # fmt: skip
PARCELS = [f"Tell me about the parcel that never came, and about parcels, {n}." for n in range(9)]
WORDS = ["about", "would", "there", "nicht", "invoice", "parcel", "harbour"]


def test_the_words_are_those_of_the_subject() -> None:
    """What stands in these texts and not in the others, without the little words, a word and its plural once."""
    words = distinctive_words(INVOICES, [*INVOICES, *PARCELS]).split(", ")

    assert words[0] in ("invoice", "invoices")
    assert len([word for word in words if word.startswith("invoice")]) == 1
    assert not {"about", "should", "know", "what"} & set(words)


def test_where_all_fail_the_words_are_those_that_they_share() -> None:
    """Nothing sets all texts apart from all texts; still no little word is named."""
    words = distinctive_words(PARCELS, PARCELS).split(", ")

    assert {"parcel"} <= {word.rstrip("s") for word in words}
    assert not {"about", "tell", "that", "never"} & set(words)


def test_texts_that_share_no_word_have_none() -> None:
    """No word is made up, nor one named that stands in a single text."""
    assert distinctive_words(["harbour light", "golden meadow"], ["anything else"]) == ""
    assert distinctive_words(["12", "über 34"], ["12"]) == ""


@given(st.lists(st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join), min_size=2, max_size=8))
def test_no_stop_word_is_ever_named(texts: list[str]) -> None:
    """Whatever the texts, and in whatever case, at most three words that each stand in two of them."""
    named = [word for word in distinctive_words([t.title() for t in texts], texts).split(", ") if word]  # fmt: skip

    assert len(named) <= 3
    assert not set(named) & _stop_words()
    assert all(sum(word in text.split() for text in texts) >= 2 for word in named)
