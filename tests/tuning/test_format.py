"""Training files: what a line may hold, and how a fault is named."""

import io
import json

import pytest

import ratchet
from ratchet.answer import Prompt, starting_candidate
from ratchet.core.errors import TuningError
from ratchet.tuning import (
    Conversation,
    Fault,
    Preference,
    check_rows,
    conversations_of,
    read_file,
    read_rows,
    write_rows,
)

ASK = {"role": "user", "content": "How are you?"}
SAY = {"role": "assistant", "content": "Well."}
CALL = {
    "role": "assistant",
    "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    ],
}
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}


def lines(*bodies):
    """Return a training file of these bodies; texts are written as they are."""
    written = [body if isinstance(body, str) else json.dumps(body) for body in bodies]
    return io.BytesIO("\n".join(written).encode())


def read(body, method="supervised"):
    """Return what one line holds."""
    [(_, row)] = list(read_rows(lines(body), method))
    return row


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ("{", "", "is no JSON"),
        ([], "", "must be an object with 'messages', not a list"),
        ({}, "messages", "must be a list of messages, not nothing"),
        ({"messages": []}, "messages", "must be a list of messages"),
        ({"messages": [ASK]}, "messages[0].role", "the last message must be the assistant's"),
        ({"messages": [ASK, {**SAY, "role": "bot"}]}, "messages[1].role", "not 'bot'"),
        ({"messages": [ASK, {"role": "assistant"}]}, "messages[1].content", "not nothing"),
        ({"messages": [{**ASK, "content": 3}, SAY]}, "messages[0].content", "not a number"),
        ({"messages": [ASK, {**SAY, "weight": 2}]}, "messages[1].weight", "must be 0 or 1"),
        ({"messages": [{**ASK, "weight": 1}, SAY]}, "messages[0].weight", "assistant alone"),
        ({"messages": [ASK, {**SAY, "weight": 0}]}, "messages", "nothing to learn"),
        ({"messages": [ASK, {**CALL, "tool_calls": [1]}]}, "messages[1].tool_calls", "function"),
        ({"messages": [ASK, SAY], "tools": [{}]}, "tools[0]", "function with a name"),
        ({"messages": [ASK, SAY], "prompt": "x"}, "prompt", "is unknown"),
        ({"input": {}}, "input", "choose the method dpo"),
    ],
)
def test_a_fault_is_named_with_its_field(body, field, message):
    """Each fault names the line, the field and the rule."""
    fault = read(body)

    assert isinstance(fault, Fault)
    assert (fault.line, fault.field) == (1, field)
    assert message in fault.message


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"messages": [ASK, SAY]}, "messages"),
        ({"input": 3}, "input"),
        ({"input": {"messages": [ASK]}, "preferred_output": [SAY]}, "non_preferred_output"),
        (
            {
                "input": {"messages": [ASK]},
                "preferred_output": [SAY],
                "non_preferred_output": [SAY],
            },
            "non_preferred_output",
        ),
    ],
)
def test_a_fault_in_a_preference_is_named(body, field):
    """The same for pairs of answers."""
    assert read(body, "dpo").field == field


def test_deep_json_is_a_fault():
    """A line nested a thousand times is named, and nothing breaks."""
    assert "JSON" in read("[" * 5000 + "]" * 5000).message


def test_files_round_trip(tmp_path):
    """What is written is read back: tools, calls, weights and preferences included."""
    rows = [
        Conversation((ASK, {**SAY, "weight": 0}, ASK, {**CALL, "content": ""}), (TOOL,)),
        Conversation((ASK, SAY)),
    ]
    pairs = [Preference(Conversation((ASK,)), (SAY,), ({**SAY, "content": "Bad."},))]

    write_rows(tmp_path / "a.jsonl", rows)
    write_rows(tmp_path / "b.jsonl", pairs)

    assert read_file(tmp_path / "a.jsonl", "supervised") == rows
    assert read_file(tmp_path / "b.jsonl", "dpo") == pairs


def test_a_file_with_faults_is_refused(tmp_path):
    """Nothing is trained on the lines that happen to be right."""
    (tmp_path / "a.jsonl").write_bytes(lines({"messages": [ASK, SAY]}, "{", "[]").getvalue())
    (tmp_path / "empty.jsonl").write_text("\n\n", "utf-8")

    with pytest.raises(TuningError, match=r"line 2: is no JSON.*line 3"):
        read_file(tmp_path / "a.jsonl", "supervised")
    with pytest.raises(TuningError, match="holds no rows"):
        read_file(tmp_path / "empty.jsonl", "supervised")


def test_a_report_names_duplicates_overlap_and_long_lines():
    """Duplicates do not differ by weight alone; lines are counted in tokens where a counter is at hand."""
    other = {"messages": [{**ASK, "content": "And you? And you?"}, SAY]}
    file = lines({"messages": [ASK, SAY]}, "", {"messages": [ASK, {**SAY, "weight": 1}]}, other)
    held = [Conversation(({**ASK, "content": "And you? And you?"}, SAY))]

    report = check_rows(
        read_rows(file, "supervised"),
        count=lambda row: len(str(row.messages[0]["content"])),
        longest=15,
        validation=held,
    )

    assert report.rows == 3
    assert report.duplicates == (3,)
    assert report.overlap == (4,)
    assert report.too_long == (4,)
    assert (report.shortest, report.longest, report.tokens) == (12, 17, 41)


def test_a_candidate_teaches_the_reference_alone():
    """Demonstrations are context: of what the assistant says only the last message counts."""
    task = ratchet.Task(
        name="t",
        instructions="Do it.",
        inputs=(ratchet.InputField(name="q"),),
        metric=ratchet.MetricSpec(name="exact"),
        models=ratchet.Roles(student="m"),
    )
    shown = (ratchet.Demonstration(inputs={"q": "1"}, answer="one"),)
    prompt = Prompt(task, starting_candidate(task).changed(demonstrations=shown))

    [found] = conversations_of(prompt, [ratchet.Example(inputs={"q": "2"}, reference="two")])

    assert [m["content"] for m in found.messages] == ["Do it.", "1", "one", "2", "two"]
    assert found.taught == [4]


@pytest.mark.parametrize(
    ("body", "method", "field"),
    [
        ({"messages": [ASK, {"role": "assistant", "content": " "}]}, "supervised", "messages[1].content"),
        (
            {
                "input": {"messages": [ASK]},
                "preferred_output": [{"role": "assistant", "content": ""}],
                "non_preferred_output": [SAY],
            },
            "dpo",
            "preferred_output[0].content",
        ),
    ],
)  # fmt: skip
def test_nothing_is_learnt_from_an_empty_answer(body, method, field):
    """A row whose answer is blank is a fault that names the field; a poor answer may be blank."""
    fault = read(body, method)

    assert isinstance(fault, Fault)
    assert (fault.field, "no answer to learn" in fault.message) == (field, True)
