"""The model lever: the champion's prompt on other models. Which is better, and which cheaper one is not worse?"""

from collections.abc import AsyncIterator, Sequence

from ratchet.answer import with_model
from ratchet.core import Budget, Candidate
from ratchet.core.errors import UsageError
from ratchet.levers.lever import Evidence, LeverEstimate

__all__ = ["ModelLever"]


class ModelLever:
    """Propose the champion on other models; an adapter stays behind, as it fits its own base alone.

    Args:
        models: Their names; left out, the task's teacher and student.
    """

    name = "model"

    def __init__(self, models: Sequence[str] = ()) -> None:
        self._models = tuple(dict.fromkeys(models))

    async def estimate(self, champion: Candidate, evidence: Evidence) -> LeverEstimate:
        """Return the number of models; proposing them costs nothing."""
        return LeverEstimate(
            candidates=len(self._others(champion, evidence)), calls=0, cost_usd=0.0
        )

    async def propose(
        self, champion: Candidate, evidence: Evidence, _budget: Budget
    ) -> AsyncIterator[Candidate]:
        """Yield the champion on each other model, leaving out those that were tried.

        Raises: UsageError if there is no other model to try; UnknownModelError if one is not there.
        """
        others = self._others(champion, evidence)
        if not others:
            raise UsageError(
                "there is no other model to try: name some with --models, or set models.teacher in the task's file"
            )
        for name in others:
            evidence.pool.model(name)  # named wrongly, it is told before anything is paid
        for name in others:
            temperature = evidence.pool.start_temperature(name)
            challenger = with_model(champion, name, temperature=temperature).changed(
                note=f"on {name}"
            )
            if challenger.id not in evidence.tried:
                yield challenger

    def _others(self, champion: Candidate, evidence: Evidence) -> list[str]:
        roles = evidence.task.models
        named = self._models or tuple(name for name in (roles.teacher, roles.student) if name)
        return [
            name
            for name in dict.fromkeys(named)
            if name != champion.model or champion.adapter is not None
        ]
