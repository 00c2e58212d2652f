"""Find out why a candidate's answers fail, by experiment: change one thing, ask again, and see which answers turn right.

Train examples are asked, never dev. An answer that turns right under a change that means nothing is unstable, and is never put down
to another cause. What a lever may gain is what its experiment did beyond that control, to failures and to answers that were right,
weighed as they are in the sample and shrunk by how little is known of it; levers that no experiment stands for get a share of what is
left unexplained.
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from statistics import fmean

from ratchet.core import (
    CAUSES,
    Candidate,
    Cause,
    Diagnosis,
    Example,
    Experiment,
    Interval,
    Promise,
    Share,
    Spend,
    Trial,
)
from ratchet.core.errors import BudgetError, UsageError
from ratchet.core.records import canonical_json, comparable
from ratchet.ladder.clusters import clusters_of
from ratchet.ladder.questions import Question, questions_of
from ratchet.levers import Evidence, untuned
from ratchet.measure import Measurement, evaluate
from ratchet.measure.intervals import agresti_coull_interval
from ratchet.measure.strata import weighed_mean
from ratchet.retrieval import Library

__all__ = ["QUICK", "Depth", "diagnose"]

BLOCK = 25
"""Examples that are measured at a time, until enough fail."""
RIGHT = 0.999
"""From this score on nothing is missing."""
TURNED = 0.5
"""An answer turns right when it wins so much of what it lacked."""
AGREED, TRUSTED, OFTEN = 4, 0.5, 3
"""A label looks wrong where so many candidates agree against it, whose answer is right in so large a share of its cases (of so many at
least; else of all)."""
NAMED = 5
CONTROL, STRONGER = "control", "stronger model"
NORMAL = 1.645
"""Half of a 90 % interval in standard errors."""
HALF = 0.5
"""Of what a cause may bring, a lever that no experiment stands for is expected to bring."""
LITTLE = 0.1
"""The same, for a lever of which nothing is known."""
KNOWLEDGE: tuple[Cause, ...] = ("knowledge missing", "search missed it", "ignored the context")
BEHAVIOUR: tuple[Cause, ...] = ("behaviour or format", "inconsistent")
FORMS = ("reworded", "demonstrations", "error handed back", "forced form", "free form")
"""Experiments that tell how to act."""


@dataclass(frozen=True, kw_only=True)
class Depth:
    """How closely a diagnosis looks."""

    count: int = 100
    """Train examples that are measured, at most."""
    failures: int = 40
    """Those that fail and are asked again; when so many are found no more are measured."""
    others: int = 20
    """Those that do not fail and are asked again, where a change turned failures right."""


QUICK = Depth(count=50, failures=12, others=6)
"""Enough to choose the next lever; `ratchet diagnose` looks more closely."""


@dataclass(frozen=True)
class Asked:
    """A question, and what came of it on the examples that were asked again."""

    question: Question
    trials: dict[str, Trial]
    """By example id."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """The champion's answers, which failed and which did not, and which passages say what one must know."""

    champion: Candidate
    trials: dict[str, Trial]
    """By example id."""
    failing: list[Example]
    others: list[Example]
    gold: dict[str, set[str]]
    """The passages that an example needs, by its id, where it says so."""
    score: float


async def diagnose(
    evidence: Evidence, champion: Candidate, *, depth: Depth | None = None
) -> Diagnosis:
    """Return why the champion's answers to train examples fail.

    Args:
        evidence: The task, its train examples and models; its bench keeps every trial, so that none is paid for twice.
        champion: Who is diagnosed.
        depth: How closely; by default 100 examples, of which 40 that fail and 20 that do not are asked again.
    Raises: BudgetError if the budget ends before the questions do; what was bought is kept. UsageError for answers that were
        collected elsewhere: nobody can be asked what would turn them right.
    """
    if champion.is_brought:
        raise UsageError(
            f"{champion.model!r} stands for answers that were collected elsewhere, and cannot be asked why they fail; to see those that do: ratchet trials {evidence.task.name} --candidate {champion.model} --failed"
        )
    started, before = time.monotonic(), evidence.bench.budget.spent
    case, failing = await case_of(evidence, champion, depth or Depth())
    trials = case.trials
    asked = (
        [
            await answers_to(question, case, evidence)
            for question in questions_of(champion, evidence, list(trials))
        ]
        if failing
        else []
    )
    looked_at = [example for example in evidence.train if example.id in trials]
    share_failing = len(failing) / max(1, len(trials))
    causes = {example.id: cause_of(example, case, asked) for example in case.failing}
    shares = shares_of(causes)
    experiments = [experiment_of(one, asked[0], case, share_failing) for one in asked]
    spent = evidence.bench.budget.spent
    return Diagnosis(
        task=evidence.task.name,
        candidate_id=champion.id,
        n=len(trials),
        failures=len(failing),
        score=case.score,
        shares=tuple(shares),
        experiments=tuple(experiments),
        promises=tuple(promises_of(experiments, shares, share_failing)),
        knows=sum(one.share for one in shares if one.cause in KNOWLEDGE),
        acts=sum(one.share for one in shares if one.cause in BEHAVIOUR),
        clusters=tuple(await clusters_of(failing, evidence.pool, among=looked_at)),
        spend=Spend(
            calls=spent.calls - before.calls,
            tokens=spent.tokens - before.tokens,
            seconds=time.monotonic() - started,
            cost_usd=None
            if evidence.bench.budget.has_unknown_costs
            else (spent.cost_usd or 0) - (before.cost_usd or 0),
        ),
    )


