"""Prompts as other programs take them."""

import json

import pytest

import ratchet
from ratchet.core.errors import CandidateError
from ratchet.exchange import written_prompt

TASK = ratchet.Task(
    name="t",
    instructions="Pick. {{labels}}",
    inputs=(ratchet.InputField(name="text"),),
    answer=ratchet.AnswerForm(kind="label", labels=("a", "b")),
    metric=ratchet.MetricSpec(name="label"),
    models=ratchet.Roles(student="m"),
)
CANDIDATE = ratchet.Candidate(
    model="m",
    system='{{instructions}} As {"x": 1}.',
    user="Text: {{text}}",
    demonstrations=(ratchet.Demonstration(inputs={"text": "one"}, answer="a"),),
)


def test_openai_messages_keep_their_fields():
    """The body of a chat request, everything but the inputs filled in."""
    name, text = written_prompt("openai", TASK, CANDIDATE)
    body = json.loads(text)

    assert name == "openai.json"
    assert [m["content"] for m in body["messages"]] == [
        'Pick. ["a", "b"] As {"x": 1}.',
        "Text: one",
        "a",
        "Text: {{text}}",
    ]
    assert body["model"] == "m"
    assert not {"temperature", "top_p", "max_tokens"} & set(body)  # nothing that is not named


def test_langchain_pairs_format_to_the_same_messages():
    """Read as LangChain does, by str.format, they are the messages that are sent."""
    pairs = json.loads(written_prompt("langchain", TASK, CANDIDATE)[1])

    assert [role for role, _ in pairs] == ["system", "human", "ai", "human"]
    assert pairs[0][1].format(text="x") == 'Pick. ["a", "b"] As {"x": 1}.'
    assert pairs[3][1].format(text="{new}") == "Text: {new}"


def test_plain_text_is_for_people():
    """Role by role; a tool call as a call."""
    assert written_prompt("text", TASK, CANDIDATE)[1].endswith(
        "[assistant]\na\n\n[user]\nText: {{text}}\n"
    )
    tool = TASK.model_copy(
        update={
            "answer": ratchet.AnswerForm(kind="tool", tool="pick", json_schema={"type": "object"})
        }
    )
    shown = CANDIDATE.changed(demonstrations=[{"inputs": {"text": "one"}, "answer": {"l": "a"}}])
    assert 'pick({"l":"a"})' in written_prompt("text", tool, shown)[1]
    with pytest.raises(CandidateError, match="export --to openai"):
        written_prompt("langchain", tool, shown)


def test_what_no_fixed_prompt_can_say_is_refused():
    """A block about an input, and demonstrations that follow it."""
    with pytest.raises(CandidateError, match=r"a block .* about the input 'text'"):
        written_prompt("openai", TASK, CANDIDATE.changed(user="{{#if text}}{{text}}{{/if}}"))
    with pytest.raises(CandidateError, match="chooses its demonstrations"):
        written_prompt("text", TASK, CANDIDATE.changed(nearest={"count": 1}))
