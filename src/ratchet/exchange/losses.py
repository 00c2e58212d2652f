"""What an import leaves out: each loss with its place, so that nothing is lost without a word."""

from collections import Counter
from dataclasses import dataclass, field

__all__ = ["Loss", "Losses"]


@dataclass(frozen=True)
class Loss:
    """One thing that is not kept."""

    where: str
    """The part of the file, as `test 3`; empty for the file as a whole."""
    what: str


@dataclass
class Losses:
    """Collects losses while a file is read."""

    items: list[Loss] = field(default_factory=list)

    def add(self, what: str, where: str = "") -> None:
        """Note a loss."""
        self.items.append(Loss(where, what))

    def count(self) -> Counter[str]:
        """Return how often each thing is lost."""
        return Counter(loss.what for loss in self.items)

    def places(self, what: str) -> list[str]:
        """Return where a thing is lost, each place once."""
        return list(dict.fromkeys(x.where for x in self.items if x.what == what and x.where))

    def __str__(self) -> str:
        """Return all losses in words."""
        counted = ", ".join(f"{count} × {what}" for what, count in self.count().items())
        return counted or "nothing was left out"
