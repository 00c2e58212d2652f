"""What the small model practised: every answer follows from its prompt, and what is held out stays out."""

import json
from random import Random

import pytest
from nano.abilities import ABILITIES, HELD_OUT_KEYS, draw


def asked(chat):
    """Return everything that stands before the answer, as one text."""
    return json.dumps([chat.messages[:-1], chat.tools], ensure_ascii=False)


def answered(chat):
    """Return the answer as one text."""
    call = chat.answer.get("tool_calls")
    return call[0]["function"]["arguments"] if call else chat.answer["content"]


def test_shares_sum_to_one():
    """The mixture's shares sum to one, and at least 30 % of its chats may show demonstrations."""
    shares = {name: share for name, (_, share) in ABILITIES.items()}

    assert sum(shares.values()) == pytest.approx(1)
    assert shares["labels"] + shares["demos"] + shares["extract"] >= 0.3


@pytest.mark.parametrize("name", ABILITIES)
def test_one_seed_one_chat(name):
    """The same seed writes the same chat, and a chat ends with the assistant's answer."""
    make = ABILITIES[name][0]

    for seed in range(50):
        first, second = make(Random(seed)), make(Random(seed))
        assert first == second
        assert first.answer["role"] == "assistant"


def test_held_out_names_are_never_practised():
    """No key of an answer and no tool in 3,000 chats has a name that the tests of schemas use."""
    rng = Random(1)
    for _ in range(3000):
        chat = draw(rng)
        for definition in chat.tools:
            names = {
                definition["function"]["name"],
                *definition["function"]["parameters"]["properties"],
            }
            assert not names & HELD_OUT_KEYS
        assert "pii_type" not in asked(chat) + answered(chat)


@pytest.mark.parametrize("name", ["copy", "lookup", "tool"])
def test_answers_stand_in_the_prompt(name):
    """What is copied, looked up or handed to a tool stands in the prompt, letter by letter."""
    make = ABILITIES[name][0]
    for seed in range(200):
        chat = make(Random(seed))
        text = "\n".join(m["content"] for m in chat.messages[:-1])
        values = json.loads(answered(chat)).values() if chat.tools else [answered(chat)]
        for value in values:
            parts = value if isinstance(value, list) else [value]
            assert all(isinstance(p, bool) or str(p) in text or p == "none" for p in parts)


def test_extracted_things_stand_in_the_message():
    """Each thing that is to be found stands in the last message, and its label among the listed ones."""
    make = ABILITIES["extract"][0]
    for seed in range(300):
        chat = make(Random(seed))
        found = json.loads(answered(chat))
        items = next(iter(found.values())) if isinstance(found, dict) else found
        for item in items:
            text = item if isinstance(item, str) else next(iter(item.values()))
            assert text in chat.messages[-2]["content"]
