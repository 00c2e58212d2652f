"""Measuring: every trial is kept, none is paid for twice, and what got no reply is missing, not zero."""

import math
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa

from ratchet.core import AnswerForm, Budget, Candidate, Example, InputField, MetricSpec, Roles, Task
from ratchet.core.errors import BudgetError, DataError, MetricError, ReplyError
from ratchet.measure import Bench, Measurement, evaluate, plan, recall
from ratchet.metrics import ExactMatch, Metric, make_metric
from ratchet.metrics.function import FunctionMetric
from ratchet.models import ChatModel, ChatRequest, EndpointModel
from ratchet.store import load_trials, open_database
from ratchet.store.writer import PAUSE_S
from ratchet.testing import Fault, ScriptedModel, ScriptedServer

TASK = Task(
    name="t",
    instructions="Say it.",
    inputs=(InputField(name="text"),),
    answer=AnswerForm(kind="label", labels=("yes", "no")),
    metric=MetricSpec(name="exact"),
    models=Roles(student="scripted"),
)
CANDIDATE = Candidate(model="scripted", user="{{text}}")
EXACT: Metric = ExactMatch()


def examples(count: int) -> list[Example]:
    """Return examples of which every other one has the answer yes."""
    return [
        Example(inputs={"text": f"question {i}"}, reference=("yes", "no")[i % 2], split="dev")
        for i in range(count)
    ]


def bench(engine: sa.Engine | None, *, metric: Metric = EXACT, **budget: float) -> Bench:
    return Bench(task=TASK, metric=metric, engine=engine, budget=Budget(**budget))


def always(said: str = "yes", **parts: object) -> ScriptedModel:
    return ScriptedModel(lambda _request: said, **parts)


def numbered(request: ChatRequest) -> int:
    return int(request.messages[-1]["content"].split()[-1])


async def measure(
    where: Bench, model: ChatModel, rows: Sequence[Example], *, repeats: int = 1
) -> Measurement:
    return await evaluate(where, CANDIDATE, model, rows, split="dev", repeats=repeats)


async def test_trials_are_kept_with_their_scores(engine: sa.Engine) -> None:
    """What a measurement returns is what the database holds."""
    measured = await measure(bench(engine), always(), examples(10))

    stored = load_trials(engine, [CANDIDATE.id], metric_id=EXACT.id)
    assert sorted(measured.trials, key=lambda t: t.example_id) == stored
    assert (measured.n, measured.score, measured.bought) == (10, 0.5, 10)
    assert measured.stopped is None


async def test_a_second_run_buys_nothing(engine: sa.Engine) -> None:
    """The same measurement again makes no call and gives the same trials."""
    first = await measure(bench(engine), always(), examples(10))
    silent = ScriptedModel([])

    second = await measure(bench(engine), silent, examples(10))

    assert silent.requests == []
    assert second.trials == first.trials
    assert (second.bought, second.spend.calls, second.spend.cost_usd) == (0, 0, 0)


async def test_stored_repeats_count_wherever_a_score_is_shown(engine: sa.Engine) -> None:
    """After three repeats a measurement that asks for one, and a recall, have the figures of all three, and buy nothing."""
    replies = iter(["yes", "no", "yes"] * 10)
    whole = await measure(
        bench(engine), ScriptedModel(lambda _: next(replies)), examples(10), repeats=3
    )
    silent = ScriptedModel([])

    again = await measure(bench(engine), silent, examples(10))
    recalled = recall(bench(engine), CANDIDATE, examples(10), split="dev")

    assert silent.requests == []
    assert len(whole.outcomes) == len(again.outcomes) == len(recalled.outcomes) == 30
    assert whole.by_example() == again.by_example() == recalled.by_example()
    assert list(again.by_example()) == [example.id for example in examples(10)]
    assert (again.score, again.interval, again.n) == (whole.score, whole.interval, whole.n)
    assert (recalled.score, recalled.interval) == (whole.score, whole.interval)


