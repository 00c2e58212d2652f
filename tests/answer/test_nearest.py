"""Demonstrations that follow the input."""

import pytest
from pydantic import ValidationError

from ratchet.answer import Prompt, starting_candidate
from ratchet.core import Demonstration, Example, InputField, MetricSpec, Nearest, Roles, Task
from ratchet.core.errors import CandidateError
from ratchet.models import ModelPool

TASK = Task(
    name="t",
    instructions="What is it about?",
    inputs=(InputField(name="q"),),
    metric=MetricSpec(name="exact"),
    models=Roles(student="local:m"),
)
SHOWN = tuple(
    Demonstration(inputs={"q": q}, answer=a)
    for q, a in {
        "My bank card was swallowed by the machine.": "card",
        "The cat sleeps on the sofa.": "cat",
        "I cannot pay with my credit card.": "card",
        "It will rain tomorrow in Oslo.": "weather",
        "How much snow fell last night?": "weather",
    }.items()
)


def candidate(count):
    """Return a candidate that shows that many."""
    start = starting_candidate(TASK)
    return start.changed(demonstrations=SHOWN, nearest=Nearest(count=count))


@pytest.mark.local
async def test_each_input_gets_what_is_nearest_to_it_nearest_last():
    """By the meaning of the text, not by its words."""
    prompt = Prompt(TASK, candidate(2))
    async with ModelPool() as pool:

        async def answers(q):
            request = await prompt.asked(Example(inputs={"q": q}, reference=None), pool)
            return [m["content"] for m in request.messages if m["role"] == "assistant"]

        assert await answers("My debit card does not work.") == ["card", "card"]
        assert await answers("Is a storm coming to Bergen?") == ["weather", "weather"]
        request = await prompt.asked(Example(inputs={"q": "A kitten naps."}, reference=None), pool)
        assert request.messages[-2]["content"] == "cat"
        assert request.messages[-1]["content"] == "A kitten naps."
        own = await prompt.asked(Example(inputs=SHOWN[1].inputs, reference=None), pool)
        asked = [m["content"] for m in own.messages if m["role"] == "user"]
        assert asked.count(SHOWN[1].inputs["q"]) == 1  # an input is never its own demonstration


async def test_without_models_it_is_told():
    """A candidate that needs to know what is near does not quietly show something else."""
    with pytest.raises(CandidateError, match="no model is at hand"):
        await Prompt(TASK, candidate(2)).asked(Example(inputs={"q": "x"}, reference=None), None)


def test_an_estimate_counts_as_many():
    """Before it is known which are nearest, as many others stand in for them."""
    messages = (
        Prompt(TASK, candidate(2)).request(Example(inputs={"q": "x"}, reference=None)).messages
    )
    assert [m["role"] for m in messages] == [
        "system", "user", "assistant", "user", "assistant", "user",
    ]  # fmt: skip


def test_there_are_enough_to_choose_from():
    """More than there are cannot be shown."""
    with pytest.raises(ValidationError, match=r"nearest\.count is 6, and there are 5"):
        candidate(6)
