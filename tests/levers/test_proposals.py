"""Prompts that a model proposes, on a scripted world where one word makes all the difference."""

import json

import pytest

import ratchet
from ratchet.core.errors import UsageError
from ratchet.levers import PromptLever, Proposer
from ratchet.testing import ScriptedModel


def world(request):
    """Answer right where the prompt says "carefully", or for every second question otherwise."""
    number = int(request.messages[-1]["content"].split()[-1])
    careful = "carefully" in request.messages[0]["content"]
    return str(number + 1) if careful or number % 2 == 0 else "no idea"


def proposal(system, user="{{question}}", idea="be careful"):
    """Return what a proposer writes."""
    return json.dumps({"idea": idea, "system": system, "user": user})


def bench(said, *, teacher="teacher", says=None):
    """Return a workbench with a proposer that writes these one after another."""
    task = ratchet.Task(
        name="next",
        instructions="Say the next number.",
        inputs=(ratchet.InputField(name="question"),),
        metric=ratchet.MetricSpec(name="exact"),
        models=ratchet.Roles(student="scripted", teacher=teacher),
    )
    examples = [
        ratchet.Example(
            inputs={"question": f"the question that comes after {n}"}, reference=str(n + 1)
        )
        for n in range(200)
    ]
    models = {
        "scripted": ScriptedModel(world),
        "teacher": ScriptedModel(says or said, name="teacher"),
    }
    ready = ratchet.Workbench.of(task, examples, models=models)
    ready.said = []
    ready.watching.says = ready.said.append
    return ready


def test_a_proposal_that_works_is_kept():
    """The proposer is shown the task, failures with their feedback and the form; what it finds is judged as any other prompt."""
    ready = bench(
        [proposal("Answer carefully. {{instructions}}"), proposal("Answer. {{instructions}}")]
    )

    steps = ready.climb([PromptLever(proposer=Proposer(count=2))])

    assert [s.kept for s in steps] == [True, True, False]
    assert steps[1].what == "reflect: be careful"
    assert "carefully" in ready.champion().system
    system, user = (m["content"] for m in ready._models["teacher"].requests[0].messages)
    assert "{{question}}" in system
    assert "Say the next number." in user
    assert "answer: no idea" in user
    assert "right: " in user
    assert "common" in user
    second = ready._models["teacher"].requests[1].messages[-1]["content"]
    assert "in other words" in second


def test_what_is_no_use_is_left_out_and_counted():
    """Nonsense, broken templates, a lost input, repeats, and examples in the prompt; the count is told, and nothing of it is paid for."""
    train = bench([]).split("train")[0].inputs["question"]
    dev = bench([]).split("dev")[0].inputs["question"]
    ready = bench([
        "I would rather not.",
        proposal("{{#if question}}"),
        proposal("{{colour}}"),
        proposal("Be good.", user="Hello."),
        proposal("{{instructions}}"),
        proposal(f"As in: {train} {{{{instructions}}}}"),
        proposal(f"As in: {dev} {{{{instructions}}}}"),
        proposal("Be quick. {{instructions}}"),
        proposal("Be quick. {{instructions}}"),
    ])  # fmt: skip

    steps = ready.climb([PromptLever(proposer=Proposer(count=9))])

    assert [s.what for s in steps[1:]] == ["paraphrase: be careful"]
    (told,) = [line for line in ready.said if "proposes" in line]
    assert (
        "proposes 2 of 9 that are new, 1 no proposal, 2 with a broken template, 1 without an input"
        in told
    )
    assert "2 repeated, 1 with an example of the data in it" in told
    assert any("as it holds a text of dev" in line and "take it out" in line for line in ready.said)


def test_a_proposer_of_nonsense_is_given_up_early():
    """After three replies that are none; the ladder stays as it is."""
    ready = bench([], says=lambda _: "la la la")

    steps = ready.climb([PromptLever(proposer=Proposer(count=50))])

    assert len(steps) == 1
    assert len(ready._models["teacher"].requests) == 3


def test_who_proposes_must_be_named():
    """Told before anything is paid."""
    ready = bench([], teacher=None)
    ready.climb([])
    asked = len(ready._models["scripted"].requests)

    with pytest.raises(UsageError, match="nobody is named who proposes"):
        ready.climb([PromptLever(proposer=Proposer())])

    assert len(ready._models["scripted"].requests) == asked


def test_labels_are_no_leak():
    """A long label that many examples have may stand in a prompt; the text of one example may not."""
    from ratchet.levers import leak_in, telling

    examples = [
        ratchet.Example(
            inputs={"q": f"the question number {n} of many"}, reference="card_payment_fee_charged"
        )
        for n in range(3)
    ]
    old = ratchet.Candidate(model="m", system="Pick.", user="{{q}}")
    texts = telling(examples)

    assert leak_in(old, old.changed(system="card_payment_fee_charged is for fees."), texts) is None
    assert leak_in(old, old.changed(system="As the question number 2 of many."), texts)
