"""Stand-ins for providers: what today's families of models take, refuse and answer, over real HTTP and without a key."""

from ratchet.testing.providers.personalities import PERSONALITIES, Personality, Rule
from ratchet.testing.providers.server import FLAGGED, ProviderServer, Refusal

__all__ = ["FLAGGED", "PERSONALITIES", "Personality", "ProviderServer", "Refusal", "Rule"]
