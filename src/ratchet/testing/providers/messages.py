"""Anthropic's Messages, as a provider speaks them."""

from collections.abc import Iterator
from typing import Any

import orjson

from ratchet.core import Json, Usage
from ratchet.models.chat import ChatReply
from ratchet.models.protocol import ErrorDetails
from ratchet.models.schema import close_schema
from ratchet.testing.providers.request_types import parameters_of, problems_by_type
from ratchet.testing.providers.wire_format import (
    SchemaProblem,
    event_of,
    halves_of,
    pieces_of,
    unmatched_calls,
    value_at,
)

__all__ = ["MessagesFormat"]

SAMPLING_OF_OLDER_MODELS = {"temperature", "top_p", "top_k"}
"""What the protocol takes for older models, although the SDK has no parameters for it any more."""


class MessagesFormat:
    """Anthropic's Messages."""

    protocol = "messages"
    path = "/messages"
    effort_at = "output_config.effort"
    limits_at: tuple[str, ...] = ("max_tokens",)

    def parameters(self) -> frozenset[str]:
        """Return the names of the parameters."""
        return parameters_of("messages") | SAMPLING_OF_OLDER_MODELS

    def problems_in(self, body: dict[str, Any]) -> list[str]:
        """Return what is wrong with a request."""
        checked = {name: body[name] for name in body if name not in SAMPLING_OF_OLDER_MODELS}
        problems = problems_by_type("messages", checked)
        if problems:
            return problems
        if any(message["content"] == "" for message in body["messages"]):
            problems.append("messages: user messages must have non-empty content")
        blocks = [
            block
            for message in body["messages"]
            for block in (message["content"] if isinstance(message["content"], list) else ())
        ]
        if any(block["type"] == "text" and not block["text"].strip() for block in blocks):
            problems.append("messages: text content blocks must not be empty")
        budget, limit = value_at(body, "thinking.budget_tokens"), body["max_tokens"]
        if budget is not None and not 1024 <= budget < limit:
            problems.append("thinking.budget_tokens: at least 1024 and less than max_tokens")
        calls = [block["id"] for block in blocks if block["type"] == "tool_use"]
        results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        return problems + unmatched_calls(calls, results, "tool_use_id")

    def schema_problem(self, body: dict[str, Any]) -> SchemaProblem | None:
        """Return what is wrong with the schema of the output."""
        schema = value_at(body, "output_config.format.schema")
        if schema is not None and close_schema(schema) != schema:
            at = "output_config.format.schema"
            return at, "invalid_request_error", f"{at}: objects must be closed, and without limits"
        return None

    def render(self, reply: ChatReply, body: dict[str, Any]) -> dict[str, Any]:
        """Return a message."""
        return {
            **self._message(body),
            "content": list(self._blocks(reply)),
            **_ending_of(reply),
            "usage": _messages_usage(reply.usage),
        }

    def _message(self, body: dict[str, Any]) -> dict[str, Any]:
        kind = {"id": "msg_scripted", "type": "message", "role": "assistant"}
        return {**kind, "model": body["model"], "content": []}

    def _blocks(self, reply: ChatReply) -> Iterator[dict[str, Any]]:
        if reply.usage.reasoning_tokens:
            yield {"type": "thinking", "thinking": "Let me see.", "signature": "c2ln"}
        if reply.text:
            yield {"type": "text", "text": reply.text}
        for number, call in enumerate(reply.tool_calls):
            yield {
                "type": "tool_use",
                "id": f"toolu_{number}",
                "name": call.name,
                "input": orjson.loads(call.arguments),
            }

    def render_events(self, reply: ChatReply, body: dict[str, Any]) -> Iterator[bytes]:
        """Yield the events of a message, with a ping between them."""
        usage = _messages_usage(reply.usage)
        started = self._message(body) | {"stop_reason": None, "stop_sequence": None}
        started["usage"] = usage | {"output_tokens": 1, "output_tokens_details": None}
        events: list[dict[str, Any]] = [
            {"type": "message_start", "message": started},
            {"type": "ping"},
        ]
        for index, block in enumerate(self._blocks(reply)):
            events += self._block_events(index, block)
        counted = {name: usage[name] for name in ("output_tokens", "output_tokens_details")}
        events.append({"type": "message_delta", "delta": _ending_of(reply), "usage": counted})
        events.append({"type": "message_stop"})
        yield from (event_of(event, name=event["type"]) for event in events)

    def _block_events(self, index: int, block: dict[str, Any]) -> Iterator[dict[str, Any]]:
        empty: dict[str, Any] = {"text": "", "thinking": "", "signature": "", "input": {}}
        begun = {name: empty.get(name, value) for name, value in block.items()}
        yield {"type": "content_block_start", "index": index, "content_block": begun}
        for delta in _block_deltas(block):
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}

    def render_failure(self, details: ErrorDetails) -> dict[str, Any] | None:  # noqa: ARG002 - the protocol's signature
        """Return None: a failure has a status here."""
        return None

    def render_error_event(self, details: ErrorDetails) -> bytes:
        """Return the event of an error."""
        error = {"type": details.kind or "overloaded_error", "message": details.message}
        return event_of({"type": "error", "error": error}, name="error")


def _messages_usage(usage: Usage) -> dict[str, Json]:
    """Return the usage as Anthropic counts: a prompt's tokens beside the cache, and those of the cache apart."""
    return {
        "input_tokens": usage.prompt_tokens - usage.cached_tokens - usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
    }


def _ending_of(reply: ChatReply) -> dict[str, Any]:
    """Return why a message ended, in Anthropic's words."""
    reasons = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
    ending: dict[str, Any] = {
        "stop_reason": reasons.get(reply.finish_reason, "refusal"),
        "stop_sequence": None,
    }
    if reply.refusal:
        details = {"type": "refusal", "category": None, "explanation": reply.refusal}
        ending |= {"stop_reason": "refusal", "stop_details": details}
    return ending


def _block_deltas(block: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if block["type"] == "text":
        yield from ({"type": "text_delta", "text": piece} for piece in pieces_of(block["text"]))
    elif block["type"] == "thinking":
        yield {"type": "thinking_delta", "thinking": block["thinking"]}
        yield {"type": "signature_delta", "signature": block["signature"]}
    elif block["input"]:
        arguments = orjson.dumps(block["input"]).decode()
        yield from (
            {"type": "input_json_delta", "partial_json": piece} for piece in halves_of(arguments)
        )
