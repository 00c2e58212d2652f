"""Sentences of the practice grammar: what is in them is told in order, and none is one of the demo's."""

from pathlib import Path
from random import Random

import pytest
from nano.sentences import FORMS, OF_KIND, sentence

DEMO = Path(__file__).parents[2] / "examples" / "pii" / "forms.txt"


@pytest.mark.parametrize(
    "kind", ["person", "mail", "telephone", "card number", "host", "occupation", ""]
)
def test_things_stand_in_the_sentence_in_order(kind):
    """Each thing is found in the text behind the one before, and a sentence of a kind has one of it."""
    for seed in range(300):
        text, things = sentence(Random(seed), kind)
        place = 0
        for thing, _ in things:
            place = text.index(thing, place) + len(thing)
        assert not kind or kind in {found for _, found in things}
        assert "{" not in text
        assert "[" not in text


def test_there_are_forms_of_each_kind_and_none_of_the_demo():
    """The six kinds of the demo have ten forms and more each, and no form is one of the demo's sentences."""
    demo = set(DEMO.read_text("utf-8").splitlines())

    for kind in ("person", "mail", "telephone", "card number", "host", "occupation"):
        assert len(OF_KIND[kind]) >= 10
    assert not demo & set(FORMS)
