"""Plain English sentences with things in them, out of the grammar in `sentences.txt`, roughened so that no two are alike."""

import re
from pathlib import Path
from random import Random

from nano.words import KINDS, made_up, some_words, word

__all__ = ["sentence"]

OPENERS = (
    "Hi, ", "Hello, ", "Please note: ", "By the way, ", "Well, ", "Sorry, ", "So ", "Also, ", "Note: ", "Urgent: ", "Update: ",
    "P.S. ", "Dear all, ", "As you know, ", "Good news: ", "One more thing: ", "First, ", "Then ", "Again, ", "FYI: ", "- ", "1. ",
)  # fmt: skip
CLOSERS = (" please", " thanks", ", thank you", " now", ", if you can", " as agreed", ", I think", " I hope", " at last", ", right", " soon")  # fmt: skip
CONNECTORS = (
    " and ",
    ", and ",
    ", but ",
    " because ",
    ", so ",
    " - ",
    "; ",
    " while ",
    ": ",
    ", as ",
    " when ",
)
SLOT = re.compile(r"\{(\w+)\}")
CHOICE = re.compile(r"\[([^\[\]]*)\]")


def slots(form: str) -> set[str]:
    return {kind_of(name) for name in SLOT.findall(form)} - {"w"}


def kind_of(slot: str) -> str:
    return "amount" if slot == "n" else slot.replace("_", " ")


LINES = Path(__file__).with_name("sentences.txt").read_text("utf-8").splitlines()
FORMS = [line for line in LINES if not line.startswith("#")]
OF_KIND = {kind: [form for form in FORMS if kind in slots(form)] for kind in KINDS}


def sentence(rng: Random, kind: str = "") -> tuple[str, list[tuple[str, str]]]:
    """Return a sentence and the things in it as (text, kind), in order; of a form that mentions `kind` where one is given."""
    if rng.random() < 0.2:
        return joined(rng, kind)
    form = rng.choice(OF_KIND.get(kind) or FORMS)
    text = CHOICE.sub(lambda found: rng.choice(found.group(1).split("|")), form)
    if kind and kind not in slots(text):
        return sentence(rng, kind)
    text = roughened(rng, re.sub(r"\s+(?=[ ,.!;?]|$)", "", text).strip())
    things: list[tuple[str, str]] = []

    def filled(found: re.Match[str]) -> str:
        if found.group(1) == "w":
            return word(rng)
        thing = kind_of(found.group(1))
        things.append((KINDS[thing](rng), thing))
        return things[-1][0]

    return SLOT.sub(filled, text), things


def joined(rng: Random, kind: str) -> tuple[str, list[tuple[str, str]]]:
    """Return two sentences as clauses of one; the things of both, in order."""
    (first, things), (second, more) = sentence(rng, kind), sentence(rng)
    if not more or not second.startswith(more[0][0]):
        second = second[:1].lower() + second[1:]
    return first.rstrip(".!?;") + rng.choice(CONNECTORS) + second, things + more


def roughened(rng: Random, text: str) -> str:
    """Return the form as a hurried writer would leave it: an opener, a closer, words changed, dropped or put in, small letters."""
    words = text.split(" ")
    for _ in range(rng.choice((0, 0, 0, 1, 1, 2))):
        place = rng.randrange(len(words))
        if "{" in words[place] or not words[place][-1].isalpha():
            continue
        words[place] = rng.choice(
            (word(rng), made_up(rng), f"{words[place]} {word(rng)}", words[place].title())
        )
    text = " ".join(words)
    if rng.random() < 0.15:
        text = rng.choice(OPENERS) + text
    if rng.random() < 0.08:
        text += rng.choice(CLOSERS)
    if rng.random() < 0.04:
        text += f" {some_words(rng, rng.randint(1, 4))}"
    if rng.random() < 0.1:
        text = re.sub(r"(^|\s)([A-Z])", lambda m: m.group(0).lower(), text)
    if text[-1] not in ".!?:,":
        text += rng.choice((".", ".", ".", ".", "!", "", ";", "..."))
    return text
