"""Which served answers a committee does not stand by."""

from dataclasses import replace

import pytest

import ratchet
from ratchet.ladder import Passed, committee_of, doubts_of
from ratchet.testing import ScriptedModel

TASK = ratchet.Task(
    name="next",
    instructions="Say the next number.",
    inputs=(ratchet.InputField(name="q"),),
    answer=ratchet.AnswerForm(kind="number"),
    metric=ratchet.MetricSpec(name="exact"),
    models=ratchet.Roles(student="small", teacher="large"),
)


def small(request):
    """Be sure of even numbers; of odd ones only without a temperature."""
    number = int(request.messages[-1]["content"])
    return str(number + (2 if number % 2 and request.temperature else 1))


@pytest.fixture
def bench():
    """Return a workbench with a model that is unsure, and one that is wrong about multiples of six."""
    large = ScriptedModel(lambda r: str(int(r.messages[-1]["content"]) + 1 - (int(r.messages[-1]["content"]) % 6 == 0)), name="large")  # fmt: skip
    examples = [ratchet.Example(inputs={"q": str(n)}, reference=n + 1.0) for n in range(100, 160)]
    models = {"small": ScriptedModel(small, name="small"), "large": large}
    return ratchet.Workbench.of(TASK, examples, models=models)


def test_what_the_committee_contradicts_is_in_doubt(bench):
    """Odd numbers, where the served model contradicts itself; multiples of six, where the teacher does; never asked twice."""
    served = bench.start()
    passed = [Passed(f"r{n}", {"q": str(n)}, str(n + 1), None, held_back=False) for n in range(12)]
    passed.append(Passed("broken", {"q": "99"}, "no number", None, held_back=False))

    async def work(pool):
        evidence = bench.ground(pool).evidence
        committee = committee_of(evidence, served, bench.steps())
        found = await doubts_of(evidence, served, passed, committee)
        await doubts_of(evidence, served, passed, committee)
        return committee, found

    committee, found = bench.with_pool(work)

    assert [one.model for one in committee] == ["small", "large"]
    assert found == {f"r{n}": 0.5 if n % 2 or n % 6 == 0 else 0.0 for n in range(12)} | {"broken": 1.0}  # fmt: skip
    assert [len(bench._models[name].requests) for name in ("small", "large")] == [12, 12]


def test_a_budget_that_ends_leaves_what_came(bench):
    """Half a committee is better than none."""
    served = bench.start()
    passed = [Passed(f"r{n}", {"q": str(n)}, str(n + 1), None, held_back=False) for n in range(12)]

    async def work(pool):
        evidence = bench.ground(pool, ratchet.Budget(calls=5)).evidence
        return await doubts_of(evidence, served, passed, committee_of(evidence, served, []))

    assert len(bench.with_pool(work)) == 5


def test_whoever_is_at_a_temperature_is_not_asked_again(bench):
    """The served candidate draws already; then the ladder's other candidate and the teacher remain."""
    drawing = bench.start().changed(decoding=ratchet.Decoding(temperature=1))
    bench.climb([])

    async def work(pool):
        evidence = bench.ground(pool).evidence
        mute = replace(evidence, task=TASK.model_copy(update={"models": ratchet.Roles(student="small")}))  # fmt: skip
        return [committee_of(one, drawing, bench.steps()) for one in (evidence, mute)]

    whole, few = bench.with_pool(work)
    assert [one.model for one in whole] == ["small", "large"]
    assert [one.id for one in few] == [bench.start().id]