async def case_of(
    evidence: Evidence, champion: Candidate, depth: Depth
) -> tuple[Case, list[Example]]:
    """Return the champion's answers to train examples, as many as it takes to find enough that fail, and all that do."""
    known = asked_from(evidence, champion)
    sample = Random(0).sample(known, min(depth.count, len(known)))
    failing: list[Example] = []
    trials: dict[str, Trial] = {}
    for start in range(0, len(sample), BLOCK):
        some = sample[: start + BLOCK]
        evidence.say(
            f"diagnosis: asking {champion.note or champion.id} ({len(some)} train examples)"
        )
        trials = (await asked_of(evidence, champion, some)).first_trials()
        failing = [e for e in some if e.id in trials and value(trials[e.id]) < RIGHT]
        if len(failing) >= depth.failures:
            break
    others = [e for e in sample if e.id in trials and value(trials[e.id]) >= RIGHT]
    chosen = failing[: depth.failures]
    case = Case(
        champion=champion,
        trials=trials,
        failing=chosen,
        others=others[: depth.others],
        gold=await needed(evidence, champion, chosen),
        score=fmean(value(trial) for trial in trials.values()) if trials else 0.0,
    )
    return case, failing


def asked_from(evidence: Evidence, champion: Candidate) -> list[Example]:
    """Return the train examples whose answers tell something of new ones: those that the champion neither shows nor has learnt."""
    shown = () if champion.nearest else champion.demonstrations
    seen = {canonical_json(one.inputs) for one in shown}
    train = [one for one in evidence.train if canonical_json(one.inputs) not in seen]
    if untuned(champion, evidence.root) is None:
        return train
    return [one for one in train if one.id in evidence.unlearnt] or train


async def answers_to(question: Question, case: Case, evidence: Evidence) -> Asked:
    """Return a question's answers to what failed, and, where that turned some right, to what did not."""
    evidence.say(f"diagnosis: {question.name} ({len(case.failing)} examples)")
    answers = await asked_of(evidence, question.candidate, case.failing)
    trials = answers.first_trials()
    helps = any(turned(case.trials[name], trial) for name, trial in trials.items())
    if case.others and (helps or question.name == CONTROL):
        more = await asked_of(evidence, question.candidate, case.others)
        trials |= more.first_trials()
    return Asked(question, trials)


async def asked_of(
    evidence: Evidence, candidate: Candidate, examples: list[Example]
) -> Measurement:
    """Return a candidate's answers; a budget that ends on the way ends the diagnosis."""
    measured = await evaluate(
        evidence.bench, candidate, evidence.pool.model(candidate.model), examples, split="train"
    )
    if measured.stopped:
        raise BudgetError(
            f"the diagnosis is not finished: {measured.stopped}; run the same command again with a larger budget"
        )
    return measured


async def needed(
    evidence: Evidence, champion: Candidate, examples: Sequence[Example]
) -> dict[str, set[str]]:
    """Return the ids of the passages that examples need, where the champion has knowledge and they say so."""
    if champion.retrieval is None or not champion.retrieval.knowledge:
        return {}
    library = Library.of(evidence.pool)
    index = await library.index(await library.version(champion.retrieval.knowledge), None)
    return {
        example.id: {one.id for name in example.knowledge for one in index.meant(name)}
        for example in examples
        if example.knowledge
    }


def value(trial: Trial) -> float:
    return trial.score.value if trial.score else 0.0


def turned(before: Trial, after: Trial | None) -> bool:
    """Return whether an answer that failed is right now, or much nearer to it."""
    return after is not None and value(after) - value(before) >= TURNED * (1 - value(before))


def cause_of(example: Example, case: Case, asked: Sequence[Asked]) -> Cause:
    """Return the cause of one failure: of the changes that turn it right, the one that says most."""
    own = case.trials[example.id]
    after = {one.question.name: one.trials.get(example.id) for one in asked}
    right = {name for name, trial in after.items() if turned(own, trial)}
    if own.failure in ("unparsable", "wrong form", "cut off", "cut off thinking", "empty"):
        return "behaviour or format"
    if not right and looks_wrong(own, case, {name: t for name, t in after.items() if t}):
        return "label looks wrong"
    if right & {CONTROL, "asked again"}:
        return "inconsistent"
    if right & set(FORMS):
        return "behaviour or format"
    if right & {"told what it must know", "searched", "without passages"}:
        return missing(own, case, example, right)
    return "beyond this model" if STRONGER in right else "unexplained"


