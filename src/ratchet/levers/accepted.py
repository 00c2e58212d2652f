"""Answers of a teacher that the metric accepts: what demonstrations and fine-tunes learn from."""

from dataclasses import replace

from ratchet.core import Budget, Candidate, Example, Trial
from ratchet.levers.lever import Evidence
from ratchet.measure import Measurement, evaluate

__all__ = ["accepted"]

FULL = 1 - 1e-9


async def accepted(
    name: str, candidate: Candidate, evidence: Evidence, examples: list[Example], budget: Budget
) -> list[Trial]:
    """Return the candidate's trials on train examples that have the full score, one an example, in the order of the examples.

    "Accepted" means a score of 1, by graded metrics too: what is learnt from should have nothing wrong about it.

    Args:
        name: The lever that asks, for what is said.
        candidate: The teacher.
        evidence: The task, and where trials are kept.
        examples: Whom it is asked about.
        budget: Who pays.
    """
    evidence.say(f"{name}: asking {candidate.model} for {len(examples)} answers")
    measured = await evaluate(
        replace(evidence.bench, budget=budget),
        candidate,
        evidence.pool.model(candidate.model),
        examples,
        split="train",
    )
    good: dict[str, Trial] = {}
    for trial in measured.trials:
        if trial.score and trial.score.value >= FULL:
            good.setdefault(trial.example_id, trial)
    evidence.say(
        f"{name}: {len(good)} of {measured.n} answers of {candidate.model} are accepted: they have the full score; {partly(measured, len(good))}"
    )
    return list(good.values())


def partly(measured: Measurement, accepted: int) -> str:
    """Return what became of the answers that were not accepted, in words."""
    some = sum(0 < score < FULL for score in measured.by_example().values())
    rest = measured.n - accepted
    return f"{rest} have less and are left out" + (f", {some} of them part of it" if some else "")
