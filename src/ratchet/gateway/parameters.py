"""What becomes of each parameter of a request: for a model behind an endpoint, for one of this machine, for a release.

An endpoint gets what the client named, as it was named, whatever it is; its own errors come back. A model of this machine refuses by name
what would change its answer and it cannot do; what changes nothing is ignored, and the response's `x-ratchet-ignored` says so. A
release answers as its candidate was measured: of the parameters that shape an answer it takes `seed` and `logprobs` alone.
"""

from collections.abc import Mapping
from dataclasses import replace

from ratchet.core import Json
from ratchet.core.errors import did_you_mean
from ratchet.gateway.shapes import (
    Asked,
    Problem,
    plain_messages,
    schema_of,
    tool_choice_of,
    tools_of,
)
from ratchet.models import ChatModel, ChatRequest

__all__ = ["FATES", "request_for", "split_ignored"]

READ = frozenset(
    (
        *("model", "peft", "messages", "prompt", "inputs", "n", "stream", "stream_options"),
        *("temperature", "top_p", "max_tokens", "max_completion_tokens", "seed", "stop"),
        *("logprobs", "top_logprobs", "tools", "tool_choice", "response_format"),
    )
)
"""What every model is asked in a form of our own."""
IN_FIELDS = READ - {"response_format", "tool_choice"} | {"reasoning_effort"}
"""What goes to an endpoint by a field of the request; all else as it was named."""
IGNORED = frozenset(
    (
        *("metadata", "store", "service_tier", "user", "safety_identifier", "verbosity"),
        *("prompt_cache_key", "prompt_cache_retention", "prompt_cache_options", "prediction"),
        *("parallel_tool_calls", "reasoning_effort"),
    )
)
"""What a model of this machine answers without."""
HARMLESS: dict[str, tuple[Json, ...]] = {
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "modalities": (["text"],),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "audio": (),
    "web_search_options": (),
    "moderation": (),
    "suffix": ("",),
    "echo": (False,),
    "best_of": (1,),
}
"""What a model of this machine refuses, but for these values."""
RELEASE_READ = READ - {
    *("temperature", "top_p", "max_tokens", "max_completion_tokens", "stop"),
    *("tools", "tool_choice", "response_format"),
} | {"user"}
"""What a release takes; `user` keeps an end user with one candidate."""
IN_RESPONSES = frozenset(
    (
        *("metadata", "store", "service_tier", "user", "safety_identifier", "verbosity"),
        *("prompt_cache_key", "prompt_cache_retention", "parallel_tool_calls"),
    )
)
"""What Responses calls by the same name."""
FATES: Mapping[str, tuple[str, str, str]] = {
    **dict.fromkeys(READ, ("passed", "honoured", "honoured")),
    **dict.fromkeys(IGNORED, ("passed", "ignored", "ignored")),
    **dict.fromkeys(HARMLESS, ("passed", "refused", "ignored")),
    **dict.fromkeys(READ - RELEASE_READ, ("passed", "honoured", "ignored")),
    "user": ("passed", "ignored", "honoured"),
}
"""Of each parameter: for an endpoint that speaks chat completions, for a model of this machine, for a release."""


def split_ignored(body: Mapping[str, Json], *, is_release: bool) -> tuple[str, ...]:
    """Return the parameters that are named and change nothing.

    Raises: Problem for one that a model of this machine cannot do, or nobody knows.
    """
    taken = RELEASE_READ if is_release else READ
    ignored = []
    for name, value in body.items():
        if name in taken or value is None:
            continue
        if name not in FATES:
            known = sorted(FATES)
            raise Problem(
                400, f"unknown parameter {name!r}.{did_you_mean(name, known)}", param=name
            )
        if is_release or name in IGNORED:
            ignored.append(name)
        elif value not in HARMLESS[name]:
            raise Problem(
                400,
                f"{name!r} is not supported by a model of this machine; leave it out",
                param=name,
                code="unsupported_parameter",
            )
    return tuple(ignored)


def request_for(asked: Asked, model: ChatModel) -> tuple[ChatRequest, tuple[str, ...]]:
    """Return the request as a model that is no release takes it, and the parameters that are ignored.

    Raises: Problem for what it cannot do, by name.
    """
    if not hasattr(model, "protocol_of"):  # of this machine
        return _plain_request(asked), split_ignored(asked.body, is_release=False)
    body = asked.body
    own = {name: value for name, value in body.items() if name not in IN_FIELDS}
    request = replace(asked.request, tools=body.get("tools") or None)
    protocol = model.protocol_of(request)
    if protocol == "chat":
        return replace(request, extra=own), ()
    request = _plain_request(asked)
    known = IN_RESPONSES if protocol == "responses" else frozenset[str]()
    passed = {name: own[name] for name in own if name in known and own[name] is not None}
    rest = {name: own[name] for name in own if name not in known}
    return replace(request, extra=passed), split_ignored(rest, is_release=False)


def _plain_request(asked: Asked) -> ChatRequest:
    """Return a request in the words that every model takes: text, functions, a schema.

    Raises: Problem for anything else, by name.
    """
    if asked.request.raw is not None:
        return asked.request
    body = asked.body
    tools, choice = tools_of(body.get("tools")), body.get("tool_choice")
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        tools, choice = _allowed_tools(choice, tools)
    return replace(
        asked.request,
        messages=plain_messages(asked.request.messages),
        tools=None if choice == "none" else tools,
        tool_choice=tool_choice_of(choice, tools),
        json_schema=schema_of(body.get("response_format")),
    )


def _allowed_tools(
    choice: Mapping[str, Json], tools: list[dict[str, Json]] | None
) -> tuple[list[dict[str, Json]], Json]:
    """Return the tools of which a choice allows the use, and whether one must be used."""
    allowed = choice.get("allowed_tools")
    listed = allowed.get("tools") if isinstance(allowed, dict) else None
    mode = allowed.get("mode") if isinstance(allowed, dict) else None
    if not isinstance(listed, list) or mode not in ("auto", "required"):
        raise Problem(
            400,
            "'tool_choice.allowed_tools' must have a mode (auto or required) and a list of tools",
            param="tool_choice",
        )
    functions = [one.get("function") for one in listed if isinstance(one, dict)]
    names = {one.get("name") for one in functions if isinstance(one, dict)}
    found = [tool for tool in tools or () if tool["function"]["name"] in names]
    if len(found) < len(listed):
        raise Problem(
            400, "'tool_choice.allowed_tools' names what is not in 'tools'", param="tool_choice"
        )
    return found, mode
