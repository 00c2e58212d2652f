"""One candidate answers one example: the reply, the answer that was read from it, and what it used."""

import pytest

from ratchet.answer import Prompt, answer_example, starting_candidate
from ratchet.core import Example, Json, Task
from ratchet.core.errors import ReplyError
from ratchet.testing import ScriptedModel

EXAMPLE = Example(inputs={"text": "which city"}, reference={"city": "Rom"})
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def prompt(**answer: Json) -> Prompt:
    task = Task.model_validate(
        {
            "name": "t",
            "instructions": "Do.",
            "inputs": [{"name": "text"}],
            "answer": answer,
            "metric": {"name": "match"},
            "models": {"student": "scripted"},
        }
    )
    return Prompt(task, starting_candidate(task))


async def test_an_answer_becomes_a_trial() -> None:
    """A trial names candidate, example and repeat, and keeps output, answer and usage."""
    asked = prompt(kind="json", json_schema=SCHEMA)
    model = ScriptedModel(['{"city": "Rom"}'], price=(1.0, 1.0))

    trial = await answer_example(asked, model, EXAMPLE, repeat=2)

    assert (trial.candidate_id, trial.example_id, trial.repeat) == (
        asked.candidate.id,
        EXAMPLE.id,
        2,
    )
    assert (trial.output, trial.answer, trial.failure) == (
        '{"city": "Rom"}',
        {"city": "Rom"},
        None,
    )
    assert (trial.usage.completion_tokens, trial.usage.cost_usd) == (2, 5e-6)
    assert trial.score is None


async def test_a_tool_call_is_kept_as_its_arguments() -> None:
    """The output of a tool call is its arguments as the model wrote them."""
    asked = prompt(kind="tool", tool="look_up", json_schema=SCHEMA)

    trial = await answer_example(asked, ScriptedModel(lambda _request: {"city": "Rom"}), EXAMPLE)

    assert (trial.output, trial.answer) == ('{"city": "Rom"}', {"city": "Rom"})


async def test_a_failed_answer_is_a_trial_too() -> None:
    """An answer that cannot be read was paid for: it is kept with how it failed."""
    trial = await answer_example(
        prompt(kind="json", json_schema=SCHEMA), ScriptedModel(["no idea"]), EXAMPLE
    )

    assert (trial.output, trial.answer, trial.failure) == ("no idea", None, "unparsable")


async def test_no_reply_is_no_trial() -> None:
    """Where the model gave no reply there is nothing to keep."""
    with pytest.raises(ReplyError, match="at its end"):
        await answer_example(prompt(), ScriptedModel([]), EXAMPLE)
