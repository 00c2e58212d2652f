"""The retrieval lever: show each input the passages of a knowledge base that fit it, found in several ways."""

from collections.abc import AsyncIterator

from ratchet.core import Budget, Candidate, Knowledge, Retrieval
from ratchet.core.errors import UnknownModelError, UsageError
from ratchet.levers.lever import Evidence, LeverEstimate
from ratchet.store.knowledge import find_knowledge, list_knowledge

__all__ = ["RetrievalLever"]

QUOTED = "{{#each passages}}[{{number}}] {{#if title}}{{title}}: {{/if}}{{text}}\n{{/each}}\n"
"""What stands before the champion's own user template; passages are data, and their text is never read as a template."""


class RetrievalLever:
    """Propose the champion with passages of a knowledge base, found by words, by meaning and by both.

    Where the champion has knowledge already, other ways to find it and other numbers of passages are proposed.

    Args:
        knowledge: A knowledge base, as `docs` or `docs@2`; left out, the only one there is.
        counts: How many passages.
        embedding: Who tells how near a passage is; without one, words alone.
    """

    name = "retrieval"

    def __init__(
        self,
        knowledge: str | None = None,
        *,
        counts: tuple[int, ...] = (2, 5),
        embedding: str = "local:minilm",
    ) -> None:
        self._knowledge, self._counts, self._embedding = knowledge, counts, embedding

    async def estimate(self, champion: Candidate, evidence: Evidence) -> LeverEstimate:
        """Return the number of ways; finding passages costs nothing with a local model of embeddings."""
        return LeverEstimate(candidates=len(self._ways(champion, evidence)), calls=0, cost_usd=0.0)

    async def propose(
        self, champion: Candidate, evidence: Evidence, _budget: Budget
    ) -> AsyncIterator[Candidate]:
        """Yield each way once, leaving out those that were tried.

        Raises: UsageError if there is no knowledge base, or several and none is named; DataError if there is none of that name.
        """
        for challenger in self._ways(champion, evidence):
            if challenger.id not in evidence.tried:
                yield challenger

    def _ways(self, champion: Candidate, evidence: Evidence) -> list[Candidate]:
        version = self._version(champion, evidence)
        modes: tuple[str, ...] = ("lexical", "dense", "hybrid")
        try:
            evidence.pool.embedder(self._embedding)
        except UnknownModelError as error:
            evidence.say(f"retrieval: by words alone: {error}")
            modes = ("lexical",)
        user = champion.user
        if champion.retrieval is None and "passages" not in champion.user + champion.system:
            user = QUOTED + user
        found = []
        for mode in modes:
            for count in self._counts:
                chosen = Retrieval.model_validate(
                    {
                        "knowledge": version.id,
                        "k": count,
                        "mode": mode,
                        "embedding": self._embedding,
                    }
                )
                found.append(
                    champion.changed(
                        retrieval=chosen,
                        user=user,
                        note=f"{count} passages of {version.name}@{version.version}, {mode}",
                    )
                )
        return [one for one in found if one.id != champion.id]

    def _version(self, champion: Candidate, evidence: Evidence) -> Knowledge:
        engine = evidence.pool.engine
        if engine is None:
            raise UsageError(
                "there is no workspace, so no knowledge base; make one with: ratchet init"
            )
        if self._knowledge:
            return find_knowledge(engine, self._knowledge)
        if champion.retrieval:
            return find_knowledge(engine, champion.retrieval.knowledge)
        names = list(dict.fromkeys(one.name for one in list_knowledge(engine)))
        if len(names) != 1:
            raise UsageError(
                f"name one of the knowledge bases with --knowledge: {', '.join(names)}"
                if names
                else "there is no knowledge base yet; add one with: ratchet knowledge add FOLDER --name NAME"
            )
        return find_knowledge(engine, names[0])
