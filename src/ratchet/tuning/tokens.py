"""From conversations to training rows: token ids, and labels that are set on what is taught alone."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict

from ratchet.core import Json
from ratchet.core.errors import ReplyError, TuningError
from ratchet.models.chat_template import encode_prompt, render_chat
from ratchet.tuning.conversation import Conversation, Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["IGNORED", "TrainingRow", "training_row", "training_rows"]

IGNORED = -100
"""The label of a token that the loss leaves out."""


class TrainingRow(TypedDict):
    """One conversation as the trainer wants it; both lists have the same length."""

    input_ids: list[int]
    labels: list[int]
    length: int


def training_rows(
    conversations: Sequence[Conversation],
    tokenizer: "PreTrainedTokenizerBase",
    *,
    longest: int,
) -> tuple[list[TrainingRow], int]:
    """Return the rows, and how many conversations were left out because they are longer than `longest` tokens.

    Raises: TuningError if the chat template does not continue a prompt with its answer, or none is left.
    """
    rows = [training_row(conversation, tokenizer) for conversation in conversations]
    fitting = [row for row in rows if row["length"] <= longest]
    if not fitting:
        raise TuningError(
            f"none of {len(rows)} training examples fits into {longest} tokens; raise max_length"
        )
    return fitting, len(rows) - len(fitting)


def training_row(conversation: Conversation, tokenizer: "PreTrainedTokenizerBase") -> TrainingRow:
    """Return the tokens of a conversation, with labels on what the assistant says where that is taught.

    Raises: TuningError if the chat template does not continue a prompt with its answer.
    """
    messages, tools = conversation.messages, list(conversation.tools) or None
    whole = encoded(tokenizer, messages, tools, answered=True)
    labels = [IGNORED] * len(whole)
    for place in conversation.taught:
        asked = encoded(tokenizer, messages[:place], tools, answered=False)
        said = (
            whole
            if place == len(messages) - 1
            else encoded(tokenizer, messages[: place + 1], tools, answered=True)
        )
        if said[: len(asked)] != asked or len(said) == len(asked) or whole[: len(said)] != said:
            raise TuningError(
                "the model's chat template does not continue the prompt with the answer, so the answer's tokens cannot be told apart"
            )
        labels[len(asked) : len(said)] = said[len(asked) :]
    return {"input_ids": whole, "labels": labels, "length": len(whole)}


def encoded(
    tokenizer: "PreTrainedTokenizerBase",
    messages: Sequence[Message],
    tools: list[Json] | None,
    *,
    answered: bool,
) -> list[int]:
    bare = [{name: value for name, value in m.items() if name != "weight"} for m in messages]

    def render(chat: list[Message], offered: list[Json] | None) -> str:
        return str(
            tokenizer.apply_chat_template(
                chat, tools=offered, tokenize=False, add_generation_prompt=not answered
            )
        )

    try:
        return encode_prompt(tokenizer, render_chat(tokenizer, render, bare, tools))
    except ReplyError as error:
        raise TuningError(str(error)) from error
