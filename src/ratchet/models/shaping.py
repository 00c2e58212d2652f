"""From what a candidate asks to what a model takes: which protocol, which parameters, how much room for thinking.

What a candidate names is sent or is an error, never left out in silence; what only helps (`ChatRequest.optional`) is left out where
the model is known not to take it. What became of a request is in `ShapedRequest.sent`: `ratchet show` prints it, and each trial
keeps it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ratchet.core import Json
from ratchet.core.errors import ParameterError
from ratchet.models.capabilities import Capabilities
from ratchet.models.chat import ChatRequest
from ratchet.models.protocol import MAX_TOKENS_DEFAULT, WireOptions

__all__ = ["ShapedRequest", "room_for_thinking", "shape_request"]

THINKING_TOKENS = {
    "none": 0,
    "minimal": 2_000,
    "low": 8_000,
    "medium": 25_000,
    "high": 50_000,
    "xhigh": 75_000,
    "max": 100_000,
}
"""Room for thinking by effort, beside the room for the answer: a limit, which costs nothing where it is not used. OpenAI's guide to
reasoning models advises 25,000 tokens to begin with."""
USUAL_EFFORT = "medium"
PROTOCOL_LACKS = {
    "responses": frozenset(("seed", "stop")),
    "messages": frozenset(("seed", "logprobs")),
}
"""What a request may name, and a protocol cannot say."""
SAMPLING = ("temperature", "top_p", "logprobs")
"""What some models take only where they do not think."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapedRequest:
    """A request as one model takes it."""

    request: ChatRequest
    protocol: str
    options: WireOptions
    sent: dict[str, Json]
    """What is otherwise than the request says; empty where nothing is."""


def shape_request(
    name: str,
    request: ChatRequest,
    capabilities: Capabilities,
    *,
    protocol: str,
    responses_url: bool,
) -> ShapedRequest:
    """Return a request as a model takes it.

    Args:
        name: The model's name, for messages.
        request: What is asked.
        capabilities: What is known of the model.
        protocol: How its endpoint is spoken to: chat, responses or messages.
        responses_url: Whether the endpoint may be spoken to by Responses where chat completions do not do.
    Raises: ParameterError if the request names what the model is known not to take.
    """
    sent: dict[str, Json] = {}
    if responses_url and speaking_protocol(request, capabilities, protocol) != protocol:
        protocol = "responses"
        sent["protocol"] = protocol
    unsaid = PROTOCOL_LACKS.get(protocol, frozenset())
    request, left_out = _without_refused(name, request, capabilities, unsaid)
    if left_out:
        sent["left_out"] = sorted(left_out)
    request = _with_room_for_thinking(request, capabilities, sent)
    structured = capabilities.structured or "strict"
    if request.json_schema and structured in ("object", "none"):
        has_objects = structured == "object" and protocol != "messages"
        sent["json"] = "as any object" if has_objects else "not forced"
    if protocol == "messages" and request.max_tokens is None:
        sent["max_tokens"] = capabilities.output_tokens or MAX_TOKENS_DEFAULT  # it demands one
    return ShapedRequest(
        request=request,
        protocol=protocol,
        options=WireOptions(
            structured=structured,
            max_tokens_name=capabilities.max_tokens_name or request.limit_name or "max_tokens",
            stream_usage=capabilities.stream_usage is not False,
            max_tokens_default=capabilities.output_tokens or MAX_TOKENS_DEFAULT,
        ),
        sent=sent,
    )


def speaking_protocol(request: ChatRequest, capabilities: Capabilities, protocol: str) -> str:
    """Return how a request is spoken to an endpoint whose protocol is `protocol`."""
    is_other = protocol == "chat" and _needs_responses(request, capabilities)
    return "responses" if is_other else protocol


def room_for_thinking(request: ChatRequest, capabilities: Capabilities) -> int:
    """Return the tokens that a model may think before its answer, beside `max_tokens`."""
    if request.thinking_tokens is not None:
        return request.thinking_tokens
    effort = request.effort or capabilities.default_effort or USUAL_EFFORT
    return THINKING_TOKENS[effort] if capabilities.reasoning else 0


