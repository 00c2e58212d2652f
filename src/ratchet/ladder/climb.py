"""Climb: measure the start, then let each lever propose, give one verdict a rung, and keep what is proven better.

Every rung is stored as it ends. A climb that was stopped, or killed, goes on where it was: trials and adapters that exist
are not made again, and levers that already have their rung are passed over.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from ratchet.answer import starting_candidate
from ratchet.core import Candidate, Entrant, Example, Spend, Step
from ratchet.core.errors import BudgetError, UsageError
from ratchet.ladder.admit import admit, distrust, level_of, refusals
from ratchet.levers import Evidence, Lever, forgotten, leak_in, telling
from ratchet.measure import Measurement, Race, RaceProgress, compare, evaluate, race
from ratchet.store import add_step, find_candidate, finish_step, load_steps

__all__ = ["Ground", "Rung", "begun_by", "champion_of", "climb", "rungs_of", "standing"]


RACED_FROM = 3
"""So many proposals of a lever are raced, and only the winner gets a rung; of fewer each gets its own."""


@dataclass(frozen=True)
class Rung:
    """A step, as it just ended, with the measurements that it stands on."""

    step: Step
    challenger: Measurement
    champion: Measurement | None


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What a climb stands on."""

    evidence: Evidence
    dev: list[Example]
    engine: sa.Engine
    dataset: str = ""
    """The id of the examples of train and dev."""
    watch: Callable[[Rung], None] | None = None
    """Called as each rung ends."""
    watch_race: Callable[[RaceProgress], None] | None = None
    """Called after each batch of a race."""


async def climb(
    ground: Ground, levers: Sequence[Lever], *, start: Candidate | None = None, again: bool = False
) -> list[Step]:
    """Return the ladder after a pass over `levers`, in their order.

    Args:
        ground: The task, its examples and models.
        levers: What to try.
        start: The first candidate, where the ladder is empty; by default the task's instructions, plainly put.
        again: Try levers that have their rung already once more; without it they are passed over, and the watcher is told.
    """
    steps = await standing(ground, start)
    here = [step.lever for step in steps if is_here(ground, step)]
    for lever in levers:
        begun = begun_by(lever, steps)
        if begun is None and not again and lever.name in here:
            ground.evidence.say(
                f"{lever.name}: has its rung already; pass --again to try it once more"
            )
            continue
        try:
            steps = [*steps, *await rungs_of(ground, lever, steps, begun)]
        except BudgetError as error:
            if lever is levers[-1]:
                raise
            ground.evidence.say(f"{lever.name}: {error}")  # another may take less
        if ground.evidence.bench.budget.is_spent():
            ground.evidence.say(
                "the budget is spent; run the same command with a larger one to go on"
            )
            break
    return steps


async def standing(ground: Ground, start: Candidate | None) -> list[Step]:
    """Return the ladder to climb on: made where there is none, its champion measured anew where the examples have changed.

    Raises: UsageError if it starts at another candidate, or the start stands for answers that were collected elsewhere.
    """
    if start is not None and start.is_brought:
        raise UsageError(
            f"{start.model!r} stands for answers that were collected elsewhere, and cannot be improved; start from a candidate with a model, and compare with: ratchet ab {ground.evidence.task.name} --a start --b {start.model}"
        )
    evidence = ground.evidence
    steps = load_steps(ground.engine, evidence.task.name)
    if not steps:
        temperature = evidence.pool.start_temperature(evidence.task.models.student)
        first = start or starting_candidate(evidence.task, temperature=temperature)
        return [await start_rung(ground, first, 0, first.note or "the start")]
    if start and start.id != steps[0].candidate_id:
        raise UsageError(
            f"the ladder of task {evidence.task.name!r} starts at {steps[0].candidate_id}; start another with: ratchet ladder {evidence.task.name} --clear"
        )
    if is_here(ground, steps[-1]):
        return steps
    evidence.say("the examples have changed since the last rung; the champion is measured anew")
    champion = champion_of(ground, steps)
    what = f"{champion.note or 'the start'}, on changed examples"
    return [*steps, await start_rung(ground, champion, len(steps), what)]


