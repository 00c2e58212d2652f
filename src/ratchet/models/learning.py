"""What an endpoint's refusal says of its model: a 400 that names a parameter is learned from, and the request is made anew."""

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from ratchet.core import Json
from ratchet.models.capabilities import Capabilities
from ratchet.models.protocol import ErrorDetails
from ratchet.store.capabilities import LearnedCapability

__all__ = ["learn_from_refusal", "merge_lesson"]

SIMPLE = {
    "temperature": "temperature",
    "top_p": "top_p",
    "seed": "seed",
    "logprobs": "logprobs",
    "top_logprobs": "logprobs",
    "stream_options": "stream_usage",
}
"""Parameters of a body, and the field of `Capabilities` that is False where one is refused."""
UNSUPPORTED = re.compile(
    r"unsupported|not support|n't support|unrecogni[sz]ed|not permitted|not allowed|deprecated|"
    r"(unknown|unexpected)\W+(\w+\W+)?(argument|parameter|field|name|key|option|property)|"
    r"only the default|not available|unavailable|not compatible|incompatible|cannot be (used|set|specified)|can't be|"
    r"may not be|must be (omitted|unset|1\b|removed)|extra (inputs|fields)|removed|no longer|"
    r"does not (accept|take|allow)|use (of )?\S+ instead|not enabled|only (supports|accepts|allowed)|not accepted|is disabled",
    re.IGNORECASE,
)
"""The words of a refusal; a 400 without any of them is about a value, or about something else."""
ABOUT_A_VALUE = re.compile(
    r"but got|above max|below min|out of range|greater than|less than|between|invalid type|expected",
    re.IGNORECASE,
)
"""The words of a refusal that is about a value, or about the shape of what was sent: another value would be taken."""
VALUE_CODES = ("_above_max_value", "_below_min_value", "invalid_type", "invalid_value_type")
TOO_LONG = re.compile(
    r"context[_ ](length|window)|maximum context|too (long|many tokens)", re.IGNORECASE
)
FORMS = ("strict", "schema", "object", "none")
WEAKER = dict(pairwise(FORMS))
"""What is tried where a way of forcing JSON is refused."""


def learn_from_refusal(
    details: ErrorDetails, body: Mapping[str, Json], capabilities: Capabilities
) -> LearnedCapability | None:
    """Return what a refusal says of the model, None where it says nothing of a parameter that was sent.

    Args:
        details: The endpoint's words.
        body: What was sent.
        capabilities: What was known before.
    """
    message = details.message
    if details.code == "context_length_exceeded" or TOO_LONG.search(message):
        return None
    if not _is_refusal(details):
        return None
    name = _parameter_of(details, body)
    found = _learned(name, message, body, capabilities) if name else None
    return None if found is None else LearnedCapability(found[0], found[1], message)


def _is_refusal(details: ErrorDetails) -> bool:
    """Return whether a message refuses a parameter, and not its value or something else."""
    code = details.code or ""
    if code in ("unsupported_parameter", "unsupported_value"):
        return True
    if code.endswith(VALUE_CODES) or ABOUT_A_VALUE.search(details.message):
        return False
    return bool(UNSUPPORTED.search(details.message))


def _parameter_of(details: ErrorDetails, body: Mapping[str, Json]) -> str | None:
    """Return the parameter of the body that a refusal is about: the one it names as such, else the first that its words name."""
    if details.param:
        root = re.split(r"[.\[]", details.param)[0]
        if root in body:
            return root
    places = {
        name: found.start()
        for name in body
        if name not in ("model", "messages", "input", "stream", "prompt")
        and (found := re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", details.message))
    }
    return min(places, key=lambda name: places[name]) if places else _told_in_words(details, body)


def _told_in_words(details: ErrorDetails, body: Mapping[str, Json]) -> str | None:
    """Return the parameter that a refusal means without writing its name."""
    words = {
        "response_format": r"json[_ ]schema|structured output|json mode",
        "text": r"json[_ ]schema|structured output|json mode",
        "output_config": r"structured output|output format",
        "tools": r"function call|tool",
        "reasoning_effort": r"reasoning effort|effort",
        "reasoning": r"reasoning effort|effort",
    }
    for name, pattern in words.items():
        if name in body and re.search(pattern, details.message, re.IGNORECASE):
            return name
    return None


def _learned(
    name: str, message: str, body: Mapping[str, Json], capabilities: Capabilities
) -> tuple[str, Any] | None:
    """Return the field of `Capabilities` that a refused parameter sets, and its value."""
    if name in ("max_tokens", "max_completion_tokens"):
        return "max_tokens_name", "max_completion_tokens" if name == "max_tokens" else "max_tokens"
    if name in SIMPLE:
        return SIMPLE[name], False
    if name == "output_config" and not re.search(r"format|schema|json", message, re.IGNORECASE):
        return _fewer_efforts(name, message, body, capabilities)
    if name in ("response_format", "text", "output_config"):
        return _weaker_form(body)
    if name in ("reasoning_effort", "reasoning"):
        return _fewer_efforts(name, message, body, capabilities)
    if name in ("tools", "tool_choice") and re.search(r"responses", message, re.IGNORECASE):
        return "tools_protocol", "responses"
    if name == "tools":
        return "tools", False
    return None


def _weaker_form(body: Mapping[str, Json]) -> tuple[str, Any] | None:
    """Return the next weaker way of forcing JSON than the one that was sent; None where none was."""
    sent = _form_in(body)
    weaker = WEAKER.get(sent) if sent else None
    return ("structured", weaker) if weaker else None


def _form_in(body: Mapping[str, Json]) -> str | None:
    """Return how a body of any of the protocols forces JSON."""
    holders = (body.get("response_format"), body.get("text"), body.get("output_config"))
    for holder in (each for each in holders if isinstance(each, Mapping)):
        form = holder.get("format", holder)
        if not isinstance(form, Mapping) or form.get("type") not in ("json_schema", "json_object"):
            continue
        if form["type"] == "json_object":
            return "object"
        inner = form.get("json_schema")
        strict = (inner if isinstance(inner, Mapping) else form).get("strict")
        return "schema" if strict is False else "strict"
    return None


def merge_lesson(capabilities: Capabilities, lesson: LearnedCapability) -> LearnedCapability:
    """Return a lesson put together with what other calls have learnt meanwhile: no call undoes what another one knows.

    Args:
        capabilities: What is known now; the lesson was drawn from what was known when its request was sent.
        lesson: What one refusal says.
    """
    known = getattr(capabilities, lesson.field)
    value = lesson.value
    if lesson.field == "structured" and known is not None:
        value = max(known, value, key=FORMS.index)
    if lesson.field == "efforts" and known is not None and value:
        value = [effort for effort in known if effort in value]
    return lesson._replace(value=value)


def _fewer_efforts(
    name: str, message: str, body: Mapping[str, Json], capabilities: Capabilities
) -> tuple[str, Any] | None:
    value = body[name].get("effort") if isinstance(body[name], Mapping) else body[name]
    known = capabilities.efforts or ("none", "minimal", "low", "medium", "high", "xhigh", "max")
    if value is not None and re.search(rf"\b{re.escape(str(value))}\b", message):
        return "efforts", [effort for effort in known if effort != value]
    return "efforts", []
