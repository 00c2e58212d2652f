"""The shapes of OpenAI's API: requests read and checked, replies, pieces of a stream and errors written."""

import math
import time
from dataclasses import dataclass
from typing import Any, get_args

import orjson

from ratchet.core import Effort, Json
from ratchet.core.errors import (
    AccessError,
    ParameterError,
    RatchetError,
    ReplyError,
    StoreError,
    TaskError,
    UnknownModelError,
)
from ratchet.models import CallPart, ChatReply, ChatRequest
from ratchet.tuning import is_calls

__all__ = ["Asked", "Problem", "chat_body", "chunk", "completion", "event", "problem_of"]

MOST_CHOICES = 16
MOST_LOGPROBS = 20
PASSED_ON = frozenset((400, 404, 413, 422, 429))
"""The statuses of an endpoint that are the client's: they go through as they came, so that no client tries again in vain."""
EFFORTS: tuple[str, ...] = get_args(Effort)
MAX_NAME_CHARACTERS = 300
"""Of a model's name."""
ROLES = ("system", "developer", "user", "assistant", "tool")


class Problem(Exception):  # noqa: N818 - an answer, in the shape that OpenAI gives its errors
    """An error that the client gets to see; `retry_after_s` says when to come again."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.status, self.kind, self.param, self.code = status, kind, param, code

    def headers(self) -> dict[str, str]:
        """Return what the response says beside its body."""
        wait = self.retry_after_s
        return {} if wait is None else {"retry-after": str(max(1, round(wait)))}

    def body(self) -> bytes:
        """Return the body of the response."""
        error = {"message": str(self), "type": self.kind, "param": self.param, "code": self.code}
        return orjson.dumps({"error": error})


def problem_of(error: BaseException) -> Problem:
    """Return what a client is told of an error; of one that was not foreseen, nothing but that it happened."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, UnknownModelError):
        return Problem(404, str(error), param="model", code="model_not_found")
    if isinstance(error, ParameterError):
        return Problem(400, str(error), param=error.param, code="unsupported_parameter")
    if isinstance(error, AccessError):
        return Problem(502, str(error), kind="upstream_error", code="upstream_access")
    if isinstance(error, ReplyError) and error.status in PASSED_ON:
        kind = "rate_limit_error" if error.status == 429 else "invalid_request_error"
        return Problem(
            error.status,
            str(error),
            kind=kind,
            param=error.param,
            code=error.code or error.kind,
            retry_after_s=error.retry_after_s,
        )
    if isinstance(error, ReplyError) and error.kind == "context":
        return Problem(400, str(error), param="messages", code="context_length_exceeded")
    if isinstance(error, ReplyError) and error.kind == "template":
        return Problem(400, str(error), param="messages", code=error.kind)
    if isinstance(error, RecursionError):
        return Problem(400, "the body is nested too deep")
    if isinstance(error, ReplyError):
        status = {
            "rate limit": 429,
            "timeout": 504,
            "no adapter": 404,
            "loading": 503,
            "closed": 503,
            "crashed": 503,
        }.get(error.kind, 502)
        return Problem(
            status,
            str(error),
            kind="upstream_error",
            code=error.kind,
            retry_after_s=error.retry_after_s,
        )
    if isinstance(error, TaskError):
        return Problem(400, str(error))
    if isinstance(error, StoreError):
        return Problem(507, str(error), kind="server_error", code="storage")
    if isinstance(error, RatchetError):
        return Problem(500, str(error), kind="server_error")
    return Problem(500, "the server failed on this request; its log says why", kind="server_error")


@dataclass(slots=True, kw_only=True)
class Asked:
    """A chat request, read and checked."""

    model: str
    peft: str | None
    """The name of an adapter for the model, where it is not the model's own name."""
    request: ChatRequest
    n: int
    stream: bool
    usage_wanted: bool
    """Whether a stream ends with the usage."""
    inputs: dict[str, Json] | None
    """The fields of a release's task, where they are given by name."""
    end_user: str | None
    body: dict[str, Json]


def chat_body(content: bytes) -> Asked:
    """Return a request to `/v1/chat/completions`; messages, tools and the reply's form are as the client named them.

    Raises: Problem if it is none, naming the parameter.
    """
    body = object_of(content)
    inputs = body.get("inputs")
    if inputs is not None and not isinstance(inputs, dict):
        raise Problem(400, "'inputs' must be an object of the task's fields", param="inputs")
    is_new_limit = body.get("max_completion_tokens") is not None
    limit_name = "max_completion_tokens" if is_new_limit else "max_tokens"
    return Asked(
        model=name_of(body),
        peft=peft_of(body),
        request=ChatRequest(
            messages=messages_of(body.get("messages"), needed=inputs is None),
            temperature=number(body, "temperature", 0, 2),
            top_p=number(body, "top_p", 1e-6, 1),
            max_tokens=whole(body, limit_name, 1, 1_000_000),
            limit_is_whole=True,
            limit_name=limit_name,
            effort=effort_of(body),
            seed=seed_of(body),
            logprobs=logprobs_of(body),
            stop=stop_of(body.get("stop")),
        ),
        n=whole(body, "n", 1, MOST_CHOICES) or 1,
        stream=is_true(body, "stream"),
        usage_wanted=wants_usage(body),
        inputs=inputs,
        end_user=end_user_of(body),
        body=body,
    )


