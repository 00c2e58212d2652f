"""Measure a candidate: answer every example concurrently, score, keep each trial, pay for none twice."""

import gc
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import fmean

from ratchet.answer import Prompt, written_answer
from ratchet.core import Candidate, Example, Spend, Trial
from ratchet.core.errors import DataError
from ratchet.measure.asking import Asking, Bench, stored, voting, writing
from ratchet.measure.measurement import Measurement
from ratchet.metrics import Judged, Metric
from ratchet.metrics.metric import check_references
from ratchet.models import ChatModel, ChatReply
from ratchet.store import measured_candidates

__all__ = [
    "Plan",
    "evaluate",
    "fewer_collections",
    "mean_score",
    "plan",
    "recall",
    "recall_all",
]

USUAL_TOKENS = 512
"""The longest answer that is reckoned with where nothing names one."""
SAMPLE = 200


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a measurement would take, before the start."""

    calls: int
    kept: int
    """Trials that are there already and cost nothing."""
    most_calls: int
    """Those too that only some answers take: repairs, for instance."""
    prompt_tokens: int
    completion_tokens: int
    counted: bool
    """Whether prompt tokens were counted by the model's own tokenizer; completion tokens are always an estimate."""
    cost_usd: float | None
    judged: int = 0
    """Votes of judges, at most, that come on top, for a metric that has judges."""


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
    check_references(bench.task, bench.metric, examples)
    scored = {
        (trial.example_id, trial.repeat): trial.score is not None
        for trial in stored(bench, candidate)
    }
    wanted = [e for e in examples for repeat in range(repeats) if (e.id, repeat) not in scored]
    lacking = len(wanted)
    if candidate.is_brought:  # what is not there cannot be asked for
        wanted = []
    unscored = len(wanted) + sum(
        not scored.get((e.id, r), True) for e in examples for r in range(repeats)
    )
    sample = wanted[:: max(1, len(wanted) // SAMPLE)][:SAMPLE]
    counts = [model.count_tokens(prompt.request(example)) for example in sample]
    answers = [
        len(str(written_answer(bench.task, example.reference, 0))) / 4
        if bench.task.is_labelled(example)
        else (candidate.decoding.max_tokens or USUAL_TOKENS)
        / 2  # nothing tells how long an answer is
        for example in sample
    ]
    least, most = candidate.calls  # of those on the way each counts as one of the answer's own
    share = len(wanted) * least
    prompt_tokens = round(fmean([count for count, _ in counts]) * share) if counts else 0
    completion_tokens = round(fmean(answers) * share) if answers else 0
    return Plan(
        calls=share,
        most_calls=len(wanted) * most,
        kept=len(examples) * repeats - lacking,
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        counted=all(exact for _, exact in counts),
        cost_usd=model.price(prompt_tokens, completion_tokens),
        judged=unscored * bench.metric.votes if isinstance(bench.metric, Judged) else 0,
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

    Trials that are stored are used as they are; those without a score of this metric are scored again, free of charge. Stored
    repeats beyond `repeats` count too, so that a score is the same wherever it is shown. When the budget is spent no new call starts, and the measurement says so. A call that gets no reply after all retries is
    missing, not zero.

    Raises: ReplyError if no call at all gets a reply; MetricError if the metric fails (the answer is kept); BudgetError if
        the budget does not allow a single call; DataError without examples.
    """
    if not examples:
        raise DataError(f"task {bench.task.name!r} has no examples in split {split!r}")
    wanted = {(example.id, repeat): example for repeat in range(repeats) for example in examples}
    started = time.monotonic()
    before = bench.budget.spent
    with writing(bench) as writer:
        async with voting(bench, writer) as votes:
            run = Asking(bench, candidate, model, writer, votes)
            further = run.reuse(wanted, examples)
            todo = [(example, key[1]) for key, example in wanted.items() if key not in run.outcomes]
            if todo:
                run.check_budget()
            with fewer_collections():
                await run.all(todo)
    after = bench.budget.spent
    run.check_alive(bool(todo))
    cost = (after.cost_usd or 0) - (before.cost_usd or 0)
    spend = Spend(
        calls=after.calls - before.calls,
        tokens=after.tokens - before.tokens,
        seconds=time.monotonic() - started,
        cost_usd=None if run.unpriced or (votes and votes.unpriced) else cost,
    )
    place = {example.id: index for index, example in enumerate(examples)}
    keys = sorted([*wanted, *further], key=lambda key: (place[key[0]], key[1]))
    return run.measurement(keys, examples, split=split, spend=spend)


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
        grades=tuple(getattr(bench.metric, "grades", ())),
    )


def recall_all(bench: Bench, examples: Sequence[Example], *, split: str = "") -> list[Measurement]:
    """Return what the stored trials say of every candidate that has answered all of the examples; nothing is called."""
    if bench.engine is None:
        return []
    found = [
        recall(bench, candidate, examples, split=split)
        for candidate in measured_candidates(bench.engine, bench.task.asking_id)
    ]
    return [one for one in found if one.n == len(examples)]


@contextmanager
def fewer_collections() -> Iterator[None]:
    """Let Python look for cyclic garbage less often: a measurement makes many small records and no cycles."""
    before = gc.get_threshold()
    gc.set_threshold(50_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def mean_score(
    prompt: Prompt, metric: Metric, examples: Sequence[Example], replies: Sequence[ChatReply]
) -> float:
    """Return the mean score of replies, one an example; a reply without the answer's form scores 0, as in a measurement."""
    values = []
    for example, reply in zip(examples, replies, strict=True):
        answer, failure = prompt.read(reply)
        values.append(0.0 if failure else metric.score(example, answer).value)
    return fmean(values) if values else math.nan
