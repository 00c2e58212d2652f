"""What every protocol promises: the same conversation, asked whole or streamed, gives the same reply."""

import orjson
import pytest
from tests.models.protocol_client import PROTOCOLS, ask, ask_streamed

from ratchet.core import Usage
from ratchet.core.errors import ParameterError
from ratchet.models.chat import ChatReply, ChatRequest, ToolCall
from ratchet.models.protocol import (
    ErrorDetails,
    MalformedReplyError,
    ProviderFault,
    WireOptions,
    WireProtocol,
)
from ratchet.models.sse import ServerEvent
from ratchet.testing import PERSONALITIES, ProviderServer

every_protocol = pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)
SCHEMA = {
    "type": "object",
    "properties": {"amount": {"type": "number"}, "to": {"type": "string"}},
    "required": ["amount", "to"],
    "additionalProperties": False,
}
TOOL = {
    "type": "function",
    "function": {"name": "pay", "description": "Pay a bill.", "parameters": SCHEMA},
}
HELLO = ChatRequest(messages=[{"role": "user", "content": "hello there"}])
USAGE = Usage(
    prompt_tokens=31,
    completion_tokens=17,
    cached_tokens=8,
    cache_write_tokens=4,
    reasoning_tokens=9,
)
PAY = ToolCall(name="pay", arguments='{"amount":3,"to":"Zoë"}')
REPLIES = {
    "text": ChatReply(text="General Kenobi,  you are\na bold one 🎈 ", usage=USAGE),
    "empty": ChatReply(text="", usage=USAGE),
    "call": ChatReply(tool_calls=(PAY,), finish_reason="tool_calls", usage=USAGE),
    "text and two calls": ChatReply(
        text="At once.",
        tool_calls=(PAY, ToolCall(name="pay", arguments='{"amount":4,"to":"Ann"}')),
        finish_reason="tool_calls",
        usage=USAGE,
    ),
    "call without arguments": ChatReply(
        tool_calls=(ToolCall(name="pay", arguments="{}"),), finish_reason="tool_calls", usage=USAGE
    ),
    "structured": ChatReply(text='{"amount": 3, "to": "Ann"}', usage=USAGE),
    "cut off": ChatReply(text="General Ken", finish_reason="length", usage=USAGE),
    "refusal": ChatReply(refusal="I must not.", finish_reason="content_filter", usage=USAGE),
}


@every_protocol
@pytest.mark.parametrize("name", REPLIES)
async def test_a_reply_is_the_same_over_every_protocol(protocol: WireProtocol, name: str) -> None:
    """Text, calls, refusal, end and usage come through each protocol as they are."""
    reply = REPLIES[name]
    with ProviderServer(lambda body: reply) as server:
        assert await ask(protocol, server, HELLO) == reply


@every_protocol
@pytest.mark.parametrize("name", REPLIES)
async def test_a_streamed_reply_is_the_whole_one(protocol: WireProtocol, name: str) -> None:
    """A stream's result is the reply that comes whole, and its pieces are the result's text and calls."""
    reply = REPLIES[name]
    with ProviderServer(lambda body: reply) as server:
        streamed = await ask_streamed(protocol, server, HELLO)

    assert streamed.reply == reply
    assert streamed.text == reply.text
    assert streamed.calls == reply.tool_calls
    assert len(streamed.pieces) > 1 or not (reply.text or reply.tool_calls)


@every_protocol
@pytest.mark.parametrize("stream", [False, True])
async def test_a_whole_conversation_is_taken(protocol: WireProtocol, stream: bool) -> None:
    """System, demonstrations with calls of the same ids, results, pictures and a schema are what the SDK's types allow."""
    call = {"id": "call_0", "type": "function", "function": {"name": "pay", "arguments": "{}"}}
    result = {"role": "tool", "tool_call_id": "call_0", "content": "done"}
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGVsbG8="}}
    request = ChatRequest(
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "pay Ann"},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            result,
            {"role": "user", "content": "again"},
            {
                "role": "assistant",
                "content": "Twice then.",
                "tool_calls": [call, {**call, "id": "call_1"}],
            },
            {**result, "tool_call_id": "call_1", "content": "two"},
            {**result, "content": [{"type": "text", "text": "one"}]},
            {"role": "system", "content": "Now look."},
            {"role": "user", "content": [{"type": "text", "text": "What is it?"}, picture]},
        ],
        tools=[TOOL],
        tool_choice="pay",
        json_schema=SCHEMA,
        max_tokens=70,
        temperature=0.5,
        top_p=0.9,
        effort="low",
    )
    send = ask_streamed if stream else ask
    with ProviderServer(lambda body: "a picture") as server:
        await send(protocol, server, request)

    assert server.refused == []


@every_protocol
async def test_what_is_unset_is_not_sent(protocol: WireProtocol) -> None:
    """A request that names nothing sends the model, the messages and what the protocol cannot do without."""
    body = protocol.encode("m", HELLO, WireOptions(), stream=False)

    needed = {
        "chat": {"model", "messages"},
        "responses": {"model", "input", "store"},
        "messages": {"model", "messages", "max_tokens"},
    }
    assert set(body) == needed[protocol.name]


@every_protocol
@pytest.mark.parametrize("field", ["seed", "stop", "logprobs"])
async def test_what_a_protocol_cannot_say_is_refused_or_left_out(
    protocol: WireProtocol, field: str
) -> None:
    """A parameter that the protocol has not is an error with its name, unless it only helps."""
    values = {"seed": 3, "stop": ("END",), "logprobs": 2}
    request = ChatRequest(messages=HELLO.messages, **{field: values[field]})
    bare = protocol.encode("m", HELLO, WireOptions(), stream=False)
    helping = ChatRequest(
        messages=HELLO.messages, optional=frozenset({field}), **{field: values[field]}
    )

    if field not in protocol.unsupported:
        assert protocol.encode("m", request, WireOptions(), stream=False) != bare
        return
    with pytest.raises(ParameterError, match=rf"{protocol.name!r} .*{field!r}"):
        protocol.encode("m", request, WireOptions(), stream=False)
    assert protocol.encode("m", helping, WireOptions(), stream=False) == bare


@every_protocol
@pytest.mark.parametrize("structured", ["strict", "schema", "object", "none"])
async def test_a_form_is_asked_for_as_the_model_takes_it(
    protocol: WireProtocol, structured: str
) -> None:
    """A schema goes along where the model follows schemas, and only there."""
    request = ChatRequest(messages=HELLO.messages, json_schema=SCHEMA)

    body = protocol.encode("m", request, WireOptions(structured=structured), stream=False)

    assert ("'amount'" in repr(body)) == (structured in {"strict", "schema"})
    is_bare = body.keys() == protocol.encode("m", HELLO, WireOptions(), stream=False).keys()
    has_no_object_form = protocol.name == "messages" and structured == "object"
    assert is_bare == (structured == "none" or has_no_object_form)


@every_protocol
async def test_an_open_schema_is_never_sent_as_a_strict_one(protocol: WireProtocol) -> None:
    """A schema that strict mode would refuse goes along without that promise, or not at all."""
    schema = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "object"}}}
    function = {"name": "note", "parameters": schema}
    request = ChatRequest(
        messages=HELLO.messages,
        json_schema=schema,
        tools=[{"type": "function", "function": function}],
    )
    with ProviderServer(lambda body: "{}") as server:
        await ask(protocol, server, request)

    assert server.refused == []


@every_protocol
async def test_own_parameters_go_through_beside_ours(protocol: WireProtocol) -> None:
    """`extra` adds to an object of the body, and takes the place of anything else."""
    forms = {"chat": "response_format", "responses": "text", "messages": "output_config"}
    name = forms[protocol.name]
    request = ChatRequest(
        messages=HELLO.messages, json_schema=SCHEMA, extra={name: {"own": 1}, "top_k": 5}
    )

    body = protocol.encode("m", request, WireOptions(), stream=False)

    assert body["top_k"] == 5
    assert body[name]["own"] == 1
    assert len(body[name]) > 1