async def test_more_examples_buy_only_the_new_ones(engine: sa.Engine) -> None:
    """Examples that were answered before are passed over."""
    await measure(bench(engine), always(), examples(10))
    model = always()

    measured = await measure(bench(engine), model, examples(15))

    assert sorted(map(numbered, model.requests)) == [10, 11, 12, 13, 14]
    assert (measured.n, measured.bought) == (15, 5)


async def test_another_candidate_pays_for_itself(engine: sa.Engine) -> None:
    """A candidate that differs in one setting shares no trial."""
    await measure(bench(engine), always(), examples(3))
    other, model = CANDIDATE.changed(system="Think."), always()

    await evaluate(bench(engine), other, model, examples(3))

    assert len(model.requests) == 3


async def test_another_metric_scores_the_kept_answers(engine: sa.Engine) -> None:
    """A new metric buys nothing, and the scores of the old one stay."""
    await measure(bench(engine), always(), examples(10))
    silent, lenient = ScriptedModel([]), FunctionMetric(lambda _inputs, _reference, _answer: 0.75)

    measured = await measure(bench(engine, metric=lenient), silent, examples(10))

    assert (measured.score, measured.bought, silent.requests) == (0.75, 0, [])
    scores = {
        metric.id: [
            t.score.value
            for t in load_trials(engine, [CANDIDATE.id], metric_id=metric.id)
            if t.score
        ]
        for metric in (EXACT, lenient)
    }
    assert sum(scores[EXACT.id]) == 5
    assert scores[lenient.id] == [0.75] * 10


async def test_answers_that_fail_are_counted_by_kind_and_score_zero() -> None:
    """An answer without the task's form is a failure of its kind, and part of the mean."""
    model = ScriptedModel(lambda r: ("yes", "", "maybe", "no")[numbered(r) % 4])

    measured = await measure(bench(None), model, examples(8))

    assert measured.failures == {"empty": 2, "wrong form": 2}
    assert (measured.n, measured.score) == (8, 0.5)


async def test_what_got_no_reply_is_missing_and_not_zero(engine: sa.Engine) -> None:
    """Examples without a reply are counted by reason and left out of the mean; the next run asks for them again."""
    gone = ReplyError("no reply", kind="timeout")
    model = ScriptedModel(lambda r: gone if numbered(r) in (1, 3) else "yes")

    measured = await measure(bench(engine), model, examples(6))

    assert measured.failures == {"no reply (timeout)": 2}
    assert (measured.n, measured.score, measured.bought) == (4, 0.75, 4)
    again = always()
    assert (await measure(bench(engine), again, examples(6))).n == 6
    assert sorted(map(numbered, again.requests)) == [1, 3]


async def test_a_dead_endpoint_ends_with_its_error_after_few_calls(engine: sa.Engine) -> None:
    """Where nothing answers, the error comes after a handful of calls, not after all of them, and nothing is stored."""
    with ScriptedServer(
        lambda _body: "yes", faults=[Fault(status=500, headers=(("Retry-After", "0"),))] * 9999
    ) as server:
        async with EndpointModel("mock/m", "m", server.url, concurrency=4, retries=1) as model:
            with pytest.raises(ReplyError, match="status 500"):
                await measure(bench(engine), model, examples(500))

    assert server.calls <= (10 + 4) * 2
    assert load_trials(engine, [CANDIDATE.id]) == []


async def test_a_rerun_against_a_dead_endpoint_ends_soon_too(engine: sa.Engine) -> None:
    """Trials that are there already do not make a dead endpoint look alive."""
    await measure(bench(engine), always(), examples(20))
    with ScriptedServer(
        lambda _body: "yes", faults=[Fault(status=500, headers=(("Retry-After", "0"),))] * 9999
    ) as server:
        async with EndpointModel("mock/m", "m", server.url, concurrency=4, retries=0) as model:
            with pytest.raises(ReplyError, match="status 500"):
                await measure(bench(engine), model, examples(500))

    assert server.calls <= 10 + 4
    assert len(load_trials(engine, [CANDIDATE.id])) == 20


async def test_few_examples_without_any_reply_are_an_error_too() -> None:
    """Also below the number of calls that make an endpoint hopeless, no reply at all is an error, not a score."""
    model = ScriptedModel([])

    with pytest.raises(ReplyError):
        await measure(bench(None), model, examples(3))


@pytest.mark.parametrize("concurrency", [1, 4, 64])
async def test_a_budget_in_calls_is_kept_to_the_call(engine: sa.Engine, concurrency: int) -> None:
    """No more calls are made than allowed, however many may be under way, and runs go on until all is there."""
    model = always(delay_s=0.001)
    model.concurrency = concurrency

    first = await measure(bench(engine, calls=7), model, examples(20))

    assert (len(model.requests), first.bought, first.n) == (7, 7, 7)
    assert first.stopped == "the budget is spent"
    second = await measure(bench(engine, calls=7), model, examples(20))
    third = await measure(bench(engine, calls=7), model, examples(20))
    assert (second.n, third.n) == (14, 20)
    assert third.stopped is None
    assert len(model.requests) == 20


async def test_a_budget_in_dollars_stops_with_what_was_in_flight(engine: sa.Engine) -> None:
    """Calls stop once the money is spent; only those under way at that moment come on top, and all are kept."""
    model = always(price=(0, 1_000_000), delay_s=0.001)
    model.concurrency = 3

    measured = await measure(bench(engine, cost_usd=5), model, examples(50))

    assert 5 <= measured.bought <= 5 + 2
    assert measured.spend.cost_usd == measured.bought
    assert measured.stopped == "the budget is spent"
    assert len(load_trials(engine, [CANDIDATE.id])) == measured.bought


async def test_a_budget_that_is_spent_before_the_first_call_is_refused(engine: sa.Engine) -> None:
    """A measurement that could buy nothing, and has nothing, is an error; one that has trials shows them."""
    spent = bench(engine, calls=1)
    spent.budget.charge(calls=1)

    with pytest.raises(BudgetError, match="raise --budget"):
        await measure(spent, always(), examples(5))

    await measure(bench(engine), always(), examples(2))
    shown = await measure(spent, ScriptedModel([]), examples(5))
    assert (shown.n, shown.stopped) == (2, "the budget is spent")


async def test_repeats_are_trials_of_their_own(engine: sa.Engine) -> None:
    """Each example is asked `repeats` times; more repeats later buy only the difference."""
    model = always()
    await measure(bench(engine), model, examples(4))

    measured = await measure(bench(engine), model, examples(4), repeats=3)

    assert Counter(map(numbered, model.requests)) == dict.fromkeys(range(4), 3)
    assert sorted({t.repeat for t in measured.trials}) == [0, 1, 2]
    assert (measured.n, len(measured.trials), measured.bought) == (4, 12, 8)


async def test_a_metric_that_raises_keeps_the_paid_answer(engine: sa.Engine) -> None:
    """The error names the metric and the example; with the metric mended, no answer is bought again."""

    def broken(_inputs: object, _reference: object, _answer: object) -> float:
        raise KeyError("oops")

    model = always()
    model.concurrency = 1
    with pytest.raises(MetricError, match=r"'broken' failed on example e_.*oops"):
        await measure(bench(engine, metric=FunctionMetric(broken)), model, examples(3))
    assert [t.score for t in load_trials(engine, [CANDIDATE.id])] == [None]

    measured = await measure(bench(engine), model, examples(3))

    assert measured.n == 3
    assert len(model.requests) == 3


async def test_calls_in_flight_are_kept_when_a_metric_raises(engine: sa.Engine) -> None:
    """What was asked before the metric failed comes back and is kept; nothing new is asked."""

    def broken(_inputs: object, _reference: object, _answer: object) -> float:
        raise KeyError("oops")

    model = always(delay_s=0.02)
    model.concurrency = 4
    with pytest.raises(MetricError, match="oops"):
        await measure(bench(engine, metric=FunctionMetric(broken)), model, examples(50))

    assert len(load_trials(engine, [CANDIDATE.id])) == len(model.requests) == 4


async def test_any_error_of_a_metric_keeps_the_paid_answer(engine: sa.Engine) -> None:
    """A metric of one's own class that raises something else loses nothing either."""

    class Broken(ExactMatch):
        def score(self, example: Example, answer: object) -> object:
            raise ZeroDivisionError

    model = always()
    model.concurrency = 1

    with pytest.raises((MetricError, ZeroDivisionError)):
        await measure(bench(engine, metric=Broken()), model, examples(3))

    assert len(load_trials(engine, [CANDIDATE.id])) == len(model.requests) == 1


def failing_on(*texts: str) -> FunctionMetric:
    """Return a metric that raises on these inputs and scores 1 elsewhere."""

    def picky(inputs: dict[str, str], _reference: object, _answer: object) -> float:
        if inputs["text"] in texts:
            raise KeyError(inputs["text"])
        return 1.0

    return FunctionMetric(picky)


@pytest.mark.parametrize("place", [0, 3, 9])
async def test_an_example_that_the_metric_fails_on_is_left_out_and_named(
    engine: sa.Engine, place: int
) -> None:
    """The others are scored; what was paid for is kept, and not bought again by the next run."""
    model = always()
    model.concurrency = 1
    where = bench(engine, metric=failing_on(f"question {place}"))

    measured = await measure(where, model, examples(10))
    again = await measure(where, model, examples(10))

    assert (measured.n, measured.score) == (again.n, again.score) == (9, 1.0)
    assert measured.failures == again.failures == {"not scored (metric error)": 1}
    assert measured.missing[0].example_id == examples(10)[place].id
    assert f"question {place}" in measured.missing[0].message
    assert len(model.requests) == 10


async def test_a_metric_that_fails_too_often_ends_the_measurement(engine: sa.Engine) -> None:
    """A tenth by default; the task may allow more, or none beside the first."""
    texts = [f"question {i}" for i in range(4)]
    metric = failing_on(*texts)
    model = always()
    model.concurrency = 1

    with pytest.raises(MetricError, match="question 2"):
        await measure(bench(engine, metric=metric), model, examples(20))
    assert len(model.requests) == 3
    metric.max_failed_share = 0.2
    measured = await measure(bench(engine, metric=metric), model, examples(20))

    assert (measured.n, len(measured.missing)) == (16, 4)
    assert len(model.requests) == 20


async def test_nothing_scored_at_all_is_an_error(engine: sa.Engine) -> None:
    """A single example that cannot be scored leaves no figure."""
    with pytest.raises(MetricError, match="question 0"):
        await measure(bench(engine, metric=failing_on("question 0")), always(), examples(1))


async def test_scores_of_an_earlier_metric_are_kept_and_not_mixed(
    engine: sa.Engine, tmp_path: Path
) -> None:
    """An edited helper makes another metric: answers are scored anew, free of charge, and the old scores stay under the old id."""
    (tmp_path / "score.py").write_text(
        "import helper\ndef score(inputs, reference, answer):\n    return helper.VALUE\n"
    )
    spec = MetricSpec(name="function", options={"path": "score.py:score"})
    model = always()
    scores, ids = [], []
    for value in (0.25, 0.75):
        (tmp_path / "helper.py").write_text(f"VALUE = {value}\n")
        metric = make_metric(spec, root=tmp_path)
        ids.append(metric.id)
        scores.append((await measure(bench(engine, metric=metric), model, examples(3))).score)
    first = [
        t.score.value for t in load_trials(engine, [CANDIDATE.id], metric_id=ids[0]) if t.score
    ]

    assert scores == [0.25, 0.75]
    assert first == [0.25] * 3
    assert len(model.requests) == 3


async def test_no_examples_are_an_error() -> None:
    """An empty split is named, never scored."""
    with pytest.raises(DataError, match="no examples in split 'dev'"):
        await measure(bench(None), always(), [])


