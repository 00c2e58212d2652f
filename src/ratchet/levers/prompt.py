"""The prompt lever: the templates that the user gives, each put into the champion."""

from collections.abc import AsyncIterator, Sequence

from ratchet.core import Budget, Candidate
from ratchet.levers.lever import Evidence, LeverEstimate

__all__ = ["PromptLever"]


class PromptLever:
    """Propose the champion with other templates.

    Args:
        variants: Candidates whose templates (and note) are taken; model, adapter, demonstrations and decoding stay the champion's.
    """

    name = "prompt"

    def __init__(self, variants: Sequence[Candidate]) -> None:
        self._variants = list(variants)

    async def estimate(self, _champion: Candidate, _evidence: Evidence) -> LeverEstimate:
        """Return the number of templates; proposing them costs nothing."""
        return LeverEstimate(candidates=len(self._variants), calls=0, cost_usd=0.0)

    async def propose(
        self, champion: Candidate, evidence: Evidence, _budget: Budget
    ) -> AsyncIterator[Candidate]:
        """Yield each template once, leaving out those that were tried."""
        for variant in self._variants:
            challenger = champion.changed(
                system=variant.system, user=variant.user, note=variant.note or "another template"
            )
            if challenger.id != champion.id and challenger.id not in evidence.tried:
                yield challenger
