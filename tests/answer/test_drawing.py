"""Answers that take more than one call: samples that agree, and answers that are handed back."""

import pytest
from pydantic import ValidationError

from ratchet.answer import Prompt, answer_example, starting_candidate
from ratchet.answer.answering import agreed
from ratchet.core import AnswerForm, Decoding, Example, InputField, MetricSpec, Roles, Task
from ratchet.core.errors import TemplateError
from ratchet.testing import ScriptedModel

SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer"}},
    "required": ["n"],
    "additionalProperties": False,
}


def task(**form):
    """Return a task with that answer form."""
    return Task(
        name="t",
        instructions="Do.",
        inputs=(InputField(name="q"),),
        answer=AnswerForm(**form),
        metric=MetricSpec(name="exact"),
        models=Roles(student="local:m"),
    )


async def trial(task, says, **decoding):
    """Return the trial of a scripted model, and the requests that it got."""
    seen = []

    def answer(request):
        seen.append(request)
        return says(len(seen) - 1)

    candidate = starting_candidate(task).changed(decoding=Decoding(**decoding))
    model = ScriptedModel(answer, name="local:m")
    found = await answer_example(
        Prompt(task, candidate), model, Example(inputs={"q": "x"}, reference=None)
    )
    return found, seen


async def test_a_bad_answer_is_handed_back_with_what_is_wrong():
    """The reply stands in the next request, with the fault of the schema; all calls count."""
    said = ['{"n": "three"}', '{"m": 3}', '{"n": 3}']
    found, seen = await trial(
        task(kind="json", json_schema=SCHEMA), said.__getitem__, repairs=2, constrained=False
    )

    assert (found.answer, found.failure, found.calls) == ({"n": 3}, None, 3)
    last = seen[2].messages[-4:]
    assert [m["role"] for m in last] == ["assistant", "user", "assistant", "user"]
    assert last[0]["content"] == '{"n": "three"}'
    assert "'three' is not of type 'integer' (at $.n)" in last[1]["content"]
    assert "Give the whole answer again" in last[1]["content"]
    single, _ = await trial(task(kind="json", json_schema=SCHEMA), lambda _: '{"n": 3}')
    assert found.usage.prompt_tokens > single.usage.prompt_tokens


async def test_repair_ends():
    """After so many times the last answer stands as it failed; a good one is never handed back."""
    labels = task(kind="label", labels=("yes", "no"))
    found, seen = await trial(labels, lambda _: "maybe", repairs=2)
    assert (found.failure, found.calls, len(seen)) == ("wrong form", 3, 3)
    assert "it must be exactly one of yes, no" in seen[1].messages[-1]["content"]
    good, seen = await trial(labels, lambda _: "yes", repairs=2)
    assert (good.answer, good.calls, len(seen)) == ("yes", 1, 1)


async def test_a_tool_call_is_handed_back_as_the_tools_answer():
    """So the next request is a sound conversation: each call has its result."""
    calls = [{"n": 1.5}, {"n": 1}]
    found, seen = await trial(
        task(kind="tool", tool="put", json_schema=SCHEMA), calls.__getitem__, repairs=1
    )

    assert found.answer == {"n": 1}
    call, result = seen[1].messages[-2:]
    assert result["role"] == "tool"
    assert result["tool_call_id"] == call["tool_calls"][0]["id"]
    assert "1.5 is not of type 'integer'" in result["content"]


async def test_samples_take_what_most_agree_on():
    """Failed samples do not vote; each sample has a seed of its own; the usage is that of all."""
    said = ["no", "yes", "perhaps", "yes", "no", "yes"]
    found, seen = await trial(
        task(kind="label", labels=("yes", "no")),
        said.__getitem__,
        samples=6,
        temperature=0.7,
        seed=40,
    )

    assert (found.answer, found.calls) == ("yes", 6)
    assert sorted(r.seed for r in seen) == list(range(40, 46))
    assert found.output == "yes"
    one, _ = await trial(task(kind="label", labels=("yes", "no")), lambda _: "yes")
    assert found.usage.prompt_tokens == 6 * one.usage.prompt_tokens


def test_agreement_of_free_text_is_likeness():
    """Where no two are equal, the one whose words the others share; of two, or a tie, the first."""
    texts = ["the cat sat", "a dog ran off", "the cat sat down", "the cat lay"]
    assert agreed(texts) == 0
    assert agreed(["b", "a"]) == 0
    assert agreed(["b", "a", "a", "b"]) == 0
    assert agreed([{"x": 1.0, "y": 2}, {"y": 3}, {"y": 2, "x": 1.0}]) == 0


def test_what_cannot_be_is_refused():
    """Samples without heat; a text of repair with an unknown field."""
    with pytest.raises(ValidationError, match="samples at temperature 0 are all alike"):
        Decoding(samples=3, temperature=0)
    with pytest.raises(ValidationError, match="samples of a local model without a temperature"):
        starting_candidate(task(), "local:nano").changed(decoding=Decoding(samples=3))
    odd = starting_candidate(task()).changed(decoding=Decoding(repairs=1, repair="{{what}}"))
    with pytest.raises(TemplateError, match="what"):
        Prompt(task(), odd)


def test_new_fields_leave_old_ids_alone():
    """A candidate that uses none of them has the id that it always had."""
    assert Decoding().plain() == {}
