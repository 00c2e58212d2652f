"""A refusal that names a parameter teaches what a model takes; any other refusal teaches nothing."""

import pytest

from ratchet.models import Capabilities
from ratchet.models.learning import learn_from_refusal
from ratchet.models.protocol import ErrorDetails, parse_error_body

BODY = {
    "model": "m",
    "messages": [],
    "temperature": 0,
    "top_p": 0.9,
    "max_tokens": 9,
    "seed": 1,
    "reasoning_effort": "minimal",
    "response_format": {"type": "json_schema", "json_schema": {"strict": True}},
    "tools": [],
    "logprobs": True,
    "top_logprobs": 2,
    "stream_options": {},
}


@pytest.mark.parametrize(
    ("details", "field", "value"),
    [
        (ErrorDetails(message="Unsupported value: only the default of 1 is supported.", param="temperature"), "temperature", False),
        (ErrorDetails(message="`temperature` is deprecated for this model."), "temperature", False),
        (ErrorDetails(message='Invalid JSON payload: unknown name "seed".'), "seed", False),
        (ErrorDetails(message="max_tokens is not supported here; use max_completion_tokens instead"), "max_tokens_name", "max_completion_tokens"),
        (ErrorDetails(message="top_p: Extra inputs are not permitted"), "top_p", False),
        (ErrorDetails(message="This model does not support logprobs."), "logprobs", False),
        (ErrorDetails(message="unsupported", param="top_logprobs", code="unsupported_parameter"), "logprobs", False),
        (ErrorDetails(message="stream_options is not supported"), "stream_usage", False),
        (ErrorDetails(message="This model does not support structured outputs by a JSON schema."), "structured", "schema"),
        (ErrorDetails(message="response_format of type json_schema is unavailable; only the default"), "structured", "schema"),
        (ErrorDetails(message="Function tools are not supported here with this model; use the Responses API.", param="tools"), "tools_protocol", "responses"),
    ],
)  # fmt: skip
def test_a_named_parameter_is_learnt(details: ErrorDetails, field: str, value: object) -> None:
    """Each provider's way of saying so sets the field that keeps the parameter from being sent again."""
    lesson = learn_from_refusal(details, BODY, Capabilities())

    assert lesson is not None
    assert (lesson.field, lesson.value) == (field, value)
    assert lesson.reason == details.message


def test_a_refused_effort_leaves_the_others() -> None:
    """Only the value that was refused goes, and all go where none is named."""
    one = learn_from_refusal(
        ErrorDetails(
            message="'minimal' is not supported with this model", param="reasoning_effort"
        ),
        BODY,
        Capabilities(),
    )
    whole = learn_from_refusal(
        ErrorDetails(message="Unrecognized request argument: reasoning_effort"),
        BODY,
        Capabilities(),
    )

    assert one is not None
    assert list(one.value) == ["none", "low", "medium", "high", "xhigh", "max"]
    assert whole is not None
    assert list(whole.value) == []


def test_forms_of_json_grow_weaker_one_by_one() -> None:
    """After a strict schema a plain one is tried, then any object, then nothing; after that there is nothing to learn."""
    details = ErrorDetails(message="response_format is not supported")
    bodies = [
        {"response_format": {"type": "json_schema", "json_schema": {"strict": True}}},
        {"response_format": {"type": "json_schema", "json_schema": {"strict": False}}},
        {"response_format": {"type": "json_object"}},
    ]

    lessons = [learn_from_refusal(details, body, Capabilities()) for body in bodies]

    assert [lesson.value for lesson in lessons if lesson] == ["schema", "object", "none"]


@pytest.mark.parametrize(
    "details",
    [
        ErrorDetails(message="The prompt is too long: max_tokens cannot be used beyond the context length."),
        ErrorDetails(message="temperature must be between 0 and 2"),
        ErrorDetails(message="the image is not supported", param="messages"),
        ErrorDetails(message="frequency_penalty is not supported"),
        ErrorDetails(message="not allowed", code="context_length_exceeded", param="max_tokens"),
    ],
)  # fmt: skip
def test_other_refusals_teach_nothing(details: ErrorDetails) -> None:
    """A value out of range, a prompt that is too long, and a parameter that was not sent are no lessons."""
    assert learn_from_refusal(details, BODY, Capabilities()) is None


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error": {"message": "no", "param": "x", "code": 7}}', "no"),
        (b'{"error": "flat"}', "flat"),
        (b'[{"error": {"message": "in a list"}}]', "in a list"),
        (b'{"object": "error", "message": "at the top"}', "at the top"),
        (b'{"detail": [{"msg": "wrong"}]}', "wrong"),
        (b'{"error": {"message": null}}', '{"error": {"message": null}}'),
        (b"<html>", "<html>"),
        (b"", "no message"),
    ],
)
def test_errors_of_every_shape_are_read(body: bytes, message: str) -> None:
    """What an error body says is found whatever its shape; where it says nothing its beginning stands for it."""
    assert parse_error_body(body).message == message
