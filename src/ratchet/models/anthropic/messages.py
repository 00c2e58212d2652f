"""Placeholder."""

from ratchet.models.openai.chat_completions import ChatCompletions


class Messages(ChatCompletions):
    """Placeholder."""

    name = "messages"
