"""The demonstrations lever: train examples shown in the prompt, with their right answers or with a teacher's own replies.

Random sets are raced on other train examples, and the winner is proposed, so that dev is looked at once.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from random import Random

from ratchet.answer import Prompt
from ratchet.core import Budget, Candidate, Demonstration, Example
from ratchet.core.errors import BudgetError
from ratchet.levers.lever import Evidence, LeverEstimate
from ratchet.measure import evaluate, race

__all__ = ["DemosLever"]

LONGEST_SHARE = 0.5
"""Demonstrations come from the shorter half of the examples: they are paid for with every call."""
FULL = 1 - 1e-9
TOLERANCE = 0.02


class DemosLever:
    """Propose the champion with demonstrations.

    Args:
        sizes: How many a set shows.
        sets: Random sets a size.
        screen: Train examples that the sets are raced on; no set shows them.
        bootstrap: Show replies instead of references: those of the task's teacher, else of the champion itself, that the metric scores 1,
            with the reasoning that they hold.
        asked: Train examples that are asked for such replies.
        ceiling: The most tokens that a prompt may have with its demonstrations; None is no limit.
        seed: Of the sets.
    """

    name = "demos"

    def __init__(
        self,
        *,
        sizes: tuple[int, ...] = (2, 4),
        sets: int = 2,
        screen: int = 24,
        bootstrap: bool = False,
        asked: int = 32,
        ceiling: int | None = None,
        seed: int = 0,
    ) -> None:
        self._sizes, self._sets, self._screen, self._seed = sizes, sets, screen, seed
        self._bootstrap, self._asked, self._ceiling = bootstrap, asked, ceiling

    async def estimate(self, _champion: Candidate, evidence: Evidence) -> LeverEstimate:
        """Return the calls of a race that looks at everything, and of the teacher."""
        count = len(self._sizes) * self._sets
        left = max(0, len(evidence.train) - self._screen)
        return LeverEstimate(
            candidates=1,
            calls=count * min(self._screen, len(evidence.train))
            + (min(self._asked, left) if self._bootstrap else 0),
            note=f"{count} sets raced on train, at most",
        )

    async def propose(
        self, champion: Candidate, evidence: Evidence, budget: Budget
    ) -> AsyncIterator[Candidate]:
        """Yield the set that does best on the screening examples; nothing where train is too small to show and to screen."""
        rng = Random(self._seed)
        pool = evidence.train[:]
        rng.shuffle(pool)
        screen, rest = pool[: self._screen], pool[self._screen :]
        shown = (
            await self._replies(champion, evidence, rest[: self._asked], budget)
            if self._bootstrap
            else [Demonstration(inputs=e.inputs, answer=e.reference) for e in shortest(rest, self._sizes)]
        )  # fmt: skip
        if len(shown) < min(self._sizes):
            evidence.say(
                f"demos: {len(shown)} examples to show are too few: {min(self._sizes)} are wanted, beside {self._screen} to screen on"
            )
            return
        sets = self._sets_of(champion, evidence, shown, screen, rng)
        best = await self._best(sets, evidence, screen, budget)
        if best and best.id not in evidence.tried:
            yield best

    async def _replies(
        self, champion: Candidate, evidence: Evidence, examples: list[Example], budget: Budget
    ) -> list[Demonstration]:
        """Return the replies that the metric accepts."""
        name = evidence.task.models.teacher or champion.model
        plain = champion.changed(demonstrations=(), note=f"{name}, to be shown")
        if name != champion.model:
            plain = plain.changed(model=name, adapter=None)
        evidence.say(f"demos: asking {name} for {len(examples)} replies")
        measured = await evaluate(
            replace(evidence.bench, budget=budget),
            plain,
            evidence.pool.model(name),
            examples,
            split="train",
        )
        known = {example.id: example for example in examples}
        accepted = [
            Demonstration(inputs=known[t.example_id].inputs, answer=t.answer, said=t.output)
            for t in measured.trials
            if t.score and t.score.value >= FULL
        ]
        evidence.say(f"demos: {len(accepted)} of {len(measured.trials)} replies are accepted")
        return accepted

    async def _best(
        self, sets: list[Candidate], evidence: Evidence, screen: list[Example], budget: Budget
    ) -> Candidate | None:
        """Return the winner of a race on the screening examples; the only set without one."""
        if len(sets) < 2:  # nobody to race against
            return sets[0] if sets else None
        evidence.say(f"demos: racing {len(sets)} sets on {len(screen)} train examples")
        try:
            raced = await race(
                replace(evidence.bench, budget=budget),
                [(one, evidence.pool.model(one.model)) for one in sets],
                screen,
                split="train",
                tolerance=TOLERANCE,
                seed=self._seed,
            )
        except BudgetError:
            return None
        return raced.pick.candidate if raced.pick.outcomes else None

    def _sets_of(
        self,
        champion: Candidate,
        evidence: Evidence,
        shown: list[Demonstration],
        screen: list[Example],
        rng: Random,
    ) -> list[Candidate]:
        """Return different random sets, those left out whose prompt would be too long."""
        model = evidence.pool.model(champion.model)
        found: dict[str, Candidate] = {}
        too_long = 0
        for size in (size for size in self._sizes if size <= len(shown)):
            for _ in range(self._sets):
                candidate = champion.changed(
                    demonstrations=tuple(rng.sample(shown, size)),
                    note=f"{size} demonstrations" + (", a model's own replies" if self._bootstrap else ""),
                )  # fmt: skip
                request = Prompt(evidence.task, candidate).request(screen[0])
                if self._ceiling and model.count_tokens(request)[0] > self._ceiling:
                    too_long += 1
                else:
                    found[candidate.id] = candidate
        if too_long:
            evidence.say(
                f"demos: {too_long} sets would take the prompt beyond {self._ceiling} tokens, and are left out"
            )
        return list(found.values())


def shortest(rest: list[Example], sizes: tuple[int, ...]) -> list[Example]:
    """Return the shorter half of the examples, and enough for the largest set."""
    short = sorted(rest, key=lambda e: (len(str(e.inputs)) + len(str(e.reference)), e.id))
    return short[: max((*sizes, round(LONGEST_SHARE * len(short))))]
