"""Stand-ins for providers: the official SDKs understand them, and each family refuses what the real one refuses."""

import json
from typing import Any

import anthropic
import openai
import pytest
from tests.models.protocol_client import PROTOCOLS, ask, post

from ratchet.core import Usage
from ratchet.core.errors import UsageError
from ratchet.models.chat import ChatReply, ChatRequest, ToolCall
from ratchet.models.protocol import (
    ErrorDetails,
    ProviderFault,
    WireOptions,
    WireProtocol,
    parse_error_body,
)
from ratchet.testing import FLAGGED, PERSONALITIES, ProviderServer

CHAT, RESPONSES, MESSAGES = PROTOCOLS
HELLO: list[dict[str, Any]] = [{"role": "user", "content": "hello there"}]
USAGE = Usage(prompt_tokens=31, completion_tokens=17, cached_tokens=8, reasoning_tokens=9)
REPLY = ChatReply(
    text="At once, general.",
    tool_calls=(
        ToolCall(name="pay", arguments='{"amount":3}'),
        ToolCall(name="pay", arguments='{"amount":4}'),
    ),
    finish_reason="tool_calls",
    usage=USAGE,
)
CUT = ChatReply(text="At once", finish_reason="length", usage=USAGE)
PARAMETERS = {
    "type": "object",
    "properties": {"amount": {"type": "integer"}},
    "required": ["amount"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "function": {"name": "pay", "parameters": PARAMETERS}}


def openai_client(server: ProviderServer) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=server.url, api_key="key", max_retries=0)


def anthropic_client(server: ProviderServer) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(base_url=server.root, api_key="key", max_retries=0)


async def test_the_openai_sdk_reads_a_chat() -> None:
    """Chat completions, whole and streamed, come out of OpenAI's client as they were scripted."""
    with ProviderServer(lambda body: REPLY, key="key") as server:
        async with openai_client(server) as client:
            whole = await client.chat.completions.create(model="m", messages=HELLO)
            stream = await client.chat.completions.create(
                model="m", messages=HELLO, stream=True, stream_options={"include_usage": True}
            )
            chunks = [chunk async for chunk in stream]

    message = whole.choices[0].message
    assert message.content == REPLY.text
    assert [call.function.arguments for call in message.tool_calls] == [
        '{"amount":3}',
        '{"amount":4}',
    ]
    assert whole.usage.completion_tokens_details.reasoning_tokens == 9
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == REPLY.text
    assert chunks[-1].usage.total_tokens == 48


@pytest.mark.parametrize(("reply", "status"), [(REPLY, "completed"), (CUT, "incomplete")])
async def test_the_openai_sdk_reads_a_response(reply: ChatReply, status: str) -> None:
    """A response, whole and streamed, comes out of OpenAI's client as it was scripted."""
    with ProviderServer(lambda body: reply, key="key") as server:
        async with openai_client(server) as client:
            whole = await client.responses.create(model="m", input="hello there")
            stream = await client.responses.create(model="m", input="hello there", stream=True)
            events = [event async for event in stream]

    assert whole.output_text == reply.text
    assert whole.status == status
    calls = [item.arguments for item in whole.output if item.type == "function_call"]
    assert calls == [call.arguments for call in reply.tool_calls]
    assert whole.usage.output_tokens_details.reasoning_tokens == 9
    assert events[-1].response == whole
    assert [event.sequence_number for event in events] == list(range(len(events)))
    texts = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(texts) == reply.text
    kind = "response.function_call_arguments.delta"
    arguments = "".join(event.delta for event in events if event.type == kind)
    assert arguments == "".join(call.arguments for call in reply.tool_calls)


@pytest.mark.parametrize(("reply", "reason"), [(REPLY, "tool_use"), (CUT, "max_tokens")])
async def test_the_anthropic_sdk_reads_a_message(reply: ChatReply, reason: str) -> None:
    """A message, whole and streamed, comes out of Anthropic's client as it was scripted."""
    with ProviderServer(lambda body: reply, key="key") as server:
        async with anthropic_client(server) as client:
            params = {"model": "m", "max_tokens": 99, "messages": HELLO}
            whole = await client.messages.create(**params)
            events = [event async for event in await client.messages.create(**params, stream=True)]
            async with client.messages.stream(**params) as stream:
                put_together = await stream.get_final_message()

    assert [block.text for block in whole.content if block.type == "text"] == [reply.text]
    inputs = [block.input for block in whole.content if block.type == "tool_use"]
    assert inputs == [json.loads(call.arguments) for call in reply.tool_calls]
    assert whole.stop_reason == put_together.stop_reason == reason
    assert whole.usage.cache_read_input_tokens == 8
    assert whole.usage.output_tokens_details.thinking_tokens == 9
    assert events[-1].type == "message_stop"
    blocks = [block.model_dump(exclude={"parsed_output"}) for block in put_together.content]
    assert blocks == [block.model_dump() for block in whole.content]


