"""Race candidates: find the best of many without asking all of everyone, and say how sure that is.

Answers are asked for in batches, several under way at once; which ones is decided from whole batches alone, so that the same
scores lead to the same questions, and a race that was killed goes the same way again, paying for nothing twice.
"""

import asyncio
import base64
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ratchet.core import Candidate, Example, Spend, content_id
from ratchet.core.errors import DataError, ReplyError, UsageError
from ratchet.measure.asking import Asking, Bench, voting, writing
from ratchet.measure.evaluate import fewer_collections
from ratchet.measure.intervals import Array
from ratchet.measure.measurement import Measurement
from ratchet.measure.selection import Cell, Place, Selection
from ratchet.models import ChatModel
from ratchet.store import race_start

__all__ = ["Race", "RaceProgress", "batch_size", "race"]

AT_ONCE = 9
"""Batches under way: a slow answer holds up its own batch, and the others keep the connections busy."""
SMALLEST = 8
LEVEL = 0.95
MAX_REGRET_TOLD = 0.25
"""A bound that is wider than this says nothing that helps anyone choose, and is left out of the sentence."""


@dataclass(frozen=True, kw_only=True)
class RaceProgress:
    """Where a race stands after a batch."""

    answered: int
    grid: int
    """Answers that all candidates on all examples would be."""
    alive: int
    """Candidates that may still be the pick."""
    leader: str
    """The candidate that looks best."""
    estimate: float
    chance: float
    """The probability, by the model, that it is within the tolerance of the best, once the answers under way are there."""
    cost_usd: float


@dataclass(frozen=True, kw_only=True)
class Race:
    """How a race ended."""

    measured: list[Measurement]
    """What each candidate answered, in the order in which they were given."""
    places: list[Place]
    """Best first; `Place.candidate` counts in the order of `measured`."""
    tolerance: float
    regret: float
    """The pick is at most so far behind the best on all examples: holds for any scores, with confidence `level`."""
    level: float
    spend: Spend
    stopped: str | None
    """Why it ended before the pick was clear, if it did."""

    @property
    def pick(self) -> Measurement:
        """Return the winner's measurement."""
        return self.measured[self.places[0].candidate]

    @property
    def answered(self) -> int:
        """Return how many answers it took, those that were there included."""
        return sum(len(m.outcomes) for m in self.measured)

    @property
    def grid(self) -> int:
        """Return how many answers all candidates on all examples would be."""
        return sum(len(m.examples) for m in self.measured)

    @property
    def sentence(self) -> str:
        """Return the outcome in words."""
        best = self.places[0]
        name = self.pick.candidate.note or self.pick.candidate.id
        bound = (
            f", and at most {100 * self.regret:.1f} points behind it with {100 * self.level:.0f} % confidence, whatever the model"
            if self.regret <= MAX_REGRET_TOLD
            else ""
        )
        return (
            f"{name} is within {100 * self.tolerance:.1f} points of the best with probability {100 * best.chance:.0f} % by the model{bound}; "
            f"{self.answered:,} of {self.grid:,} answers were asked for."
        )


async def race(
    bench: Bench,
    entrants: Sequence[tuple[Candidate, ChatModel]],
    examples: Sequence[Example],
    *,
    split: str = "",
    tolerance: float = 0.01,
    confidence: float = 0.95,
    seed: int = 0,
    watch: Callable[[RaceProgress], None] | None = None,
) -> Race:
    """Return the race of the candidates on `examples`, once the pick is within `tolerance` of the best with `confidence`.

    Trials that are there at the start are used at once, and cost nothing. When the budget is spent no new call starts, and the
    race says so; run again, it goes on from there.

    A candidate whose model gives no reply falls out, and its measurement says why.

    Raises: UsageError for fewer than two different candidates; DataError without examples; as `evaluate` for the rest.
    """
    ids = [candidate.id for candidate, _ in entrants]
    if len(set(ids)) != len(ids) or len(ids) < 2:  # a race takes two
        raise UsageError(
            f"a race takes at least two different candidates; got {', '.join(ids) or 'none'}. "
            f"Name them with --candidate, or put their files into tasks/{bench.task.name}/"
        )
    if not examples:
        raise DataError(f"task {bench.task.name!r} has no examples in split {split!r}")
    started, before = time.monotonic(), bench.budget.spent
    bench = replace(bench, watch=None)  # which tells of one candidate
    selection = Selection(
        len(ids), len(examples), tolerance=tolerance, confidence=confidence, seed=seed
    )
    with writing(bench) as writer, fewer_collections():
        async with voting(bench, writer) as votes:
            askings = [Asking(bench, *entrant, writer, votes) for entrant in entrants]
            runner = _Runner(bench, askings, examples, selection, watch)
            runner.reuse([ids, sorted(e.id for e in examples), tolerance, confidence, seed])
            for asking in askings:
                asking.check_budget()
            await runner.run()
    after = bench.budget.spent
    priced = not any(asking.unpriced for asking in askings) and not (votes and votes.unpriced)
    keys = [(example.id, 0) for example in examples]
    return Race(
        measured=[
            asking.measurement(
                keys,
                examples,
                split=split,
                spend=Spend(calls=asking.calls, cost_usd=asking.dollars if priced else None),
            )
            for asking in askings
        ],
        places=selection.places(),
        tolerance=tolerance,
        regret=selection.regret(LEVEL),
        level=LEVEL,
        spend=Spend(
            calls=after.calls - before.calls,
            tokens=after.tokens - before.tokens,
            seconds=time.monotonic() - started,
            cost_usd=(after.cost_usd or 0) - (before.cost_usd or 0) if priced else None,
        ),
        stopped=next((asking.stopped for asking in askings if asking.stopped), None),
    )


class _Runner:
    """Asks for what the selection wants to know."""

    def __init__(
        self,
        bench: Bench,
        askings: list[Asking],
        examples: Sequence[Example],
        selection: Selection,
        watch: Callable[[RaceProgress], None] | None,
    ) -> None:
        self._bench, self._askings, self._examples = bench, askings, examples
        self._selection, self._watch = selection, watch
        self._dead = set[int]()
        """Candidates whose model gives no reply."""
        models = {asking.model.name: asking.model.concurrency for asking in askings}
        self._turns = {name: asyncio.Semaphore(count) for name, count in models.items()}
        self._size = batch_size(sum(models.values()))

    def reuse(self, settings: list[object]) -> None:
        """Take the trials that are there; for the selection those count that were there when this race first began."""
        wanted = {(example.id, 0): example for example in self._examples}
        for asking in self._askings:
            asking.reuse(wanted)
        there = np.array(
            [[(e.id, 0) in asking.outcomes for e in self._examples] for asking in self._askings]
        )
        if self._bench.engine is not None:
            task = self._bench.task
            race_id = content_id("r", [task.asking_id, self._bench.metric.id, settings])
            rows = race_start(self._bench.engine, race_id, task.name, lambda: packed(there))
            there = unpacked(rows, len(self._examples)) & there
        for k, j in np.argwhere(there):
            self._selection.put(Cell(int(k), int(j)), self._score(Cell(int(k), int(j))))
        self._weigh()

    async def run(self) -> None:
        flying: deque[tuple[list[Cell], list[asyncio.Task[None]]]] = deque()
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    while len(flying) < AT_ONCE and not self._has_stopped():
                        is_first = not self._selection.seen.any()
                        cells = await asyncio.to_thread(self._selection.ask, self._size)
                        if not cells:
                            break
                        flying.append((cells, [group.create_task(self._one(c)) for c in cells]))
                        if is_first:
                            break
                    if not flying:
                        break
                    cells, tasks = flying.popleft()
                    await asyncio.gather(*tasks)
                    for cell in cells:
                        self._selection.put(cell, self._score(cell))
                    self._close_dead()
                    self._weigh()
                    self._tell()
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        for asking in self._askings:
            if asking.failure:
                raise asking.failure
        if not any(asking.outcomes for asking in self._askings):
            for asking in self._askings:
                asking.check_alive(asked=True)

    def _close_dead(self) -> None:
        for k in self._dead:
            self._selection.close(k)

    async def _one(self, cell: Cell) -> None:
        asking, example = self._askings[cell.candidate], self._examples[cell.example]
        async with self._turns[asking.model.name]:
            if (example.id, 0) in asking.outcomes or self._has_stopped():
                return
            if cell.candidate in self._dead:
                return
            try:
                await asking.one(example, 0)
            except ReplyError:  # so many in a row that nobody is there
                self._dead.add(cell.candidate)

    def _has_stopped(self) -> bool:
        return any(asking.stopped or asking.failure for asking in self._askings)

    def _score(self, cell: Cell) -> float | None:
        key = (self._examples[cell.example].id, 0)
        outcome = self._askings[cell.candidate].outcomes.get(key)
        return None if outcome is None else outcome.value

    def _weigh(self) -> None:
        """Tell the selection what a call of each candidate costs, from those that it has taken in: dollars, else tokens."""
        seen = self._selection.seen > 0
        rows = [
            [asking.outcomes[self._examples[int(j)].id, 0] for j in np.flatnonzero(row)]
            for asking, row in zip(self._askings, seen, strict=True)
        ]
        if all(rows):
            dollars = np.array([mean([o.cost_usd or 0.0 for o in row]) for row in rows])
            tokens = np.array(
                [mean([o.prompt_tokens + o.completion_tokens for o in row]) for row in rows]
            )
            costs: Array = dollars if dollars.all() else tokens
            if costs.all():
                self._selection.costs = costs / costs.mean()

    def _tell(self) -> None:
        places = self._selection.places(
            ahead=True
        )  # also unwatched: how often it is fitted must not depend on that
        if self._watch is None:
            return
        leader = self._askings[places[0].candidate].candidate
        self._watch(
            RaceProgress(
                answered=int(self._selection.seen.sum()),
                grid=self._selection.seen.size,
                alive=sum(place.chance > 1 - self._selection.confidence for place in places),
                leader=leader.note or leader.id,
                estimate=places[0].estimate,
                chance=places[0].chance,
                cost_usd=self._bench.budget.dollars,
            )
        )


def mean(values: list[float]) -> float:
    return float(np.mean(values))


def packed(marks: NDArray[np.bool_]) -> list[str]:
    """Return each row of marks as text."""
    return [base64.b64encode(np.packbits(row).tobytes()).decode() for row in marks]


def unpacked(rows: list[str], count: int) -> NDArray[np.bool_]:
    """Return the marks of `packed`."""
    bits = [np.unpackbits(np.frombuffer(base64.b64decode(row), np.uint8))[:count] for row in rows]
    return np.array(bits, dtype=bool)


def batch_size(concurrency: int) -> int:
    """Return how many examples are asked for at a time, of models that answer so many at once: `AT_ONCE` batches, one of them ahead."""
    return max(SMALLEST, min(256, concurrency) // (AT_ONCE - 1))
