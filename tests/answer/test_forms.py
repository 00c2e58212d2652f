"""A reply is read as an answer in the task's form, or as a failure of a known kind; it never raises."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratchet.answer import parse_answer
from ratchet.core import Json, Task
from ratchet.models.chat import ChatReply, ToolCall

SCHEMA: dict[str, Json] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "n": {"type": "number", "multipleOf": 0.5}},
    "required": ["city"],
}
ANSWERS: dict[str, dict[str, Json]] = {
    "text": {"kind": "text"},
    "label": {"kind": "label", "labels": ["spam", "ham", "Very good", "U.S.", "C++"]},
    "number": {"kind": "number"},
    "json": {"kind": "json", "json_schema": SCHEMA},
    "tool": {"kind": "tool", "tool": "look_up", "json_schema": SCHEMA},
}
KINDS = {"unparsable", "wrong form", "cut off", "empty", "refused"}


def task(kind: str, **answer: Json) -> Task:
    return Task.model_validate(
        {
            "name": "t",
            "instructions": "Do.",
            "inputs": [{"name": "text"}],
            "answer": {**ANSWERS[kind], **answer},
            "metric": {"name": "match"},
            "models": {"student": "local:nano"},
        }
    )


def called(arguments: str, name: str = "look_up") -> ChatReply:
    return ChatReply(tool_calls=(ToolCall(name=name, arguments=arguments),))


@pytest.mark.parametrize(
    ("kind", "text", "answer"),
    [
        ("text", "  hello\nthere ", "hello\nthere"),
        ("label", "spam", "spam"),
        ("label", "SPAM", "spam"),
        ("label", ' **"spam"**. ', "spam"),
        ("label", "very GOOD", "Very good"),
        ("label", "I would say: ham.", "ham"),
        ("label", "U.S.", "U.S."),
        ("label", "It is C++, I think", "C++"),
        ("number", "42", 42.0),
        ("number", "It costs $1,234.50", 1234.5),
        ("number", "First 3, then 4. #### 7", 7.0),
        ("number", "First 3, then 4 ####", 4.0),
        ("number", "-2.5e3", -2500.0),
        ("number", ".5", 0.5),
        ("number", "between 3 and 5", 5.0),
        ("json", '{"city": "Köln"}', {"city": "Köln"}),
        (
            "json",
            'Sure!\n```json\n{"city": "Rom", "n": 1.5}\n```\nDone.',
            {"city": "Rom", "n": 1.5},
        ),
        ("json", '```\n{"city": "Rom"}\n```', {"city": "Rom"}),
        ("json", 'The answer is {"city": "Rom"}, I think.', {"city": "Rom"}),
    ],
)
def test_an_answer_is_found(kind: str, text: str, answer: Json) -> None:
    """Each form is read as a lenient reader would, marks and words around it aside."""
    assert parse_answer(task(kind), ChatReply(text=text)) == (answer, None)


@pytest.mark.parametrize(
    ("kind", "text", "failure"),
    [
        ("text", " \n", "empty"),
        ("label", "", "empty"),
        ("label", ' "" ', "empty"),
        ("label", "eggs", "wrong form"),
        ("label", "spam or ham", "wrong form"),
        ("label", "hamster", "wrong form"),
        ("number", "", "empty"),
        ("number", "none", "wrong form"),
        ("number", "1e999", "wrong form"),
        ("json", "", "empty"),
        ("json", "no", "unparsable"),
        ("json", '{"city": ', "unparsable"),
        ("json", '{"city": "a", "n": NaN}', "unparsable"),
        ("json", '{"city": "a", "n": 1e999}', "unparsable"),
        ("json", '{"city": "\\ud800"}', "unparsable"),
        ("json", "3", "wrong form"),
        ("json", '{"n": 1}', "wrong form"),
        ("json", '{"city": 3}', "wrong form"),
        ("json", '{"city": "a", "n": 0.3}', "wrong form"),
        ("json", "[]", "wrong form"),
        ("json", '{"city": "a", "x": ' + "[" * 120 + "]" * 120 + "}", "wrong form"),
        ("json", "[" * 100_000, "unparsable"),
        ("json", '{"a":' * 100_000, "unparsable"),
        ("tool", "", "empty"),
        ("tool", '{"city": "Rom"}', "wrong form"),
    ],
)
def test_a_reply_that_is_no_answer_fails_by_kind(kind: str, text: str, failure: str) -> None:
    """What cannot be read has no answer and says how it failed."""
    assert parse_answer(task(kind), ChatReply(text=text)) == (None, failure)


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (called('{"city": "Rom"}'), ({"city": "Rom"}, None)),
        (called('{"city": 3}'), (None, "wrong form")),
        (called('{"city"'), (None, "unparsable")),
        (called(""), (None, "unparsable")),
        (called('{"city": "Rom"}', name="other"), (None, "wrong form")),
    ],
)
def test_a_tool_call_is_read_from_its_arguments(reply: ChatReply, outcome: Json) -> None:
    """The call of the task's tool counts, and its arguments must fit the schema."""
    assert parse_answer(task("tool"), reply) == outcome


