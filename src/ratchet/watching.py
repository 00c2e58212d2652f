"""What one may watch while a workbench works."""

from ratchet.core import Diagnosis
from ratchet.ladder import Prospects, Rung
from ratchet.measure import Progress, RaceProgress
from ratchet.tuning import TuningProgress

__all__ = ["Watching"]


class Watching:
    """What someone who watches may want to know; every method does nothing until it is overridden."""

    def says(self, text: str) -> None:
        """Take a line about what begins."""

    def races(self, progress: RaceProgress) -> None:
        """Take the state of a race."""

    def answers(self, progress: Progress) -> None:
        """Take the state of a measurement."""

    def trains(self, progress: TuningProgress) -> None:
        """Take the state of a training run."""

    def diagnoses(self, found: Diagnosis, prospects: Prospects) -> None:
        """Take a diagnosis, and what it leads to."""

    def climbs(self, rung: Rung) -> None:
        """Take a rung that just ended."""
