"""Remote endpoints over real HTTP: what is sent, what comes back, what is tried again, and what an error says."""

import asyncio
import json
import time
from collections.abc import Callable

import openai
import pytest

from ratchet.core.errors import AccessError, ModelError, ReplyError, UnknownModelError
from ratchet.models import CallPart, ChatReply, ChatRequest, EndpointModel, Price, ToolCall
from ratchet.testing import Fault, ScriptedServer

KEY = "sk-very-secret-0123456789"
AT_ONCE = (("Retry-After", "0"),)
HELLO = ChatRequest(messages=[{"role": "user", "content": "hello there"}])
TOOL = {"type": "function", "function": {"name": "pay", "parameters": {"type": "object"}}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


async def ask(
    server: ScriptedServer, request: ChatRequest = HELLO, *, url: str = "", **settings: object
) -> ChatReply:
    parts = {"retries": 2, "timeout_s": 20.0, **settings}
    async with EndpointModel("mock/m", "m", url or server.url, **parts) as model:
        return await model.chat(request)


def echo(body: dict[str, object]) -> str:
    return "general kenobi you are"


async def test_a_reply_has_text_usage_cost_and_latency() -> None:
    """Text, tokens as the endpoint counts them, their price, and the time of the call come back."""
    with ScriptedServer(echo) as server:
        reply = await ask(server, price=Price("m", (1e6, 1e7)))

    assert reply.text == "general kenobi you are"
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (2, 4)
    assert reply.usage.cost_usd == 42
    assert reply.finish_reason == "stop"
    assert reply.latency_s > 0


async def test_an_unknown_price_is_no_price() -> None:
    """Where no price is known the cost is None, never zero."""
    with ScriptedServer(echo) as server:
        reply = await ask(server)

    assert reply.usage.cost_usd is None


async def test_what_is_sent_is_what_was_asked() -> None:
    """Messages, tools, schema and decoding go out in the words of the OpenAI chat format, and nothing beside them."""
    request = ChatRequest(
        messages=[{"role": "user", "content": "ünïcode 🎈"}],
        tools=[TOOL],
        tool_choice="pay",
        json_schema=SCHEMA,
        temperature=0.5,
        top_p=0.9,
        max_tokens=7,
        seed=3,
    )
    with ScriptedServer(echo) as server:
        await ask(server, request)

        await ask(server)

    form = {"name": "answer", "strict": False, "schema": SCHEMA}  # it leaves objects open
    assert server.bodies[0] == {
        "model": "m",
        "messages": request.messages,
        "tools": [TOOL],
        "tool_choice": {"type": "function", "function": {"name": "pay"}},
        "response_format": {"type": "json_schema", "json_schema": form},
        "temperature": 0.5,
        "top_p": 0.9,
        "max_tokens": 7,
        "seed": 3,
    }
    assert set(server.bodies[1]) == {"model", "messages"}


async def test_tool_calls_come_back_as_the_model_wrote_them() -> None:
    """A tool call's name and its arguments as JSON text are handed on."""
    call = {"id": "1", "type": "function", "function": {"name": "pay", "arguments": '{"n": 1}'}}
    said = {"role": "assistant", "content": None, "tool_calls": [call]}
    with ScriptedServer(lambda _body: said) as server:
        reply = await ask(server)

    assert reply.tool_calls == (ToolCall(name="pay", arguments='{"n": 1}'),)
    assert (reply.text, reply.finish_reason) == ("", "tool_calls")


@pytest.mark.parametrize(
    "fault",
    [
        *(Fault(status=s, headers=AT_ONCE) for s in (408, 409, 429, 500, 502, 503, 504, 529)),
        Fault(drop=True),
        Fault(truncate=True),
        Fault(body=b"<html>busy</html>"),
        Fault(body=b'{"choices": []}'),
        Fault(body=b'{"choices": [{"message": {"content": 7}}]}'),
        Fault(body=b'{"choices": [{"message": {"tool_calls": [{"function": {"name": 7}}]}}]}'),
    ],
    ids=lambda fault: str(fault.status if fault.status != 200 else fault.body or fault)[:40],
)
async def test_what_may_pass_is_tried_again(fault: Fault) -> None:
    """A status that may pass, a dropped connection, and a body that is cut off or no completion are tried once more."""
    with ScriptedServer(echo, faults=[fault]) as server:
        reply = await ask(server)

    assert reply.text == "general kenobi you are"
    assert server.calls == 2


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(status=429, headers=AT_ONCE), "rate limit"),
        (Fault(status=503, headers=AT_ONCE), "status 503"),
        (Fault(truncate=True), "truncated"),
        (Fault(body=b"not json"), "malformed"),
        (Fault(drop=True), "connection"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_retries_end_with_the_last_error(fault: Fault, kind: str) -> None:
    """When each try fails, the error names the model and says in one word how, after exactly 1 + retries calls."""
    with (
        ScriptedServer(echo, faults=[fault] * 9) as server,
        pytest.raises(ReplyError, match=r"mock/m") as caught,
    ):
        await ask(server, retries=1)

    assert caught.value.kind == kind
    assert server.calls == 2


async def test_a_pause_that_the_server_asks_for_is_kept() -> None:
    """No retry comes before Retry-After has passed."""
    with ScriptedServer(
        echo, faults=[Fault(status=429, headers=(("Retry-After", "0.7"),))]
    ) as server:
        started = time.monotonic()

        await ask(server)

    assert time.monotonic() - started >= 0.7


async def test_a_pause_beyond_the_deadline_is_not_waited_for() -> None:
    """A Retry-After that ends after the deadline ends the call at once, with the reason."""
    with (
        ScriptedServer(
            echo, faults=[Fault(status=429, headers=(("Retry-After", "600"),))]
        ) as server,
        pytest.raises(ReplyError, match="429"),
    ):
        await ask(server, timeout_s=5.0)

    assert server.calls == 1


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_a_request_that_is_wrong_is_not_sent_again(status: int) -> None:
    """A refusal that no retry would mend is raised after one call, with the endpoint's words."""
    fault = Fault(status=status, body=b'{"error": {"message": "context length is 9"}}')
    with (
        ScriptedServer(echo, faults=[fault]) as server,
        pytest.raises(ReplyError, match="context length is 9") as caught,
    ):
        await ask(server)

    assert caught.value.kind == f"status {status}"
    assert server.calls == 1


async def test_the_key_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable that the endpoint names holds the key that is sent."""
    monkeypatch.setenv("MOCK_KEY", KEY)
    with ScriptedServer(echo, key=KEY) as server:
        reply = await ask(server, key_env="MOCK_KEY")

    assert reply.text


async def test_a_refused_key_is_an_access_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A 401 names the variable to look at, after one call."""
    monkeypatch.setenv("MOCK_KEY", "wrong")
    with (
        ScriptedServer(echo, key=KEY) as server,
        pytest.raises(AccessError, match="the key in MOCK_KEY was refused"),
    ):
        await ask(server, key_env="MOCK_KEY")

    assert server.calls == 1


async def test_an_endpoint_that_wants_a_key_says_where_to_name_one() -> None:
    """A 401 without a key says which setting is missing."""
    with (
        ScriptedServer(echo, key=KEY) as server,
        pytest.raises(AccessError, match=r"set key_env in ratchet\.toml"),
    ):
        await ask(server)


async def test_a_key_that_is_missing_is_said_before_any_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without the variable nothing is sent, and the message shows how to set it."""
    monkeypatch.delenv("MOCK_KEY", raising=False)
    with ScriptedServer(echo) as server, pytest.raises(AccessError, match="export MOCK_KEY="):
        await ask(server, key_env="MOCK_KEY")

    assert server.calls == 0


@pytest.mark.parametrize(
    "fault",
    [
        *(
            Fault(status=s, body=json.dumps({"error": {"message": f"bad key {KEY}"}}).encode())
            for s in (400, 401, 403, 404, 500)
        ),
        Fault(status=500, body=f"raw {KEY}".encode()),
        Fault(body=f"no json {KEY}".encode()),
    ],
    ids=lambda fault: f"{fault.status}-{len(fault.body)}",
)
async def test_no_error_carries_the_key(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the endpoint writes the key into its own message, ours leaves it out."""
    monkeypatch.setenv("MOCK_KEY", KEY)
    with ScriptedServer(echo, faults=[fault] * 9) as server, pytest.raises(ModelError) as caught:
        await ask(server, key_env="MOCK_KEY", retries=0)

    assert KEY not in everything(caught.value)


def everything(error: BaseException | None) -> str:
    """Return the words of an error and of all its causes."""
    return "" if error is None else f"{error!r} {error} {everything(error.__cause__)}"


async def test_a_key_that_no_header_can_hold_is_an_access_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A key with a line break in it, as pasted from a file, is refused by name and not shown."""
    monkeypatch.setenv("MOCK_KEY", f"{KEY}\nmore")
    with ScriptedServer(echo) as server, pytest.raises(AccessError, match="MOCK_KEY") as caught:
        await ask(server, key_env="MOCK_KEY")

    assert KEY not in everything(caught.value)
    assert server.calls == 0


async def test_an_unknown_model_is_no_other_model() -> None:
    """A 404 names the model and the address."""
    with (
        ScriptedServer(echo, models=["other"]) as server,
        pytest.raises(UnknownModelError, match=r"does not know the model 'm' \(404\)"),
    ):
        await ask(server)

    assert server.calls == 1


async def test_a_dead_port_is_a_connection_error() -> None:
    """Where nothing listens, the error says which address and what to check."""
    with ScriptedServer(echo) as server:
        url = server.url

    with pytest.raises(ReplyError, match=r"does not answer.*base_url in ratchet\.toml") as caught:
        await ask(server, url=url, retries=1)

    assert caught.value.kind == "connection"


async def test_a_call_ends_at_its_deadline() -> None:
    """A reply that takes longer than timeout_s is given up, with the setting to raise."""
    with (
        ScriptedServer(echo, delay_s=30) as server,
        pytest.raises(ReplyError, match=r"within 0\.2 s; raise timeout_s") as caught,
    ):
        await ask(server, timeout_s=0.2)

    assert caught.value.kind == "timeout"
    assert server.calls == 1


async def test_no_more_calls_are_under_way_than_allowed() -> None:
    """Twelve calls of 50 ms, three at once, take at least four times 50 ms."""
    with ScriptedServer(echo, delay_s=0.05) as server:
        async with EndpointModel("mock/m", "m", server.url, concurrency=3) as model:
            started = time.monotonic()

            await asyncio.gather(*(model.chat(HELLO) for _ in range(12)))

    assert time.monotonic() - started >= 4 * 0.05
    assert server.calls == 12


async def test_a_rate_limit_is_ridden_out() -> None:
    """Calls beyond the server's limit wait as told and all come back."""
    with ScriptedServer(echo, limit=5) as server:
        async with EndpointModel("mock/m", "m", server.url, concurrency=8) as model:
            replies = await asyncio.gather(*(model.chat(HELLO) for _ in range(8)))

    assert len(replies) == 8
    assert server.calls > 8


def test_tokens_are_estimated_and_said_to_be() -> None:
    """The endpoint's tokenizer is unknown: the count grows with the text and is marked as an estimate."""
    model = EndpointModel("mock/m", "m", "http://127.0.0.1:1/v1")

    short, is_exact = model.count_tokens(HELLO)
    long, _ = model.count_tokens(ChatRequest(messages=[{"role": "user", "content": "x" * 4000}]))

    assert not is_exact
    assert 0 < short < 1000 <= long


def test_the_scripted_server_answers_the_official_client() -> None:
    """The wire is the one that the openai SDK speaks: text, usage, and its own typed errors."""
    answer: Callable[[dict[str, object]], str] = echo
    with (
        ScriptedServer(answer, key=KEY, models=["m"]) as server,
        openai.OpenAI(base_url=server.url, api_key=KEY, max_retries=0) as client,
    ):
        done = client.chat.completions.create(model="m", messages=HELLO.messages)

        with pytest.raises(openai.NotFoundError, match="does not exist"):
            client.chat.completions.create(model="x", messages=HELLO.messages)

    assert done.choices[0].message.content == "general kenobi you are"
    assert done.usage
    assert done.usage.total_tokens == 6


SSE = b"""data: {"choices":[{"delta":{"role":"assistant","content":""}}]}

data: {"choices":[{"delta":{"content":"blue "}}]}

: a comment

data: {"choices":[{"delta":{"content":"whale"}}]}

data: {"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"take","arguments":"{\\"a\\""}}]}}]}

data: {"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]}}]}

data: {"choices":[{"delta":{},"finish_reason":"stop"}]}

data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":5}}

data: [DONE]

"""


async def pieces_of(body: bytes, *before: Fault) -> tuple[list[str | CallPart], ChatReply]:
    """Return what an endpoint's stream brings."""
    faults = [*before, Fault(status=200, body=body)]
    with ScriptedServer(lambda _: "unused", faults=faults) as server:
        async with EndpointModel("up/m", "m", server.url, retries=2) as model:
            request = ChatRequest(messages=[{"role": "user", "content": "hi"}])
            pieces = [piece async for piece in model.stream(request)]
    assert all(isinstance(p, str | CallPart) for p in pieces[:-1])
    return pieces[:-1], pieces[-1]


async def test_a_stream_brings_text_calls_and_usage() -> None:
    """Text and calls as they come, calls put together at the end, the usage of the last event."""
    pieces, reply = await pieces_of(SSE)
    assert [p for p in pieces if isinstance(p, str)] == ["blue ", "whale"]
    assert [p for p in pieces if isinstance(p, CallPart)] == [
        CallPart(place=0, name="take", arguments='{"a"'),
        CallPart(place=0, arguments=":1}"),
    ]
    assert reply.text == "blue whale"
    assert (reply.tool_calls[0].name, reply.tool_calls[0].arguments) == ("take", '{"a":1}')
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (7, 5)


async def test_a_stream_is_tried_again_only_before_it_begins() -> None:
    """An error at the start is tried again; a stream that breaks off is an error, as half of it is out already."""
    pieces, _ = await pieces_of(SSE, Fault(status=503))
    assert pieces[0] == "blue "
    with pytest.raises(ReplyError, match="cut off"):
        await pieces_of(SSE[:120])
