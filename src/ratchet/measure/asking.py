"""Ask a candidate for answers, score them, keep each trial, pay for none twice: what a measurement and a race are made of."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field

import sqlalchemy as sa

from ratchet.answer import Prompt, answer_example
from ratchet.core import Budget, Candidate, Example, Passage, Spend, Task, Trial, total
from ratchet.core.errors import BudgetError, MetricError, ReplyError, StoreError
from ratchet.measure.measurement import Measurement, Missing, Outcome
from ratchet.metrics import Judged, Metric
from ratchet.metrics.absence import absence
from ratchet.metrics.metric import check_references, failed_share_of, takes_time
from ratchet.models import ChatModel, ChatReply, ChatRequest, ModelPool
from ratchet.store import TrialWriter, keep_candidate, read_trials
from ratchet.store.knowledge import find_passages

__all__ = [
    "Asking",
    "Bench",
    "Progress",
    "TrialKey",
    "Votes",
    "bought",
    "check_priced",
    "stored",
    "voting",
    "writing",
]

WAIT_S = 0.02
HOPELESS = 10
"""So many calls without a reply and none with one mean that the endpoint is dead."""

MAX_PROBES = 5
"""References that are scored to see whether a metric works at all."""

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
    metric: Metric | Judged
    engine: sa.Engine | None = None
    """The database; None keeps nothing."""
    budget: Budget = field(default_factory=Budget)
    watch: Callable[[Progress], None] | None = None
    """Called after each trial."""
    pool: ModelPool | None = None
    """Where judges find their models, and candidates what they need beside their own."""


def stored(bench: Bench, candidate: Candidate) -> Iterator[Trial]:
    if bench.engine is None:
        return iter(())
    return read_trials(
        bench.engine, [candidate.id], metric_id=bench.metric.id, task_id=bench.task.asking_id
    )


def writing(bench: Bench) -> AbstractContextManager[TrialWriter | None]:
    """Return the writer of a measurement or race, to be entered; None where nothing is kept."""
    return nullcontext() if bench.engine is None else TrialWriter(bench.engine)


class Asking:
    """One candidate's answers while they are asked for.

    Args:
        bench: Where they are kept and scored.
        candidate: Who answers.
        model: Its model.
        writer: Takes the trials, where there is a database.
        votes: What the judges say, for a metric that has judges; shared by all who answer at once.
    """

    def __init__(
        self,
        bench: Bench,
        candidate: Candidate,
        model: ChatModel,
        writer: TrialWriter | None,
        votes: "Votes | None" = None,
    ) -> None:
        self.bench, self.candidate, self.model, self.writer = bench, candidate, model, writer
        self.votes = votes
        self.prompt = Prompt(bench.task, candidate)
        if bench.engine is not None:
            keep_candidate(bench.engine, candidate)
        self.unscored: dict[TrialKey, Trial] = {}
        """Answers that are paid for and wait for a judge."""
        self.outcomes: dict[TrialKey, Outcome] = {}
        self.kept: dict[TrialKey, Trial] = {}
        """Whole trials, where there is no database to read them from."""
        self.missing: list[Missing] = []
        self.examples: list[Example] = []
        """All that are to be answered, for a look at whether the metric works at all."""
        self.bought, self.calls, self.total, self.unpriced = 0, 0, 0, False
        self.tokens, self.dollars = 0, 0.0
        """What its own answers took in this run."""
        self.score_sum, self.failures = 0.0, 0
        self.stopped: str | None = None
        self.last_error: ReplyError | None = None
        self.metric_error: Exception | None = None
        self.store_error: StoreError | None = None
        """Why answers cannot be written any more; those that came are kept beside the database."""

    def reuse(
        self, wanted: dict[TrialKey, Example], examples: Sequence[Example] = ()
    ) -> list[TrialKey]:
        """Take the stored trials that are wanted, and all further repeats of `examples` that cost nothing more.

        Returns: the keys of the further repeats.
        """
        check_references(self.bench.task, self.bench.metric, list(wanted.values()))
        self.total = len(wanted)
        repeated = {example.id: example for example in examples}
        further: list[TrialKey] = []
        for trial in stored(self.bench, self.candidate):
            key = (trial.example_id, trial.repeat)
            example = wanted.get(key)
            if example is None:
                example = repeated.get(trial.example_id)
                if example is None or (trial.score is None and self.votes):
                    continue  # a vote on it would have to be paid for
                further.append(key)
                self.total += 1
            if trial.score:
                self.record(trial, is_new=False, answered=False)
            elif self.votes:
                self.unscored[trial.example_id, trial.repeat] = trial
            else:
                self.reuse_unscored(trial, example)
        self.examples = list(wanted.values())
        return further

    def reuse_unscored(self, trial: Trial, example: Example) -> None:
        """Score an answer that is there; where the metric fails on it, it waits for its turn, and is not paid for again."""
        try:
            scored = self.scored(trial, example)
        except MetricError:
            self.unscored[trial.example_id, trial.repeat] = trial
        else:
            self.record(scored, is_new=True, answered=False)

    def scored(self, trial: Trial, example: Example) -> Trial:
        metric = self.bench.metric
        if trial.failure:
            score = metric.failed(example, trial.failure)
        else:
            assert not isinstance(metric, Judged)  # those are asked by `judged`
            score = absence(self.bench.task, example, trial.answer) or metric.score(
                example, trial.answer
            )
        return trial.model_copy(update={"score": score})

    async def judged(self, trial: Trial, example: Example) -> Trial:
        assert self.votes  # those have a judge to ask
        assert isinstance(self.bench.metric, Judged)
        metric = self.bench.metric
        known = absence(self.bench.task, example, trial.answer, metric=getattr(metric, "name", ""))
        score = known or await metric.judge(
            example,
            trial.answer,
            self.votes.ask,
            passages=await asyncio.to_thread(passages_of, self.bench, trial),
            pool=self.bench.pool,
        )
        return trial.model_copy(update={"score": score})

    def record(self, trial: Trial, *, is_new: bool, answered: bool) -> None:
        key, outcome = (trial.example_id, trial.repeat), Outcome.of(trial)
        self.outcomes[key] = outcome
        if self.writer is None:
            self.kept[key] = trial
        elif is_new:
            self.keep(trial, answered=answered)
        self.score_sum += outcome.value
        self.failures += trial.failure is not None
        if self.bench.watch:
            done = len(self.outcomes) + len(self.missing)
            self.bench.watch(
                Progress(
                    done,
                    self.total,
                    self.score_sum,
                    self.bench.budget.known_dollars,
                    self.failures + len(self.missing),
                )
            )

    @property
    def failure(self) -> Exception | None:
        """Return what ends the run, once the calls that are in flight have come back."""
        return self.store_error or self.metric_error

    def keep(self, trial: Trial, *, answered: bool = True) -> None:
        """Have a trial written; where that cannot be done any more it is kept all the same, and nothing more is asked."""
        assert self.writer  # where there is a database
        try:
            self.writer.put(trial, self.bench.metric.id, answered=answered)
        except StoreError as error:
            self.store_error = error

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
        if self.failure:  # calls that were in flight have come back, and are kept
            raise self.failure

    async def work(self, queue: Iterator[tuple[Example, int]]) -> None:
        for example, repeat in queue:
            if self.failure or self.stopped:
                return
            await self.one(example, repeat)

    async def one(self, example: Example, repeat: int) -> None:
        """Answer and score one example; where its answer is there, only score it."""
        there = self.unscored.pop((example.id, repeat), None)
        if there is None and self.candidate.is_brought:
            self.miss_brought(example)
            return
        try:
            trial = there or await paid(self.bench, self.prompt, self.model, example, repeat)
        except ReplyError as error:
            self.miss(example, error, is_dead=not self.bought)
            return
        except BudgetError as error:
            self.stopped = str(error)
            return
        if there is None:
            self.count(trial)
        waits = self.votes is not None or takes_time(self.bench.metric)
        if there is None and waits and self.writer:  # its score may take a while: it is kept before
            self.keep(trial)
        try:
            if self.votes and not trial.failure:
                scored = await self.judged(trial, example)
            elif takes_time(self.bench.metric):
                scored = await asyncio.to_thread(self.scored, trial, example)
            else:
                scored = self.scored(trial, example)
            self.record(scored, is_new=True, answered=there is None and not waits)
            return
        except ReplyError as error:
            self.miss(example, error, is_dead=not self.outcomes)
        except BudgetError as error:
            self.stopped = str(error)
        except Exception as error:  # noqa: BLE001 - whatever the metric raises, the answers are paid for
            await self.leave_unscored(example, error)
        finally:
            lost = there is None and not waits and (example.id, repeat) not in self.outcomes
            if lost and self.writer:
                self.keep(trial)

    def count(self, trial: Trial) -> None:
        """Count an answer that was bought."""
        usage = trial.usage
        self.bought += 1
        self.calls += trial.calls
        self.unpriced = self.unpriced or usage.cost_usd is None
        self.tokens += usage.prompt_tokens + usage.completion_tokens
        self.dollars += usage.cost_usd or 0.0

    def count_spent(self, error: ReplyError) -> None:
        """Count the replies that came with an error and are paid for, though no answer came of them."""
        for usage in (reply.usage for reply in error.spent if isinstance(reply, ChatReply)):
            self.calls += 1
            self.unpriced = self.unpriced or usage.cost_usd is None
            self.tokens += usage.prompt_tokens + usage.completion_tokens
            self.dollars += usage.cost_usd or 0.0

    def miss(self, example: Example, error: ReplyError, *, is_dead: bool) -> None:
        """Count an example as missing; give up where `HOPELESS` are, and nothing has come back yet.

        Raises: ReplyError if so.
        """
        self.last_error = error
        self.count_spent(error)
        self.missing.append(Missing(example.id, error.kind, str(error)))
        if len(self.missing) >= HOPELESS and is_dead:
            raise error

    def miss_brought(self, example: Example) -> None:
        """Count an example as missing whose answer was not among those that were collected elsewhere: nobody can be asked."""
        name = f" ({example.name})" if example.name else ""
        words = f"{self.candidate.model} has no answer to example {example.id}{name}"
        self.missing.append(Missing(example.id, "not brought", words))

    async def leave_unscored(self, example: Example, error: Exception) -> None:
        """Count an example whose answer the metric fails on; end the run where it fails on more than the task allows, or on all."""
        self.missing.append(Missing(example.id, "metric error", str(error), is_answered=True))
        failures = sum(item.is_answered for item in self.missing)
        allowed = max(1, int(failed_share_of(self.bench.metric) * self.total))
        is_expected = isinstance(error, MetricError) and not isinstance(self.bench.metric, Judged)
        is_over = not is_expected or failures > allowed or failures >= self.total
        is_first = not self.outcomes
        if is_over or (is_first and not await asyncio.to_thread(self.metric_works, example)):
            self.metric_error = error

    def metric_works(self, beside: Example) -> bool:
        """Return whether the metric can score the reference of any other example: then it is not broken altogether."""
        others = [example for example in self.examples if example.id != beside.id]
        return any(self.can_score(example) for example in others[:MAX_PROBES])

    def can_score(self, example: Example) -> bool:
        metric = self.bench.metric
        assert not isinstance(metric, Judged)  # asking judges is paid for
        try:
            metric.score(example, example.reference)
        except Exception:  # noqa: BLE001 - a probe: any failure says the same
            return False
        return True

    def check_alive(self, asked: bool) -> None:
        if asked and self.last_error and not self.outcomes:
            raise self.last_error

    def check_budget(self) -> None:
        """Refuse a budget that would never bind, or that is spent before anything is there.

        Raises: BudgetError.
        """
        budget = self.bench.budget
        check_priced(budget, self.model, self.model.name)
        if not self.outcomes and budget.is_spent():
            raise BudgetError("the budget is spent before the first call; raise --budget")
        if self.votes:
            self.votes.check_budget()

    def measurement(
        self, keys: Sequence[TrialKey], examples: Sequence[Example], *, split: str, spend: Spend
    ) -> Measurement:
        """Return what came of it, outcomes in the order of `keys`."""
        outcomes = [self.outcomes[key] for key in keys if key in self.outcomes]
        return Measurement(
            candidate=self.candidate,
            split=split,
            metric_id=self.bench.metric.id,
            examples=list(examples),
            outcomes=outcomes,
            read=self.trials_of([(outcome.example_id, outcome.repeat) for outcome in outcomes]),
            missing=self.missing,
            aggregates=self.bench.metric.aggregates,
            grades=tuple(getattr(self.bench.metric, "grades", ())),
            bought=self.bought,
            bought_tokens=self.tokens,
            bought_usd=self.dollars,
            spend=spend,
            stopped=self.stopped,
        )

    def trials_of(self, keys: list[TrialKey]) -> Callable[[], list[Trial]]:
        """Return what reads the trials of `keys` back."""
        bench, candidate, kept = self.bench, self.candidate, self.kept

        def read() -> list[Trial]:
            found = {(trial.example_id, trial.repeat): trial for trial in stored(bench, candidate)}
            return [(kept or found)[key] for key in keys]

        return read


def passages_of(bench: Bench, trial: Trial) -> list[Passage]:
    """Return the passages that an answer was given, in their order."""
    if trial.seen or not trial.passages or bench.engine is None:
        return list(trial.seen)
    known = find_passages(bench.engine, trial.passages)
    return [known[name] for name in trial.passages if name in known]


def check_priced(budget: Budget, model: ChatModel, who: str) -> None:
    """Refuse a budget in dollars that the calls of a model would never count against.

    Raises: BudgetError.
    """
    if budget.cost_usd is not None and model.price(1, 1) is None:
        raise BudgetError(
            f"the price of {who} is unknown, so a budget in dollars would never bind; set price = {{ input = …, output = … }} for its endpoint in ratchet.toml, or use --max-calls"
        )


async def bought(budget: Budget, model: ChatModel, request: ChatRequest) -> ChatReply:
    """Return the reply to one request that the budget is charged for.

    Raises: BudgetError if it does not allow one more call; ReplyError if none came.
    """
    if not budget.begin():
        raise BudgetError("the budget is spent")
    try:
        reply = await model.chat(request)
    finally:
        budget.end()
    usage = reply.usage
    budget.charge(
        calls=1, tokens=usage.prompt_tokens + usage.completion_tokens, cost_usd=usage.cost_usd
    )
    return reply


async def paid(
    bench: Bench, prompt: Prompt, model: ChatModel, example: Example, repeat: int
) -> Trial:
    """Return a trial that the budget of the bench is charged for.

    Raises: BudgetError if it does not allow one more call; ReplyError if none came back.
    """
    budget, (least, most), spared = bench.budget, prompt.candidate.calls, 0
    while not budget.begin(most):
        if most == 1 or budget.is_spent() or not budget.is_under_way:
            raise BudgetError("the budget is spent")
        await asyncio.sleep(WAIT_S)  # what others spare comes back
    try:
        trial = await answer_example(prompt, model, example, repeat=repeat, pool=bench.pool)
        spared = max(0, most - trial.calls)
    except ReplyError as error:
        spared = most - least  # what never came was not repaired
        came = [one.usage for one in error.spent if isinstance(one, ChatReply)]
        used = total(came)
        budget.charge(
            calls=len(came),
            tokens=used.prompt_tokens + used.completion_tokens,
            cost_usd=used.cost_usd,
        )
        raise
    finally:
        budget.end(most, spared=spared)
    usage = trial.usage
    budget.charge(
        calls=trial.calls,
        tokens=usage.prompt_tokens + usage.completion_tokens,
        cost_usd=usage.cost_usd,
    )
    return trial


class Votes:
    """What judges said: kept, and each vote paid for once.

    Args:
        bench: Where they are kept, and who pays.
        panels: What the judges do (a grading task, one of pairs), each with its candidates.
        writer: Takes the votes, where there is a database.
    Raises: MetricError if there are no models to judge with.
    """

    def __init__(
        self,
        bench: Bench,
        panels: Sequence[tuple[Task, Sequence[Candidate]]],
        writer: TrialWriter | None,
    ) -> None:
        if bench.pool is None:
            raise MetricError("the metric has judges, and no models are at hand for them")
        self._bench, self._pool, self._writer = bench, bench.pool, writer
        self._judges = [judge for _, judges in panels for judge in judges]
        self._turns: dict[str, asyncio.Semaphore] = {}
        self._asked: dict[tuple[str, str, int], asyncio.Future[Trial]] = {}
        self._kept: dict[tuple[str, str, int], Trial] = {}
        self.unpriced = False
        """Whether a vote was bought whose price is unknown."""
        if bench.engine is not None:
            for task, judges in panels:
                for judge in judges:
                    keep_candidate(bench.engine, judge)
                trials = read_trials(bench.engine, [j.id for j in judges], task_id=task.asking_id)
                self._kept |= {(t.candidate_id, t.example_id, t.repeat): t for t in trials}

    def check_budget(self) -> None:
        """Refuse a budget in dollars that the judges' votes would never count against.

        Raises: BudgetError.
        """
        for name in dict.fromkeys(judge.model for judge in self._judges):
            check_priced(self._bench.budget, self._pool.model(name), f"the judge {name}")

    async def ask(self, prompt: Prompt, example: Example, repeat: int) -> Trial:
        """Return a judge's vote; who asks for one that is under way waits for the same.

        A reply that is no vote is not kept: it is asked for again another time.
        """
        key = (prompt.candidate.id, example.id, repeat)
        if key in self._kept:
            return self._kept[key]
        if key not in self._asked:
            self._asked[key] = asyncio.ensure_future(self._bought(prompt, example, repeat))
        try:
            return await asyncio.shield(self._asked[key])
        except (ReplyError, BudgetError):
            self._asked.pop(key, None)
            raise

    async def _bought(self, prompt: Prompt, example: Example, repeat: int) -> Trial:
        model = self._pool.model(prompt.candidate.model)
        turn = self._turns.setdefault(model.name, asyncio.Semaphore(model.concurrency))
        async with turn:
            trial = await paid(self._bench, prompt, model, example, repeat)
        self.unpriced = self.unpriced or trial.usage.cost_usd is None
        if trial.failure is None:
            self._kept[trial.candidate_id, trial.example_id, trial.repeat] = trial
            if self._writer:
                self._writer.put(trial, self._bench.metric.id)
        return trial

    async def end(self) -> None:
        """Wait for votes that are still under way: they are paid for, and kept."""
        await asyncio.gather(*self._asked.values(), return_exceptions=True)


@asynccontextmanager
async def voting(bench: Bench, writer: TrialWriter | None) -> AsyncIterator[Votes | None]:
    """Yield the votes of the metric's judges; None where it has none."""
    if not isinstance(bench.metric, Judged):
        yield None
        return
    votes = Votes(bench, bench.metric.panels, writer)
    try:
        yield votes
    finally:
        await votes.end()
