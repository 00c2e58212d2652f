"""A climb on a scripted world where the truth is known."""

from xml.etree import ElementTree as ET

import pytest

import ratchet
from ratchet import Climbing
from ratchet.core.errors import UsageError
from ratchet.ladder import html_report
from ratchet.ladder import level_of as ratchet_level
from ratchet.levers import DemosLever, PromptLever, unlearnt_of
from ratchet.testing import ScriptedModel


def world(request):
    """Answer right where the prompt says "carefully", or for every second question otherwise."""
    number = int(request.messages[-1]["content"].split()[-1])
    careful = "carefully" in request.messages[0]["content"]
    return str(number + 1) if careful or number % 2 == 0 else "no idea"


@pytest.fixture
def bench():
    """Return a workbench of 200 examples that the scripted model answers."""
    task = ratchet.Task(
        name="next",
        instructions="Say the next number.",
        inputs=(ratchet.InputField(name="question"),),
        metric=ratchet.MetricSpec(name="exact"),
        models=ratchet.Roles(student="scripted"),
    )
    examples = [
        ratchet.Example(inputs={"question": f"after {n}"}, reference=str(n + 1)) for n in range(200)
    ]
    return ratchet.Workbench.of(task, examples, models={"scripted": ScriptedModel(world)})


def careful(bench):
    """Return a candidate whose instruction works."""
    return bench.start().changed(system="Answer carefully.", note="carefully")


def test_what_helps_is_kept_and_what_does_not_is_dropped(bench):
    """The right instruction is kept with a verdict; demonstrations that change nothing are dropped."""
    steps = bench.climb([PromptLever([careful(bench)]), DemosLever(sizes=(2,), sets=2, screen=10)])

    assert [(s.lever, s.kept) for s in steps] == [
        ("start", True),
        ("prompt", True),
        ("demos", False),
    ]
    assert steps[1].verdict is not None
    assert steps[1].verdict.decision == "better"
    assert bench.champion().system == "Answer carefully."
    assert bench.changes(steps[1])[0].after.answer == bench.changes(steps[1])[0].example.reference


def test_a_second_climb_pays_for_nothing(bench):
    """Climbing again passes over the levers that have their rung, and asks the model nothing."""
    lever = PromptLever([careful(bench)])
    bench.climb([lever])
    model = bench._models["scripted"]
    asked = len(model.requests)

    steps = bench.climb([lever])

    assert len(model.requests) == asked
    assert len(steps) == 2


def test_a_spent_budget_keeps_what_it_bought_and_goes_on_later(bench):
    """A climb that is stopped by its budget goes on where it was; in all, each answer is bought once."""
    lever = PromptLever([careful(bench)])
    with pytest.raises(UsageError, match="larger budget"):
        bench.climb([lever], budget=ratchet.Budget(calls=5))

    steps = bench.climb([lever])

    model = bench._models["scripted"]
    asked = [(r.messages[0]["content"], r.messages[-1]["content"]) for r in model.requests]
    assert len(steps) == 2
    assert len(asked) == len(set(asked))


def test_levers_and_measurements_cannot_read_test(bench):
    """Measuring on test is refused, and a climb asks no question of the test split."""
    with pytest.raises(UsageError, match="sealed"):
        bench.measure(split="test")

    bench.climb([PromptLever([careful(bench)]), DemosLever(sizes=(2,), sets=1, screen=5)])

    sealed = {example.inputs["question"] for example in bench.split("test")}
    seen = {m["content"] for r in bench._models["scripted"].requests for m in r.messages}
    assert not sealed & seen


def test_demonstrations_come_from_train_alone(bench):
    """Whatever set is proposed, its examples are of the train split."""
    bench.climb([DemosLever(sizes=(2, 4), sets=3, screen=5)])

    train = {example.inputs["question"] for example in bench.split("train")}
    shown = {
        d.inputs["question"]
        for s in bench.steps()
        for d in bench.candidate(s.candidate_id).demonstrations
    }
    assert shown
    assert shown <= train


def test_too_few_examples_for_demonstrations_adds_no_rung(bench):
    """A screen as large as the train split leaves nothing to show, and the lever proposes nothing."""
    steps = bench.climb([DemosLever(sizes=(4,), screen=1000)])

    assert [s.lever for s in steps] == ["start"]


def test_the_report_is_one_page_that_fetches_nothing(bench, tmp_path):
    """The report holds every rung, escapes what examples say, and names no other address."""
    bench.climb([PromptLever([careful(bench).changed(note="<script>alert(1)</script>")])])

    page = html_report(Climbing(bench).story())
    drawing = page[page.index("<svg") : page.index("</svg>") + len("</svg>")]

    assert len(ET.fromstring(drawing)) > 8
    assert page.count("<circle") == 2
    assert "<script" not in page
    assert "http" not in page
    assert "✓ kept" in page