def object_of(content: bytes) -> dict[str, Json]:
    """Return the object that a body holds."""
    try:
        body = orjson.loads(content)
    except (ValueError, RecursionError) as error:
        raise Problem(400, f"the body is no JSON: {error}") from None
    if not isinstance(body, dict):
        raise Problem(400, f"the body must be a JSON object, not {type(body).__name__}")
    return body


def is_true(body: dict[str, Json], name: str) -> bool:
    """Return a parameter that is true or false; false where it is not named."""
    value = body.get(name)
    if not isinstance(value, bool | None):
        raise Problem(400, f"{name!r} must be true or false, not {value!r:.40}", param=name)
    return bool(value)


def wants_usage(body: dict[str, Json]) -> bool:
    """Return whether a stream is to end with its usage."""
    options = body.get("stream_options")
    return isinstance(options, dict) and bool(options.get("include_usage"))


def end_user_of(body: dict[str, Json]) -> str | None:
    """Return who asks by the client's word; the newer name for it first."""
    user = body.get("safety_identifier") or body.get("user")
    return str(user)[:200] if user else None


def name_of(body: dict[str, Json]) -> str:
    """Return the model's name."""
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise Problem(400, "'model' must be the name of a model", param="model")
    if len(model) > MAX_NAME_CHARACTERS or not model.isprintable():
        raise Problem(
            400,
            f"'model' must be a name of at most {MAX_NAME_CHARACTERS} characters, all of them printable",
            param="model",
        )
    return model


def peft_of(body: dict[str, Json]) -> str | None:
    peft = body.get("peft")
    if not isinstance(peft, str | None):
        raise Problem(400, "'peft' must be the name of an adapter", param="peft")
    return peft or None


def messages_of(value: Json, *, needed: bool) -> list[dict[str, Json]]:
    """Return the messages as the client named them."""
    if value is None and not needed:
        return []
    if not isinstance(value, list) or not value:
        raise Problem(400, "'messages' must be a list of at least one message", param="messages")
    for place, message in enumerate(value):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            where = f"messages[{place}].role"
            raise Problem(400, f"{where!r} must be one of {', '.join(ROLES)}", param=where)
    return value


def plain_messages(messages: list[dict[str, Json]]) -> list[dict[str, Json]]:
    """Return messages as every model takes them: of the usual roles, and of text.

    Raises: Problem for what is otherwise, by its place.
    """
    return [_plain_message(message, f"messages[{place}]") for place, message in enumerate(messages)]


def _plain_message(message: dict[str, Json], where: str) -> dict[str, Json]:
    if message["role"] not in ROLES:
        raise Problem(
            400, f"'{where}.role' must be one of {', '.join(ROLES)}", param=f"{where}.role"
        )
    content, calls = _plain_content(message, where), message.get("tool_calls")
    if calls is not None and not is_calls(calls):
        raise Problem(
            400,
            f"'{where}.tool_calls' must be a list of function calls",
            param=f"{where}.tool_calls",
        )
    role = "system" if message["role"] == "developer" else message["role"]
    kept = {name: value for name, value in message.items() if name != "refusal"}
    return {**kept, "role": role, "content": content}


def _plain_content(message: dict[str, Json], where: str) -> str:
    """Return the text of a message; what an assistant refused with is its text."""
    content, refusal = message.get("content"), message.get("refusal")
    if isinstance(content, list):
        texts = []
        for part in content:
            kind = part.get("type") if isinstance(part, dict) else None
            if kind not in ("text", "refusal"):
                raise Problem(
                    400,
                    f"'{where}.content' holds a part that is no text ({kind!r:.40}); this model reads text alone",
                    param=f"{where}.content",
                )
            texts.append(str(part.get(kind) or ""))
        return "".join(texts)
    if content is None and isinstance(refusal, str):
        return refusal
    if content is None and message.get("tool_calls"):
        return ""
    if not isinstance(content, str):
        raise Problem(400, f"'{where}.content' must be text", param=f"{where}.content")
    return content


