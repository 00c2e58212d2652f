"""What it is to be a model: one method that answers a chat request. Every model — remote, local or scripted — is this."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

from ratchet.core import Json, Usage

__all__ = [
    "LOCAL_TOKENS",
    "CallPart",
    "ChatModel",
    "ChatReply",
    "ChatRequest",
    "LikelihoodModel",
    "ToolCall",
    "calls_in",
    "reply_in",
    "with_local_defaults",
]

LOCAL_TOKENS = 512
"""The longest reply of a local model, in tokens, where no bound is named."""


@dataclass(slots=True, kw_only=True)
class ChatRequest:
    """One call, in the words of the OpenAI chat format; whoever wants another one makes it, with `replace`.

    Not frozen, as is a reply: to make a frozen one of so many fields takes three times as long, and a server makes both for each request.
    """

    messages: list[dict[str, Json]]
    raw: str | None = None
    """A text to go on from as it is, without messages and chat template; None for a chat."""
    tools: list[dict[str, Json]] | None = None
    tool_choice: str | None = None
    """The name of the tool that must be called; None leaves it to the model."""
    json_schema: dict[str, Json] | None = None
    """The schema that the answer must follow; None leaves it free."""
    choices: tuple[str, ...] | None = None
    """The texts of which the reply must be one; followed where the model's probabilities are at hand (local models)."""
    decide: bool = False
    """Whether the likeliest of the choices is the reply, with the probability of each; nothing is generated then."""
    prior: list[dict[str, Json]] | None = None
    """The messages without their input; how likely they make each choice is taken out of a decision. None takes out nothing."""
    pattern: str | None = None
    """A regular expression that the whole reply must match; followed where `choices` are."""
    temperature: float | None = None
    """None, here and below, names nothing: an endpoint is sent nothing, a local model takes the likeliest token."""
    top_p: float | None = None
    max_tokens: int | None = None
    """The longest answer; what a model thinks before it is not counted, where it is known to think."""
    limit_is_whole: bool = False
    """Whether `max_tokens` bounds thinking and answer together, as the endpoints' own parameter does: then no room is added."""
    thinking_tokens: int | None = None
    """The longest thinking before the answer."""
    seed: int | None = None
    logprobs: int | None = None
    """How many of the likeliest tokens to tell of at each place, beside the one taken; None tells of none."""
    stop: tuple[str, ...] = ()
    """Texts at which the reply ends; they are not part of it."""
    adapter: str | None = None
    """The id of a LoRA adapter, for local models."""
    effort: str | None = None
    """How long a model that thinks may do so, for endpoints: none, minimal, low, medium, high, xhigh or max."""
    extra: dict[str, Json] = field(default_factory=dict)
    """Parameters of the endpoint's own protocol, which go through as they are."""
    optional: frozenset[str] = frozenset()
    """The fields that only help: they are left out where a model does not take them. Any other one is an error there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A call that the model asks for; `arguments` is JSON as the model wrote it."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallPart:
    """A part of a call that is being written; all of them put together are the reply's `ToolCall`s."""

    place: int
    """Which of the reply's calls, from 0."""
    name: str = ""
    """With its first part."""
    arguments: str = ""


@dataclass(slots=True, kw_only=True)
class ChatReply:
    """What came back."""

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str = "stop"
    refusal: str | None = None
    """Why the model, or its provider's filter, gives no answer; in their words."""
    logprobs: list[dict[str, Json]] | None = None
    """Token by token, in OpenAI's shape: token, bytes, logprob, top_logprobs."""
    probabilities: dict[str, float] | None = None
    """Of each choice, summing to one, where the reply is a decision."""
    usage: Usage = Usage()
    latency_s: float = 0.0
    sent: dict[str, Json] = field(default_factory=dict)
    """What went over the wire otherwise than was asked: the protocol, what was left out, how a form was forced."""
    notes: dict[str, Json] = field(default_factory=dict)
    """What is known of it beside its text: the passages that it stands on, what a guard found."""


def with_local_defaults(request: ChatRequest) -> ChatRequest:
    """Return a request with what a local model does where nothing is named: the likeliest token each time, up to a bound."""
    return replace(
        request,
        temperature=request.temperature or 0.0,
        top_p=1.0 if request.top_p is None else request.top_p,
        max_tokens=LOCAL_TOKENS if request.max_tokens is None else request.max_tokens,
    )


def reply_in(message: Mapping[str, Any]) -> ChatReply:
    """Return the reply that a message of an assistant's is."""
    calls = calls_in(message.get("tool_calls") or ())
    return ChatReply(text=str(message.get("content") or ""), tool_calls=calls)


def calls_in(asked: Any) -> tuple[ToolCall, ...]:
    """Return the tool calls of a message.

    Raises: TypeError, KeyError or AttributeError if they are none.
    """
    calls = tuple(
        ToolCall(name=call["function"]["name"], arguments=call["function"]["arguments"])
        for call in asked
    )
    if not all(isinstance(part, str) for c in calls for part in (c.name, c.arguments)):
        raise TypeError("a tool call's name and arguments must be text")
    return calls


@runtime_checkable
class LikelihoodModel(Protocol):
    """A model whose weights are at hand, so that it can be asked how likely a text is."""

    async def likelihoods(
        self, texts: Sequence[tuple[ChatRequest | None, str]], *, adapter: str | None = None
    ) -> list[tuple[float, int]]:
        """Return the log-likelihood of each text as the answer to its request, in nats, and over how many tokens it is taken.

        None instead of a request is a text that stands alone; its first token is not counted.
        """
        ...


class ChatModel(Protocol):
    """A model that answers chat requests; safe to call concurrently, up to `concurrency` calls at once."""

    name: str
    concurrency: int

    async def chat(self, request: ChatRequest) -> ChatReply:
        """Return the reply.

        Raises: ReplyError if none came after all retries; AccessError and UnknownModelError at once.
        """
        ...

    def stream(self, request: ChatRequest) -> AsyncIterator["str | CallPart | ChatReply"]:
        """Yield the reply's text, and its calls where they come in parts, piece by piece as they are made; then the whole reply.

        Raises: as `chat`; once a piece has been yielded nothing is tried again.
        """
        ...

    def count_tokens(self, request: ChatRequest) -> tuple[int, bool]:
        """Return the tokens of the prompt, and whether they are counted (True) or estimated (False)."""
        ...

    def price(self, prompt_tokens: int, completion_tokens: int) -> float | None:
        """Return the cost of a call without cached tokens in US dollars, or None where the price is unknown."""
        ...

    async def close(self) -> None:
        """Let go of connections, threads and memory."""
        ...
