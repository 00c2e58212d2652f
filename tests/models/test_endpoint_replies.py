"""What servers say beside the usual: each is read as what it means, a provider's failure is missing, and what was paid is counted."""

import gzip
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from ratchet.core.errors import AccessError, ReplyError
from ratchet.models import ChatReply, ChatRequest, EndpointModel, Price, ToolCall
from ratchet.testing import Fault, ScriptedServer

HELLO = ChatRequest(messages=[{"role": "user", "content": "hello there"}])
USAGE = {"prompt_tokens": 10, "completion_tokens": 5}
AT_ONCE = (("Retry-After", "0"),)


async def ask(*faults: Fault | None, **settings: object) -> tuple[ChatReply, int]:
    """Return the reply of a server that says these things first, and how often it was asked."""
    parts = {"retries": 3, "timeout_s": 20.0, **settings}
    with ScriptedServer(lambda _: "fine", faults=faults) as server:
        url = server.url + str(parts.pop("query", ""))
        async with EndpointModel("mock/m", "m", url, **parts) as model:
            return await model.chat(HELLO), server.calls


def body(message: dict[str, object], **choice: object) -> bytes:
    return json.dumps({"choices": [{"message": message, **choice}], "usage": USAGE}).encode()


def error(message: object, **parts: object) -> bytes:
    return json.dumps({"error": {"message": message, **parts}}).encode()


async def test_text_in_parts_is_joined_and_thinking_is_no_answer() -> None:
    """A content of parts is read as its text parts, as some providers send thinking and text side by side."""
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "4? no"}]},
        {"type": "text", "text": "five"},
        {"type": "text", "text": " units"},
    ]

    reply, calls = await ask(Fault(body=body({"content": parts})))

    assert (reply.text, calls) == ("five units", 1)


async def test_a_refusal_is_a_refusal() -> None:
    """A message without content that says why is handed on as that."""
    reply, _ = await ask(Fault(body=body({"content": None, "refusal": "I will not."})))

    assert (reply.text, reply.refusal) == ("", "I will not.")


@pytest.mark.parametrize(
    "failed",
    [
        {"choices": [{"message": {"content": "half"}, "finish_reason": "error"}]},
        {"choices": [{"message": {"content": ""}, "error": {"code": 502, "message": "upstream"}}]},
        {"error": {"code": 502, "message": "upstream failed"}},
    ],
)
async def test_a_failure_inside_a_good_status_is_asked_again(failed: dict[str, object]) -> None:
    """A provider that fails behind a status of 200 has not answered: the call is made again."""
    reply, calls = await ask(Fault(body=json.dumps(failed).encode()))

    assert (reply.text, calls) == ("fine", 2)


async def test_a_failure_that_stays_is_missing_and_counted() -> None:
    """It is an error with a kind of its own, and its tokens are on the account."""
    failed = json.dumps(
        {"choices": [{"finish_reason": "error", "message": {"content": ""}}], "usage": USAGE}
    ).encode()

    with pytest.raises(ReplyError) as caught:
        await ask(*[Fault(body=failed)] * 9, retries=1, price=Price("m", override=(1.0, 2.0)))

    assert caught.value.kind == "provider error"
    costs = [reply.usage.cost_usd for reply in caught.value.spent]  # type: ignore[attr-defined]
    assert costs == [pytest.approx(20e-6)] * 2


async def test_a_flagged_input_is_refused_and_no_other() -> None:
    """A 403 about the input is that example's refusal, and nobody is told to set a key."""
    said = error("Your input was flagged by moderation.", code=403)

    reply, calls = await ask(Fault(status=403, body=said))

    assert (reply.finish_reason, calls) == ("content_filter", 1)
    assert reply.refusal == "Your input was flagged by moderation."


async def test_a_403_about_the_key_is_about_the_key() -> None:
    """It ends the run with where to look."""
    with pytest.raises(AccessError, match="set key_env"):
        await ask(Fault(status=403, body=error("This API key may not use the model.")))


async def test_arguments_may_be_an_object() -> None:
    """Arguments that an endpoint writes as an object are the same JSON."""
    call = {"function": {"name": "pay", "arguments": {"n": 1}}}

    reply, calls = await ask(Fault(body=body({"content": None, "tool_calls": [call]})))

    assert (reply.tool_calls, calls) == ((ToolCall(name="pay", arguments='{"n":1}'),), 1)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=201, body=body({"content": "fine"})),
        Fault(body=b"\xef\xbb\xbf" + body({"content": "fine"})),
        Fault(
            body=gzip.compress(body({"content": "fine"})), headers=(("Content-Encoding", "gzip"),)
        ),
    ],
    ids=["created", "byte order mark", "gzip"],
)
async def test_a_good_reply_in_another_wrapping_is_read(fault: Fault) -> None:
    """Another good status, a mark of the byte order, compression that nobody asked for: one call, one reply."""
    reply, calls = await ask(fault)

    assert (reply.text, calls) == ("fine", 1)


async def test_a_redirect_says_where_to() -> None:
    """It is no reply, is not tried again, and names the address for base_url."""
    fault = Fault(status=307, body=b"", headers=(("Location", "https://other.example/v1"),))

    with pytest.raises(ReplyError, match=r"https://other.example/v1.*base_url"):
        await ask(fault)


@pytest.mark.parametrize("empty", [b'{"error": null}', b'{"error": {"message": null}}'])
async def test_an_error_without_words_shows_its_body(empty: bytes) -> None:
    """Where a body says nothing of the error, its beginning is shown, and never None."""
    with pytest.raises(ReplyError) as caught:
        await ask(Fault(status=418, body=empty))

    assert empty.decode() in str(caught.value)


async def test_a_date_to_come_again_is_waited_for() -> None:
    """Retry-After as a date in the past is at once; one beyond the deadline is not waited for, and not ignored."""
    past = format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True)
    late = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)

    reply, calls = await ask(Fault(status=429, headers=(("Retry-After", past),)))
    with pytest.raises(ReplyError) as caught:
        await ask(*[Fault(status=429, headers=(("Retry-After", late),))] * 9)

    assert (reply.text, calls) == ("fine", 2)
    assert caught.value.retry_after_s == pytest.approx(3600, abs=60)


async def test_a_base_url_keeps_its_path_and_query() -> None:
    """A query such as a version of the API stands behind the path of each call."""
    reply, _ = await ask(query="?api-version=2026-01-01")

    assert reply.text == "fine"


async def test_what_cannot_be_read_is_asked_for_once_more_alone() -> None:
    """A body that is paid for and cannot be read is asked for twice at most, and both are on the account."""
    odd = json.dumps({"choices": [{"message": {"content": 7}}], "usage": USAGE}).encode()

    with pytest.raises(ReplyError) as caught:
        await ask(*[Fault(body=odd)] * 9, price=Price("m", override=(1.0, 2.0)))

    assert caught.value.kind == "malformed"
    assert len(caught.value.spent) == 2


async def test_a_lost_reply_is_on_the_account_of_the_next() -> None:
    """Where the second try succeeds, the first one's tokens are part of what the reply took."""
    odd = json.dumps({"choices": [{"message": {"content": 7}}], "usage": USAGE}).encode()

    reply, calls = await ask(Fault(body=odd), price=Price("m", override=(1.0, 2.0)))

    assert (reply.text, calls) == ("fine", 2)
    assert reply.usage.prompt_tokens == 10 + 2
