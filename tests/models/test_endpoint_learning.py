"""What is learnt from refusals holds for calls that are under way together, and nothing is learnt from what is no refusal."""

import asyncio
import json

import pytest

from ratchet.core.errors import AccessError, ParameterError, ReplyError
from ratchet.models import ChatReply, ChatRequest, EndpointModel
from ratchet.testing import Fault, ProviderServer, ScriptedServer

SCHEMA = {
    "type": "object",
    "properties": {"town": {"type": "string"}},
    "required": ["town"],
    "additionalProperties": False,
}
USAGE = {"prompt_tokens": 10, "completion_tokens": 40}


def asking(**parts: object) -> ChatRequest:
    return ChatRequest(messages=[{"role": "user", "content": "Peru, in JSON"}], **parts)


async def ask_at_once(model: EndpointModel, request: ChatRequest, count: int) -> list[object]:
    return await asyncio.gather(
        *(model.chat(request) for _ in range(count)), return_exceptions=True
    )


async def test_calls_under_way_learn_one_step_and_not_one_each() -> None:
    """Where any object is taken and a schema is not, twelve calls at once all end there, and none goes on to nothing."""
    with ProviderServer(lambda _: '{"town": "Lima"}', personality="deepseek-chat") as server:
        async with EndpointModel("p/new", "new", server.url, concurrency=12, retries=0) as model:
            replies = await ask_at_once(model, asking(json_schema=SCHEMA), 12)

            assert [getattr(reply, "text", reply) for reply in replies] == ['{"town": "Lima"}'] * 12
            assert model.capabilities.structured == "object"


async def test_a_refused_effort_leaves_the_others_to_all() -> None:
    """Two calls that are refused the same effort leave the efforts that were not refused."""
    with ProviderServer(lambda _: "Lima", personality="gpt-6.2-sol") as server:
        async with EndpointModel("p/new", "new", server.url, retries=0) as model:
            request = asking(effort="max", optional=frozenset(("effort",)))
            await ask_at_once(model, request, 3)

            reply = await model.chat(asking(effort="low"))

            assert reply.text == "Lima"
            assert "low" in (model.capabilities.efforts or ())


async def test_all_calls_get_room_to_think_once_one_needed_it() -> None:
    """A model that nobody knew to think is asked again by each call that it was cut off in, not by the first alone."""

    def thinks(body: dict[str, object]) -> ChatReply:
        from ratchet.core import Usage

        if body["max_tokens"] == 40:
            usage = Usage(prompt_tokens=5, completion_tokens=40, reasoning_tokens=40)
            return ChatReply(text="", finish_reason="length", usage=usage)
        return ChatReply(
            text="Lima", usage=Usage(prompt_tokens=5, completion_tokens=50, reasoning_tokens=45)
        )

    with ProviderServer(thinks) as server:
        async with EndpointModel("p/new", "new", server.url, concurrency=8, retries=0) as model:
            replies = await ask_at_once(model, asking(max_tokens=40), 8)

            assert [getattr(reply, "text", reply) for reply in replies] == ["Lima"] * 8
            assert replies[0].usage.completion_tokens == 90  # type: ignore[attr-defined]  # both were paid for


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("Invalid 'temperature': expected a value <= 1, but got 1.5 instead.", "decimal_above_max_value"),
        ("Invalid 'max_tokens': integer above maximum value, but got 9000 instead.", None),
        ("Invalid type for 'tools[0].function.name': expected a string, but got null instead.", "invalid_type"),
        ("Unexpected role 'tool' after role 'user'", None),
    ],
)  # fmt: skip
async def test_a_wrong_value_teaches_nothing(message: str, code: str | None) -> None:
    """It is the caller's error, told in the endpoint's words after one call, and no parameter is given up for it."""
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    body = json.dumps({"error": {"message": message, "code": code}}).encode()
    with ScriptedServer(lambda _: "fine", faults=[Fault(status=400, body=body)] * 9) as server:
        async with EndpointModel("p/new", "new", server.url, retries=0) as model:
            with pytest.raises(ReplyError, match=r"status 400") as caught:
                await model.chat(asking(temperature=1.5, max_tokens=9000, tools=tools))

            assert message in str(caught.value)
            assert server.calls == 1
            assert model.capabilities.sources == {}


async def test_what_changes_nothing_is_not_sent_again() -> None:
    """A model that takes no tools is asked once, and the error says so."""
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    body = json.dumps({"error": {"message": "tools are not supported by this model"}}).encode()
    with ScriptedServer(lambda _: "fine", faults=[Fault(status=400, body=body)] * 9) as server:
        async with EndpointModel("p/new", "new", server.url, retries=0) as model:
            with pytest.raises(ParameterError, match="does not take tools"):
                await model.chat(asking(tools=tools))

            assert server.calls == 1


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (403, "Your account was flagged for violating our usage policy; access is disabled"),
        (403, "Request blocked by the firewall"),
    ],
)
async def test_a_refusal_of_the_caller_is_no_refused_example(status: int, message: str) -> None:
    """It ends the run, and scores nothing."""
    body = json.dumps({"error": {"message": message}}).encode()
    with ScriptedServer(lambda _: "fine", faults=[Fault(status=status, body=body)]) as server:
        async with EndpointModel("p/m", "m", server.url, retries=0) as model:
            with pytest.raises((AccessError, ReplyError)):
                await model.chat(asking())


async def test_a_clients_limit_is_the_clients() -> None:
    """A limit that bounds thinking and answer together goes out as it is, though the model thinks."""
    with ProviderServer(lambda _: "Lima", personality="gpt-6.2-sol") as server:
        async with EndpointModel("p/gpt-6.2-sol", "gpt-6.2-sol", server.url, retries=0) as model:
            model.capabilities = model.capabilities.updated(
                "ratchet", reasoning=True, max_tokens_name="max_completion_tokens"
            )
            await model.chat(asking(max_tokens=100, limit_is_whole=True))

            assert server.bodies[-1]["max_completion_tokens"] == 100


async def test_a_named_parameter_that_a_protocol_lacks_is_named() -> None:
    """Before anything is sent: the client's error, and not the server's."""
    async with EndpointModel("p/m", "m", "http://127.0.0.1:1/v1", protocol="responses") as model:
        with pytest.raises(ParameterError, match="seed"):
            await model.chat(asking(seed=1))
        with pytest.raises(ParameterError, match="name max_tokens too"):
            model.shape(asking(thinking_tokens=2000))


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (json.dumps({"choices": [{"message": {"content": "whole"}}]}).encode(), (("Content-Type", "application/json"),)),
    ],
)  # fmt: skip
async def test_a_whole_reply_in_place_of_a_stream_is_read(
    body: bytes, headers: tuple[tuple[str, str], ...]
) -> None:
    """A server that does not know streams answers once, and its text comes in one piece."""
    with ScriptedServer(lambda _: "fine", faults=[Fault(body=body, headers=headers)]) as server:
        async with EndpointModel("p/m", "m", server.url, retries=3) as model:
            pieces = [piece async for piece in model.stream(asking())]

    assert pieces[0] == "whole"
    assert server.calls == 1


async def test_a_stream_without_an_end_is_paid_twice_at_most() -> None:
    """What cannot be read is asked for once more, and then told."""
    with ScriptedServer(lambda _: "fine", faults=[Fault(body=b"", headers=(("Content-Type", "text/event-stream"),))] * 9) as server:  # fmt: skip
        async with EndpointModel("p/m", "m", server.url, retries=5) as model:
            with pytest.raises(ReplyError):
                _ = [piece async for piece in model.stream(asking())]

    assert server.calls == 2
