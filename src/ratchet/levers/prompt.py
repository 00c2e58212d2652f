"""The prompt lever: templates that the user gives, and those that a model proposes, each put into the champion."""

from collections.abc import AsyncIterator, Sequence

from ratchet.answer import starting_candidate
from ratchet.core import Budget, Candidate
from ratchet.levers.lever import Evidence, LeverEstimate
from ratchet.levers.proposals import SCREEN, Proposer

__all__ = ["PromptLever"]

PARTS = ("answer", "demonstrations", "nearest", "retrieval", "decoding")


class PromptLever:
    """Propose the champion with other templates.

    Args:
        variants: Candidates whose templates are taken, and what else they say beside the task's start: the form of replies,
            demonstrations, knowledge, decoding. Model and adapter stay the champion's.
        proposer: Who proposes more; nobody if left out.
    """

    name = "prompt"

    def __init__(
        self, variants: Sequence[Candidate] = (), *, proposer: Proposer | None = None
    ) -> None:
        self._variants, self._proposer = list(variants), proposer

    async def estimate(self, _champion: Candidate, evidence: Evidence) -> LeverEstimate:
        """Return the number of templates; given ones cost nothing, proposed ones a call each and the champion's failures."""
        count, calls, note = len(self._variants), 0, ""
        if self._proposer:
            count += self._proposer.count
            calls = self._proposer.count + min(SCREEN, len(evidence.train))
            note = f"{self._proposer.count} proposed by {self._proposer.name(evidence.task)}"
        return LeverEstimate(
            candidates=count, calls=calls, cost_usd=None if calls else 0.0, note=note
        )

    async def propose(
        self, champion: Candidate, evidence: Evidence, budget: Budget
    ) -> AsyncIterator[Candidate]:
        """Yield each template once, leaving out those that were tried."""
        if self._proposer:
            self._proposer.name(evidence.task)  # who is missing is told before anything is paid
        start = starting_candidate(evidence.task)
        for variant in self._variants:
            own = {
                part: getattr(variant, part)
                for part in PARTS
                if getattr(variant, part) != getattr(start, part)
            }
            challenger = champion.changed(
                system=variant.system,
                user=variant.user,
                **own,
                note=variant.note or "another template",
            )
            if challenger.id != champion.id and challenger.id not in evidence.tried:
                yield challenger
        if self._proposer:
            for challenger in await self._proposer.propose(champion, evidence, budget):
                yield challenger