def is_here(ground: Ground, step: Step) -> bool:
    """Return whether a rung stands on the examples that there are now."""
    return step.dataset in ("", ground.dataset)


async def measured(ground: Ground, candidate: Candidate) -> Measurement:
    evidence = ground.evidence
    return await evaluate(
        evidence.bench, candidate, evidence.pool.model(candidate.model), ground.dev, split="dev"
    )


async def start_rung(ground: Ground, candidate: Candidate, number: int, what: str) -> Step:
    """Return a rung that is measured, and compared with nobody."""
    ground.evidence.say(f"start: measuring {candidate.note or candidate.id} on dev")
    started, before = time.monotonic(), ground.evidence.bench.budget.spent
    measurement = await measured(ground, candidate)
    if measurement.stopped:
        raise UsageError(
            f"the start is not measured to its end: {measurement.stopped}; run the same command again with a larger budget"
        )
    step = Step(
        task=ground.evidence.task.name,
        number=number,
        lever="start",
        what=what,
        candidate_id=candidate.id,
        score=measurement.score,
        interval=measurement.interval,
        n=measurement.n,
        kept=True,
        dataset=ground.dataset,
        spend=spend_of([measurement], (started, before), ground.evidence.bench.budget.spent),
    )
    return kept(ground, step, measurement, None)


def begun_by(lever: Lever, steps: Sequence[Step]) -> int | None:
    """Return the place of the first rung of a lever that was killed between two of its rungs; None where none was."""
    if steps[-1].lever != lever.name or not steps[-1].left:
        return None
    first = len(steps) - 1
    while (steps[first - 1].lever, steps[first - 1].left) == (lever.name, steps[first].left + 1):
        first -= 1
    return first


async def rungs_of(
    ground: Ground, lever: Lever, steps: list[Step], begun: int | None = None
) -> list[Step]:
    """Return the rungs that one lever adds: each of its proposals against the champion of that moment, or the best of many.

    Args:
        ground: What the climb stands on.
        lever: Who proposes.
        steps: The ladder.
        begun: The place of its first rung, where it was killed between two; it goes on with the proposals that have none yet.
    """
    added: list[Step] = []
    evidence, budget = ground.evidence, ground.evidence.bench.budget
    champion = champion_of(ground, steps[:begun])
    done = {step.candidate_id for step in steps[begun:]} if begun else set()
    mark = (time.monotonic(), budget.spent)
    proposed = [proposal async for proposal in lever.propose(champion, evidence, budget)]
    texts = telling(ground.dev)
    proposals: list[Candidate] = []
    for proposal in {
        one.id: one for one in proposed if one.id not in {champion.id, *done}
    }.values():
        leak = leak_in(champion, proposal, texts)
        if leak is None:
            proposals.append(proposal)
            continue
        evidence.say(
            f"{lever.name}: {proposal.note or proposal.id} is left out, as it holds a text of dev: {leak[:60]!r}; take it out of the template"
        )
    if begun and not proposals and not budget.is_spent():
        finish_step(
            ground.engine, steps[-1]
        )  # nothing was left: it is not proposed, and paid for, again
    raced: Race | None = None
    if len(proposals) >= RACED_FROM and begun is None:
        try:
            raced = await raced_by(ground, lever, proposals)
        except BudgetError:
            return added
        proposals = [] if raced.stopped else [raced.pick.candidate]
    for left, challenger in reversed([*enumerate(reversed(proposals))]):
        try:
            rung = await one_rung(
                ground, lever, [*steps, *added], challenger, mark=mark, raced=raced, left=left
            )
        except BudgetError:
            break
        if rung is None:
            break
        added.append(rung)
        mark = (time.monotonic(), budget.spent)
    return added