def test_the_tasks_tool_is_found_among_others() -> None:
    """Another call before the right one does no harm."""
    calls = (
        ToolCall(name="other", arguments="{"),
        ToolCall(name="look_up", arguments='{"city": "Rom"}'),
    )

    assert parse_answer(task("tool"), ChatReply(tool_calls=calls)) == ({"city": "Rom"}, None)


@pytest.mark.parametrize(
    ("finish", "failure"),
    [("stop", "unparsable"), ("length", "cut off"), ("content_filter", "refused")],
)
def test_the_reason_of_a_failure_is_the_endpoints_where_it_says_one(
    finish: str, failure: str
) -> None:
    """A broken answer that was cut off or refused is counted as that."""
    reply = ChatReply(text='{"city": "R', finish_reason=finish)

    assert parse_answer(task("json"), reply) == (None, failure)


@pytest.mark.parametrize("finish", ["length", "content_filter"])
def test_a_good_answer_stays_good_however_it_ended(finish: str) -> None:
    """An answer that can be read is no failure, even at the token limit."""
    reply = ChatReply(text="spam", finish_reason=finish)

    assert parse_answer(task("label"), reply) == ("spam", None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("This is not spam.", ("not spam", None)),
        ("This is spam.", ("spam", None)),
        ("Not spam, surely NOT SPAM.", ("not spam", None)),
        ("This is not spam, or is it spam?", (None, "wrong form")),
        ("This is maybe spam, not spam.", (None, "wrong form")),
        ("Spam or ham?", (None, "wrong form")),
    ],
)
def test_a_label_inside_a_longer_one_does_not_count(text: str, expected: tuple[Json, Json]) -> None:
    """The longest label at a place is the one that is named; two labels at different places are none."""
    made = task("label", labels=["spam", "not spam", "maybe spam", "ham"])

    assert parse_answer(made, ChatReply(text=text)) == expected


def test_labels_that_differ_in_case_alone_are_told_apart() -> None:
    """A reply that is a label to the letter is that label."""
    made = task("label", labels=["a", "A", "b"])

    assert parse_answer(made, ChatReply(text="a")) == ("a", None)
    assert parse_answer(made, ChatReply(text="A")) == ("A", None)


@given(st.lists(st.text(min_size=1, max_size=8), min_size=2, max_size=6, unique=True), st.data())
def test_every_label_is_read_as_itself(labels: list[str], data: st.DataObject) -> None:
    """Whatever a label looks like, a model that answers with it is right."""
    labels = [label for label in labels if label == label.strip()]
    if len(labels) < 2:
        return
    label = data.draw(st.sampled_from(labels))

    answer, failure = parse_answer(task("label", labels=labels), ChatReply(text=label))

    assert (answer, failure) == (label, None)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_number_is_read_as_itself(number: float) -> None:
    """A number as Python writes it comes back unchanged."""
    answer, failure = parse_answer(task("number"), ChatReply(text=f"The result is {number!r}"))

    assert (answer, failure) == (number, None)


@given(st.text(), st.integers())
def test_every_object_is_read_as_itself(city: str, number: int) -> None:
    """An object that fits the schema comes back, bare, fenced or inside a sentence."""
    body = json.dumps({"city": city, "note": number % 2**63})

    bare = parse_answer(task("json"), ChatReply(text=body))
    fenced = parse_answer(task("json"), ChatReply(text=f"```json\n{body}\n```"))
    inside = parse_answer(task("json"), ChatReply(text=f"Here: {body} there."))

    assert bare == inside == ({"city": city, "note": number % 2**63}, None)
    assert fenced == bare or "```" in city


TEXTS = st.text() | st.text('{}[]":,0123456789.-+eE \n`#jsonNaI', max_size=60)


@pytest.mark.parametrize("kind", ANSWERS)
@given(text=TEXTS, arguments=TEXTS, finish=st.sampled_from(["stop", "length", "content_filter"]))
def test_no_reply_raises(kind: str, text: str, arguments: str, finish: str) -> None:
    """Any reply is an answer that can be stored, or a failure; never an exception."""
    calls = (ToolCall(name="look_up", arguments=arguments),) if arguments else ()
    reply = ChatReply(text=text, tool_calls=calls, finish_reason=finish)

    answer, failure = parse_answer(task(kind), reply)

    if failure is None:
        assert answer is not None
        assert json.loads(json.dumps(answer, allow_nan=False)) == answer
        json.dumps(answer, ensure_ascii=False).encode()
        assert not isinstance(answer, float) or math.isfinite(answer)
    else:
        assert failure in KINDS
        assert answer is None