async def test_the_sdks_raise_what_a_provider_says() -> None:
    """A refused request is the SDK's own error, with the parameter that is wrong."""
    with ProviderServer(lambda body: "never", personality="gpt-6") as server:
        async with openai_client(server) as client:
            with pytest.raises(openai.BadRequestError) as chat:
                await client.chat.completions.create(model="m", messages=HELLO, temperature=0)
            with pytest.raises(openai.BadRequestError) as response:
                await client.responses.create(model="m", input="x", temperature=0)
    with ProviderServer(lambda body: "never", personality="claude-sonnet-5") as server:
        async with anthropic_client(server) as client:
            with pytest.raises(anthropic.BadRequestError, match="`temperature`") as message:
                await client.messages.create(
                    model="m", max_tokens=9, messages=HELLO, extra_body={"temperature": 0}
                )

    assert chat.value.param == response.value.param == "temperature"
    assert chat.value.code == "unsupported_parameter"
    assert message.value.body["error"]["type"] == "invalid_request_error"


def body_with(protocol: WireProtocol, **fields: Any) -> dict[str, Any]:
    """Return the body of a request with a few fields."""
    return protocol.encode(
        "m",
        ChatRequest(messages=HELLO, **fields),
        WireOptions(max_tokens_name="max_completion_tokens"),
        stream=False,
    )


CASES: list[tuple[str, WireProtocol, dict[str, Any], str | None]] = [
    # family, protocol, what is asked, the parameter that is refused
    ("gpt-5.6", CHAT, {"temperature": 1}, None),
    ("gpt-5.6", CHAT, {"temperature": 0.5}, "temperature"),
    ("gpt-5.6", RESPONSES, {"temperature": 0.5}, "temperature"),
    ("gpt-5.6", CHAT, {"tools": [TOOL]}, "tools"),
    ("gpt-5.6", CHAT, {"tools": [TOOL], "effort": "none"}, None),
    ("gpt-5.6", RESPONSES, {"tools": [TOOL]}, None),
    ("gpt-5.6", CHAT, {"extra": {"max_tokens": 9}}, "max_tokens"),
    ("gpt-5.6", CHAT, {"max_tokens": 99}, None),
    ("gpt-6", CHAT, {"temperature": 1}, "temperature"),
    ("gpt-6", CHAT, {"top_p": 0.9}, "top_p"),
    ("gpt-6", CHAT, {"temperature": 0.3, "top_p": 0.9, "effort": "none"}, None),
    ("gpt-6", RESPONSES, {"temperature": 0.3, "effort": "none"}, None),
    ("gpt-6", RESPONSES, {"temperature": 0.3, "effort": "low"}, "temperature"),
    ("gpt-6", CHAT, {"logprobs": 0}, "logprobs"),
    ("gpt-6", CHAT, {"logprobs": 3, "effort": "none"}, None),
    ("gpt-6", CHAT, {"effort": "minimal"}, "reasoning_effort"),
    ("gpt-6", RESPONSES, {"effort": "minimal"}, "reasoning.effort"),
    ("gpt-6-sol", CHAT, {"tools": [TOOL]}, "tools"),
    ("gpt-6-sol", CHAT, {"tools": [TOOL], "effort": "none"}, None),
    ("gpt-6-astra", CHAT, {"tools": [TOOL], "effort": "none"}, "tools"),
    ("gpt-6-astra", RESPONSES, {"tools": [TOOL]}, None),
    ("gpt-6-astra", RESPONSES, {"logprobs": 2}, "top_logprobs"),
    ("gpt-6-astra", RESPONSES, {"logprobs": 0}, "include"),
    ("gpt-6.1-sol", CHAT, {"tools": [TOOL]}, "tools"),
    ("gpt-6.1-sol", RESPONSES, {"tools": [TOOL], "effort": "high"}, None),
    ("gpt-6.2-sol", CHAT, {"temperature": 1, "top_p": 1}, None),
    ("gpt-6.2-sol", CHAT, {"temperature": 0}, "temperature"),
    ("gpt-6.2-sol", CHAT, {"top_p": 0.5}, "top_p"),
    ("gpt-6.2-sol", CHAT, {"extra": {"presence_penalty": 0.5}}, "presence_penalty"),
    ("gpt-6.2-sol", CHAT, {"extra": {"verbosity": "low"}}, None),
    ("gpt-6.2-sol", RESPONSES, {"extra": {"verbosity": "low"}}, None),
    ("gpt-6.2-sol", CHAT, {"effort": "none"}, "reasoning_effort"),
    ("gpt-6.2-sol", CHAT, {"effort": "max"}, "reasoning_effort"),
    ("gpt-6.2-sol", CHAT, {"effort": "xhigh"}, None),
    ("claude-opus-4-7", MESSAGES, {"temperature": 1}, "temperature"),
    ("claude-opus-4-7", CHAT, {"temperature": 0}, "temperature"),
    ("claude-opus-4-7", MESSAGES, {"effort": "none"}, None),
    ("claude-opus-4-7", MESSAGES, {"thinking_tokens": 2000}, None),
    ("claude-sonnet-5", MESSAGES, {"effort": "xhigh", "tools": [TOOL], "tool_choice": "pay"}, None),
    ("claude-sonnet-5", MESSAGES, {"json_schema": PARAMETERS, "stop": ("END",)}, None),
    ("deepseek-chat", CHAT, {"json_schema": PARAMETERS}, "response_format.type"),
    ("deepseek-chat", CHAT, {"temperature": 0, "seed": 3}, None),
    ("azure-gpt", CHAT, {"temperature": 0, "seed": 3, "json_schema": PARAMETERS}, None),
    ("mistral-magistral", CHAT, {"seed": 3}, "seed"),
    ("mistral-magistral", CHAT, {"temperature": 0.7}, None),
    ("openrouter-x", CHAT, {"extra": {"provider": {"order": ["a"]}}}, None),
    ("vllm", CHAT, {"extra": {"guided_regex": "a+"}, "seed": 3}, None),
    ("gpt-4.1", CHAT, {"extra": {"guided_regex": "a+"}}, "guided_regex"),
]


