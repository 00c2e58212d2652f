"""Answers of a teacher that the metric accepts: what demonstrations and fine-tunes learn from."""

from dataclasses import replace

from ratchet.core import Budget, Candidate, Example, Trial
from ratchet.levers.lever import Evidence
from ratchet.measure import evaluate

__all__ = ["accepted"]

FULL = 1 - 1e-9


async def accepted(
    name: str, candidate: Candidate, evidence: Evidence, examples: list[Example], budget: Budget
) -> list[Trial]:
    """Return the candidate's trials on train examples that have the full score, in the order of the examples.

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
    good = [trial for trial in measured.trials if trial.score and trial.score.value >= FULL]
    evidence.say(
        f"{name}: {len(good)} of {len(measured.outcomes)} answers of {candidate.model} are accepted"
    )
    return good
