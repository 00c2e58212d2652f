"""Anthropic's Messages: what is sent, and what of blocks and events is the answer."""

from typing import Any

import orjson
import pytest
from tests.models.protocol_client import DEFAULTS, Streamed, read_stream

from ratchet.core import Usage
from ratchet.core.errors import UsageError
from ratchet.models.anthropic.messages import Messages
from ratchet.models.chat import ChatReply, ChatRequest, ToolCall
from ratchet.models.protocol import ProviderFault, WireOptions
from ratchet.models.sse import ServerEvent

MESSAGES = Messages()
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}}
CLOSED = {
    "type": "object",
    "properties": {"a": {"type": "integer"}},
    "additionalProperties": False,
}
PAY = ToolCall(name="pay", arguments='{"a":1}')


def call(arguments: Any, call_id: str | None = "c1") -> dict[str, Any]:
    function = {"name": "pay", "arguments": arguments}
    return {"id": call_id, "type": "function", "function": function}


def encode(
    *messages: dict[str, Any], options: WireOptions = DEFAULTS, **fields: Any
) -> dict[str, Any]:
    conversation = list(messages) or [{"role": "user", "content": "hello"}]
    return MESSAGES.encode("m", ChatRequest(messages=conversation, **fields), options, stream=False)


def parse(*content: dict[str, Any], **fields: Any) -> ChatReply:
    return MESSAGES.parse({"type": "message", "content": list(content), **fields})


def stream(*events: dict[str, Any]) -> Streamed:
    content = b"".join(b"data: " + orjson.dumps(event) + b"\n\n" for event in events)
    return read_stream(MESSAGES, content + b'data: {"type": "message_stop"}\n\n')


def test_the_headers_carry_key_and_version() -> None:
    """The key has a header of its own; the version goes along without one too."""
    assert MESSAGES.headers("k") == {"anthropic-version": "2023-06-01", "x-api-key": "k"}
    assert MESSAGES.headers(None) == {"anthropic-version": "2023-06-01"}


def test_a_conversation_is_turns() -> None:
    """System messages stand apart, neighbours of one role are one turn, and results of several calls are one user's turn."""
    body = encode(
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "pay"},
        {"role": "user", "content": [{"type": "text", "text": "twice"}]},
        {"role": "assistant", "content": "", "tool_calls": [call('{"a":1}'), call("{}", "c2")]},
        {"role": "tool", "tool_call_id": "c2", "content": "two"},
        {"role": "tool", "tool_call_id": "c1", "content": ""},
        {"role": "user", "content": "thanks"},
        {"role": "developer", "content": "Be kind."},
        {"role": "assistant", "content": "Welcome."},
    )

    assert body["system"] == "Be brief.\n\nBe kind."
    used = {"type": "tool_use", "name": "pay"}
    assert body["messages"] == [
        {
            "role": "user",
            "content": [{"type": "text", "text": "pay"}, {"type": "text", "text": "twice"}],
        },
        {
            "role": "assistant",
            "content": [
                {**used, "id": "c1", "input": {"a": 1}},
                {**used, "id": "c2", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c2", "content": "two"},
                {"type": "tool_result", "tool_use_id": "c1", "content": ""},
                {"type": "text", "text": "thanks"},
            ],
        },
        {"role": "assistant", "content": "Welcome."},
    ]


def test_there_is_always_a_turn() -> None:
    """A system that speaks alone speaks as the user, and an empty input is sent, for the provider to refuse."""
    assert encode({"role": "system", "content": "Tell a joke."})["messages"] == [
        {"role": "user", "content": "Tell a joke."}
    ]
    empty = encode({"role": "system", "content": "Be brief."}, {"role": "user", "content": ""})
    assert (empty["system"], empty["messages"]) == ("Be brief.", [{"role": "user", "content": ""}])


@pytest.mark.parametrize(
    ("ids", "sent"),
    [
        (("a", "a"), ("a", "call_1")),
        (("a b", "ü"), ("call_0", "call_1")),
        ((None, None), ("call_0", "call_1")),
        (("call_1", "call_1"), ("call_1", "call_2")),
        (("x" * 65, "b"), ("call_0", "b")),
    ],
)
def test_calls_have_ids_of_their_own(ids: tuple[Any, Any], sent: tuple[str, str]) -> None:
    """Ids that occur twice, as in two demonstrations, or that this protocol refuses are others, with their results."""
    messages: list[dict[str, Any]] = []
    for call_id in ids:
        messages.append({"role": "user", "content": "pay"})
        messages.append({"role": "assistant", "tool_calls": [call("{}", call_id)]})
        messages.append({"role": "tool", "tool_call_id": call_id, "content": "done"})

    turns = encode(*messages)["messages"]

    blocks = [
        block for turn in turns if isinstance(turn["content"], list) for block in turn["content"]
    ]
    used = [block["id"] for block in blocks if block["type"] == "tool_use"]
    answered = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
    assert tuple(used) == tuple(answered) == sent


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        ('{"a": 1}', {"a": 1}),
        ({"a": 1}, {"a": 1}),
        ("", {}),
        ('{"a": ', {"arguments": '{"a": '}),
        ("[1]", {"arguments": [1]}),
        (None, {"arguments": None}),
    ],
)
def test_a_broken_call_can_be_handed_back(arguments: Any, sent: dict[str, Any]) -> None:
    """Arguments that are no object, as a model may write them, are shown to it as they were."""
    body = encode(
        {"role": "user", "content": "pay"},
        {"role": "assistant", "tool_calls": [call(arguments)]},
        {"role": "tool", "tool_call_id": "c1", "content": "not JSON"},
    )

    assert body["messages"][1]["content"][0]["input"] == sent


