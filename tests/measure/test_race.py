"""A race against scripted models: right, cheap, and the same after a kill."""

import asyncio

import numpy as np
import pytest
import sqlalchemy as sa

from ratchet.core import (
    Budget,
    Candidate,
    Example,
    InputField,
    Json,
    MetricSpec,
    Roles,
    Score,
    Spend,
    Task,
)
from ratchet.core.errors import MetricError, ReplyError, UsageError
from ratchet.measure import Bench, Measurement, Race, RaceProgress, evaluate, race
from ratchet.measure.selection import Place
from ratchet.metrics import ExactMatch
from ratchet.metrics.function import FunctionMetric
from ratchet.models import ChatRequest
from ratchet.store import load_trials
from ratchet.testing import ScriptedModel

TASK = Task(
    name="t",
    instructions="Answer.",
    inputs=(InputField(name="q"),),
    metric=MetricSpec(name="exact"),
    models=Roles(student="m"),
)
EXAMPLES = [Example(inputs={"q": str(j)}, reference="yes", split="dev") for j in range(120)]
CANDIDATES = [Candidate(model="m", system=str(k), user="{{q}}", note=f"p{k}") for k in range(8)]
RIGHT = np.random.default_rng(0).random((8, 120)) < np.linspace(0.4, 0.8, 8)[:, None]


def answer(request: ChatRequest) -> str:
    """Answer as the table of right answers says."""
    k, j = (int(request.messages[place]["content"]) for place in (0, -1))
    return "yes" if RIGHT[k, j] else "no"


def run(
    engine: sa.Engine | None, model: ScriptedModel, budget: Budget | None = None, **options: Json
) -> Race:
    """Run the race of all candidates."""
    bench = Bench(task=TASK, metric=ExactMatch(), engine=engine, budget=budget or Budget())
    entrants = [(candidate, model) for candidate in CANDIDATES]
    return asyncio.run(race(bench, entrants, EXAMPLES, split="dev", **options))


def test_a_race_finds_the_best_for_a_part_of_the_calls(engine: sa.Engine) -> None:
    """The pick is within the tolerance of the best; every answer is kept; the same race again calls nothing."""
    model, looks = ScriptedModel(answer), list[RaceProgress]()
    found = run(engine, model, tolerance=0.02, watch=looks.append)
    means = RIGHT.mean(1)
    assert means[found.places[0].candidate] >= means.max() - 0.02
    assert found.pick.candidate is CANDIDATES[found.places[0].candidate]
    assert len(model.requests) == found.answered == found.spend.calls < 0.7 * found.grid
    assert found.stopped is None
    assert looks[-1].answered == found.answered
    assert len(load_trials(engine, [c.id for c in CANDIDATES])) == found.answered
    again = run(engine, model, tolerance=0.02)
    assert len(model.requests) == found.answered
    assert again.places == found.places
    assert again.sentence == found.sentence


def test_a_race_that_was_killed_ends_as_if_it_had_not(engine: sa.Engine) -> None:
    """Cut off by a budget at several places, and then by an exception, it asks for the same answers in all."""
    whole = run(None, ScriptedModel(answer))
    model = ScriptedModel(answer)
    for calls in (50, 60, 50):
        part = run(engine, model, Budget(calls=calls))
        assert part.stopped == "the budget is spent"

    def broken(request: ChatRequest) -> str:
        if len(model.requests) > 180:
            raise KeyboardInterrupt
        return answer(request)

    model._answer = broken
    with pytest.raises(KeyboardInterrupt):
        run(engine, model)
    model._answer = answer
    end = run(engine, model)
    assert end.places == whole.places
    assert end.regret == whole.regret


def test_trials_that_are_there_cost_nothing_and_count(engine: sa.Engine) -> None:
    """A candidate that is measured already is known from the start."""
    model = ScriptedModel(answer)
    bench = Bench(task=TASK, metric=ExactMatch(), engine=engine)
    asyncio.run(evaluate(bench, CANDIDATES[7], model, EXAMPLES, split="dev"))
    found = run(engine, model, seed=1)
    assert len(found.measured[7].outcomes) == len(EXAMPLES)
    assert found.measured[7].bought == 0
    fresh = run(None, ScriptedModel(answer), seed=1)
    assert found.spend.calls < fresh.spend.calls