@every_protocol
@pytest.mark.parametrize(
    "body", [None, [], "text", 3, {}, {"choices": []}, {"output": 3}, {"content": "text"}]
)
async def test_a_body_that_is_no_reply_is_malformed(protocol: WireProtocol, body: object) -> None:
    """Whatever a server sends in place of a reply is an error of one kind, never another exception."""
    with pytest.raises(MalformedReplyError):
        protocol.parse(body)


@every_protocol
async def test_what_a_malformed_reply_used_is_known(protocol: WireProtocol) -> None:
    """A reply that cannot be read was paid all the same."""
    usages = {
        "chat": {"prompt_tokens": 5, "completion_tokens": 2},
        "responses": {"input_tokens": 5, "output_tokens": 2},
        "messages": {"input_tokens": 5, "output_tokens": 2},
    }

    with pytest.raises(MalformedReplyError) as caught:
        protocol.parse({"usage": usages[protocol.name]})

    assert caught.value.usage == Usage(prompt_tokens=5, completion_tokens=2)


@every_protocol
async def test_a_failure_in_a_stream_is_the_providers(protocol: WireProtocol) -> None:
    """An error between the events of a stream is raised with the provider's words."""
    fault = ProviderFault(ErrorDetails(message="we are overloaded", code="busy"))
    with (
        ProviderServer(lambda body: fault) as server,
        pytest.raises(ProviderFault, match="we are overloaded"),
    ):
        await ask_streamed(protocol, server, HELLO)


@every_protocol
@pytest.mark.parametrize("value", [None, [], "x", 7, {}, {"a": 1}, [1], ["x"], [None], True])
async def test_no_event_breaks_a_reader(protocol: WireProtocol, value: object) -> None:
    """Events whose fields are of any other kind are passed over: a reader raises provider faults alone."""
    fields = (
        "choices",
        "delta",
        "item",
        "content_block",
        "message",
        "response",
        "usage",
        "index",
        "output_index",
        "arguments",
        "logprobs",
        "part",
    )
    kinds = (
        "response.output_item.added",
        "response.output_item.done",
        "response.output_text.delta",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.completed",
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    )
    parser = protocol.stream_parser()
    bodies: list[object] = [
        value,
        {"choices": [{"delta": value}]},
        {"choices": [{"logprobs": value}]},
    ]
    bodies += [{"choices": [{"delta": {name: value}}]} for name in ("tool_calls", "function_call")]
    bodies += [
        {
            "choices": [
                {"delta": {"tool_calls": [{"index": value, "id": value, "function": value}]}}
            ]
        },
        {
            "choices": [
                {"delta": {"tool_calls": [{"function": {"name": value, "arguments": value}}]}}
            ]
        },
    ]
    bodies += [{"type": kind, **dict.fromkeys(fields, value)} for kind in kinds]
    bodies += [
        {
            "type": "response.output_item.done",
            "item": {"type": "function_call", "arguments": value},
        },
        {
            "type": "response.completed",
            "response": {"output": [value, {"type": "message", "content": value}]},
        },
        {"type": "content_block_start", "content_block": {"type": "tool_use", "input": value}},
        {"type": "content_block_stop"},
    ]

    for body in bodies:
        list(parser.feed(ServerEvent("", orjson.dumps(body))))

    assert isinstance(parser.result(), ChatReply)


@pytest.mark.parametrize(
    ("personality", "protocol"),
    [
        (name, protocol)
        for name, personality in PERSONALITIES.items()
        for protocol in PROTOCOLS
        if protocol.name in personality.protocols
    ],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
async def test_every_family_answers_a_request_that_names_nothing(
    personality: str, protocol: WireProtocol
) -> None:
    """What is left unset is refused by nobody, and each family's way of answering is read, whole and streamed."""
    with ProviderServer(lambda body: "it is so", personality=personality) as server:
        reply = await ask(protocol, server, HELLO)
        streamed = await ask_streamed(protocol, server, HELLO)

    assert reply.text == streamed.text == streamed.reply.text == "it is so"
    assert reply.finish_reason == streamed.reply.finish_reason == "stop"
    assert reply.usage == streamed.reply.usage