@pytest.mark.parametrize(
    ("family", "protocol", "fields", "param"),
    CASES,
    ids=[f"{family} {protocol.name} {fields}"[:70] for family, protocol, fields, _ in CASES],
)
async def test_a_family_refuses_what_the_real_one_refuses(
    family: str, protocol: WireProtocol, fields: dict[str, Any], param: str | None
) -> None:
    """What is known of a family decides which parameter is answered 400, and its own error names it."""
    with ProviderServer(lambda body: "yes", personality=family) as server:
        status, content = await post(protocol, server, body_with(protocol, **fields))

    assert (status == 200) == (param is None), content
    assert server.calls == 1
    if param is not None:
        assert [refusal.details.param for refusal in server.refused] == [param]
        error = parse_error_body(content)
        assert error.param == param or param in error.message


async def test_a_strict_schema_must_be_strict() -> None:
    """OpenAI's families refuse a schema that claims to be strict and is open."""
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    form = {"type": "json_schema", "json_schema": {"name": "a", "strict": True, "schema": schema}}
    flat = {"type": "json_schema", "name": "a", "strict": True, "schema": schema}
    with ProviderServer(lambda body: "{}", personality="gpt-6") as server:
        chat = await post(CHAT, server, body_with(CHAT) | {"response_format": form})
        response = await post(RESPONSES, server, body_with(RESPONSES) | {"text": {"format": flat}})
        loose = form | {"json_schema": {**form["json_schema"], "strict": False}}
        taken = await post(CHAT, server, body_with(CHAT) | {"response_format": loose})

    assert (chat[0], response[0], taken[0]) == (400, 400, 200)
    assert [refusal.details.param for refusal in server.refused] == [
        "response_format",
        "text.format.schema",
    ]


async def test_thinking_counts_against_the_limit() -> None:
    """A model that thinks is cut off before its answer where the limit is below its thinking."""
    with ProviderServer(lambda body: "one two three", personality="gpt-6.2-sol") as server:
        options = WireOptions(max_tokens_name="max_completion_tokens")
        cut = await ask(CHAT, server, ChatRequest(messages=HELLO, max_tokens=30), options)
        whole = await ask(CHAT, server, ChatRequest(messages=HELLO, max_tokens=90), options)

    assert (cut.text, cut.finish_reason, cut.usage.completion_tokens) == ("", "length", 30)
    assert (whole.text, whole.finish_reason) == ("one two three", "stop")
    assert (whole.usage.reasoning_tokens, whole.usage.completion_tokens) == (64, 67)


async def test_azure_wants_its_version() -> None:
    """Without `?api-version` nothing is found; with it the same path answers."""
    with ProviderServer(lambda body: "yes", personality="azure-gpt") as server:
        async with openai_client(server) as client:
            with pytest.raises(openai.NotFoundError):
                await client.with_options(
                    base_url=server.url.partition("?")[0]
                ).chat.completions.create(model="m", messages=HELLO)
        status, _ = await post(CHAT, server, body_with(CHAT))

    assert status == 200
    assert "/openai/deployments/m?api-version=" in server.url


