"""Measure a candidate: answer every example concurrently, score, keep each trial, pay for none twice."""

import asyncio
import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from statistics import fmean

import sqlalchemy as sa

from ratchet.answer import Prompt, answer_example, written_answer
from ratchet.core import Budget, Candidate, Example, Spend, Task, Trial
from ratchet.core.errors import BudgetError, DataError, ReplyError
from ratchet.measure.measurement import Measurement, Missing, Outcome
from ratchet.metrics import Metric
from ratchet.models import ChatModel
from ratchet.store import TrialWriter, keep_candidate, read_trials

__all__ = ["Bench", "Plan", "Progress", "evaluate", "plan", "recall"]

HOPELESS = 10
"""So many calls without a reply and none with one mean that the endpoint is dead."""
SAMPLE = 200

TrialKey = tuple[str, int]
"""Example id and repeat: what tells the trials of one candidate apart."""


@dataclass(frozen=True)
class Progress:
    """What a progress bar needs after each trial."""

    done: int
    total: int
    score_sum: float
    cost_usd: float | None
    failures: int


@dataclass(kw_only=True)
class Bench:
    """Where candidates of one task are measured: the task with its metric, and where trials are kept."""

    task: Task
    metric: Metric
    engine: sa.Engine | None = None
    """The database; None keeps nothing."""
    budget: Budget = field(default_factory=Budget)
    watch: Callable[[Progress], None] | None = None
    """Called after each trial."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a measurement would take, before the start."""

    calls: int
    kept: int
    """Trials that are there already and cost nothing."""
    prompt_tokens: int
    completion_tokens: int
    counted: bool
    """Whether prompt tokens were counted by the model's own tokenizer; completion tokens are always an estimate."""
    cost_usd: float | None


def plan(
    bench: Bench,
    candidate: Candidate,
    model: ChatModel,
    examples: Sequence[Example],
    *,
    repeats: int = 1,
) -> Plan:
    """Return calls, tokens and cost of a measurement, from a sample of the examples; the references stand for the answers."""
    prompt = Prompt(bench.task, candidate)
    there = {(trial.example_id, trial.repeat) for trial in stored(bench, candidate)}
    wanted = [e for e in examples for repeat in range(repeats) if (e.id, repeat) not in there]
    sample = wanted[:: max(1, len(wanted) // SAMPLE)][:SAMPLE]
    counts = [model.count_tokens(prompt.request(example)) for example in sample]
    answers = [len(str(written_answer(bench.task, example.reference, 0))) / 4 for example in sample]
    share = len(wanted)
    prompt_tokens = round(fmean([count for count, _ in counts]) * share) if counts else 0
    completion_tokens = round(fmean(answers) * share) if answers else 0
    return Plan(
        calls=share,
        kept=len(examples) * repeats - share,
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        counted=all(exact for _, exact in counts),
        cost_usd=model.price(prompt_tokens, completion_tokens),
    )


def stored(bench: Bench, candidate: Candidate) -> Iterator[Trial]:
    if bench.engine is None:
        return iter(())
    return read_trials(
        bench.engine, [candidate.id], metric_id=bench.metric.id, task_id=bench.task.asking_id
    )


async def evaluate(
    bench: Bench,
    candidate: Candidate,
    model: ChatModel,
    examples: Sequence[Example],
    *,
    split: str = "",
    repeats: int = 1,
) -> Measurement:
    """Return the measurement of `candidate` on `examples`.

    Trials that are stored are used as they are; those without a score of this metric are scored again, free of charge. When
    the budget is spent no new call starts, and the measurement says so. A call that gets no reply after all retries is
    missing, not zero.

    Raises: ReplyError if no call at all gets a reply; MetricError if the metric fails (the answer is kept); BudgetError if
        the budget does not allow a single call; DataError without examples.
    """
    if not examples:
        raise DataError(f"task {bench.task.name!r} has no examples in split {split!r}")
    run = _Run(bench, candidate, model, Prompt(bench.task, candidate))
    wanted = {(example.id, repeat): example for repeat in range(repeats) for example in examples}
    started = time.monotonic()
    before = bench.budget.spent
    with run.writing():
        run.reuse(wanted)
        todo = [(example, key[1]) for key, example in wanted.items() if key not in run.outcomes]
        if todo and bench.budget.cost_usd is not None and model.price(1, 1) is None:
            raise BudgetError(
                f"the price of {model.name} is unknown, so a budget in dollars would never bind; set price = {{ input = …, "
                "output = … }} for its endpoint in ratchet.toml, or use --max-calls"
            )
        if todo and not run.outcomes and bench.budget.is_spent():
            raise BudgetError("the budget is spent before the first call; raise --budget")
        with fewer_collections():
            await run.all(todo)
    after = bench.budget.spent
    run.check_alive(bool(todo))
    outcomes = [run.outcomes[key] for key in wanted if key in run.outcomes]
    cost = (after.cost_usd or 0) - (before.cost_usd or 0)
    spend = Spend(
        calls=run.bought,
        tokens=after.tokens - before.tokens,
        seconds=time.monotonic() - started,
        cost_usd=None if run.unpriced else cost,
    )
    return Measurement(
        candidate=candidate,
        split=split,
        metric_id=bench.metric.id,
        examples=list(examples),
        outcomes=outcomes,
        read=run.trials_of([(outcome.example_id, outcome.repeat) for outcome in outcomes]),
        missing=run.missing,
        aggregates=bench.metric.aggregates,
        bought=run.bought,
        spend=spend,
        stopped=run.stopped,
    )


def recall(
    bench: Bench, candidate: Candidate, examples: Sequence[Example], *, split: str = ""
) -> Measurement:
    """Return the measurement that the stored trials make, without any call."""
    kept: dict[str, list[Trial]] = {}
    for trial in stored(bench, candidate):
        if trial.score:
            kept.setdefault(trial.example_id, []).append(trial)
    return Measurement.of(
        [trial for example in examples for trial in kept.get(example.id, ())],
        candidate=candidate,
        split=split,
        metric_id=bench.metric.id,
        examples=list(examples),
        aggregates=bench.metric.aggregates,
    )


@contextmanager
def fewer_collections() -> Iterator[None]:
    """Let Python look for cyclic garbage less often: a measurement makes many small records and no cycles."""
    before = gc.get_threshold()
    gc.set_threshold(50_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)


class _Run:
    """The state of one measurement while it runs."""

    def __init__(
        self, bench: Bench, candidate: Candidate, model: ChatModel, prompt: Prompt
    ) -> None:
        self.bench, self.candidate, self.model, self.prompt = bench, candidate, model, prompt
        self.outcomes: dict[TrialKey, Outcome] = {}
        self.kept: dict[TrialKey, Trial] = {}
        """Whole trials, where there is no database to read them from."""
        self.missing: list[Missing] = []
        self.bought, self.total, self.unpriced = 0, 0, False
        self.score_sum, self.failures = 0.0, 0
        self.stopped: str | None = None
        self.last_error: ReplyError | None = None
        self.metric_error: Exception | None = None
        self.writer: TrialWriter | None = None

    def writing(self) -> AbstractContextManager[object]:
        if self.bench.engine is None:
            return nullcontext()
        keep_candidate(self.bench.engine, self.candidate)
        self.writer = TrialWriter(self.bench.engine)
        return self.writer

    def reuse(self, wanted: dict[TrialKey, Example]) -> None:
        self.total = len(wanted)
        for trial in stored(self.bench, self.candidate):
            example = wanted.get((trial.example_id, trial.repeat))
            if example is not None:
                self.record(
                    trial if trial.score else self.scored(trial, example),
                    is_new=trial.score is None,
                    answered=False,
                )

    def scored(self, trial: Trial, example: Example) -> Trial:
        metric = self.bench.metric
        score = (
            metric.failed(example, trial.failure)
            if trial.failure
            else metric.score(example, trial.answer)
        )
        return trial.model_copy(update={"score": score})

    def record(self, trial: Trial, *, is_new: bool, answered: bool) -> None:
        key, outcome = (trial.example_id, trial.repeat), Outcome.of(trial)
        self.outcomes[key] = outcome
        if self.writer is None:
            self.kept[key] = trial
        elif is_new:
            self.writer.put(trial, self.bench.metric.id, answered=answered)
        self.score_sum += outcome.value
        self.failures += trial.failure is not None
        if self.bench.watch:
            done = len(self.outcomes) + len(self.missing)
            self.bench.watch(
                Progress(
                    done,
                    self.total,
                    self.score_sum,
                    self.bench.budget.dollars,
                    self.failures + len(self.missing),
                )
            )

    async def all(self, todo: list[tuple[Example, int]]) -> None:
        """Answer what is left, as many at once as the model allows; the first error that is no missing reply ends it."""
        queue = iter(todo)
        workers = min(self.model.concurrency, len(todo))
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(workers):
                    group.create_task(self.work(queue))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        if self.metric_error:  # calls that were in flight have come back, and are kept
            raise self.metric_error

    async def work(self, queue: Iterator[tuple[Example, int]]) -> None:
        for example, repeat in queue:
            if self.metric_error:
                return
            if not self.bench.budget.begin():
                self.stopped = "the budget is spent"
                return
            try:
                await self.one(example, repeat)
            finally:
                self.bench.budget.end()

    async def one(self, example: Example, repeat: int) -> None:
        try:
            trial = await answer_example(self.prompt, self.model, example, repeat=repeat)
        except ReplyError as error:
            self.last_error = error
            self.missing.append(Missing(example.id, error.kind, str(error)))
            if len(self.missing) >= HOPELESS and not self.bought:
                raise
            return
        usage = trial.usage
        self.bought += 1
        self.unpriced = self.unpriced or usage.cost_usd is None
        self.bench.budget.charge(
            calls=1, tokens=usage.prompt_tokens + usage.completion_tokens, cost_usd=usage.cost_usd
        )
        try:
            trial = self.scored(trial, example)
        except Exception as error:  # noqa: BLE001 - whatever the metric raises, the answers are paid for
            self.metric_error = error
            if self.writer:
                self.writer.put(trial, self.bench.metric.id)
            return
        self.record(trial, is_new=True, answered=True)

    def check_alive(self, asked: bool) -> None:
        if asked and self.last_error and not self.outcomes:
            raise self.last_error

    def trials_of(self, keys: list[TrialKey]) -> Callable[[], list[Trial]]:
        """Return what reads the trials of `keys` back."""
        bench, candidate, kept = self.bench, self.candidate, self.kept

        def read() -> list[Trial]:
            found = {(trial.example_id, trial.repeat): trial for trial in stored(bench, candidate)}
            return [(kept or found)[key] for key in keys]

        return read
