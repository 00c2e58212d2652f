"""The messages of the demo."""

from pathlib import Path
from random import Random

from examples.pii.messages import load_forms, message

FORMS = Path(__file__).parents[2] / "examples" / "pii" / "forms.txt"


def test_there_are_enough_forms():
    """The grammar has at least 150 sentence forms in 40 groups, no form twice."""
    groups = load_forms(FORMS)

    assert len(groups) >= 40
    assert len({form for group in groups for form in group}) == sum(map(len, groups)) >= 150


def test_every_datum_stands_in_its_message_once_listed():
    """Personal data are listed as they stand in the message, in order, each once; nothing is left unfilled."""
    rng = Random(5)
    groups = load_forms(FORMS)
    for _ in range(500):
        text, found = message(rng, rng.choice(groups))

        places = [text.index(item["string"]) for item in found]
        assert "{" not in text
        assert "[" not in text
        assert len({(i["string"], i["pii_type"]) for i in found}) == len(found)
        assert places == sorted(places)