async def test_one_flagged_input_is_refused_alone() -> None:
    """A router's filter answers 403 for the input that it flags, and serves the next."""
    with ProviderServer(lambda body: "yes", personality="openrouter-x") as server:
        flagged = [{"role": "user", "content": f"{FLAGGED} hello"}]
        refused = await post(CHAT, server, body_with(CHAT) | {"messages": flagged})
        taken = await post(CHAT, server, body_with(CHAT))

    assert (refused[0], taken[0]) == (403, 200)
    assert "flagged" in parse_error_body(refused[1]).message


@pytest.mark.parametrize(
    ("family", "protocol", "status"),
    [
        ("openrouter-x", CHAT, 200),
        ("gpt-6", CHAT, 500),
        ("gpt-6", RESPONSES, 200),
        ("claude-sonnet-5", MESSAGES, 500),
    ],
)
async def test_a_failure_upstream(family: str, protocol: WireProtocol, status: int) -> None:
    """A provider's failure has the status that the provider gives it, and its words are read."""
    fault = ProviderFault(ErrorDetails(message="upstream broke"))
    with ProviderServer(lambda body: fault, personality=family) as server:
        answered, content = await post(protocol, server, body_with(protocol))

    assert answered == status
    if status == 200:
        with pytest.raises(ProviderFault, match="upstream broke"):
            protocol.parse(json.loads(content))
    else:
        assert parse_error_body(content).message == "upstream broke"


@pytest.mark.parametrize(
    ("protocol", "change", "problem"),
    [
        (CHAT, {"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "text"),
        (CHAT, {"messages": [{"role": "nobody", "content": "x"}]}, "role"),
        (CHAT, {"temperature": "hot"}, "temperature"),
        (CHAT, {"frobnicate": 1}, "frobnicate"),
        (RESPONSES, {"input": 3}, "input"),
        (RESPONSES, {"tools": [{"type": "function", "name": "pay"}]}, "parameters"),
        (RESPONSES, {"seed": 3}, "seed"),
        (
            RESPONSES,
            {"input": [{"type": "function_call_output", "call_id": "a", "output": ""}]},
            "call_id",
        ),
        (MESSAGES, {"max_tokens": None}, "max_tokens"),
        (
            MESSAGES,
            {"messages": [{"role": "user", "content": [{"type": "text", "text": " "}]}]},
            "text",
        ),
        (MESSAGES, {"thinking": {"type": "enabled", "budget_tokens": 10}}, "budget_tokens"),
        (MESSAGES, {"seed": 3}, "seed"),
        (MESSAGES, {"output_config": {"effort": "minimal"}}, "effort"),
        (
            MESSAGES,
            {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
            "schema",
        ),
    ],
)
async def test_a_request_must_be_of_the_sdks_types(
    protocol: WireProtocol, change: dict[str, Any], problem: str
) -> None:
    """A parameter that the official SDK has not, or has otherwise, is answered 400 and named."""
    with ProviderServer(lambda body: "never") as server:
        status, content = await post(protocol, server, body_with(protocol) | change)

    assert status == 400
    assert problem in parse_error_body(content).message


async def test_a_wrong_key_is_refused() -> None:
    """Every protocol's own header carries the key."""
    with ProviderServer(lambda body: "yes", key="other") as server:
        statuses = [(await post(p, server, body_with(p)))[0] for p in PROTOCOLS]
    with ProviderServer(lambda body: "yes", key="key") as server:
        statuses += [(await post(p, server, body_with(p)))[0] for p in PROTOCOLS]

    assert statuses == [401, 401, 401, 200, 200, 200]


async def test_a_family_does_not_speak_every_protocol() -> None:
    """Messages is not served by OpenAI's families, nor Responses by DeepSeek's."""
    with ProviderServer(lambda body: "never", personality="deepseek-chat") as server:
        assert (await post(RESPONSES, server, body_with(RESPONSES)))[0] == 404
        assert (await post(MESSAGES, server, body_with(MESSAGES)))[0] == 404


def test_an_unknown_personality_is_named() -> None:
    """A family that nobody knows is an error with those that are known."""
    with pytest.raises(UsageError, match=r"got 'gpt-6\.2-sool'\. Did you mean 'gpt-6\.2-sol'"):
        ProviderServer(lambda body: "", personality="gpt-6.2-sool")
    assert len(PERSONALITIES) > 10
