"""Requests checked by the types of the official SDKs: the packages `openai` and `anthropic`, loaded where they are first used."""

import functools
from collections.abc import Iterable, Mapping
from typing import Any, get_type_hints

__all__ = ["parameters_of", "problems_by_type"]

MAX_PROBLEMS = 3
"""How many problems of a request an error names."""


def problems_by_type(protocol: str, body: dict[str, Any]) -> list[str]:
    """Return what the SDK's type of a request's parameters finds wrong with it; a parameter that it has not is wrong too."""
    from pydantic import ValidationError

    checked = {name: value for name, value in body.items() if name != "stream"}
    try:
        _drain(_validator(protocol).validate_python(checked, extra="forbid"))
    except ValidationError as error:
        return _problems_of(error.errors(include_url=False, include_input=False))
    return []


@functools.cache
def parameters_of(protocol: str) -> frozenset[str]:
    """Return the names of a protocol's parameters."""
    return frozenset(get_type_hints(_request_type(protocol)))


@functools.cache
def _validator(protocol: str) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(_request_type(protocol))


def _request_type(protocol: str) -> type:
    """Return the type of a protocol's parameters."""
    if protocol == "messages":
        from anthropic.types.message_create_params import MessageCreateParamsNonStreaming

        return MessageCreateParamsNonStreaming
    if protocol == "responses":
        from openai.types.responses.response_create_params import (
            ResponseCreateParamsNonStreaming,
        )

        return ResponseCreateParamsNonStreaming
    from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming

    return CompletionCreateParamsNonStreaming


def _drain(value: Any) -> None:
    """Go through a checked value: what a type calls iterable is checked as it is read, not before."""
    if isinstance(value, Mapping):
        for inner in value.values():
            _drain(inner)
    elif isinstance(value, Iterable) and not isinstance(value, str | bytes):
        for inner in value:
            _drain(inner)


def _problems_of(errors: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the problems, without those of the alternatives that were not meant (their `type` or `role` is another one)."""
    listed = list(errors)
    others = {
        tuple(error["loc"][:-1])
        for error in listed
        if error["type"] == "literal_error" and error["loc"][-1] in {"type", "role"}
    }
    meant = [
        error
        for error in listed
        if not any(tuple(error["loc"][:length]) in others for length in range(len(error["loc"])))
    ]
    shown = (meant or listed)[:MAX_PROBLEMS]
    return [f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in shown]