def tools_of(value: Json) -> list[dict[str, Json]] | None:
    if not value:
        return None
    for place, tool in enumerate(value if isinstance(value, list) else [None]):
        if isinstance(tool, dict) and tool.get("type", "function") != "function":
            raise Problem(
                400,
                f"'tools[{place}]' is of type {tool['type']!r:.40}, and this model takes functions alone",
                param=f"tools[{place}]",
            )
        function = tool.get("function") if isinstance(tool, dict) else None
        if (
            not isinstance(function, dict)
            or not isinstance(function.get("name"), str)
            or not isinstance(function.get("parameters", {}), dict)
        ):
            raise Problem(
                400, f"'tools[{place}]' must be a function with a name", param=f"tools[{place}]"
            )
    return [
        {**tool, "function": {"parameters": {"type": "object"}, **tool["function"]}}
        for tool in value
    ]


def tool_choice_of(value: Json, tools: Json) -> str | None:
    if value in (None, "auto", "none"):
        return None
    names = [tool["function"]["name"] for tool in tools or ()]
    if value == "required" and names:
        return str(names[0]) if len(names) == 1 else value
    if isinstance(value, dict) and isinstance(value.get("function"), dict):
        name = value["function"].get("name")
        if name in names:
            return str(name)
        raise Problem(
            400, f"'tool_choice' names {name!r}, which is not among the tools", param="tool_choice"
        )
    raise Problem(
        400,
        "'tool_choice' must be auto, none, required (with tools), or name a function",
        param="tool_choice",
    )


def schema_of(value: Json) -> dict[str, Json] | None:
    if value is None or (isinstance(value, dict) and value.get("type") == "text"):
        return None
    kind = value.get("type") if isinstance(value, dict) else None
    if kind == "json_object":
        return {"type": "object"}
    inner = value.get("json_schema") if isinstance(value, dict) else None
    schema = inner.get("schema") if isinstance(inner, dict) else None
    if kind != "json_schema" or not isinstance(schema, dict):
        raise Problem(
            400,
            "'response_format' must be of type text, json_object or json_schema with a schema",
            param="response_format",
        )
    return schema


def logprobs_of(body: dict[str, Json]) -> int | None:
    wanted = body.get("logprobs") or False
    if not isinstance(wanted, bool):
        raise Problem(400, "'logprobs' must be true or false", param="logprobs")
    count = whole(body, "top_logprobs", 0, MOST_LOGPROBS) or 0
    if count and not wanted:
        raise Problem(400, "'top_logprobs' needs 'logprobs' to be true", param="top_logprobs")
    return count if wanted else None


def seed_of(body: dict[str, Json]) -> int | None:
    return whole(body, "seed", -(2**63), 2**63 - 1)


def stop_of(value: Json) -> tuple[str, ...]:
    found = [value] if isinstance(value, str) else value or []
    if not isinstance(found, list) or not all(isinstance(one, str) and one for one in found):
        raise Problem(400, "'stop' must be a text or a list of texts", param="stop")
    return tuple(found)


def effort_of(body: dict[str, Json]) -> str | None:
    effort = body.get("reasoning_effort")
    if effort is not None and effort not in EFFORTS:
        raise Problem(
            400,
            f"'reasoning_effort' must be one of {', '.join(EFFORTS)}",
            param="reasoning_effort",
        )
    return None if effort is None else str(effort)


def number(body: dict[str, Json], name: str, low: float, high: float) -> float | None:
    value = body.get(name)
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not low <= value <= high:
        raise Problem(400, f"{name!r} must be a number from {low:g} to {high:g}", param=name)
    return float(value)


def whole(body: dict[str, Json], name: str, low: int, high: int) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise Problem(400, f"{name!r} must be a whole number from {low} to {high}", param=name)
    return value


def message_of(reply: ChatReply, request_id: str) -> dict[str, Json]:
    message: dict[str, Json] = {
        **reply.beside.get("message", {}),
        "role": "assistant",
        "content": reply.text or (None if reply.tool_calls else ""),
        "refusal": reply.refusal,
    }
    if reply.tool_calls:
        message["tool_calls"] = tool_calls(reply, request_id)
    return message


def tool_calls(reply: ChatReply, request_id: str) -> list[dict[str, Json]]:
    return [
        {
            "id": call_id(request_id, place),
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for place, call in enumerate(reply.tool_calls)
    ]


def call_delta(part: CallPart, request_id: str) -> dict[str, Json]:
    """Return a part of a call as a stream tells it; the first one says which call it is."""
    if not part.name:
        return {"index": part.place, "function": {"arguments": part.arguments}}
    return {
        "index": part.place,
        "id": call_id(request_id, part.place),
        "type": "function",
        "function": {"name": part.name, "arguments": part.arguments},
    }


def call_id(request_id: str, place: int) -> str:
    return f"call_{request_id[-12:]}_{place}"


def usage_of(replies: list[ChatReply], *, is_chat: bool = True) -> dict[str, Json]:
    """Return the tokens of replies to one chat, or to several texts."""
    prompts = [reply.usage.prompt_tokens for reply in replies]
    prompt = max(prompts, default=0) if is_chat else sum(prompts)
    completed = sum(reply.usage.completion_tokens for reply in replies)
    usages = [reply.usage for reply in replies]
    cached = max((usage.cached_tokens for usage in usages), default=0)
    thought = sum(usage.reasoning_tokens for usage in usages)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completed,
        "total_tokens": prompt + completed,
        **({"prompt_tokens_details": {"cached_tokens": cached}} if cached else {}),
        **({"completion_tokens_details": {"reasoning_tokens": thought}} if thought else {}),
    }


