"""A claim, the simulation behind it, and what came out."""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np

__all__ = ["DATA", "Claim", "Outcome", "Rng", "runs_of"]

DATA = Path(__file__).parents[3] / "shared" / "data"
"""Real data, which is not part of the project."""

Rng = np.random.Generator


@dataclass(frozen=True)
class Outcome:
    """What a simulation gave: a share of `runs`, and the range that was promised for it."""

    what: str
    share: float
    runs: int
    low: float
    high: float
    spread: float | None = None
    """Standard deviation over runs, where the share is a mean of other things than yes and no."""

    @property
    def error(self) -> float:
        """Return three standard errors of the share: for yes and no at the promised bound that is nearer to a half."""
        if self.spread is not None:
            return 3 * self.spread / math.sqrt(self.runs)
        bounds = [b for b in (self.low, self.high) if 0 < b < 1]
        if not bounds:  # nothing was promised
            return 0.0
        bound = min(bounds, key=lambda b: abs(b - 0.5))
        return 3 * math.sqrt(bound * (1 - bound) / self.runs)

    @property
    def holds(self) -> bool:
        """Return whether the share lies in the promised range, but for simulation error."""
        return self.low - self.error <= self.share <= self.high + self.error


@dataclass(frozen=True)
class Claim:
    """A promise and the simulation behind it."""

    name: str
    promise: str
    run: Callable[[Rng, float], list[Outcome]]
    """Takes random numbers and the share of the full number of runs to make."""
    is_long: bool = False
    """It takes minutes at any size: tests look at its parts instead."""
    needs: str | None = None
    """The folder of real data beside the repository that it draws from."""
    peer: str | None = None
    """The environment variable that names a Python which has the program that it compares with."""

    @property
    def can_run(self) -> bool:
        """Return whether its data is there, and its peer."""
        has_data = self.needs is None or (DATA / self.needs).is_dir()
        return has_data and (self.peer is None or bool(os.environ.get(self.peer)))

    @property
    def lacks(self) -> str:
        """Return what it needs to run, in words."""
        return (
            f"`../shared/data/{self.needs}`" if self.needs else f"the peer that {self.peer} names"
        )

    def outcomes(self, size: float = 1.0) -> list[Outcome]:
        """Return what came out; the seed is the checksum of the name."""
        return self.run(np.random.default_rng(crc32(self.name.encode())), size)


def runs_of(full: int, size: float) -> int:
    return max(40, round(full * size))