def test_pictures_come_as_data_or_by_address() -> None:
    """A data URL is taken apart; another one goes along."""
    urls = ["data:image/png;base64,aGVs\nbG8=", "https://a.example/x.png"]
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]

    content = encode({"role": "user", "content": parts})["messages"][0]["content"]

    assert [block["source"] for block in content] == [
        {"type": "base64", "media_type": "image/png", "data": "aGVs\nbG8="},
        {"type": "url", "url": "https://a.example/x.png"},
    ]


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([{"role": "robot", "content": "x"}], "'robot'"),
        ([{"role": "tool", "tool_call_id": "x", "content": ""}], "tool_call_id='x'"),
        (
            [
                {
                    "role": "user",
                    "content": [
                        {"type": "image_url", "image_url": {"url": "data:image/bmp;base64,eA=="}}
                    ],
                }
            ],
            "data:image/bmp",
        ),
        (
            [
                {
                    "role": "system",
                    "content": [{"type": "image_url", "image_url": {"url": "https://a.example"}}],
                }
            ],
            "takes text alone",
        ),
    ],
)
def test_what_cannot_be_said_is_an_error(messages: list[dict[str, Any]], words: str) -> None:
    """What this protocol has no words for is named, never dropped."""
    with pytest.raises(UsageError, match=words):
        encode(*messages)


def test_every_parameter_has_its_own_place() -> None:
    """Limit, thinking, effort, form, stops and own parameters go where this protocol has them."""
    body = encode(
        max_tokens=50,
        thinking_tokens=2000,
        effort="max",
        json_schema=SCHEMA,
        stop=("END",),
        temperature=0.5,
        top_p=0.9,
        extra={"top_k": 5},
    )

    del body["messages"], body["model"]
    assert body == {
        "max_tokens": 2050,
        "thinking": {"type": "enabled", "budget_tokens": 2000},
        "output_config": {"effort": "max", "format": {"type": "json_schema", "schema": CLOSED}},
        "stop_sequences": ["END"],
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 5,
    }


def test_a_limit_is_always_sent() -> None:
    """Where a request names no limit the options do."""
    assert encode(options=WireOptions(max_tokens_default=321))["max_tokens"] == 321
    assert encode(max_tokens=12)["max_tokens"] == 12


@pytest.mark.parametrize(
    ("max_tokens", "limit"), [(50, 2050), (2000, 4000), (2001, 2001), (2050, 2050), (None, 8192)]
)
def test_a_limit_holds_the_thinking_and_an_answer(max_tokens: int | None, limit: int) -> None:
    """A limit that counts the thinking stays as it is; one that would leave no room for an answer grows by it."""
    assert encode(max_tokens=max_tokens, thinking_tokens=2000)["max_tokens"] == limit


def test_no_thinking_is_said() -> None:
    """The effort `none` turns thinking off, and is no effort here."""
    body = encode(effort="none")

    assert body["thinking"] == {"type": "disabled"}
    assert "output_config" not in body


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"effort": "minimal"}, "got 'minimal'"),
        ({"thinking_tokens": 1023}, "thinking_tokens=1023"),
        ({"thinking_tokens": 2000, "effort": "none"}, "effort='none'"),
        ({"raw": "Once"}, "raw='Once'"),
    ],
)
def test_what_this_protocol_has_not_is_refused(fields: dict[str, Any], words: str) -> None:
    """An effort without a word here, a budget that is too small and one without thinking are errors that name the rule."""
    with pytest.raises(UsageError, match=words):
        encode(**fields)


@pytest.mark.parametrize(
    ("fields", "left"),
    [({"effort": "minimal"}, set()), ({"thinking_tokens": 9}, set())],
)
def test_what_only_helps_is_left_out(fields: dict[str, Any], left: set[str]) -> None:
    """An optional effort or budget that cannot be sent is not."""
    body = encode(optional=frozenset(fields), **fields)

    assert set(body) - {"model", "messages", "max_tokens"} == left
    assert body["max_tokens"] == WireOptions().max_tokens_default