async def raced_by(ground: Ground, lever: Lever, proposals: list[Candidate]) -> Race:
    """Return the race between the proposals on dev."""
    evidence = ground.evidence
    evidence.say(f"{lever.name}: racing {len(proposals)} candidates on dev")
    return await race(
        evidence.bench,
        [(proposal, evidence.pool.model(proposal.model)) for proposal in proposals],
        ground.dev,
        split="dev",
        tolerance=evidence.task.margin / 2,
        watch=ground.watch_race,
    )


def champion_of(ground: Ground, steps: list[Step]) -> Candidate:
    return find_candidate(
        ground.engine, next(step.candidate_id for step in reversed(steps) if step.kept)
    )


async def one_rung(
    ground: Ground,
    lever: Lever,
    steps: list[Step],
    challenger: Candidate,
    *,
    mark: tuple[float, Spend],
    raced: Race | None,
    left: int,
) -> Step | None:
    """Return the rung of one challenger; where it is the winner of a race, the verdict has to hold for all who ran."""
    evidence = ground.evidence
    before = await measured(ground, champion_of(ground, steps))
    evidence.say(f"{lever.name}: measuring {challenger.note or challenger.id} on dev")
    after = await measured(ground, challenger)
    if before.stopped or after.stopped:
        return None
    comparison = sum(step.verdict is not None for step in steps) + 1
    entrants = raced.measured if raced else [after]
    level = 1 - (1 - level_of(comparison)) / len(entrants)
    verdict = compare(before, after, margin=evidence.task.margin, level=level)
    spend = spend_of(entrants, mark, evidence.bench.budget.spent)
    better = admit(verdict, before, after)
    refused: list[str] = []
    if better:
        refused = refusals(evidence.task.admit, before, after) + distrust(
            evidence.bench, ground.dev
        )
    if better and evidence.task.admit.remembers and challenger.adapter:
        lost = await forgotten(evidence.pool, challenger, evidence.root)
        refused += [lost.sentence] if lost.verdict.decision == "worse" else []
    for reason in refused:
        evidence.say(f"{lever.name}: not admitted, {reason}")
    step = Step(
        task=evidence.task.name,
        number=len(steps),
        lever=lever.name,
        what=challenger.note or "a challenger",
        candidate_id=challenger.id,
        score=after.score,
        interval=after.interval,
        n=after.n,
        verdict=verdict,
        kept=better and not refused,
        refused=tuple(refused),
        dataset=ground.dataset,
        spend=spend,
        tried=len(entrants),
        left=left,
        losers=losers_of(raced) if raced else (),
    )
    return kept(ground, step, after, before)


def losers_of(raced: Race) -> tuple[Entrant, ...]:
    """Return who ran beside the winner, the best first."""
    return tuple(
        Entrant(
            candidate_id=candidate.id,
            what=candidate.note or candidate.id,
            estimate=place.estimate,
            answered=place.answered,
        )
        for place in raced.places[1:]
        for candidate in [raced.measured[place.candidate].candidate]
    )


def spend_of(entrants: Sequence[Measurement], mark: tuple[float, Spend], spent: Spend) -> Spend:
    """Return what a rung took: all since `mark`, and those of its challengers' trials that were bought before."""
    was = mark[1]
    costs = [m.cost_usd for m in entrants]
    known = [cost for cost in costs if cost is not None]
    older = sum(known) - sum(m.bought_usd for m in entrants)
    is_known = len(known) == len(costs) and all(m.spend.cost_usd is not None for m in entrants)
    return Spend(
        calls=spent.calls - was.calls + sum(len(m.outcomes) - m.bought for m in entrants),
        tokens=spent.tokens - was.tokens + sum(sum(m.tokens) - m.bought_tokens for m in entrants),
        seconds=time.monotonic() - mark[0],
        cost_usd=(spent.cost_usd or 0) - (was.cost_usd or 0) + older if is_known else None,
    )


def kept(ground: Ground, step: Step, challenger: Measurement, champion: Measurement | None) -> Step:
    add_step(ground.engine, step)
    if ground.watch:
        ground.watch(Rung(step, challenger, champion))
    return step
