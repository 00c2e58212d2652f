"""Examples that a model writes."""

import json

import pytest

import ratchet
from ratchet.core.errors import ReplyError
from ratchet.ladder import synthesise
from ratchet.testing import ScriptedModel

TASK = ratchet.Task(
    name="t",
    instructions="Name the topic.",
    inputs=(ratchet.InputField(name="text"),),
    answer=ratchet.AnswerForm(kind="label", labels=("cat", "dog", "owl")),
    metric=ratchet.MetricSpec(name="label"),
    models=ratchet.Roles(student="m"),
)
EXAMPLES = [
    ratchet.Example(inputs={"text": f"a story of the number {n} and of nothing else at all"}, reference="owl" if n % 20 == 0 else "dog" if n % 2 else "cat", split="test" if n < 5 else "train")
    for n in range(60)
]  # fmt: skip


def written(says, kind="alike", count=6, calls=None):
    """Return what a model wrote, and what it was asked."""
    model = ScriptedModel(says, name="m")
    bench = ratchet.Workbench.of(TASK, EXAMPLES, models={"m": model})

    async def work(pool):
        evidence = bench.ground(pool, ratchet.Budget(calls=calls)).evidence
        return await synthesise(evidence, bench.examples, kind=kind, model="m", count=count)

    return bench.with_pool(work), model.requests


def reply(text, answer="cat"):
    return json.dumps({"inputs": {"text": text}, "answer": answer})


def test_what_is_like_an_example_of_test_or_no_example_is_refused():
    """Each for its reason; what is good says who wrote it; test is never shown to the model."""
    turns = iter(
        [
            reply("a story of the number 3 and of nothing else at all"),
            reply("something new about whiskers"),
            reply("something new about whiskers"),
            reply("another thing", answer="horse"),
            json.dumps({"text": "?"}),
            reply("  "),
        ]
        + [reply(f"fresh thought {n} about animals of the sea") for n in range(20)]
    )
    found, requests = written(lambda _: next(turns))

    assert len(found.examples) == 6
    assert found.refused["nearly an example that is there"] == 2
    assert found.refused["the answer has not the task's form"] == 1
    assert found.refused["not in the form"] == 1
    assert found.refused["an input is empty"] == 1
    assert found.examples[0].source.startswith("synthetic: m, alike, after e_")
    asked = "\n".join(str(r.messages) for r in requests)
    assert not any(f"number {n} and" in asked for n in range(5))


def test_an_input_for_a_given_answer_has_that_answer():
    """Whatever the model says of the answer."""
    numbers = iter(range(100))
    found, requests = written(lambda _: reply(f"thought {next(numbers)} of its own kind", "dog"), kind="reverse", count=8)  # fmt: skip

    wanted = [one.messages[0]["content"].rsplit("exactly this one: ", 1)[1].split("\n")[0] for one in requests[:8]]  # fmt: skip
    assert sorted(one.reference for one in found.examples) == sorted(wanted)
    assert len(set(wanted)) > 1


def test_rare_answers_are_shown_for_rare_examples():
    """Of three kinds the one that there are fewest of."""
    numbers = iter(range(100))
    _, requests = written(lambda _: reply(f"thought {next(numbers)} of its own kind", "owl"), kind="rare", count=3)  # fmt: skip

    assert all('"answer":"owl"' in r.messages[0]["content"] for r in requests)
    assert not any('"answer":"dog"' in r.messages[0]["content"] for r in requests)


def test_a_budget_and_a_model_that_goes_away():
    """What came is kept; where nothing came at all it is an error."""
    numbers = iter(range(100))
    found, _ = written(lambda _: reply(f"thought {next(numbers)} of its own kind"), calls=2)
    assert len(found.examples) == 2
    with pytest.raises(ReplyError, match="away"):
        written(lambda _: ReplyError("away", kind="unreachable"))
