"""Preferences from trials: the reference against the worst answer that was given."""

import pytest

import ratchet
from ratchet.answer import Prompt, starting_candidate
from ratchet.core import Score, Trial
from ratchet.ladder import preferences_of_trials


def task(kind: str) -> ratchet.Task:
    """Return a task with answers of a kind."""
    answer = (
        ratchet.AnswerForm(kind="tool", tool="give", json_schema={"type": "object"})
        if kind == "tool"
        else ratchet.AnswerForm()
    )
    return ratchet.Task(
        name="t",
        instructions="Do it.",
        inputs=(ratchet.InputField(name="q"),),
        answer=answer,
        metric=ratchet.MetricSpec(name="exact"),
        models=ratchet.Roles(student="m"),
    )


@pytest.mark.parametrize("kind", ["text", "tool"])
def test_the_reference_is_preferred_to_the_worst_answer(kind: str) -> None:
    """Of two wrong answers the worse one; right, empty and unscored ones make no pair; a tool's answer is a call."""
    right: object = {"a": 1} if kind == "tool" else "yes"
    examples = [ratchet.Example(inputs={"q": str(k)}, reference=right) for k in range(4)]
    prompt = Prompt(task(kind), starting_candidate(task(kind)))

    def trial(place: int, output: str, value: float | None, repeat: int = 0) -> Trial:
        score = None if value is None else Score(value=value)
        return Trial(
            candidate_id="c",
            example_id=examples[place].id,
            repeat=repeat,
            output=output,
            score=score,
        )

    trials = [
        trial(0, "half", 0.5), trial(0, "none", 0.0, 1), trial(1, "good", 1.0), trial(2, "", 0.0), trial(3, "?", None),
    ]  # fmt: skip

    (pair,) = preferences_of_trials(prompt, examples, trials)

    (better,), (worse,) = pair.preferred, pair.rejected
    assert [m["content"] for m in pair.asked.messages] == ["Do it.", "0"]
    if kind == "tool":
        assert better["tool_calls"][0]["function"]["arguments"] == '{"a":1}'
        assert worse["tool_calls"][0]["function"] == {"name": "give", "arguments": "none"}
    else:
        assert (better["content"], worse["content"]) == ("yes", "none")
