"""Judges: candidates of the task "grade this", measured on a scripted model."""

import asyncio
import json

import pytest
import sqlalchemy as sa

from ratchet.answer import starting_candidate
from ratchet.core import (
    Budget,
    Candidate,
    Example,
    InputField,
    Json,
    MetricSpec,
    Roles,
    Task,
)
from ratchet.core.errors import BudgetError, MetricError, ReplyError, UnknownModelError
from ratchet.measure import Bench, Measurement, evaluate, judged_bouts, plan, race
from ratchet.measure.evaluate import recall
from ratchet.metrics import FieldScores, JudgeMetric, grading_task, pairing_task
from ratchet.models import ChatRequest, ModelPool
from ratchet.store import load_trials
from ratchet.testing import ScriptedModel

TASK = Task(
    name="t",
    instructions="Answer.",
    inputs=(InputField(name="q"),),
    metric=MetricSpec(name="judge"),
    models=Roles(student="m", teacher="judge"),
)
EXAMPLES = [Example(inputs={"q": str(k)}, reference=str(k), split="dev") for k in range(20)]
STUDENT = Candidate(model="m", user="{{q}}")


def student(request: ChatRequest) -> str:
    """Answer every second question right."""
    k = int(request.messages[-1]["content"])
    return str(k) if k % 2 == 0 else "wrong"


def asked(request: ChatRequest) -> dict[str, str]:
    """Return the inputs that a plain judge was shown."""
    lines = request.messages[-1]["content"].split("\n")
    return dict(line.split(": ", 1) for line in lines)


def judge(request: ChatRequest) -> str:
    """Pass what equals the reference."""
    seen = asked(request)
    right = seen["answer"] == seen["reference"]
    return json.dumps(
        {"reason": "as it should be" if right else "no", "grade": "pass" if right else "fail"}
    )


def metric(
    names: tuple[str, ...] = ("judge",), scale: str = "pass_fail", repeats: int = 1
) -> JudgeMetric:
    """Return a metric with a judge on each of the models."""
    grading = grading_task(TASK, rubric="It is right.", scale=scale, model=names[0])
    judges = [starting_candidate(grading, name) for name in names]
    return JudgeMetric(grading, judges, repeats=repeats)


def run(
    chosen: JudgeMetric,
    models: dict[str, ScriptedModel],
    engine: sa.Engine | None = None,
    budget: Budget | None = None,
) -> Measurement:
    """Measure the student under a metric."""

    async def work() -> Measurement:
        async with ModelPool(ready=models) as pool:
            bench = Bench(
                task=TASK, metric=chosen, engine=engine, pool=pool, budget=budget or Budget()
            )
            return await evaluate(bench, STUDENT, pool.model("m"), EXAMPLES, split="dev")

    return asyncio.run(work())


def test_a_judge_scores_and_each_vote_is_paid_once(engine: sa.Engine) -> None:
    """Half of the answers pass; votes are trials of the judge; a second run asks nobody."""
    models = {"m": ScriptedModel(student), "judge": ScriptedModel(judge)}
    chosen = metric()
    measured = run(chosen, models, engine)
    assert measured.score == 0.5
    assert measured.spend.calls == 40
    assert measured.trials[0].score is not None
    assert "as it should be" in measured.trials[0].score.feedback
    votes = load_trials(engine, [chosen.judges[0].id])
    assert len(votes) == 20
    assert {vote.task_id for vote in votes} == {chosen.grading.asking_id}
    again = run(chosen, models, engine)
    assert again.score == 0.5
    assert [len(m.requests) for m in models.values()] == [20, 20]
    request = models["judge"].requests[0]
    assert request.json_schema is not None
    assert list(request.json_schema["properties"]) == ["reason", "grade"]


