"""Placeholder."""

from ratchet.models.openai.chat_completions import ChatCompletions


class Responses(ChatCompletions):
    """Placeholder."""

    name = "responses"
