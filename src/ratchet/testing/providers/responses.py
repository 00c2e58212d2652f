"""OpenAI's Responses, as a provider speaks them."""

from collections.abc import Iterator
from typing import Any

from ratchet.core import Json, Usage
from ratchet.models.chat import ChatReply
from ratchet.models.protocol import ErrorDetails
from ratchet.models.schema import is_strict_schema
from ratchet.testing.providers.request_types import parameters_of, problems_by_type
from ratchet.testing.providers.wire_format import (
    SchemaProblem,
    event_of,
    halves_of,
    pieces_of,
    unmatched_calls,
    value_at,
)

__all__ = ["ResponsesFormat"]


class ResponsesFormat:
    """OpenAI's Responses."""

    protocol = "responses"
    path = "/responses"
    effort_at = "reasoning.effort"
    limits_at: tuple[str, ...] = ("max_output_tokens",)

    def parameters(self) -> frozenset[str]:
        """Return the names of the parameters."""
        return parameters_of("responses")

    def problems_in(self, body: dict[str, Any]) -> list[str]:
        """Return what is wrong with a request."""
        items = body.get("input")
        items = (
            [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
        )
        calls = [item.get("call_id") for item in items if item.get("type") == "function_call"]
        results = [
            item.get("call_id") for item in items if item.get("type") == "function_call_output"
        ]
        return problems_by_type("responses", body) + unmatched_calls(calls, results, "call_id")

    def schema_problem(self, body: dict[str, Any]) -> SchemaProblem | None:
        """Return what is wrong with a strict schema; a tool is strict unless it says otherwise."""
        form = value_at(body, "text.format") or {}
        if form.get("strict") and not is_strict_schema(form.get("schema")):
            return "text.format.schema", "invalid_json_schema", "the schema is not a strict one"
        for place, tool in enumerate(body.get("tools") or ()):
            is_strict = tool.get("type") == "function" and tool.get("strict", True)
            if is_strict and not is_strict_schema(tool.get("parameters")):
                at = f"tools[{place}].parameters"
                return at, "invalid_function_parameters", "the parameters are not strict"
        return None

    def render(self, reply: ChatReply, body: dict[str, Any]) -> dict[str, Any]:
        """Return a response."""
        reasons = {"length": "max_output_tokens", "content_filter": "content_filter"}
        reason = reasons.get(reply.finish_reason)
        status = "incomplete" if reason else "completed"
        return self._response(
            body,
            status=status,
            output=list(self._output(reply, status)),
            incomplete_details={"reason": reason} if reason else None,
            usage=_responses_usage(reply.usage),
        )

    def _response(self, body: dict[str, Any], **fields: Any) -> dict[str, Any]:
        return {
            "id": "resp_scripted",
            "object": "response",
            "created_at": 0,
            "model": body.get("model"),
            "output": [],
            "error": None,
            "incomplete_details": None,
            "parallel_tool_calls": True,
            "tool_choice": body.get("tool_choice", "auto"),
            "tools": body.get("tools", []),
            "usage": None,
            **fields,
        }

    def _output(self, reply: ChatReply, status: str) -> Iterator[dict[str, Any]]:
        if reply.usage.reasoning_tokens:
            yield {"type": "reasoning", "id": "rs_scripted", "summary": []}
        content: list[dict[str, Any]] = []
        if reply.text or not (reply.tool_calls or reply.refusal):
            text = {"type": "output_text", "text": reply.text, "annotations": []}
            content.append(text | {"logprobs": reply.logprobs or []})
        if reply.refusal:
            content.append({"type": "refusal", "refusal": reply.refusal})
        if content:
            yield {
                "type": "message",
                "id": "msg_scripted",
                "role": "assistant",
                "status": status,
                "content": content,
            }
        for number, call in enumerate(reply.tool_calls):
            yield {
                "type": "function_call",
                "id": f"fc_{number}",
                "call_id": f"call_{number}",
                "name": call.name,
                "arguments": call.arguments,
                "status": "completed",
            }

    def render_events(self, reply: ChatReply, body: dict[str, Any]) -> Iterator[bytes]:
        """Yield the events of a response, numbered."""
        whole = self.render(reply, body)
        begun = self._response(body, status="in_progress")
        events: list[dict[str, Any]] = [
            {"type": "response.created", "response": begun},
            {"type": "response.in_progress", "response": begun},
        ]
        for index, item in enumerate(whole["output"]):
            events += self._item_events(index, item)
        last = "incomplete" if whole["status"] == "incomplete" else "completed"
        events.append({"type": f"response.{last}", "response": whole})
        for number, event in enumerate(events):
            yield event_of(event | {"sequence_number": number}, name=event["type"])

    def _item_events(self, index: int, item: dict[str, Any]) -> Iterator[dict[str, Any]]:
        place = {"output_index": index, "item_id": item["id"]}
        begun = dict(item)
        if item["type"] == "message":
            begun |= {"content": [], "status": "in_progress"}
        if item["type"] == "function_call":
            begun |= {"arguments": "", "status": "in_progress"}
        yield {"type": "response.output_item.added", "output_index": index, "item": begun}
        for number, part in enumerate(item.get("content") or ()):
            yield from self._part_events(place | {"content_index": number}, part)
        if item["type"] == "function_call":
            kind = "response.function_call_arguments"
            for piece in halves_of(item["arguments"]):
                yield {"type": f"{kind}.delta", **place, "delta": piece}
            whole = {"arguments": item["arguments"], "name": item["name"]}
            yield {"type": f"{kind}.done", **place, **whole}
        yield {"type": "response.output_item.done", "output_index": index, "item": item}

    def _part_events(self, place: dict[str, Any], part: dict[str, Any]) -> Iterator[dict[str, Any]]:
        is_text = part["type"] == "output_text"
        field = "text" if is_text else "refusal"
        kind = "response.output_text" if is_text else "response.refusal"
        empty = part | {field: ""} | ({"logprobs": []} if is_text else {})
        yield {"type": "response.content_part.added", **place, "part": empty}
        for number, piece in enumerate(pieces_of(part[field])):
            logprobs = {"logprobs": [] if number else part["logprobs"]} if is_text else {}
            yield {"type": f"{kind}.delta", **place, "delta": piece, **logprobs}
        logprobs = {"logprobs": part["logprobs"]} if is_text else {}
        yield {"type": f"{kind}.done", **place, field: part[field], **logprobs}
        yield {"type": "response.content_part.done", **place, "part": part}

    def render_failure(self, details: ErrorDetails) -> dict[str, Any] | None:
        """Return a response that failed."""
        error = {"code": details.code or "server_error", "message": details.message}
        return self._response({"model": "m"}, status="failed", error=error)

    def render_error_event(self, details: ErrorDetails) -> bytes:
        """Return the event of an error."""
        error = {"type": "error", "code": details.code, "message": details.message, "param": None}
        return event_of(error | {"sequence_number": 99}, name="error")


def _responses_usage(usage: Usage) -> dict[str, Json]:
    return {
        "input_tokens": usage.prompt_tokens,
        "output_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }
