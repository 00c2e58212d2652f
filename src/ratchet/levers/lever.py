"""What it is to be a lever: from the champion and the evidence to candidates that may beat it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ratchet.core import Budget, Candidate, Example, Record, Task
from ratchet.measure import Bench
from ratchet.models import ModelPool
from ratchet.tuning import TuningProgress

__all__ = ["Evidence", "Lever", "LeverEstimate", "Watcher"]


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
    watch: Watcher | None = None

    def say(self, text: str) -> None:
        """Tell the watcher, if there is one."""
        if self.watch:
            self.watch.says(text)


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
