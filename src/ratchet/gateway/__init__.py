"""The OpenAI-compatible server: chat, files, fine-tuning jobs, logs, feedback, keys."""

from ratchet.gateway.app import Gateway
from ratchet.gateway.platform import platform_app

__all__ = ["Gateway", "platform_app"]
