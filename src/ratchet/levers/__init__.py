"""Each lever proposes candidates; the verdict chooses."""

from ratchet.levers.decoding import DecodingLever
from ratchet.levers.demos import DemosLever
from ratchet.levers.lever import Evidence, Lever, LeverEstimate, Watcher
from ratchet.levers.model import ModelLever
from ratchet.levers.prompt import PromptLever
from ratchet.levers.proposals import Proposer, leaked
from ratchet.levers.tune import TuneLever, untuned

__all__ = [
    "DecodingLever",
    "DemosLever",
    "Evidence",
    "Lever",
    "LeverEstimate",
    "ModelLever",
    "PromptLever",
    "Proposer",
    "TuneLever",
    "Watcher",
    "leaked",
    "untuned",
]
