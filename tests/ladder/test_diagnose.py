"""Why answers fail: worlds whose cause is known, and what the journey makes of them."""

import json
import multiprocessing
import os
from random import Random

import pytest
from benchmarks.proof.worlds import WORLDS, levers_of, world

from ratchet import Budget, Climbing, DemosLever, PromptLever, RetrievalLever
from ratchet.core.errors import BudgetError, UnknownModelError, UsageError
from ratchet.ladder import QUICK, Depth, html_report, json_report, markdown_report
from ratchet.measure.strata import weighed_mean
from ratchet.models import ModelPool
from ratchet.store import open_database
from ratchet.testing import ScriptedModel

pytest.importorskip("bm25s")
FEW = 400


@pytest.mark.parametrize("name", WORLDS)
def test_the_cause_is_named(name):
    """Of 100 train examples; nothing is paid for twice, and dev is not looked at."""
    made = world(name, 3, FEW)
    climbing = Climbing(made.bench)

    found = climbing.diagnose(made.start)
    budget = Budget(calls=1)
    again = climbing.diagnose(made.start, budget=budget)

    assert found.cause == made.cause
    assert sum(one.count for one in found.shares) == min(40, found.failures)
    assert found.knows + found.acts <= 1 + 1e-9
    assert again.shares == found.shares
    assert budget.calls_made == 0
    assert climbing.diagnoses()[made.start.id].cause == made.cause
    dev = {example.id for example in made.bench.split("dev")}
    assert not dev & {name for one in found.shares for name in one.examples}


def test_a_journey_goes_where_the_evidence_points_and_stops():
    """The right lever first; then nothing promises what it would cost, and that is said."""
    made = world("model too small", 3, FEW)
    said = []
    made.bench.watching.says = said.append

    steps = Climbing(made.bench).journey(levers_of(made.start), start=made.start)

    assert [(s.lever, s.kept) for s in steps] == [("start", True), ("model", True)]
    assert steps[-1].score >= 0.95 * made.reachable
    assert "no lever is expected to gain what it costs" in said[-1]


def test_labels_that_look_wrong_are_no_lever_s_business():
    """Nothing is tried; the user is told to look at the references."""
    made = world("labels noisy", 3, FEW)
    said = []
    made.bench.watching.says = said.append

    steps = Climbing(made.bench).journey(levers_of(made.start), start=made.start)

    assert [s.lever for s in steps] == ["start"]
    assert "look at the references" in said[-1]


def test_a_target_ends_it_and_one_out_of_reach_is_told():
    """How much is missing stands in the last line."""
    made = world("format unknown", 3, FEW)
    said = []
    made.bench.watching.says = said.append
    climbing = Climbing(made.bench)

    first = climbing.journey(levers_of(made.start), start=made.start, target=0.2)
    rest = climbing.journey([DemosLever(nearest=())], target=1.0)

    assert [s.lever for s in first] == ["start"]
    assert "the target of 20 is reached" in said[1]
    assert len(rest) > 1
    assert "points are missing to the target" in said[-1]
    with pytest.raises(UsageError, match="a target is a score"):
        climbing.journey([], target=80)


def test_who_is_asked_before_each_rung_may_refuse():
    """A lever that is refused is passed over, and the next one is offered."""
    made = world("format unknown", 3, FEW)
    offered = []

    def ask(best, prospects):
        offered.append(best.lever.name)
        return best.lever.name == "demos"

    steps = Climbing(made.bench).journey(levers_of(made.start), start=made.start, ask=ask)

    assert [s.lever for s in steps][:2] == ["start", "demos"]
    assert offered[0] != "demos"


def test_a_budget_for_half_a_rung_keeps_what_it_bought():
    """The same ladder as without an end, once there is more; nothing is asked twice."""
    whole = world("format unknown", 4, FEW)
    plain = Climbing(whole.bench).journey(levers_of(whole.start), start=whole.start)
    asked = sum(len(m.requests) for m in whole.bench._models.values())
    made = world("format unknown", 4, FEW)
    spent = 0

    for calls in (310, 90, 60, 150, 400, 100_000):
        budget = Budget(calls=calls)
        steps = Climbing(made.bench).journey(levers_of(made.start), start=made.start, budget=budget)
        spent += budget.calls_made

    assert [(s.lever, s.candidate_id, s.kept) for s in steps] == [
        (s.lever, s.candidate_id, s.kept) for s in plain
    ]
    assert sum(len(m.requests) for m in made.bench._models.values()) == asked