def missing(own: Trial, case: Case, example: Example, right: set[str]) -> Cause:
    """Return which way knowledge is lacking."""
    if case.champion.retrieval is None:
        return "knowledge missing"
    if "told what it must know" not in right:
        return "ignored the context"  # what was found led it astray
    gold = case.gold.get(example.id, set())
    return "ignored the context" if gold and gold <= set(own.passages) else "search missed it"


def looks_wrong(own: Trial, case: Case, others: Mapping[str, Trial]) -> bool:
    """Return whether all candidates agree on another answer than the reference, one that can be trusted.

    An answer that comes up seldom says nothing of itself; then another model must agree, as the same weights err alike.
    """
    answers = [trial.answer for trial in (own, *others.values()) if trial.failure is None]
    if len(answers) < AGREED or len({comparable(answer) for answer in answers}) > 1:
        return False
    same = [t for t in case.trials.values() if comparable(t.answer) == comparable(own.answer)]
    if len(same) < OFTEN and STRONGER not in others:
        return False
    cases = same if len(same) >= OFTEN else list(case.trials.values())
    return sum(value(trial) >= RIGHT for trial in cases) / len(cases) >= TRUSTED


def shares_of(causes: dict[str, Cause]) -> list[Share]:
    """Return the shares of causes among failures, the largest first."""
    counts = Counter(causes.values())
    return [
        Share(
            cause=cause,
            count=counts[cause],
            share=counts[cause] / max(1, len(causes)),
            interval=agresti_coull_interval(counts[cause], len(causes)),
            examples=tuple([name for name, one in causes.items() if one == cause][:NAMED]),
        )
        for cause in sorted(CAUSES, key=lambda one: (-counts[one], list(CAUSES).index(one)))
        if counts[cause]
    ]


def experiment_of(asked: Asked, control: Asked, case: Case, share_failing: float) -> Experiment:
    """Return what a change did; its gain is what it did beyond the control."""
    pairs = [
        [(case.trials[e.id], asked.trials[e.id]) for e in some if e.id in asked.trials]
        for some in (case.failing, case.others)
    ]
    changes = [
        [value(after) - value(control.trials.get(after.example_id, own)) for own, after in some]
        for some in pairs
    ]
    if sum(changes[1]) > 0:  # what was right can only be lost: the rest is what the control broke
        changes[1] = [0.0 for _ in changes[1]]
    gain, interval = weighed_mean([(share_failing, changes[0]), (1 - share_failing, changes[1])])
    return Experiment(
        name=asked.question.name,
        what=asked.question.candidate.note,
        lever=asked.question.lever,
        candidate_id=asked.question.candidate.id,
        fixed=sum(turned(own, after) for own, after in pairs[0]),
        failures=len(pairs[0]),
        broken=sum(value(own) - value(after) >= TURNED for own, after in pairs[1]),
        others=len(pairs[1]),
        gain=gain,
        interval=interval,
    )


def promises_of(
    experiments: Sequence[Experiment], shares: Sequence[Share], share_failing: float
) -> list[Promise]:
    """Return what each lever may gain, the largest first."""
    share = {one.cause: one.share for one in shares}
    mislabelled = share.get("label looks wrong", 0.0)
    found: dict[str, Promise] = {}
    for one in experiments:
        gain, why, interval = shrunk(one), one.name, one.interval
        if one.name == "without passages" or not one.lever:
            continue
        if one.name == "told what it must know":  # what a search could bring at best
            gain, why = HALF * max(0.0, gain), f"{why}, if the search finds it"
            interval = Interval(low=0.0, high=max(0.0, one.interval.high), level=one.interval.level, method="bound")  # fmt: skip
        if one.lever not in found or gain > found[one.lever].gain:
            found[one.lever] = Promise(lever=one.lever, gain=gain, interval=interval, why=why)
    learnable = share_failing * (
        share.get("behaviour or format", 0.0)
        + share.get("beyond this model", 0.0)
        + share.get("inconsistent", 0.0)
        + HALF * share.get("unexplained", 0.0)
    )
    found["tune"] = guess("tune", HALF * learnable, learnable, "may learn how to act")
    open_ = share_failing * (1 - mislabelled)
    # an experiment shows one way of many; those of decoding are its own
    for lever in ("prompt", "demos"):
        least = guess(lever, LITTLE * open_, open_, "not known before it is tried")
        if lever not in found or found[lever].gain < least.gain <= found[lever].interval.high:
            found[lever] = least
    return sorted(found.values(), key=lambda one: -one.gain)


def shrunk(one: Experiment) -> float:
    """Return an expected gain: what was seen, less where it may well be chance (positive-part shrinkage towards no gain)."""
    error = (one.interval.high - one.interval.low) / (2 * NORMAL)
    return one.gain * one.gain**2 / (one.gain**2 + error**2) if one.gain > 0 else one.gain


def guess(lever: str, gain: float, high: float, why: str) -> Promise:
    interval = Interval(low=0.0, high=max(high, gain), level=0.9, method="bound")
    return Promise(lever=lever, gain=gain, interval=interval, why=why)
