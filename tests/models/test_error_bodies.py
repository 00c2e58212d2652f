"""What a refused request's body says, whatever its shape."""

import json
from typing import Any

import pytest

from ratchet.models.protocol import ErrorDetails, parse_error_body

OPENAI = {"message": "no", "code": "bad", "param": "seed", "type": "invalid_request_error"}


@pytest.mark.parametrize(
    ("body", "details"),
    [
        (
            {"error": OPENAI},
            ErrorDetails(message="no", code="bad", param="seed", kind="invalid_request_error"),
        ),
        (
            {"type": "error", "error": {"type": "overloaded_error", "message": "no"}},
            ErrorDetails(message="no", kind="overloaded_error"),
        ),
        ({"error": {"message": "no", "code": 400}}, ErrorDetails(message="no", code="400")),
        ({"error": "no"}, ErrorDetails(message="no")),
        ({"message": "no", "code": "bad"}, ErrorDetails(message="no", code="bad")),
        ([{"error": {"message": "no"}}], ErrorDetails(message="no")),
        ({"detail": "no"}, ErrorDetails(message="no")),
        (
            {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "no"}]},
            ErrorDetails(message="no", param="seed"),
        ),
        (
            {"detail": [{"loc": ["body", "messages", 0, "role"], "msg": "no"}]},
            ErrorDetails(message="no", param="messages.0.role"),
        ),
        ({"error": None}, ErrorDetails(message='{"error": null}')),
        ({"error": {"message": None}}, ErrorDetails(message='{"error": {"message": null}}')),
        ({"error": {"message": {"a": 1}}}, ErrorDetails(message='{"a":1}')),
        ({"detail": [3]}, ErrorDetails(message="[3]")),
        (3, ErrorDetails(message="3")),
        ([], ErrorDetails(message="[]")),
    ],
)
def test_an_error_body_says_what_is_wrong(body: Any, details: ErrorDetails) -> None:
    """Message, code and parameter are found in every provider's shape; the body's beginning is shown where it has none."""
    content = json.dumps(body).encode()

    assert parse_error_body(content) == details
    assert parse_error_body(b"\xef\xbb\xbf" + content).code == details.code


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no message"),
        (b"<html>gone</html>", "<html>gone</html>"),
        (b"\xff\xfe", "\ufffd\ufffd"),
    ],
)
def test_a_body_that_is_not_json_is_shown(content: bytes, message: str) -> None:
    """What a proxy says in place of the provider is shown as it is."""
    assert parse_error_body(content) == ErrorDetails(message=message)


def test_a_long_message_is_shown_in_part() -> None:
    """A message has an end."""
    assert len(parse_error_body(json.dumps({"error": "x" * 9999}).encode()).message) == 500