def test_nothing_to_diagnose():
    """A candidate that is always right, and a budget that ends before the questions do."""
    made = world("model too small", 3, FEW)
    perfect = made.bench.start().changed(model="perfect")
    from ratchet.testing import ScriptedModel

    answers = {e.inputs["q"]: e.reference for e in made.bench.examples}
    made.bench._models["perfect"] = ScriptedModel(
        lambda r: answers[r.messages[-1]["content"].strip()], name="perfect"
    )
    climbing = Climbing(made.bench)

    found = climbing.diagnose(perfect, depth=QUICK)

    assert (found.failures, found.cause, found.experiments) == (0, None, ())
    with pytest.raises(BudgetError, match="not finished"):
        climbing.diagnose(made.start, depth=Depth(count=50), budget=Budget(calls=60))


def test_levers_that_cannot_be_tried_are_named_with_the_reason():
    """Without a knowledge base there is nothing to search."""
    made = world("format unknown", 3, FEW)
    seen: list[dict[str, str]] = []
    made.bench.watching.diagnoses = lambda found, prospects: seen.append(prospects.left_out)

    Climbing(made.bench).journey([PromptLever([]), RetrievalLever()], start=made.start)

    assert seen[0]["prompt"] == "has nothing to propose"
    assert seen[0]["retrieval"] == "the diagnosis points elsewhere"


def test_a_weighed_mean_is_that_of_all():
    """Strata by their shares; a stratum of equal values is not known exactly."""
    mean, interval = weighed_mean([(0.2, [1.0, 1.0, 0.0, 0.0]), (0.8, [0.0, 0.0])])

    assert mean == pytest.approx(0.1)
    assert interval.low < mean < interval.high
    assert weighed_mean([(0.5, []), (0.5, [1.0, 1.0])])[0] == 0.5
    narrow, wide = (weighed_mean([(1.0, [1.0] * n)])[1] for n in (100, 4))
    assert narrow.high - narrow.low < wide.high - wide.low


def test_the_report_tells_the_whole_story():
    """Before and after, the front, the sealed split, what it took, how to do it again; as a page, as Markdown, as JSON."""
    made = world("model too small", 3, FEW)
    climbing = Climbing(made.bench)
    climbing.journey(levers_of(made.start), start=made.start)
    made.bench.final()

    story = climbing.story()
    page, text, body = html_report(story), markdown_report(story), json_report(story)

    for said in (page, text):
        assert "Why answers fail, before" in said
        assert "Why answers fail, after" in said
        assert "beyond this model" in said
        assert "on the front" in said
        assert "ratchet final made-up" in said
        assert story.openings[0].sentence.split(",")[0] in said.replace("&#x27;", "'")
    assert "http" not in page
    assert body["diagnoses"]["before"]["cause"] == "beyond this model"
    assert [one["dominated_by"] is None for one in body["front"]].count(True) >= 1
    assert body["spend"]["calls"] == sum(step.spend.calls for step in story.steps)
    json.dumps(body)


KILLED, SOME = 20, 120
"""Points at which a climb is killed, and examples of its world."""


def climbed(folder, left, told):
    """Climb in `folder`, and end the process at once after so many answers; tell the ladder and the answers asked for."""
    folder.mkdir(exist_ok=True)
    made = world("format unknown", 6, SOME)
    made.bench.engine, made.bench.files = open_database(f"sqlite:///{folder / 'r.db'}"), folder
    asked = []

    def without(_, name):  # an embedding that takes seconds to load; there are other experiments
        raise UnknownModelError(name)

    ModelPool.embedder = without

    class Dying(ScriptedModel):
        async def chat(self, request):
            asked.append(request)
            if len(asked) > left:
                os._exit(9)
            return await super().chat(request)

    models = made.bench._models
    made.bench._models = {name: Dying(model._answer, name=name) for name, model in models.items()}
    steps = Climbing(made.bench).journey(levers_of(made.start), start=made.start)
    told.send(([(s.lever, s.candidate_id, s.kept) for s in steps], len(asked)))


def process(folder, left=10**6):
    """Run a climb in a process of its own; return its exit code, and what it told."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ratchet.testing", "benchmarks.proof.worlds"])
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=climbed, args=(folder, left, there))
    child.start()
    there.close()
    child.join()
    return child.exitcode, here.recv() if child.exitcode == 0 else None


def test_a_killed_climb_goes_on_to_the_same_ladder(tmp_path):
    """Killed after any number of answers it ends as it would have; at most the answers under way are asked once more."""
    _, (ladder, asked) = process(tmp_path / "whole")
    assert len(ladder) > 1

    for number in Random(6).sample(range(asked), KILLED):
        folder = tmp_path / str(number)
        assert process(folder, number)[0] == 9
        code, (again, rest) = process(folder)

        assert (code, again) == (0, ladder)
        assert number + rest - asked <= 64