def test_many_proposals_are_raced_and_one_verdict_holds_for_all(bench):
    """Of six templates the one that works gets the rung; the others are asked only part of dev, and each call is counted once."""
    dull = [bench.start().changed(system=f"Answer. {k}", note=f"dull {k}") for k in range(5)]
    steps = bench.climb([PromptLever([*dull, careful(bench)])])

    model = bench._models["scripted"]
    assert [(s.lever, s.kept, s.tried) for s in steps] == [("start", True, 1), ("prompt", True, 6)]
    assert steps[1].verdict.interval.level == pytest.approx(1 - (1 - ratchet_level(1)) / 6)
    assert steps[1].spend.calls == len(model.requests) - steps[0].spend.calls
    assert len(model.requests) < 7 * len(bench.split("dev"))
    assert bench.champion().system == "Answer carefully."


def test_a_race_that_ran_out_of_money_goes_on(bench):
    """The budget ends in the middle of a race: no rung yet; climbing again finishes it, and asks nothing twice."""
    dull = [bench.start().changed(system=f"Answer. {k}", note=f"dull {k}") for k in range(5)]
    lever = PromptLever([*dull, careful(bench)])
    bench.climb([])
    assert len(bench.climb([lever], budget=ratchet.Budget(calls=60))) == 1

    steps = bench.climb([lever])

    asked = [
        (r.messages[0]["content"], r.messages[-1]["content"])
        for r in bench._models["scripted"].requests
    ]
    assert len(asked) == len(set(asked))
    assert steps[1].tried == 6
    assert len(steps[1].losers) == 5
    assert steps[1].candidate_id not in {one.candidate_id for one in steps[1].losers}
    assert steps[1].spend.calls == len(asked) - steps[0].spend.calls


def test_proposals_that_are_the_same_are_one(bench):
    """Three files that say the same are one challenger, and no race."""
    steps = bench.climb([PromptLever([careful(bench)] * 3)])
    assert [s.tried for s in steps] == [1, 1]


def test_a_budget_that_ends_before_a_race_keeps_the_ladder(bench):
    """The first rung takes all of it: the ladder has that rung, and no error is raised."""
    variants = [bench.start().changed(system=f"Answer. {k}", note=str(k)) for k in range(4)]
    budget = ratchet.Budget(calls=len(bench.split("dev")))
    assert len(bench.climb([PromptLever(variants)], budget=budget)) == 1


def test_changed_examples_begin_a_new_stretch_of_the_ladder(bench):
    """The champion is measured anew, a lever may be tried once more on it, and the chance of a false rung is shared with all before."""
    levers = [PromptLever([careful(bench)]), DemosLever(sizes=(2,), sets=2, screen=10)]
    bench.climb(levers)
    more = [
        ratchet.Example(inputs={"question": f"after {n}"}, reference=str(n + 1), split=split)
        for n, split in zip(range(500, 540), ["dev", "train"] * 20, strict=True)
    ]
    bench.examples += more

    again = bench.climb(levers)
    thrice = bench.climb(levers)

    assert [(s.lever, s.kept) for s in again[3:]] == [("start", True), ("demos", False)]
    assert again[3].candidate_id == again[1].candidate_id == bench.champion().id
    assert again[3].n == again[1].n + 20
    assert "changed examples" in again[3].what
    assert again[4].verdict.interval.level == pytest.approx(ratchet_level(3))
    assert thrice == again
    assert "changed examples" in html_report(Climbing(bench).story())


def test_a_lever_that_was_stopped_between_two_rungs_goes_on(bench):
    """Its second proposal is made of the champion that it began with, and gets its rung."""
    lever = PromptLever([careful(bench), bench.start().changed(system="Go on.", note="go on")])
    whole = bench.climb([])
    dev = len(bench.split("dev"))

    cut = bench.climb([lever], budget=ratchet.Budget(calls=dev))
    assert [(s.lever, s.left) for s in cut] == [("start", 0), ("prompt", 1)]
    rest = bench.climb([lever])

    assert rest[: len(whole)] == whole
    assert [(s.what, s.kept, s.left) for s in rest[1:]] == [("carefully", True, 1), ("go on", False, 0)]  # fmt: skip
    assert bench.climb([lever]) == rest


def test_a_part_of_train_is_not_learnt_from():
    """Whole groups of it, the same ones in any order; nothing of a small train split."""
    many = [
        ratchet.Example(inputs={"q": str(n)}, reference="", group=f"g{n % 60}") for n in range(600)
    ]
    kept = unlearnt_of(many)

    assert 60 <= len(kept) <= 120
    assert kept == unlearnt_of(many[::-1])
    assert {one.group for one in many if one.id in kept}.isdisjoint(one.group for one in many if one.id not in kept)  # fmt: skip
    assert not unlearnt_of(many[:199])