def test_tools_have_an_input_schema() -> None:
    """Tools, one that is demanded and any of them, in this protocol's words; the provider's own go through."""
    own = {"type": "web_search_20250305", "name": "web_search"}
    tools = [
        {
            "type": "function",
            "function": {"name": "pay", "description": "Pay.", "parameters": SCHEMA},
        },
        {"type": "function", "function": {"name": "wait"}},
        own,
    ]

    body = encode(tools=tools, tool_choice="pay")

    assert body["tools"] == [
        {"name": "pay", "description": "Pay.", "input_schema": SCHEMA},
        {"name": "wait", "input_schema": {"type": "object"}},
        own,
    ]
    assert body["tool_choice"] == {"type": "tool", "name": "pay"}
    assert encode(tools=tools, tool_choice="required")["tool_choice"] == {"type": "any"}


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("pause_turn", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("something_new", "something_new"),
        (None, "stop"),
    ],
)
def test_the_end_is_said_in_openais_words(reason: str | None, finish: str) -> None:
    """Every reason has one, whole and streamed; one that nobody knows goes through."""
    streamed = stream({"type": "message_delta", "delta": {"stop_reason": reason}})

    assert parse(stop_reason=reason).finish_reason == streamed.reply.finish_reason == finish


@pytest.mark.parametrize(
    ("details", "words"),
    [
        ({"explanation": "It is about locks.", "category": "cyber"}, "It is about locks."),
        ({"explanation": None, "category": "cyber"}, "cyber"),
        (None, "refused by the provider"),
    ],
)
def test_a_refusal_has_the_providers_words(details: Any, words: str) -> None:
    """A refusal says why, as far as the provider does."""
    ending = {"stop_reason": "refusal", "stop_details": details}

    assert parse(**ending).refusal == words
    assert stream({"type": "message_delta", "delta": ending}).reply.refusal == words
    assert parse(stop_reason="end_turn").refusal is None


def test_of_the_blocks_texts_and_calls_are_the_answer() -> None:
    """Thinking, what of it is hidden, and the provider's own tools are not."""
    reply = parse(
        {"type": "thinking", "thinking": "hm", "signature": "x"},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "text", "text": "so "},
        {"type": "server_tool_use", "name": "web_search", "input": {"query": "x"}},
        {"type": "text", "text": "it is"},
        {"type": "tool_use", "id": "c", "name": "pay", "input": {"a": 1}},
        stop_reason="tool_use",
    )

    assert (reply.text, reply.tool_calls, reply.finish_reason) == ("so it is", (PAY,), "tool_calls")


def test_the_prompts_tokens_are_all_of_them() -> None:
    """Anthropic counts those of the cache apart; here a prompt's tokens include them, streamed too."""
    start = {"input_tokens": 10, "cache_read_input_tokens": 70, "cache_creation_input_tokens": 20}
    end = {
        "input_tokens": None,
        "output_tokens": 9,
        "output_tokens_details": {"thinking_tokens": 4},
    }

    streamed = stream(
        {"type": "message_start", "message": {"usage": start | {"output_tokens": 1}}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": end},
    )

    usage = parse(usage=start | {key: value for key, value in end.items() if value}).usage
    assert usage == streamed.reply.usage
    assert usage == Usage(
        prompt_tokens=100,
        completion_tokens=9,
        cached_tokens=70,
        cache_write_tokens=20,
        reasoning_tokens=4,
    )


def test_an_error_in_place_of_a_message_is_the_providers() -> None:
    """An error inside a good status, or in a stream, is raised with its kind, and what had been counted."""
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    start = {"type": "message_start", "message": {"usage": {"input_tokens": 10}}}

    with pytest.raises(ProviderFault, match="Overloaded") as whole:
        MESSAGES.parse(error)
    with pytest.raises(ProviderFault, match="Overloaded") as streamed:
        stream(start, error)

    assert whole.value.details.kind == streamed.value.details.kind == "overloaded_error"
    assert streamed.value.usage == Usage(prompt_tokens=10)


def test_a_call_is_put_together_from_its_parts() -> None:
    """Input in parts, with the block's beginning, or none at all is a call's arguments; blocks are told apart by index."""

    def begun(index: int, value: Any = None) -> dict[str, Any]:
        block = {"type": "tool_use", "id": f"c{index}", "name": "pay", "input": value or {}}
        return {"type": "content_block_start", "index": index, "content_block": block}

    def part(index: int, piece: str) -> dict[str, Any]:
        delta = {"type": "input_json_delta", "partial_json": piece}
        return {"type": "content_block_delta", "index": index, "delta": delta}

    events = [begun(0), begun(1), part(1, '{"b"'), part(0, '{"a":'), part(1, ":2}"), part(0, "1}")]
    events += [begun(2, {"c": 3}), begun(3)]
    stops = [{"type": "content_block_stop", "index": index} for index in range(4)]

    streamed = stream(*events, *stops)

    arguments = ['{"a":1}', '{"b":2}', '{"c":3}', "{}"]
    assert [call.arguments for call in streamed.calls] == arguments
    assert streamed.reply.tool_calls == streamed.calls
    assert streamed.reply.finish_reason == "tool_calls"


def test_a_stream_that_breaks_off_is_not_complete() -> None:
    """Without a reason for the end and without the event of the end a message is not whole."""
    parser = MESSAGES.stream_parser()
    delta = {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "text_delta", "text": "so"},
    }

    assert list(parser.feed(ServerEvent("", orjson.dumps(delta)))) == ["so"]
    assert not parser.is_complete