def test_missing_replies_and_failing_metrics_are_named() -> None:
    """An endpoint that drops some answers does not end the race; a dead one and a metric that raises do."""

    def flaky(request: ChatRequest) -> str | Exception:
        if int(request.messages[-1]["content"]) % 10 == 3:
            return ReplyError("no reply", kind="timeout")
        return answer(request)

    found = run(None, ScriptedModel(flaky))
    assert found.measured[0].failures["no reply (timeout)"] > 0
    dead = ScriptedModel(lambda _: ReplyError("gone", kind="connection"))
    with pytest.raises(ReplyError, match="gone"):
        run(None, dead)

    def raising(_inputs: dict[str, Json], _reference: Json, _answer: Json) -> float:
        raise ZeroDivisionError

    bench = Bench(task=TASK, metric=FunctionMetric(raising))
    entrants = [(candidate, ScriptedModel(answer)) for candidate in CANDIDATES]
    with pytest.raises(MetricError, match="ZeroDivisionError"):
        asyncio.run(race(bench, entrants, EXAMPLES))


def test_a_race_takes_two() -> None:
    """One candidate, or the same one twice, is no race."""
    bench, model = Bench(task=TASK, metric=ExactMatch()), ScriptedModel(answer)
    for entrants in ([CANDIDATES[0]], [CANDIDATES[0], CANDIDATES[0]]):
        with pytest.raises(UsageError, match="at least two different candidates"):
            asyncio.run(race(bench, [(c, model) for c in entrants], EXAMPLES))


def test_a_graded_metric_races_too() -> None:
    """Scores between 0 and 1 are raced as they are."""

    def share(inputs: dict[str, Json], _reference: Json, answer: Json) -> Score:
        return Score(value=min(1.0, float(answer) + 0.001 * (int(inputs["q"]) % 7)))

    def graded(request: ChatRequest) -> str:
        k, j = (int(request.messages[place]["content"]) for place in (0, -1))
        return str(0.1 * k + 0.1 * RIGHT[k, j])

    bench = Bench(task=TASK, metric=FunctionMetric(share))
    entrants = [(candidate, ScriptedModel(graded)) for candidate in CANDIDATES]
    found = asyncio.run(race(bench, entrants, EXAMPLES))
    assert found.places[0].candidate == 7
    assert found.answered < 0.4 * found.grid


def test_a_dead_entrant_falls_out_and_the_race_goes_on(engine: sa.Engine) -> None:
    """One candidate's model gives no reply at all: the others are raced to the end, and it is never the pick."""
    dead = ScriptedModel(lambda _: ReplyError("gone", kind="connection"), name="dead")
    model = ScriptedModel(answer, name="alive")
    bench = Bench(task=TASK, metric=ExactMatch(), engine=engine)
    entrants = [(CANDIDATES[k], model) for k in range(4)] + [(CANDIDATES[7], dead)]
    found = asyncio.run(race(bench, entrants, EXAMPLES))
    assert found.places[-1].candidate == 4
    assert found.measured[4].failures.keys() == {"no reply (connection)"}
    assert 10 <= found.measured[4].failures["no reply (connection)"] < 10 + 16
    assert found.places[0].chance >= 0.95


def test_equal_candidates_are_told_apart_by_price_and_no_tolerance_is_fine() -> None:
    """Three that answer alike, all seen: each is the best for certain, and the cheapest is the pick everywhere."""
    alike = [Candidate(model="m", system=f"0{' ' * k}", user="{{q}}") for k in range(3)]
    model = ScriptedModel(answer)
    bench = Bench(task=TASK, metric=ExactMatch())
    few = EXAMPLES[:10]
    found = asyncio.run(race(bench, [(c, model) for c in alike], few, tolerance=0.0))
    assert [place.chance for place in found.places] == [1.0, 1.0, 1.0]
    assert found.regret == 0.0


@pytest.mark.parametrize(("regret", "is_told"), [(0.031, True), (0.9, False)])
def test_a_bound_is_told_only_where_it_says_something(regret: float, is_told: bool) -> None:
    """That the pick is at most 90 points behind helps nobody; three points do."""
    measured = Measurement.of(
        [], candidate=Candidate(model="m", user="u", note="terse"), split="dev", metric_id="m", examples=[]
    )  # fmt: skip
    place = Place(candidate=0, estimate=0.7, low=0.6, high=0.8, chance=0.96, answered=10)
    found = Race(
        measured=[measured], places=[place], tolerance=0.01, regret=regret, level=0.95, spend=Spend(), stopped=None
    )  # fmt: skip

    assert ("points behind it" in found.sentence) is is_told
    assert "within 1.0 points of the best with probability 96 %" in found.sentence
