"""Which family a model is of: judges tend to prefer answers of their own."""

import re

__all__ = ["family_of"]

FAMILIES = {
    "anthropic": ("claude",),
    "cohere": ("command", "aya", "c4ai"),
    "deepseek": ("deepseek",),
    "google": ("gemini", "gemma", "palm"),
    "meta": ("llama",),
    "microsoft": ("phi", "wizardlm"),
    "mistral": ("mistral", "mixtral", "codestral", "ministral", "magistral"),
    "openai": ("gpt", "chatgpt", "o1", "o3", "o4", "davinci"),
    "qwen": ("qwen", "qwq"),
    "xai": ("grok",),
}
"""How the names of a family's models begin."""


def family_of(model: str) -> str:
    """Return the family of a model, by its name; a name that is known of no family is one of its own."""
    name = model.removeprefix("local:").rsplit("/", 1)[-1].lower()
    for word in re.split(r"[^a-z0-9]+", name):
        for family, starts in FAMILIES.items():
            if word.startswith(starts):
                return family
    return name
