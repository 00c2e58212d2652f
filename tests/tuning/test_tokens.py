"""Training rows over the chat templates that TRL ships: what is taught is what serving would want to follow its own prompt."""

import pytest
from tests.models.templates import TEMPLATES, called, tokenizer_of

from ratchet.core.errors import TuningError
from ratchet.models import NANO, ChatRequest
from ratchet.models.engine import prompt_of
from ratchet.tuning import Conversation, Preference, conversation_rows
from ratchet.tuning.tokens import IGNORED
from ratchet.tuning.training import preference_rows

TOOL = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Adds.",
        "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
    },
}
USER = {"role": "user", "content": "One plus one?"}


def said(text, **more):
    return {"role": "assistant", "content": text, **more}


def taught_in(tokenizer, row):
    """Return the texts that a row teaches, each with the text before it."""
    ids, labels = row["input_ids"], row["labels"]
    assert len(ids) == len(labels) == row["length"]
    assert all(label in (IGNORED, token) for token, label in zip(ids, labels, strict=True))
    starts = [n for n in range(1, len(ids)) if labels[n] != IGNORED and labels[n - 1] == IGNORED]
    found = []
    for start in starts:
        end = next((n for n in range(start, len(ids)) if labels[n] == IGNORED), len(ids))
        found.append((tokenizer.decode(ids[:start]), tokenizer.decode(ids[start:end])))
    return found


def prompt(tokenizer, messages, tools=()):
    return prompt_of(tokenizer, ChatRequest(messages=messages, tools=list(tools) or None))


@pytest.mark.parametrize("template", TEMPLATES)
def test_an_answer_is_taught_after_the_prompt_that_serving_sends(template):
    """The row is the served prompt, which is not taught, and the answer with an end."""
    tokenizer = tokenizer_of(template)

    (row,) = conversation_rows(Conversation((USER, said("Two."))), tokenizer)

    ((before, answer),) = taught_in(tokenizer, row)
    assert before == prompt(tokenizer, [USER])
    assert "Two." in answer
    assert answer.rstrip()[-4:] != "Two."


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_call_is_taught_after_the_prompt_that_serving_sends(template):
    """So is a call of a tool, after demonstrations with calls and empty results, as a task of kind `tool` shows them."""
    tokenizer = tokenizer_of(template)
    shown = {**called("add", {"a": 1}, 7), "weight": 0}
    result = {"role": "tool", "tool_call_id": "call_7", "content": ""}
    messages = (USER, shown, result, USER)

    rows = conversation_rows(Conversation((*messages, called("add", {"a": 2})), (TOOL,)), tokenizer)

    ((before, answer),) = [pair for row in rows for pair in taught_in(tokenizer, row)]
    asked = [USER, called("add", {"a": 1}, 7), result, USER]
    assert before == prompt(tokenizer, asked, [TOOL])
    assert "add" in answer
    assert "2" in answer


@pytest.mark.parametrize("template", TEMPLATES)
def test_each_turn_of_a_conversation_is_taught_once(template):
    """In one row where the template writes earlier turns as it writes the last one, else in a row each; context is never taught."""
    tokenizer = tokenizer_of(template)
    messages = (USER, said("Two."), USER, said("Again.", weight=0), USER, said("Still two."))

    rows = conversation_rows(Conversation(messages), tokenizer)

    pairs = [pair for row in rows for pair in taught_in(tokenizer, row)]
    assert len(pairs) == 2
    plain = [{"role": m["role"], "content": m["content"]} for m in messages]
    for place, (before, answer), words in zip((1, 5), pairs, ("Two.", "Still two."), strict=True):
        assert before == prompt(tokenizer, plain[:place])
        assert words in answer
        assert "Again." not in answer


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_call_its_result_and_the_answer_are_taught(template):
    """A conversation that goes on after a tool's result teaches the call and the answer."""
    tokenizer = tokenizer_of(template)
    result = {"role": "tool", "tool_call_id": "call_0", "content": "2"}
    messages = (USER, called("add", {"a": 1}), result, said("It is two."))

    rows = conversation_rows(Conversation(messages, (TOOL,)), tokenizer)

    pairs = [pair for row in rows for pair in taught_in(tokenizer, row)]
    assert len(pairs) == 2
    assert "add" in pairs[0][1]
    assert "It is two." in pairs[1][1]
    for place, (before, _) in zip((1, 3), pairs, strict=True):
        assert before == prompt(tokenizer, list(messages[:place]), [TOOL])


@pytest.mark.parametrize("template", TEMPLATES)
def test_both_answers_of_a_pair_follow_one_prompt(template):
    """A pair of answers is the served prompt, and what is said after it better and worse."""
    tokenizer = tokenizer_of(template)
    pair = Preference(Conversation((USER,)), (said("Two."),), (said("Three."),))

    ((row,), left_out) = preference_rows([pair], tokenizer, longest=10_000)

    assert left_out == 0
    assert tokenizer.decode(row["prompt_ids"]) == prompt(tokenizer, [USER])
    assert "Two." in tokenizer.decode(row["chosen_ids"])
    assert "Three." in tokenizer.decode(row["rejected_ids"])


def test_a_template_that_refuses_is_a_sentence():
    """The template's own words are in the message, and no traceback."""
    tokenizer = tokenizer_of("gemma")
    messages = (USER, USER, said("Two."))

    with pytest.raises(TuningError, match=r"user, user.*roles must alternate"):
        conversation_rows(Conversation(messages), tokenizer)


def test_a_template_that_leaves_the_answer_out_is_refused():
    """Nothing can be taught of a turn that is not written."""
    tokenizer = tokenizer_of(
        "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}"
    )

    with pytest.raises(TuningError, match="leaves the answer out"):
        conversation_rows(Conversation((USER, said("Two."))), tokenizer)


@pytest.mark.local
def test_nano_is_taught_as_ever():
    """One row for all turns; calls in the compact form, whose marks are tokens."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(NANO)
    messages = (USER, said("Two."), USER, called("add", {"a": 1}))

    (row,) = conversation_rows(Conversation(messages, (TOOL,)), tokenizer)

    assert tokenizer.decode(row["input_ids"]) == (
        "<|bos|><|system|>Tool add(a: integer)<|end|><|user|>One plus one?<|end|><|assistant|>Two.<|end|>"
        '<|user|>One plus one?<|end|><|assistant|><tool_call>{"name":"add","arguments":{"a":1}}</tool_call><|end|>'
    )
    assert [answer for _, answer in taught_in(tokenizer, row)] == [
        "Two.<|end|>",
        '<tool_call>{"name":"add","arguments":{"a":1}}</tool_call><|end|>',
    ]
