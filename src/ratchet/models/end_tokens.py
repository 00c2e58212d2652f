"""Which tokens end a turn of a local model: those of its generation settings, its tokenizer's own, and the one that its chat template writes."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["end_tokens", "template_end_token"]

CONTENT = "ratchetcontent"
"""What stands in a turn that is written to see what follows it; plain letters, so that no template changes it."""


def end_tokens(tokenizer: "PreTrainedTokenizerBase", generation_config: Any) -> frozenset[int]:
    """Return the ids of all tokens that end a turn.

    Args:
        tokenizer: With the chat template.
        generation_config: Of the model; its `eos_token_id` is an id, several, or None. None where the model has none.
    """
    named = getattr(generation_config, "eos_token_id", None)
    ids = list(named) if isinstance(named, Iterable) else [named]
    ids += [tokenizer.eos_token_id, template_end_token(tokenizer)]
    return frozenset(int(one) for one in ids if one is not None and one >= 0)


def template_end_token(tokenizer: "PreTrainedTokenizerBase") -> int | None:
    """Return the special token that the chat template writes behind what an assistant says; None where it writes none, or there is no template."""
    if tokenizer.chat_template is None:
        return None
    turns = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": CONTENT}]
    try:
        text = tokenizer.apply_chat_template(turns, tokenize=False)
    except Exception:  # noqa: BLE001 - a template raises what it wants; then it says nothing of turns
        return None
    _, found, behind = str(text).rpartition(CONTENT)
    behind = behind.lstrip()
    if not found or not behind:
        return None
    special = {
        token.content: place
        for place, token in tokenizer.added_tokens_decoder.items()
        if token.special
    }
    endings = [content for content in special if behind.startswith(content)]
    return special[max(endings, key=len)] if endings else None
