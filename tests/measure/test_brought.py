"""Answers that were collected elsewhere, from Python: each form of answer, and what tells examples apart."""

import json
from pathlib import Path

import pytest

import ratchet
from ratchet.core import AnswerForm, Example, InputField, MetricSpec, Roles, Task, brought_candidate
from ratchet.core.errors import DataError, UsageError
from ratchet.testing import ScriptedModel

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def task_of(kind: str, metric: str, **form: object) -> Task:
    """Return a task with one input."""
    return Task(
        name="t",
        instructions="Do it.",
        inputs=(InputField(name="text"),),
        answer=AnswerForm(kind=kind, **form),
        metric=MetricSpec(name=metric),
        models=Roles(student="scripted"),
    )


def bench_of(task: Task, references: list[object]) -> ratchet.Workbench:
    """Return a workbench whose examples all stand in dev, named r0, r1, …"""
    examples = [
        Example(inputs={"text": f"text {n}"}, reference=reference, name=f"r{n}", split="dev")
        for n, reference in enumerate(references)
    ]
    return ratchet.Workbench.of(task, examples, models={"scripted": ScriptedModel(["x"] * 99)})


def write_lines(path: Path, rows: list[dict[str, object]]) -> Path:
    """Write rows as JSONL."""
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.mark.parametrize(
    ("task", "reference", "replies"),
    [
        (task_of("number", "number"), 18, [18, 18.0, "18", "so it is 18"]),
        (task_of("label", "label", labels=("0", "1")), "1", [1, 1.0, "1"]),
        (task_of("text", "exact"), "yes", ["yes", " yes "]),
        (
            task_of("json", "fields", json_schema=SCHEMA),
            {"city": "Bern"},
            [{"city": "Bern"}, '{"city": "Bern"}', '```json\n{"city": "Bern"}\n```'],
        ),
        (
            task_of("tool", "fields", json_schema=SCHEMA, tool="find"),
            {"city": "Bern"},
            [
                {"city": "Bern"},
                {"name": "find", "arguments": {"city": "Bern"}},
                {"name": "find", "arguments": '{"city": "Bern"}'},
                [
                    {
                        "type": "function",
                        "function": {"name": "find", "arguments": '{"city": "Bern"}'},
                    }
                ],
                {"tool_calls": [{"function": {"name": "find", "arguments": {"city": "Bern"}}}]},
            ],
        ),
    ],
    ids=lambda value: value.answer.kind if isinstance(value, Task) else "",
)
def test_a_reply_is_read_in_the_form_of_the_task(
    tmp_path: Path, task: Task, reference: object, replies: list[object]
) -> None:
    """Text, or the value itself where the format has it; calls of tools in each usual shape."""
    bench = bench_of(task, [reference] * 1)
    for number, reply in enumerate(replies):
        path = write_lines(tmp_path / "a.jsonl", [{"id": "r0", "reply": reply}])

        made = bench.import_answers(path, f"bot{number}")

        assert not made.unreadable, reply
        assert bench.measure(made.candidate).score == 1, reply


def test_a_call_of_another_tool_is_a_failed_answer(tmp_path: Path) -> None:
    """It is stored, and counted as every candidate's wrong calls are."""
    bench = bench_of(task_of("tool", "fields", json_schema=SCHEMA, tool="find"), [{"city": "Bern"}])
    call = {"name": "drop", "arguments": {"city": "Bern"}}
    path = write_lines(tmp_path / "a.jsonl", [{"id": "r0", "reply": call}])

    made = bench.import_answers(path, "bot")

    assert [bad.number for bad in made.unreadable] == [1]
    assert bench.measure(made.candidate).failures == {"wrong form": 1}


def test_inputs_that_several_examples_share_answer_all_of_them(tmp_path: Path) -> None:
    """One question with two right answers has one reply, which is held against both."""
    examples = [
        Example(inputs={"text": "capital?"}, reference=city, split="dev")
        for city in ("Bern", "Rome")
    ]
    bench = ratchet.Workbench.of(task_of("text", "exact"), examples)
    path = write_lines(tmp_path / "a.jsonl", [{"text": "capital?", "reply": "Bern"}])

    made = bench.import_answers(path, "bot")

    assert len(made.trials) == 2
    assert bench.measure(made.candidate).score == 0.5


def test_numbers_as_inputs_are_the_same_in_every_format(tmp_path: Path) -> None:
    """A table writes 5 as text, JSON as a number: both name the example."""
    examples = [Example(inputs={"text": value}, reference="x", split="dev") for value in (5, "6")]
    bench = ratchet.Workbench.of(task_of("text", "exact"), examples)
    (tmp_path / "a.csv").write_text("text,reply\n5,x\n6,x\n")
    lines = write_lines(
        tmp_path / "b.jsonl", [{"text": 5.0, "reply": "x"}, {"text": 6, "reply": "x"}]
    )

    assert bench.import_answers(tmp_path / "a.csv", "a").new == 2
    assert bench.import_answers(lines, "b").new == 2


def test_a_price_is_unknown_unless_it_was_brought(tmp_path: Path) -> None:
    """Nothing is taken for free or for instant, so that such answers dominate nobody by what is not known."""
    bench = bench_of(task_of("text", "exact"), ["x", "x"])
    asked = bench.measure(bench.start())
    path = write_lines(tmp_path / "a.jsonl", [{"id": f"r{n}", "reply": "x"} for n in range(2)])

    made = bench.import_answers(path, "bot")
    brought = bench.measure(made.candidate)
    standings = ratchet.measure.standings([asked, brought])

    assert brought.cost_usd is None
    assert brought.tokens_a_call != brought.tokens_a_call
    assert brought.latency(0.5) != brought.latency(0.5)
    assert [one.dominated_by for one in standings] == [None, None]


def test_a_brought_candidate_is_named_by_its_name_alone() -> None:
    """Its id is the same in every workspace, and it is known again by it."""
    assert brought_candidate("gpt-4.1").id == brought_candidate("gpt-4.1").id
    assert brought_candidate("gpt-4.1").id != brought_candidate("gpt-4").id
    assert brought_candidate("x").is_brought
    assert not brought_candidate("x").is_local


def test_a_brought_candidate_refuses_to_be_asked(tmp_path: Path) -> None:
    """Whatever reaches its model gets an error that says why; so does a measurement without any of its answers."""
    bench = bench_of(task_of("text", "exact"), ["x"])

    with pytest.raises(DataError, match="import-answers"):
        bench.measure(brought_candidate("bot"))
    with pytest.raises(UsageError, match="collected elsewhere"):
        bench.climb([], start=brought_candidate("bot"))