def completion(request_id: str, model: str, replies: list[ChatReply]) -> dict[str, Json]:
    """Return the body of a whole reply."""
    return {
        "id": request_id,
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [
            {
                "index": place,
                "message": message_of(reply, f"{request_id}{place}"),
                "logprobs": logprobs_in(reply),
                "finish_reason": reply.finish_reason,
            }
            for place, reply in enumerate(replies)
        ],
        "usage": usage_of(replies),
        **(replies[0].beside.get("body", {}) if replies else {}),
        **notes_of(replies),
    }


def notes_of(replies: list[ChatReply]) -> dict[str, Json]:
    """Return what is told of replies beside OpenAI's fields: passages and the guard's finding, under `ratchet`."""
    notes = [reply.notes for reply in replies if reply.notes]
    return {"ratchet": notes[0] if len(notes) == 1 else notes} if notes else {}


def logprobs_in(reply: ChatReply) -> dict[str, Json] | None:
    """Return what is known of a reply's tokens, as a choice tells it."""
    refused = reply.beside.get("refusal_logprobs")
    if reply.logprobs is None and refused is None:
        return None
    return {"content": reply.logprobs, "refusal": refused}


def text_body(content: bytes) -> list[Asked]:
    """Return a request to `/v1/completions`, one for each prompt.

    Raises: Problem if it is none, naming the parameter.
    """
    body = object_of(content)
    prompts = body.get("prompt")
    if isinstance(prompts, str):
        prompts = [prompts]
    if not isinstance(prompts, list) or not prompts or not all(isinstance(p, str) for p in prompts):
        raise Problem(400, "'prompt' must be a text or a list of texts", param="prompt")
    stream = is_true(body, "stream")
    if stream and len(prompts) > 1:
        raise Problem(400, "'prompt' must be one text with 'stream'", param="prompt")
    count = whole(body, "logprobs", 0, 5)
    return [
        Asked(
            model=name_of(body),
            peft=peft_of(body),
            request=ChatRequest(
                messages=[],
                raw=prompt,
                temperature=number(body, "temperature", 0, 2),
                top_p=number(body, "top_p", 1e-6, 1),
                max_tokens=whole(body, "max_tokens", 1, 1_000_000),
                seed=seed_of(body),
                logprobs=count,
                stop=stop_of(body.get("stop")),
            ),
            n=whole(body, "n", 1, MOST_CHOICES) or 1,
            stream=stream,
            usage_wanted=wants_usage(body),
            inputs=None,
            end_user=end_user_of(body),
            body=body,
        )
        for prompt in prompts
    ]


def text_choice(reply: ChatReply, place: int) -> dict[str, Json]:
    """Return one choice of a text completion; its likelihoods are in the older shape."""
    told = None
    if reply.logprobs is not None:
        starts = [0]
        for one in reply.logprobs:
            starts.append(starts[-1] + len(one["token"]))
        told = {
            "tokens": [one["token"] for one in reply.logprobs],
            "token_logprobs": [one["logprob"] for one in reply.logprobs],
            "top_logprobs": [
                {other["token"]: other["logprob"] for other in one["top_logprobs"]}
                for one in reply.logprobs
            ],
            "text_offset": starts[:-1],
        }
    return {
        "index": place,
        "text": reply.text,
        "logprobs": told,
        "finish_reason": reply.finish_reason,
    }


def text_completion(
    request_id: str, model: str, choices: list[dict[str, Json]], **others: Json
) -> dict[str, Json]:
    """Return the body of a text completion, whole or a piece of it."""
    return {
        "id": request_id,
        "object": "text_completion",
        "created": int(time.time()),
        "model": model,
        "choices": choices,
        **others,
    }


def chunk(request_id: str, model: str, choices: list[dict[str, Any]], **others: Json) -> bytes:
    """Return one event of a stream."""
    body = {
        "id": request_id,
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": model,
        "choices": choices,
        **others,
    }
    return event(orjson.dumps(body))


def event(data: bytes) -> bytes:
    """Return data as a server-sent event."""
    return b"data: " + data + b"\n\n"
