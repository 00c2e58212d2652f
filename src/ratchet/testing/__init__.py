"""Models and servers that say what they are told to, for tests of tasks, metrics and levers — ours and yours."""

from ratchet.testing.providers import FLAGGED, PERSONALITIES, Personality, ProviderServer
from ratchet.testing.scripted import ScriptedModel
from ratchet.testing.server import Fault, ScriptedServer

__all__ = [
    "FLAGGED",
    "PERSONALITIES",
    "Fault",
    "Personality",
    "ProviderServer",
    "ScriptedModel",
    "ScriptedServer",
]
