"""The OpenAI-compatible server: chat with models and releases, logs, feedback."""

from ratchet.gateway.app import Gateway
from ratchet.gateway.shapes import Problem

__all__ = ["Gateway", "Problem"]
