"""The gate for continuous integration, and the policy that challengers must keep."""

from dataclasses import replace

import pytest

import ratchet
from ratchet.core.policy import Policy
from ratchet.ladder import gate, markdown_of
from ratchet.levers import PromptLever
from ratchet.testing import ScriptedModel

LANGUAGES = ("de", "en")


def world(request):
    """Be right on English now, on all where told to be careful, and on English and nothing else where told to hurry."""
    system, text = request.messages[0]["content"], request.messages[-1]["content"]
    number, german = int(text.split()[-1]), "de" in text.split()
    if "carefully" in system:
        return str(number)
    if "quickly" in system:
        return "?" if german else str(number)
    return str(number) if (german and number % 2) or number % 5 else "?"


@pytest.fixture
def bench():
    """Return a workbench of 400 examples in two languages."""
    task = ratchet.Task(
        name="echo",
        instructions="Say the number.",
        inputs=(ratchet.InputField(name="lang"), ratchet.InputField(name="text")),
        metric=ratchet.MetricSpec(name="exact"),
        models=ratchet.Roles(student="m"),
        admit=Policy(slices=("lang",)),
    )
    examples = [
        ratchet.Example(inputs={"lang": LANGUAGES[n % 7 == 0 or n % 2], "text": f"number {n}"}, reference=str(n))
        for n in range(400)
    ]  # fmt: skip
    return ratchet.Workbench.of(task, examples, models={"m": ScriptedModel(world, name="m")})


def told(bench, how):
    """Return a candidate that is told how."""
    return bench.start().changed(system=f"Do it {how}.", note=how)


def test_a_better_score_that_breaks_a_slice_is_not_kept(bench):
    """Which slice, by how much, stands in the rung; without the policy it would be kept."""
    loose = bench.task.model_copy(update={"admit": Policy()})
    measured = bench.measure_all([bench.start(), told(bench, "quickly")])

    strict, free = (
        gate(bench.bench(), *measured, strict=False),
        gate(replace(bench.bench(), task=loose), *measured, strict=False),
    )

    assert any("worse where lang is 'de'" in reason for reason in strict.refused)
    assert not strict.opens
    assert free.refused == []
    steps = bench.climb([PromptLever([told(bench, "quickly"), told(bench, "carefully")])])
    assert [s.kept for s in steps] == [True, False, True]
    assert bench.champion().note == "carefully"


def test_caps_hold(bench):
    """On tokens and seconds; a price that is unknown is no price under the cap."""
    task = bench.task.model_copy(update={"admit": Policy(most_tokens=3, most_seconds=1e-9)})
    slow = ScriptedModel(world, name="m", delay_s=0.001)
    bench._models["m"] = slow
    measured = bench.measure_all([bench.start(), told(bench, "carefully")])

    found = gate(replace(bench.bench(), task=task), *measured, strict=False)

    assert [reason.split("more than ")[1].split()[0] for reason in found.refused] == ["admit.most_seconds", "admit.most_tokens"]  # fmt: skip


def test_the_gate_opens_for_what_is_not_worse(bench):
    """No evidence opens it too, unless it is strict; the comment is Markdown with what breaks."""
    start, careful, hasty = bench.measure_all([bench.start(), told(bench, "carefully"), told(bench, "quickly")])  # fmt: skip

    good = gate(bench.bench(), start, careful, strict=True)
    bad = gate(bench.bench(), careful, hasty, strict=False)
    text = markdown_of(bad, bench.task, bench.differences(bad.verdict))

    assert good.opens
    assert not bad.opens
    assert text.startswith("### ❌ Ratchet: `echo`")
    assert "Examples that it breaks" in text
    assert "got `?`" in text


def test_a_slice_must_be_an_input():
    """It is told where the task is read."""
    with pytest.raises(ValueError, match=r"admit\.slices names 'language'"):
        ratchet.Task(
            name="x",
            instructions="",
            inputs=(ratchet.InputField(name="lang"),),
            metric=ratchet.MetricSpec(name="exact"),
            models=ratchet.Roles(student="m"),
            admit=Policy(slices=("language",)),
        )


def test_a_gate_stays_shut_on_what_was_not_measured(bench):
    """A budget that ends is no evidence, and opens nothing."""
    start = bench.measure(bench.start())
    part = bench.measure(told(bench, "carefully"), budget=ratchet.Budget(calls=5))

    found = gate(bench.bench(), start, part, strict=False)

    assert not found.opens
    assert "not measured to its end" in found.refused[-1]
