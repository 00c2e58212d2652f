"""Which lever next: the one that promises most for what it costs, given the diagnosis and what was tried on this champion."""

from collections.abc import Sequence
from dataclasses import dataclass

from ratchet.core import Candidate, Diagnosis, Promise, Step
from ratchet.core.errors import RatchetError
from ratchet.levers import Evidence, Lever, LeverEstimate

__all__ = ["Option", "Prospects", "prospects_of"]

RACED_SHARE = 0.4
"""Of the answers that all candidates of a race would give on dev, so many are asked for, about."""
RACED_FROM = 3
TRAINED = 3
"""A training example takes as long as so many answers, about, each time that it is passed."""
EPOCHS = 3
NEAR = 0.1
"""Options whose gains for their cost differ by less are tied; the cheaper one goes first."""


@dataclass(frozen=True, kw_only=True)
class Option:
    """A lever, what it promises, and what it takes."""

    lever: Lever
    promise: Promise
    calls: float
    """To find its candidates and to compare them on dev, in answers of the champion."""
    estimate: LeverEstimate

    @property
    def rate(self) -> float:
        """Return the gain expected for a thousand answers."""
        return 1000 * self.promise.gain / max(1.0, self.calls)


@dataclass(frozen=True, kw_only=True)
class Prospects:
    """The options, the best first, and those that are none."""

    options: list[Option]
    left_out: dict[str, str]
    """Levers that cannot be tried, or are not worth it, each with the reason."""

    @property
    def best(self) -> Option | None:
        """Return the first; among those that are near to it the cheapest."""
        if not self.options:
            return None
        first = self.options[0]
        near = [one for one in self.options if one.rate >= (1 - NEAR) * first.rate]
        return min(near, key=lambda one: one.calls)


async def prospects_of(
    levers: Sequence[Lever],
    diagnosis: Diagnosis,
    champion: Candidate,
    steps: Sequence[Step],
    evidence: Evidence,
    *,
    dev: int,
) -> Prospects:
    """Return what could be tried next.

    Args:
        levers: All that there are.
        diagnosis: Of the champion.
        champion: The best candidate so far.
        steps: The ladder.
        evidence: What levers look at.
        dev: How many examples a candidate is compared on.
    """
    tried = since_champion(steps)
    options: list[Option] = []
    left_out: dict[str, str] = {}
    for lever in levers:
        if lever.name in tried:
            left_out[lever.name] = "tried on this champion"
            continue
        promise = promised(lever, diagnosis, champion)
        if promise is None:
            left_out[lever.name] = "the diagnosis points elsewhere"
            continue
        if promise.gain < evidence.task.margin:  # counts as no difference: not worth a search
            left_out[lever.name] = f"is expected to gain {100 * promise.gain:+.1f} points, less than the margin of {100 * evidence.task.margin:g}"  # fmt: skip
            continue
        try:
            estimate = await lever.estimate(champion, evidence)
        except RatchetError as error:
            left_out[lever.name] = str(error)
            continue
        if not estimate.candidates:
            left_out[lever.name] = estimate.note or "has nothing to propose"
            continue
        calls = calls_of(lever, estimate, champion, evidence, dev)
        options.append(Option(lever=lever, promise=promise, calls=calls, estimate=estimate))
    options.sort(key=lambda one: (-one.rate, one.calls, one.lever.name))
    return Prospects(options=options, left_out=left_out)


def since_champion(steps: Sequence[Step]) -> set[str]:
    """Return the levers that have had their rung on this champion, and the one that made it: it would propose the same."""
    last = max((number for number, step in enumerate(steps) if step.kept), default=len(steps))
    return {step.lever for step in steps[last:]}


def promised(lever: Lever, diagnosis: Diagnosis, champion: Candidate) -> Promise | None:
    """Return what the diagnosis promises of a lever; None where it says nothing of it."""
    family = lever.name.split(" ")[0]
    if family == "retrieval" and lever.name != "retrieval" and champion.retrieval is None:
        return None
    if family == "dspy":
        family = "demos"
    return next((one for one in diagnosis.promises if one.lever == family), None)


def calls_of(
    lever: Lever, estimate: LeverEstimate, champion: Candidate, evidence: Evidence, dev: int
) -> float:
    """Return what trying a lever takes, in answers of the champion; the same however fast the machine is today."""
    count = estimate.candidates
    compared = dev * (1 + RACED_SHARE * (count - 1) if count >= RACED_FROM else count)
    price = 1.0
    if lever.name == "model":
        teacher = evidence.task.models.teacher
        price = relative_price(champion, teacher, evidence) if teacher else 1.0
    if lever.name == "tune":
        compared += TRAINED * EPOCHS * len(evidence.learnable)
    if lever.name == "decoding":
        price = 2.0  # samples and repairs take several calls an answer
    return estimate.calls + price * compared


def relative_price(champion: Candidate, teacher: str, evidence: Evidence) -> float:
    """Return how much dearer a call of the teacher is; 1 where a price is unknown, or both are free."""
    try:
        own, other = (evidence.pool.model(name).price(1000, 100) for name in (champion.model, teacher))  # fmt: skip
    except RatchetError:
        return 1.0
    return max(1.0, other / own) if own and other else 1.0
