"""What families of models take and refuse, as data: a stand-in with such a personality answers as the real one does.

The rules were read from release notes, public trackers and the types of the official SDKs, of November 2026; the words are ours.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ratchet.testing.providers.wire_format import value_at

__all__ = ["PERSONALITIES", "Personality", "Rule"]

ErrorStyle = Literal["openai", "anthropic", "mistral", "openrouter", "vllm"]
EFFORT_AT = {
    "chat": "reasoning_effort",
    "responses": "reasoning.effort",
    "messages": "output_config.effort",
}
"""Where the effort stands in a request, by protocol."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A parameter that is refused, and when."""

    param: str
    """Where it stands in the request: names with dots between them."""
    message: str
    code: str | None = "unsupported_parameter"
    protocols: frozenset[str] = frozenset({"chat", "responses", "messages"})
    allowed: tuple[Any, ...] = ()
    """The values that pass."""
    refused: tuple[Any, ...] = ()
    """The values that do not, where all others pass."""
    unless_effort: str | None = None
    """The effort with which it is not refused."""

    def is_broken_by(self, body: Mapping[str, Any], protocol: str, effort: str) -> bool:
        """Return whether a request breaks it."""
        value = value_at(body, self.param)
        if protocol not in self.protocols or value in (None, [], *self.allowed):
            return False
        if self.unless_effort is not None and effort == self.unless_effort:
            return False
        return not self.refused or value in self.refused


@dataclass(frozen=True, kw_only=True)
class Personality:
    """How one family of models answers."""

    protocols: tuple[str, ...] = ("chat", "responses")
    rules: tuple[Rule, ...] = ()
    style: ErrorStyle = "openai"
    """How errors are written."""
    effort: str = "none"
    """The effort that a request has that names none."""
    thinking_tokens: int = 0
    """How many tokens it thinks before each answer, unless the effort is `none`; the limit of a reply counts them."""
    checks_schemas: bool = True
    """Whether a schema that the reply is promised to follow must be a strict one."""
    ignores_unknown: bool = False
    """Whether parameters that the protocol has not are passed over."""
    content_parts: bool = False
    """Whether the content of a chat's reply is a list of parts, thinking among them."""
    comments: bool = False
    """Whether a stream has comments between its events."""
    fails_inside: bool = False
    """Whether a chat that failed upstream has the status 200."""
    prefix: str = "/v1"
    """The path below which it serves."""
    query: Mapping[str, str] | None = None
    """What must stand in the address of each request."""
    flagged: tuple[int, str] | None = None
    """The status and the code with which an input is refused that the provider's filter flags."""


CHAT = frozenset({"chat"})
LIMIT = Rule(
    param="max_tokens",
    message="'max_tokens' is not taken by this model; its limit is named 'max_completion_tokens'.",
    protocols=CHAT,
)


def _not_taken(param: str, *, unless_effort: str | None = None) -> Rule:
    condition = f" unless the effort is {unless_effort!r}" if unless_effort else ""
    message = f"Parameter {param!r} is not supported by this model{condition}."
    return Rule(param=param, message=message, unless_effort=unless_effort)


def _only(param: str, *allowed: Any) -> Rule:
    message = f"Unsupported value: {param!r} takes {', '.join(map(str, allowed))} alone here."
    return Rule(param=param, message=message, code="unsupported_value", allowed=allowed)


def _no_efforts(*refused: str, protocols: frozenset[str]) -> tuple[Rule, ...]:
    return tuple(
        Rule(
            param=EFFORT_AT[protocol],
            message=f"Unsupported value: the efforts {', '.join(refused)} are not taken here.",
            code="unsupported_value",
            protocols=frozenset({protocol}),
            refused=refused,
        )
        for protocol in sorted(protocols)
    )


TOOLS_WITHOUT_THINKING = Rule(
    param="tools",
    message="Function tools with this model need the effort 'none' in /v1/chat/completions; or use /v1/responses.",
    code="unsupported_parameter",
    protocols=CHAT,
    unless_effort="none",
)
TOOLS_BY_RESPONSES = Rule(
    param="tools",
    message="Function tools are not supported with this model in /v1/chat/completions; use /v1/responses.",
    code="unsupported_parameter",
    protocols=CHAT,
)
SAMPLING = tuple(
    _not_taken(name, unless_effort="none")
    for name in ("temperature", "top_p", "logprobs", "top_logprobs")
)
LOGPROBS_INCLUDED = Rule(
    param="include",
    message="Log probabilities are not supported by this model unless the effort is 'none'.",
    protocols=frozenset({"responses"}),
    refused=(["message.output_text.logprobs"],),
    unless_effort="none",
)
OPENAI = frozenset({"chat", "responses"})
NO_MINIMAL = _no_efforts("minimal", protocols=OPENAI)
GPT_6 = Personality(
    rules=(LIMIT, *SAMPLING, LOGPROBS_INCLUDED, *NO_MINIMAL), effort="medium", thinking_tokens=64
)
CLAUDE = Personality(
    protocols=("messages", "chat"),
    rules=tuple(
        Rule(param=name, message=f"`{name}` may not be set for this model.", code=None)
        for name in ("temperature", "top_p", "top_k")
    ),
    style="anthropic",
    effort="high",
)
PERSONALITIES: Mapping[str, Personality] = {
    "gpt-4.1": Personality(),
    "gpt-5.6": Personality(
        rules=(LIMIT, _only("temperature", 1), TOOLS_WITHOUT_THINKING),
        effort="medium",
        thinking_tokens=64,
    ),
    "gpt-6": GPT_6,
    "gpt-6-sol": Personality(
        rules=(*GPT_6.rules, TOOLS_WITHOUT_THINKING), effort="medium", thinking_tokens=64
    ),
    "gpt-6-astra": Personality(
        rules=(*GPT_6.rules, TOOLS_BY_RESPONSES), effort="medium", thinking_tokens=64
    ),
    "gpt-6.1-sol": Personality(
        rules=(LIMIT, *SAMPLING, LOGPROBS_INCLUDED, TOOLS_BY_RESPONSES),
        effort="medium",
        thinking_tokens=64,
    ),
    "gpt-6.2-sol": Personality(
        rules=(
            LIMIT,
            _only("temperature", 1),
            _only("top_p", 1),
            _only("presence_penalty", 0),
            _only("frequency_penalty", 0),
            *_no_efforts("none", "minimal", "max", protocols=CHAT),
        ),
        effort="medium",
        thinking_tokens=64,
    ),
    "claude-opus-4-7": CLAUDE,
    "claude-sonnet-5": CLAUDE,
    "deepseek-chat": Personality(
        protocols=("chat",),
        rules=(
            Rule(
                param="response_format.type",
                message="This type of response_format is not available.",
                code="invalid_request_error",
                refused=("json_schema",),
            ),
        ),
        checks_schemas=False,
    ),
    "azure-gpt": Personality(
        protocols=("chat",),
        prefix="/openai/deployments/m",
        query={"api-version": "2026-10-21"},
        flagged=(400, "content_filter"),
    ),
    "mistral-magistral": Personality(
        protocols=("chat",),
        rules=tuple(
            Rule(param=name, message="Extra inputs are not permitted", code="extra_forbidden")
            for name in ("seed", "max_completion_tokens", "logprobs", "top_logprobs")
        ),
        style="mistral",
        effort="high",
        thinking_tokens=64,
        checks_schemas=False,
        content_parts=True,
    ),
    "openrouter-x": Personality(
        protocols=("chat",),
        style="openrouter",
        checks_schemas=False,
        ignores_unknown=True,
        comments=True,
        fails_inside=True,
        flagged=(403, "403"),
    ),
    "vllm": Personality(
        protocols=("chat", "responses"),
        style="vllm",
        checks_schemas=False,
        ignores_unknown=True,
    ),
}
"""By the name of a model of the family."""