def test_a_jury_means_and_shows_its_spread() -> None:
    """Two judges that differ, asked twice: the mean of four votes, the spread between them, all named."""
    models = {
        "m": ScriptedModel(student),
        "kind": ScriptedModel(lambda _: '{"reason": "fine", "grade": 5}'),
        "stern": ScriptedModel(lambda _: '{"reason": "poor", "grade": 2}'),
    }
    measured = run(metric(("kind", "stern"), "grade", repeats=2), models)
    score = measured.trials[0].score
    assert score is not None
    assert score.value == (1.0 + 0.25) / 2
    assert [vote["grade"] for vote in score.parts["votes"]] == [5, 5, 2, 2]
    assert score.parts["spread"] == 0.375
    assert measured.totals == {"spread_of_votes": 0.375, "replies_without_vote": 0.0}
    assert len(models["kind"].requests) == 40


def test_a_judge_that_answers_prose_has_no_vote() -> None:
    """One of two judges talks: the other one's vote counts. A single one that talks leaves no score, never a zero."""
    prose = ScriptedModel(lambda _: "I would say it is rather good!")
    models = {"m": ScriptedModel(student), "judge": ScriptedModel(judge), "talker": prose}
    measured = run(metric(("judge", "talker")), models)
    assert measured.score == 0.5
    assert measured.trials[0].score is not None
    assert measured.trials[0].score.parts["without_vote"] == 1
    with pytest.raises(ReplyError, match=r"no judge gave a grade.*rather good"):
        run(metric(("talker",)), models)


def test_answers_are_kept_when_the_judge_is_away_or_the_money_is_spent(engine: sa.Engine) -> None:
    """The judge fails on some, then the budget ends: answers are not paid for again, and what lacks a score is missing."""

    def moody(request: ChatRequest) -> str | Exception:
        gone = int(asked(request)["q"]) % 4 == 1
        return ReplyError("no reply", kind="timeout") if gone else judge(request)

    models = {"m": ScriptedModel(student), "judge": ScriptedModel(moody)}
    first = run(metric(), models, engine, Budget(calls=30))
    assert first.stopped == "the budget is spent"
    second = run(metric(), models, engine)
    assert second.failures["no reply (timeout)"] == 5
    assert second.n == 15
    models["judge"] = ScriptedModel(judge)
    third = run(metric(), models, engine)
    assert (third.n, third.score) == (20, 0.5)
    assert len(models["m"].requests) == 20
    assert len(models["judge"].requests) == 5


def test_another_judge_is_another_metric() -> None:
    """Rubric, judge and repeats are in the id; scores of different judges are never mixed."""
    ids = {metric().id, metric(("other",)).id, metric(repeats=2).id, metric(scale="grade").id}
    assert len(ids) == 4
    assert metric().id == metric().id


def test_what_a_judge_cannot_do_is_refused() -> None:
    """No rubric, an unknown scale, a name that is taken, a task that grades nothing, no models at hand."""
    with pytest.raises(MetricError, match="rubric is empty"):
        grading_task(TASK, rubric=" ", model="m")
    with pytest.raises(MetricError, match="scale is one of pass_fail, grade"):
        grading_task(TASK, rubric="r", scale="stars", model="m")
    taken = TASK.model_copy(update={"inputs": (InputField(name="answer"),)})
    with pytest.raises(MetricError, match="needs the name 'answer' for itself"):
        grading_task(taken, rubric="r", model="m")
    with pytest.raises(MetricError, match="is no grading task"):
        JudgeMetric(TASK, [STUDENT])
    with pytest.raises(MetricError, match="no models are at hand"):
        asyncio.run(
            evaluate(Bench(task=TASK, metric=metric()), STUDENT, ScriptedModel(student), EXAMPLES)
        )


def test_a_judge_is_measured_like_any_candidate() -> None:
    """The grading task scores the grade alone, and its examples are people's grades."""
    scores = FieldScores(only=["grade"])
    example = Example(inputs={}, reference={"reason": "", "grade": "pass"})
    assert scores.score(example, {"reason": "because", "grade": "pass"}).value == 1
    assert scores.score(example, {"reason": "", "grade": "fail"}).value == 0
    assert scores.id != FieldScores().id


