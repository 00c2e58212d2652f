"""What models take: placeholder until the catalogue lands."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

__all__ = ["Capabilities", "known_capabilities"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a model takes; None: it is not known."""

    temperature: bool | None = None
    top_p: bool | None = None
    seed: bool | None = None
    stop: bool | None = None
    penalties: bool | None = None
    logprobs: bool | None = None
    tools: bool | None = None
    images: bool | None = None
    reasoning: bool | None = None
    efforts: tuple[str, ...] | None = None
    sampling_needs_effort_none: bool | None = None
    structured: Literal["strict", "schema", "object", "none"] | None = None
    max_tokens_name: Literal["max_tokens", "max_completion_tokens"] | None = None
    tools_protocol: Literal["chat", "responses"] | None = None
    tools_effort: str | None = None
    stream_usage: bool | None = None
    context_tokens: int | None = None
    output_tokens: int | None = None
    sources: Mapping[str, str] = field(default_factory=dict)

    def updated(self, source: str, **fields: Any) -> "Capabilities":
        return replace(self, **fields, sources={**self.sources, **dict.fromkeys(fields, source)})


def known_capabilities(model: str, base_url: str = "") -> Capabilities:
    return Capabilities()
