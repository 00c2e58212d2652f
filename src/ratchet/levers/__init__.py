"""Each lever proposes candidates; the verdict chooses."""

from ratchet.levers.demos import DemosLever
from ratchet.levers.lever import Evidence, Lever, LeverEstimate, Watcher
from ratchet.levers.prompt import PromptLever
from ratchet.levers.tune import TuneLever, untuned

__all__ = [
    "DemosLever",
    "Evidence",
    "Lever",
    "LeverEstimate",
    "PromptLever",
    "TuneLever",
    "Watcher",
    "untuned",
]