def test_a_plan_counts_votes(engine: sa.Engine) -> None:
    """Before the start: each answer takes the votes of all judges; none where scores are there."""
    chosen = metric(("judge", "other"), repeats=2)
    models = {"m": ScriptedModel(student), **{n: ScriptedModel(judge) for n in ("judge", "other")}}
    bench = Bench(task=TASK, metric=chosen, engine=engine)
    assert plan(bench, STUDENT, models["m"], EXAMPLES).judged == 80
    run(chosen, models, engine)
    assert plan(bench, STUDENT, models["m"], EXAMPLES).judged == 0


def duel(judge: ScriptedModel, engine: sa.Engine | None, **options: Json):
    """Let a judge compare the student with one that is always right."""
    right = Candidate(model="right", user="{{q}}")
    models = {
        "m": ScriptedModel(student),
        "right": ScriptedModel(lambda r: r.messages[-1]["content"]),
        "judge": judge,
    }
    task = pairing_task(TASK, rubric="It is right.", model="judge")

    async def work():
        async with ModelPool(ready=models) as pool:
            bench = Bench(task=TASK, metric=metric(), engine=engine, pool=pool, **options)
            plain = Bench(task=TASK, metric=FieldScores(), engine=engine)
            measured = [
                await evaluate(plain, candidate, pool.model(candidate.model), EXAMPLES)
                for candidate in (STUDENT, right)
            ]
            return await judged_bouts(bench, task, starting_candidate(task), measured, EXAMPLES)

    return asyncio.run(work())


def pick(request: ChatRequest) -> str:
    """Prefer the right answer, wherever it stands."""
    seen = asked(request)
    return json.dumps(
        {"reason": "", "winner": "first" if seen["first"] == seen["reference"] else "second"}
    )


def test_pairs_are_judged_in_both_orders(engine: sa.Engine) -> None:
    """A fair judge finds the better one each time; equal answers tie without a call; votes are kept."""
    judge_model = ScriptedModel(pick)
    found = duel(judge_model, engine)
    assert (found.asked, found.contradictions) == (10, 0)
    assert sorted(bout.result for bout in found.bouts) == [0.0] * 10 + [0.5] * 10
    assert found.position[0] == 0.5
    assert len(judge_model.requests) == 20
    duel(judge_model, engine)
    assert len(judge_model.requests) == 20


def test_a_judge_that_follows_the_order_is_found_out(engine: sa.Engine) -> None:
    """Always "first": every pair is a contradiction, counts as a tie, and the lean to the first place is told."""
    found = duel(ScriptedModel(lambda _: '{"reason": "", "winner": "first"}'), engine)
    assert (found.asked, found.contradictions) == (10, 10)
    assert {bout.result for bout in found.bouts} == {0.5}
    share, interval = found.position
    assert share == 1.0
    assert interval.low > 0.5


def test_pairs_without_a_vote_are_left_out(engine: sa.Engine) -> None:
    """Prose is no vote; a judge that is away is an error; a spent budget keeps what it bought."""
    found = duel(ScriptedModel(lambda _: "both are nice"), engine)
    assert (found.without_vote, len(found.bouts)) == (10, 10)
    gone = ScriptedModel(lambda _: ReplyError("gone", kind="connection"))
    with pytest.raises(ReplyError, match="gone"):
        duel(gone, None)


def test_pairs_go_on_where_the_budget_ended(engine: sa.Engine) -> None:
    """Votes that were bought are there the next time."""
    fair = ScriptedModel(pick)
    stopped = duel(fair, engine, budget=Budget(calls=7))
    assert stopped.stopped == "the budget is spent"
    assert duel(fair, engine).asked == 10
    assert len(fair.requests) == 20


def test_recalled_scores_are_those_that_were_given(engine: sa.Engine) -> None:
    """Stored scores of a judge are read back without any model."""
    chosen = metric()
    run(chosen, {"m": ScriptedModel(student), "judge": ScriptedModel(judge)}, engine)
    assert recall(Bench(task=TASK, metric=chosen, engine=engine), STUDENT, EXAMPLES).score == 0.5


