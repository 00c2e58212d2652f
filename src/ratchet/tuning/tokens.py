"""From conversations to training rows: token ids, and labels that are set on what is taught alone.

What is taught is what the model's chat template would have to be followed by in serving: the same prompt, and the same form of calls.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict

from ratchet.core import Json
from ratchet.core.errors import ReplyError, TuningError
from ratchet.models.chat_template import (
    ChatFormat,
    TemplateMismatchError,
    chat_format_of,
    following,
)
from ratchet.models.rendered_prompt import (
    RenderedPrompt,
    encode_prompt,
    join_prompts,
    prompt_end,
    render_chat,
)
from ratchet.tuning.conversation import Conversation, Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["IGNORED", "TrainingRow", "conversation_rows", "training_rows"]

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
    """Return the rows, and how many were left out because they are longer than `longest` tokens.

    Raises: TuningError if the chat template cannot write a conversation, or no row is left.
    """
    rows = [row for one in conversations for row in conversation_rows(one, tokenizer)]
    fitting = [row for row in rows if row["length"] <= longest]
    if not fitting:
        raise TuningError(
            f"none of {len(rows)} training examples fits into {longest} tokens; raise max_length"
        )
    return fitting, len(rows) - len(fitting)


def conversation_rows(
    conversation: Conversation, tokenizer: "PreTrainedTokenizerBase"
) -> list[TrainingRow]:
    """Return the tokens of a conversation, with labels on what the assistant says where that is taught.

    It is one row where the template writes all turns as it writes the last one; else it is a row for each turn that is taught, which
    ends with it and is written as it would be in serving.

    Raises: TuningError if the chat template refuses the conversation, or asks for an answer otherwise than it writes one.
    """
    form, tools = chat_format_of(tokenizer), list(conversation.tools) or None
    messages = form.split_calls(conversation.messages)
    taught = [
        place
        for place, message in enumerate(messages)
        if message["role"] == "assistant" and message.get("weight", 1)
    ]
    try:
        turns = [_turn(form, tokenizer, messages[: place + 1], tools) for place in taught]
        whole = _rendered(form, tokenizer, messages, tools, is_prompt=False)
    except ReplyError as error:
        raise TuningError(str(error)) from error
    except TemplateMismatchError as error:
        raise TuningError(f"{error}; so the answer's tokens cannot be told apart") from error
    except Exception as error:  # a template may raise anything
        raise TuningError(
            f"the model's chat template refuses a conversation with the roles {', '.join(m['role'] for m in messages)}: {error}"
        ) from error
    row = _single_row(tokenizer, turns, whole)
    return [row] if row else [_turn_row(tokenizer, prompt, said) for prompt, said in turns]


def _bare(messages: Sequence[Message]) -> list[Message]:
    return [{name: value for name, value in m.items() if name != "weight"} for m in messages]


def _rendered(
    form: ChatFormat,
    tokenizer: "PreTrainedTokenizerBase",
    messages: Sequence[Message],
    tools: list[Json] | None,
    *,
    is_prompt: bool,
) -> RenderedPrompt:
    def render(chat: list[Message], offered: list[Json] | None) -> str:
        return form.render(chat, offered, is_prompt=is_prompt)

    return render_chat(tokenizer, render, _bare(messages), tools)


def _turn(
    form: ChatFormat,
    tokenizer: "PreTrainedTokenizerBase",
    messages: Sequence[Message],
    tools: list[Json] | None,
) -> tuple[RenderedPrompt, RenderedPrompt]:
    """Return a prompt, and the answer to it with what ends it."""
    prompt = _rendered(form, tokenizer, messages[:-1], tools, is_prompt=True)
    whole = _rendered(form, tokenizer, messages, tools, is_prompt=False)
    answer = prompt_end(whole, following(prompt, whole))
    if not answer:
        raise TemplateMismatchError("the model's chat template leaves the answer out")
    if not form.ending.strip():  # nothing would teach the model where to end
        answer = join_prompts(answer, str(tokenizer.eos_token or ""))
    return prompt, answer


def _single_row(
    tokenizer: "PreTrainedTokenizerBase", turns: Sequence[tuple[str, str]], whole: str
) -> TrainingRow | None:
    """Return all turns in one row, or None where its tokens would not be those of serving."""
    ids = encode_prompt(tokenizer, whole)
    labels = [IGNORED] * len(ids)
    for prompt, said in turns:
        if not whole.startswith(prompt + said):
            return None
        asked = encode_prompt(tokenizer, prompt)
        answered = encode_prompt(tokenizer, join_prompts(prompt, said))
        if answered[: len(asked)] != asked or ids[: len(answered)] != answered:
            return None
        labels[len(asked) : len(answered)] = answered[len(asked) :]
    return {"input_ids": ids, "labels": labels, "length": len(ids)}


def _turn_row(tokenizer: "PreTrainedTokenizerBase", prompt: str, said: str) -> TrainingRow:
    asked, answer = encode_prompt(tokenizer, prompt), encode_prompt(tokenizer, said)
    labels = [IGNORED] * len(asked) + answer
    return {"input_ids": asked + answer, "labels": labels, "length": len(labels)}
