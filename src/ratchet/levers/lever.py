"""What it is to be a lever: from the champion and the evidence to candidates that may beat it."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ratchet.core import Budget, Candidate, Example, Record, Task, content_id
from ratchet.measure import Bench
from ratchet.models import ModelPool
from ratchet.tuning import TuningProgress

__all__ = ["Evidence", "Lever", "LeverEstimate", "Watcher", "unlearnt_of"]

UNLEARNT, FEWEST, MOST = 0.1, 20, 100
"""The share of train that no weights are trained on, and how many examples that is at least and about at most."""


class Watcher(Protocol):
    """Someone who shows what goes on."""

    def says(self, text: str) -> None:
        """Take a line about what begins."""
        ...

    def trains(self, progress: TuningProgress) -> None:
        """Take the state of a training run."""
        ...


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a lever may look at: the task, the train split, and the means to measure on it. Never dev, never test."""

    task: Task
    train: list[Example]
    bench: Bench
    pool: ModelPool
    files: Path
    """The folder for what a lever makes: adapters."""
    root: Path = field(default_factory=Path.cwd)
    """The folder that relative names of local models are meant from."""
    tried: frozenset[str] = field(default_factory=frozenset)
    """Ids of candidates that were on the ladder already."""
    unlearnt: frozenset[str] = frozenset()
    """Ids of train examples that no weights are trained on: how a fine-tune answers them tells how it answers new ones."""
    watch: Watcher | None = None

    @property
    def learnable(self) -> list[Example]:
        """Return the train examples that weights may be trained on."""
        return [example for example in self.train if example.id not in self.unlearnt]

    @property
    def labelled(self) -> list[Example]:
        """Return the train examples that have a reference, which can be shown and learnt."""
        return [example for example in self.train if self.task.is_labelled(example)]

    def say(self, text: str) -> None:
        """Tell the watcher, if there is one."""
        if self.watch:
            self.watch.says(text)


def unlearnt_of(train: Sequence[Example]) -> frozenset[str]:
    """Return the ids of train examples that no weights are to be trained on, whole groups of them.

    The same ones however train is ordered, and nearly the same ones as it grows. None where train is so small that they would be few.
    """
    wanted = min(MOST, int(UNLEARNT * len(train)))
    if wanted < FEWEST:
        return frozenset()
    groups: dict[str, list[str]] = {}
    for example in train:
        groups.setdefault(example.group or example.id, []).append(example.id)
    chosen: set[str] = set()
    for name in sorted(groups, key=lambda one: content_id("g", one)):
        if len(chosen) >= wanted:
            break
        if len(chosen) + len(groups[name]) <= 2 * wanted:
            chosen.update(groups[name])
    return frozenset(chosen)


class LeverEstimate(Record):
    """What a lever would take."""

    candidates: int
    calls: int
    seconds: float | None = None
    cost_usd: float | None = None
    note: str = ""


class Lever(Protocol):
    """A family of techniques that proposes candidates."""

    name: str

    async def estimate(self, champion: Candidate, evidence: Evidence) -> LeverEstimate:
        """Return what `propose` would take."""
        ...

    def propose(
        self, champion: Candidate, evidence: Evidence, budget: Budget
    ) -> AsyncIterator[Candidate]:
        """Yield candidates; what it takes to find them is charged to `budget`."""
        ...
