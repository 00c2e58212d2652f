"""Demonstrations that follow the input."""

import pytest
from pydantic import ValidationError

from ratchet.answer import Prompt, answer_example, gather, starting_candidate
from ratchet.core import (
    AnswerForm,
    Demonstration,
    Example,
    InputField,
    MetricSpec,
    Nearest,
    Roles,
    Task,
)
from ratchet.core.errors import CandidateError
from ratchet.models import ModelPool
from ratchet.testing import ScriptedModel

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


async def requested(prompt, inputs, pool):
    """Return the request for these inputs."""
    return (await gather(prompt, Example(inputs=inputs, reference=None), pool)).request


@pytest.mark.local
async def test_each_input_gets_what_is_nearest_to_it_nearest_last():
    """By the meaning of the text, not by its words."""
    prompt = Prompt(TASK, candidate(2))
    async with ModelPool() as pool:

        async def answers(q):
            request = await requested(prompt, {"q": q}, pool)
            return [m["content"] for m in request.messages if m["role"] == "assistant"]

        assert await answers("My debit card does not work.") == ["card", "card"]
        assert await answers("Is a storm coming to Bergen?") == ["weather", "weather"]
        request = await requested(prompt, {"q": "A kitten naps."}, pool)
        assert request.messages[-2]["content"] == "cat"
        assert request.messages[-1]["content"] == "A kitten naps."
        own = await requested(prompt, SHOWN[1].inputs, pool)
        asked = [m["content"] for m in own.messages if m["role"] == "user"]
        assert asked.count(SHOWN[1].inputs["q"]) == 1  # an input is never its own demonstration


async def test_without_models_it_is_told():
    """A candidate that needs to know what is near does not quietly show something else."""
    with pytest.raises(CandidateError, match="no model is at hand"):
        await gather(Prompt(TASK, candidate(2)), Example(inputs={"q": "x"}, reference=None), None)


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


LABELS = TASK.model_copy(update={"answer": AnswerForm(kind="label", labels=("card", "cat", "weather"))})  # fmt: skip


def drafted(**how):
    """Return a candidate that chooses by a first answer, and its prompt."""
    start = starting_candidate(LABELS)
    chosen = start.changed(demonstrations=SHOWN, nearest=Nearest(count=2, **how))
    return Prompt(LABELS, chosen)


@pytest.mark.local
async def test_demonstrations_are_chosen_by_the_class_of_a_first_answer():
    """The input is nearer to others; those of the class that the model says come first. The draft is a call that counts."""
    model = ScriptedModel(lambda _: "weather", name="local:m")
    prompt = drafted(same_class=True)
    async with ModelPool(ready={"local:m": model}) as pool:
        example = Example(inputs={"q": "My card is lost."}, reference=None)
        gathered = await gather(prompt, example, pool)
        trial = await answer_example(prompt, model, example, pool=pool)

    shown = [m["content"] for m in gathered.request.messages if m["role"] == "assistant"]
    assert shown == ["weather", "weather"]
    assert trial.calls == 2
    assert len(model.requests[0].messages) == 2  # the draft is asked without demonstrations


@pytest.mark.local
async def test_demonstrations_are_chosen_by_a_hypothetical_answer():
    """The answers are compared, not the inputs; a draft that is no answer leaves the inputs to decide."""
    async with ModelPool(ready={"local:m": ScriptedModel(lambda _: "cat", name="local:m")}) as pool:
        example = Example(inputs={"q": "My card is lost."}, reference=None)
        by_answer = await gather(drafted(by="answer"), example, pool)
    async with ModelPool(ready={"local:m": ScriptedModel(lambda _: "hm", name="local:m")}) as pool:
        by_inputs = await gather(drafted(by="answer"), example, pool)

    assert by_answer.request.messages[-2]["content"] == "cat"
    assert by_inputs.request.messages[-2]["content"] == "card"


def test_only_labels_and_queries_have_a_class():
    """It is told before anything is bought."""
    both = candidate(2).changed(nearest=Nearest(count=2, same_class=True))

    with pytest.raises(CandidateError, match="kind label or sql"):
        Prompt(TASK, both)


@pytest.mark.local
async def test_the_schema_stays_in_a_prompt_whose_demonstrations_follow_the_input():
    """`{{schema}}` is the answer's where the task has no database, however its demonstrations are chosen."""
    form = AnswerForm(
        kind="json", json_schema={"type": "object", "properties": {"topic": {"type": "string"}}}
    )
    task = TASK.model_copy(update={"answer": form})
    shown = tuple(Demonstration(inputs=one.inputs, answer={"topic": one.answer}) for one in SHOWN)
    told = starting_candidate(task).changed(
        demonstrations=shown, nearest=Nearest(count=1), system="Follow {{schema}}"
    )
    async with ModelPool() as pool:
        request = await requested(Prompt(task, told), {"q": "A kitten naps."}, pool)

    assert "topic" in request.messages[0]["content"]
