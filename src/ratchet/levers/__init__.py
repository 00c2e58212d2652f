"""Each lever proposes candidates; the verdict chooses."""

from ratchet.levers.decoding import DecodingLever
from ratchet.levers.demos import DemosLever
from ratchet.levers.dspy import DspyLever
from ratchet.levers.leaks import leak_in, telling
from ratchet.levers.lever import Evidence, Lever, LeverEstimate, Watcher, unlearnt_of
from ratchet.levers.model import ModelLever
from ratchet.levers.names import CandidateNames
from ratchet.levers.options import CLIMBED, LeverOptions, make_levers
from ratchet.levers.prompt import PromptLever
from ratchet.levers.proposals import Proposer
from ratchet.levers.retrieval import RUNGS, RetrievalLever, RetrievalRung
from ratchet.levers.tune import TuneLever, forgotten, untuned
from ratchet.levers.variants import files_in, matching

__all__ = [
    "CLIMBED",
    "RUNGS",
    "CandidateNames",
    "DecodingLever",
    "DemosLever",
    "DspyLever",
    "Evidence",
    "Lever",
    "LeverEstimate",
    "LeverOptions",
    "ModelLever",
    "PromptLever",
    "Proposer",
    "RetrievalLever",
    "RetrievalRung",
    "TuneLever",
    "Watcher",
    "files_in",
    "forgotten",
    "leak_in",
    "make_levers",
    "matching",
    "telling",
    "unlearnt_of",
    "untuned",
]