def test_a_reply_that_is_no_vote_is_asked_for_again(engine: sa.Engine) -> None:
    """A judge that refuses twelve answers: a second run asks for these twelve alone, and does not take the judge for dead."""
    many = [Example(inputs={"q": str(k)}, reference=str(k), split="dev") for k in range(60)]

    def choosy(request: ChatRequest) -> str:
        return "no comment" if int(asked(request)["q"]) % 5 == 0 else judge(request)

    models = {"m": ScriptedModel(student), "judge": ScriptedModel(choosy)}

    async def work() -> Measurement:
        async with ModelPool(ready=models) as pool:
            bench = Bench(task=TASK, metric=metric(), engine=engine, pool=pool)
            return await evaluate(bench, STUDENT, pool.model("m"), many, split="dev")

    assert asyncio.run(work()).failures == {"no reply (judge)": 12}
    again = asyncio.run(work())
    assert again.n == 48
    assert [len(m.requests) for m in models.values()] == [60, 72]


def test_the_same_vote_is_bought_once_however_many_want_it() -> None:
    """Six candidates that answer alike, in a race: twenty votes, not a hundred and twenty; three repeats of one: the same."""
    models = {"m": ScriptedModel(student), "judge": ScriptedModel(judge, delay_s=0.01)}

    async def work() -> None:
        async with ModelPool(ready=models) as pool:
            bench = Bench(task=TASK, metric=metric(), pool=pool)
            entrants = [
                (Candidate(model="m", system=str(k), user="{{q}}"), pool.model("m"))
                for k in range(6)
            ]
            await race(bench, entrants, EXAMPLES)
            await evaluate(bench, STUDENT, pool.model("m"), EXAMPLES, repeats=3)

    asyncio.run(work())
    assert len(models["judge"].requests) <= 40


def test_votes_under_way_are_kept_when_another_judge_fails(engine: sa.Engine) -> None:
    """One judge fails at once, the other takes its time: its vote is charged, stored, and there the next time."""
    gone = ScriptedModel(lambda _: ReplyError("gone", kind="connection"))
    models = {
        "m": ScriptedModel(student),
        "fast": gone,
        "slow": ScriptedModel(judge, delay_s=0.05),
    }
    chosen = metric(("fast", "slow"))
    with pytest.raises(ReplyError, match="gone"):
        run(chosen, models, engine)
    votes = load_trials(engine, [chosen.judges[1].id])
    assert len(votes) == len(models["slow"].requests)


def test_a_budget_in_dollars_binds_judges_too() -> None:
    """A judge without a price is refused under one; and with a price it counts."""

    class Unpriced(ScriptedModel):
        def price(self, _prompt: int, _completion: int) -> None:
            return None

    models = {"m": ScriptedModel(student), "judge": Unpriced(judge)}
    with pytest.raises(BudgetError, match="price of the judge judge is unknown"):
        run(metric(), models, budget=Budget(cost_usd=1.0))
    assert run(metric(), models).spend.cost_usd is None
    dear = {"m": ScriptedModel(student), "judge": ScriptedModel(judge, price=(1e5, 0.0))}
    dear["judge"].concurrency = 1
    assert run(metric(), dear, budget=Budget(cost_usd=20.0)).stopped == "the budget is spent"


def test_a_pair_judge_that_is_unknown_is_one_error() -> None:
    """No group of exceptions reaches the caller."""
    task = pairing_task(TASK, rubric="r", model="nosuch")
    measured = [
        run(metric(), {"m": ScriptedModel(student), "judge": ScriptedModel(judge)})
        for _ in range(2)
    ]
    measured[1].trials[0] = measured[1].trials[0].model_copy(update={"answer": "another"})

    async def work() -> None:
        async with ModelPool() as pool:
            bench = Bench(task=TASK, metric=metric(), pool=pool)
            await judged_bouts(bench, task, starting_candidate(task), measured, EXAMPLES)

    with pytest.raises(UnknownModelError, match="nosuch"):
        asyncio.run(work())