async def test_a_plan_is_what_the_run_then_takes(engine: sa.Engine) -> None:
    """The calls, the kept trials and, for a counted model, the prompt tokens of the plan are those of the run."""
    await measure(bench(engine), always(), examples(4))
    model = always(price=(1_000_000, 0))

    planned = plan(bench(engine), CANDIDATE, model, examples(10))
    measured = await measure(bench(engine), model, examples(10))

    assert (planned.calls, planned.kept, planned.counted) == (6, 4, True)
    assert planned.prompt_tokens == 6 * 2
    assert measured.bought == 6
    assert planned.cost_usd == measured.spend.cost_usd == 12


async def test_progress_is_told_after_each_trial() -> None:
    """The one who watches sees each trial once, kept or new, and the total from the start."""
    seen: list[tuple[int, int]] = []
    where = bench(None)
    where.watch = lambda progress: seen.append((progress.done, progress.total))

    await measure(where, always(), examples(5))

    assert seen == [(i, 5) for i in range(1, 6)]


async def test_an_unknown_price_makes_the_cost_unknown() -> None:
    """A reply without a price makes the sum None, never too low."""
    with ScriptedServer(lambda _body: "yes") as server:
        async with EndpointModel("mock/m", "m", server.url) as model:
            measured = await measure(bench(None), model, examples(3))

    assert (measured.cost_usd, measured.spend.cost_usd) == (None, None)
    assert not math.isnan(measured.score)


CONCURRENCY, DELAY_S, COMMIT_S = 4, 0.02, 0.25
IN_A_PROCESS = f"""
import asyncio, sys
sys.path.insert(0, sys.argv[1])
from {Path(__file__).stem} import *

async def main(url, database):
    async with EndpointModel("mock/m", "m", url, concurrency=CONCURRENCY) as model:
        measured = await measure(bench(open_database(database)), model, examples(300))
    print(measured.n, measured.bought)

asyncio.run(main(sys.argv[2], sys.argv[3]))
"""


def start_measuring(server: ScriptedServer, database: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", IN_A_PROCESS, str(Path(__file__).parent), server.url, database]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ))


async def test_a_killed_measurement_goes_on_where_it_was(database_url: str) -> None:
    """After SIGKILL no stored trial is asked for again, and little more than what was in flight was lost.

    Lost is what was asked for and not stored: at most `CONCURRENCY` calls in flight, and the answers that came in while the
    writer gathered its batch (`PAUSE_S`) and committed the one before (`COMMIT_S`, generous for a busy machine).
    """
    bound = CONCURRENCY + round((PAUSE_S + COMMIT_S) * CONCURRENCY / DELAY_S)
    reached = threading.Event()
    asked: list[str] = []

    def answer(body: dict[str, list[dict[str, str]]]) -> str:
        asked.append(body["messages"][-1]["content"])
        if len(asked) == 200:
            reached.set()
        return "yes"

    with ScriptedServer(answer, delay_s=DELAY_S) as server:
        killed = start_measuring(server, database_url)
        assert reached.wait(timeout=60)
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
        before = [body["messages"][-1]["content"] for body in server.bodies]
        stored = stored_texts(database_url)
        rerun = start_measuring(server, database_url)
        said, _ = rerun.communicate(timeout=60)
        after = [body["messages"][-1]["content"] for body in server.bodies[len(before) :]]

    lost = set(before) - stored
    assert len(before) == len(set(before)) >= 200
    assert len(lost) <= bound < 200
    assert not set(after) & stored
    assert Counter(after) == Counter(
        e.inputs["text"] for e in examples(300) if e.inputs["text"] not in stored
    )
    assert said.split() == ["300", str(300 - len(stored))]
    assert len(stored_texts(database_url)) == 300


def stored_texts(database_url: str) -> set[str]:
    """Return the inputs of the stored trials."""
    opened = open_database(database_url)
    ids = {trial.example_id for trial in load_trials(opened, [CANDIDATE.id])}
    opened.dispose()
    return {e.inputs["text"] for e in examples(300) if e.id in ids}
