"""The OpenAI-compatible server: chat, files, fine-tuning jobs, logs, feedback, keys."""

from ratchet.gateway.app import Gateway
from ratchet.gateway.replicas import make_gateway
from ratchet.gateway.traces import configure as configure_traces

__all__ = ["Gateway", "configure_traces", "make_gateway"]
