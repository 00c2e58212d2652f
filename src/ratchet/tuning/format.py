"""From examples and a candidate to training rows: token ids, and labels that are set on the answer alone."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict

from ratchet.answer import Prompt
from ratchet.core import Example
from ratchet.core.errors import TuningError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["IGNORED", "TrainingRow", "training_rows"]

IGNORED = -100
"""The label of a token that the loss leaves out."""


class TrainingRow(TypedDict):
    """One example as the trainer wants it; both lists have the same length."""

    input_ids: list[int]
    labels: list[int]
    length: int


def training_rows(
    prompt: Prompt,
    examples: Sequence[Example],
    tokenizer: "PreTrainedTokenizerBase",
    *,
    longest: int,
) -> tuple[list[TrainingRow], int]:
    """Return the rows, and how many examples were left out because they are longer than `longest` tokens.

    The prompt is what the candidate sends for the example, so that training and serving agree to the token.

    Raises: TuningError if the chat template does not continue a prompt with its answer, or no example is left.
    """
    rows: list[TrainingRow] = []
    left_out = 0
    for example in examples:
        messages, tools = prompt.answered(example), prompt.request(example).tools
        whole = encoded(tokenizer, messages, tools, answered=True)
        asked = encoded(tokenizer, messages[:-1], tools, answered=False)
        if whole[: len(asked)] != asked or len(whole) == len(asked):
            raise TuningError(
                "the model's chat template does not continue the prompt with the answer, so the answer's tokens cannot be told apart"
            )
        if len(whole) > longest:
            left_out += 1
            continue
        rows.append(
            {
                "input_ids": whole,
                "labels": [IGNORED] * len(asked) + whole[len(asked) :],
                "length": len(whole),
            }
        )
    if not rows:
        raise TuningError(
            f"none of {len(examples)} training examples fits into {longest} tokens; raise max_length"
        )
    return rows, left_out


def encoded(
    tokenizer: "PreTrainedTokenizerBase",
    messages: list[dict[str, object]],
    tools: list[dict[str, object]] | None,
    *,
    answered: bool,
) -> list[int]:
    text = tokenizer.apply_chat_template(
        messages, tools=tools, tokenize=False, add_generation_prompt=not answered
    )
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids
