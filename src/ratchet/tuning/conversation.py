"""What weights are trained on: conversations in OpenAI's chat format, and pairs of a preferred and a rejected answer."""

from collections.abc import Sequence
from dataclasses import dataclass

from ratchet.answer import Prompt
from ratchet.core import Example, Json
from ratchet.models import ChatRequest

__all__ = ["Conversation", "Message", "Preference", "Row", "conversations_of"]

Message = dict[str, Json]
"""Role and content, or tool calls; an assistant's message with `weight` 0 is context, not taught."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """Messages, and the tools that were offered; what the assistant says is taught."""

    messages: tuple[Message, ...]
    tools: tuple[Json, ...] = ()

    def plain(self) -> dict[str, Json]:
        """Return the line of a training file."""
        body: dict[str, Json] = {"messages": list(self.messages)}
        return body | ({"tools": list(self.tools)} if self.tools else {})

    @property
    def taught(self) -> list[int]:
        """Return the places of the messages whose tokens count for the loss."""
        return [
            place
            for place, message in enumerate(self.messages)
            if message["role"] == "assistant" and message.get("weight", 1)
        ]


@dataclass(frozen=True, slots=True)
class Preference:
    """A prompt with two answers, of which the first is the better one."""

    asked: Conversation
    preferred: tuple[Message, ...]
    rejected: tuple[Message, ...]

    def plain(self) -> dict[str, Json]:
        """Return the line of a training file."""
        return {
            "input": self.asked.plain(),
            "preferred_output": list(self.preferred),
            "non_preferred_output": list(self.rejected),
        }

    def ending(self, answer: Sequence[Message]) -> Conversation:
        """Return the conversation with one of its answers; what came before is context."""
        before = [
            {**message, "weight": 0} if message["role"] == "assistant" else message
            for message in self.asked.messages
        ]
        return Conversation((*before, *answer), self.asked.tools)


Row = Conversation | Preference


def conversations_of(
    prompt: Prompt,
    examples: Sequence[Example],
    requests: Sequence[ChatRequest | None] | None = None,
) -> list[Conversation]:
    """Return what a candidate sends for each example, and the reference as the answer; demonstrations are context.

    So training and serving agree to the token; for a candidate that looks things up only with the `requests` that it asks.
    """
    found = []
    for example, asked in zip(examples, requests or [None] * len(examples), strict=True):
        *before, answer = prompt.answered(example, asked)
        context = [{**m, "weight": 0} if m["role"] == "assistant" else m for m in before]
        tools = prompt.request(example).tools or ()
        found.append(Conversation((*context, answer), tuple(tools)))
    return found
