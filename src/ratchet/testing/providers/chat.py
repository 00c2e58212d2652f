"""Chat completions, as a provider speaks them."""

from collections.abc import Iterator
from typing import Any

from ratchet.core import Json, Usage
from ratchet.models.chat import ChatReply, ToolCall
from ratchet.models.protocol import ErrorDetails
from ratchet.models.schema import is_strict_schema
from ratchet.testing.providers.request_types import parameters_of, problems_by_type
from ratchet.testing.providers.wire_format import (
    SchemaProblem,
    event_of,
    halves_of,
    pieces_of,
    value_at,
)

__all__ = ["ChatFormat"]


class ChatFormat:
    """Chat completions."""

    protocol = "chat"
    path = "/chat/completions"
    effort_at = "reasoning_effort"
    limits_at: tuple[str, ...] = ("max_completion_tokens", "max_tokens")

    def parameters(self) -> frozenset[str]:
        """Return the names of the parameters."""
        return parameters_of("chat")

    def problems_in(self, body: dict[str, Any]) -> list[str]:
        """Return what is wrong with a request."""
        return problems_by_type("chat", body)

    def schema_problem(self, body: dict[str, Any]) -> SchemaProblem | None:
        """Return what is wrong with a strict schema."""
        form = value_at(body, "response_format.json_schema") or {}
        if form.get("strict") and not is_strict_schema(form.get("schema")):
            return "response_format", "invalid_json_schema", "the schema is not a strict one"
        for place, tool in enumerate(body.get("tools") or ()):
            function = tool.get("function") or {}
            if function.get("strict") and not is_strict_schema(function.get("parameters")):
                at = f"tools[{place}].function.parameters"
                return at, "invalid_function_parameters", "the parameters are not strict"
        return None

    def render(self, reply: ChatReply, body: dict[str, Any]) -> dict[str, Any]:
        """Return a completion of one choice."""
        message: dict[str, Any] = {
            "role": "assistant",
            "content": reply.text or (None if reply.tool_calls or reply.refusal else ""),
            "refusal": reply.refusal,
        }
        if reply.tool_calls:
            message["tool_calls"] = [
                _chat_call(number, call) for number, call in enumerate(reply.tool_calls)
            ]
        choice = {
            "index": 0,
            "message": message,
            "finish_reason": reply.finish_reason,
            "logprobs": {"content": reply.logprobs, "refusal": None} if reply.logprobs else None,
        }
        return {
            "id": "chatcmpl-scripted",
            "object": "chat.completion",
            "created": 0,
            "model": body["model"],
            "choices": [choice],
            "usage": _chat_usage(reply.usage),
        }

    def render_events(self, reply: ChatReply, body: dict[str, Any]) -> Iterator[bytes]:
        """Yield chunks, and the mark of the end."""
        yield self._chunk(body, delta={"role": "assistant", "content": ""})
        for number, piece in enumerate(pieces_of(reply.text)):
            logprobs = (
                {"content": reply.logprobs, "refusal": None}
                if reply.logprobs and not number
                else None
            )
            yield self._chunk(body, delta={"content": piece}, logprobs=logprobs)
        if reply.refusal:
            yield from (
                self._chunk(body, delta={"refusal": piece}) for piece in pieces_of(reply.refusal)
            )
        for index, call in enumerate(reply.tool_calls):
            begun = _chat_call(index, call) | {"index": index}
            begun["function"] = {"name": call.name, "arguments": ""}
            yield self._chunk(body, delta={"tool_calls": [begun]})
            for piece in halves_of(call.arguments):
                part = {"index": index, "function": {"arguments": piece}}
                yield self._chunk(body, delta={"tool_calls": [part]})
        yield self._chunk(body, delta={}, finish=reply.finish_reason)
        if value_at(body, "stream_options.include_usage"):
            yield self._chunk(body, usage=_chat_usage(reply.usage))
        yield b"data: [DONE]\n\n"

    def _chunk(
        self,
        body: dict[str, Any],
        *,
        delta: dict[str, Any] | None = None,
        finish: str | None = None,
        logprobs: dict[str, Any] | None = None,
        usage: dict[str, Any] | None = None,
    ) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": logprobs}
        return event_of(
            {
                "id": "chatcmpl-scripted",
                "object": "chat.completion.chunk",
                "created": 0,
                "model": body["model"],
                "choices": [] if delta is None else [choice],
                "usage": usage,
            }
        )

    def render_failure(self, details: ErrorDetails) -> dict[str, Any] | None:
        """Return a completion whose choice ended with an error."""
        error = {"message": details.message, "code": details.code or 502}
        message = {"role": "assistant", "content": ""}
        choice = {"index": 0, "message": message, "finish_reason": "error", "error": error}
        return {"id": "gen-scripted", "object": "chat.completion", "choices": [choice]}

    def render_error_event(self, details: ErrorDetails) -> bytes:
        """Return an event without a choice."""
        return event_of({"error": {"message": details.message, "code": details.code}})


def _chat_call(number: int, call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": f"call_{number}", "type": "function", "function": function}


def _chat_usage(usage: Usage) -> dict[str, Json]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }
