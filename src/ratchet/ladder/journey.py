"""The journey: diagnose the champion, try the lever that promises most for its cost, keep or drop, and again.

It ends by rule: the target is reached, the budget is spent, or no lever is expected to gain what it costs. Every rung and every
diagnosis is stored as it ends, and what decides the next step is computed from stored trials alone, so that a climb that was killed
goes on where it was, to the same ladder.
"""

from collections.abc import Callable, Sequence

from ratchet.core import Candidate, Diagnosis, Step
from ratchet.core.errors import AccessError, BudgetError, RatchetError, ReplyError, UsageError
from ratchet.ladder.climb import Ground, begun_by, champion_of, rungs_of, standing
from ratchet.ladder.diagnose import QUICK, diagnose
from ratchet.ladder.prospects import Option, Prospects, prospects_of
from ratchet.levers import Lever
from ratchet.store import add_diagnosis

__all__ = ["Ask", "journey", "reason"]

Ask = Callable[[Option, Prospects], bool]
"""Asked before each rung; False passes the lever over."""
MOST_RUNGS = 50


async def journey(
    ground: Ground,
    levers: Sequence[Lever],
    *,
    start: Candidate | None = None,
    target: float | None = None,
    ask: Ask | None = None,
    watch: Callable[[Diagnosis, Prospects], None] | None = None,
) -> list[Step]:
    """Return the ladder at the journey's end; why it ended is told to the watcher.

    Args:
        ground: The task, its examples and models.
        levers: What may be tried.
        start: The first candidate, where the ladder is empty.
        target: A score on dev, in [0, 1], that is enough.
        ask: Asked before each rung.
        watch: Shown each diagnosis and what it leads to.
    Raises: UsageError if the target is none, or the ladder starts elsewhere.
    """
    if target is not None and not 0 < target <= 1:
        raise UsageError(f"a target is a score between 0 and 100 points; got {100 * target:g}")
    evidence, say = ground.evidence, ground.evidence.say
    steps = await standing(ground, start)
    for lever in levers:
        if begun_by(lever, steps) is not None:
            steps = [*steps, *await added_by(ground, lever, steps)]
    refused: set[tuple[str, str]] = set()
    known: dict[str, Diagnosis] = {}
    while len(steps) < MOST_RUNGS:
        champion, score = champion_of(ground, steps), best_of(steps)
        if target is not None and score >= target:
            say(f"the target of {100 * target:g} is reached: {100 * score:.1f}")
            break
        try:
            if champion.id not in known:
                known[champion.id] = await diagnose(evidence, champion, depth=QUICK)
                add_diagnosis(ground.engine, known[champion.id])
        except BudgetError as spent:
            say(str(spent))
            break
        diagnosis = known[champion.id]
        if not diagnosis.failures:
            say(f"none of {diagnosis.n} train answers fails; there is nothing to diagnose")
            break
        left = [one for one in levers if (champion.id, one.name) not in refused]
        found = await prospects_of(left, diagnosis, champion, steps, evidence, dev=len(ground.dev))
        if watch:
            watch(diagnosis, found)
        best = found.best
        if best is None:
            say(ending(diagnosis, found, target, score))
            break
        if ask and not ask(best, found):
            refused.add((champion.id, best.lever.name))
            continue
        added = await added_by(ground, best.lever, steps)
        if evidence.bench.budget.is_spent():
            steps = [*steps, *added]
            say("the budget is spent; run the same command with a larger one to go on")
            break
        if not added:  # it had nothing that was not tried before
            refused.add((champion.id, best.lever.name))
        steps = [*steps, *added]
    return steps


async def added_by(ground: Ground, lever: Lever, steps: list[Step]) -> list[Step]:
    """Return the rungs that a lever adds; none where it cannot be tried, which is said, or the budget ends.

    Raises: ReplyError or AccessError if the model went away: what is there stays.
    """
    try:
        return await rungs_of(ground, lever, steps, begun_by(lever, steps))
    except (ReplyError, AccessError):
        raise
    except RatchetError as error:
        ground.evidence.say(f"{lever.name} cannot be tried: {error}")
        return []


def best_of(steps: Sequence[Step]) -> float:
    return next(step.score for step in reversed(steps) if step.kept)


def reason(best: Option, diagnosis: Diagnosis) -> str:
    """Return why a lever is tried, in a line."""
    promise = best.promise
    return (
        f"next: {best.lever.name}, expected {100 * promise.gain:+.1f} points [{100 * promise.interval.low:+.1f}, {100 * promise.interval.high:+.1f}]"
        f" ({promise.why}) for about {best.calls:,.0f} answers; most failures: {diagnosis.cause}"
    )


def ending(diagnosis: Diagnosis, found: Prospects, target: float | None, score: float) -> str:
    """Return why there is nothing left to try, and what would be needed."""
    lines = [f"{name}: {why}" for name, why in found.left_out.items()]
    needs = {
        "label looks wrong": f"look at the references: all candidates agree against them (`ratchet diagnose {diagnosis.task}` lists which)",
        "knowledge missing": "add the documents that hold the answers: ratchet knowledge add FOLDER --name NAME",
        "search missed it": "add better documents, or cut them otherwise",
        "beyond this model": "name a stronger model as the task's teacher",
    }.get(diagnosis.cause or "", "more train examples, a teacher, or knowledge")
    short = "" if target is None else f"; {100 * (target - score):.1f} points are missing to the target"  # fmt: skip
    return f"no lever is expected to gain what it costs ({'; '.join(lines)}){short}. Most failures: {diagnosis.cause}; what would help: {needs}"
