"""Force a local model's answer into a schema while it is decoded: llguidance says at each token which ones may follow."""

import json
from collections.abc import Collection
from typing import TYPE_CHECKING

import llguidance.hf
import numpy as np
import torch
from llguidance import LLMatcher, LLTokenizer
from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask

from ratchet.core import Json
from ratchet.core.errors import TaskError
from ratchet.models.chat import ChatRequest
from ratchet.models.tool_format import ToolForm
from ratchet.models.tool_grammar import GrammarBuilder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["Constraint", "grammar_of", "guide"]

ANY_TOOL = "required"
"""The tool choice that leaves it to the model which tool it calls, where no tool has this name."""


def guide(
    tokenizer: "PreTrainedTokenizerBase", vocabulary: int, ends: Collection[int]
) -> LLTokenizer:
    """Return the tokenizer in the form that llguidance wants; `ends` may follow a grammar's last token."""
    return llguidance.hf.from_tokenizer(
        tokenizer, n_vocab=vocabulary, eos_token=sorted(ends) or None
    )


def grammar_of(
    request: ChatRequest,
    form: ToolForm,
    tokenizer: "PreTrainedTokenizerBase",
    guided: LLTokenizer,
) -> str | None:
    """Return the grammar that the reply must follow, or None where it is free.

    Args:
        request: Names the tool that must be called, or says "required" for any of its tools, or holds a schema.
        form: How the model writes calls.
        tokenizer: Marks that are tokens of it are forced as tokens.
        guided: The same, from `guide`.

    Raises: TaskError if the schema is one that the decoder cannot follow.
    """
    if request.tool_choice:
        tools = chosen_tools(request)
        added = tokenizer.get_added_vocab().items()
        tokens = {mark: token for mark, token in added if token < guided.vocab_size}
        special = frozenset(m for m, token in tokens.items() if guided.is_special_token(token))
        builder = GrammarBuilder(tokens, special)
        try:
            start = builder.rule(*(form.force(builder, tool) for tool in tools))
        except (AttributeError, TypeError, KeyError, RecursionError) as error:
            names = ", ".join(repr(tool["function"]["name"]) for tool in tools)
            raise TaskError(
                f"the schema of the arguments of {names} is not a JSON schema that the decoder can follow ({error}); simplify it, or set decoding.constrained: false"
            ) from error
        grammar: str = LLMatcher.grammar_from_lark(builder.build(start))
    elif request.json_schema:
        compact = {"whitespace_flexible": False, "item_separator": ",", "key_separator": ":"}
        grammar = LLMatcher.grammar_from_json_schema(
            json.dumps({**request.json_schema, "x-guidance": compact})
        )
    elif request.choices:
        grammar = LLMatcher.grammar_from_lark(
            "start: " + " | ".join(json.dumps(text, ensure_ascii=False) for text in request.choices)
        )
    elif request.pattern:
        grammar = LLMatcher.grammar_from_regex(request.pattern)
    else:
        return None
    return grammar


def chosen_tools(request: ChatRequest) -> list[dict[str, Json]]:
    """Return the tools of which one must be called: the one that is named, or all of them.

    Raises: TaskError if there is none.
    """
    tools = request.tools or []
    named = [tool for tool in tools if tool["function"]["name"] == request.tool_choice]
    if named:
        return named[:1]
    if request.tool_choice == ANY_TOOL and tools:
        return tools
    names = ", ".join(repr(tool["function"]["name"]) for tool in tools) or "none"
    raise TaskError(
        f"tool_choice names {request.tool_choice!r}, which is not among the tools of the request ({names})"
    )


class Constraint:
    """Rule out the tokens of a row that its grammar does not allow.

    Args:
        tokenizer: From `guide`.
        grammar: From `grammar_of`.
        ends: The tokens that end the row once its grammar is complete.

    Raises: TaskError if the decoder cannot follow the grammar.
    """

    def __init__(self, tokenizer: LLTokenizer, grammar: str, ends: Collection[int]) -> None:
        self._matcher = LLMatcher(tokenizer, grammar)
        self._words = allocate_token_bitmask(1, tokenizer.vocab_size)
        self._ends = sorted(ends)
        if self._matcher.is_error():
            raise TaskError(
                f"the decoder cannot follow the task's schema: {self._matcher.get_error()}; simplify it, or set decoding.constrained: false"
            )

    def __call__(self, last: int | None, logits: torch.Tensor) -> None:
        """Set forbidden tokens of `logits`, shape (vocabulary,), to minus infinity."""
        if last is not None and not self._matcher.is_stopped():
            self._matcher.consume_token(last)
        logits[~self._allowed(len(logits))] = -torch.inf

    def _allowed(self, vocabulary: int) -> torch.Tensor:
        allowed: Json
        if self._matcher.is_stopped():
            allowed = np.zeros(vocabulary, dtype=bool)
            allowed[self._ends] = True
        else:
            fill_next_token_bitmask(self._matcher, self._words, 0)
            allowed = np.unpackbits(self._words[0].view(np.uint8), bitorder="little")[
                :vocabulary
            ].astype(bool)
        return torch.from_numpy(allowed)
