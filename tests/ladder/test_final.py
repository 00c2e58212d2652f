"""The sealed test split: opened once a champion, counted, corrected."""

import numpy as np
import pytest

from ratchet import Example, InputField, MetricSpec, Roles, Task, Workbench
from ratchet.core.errors import UsageError
from ratchet.ladder.final import expected_maximum
from ratchet.levers import PromptLever
from ratchet.testing import ScriptedModel

TASK = Task(
    name="t", instructions="Say it.", inputs=(InputField(name="q"),), metric=MetricSpec(name="exact"),
    models=Roles(student="m"),
)  # fmt: skip


def bench(model):
    """Return a workbench of 60 examples, a third of them in each split."""
    splits = ("train", "dev", "test")
    examples = [
        Example(inputs={"q": f"q{i}"}, reference="yes", split=splits[i % 3]) for i in range(60)
    ]
    return Workbench.of(TASK, examples, models={"m": model})


def test_a_champion_opens_the_test_split_once():
    """The second look reads the first one again and asks nothing; dev and test stand side by side."""
    model = ScriptedModel(lambda _: "yes")
    workbench = bench(model)

    first = workbench.final()
    calls = len(model.requests)
    second = workbench.final()

    assert first == second
    assert calls == len(model.requests) == 40
    assert (first.number, first.n, first.score, first.dev_score) == (1, 20, 1.0, 1.0)
    assert (first.challengers, first.expected_shrinkage) == (0, 0.0)
    assert first.who
    assert first.sentence.startswith("Test 100.0")


def test_a_start_that_nothing_beat_was_not_chosen():
    """A ladder of challengers that were all dropped explains no loss: nobody chose the start among them."""
    workbench = bench(ScriptedModel(lambda _: "yes"))
    others = [workbench.start().changed(system=f"Say yes {k}.") for k in range(4)]
    workbench.climb([PromptLever(others)])

    opening = workbench.final()

    assert [step.kept for step in workbench.steps()] == [True, False]
    assert (opening.challengers, opening.expected_shrinkage) == (4, 0.0)
    assert "Choosing" not in opening.sentence
    assert "Choosing among 5" in opening.model_copy(update={"expected_shrinkage": 0.01}).sentence


def test_another_champion_is_the_second_opening_with_a_wider_interval():
    """Each further champion costs confidence: its interval is wider than it would be alone."""
    workbench = bench(ScriptedModel(lambda _: "yes"))
    first = workbench.final()
    workbench.champion = lambda: workbench.start().changed(system="Say yes.")

    second = workbench.final()

    assert [o.number for o in workbench.openings()] == [1, 2]
    assert second.interval.low < first.interval.low
    assert second.interval.level > first.interval.level


def test_levers_cannot_measure_on_test():
    """Measuring on test is refused; only the opening may."""
    with pytest.raises(UsageError, match="sealed"):
        bench(ScriptedModel(lambda _: "yes")).measure(split="test")


@pytest.mark.parametrize("count", [1, 2, 5, 32])
def test_expected_maximum_equals_simulation(count):
    """The mean of the largest of so many normal values is what 200,000 draws give."""
    drawn = np.random.default_rng(0).normal(size=(200_000 // count, count)).max(axis=1).mean()

    assert expected_maximum(count) == pytest.approx(drawn, abs=0.02 if count < 32 else 0.04)