def _needs_responses(request: ChatRequest, capabilities: Capabilities) -> bool:
    if not request.tools or request.raw is not None:
        return False
    if capabilities.tools_protocol == "responses":
        return True
    return capabilities.tools_effort is not None and request.effort != capabilities.tools_effort


def _without_refused(
    name: str, request: ChatRequest, capabilities: Capabilities, unsaid: frozenset[str]
) -> tuple[ChatRequest, list[str]]:
    """Return the request without what the model does not take, and the names of what was left out."""
    changes: dict[str, Json] = {
        field: None  # 1 is what such a model does anyway, and some refuse the very name
        for field in ("temperature", "top_p")
        if getattr(request, field) == 1 and getattr(capabilities, field) is False
    }
    refused = {**_refused(request, capabilities), **_unsaid(request, unsaid)}
    for field, reason in refused.items():
        if field not in request.optional:
            raise ParameterError(
                f"{name} does not take {field} = {getattr(request, field)!r}: {reason}. Leave it out "
                f"(in a candidate, decoding: {{{field}: null}})",
                param=field,
            )
        changes[field] = () if field == "stop" else None
    return (replace(request, **changes) if changes else request), list(changes)


def _refused(request: ChatRequest, capabilities: Capabilities) -> Mapping[str, str]:
    """Return the named fields that the model does not take, each with the reason."""
    refused: dict[str, str] = {}
    for field in ("temperature", "top_p", "seed", "logprobs"):
        value, takes = getattr(request, field), getattr(capabilities, field)
        if value is None or (field in ("temperature", "top_p") and value == 1):
            continue
        if takes is False:
            refused[field] = _source(capabilities, field)
        elif (
            field in SAMPLING
            and capabilities.sampling_needs_effort_none
            and (request.effort or capabilities.default_effort) != "none"
        ):
            refused[field] = "it takes that only with the effort 'none'"
    if request.thinking_tokens is not None and capabilities.reasoning is False:
        refused["thinking_tokens"] = "it does not think before its answer"
    if request.tools and capabilities.tools is False:
        refused["tools"] = _source(capabilities, "tools")
    if reason := _effort_problem(request.effort, capabilities):
        refused["effort"] = reason
    return refused


def _unsaid(request: ChatRequest, names: frozenset[str]) -> Mapping[str, str]:
    """Return what the request names and its protocol has no word for."""
    reasons = {
        name: "the protocol that it is asked by has no such parameter"
        for name in names
        if getattr(request, name) not in (None, ())
    }
    has_budget = names == PROTOCOL_LACKS["messages"]
    if request.thinking_tokens is not None and request.max_tokens is None and not has_budget:
        reasons["thinking_tokens"] = (
            "its limit counts thinking and answer together; name max_tokens too"
        )
    return reasons


def _effort_problem(effort: str | None, capabilities: Capabilities) -> str | None:
    if effort is None:
        return None
    if capabilities.efforts is not None and effort not in capabilities.efforts:
        return f"its efforts are {', '.join(capabilities.efforts) or 'none at all'}"
    if capabilities.reasoning is False and effort != "none":
        return "it does not think before its answer"
    return None


def _source(capabilities: Capabilities, field: str) -> str:
    words = {
        "catalogue": "so says the catalogue of models",
        "ratchet": "so says what is known of its family",
        "settings": "so says ratchet.toml",
        "learned": "its endpoint refused it before",
    }
    return words.get(capabilities.sources.get(field, ""), "it is known not to")


def _with_room_for_thinking(
    request: ChatRequest, capabilities: Capabilities, sent: dict[str, Json]
) -> ChatRequest:
    """Return the request with a limit that holds the thinking too: providers count both as one."""
    if request.max_tokens is None:
        return request
    room = room_for_thinking(request, capabilities)
    if not room or request.limit_is_whole:
        return request
    limit = request.max_tokens + room
    if capabilities.output_tokens:
        limit = max(request.max_tokens, min(limit, capabilities.output_tokens))
    sent["max_tokens"] = limit
    return replace(request, max_tokens=limit)
