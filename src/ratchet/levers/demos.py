"""The demonstrations lever: labelled few-shot. Sets of train examples are shown in the prompt, and screened on other train examples."""

from collections.abc import AsyncIterator
from random import Random

from ratchet.core import Budget, Candidate, Demonstration, Example
from ratchet.levers.lever import Evidence, LeverEstimate
from ratchet.measure import Bench, evaluate

__all__ = ["DemosLever"]

LONGEST_SHARE = 0.5
"""Demonstrations come from the shorter half of the examples: they are paid for with every call."""


class DemosLever:
    """Propose the champion with demonstrations.

    `sets` random sets a size are screened on `screen` train examples that no set shows; the best one is proposed, so that dev
    is looked at once.
    """

    name = "demos"

    def __init__(
        self, *, sizes: tuple[int, ...] = (2, 4), sets: int = 2, screen: int = 24, seed: int = 0
    ) -> None:
        self._sizes, self._sets, self._screen, self._seed = sizes, sets, screen, seed

    async def estimate(self, _champion: Candidate, evidence: Evidence) -> LeverEstimate:
        """Return the screening calls."""
        count = len(self._sizes) * self._sets
        return LeverEstimate(
            candidates=1,
            calls=count * min(self._screen, len(evidence.train)),
            note=f"{count} sets screened on train",
        )

    async def propose(
        self, champion: Candidate, evidence: Evidence, budget: Budget
    ) -> AsyncIterator[Candidate]:
        """Yield the set that does best on the screening examples; nothing where train is too small to show and to screen."""
        rng = Random(self._seed)
        pool = evidence.train[:]
        rng.shuffle(pool)
        screen, rest = pool[: self._screen], pool[self._screen :]
        if len(rest) < min(self._sizes):
            evidence.say(
                f"demos: {len(pool)} train examples are too few for {self._screen} to screen on and {min(self._sizes)} to show"
            )
            return
        model = evidence.pool.model(champion.model)
        bench = Bench(
            task=evidence.task,
            metric=evidence.bench.metric,
            engine=evidence.bench.engine,
            budget=budget,
            watch=evidence.bench.watch,
            pool=evidence.pool,
        )
        best: tuple[float, Candidate] | None = None
        for challenger in self._sets_of(champion, rest, rng):
            if budget.is_spent():
                break
            evidence.say(f"demos: screening {challenger.note}")
            measured = await evaluate(bench, challenger, model, screen, split="train")
            if best is None or measured.score > best[0]:
                best = (measured.score, challenger)
        if best and best[1].id not in evidence.tried:
            yield best[1]

    def _sets_of(self, champion: Candidate, rest: list[Example], rng: Random) -> list[Candidate]:
        short = sorted(rest, key=lambda e: (len(str(e.inputs)) + len(str(e.reference)), e.id))
        usable = short[: max(*self._sizes, round(LONGEST_SHARE * len(short)))]
        found: dict[str, Candidate] = {}
        for size in (size for size in self._sizes if size <= len(usable)):
            for _ in range(self._sets):
                chosen = rng.sample(usable, size)
                shown = tuple(Demonstration(inputs=e.inputs, answer=e.reference) for e in chosen)
                candidate = champion.changed(demonstrations=shown, note=f"{size} demonstrations")
                found[candidate.id] = candidate
        return list(found.values())
