"""The demonstrations lever: train examples shown in the prompt, with their right answers or with a teacher's own replies.

Random sets, in random order, and the choice of the nearest to each input are raced on other train examples, and the winner is
proposed, so that dev is looked at once.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from random import Random

from ratchet.answer import Prompt
from ratchet.core import Budget, Candidate, Demonstration, Example, Nearest
from ratchet.core.errors import BudgetError, UnknownModelError
from ratchet.core.records import canonical_json
from ratchet.levers.accepted import accepted
from ratchet.levers.lever import Evidence, LeverEstimate
from ratchet.measure import race
from ratchet.metrics.metric import references_are_answers

__all__ = ["DemosLever"]

LONGEST_SHARE = 0.5
"""Demonstrations come from the shorter half of the examples: they are paid for with every call."""
CHOSEN_FROM = 500
"""So many demonstrations the nearest are chosen from, at most: they are part of the candidate, and each is embedded once."""
TOLERANCE = 0.02


class DemosLever:
    """Propose the champion with demonstrations.

    Args:
        sizes: How many a set shows.
        sets: Random sets a size.
        nearest: Show each input so many that are nearest to it, chosen from all that may be shown; nothing where there is no `embedding`.
        embedding: Who tells how near two inputs are.
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
        nearest: tuple[int, ...] = (4,),
        embedding: str = "local:minilm",
        screen: int = 24,
        bootstrap: bool = False,
        asked: int = 32,
        ceiling: int | None = None,
        seed: int = 0,
    ) -> None:
        self._sizes, self._sets, self._screen, self._seed = sizes, sets, screen, seed
        self._nearest, self._embedding = nearest, embedding
        self._bootstrap, self._asked, self._ceiling = bootstrap, asked, ceiling

    async def estimate(self, _champion: Candidate, evidence: Evidence) -> LeverEstimate:
        """Return the calls of a race that looks at everything, and of the teacher."""
        count = len(self._sizes) * self._sets + len(self._nearest)
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
        bootstrap = self._bootstrap
        if not bootstrap and not references_are_answers(evidence.bench.metric):
            evidence.say(
                "demos: references are no answers here, so a model's own replies are shown"
            )
            bootstrap = True
        if not bootstrap and not evidence.labelled:
            evidence.say(
                "demos: no train example has a reference to show, so a model's own replies are shown that the metric scores 1"
            )
            bootstrap = True
        if bootstrap and rest:
            every = await self._replies(champion, evidence, rest[: self._asked], budget)
            shown = every
        else:
            every = [
                Demonstration(inputs=e.inputs, answer=e.reference)
                for e in rest
                if evidence.task.is_labelled(e)
            ]
            shown = shortest(every, self._sizes)
        least = min((*self._sizes, *self._nearest))
        if len(shown) < least:
            evidence.say(
                f"demos: {len(shown)} examples to show are too few: {least} are wanted, beside {self._screen} to screen on"
            )
            return
        sets = [
            *self._random(champion, shown, rng),
            *self._neighbours(champion, evidence, every[:CHOSEN_FROM]),
        ]
        sets = self._short_enough(sets, evidence, screen)
        best = await self._best(sets, evidence, screen, budget)
        if best and best.id in evidence.tried:
            evidence.say(f"demos: {best.note} won, and was on the ladder before")
        elif best:
            yield best

    async def _replies(
        self, champion: Candidate, evidence: Evidence, examples: list[Example], budget: Budget
    ) -> list[Demonstration]:
        """Return the replies that the metric accepts."""
        name = evidence.task.models.teacher or champion.model
        plain = champion.changed(demonstrations=(), nearest=None, note=f"{name}, to be shown")
        if name != champion.model:
            plain = plain.changed(model=name, adapter=None)
        known = {example.id: example for example in examples}
        return [
            Demonstration(inputs=known[t.example_id].inputs, answer=t.answer, said=t.output)
            for t in await accepted(self.name, plain, evidence, examples, budget)
        ]

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

    def _random(
        self, champion: Candidate, shown: list[Demonstration], rng: Random
    ) -> list[Candidate]:
        """Return random sets, each the same for every input."""
        return [
            champion.changed(
                demonstrations=tuple(rng.sample(shown, size)),
                nearest=None,
                note=f"{size} demonstrations{self._whose(shown)}",
            )
            for size in self._sizes
            if size <= len(shown)
            for _ in range(self._sets)
        ]

    def _neighbours(
        self, champion: Candidate, evidence: Evidence, shown: list[Demonstration]
    ) -> list[Candidate]:
        """Return candidates that choose by the input; none where nobody can tell how near two inputs are."""
        counts = [count for count in self._nearest if count < len(shown)]
        if not counts:
            return []
        try:
            evidence.pool.embedder(self._embedding)
        except UnknownModelError as error:
            evidence.say(f"demos: the nearest are not tried: {error}")
            return []
        return [
            champion.changed(
                demonstrations=tuple(shown),
                nearest=Nearest(count=count, embedding=self._embedding),
                # what demonstrations like the input make likely is what they are shown for
                decoding=champion.decoding.model_copy(update={"calibration": None}),
                note=f"the {count} nearest of {len(shown)} demonstrations{self._whose(shown)}",
            )
            for count in counts
        ]

    def _whose(self, shown: list[Demonstration]) -> str:
        return ", a model's own replies" if any(one.said for one in shown) else ""

    def _short_enough(
        self, sets: list[Candidate], evidence: Evidence, screen: list[Example]
    ) -> list[Candidate]:
        """Return different sets, those left out whose prompt would be too long."""
        found: dict[str, Candidate] = {}
        too_long = 0
        for candidate in sets:
            model = evidence.pool.model(candidate.model)
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


def shortest(every: list[Demonstration], sizes: tuple[int, ...]) -> list[Demonstration]:
    """Return the shorter half of the demonstrations, and enough for the largest set."""
    short = sorted(
        every, key=lambda one: (len(canonical_json(one.plain())), canonical_json(one.plain()))
    )
    return short[: max((*sizes, round(LONGEST_SHARE * len(short))))]
