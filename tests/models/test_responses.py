"""OpenAI's Responses: what is sent, and what of the many items and events is the answer."""

from typing import Any

import orjson
import pytest
from tests.models.protocol_client import DEFAULTS, Streamed, read_stream

from ratchet.core import Usage
from ratchet.core.errors import UsageError
from ratchet.models.chat import ChatReply, ChatRequest, ToolCall
from ratchet.models.openai.responses import Responses
from ratchet.models.protocol import MalformedReplyError, ProviderFault, WireOptions

RESPONSES = Responses()
STRICT = {
    "type": "object",
    "properties": {"a": {"type": "integer"}},
    "required": ["a"],
    "additionalProperties": False,
}
LOOSE = {"type": "object", "properties": {"a": {"type": "integer"}}}
CALL = {"type": "function_call", "call_id": "c", "id": "f", "name": "pay", "arguments": '{"a":1}'}
PAY = ToolCall(name="pay", arguments='{"a":1}')
PLACE = {"token": "a", "logprob": -0.1, "bytes": [97], "top_logprobs": []}
USAGE = {
    "input_tokens": 7,
    "output_tokens": 5,
    "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2},
    "output_tokens_details": {"reasoning_tokens": 4},
}
PAID = Usage(
    prompt_tokens=7, completion_tokens=5, cached_tokens=3, cache_write_tokens=2, reasoning_tokens=4
)


def encode(
    *messages: dict[str, Any],
    options: WireOptions = DEFAULTS,
    stream: bool = False,
    **fields: Any,
) -> dict[str, Any]:
    conversation = list(messages) or [{"role": "user", "content": "hello"}]
    return RESPONSES.encode(
        "m", ChatRequest(messages=conversation, **fields), options, stream=stream
    )


def message(*parts: dict[str, Any] | str, **fields: Any) -> dict[str, Any]:
    content = [{"type": "output_text", "text": p} if isinstance(p, str) else p for p in parts]
    return {"type": "message", "role": "assistant", "content": content, **fields}


def parse(*output: Any, **fields: Any) -> ChatReply:
    return RESPONSES.parse(
        {"status": "completed", "output": list(output), "usage": USAGE, **fields}
    )


def stream(*events: dict[str, Any], last: dict[str, Any] | None = None) -> Streamed:
    """Return what a stream brings that ends with a response."""
    end = {"type": "response.completed", "response": {"status": "completed", **(last or {})}}
    content = b"".join(b"data: " + orjson.dumps(event) + b"\n\n" for event in (*events, end))
    return read_stream(RESPONSES, content)


def test_a_conversation_is_items() -> None:
    """The first system message is the instructions, later ones keep their place; calls and results are items of their own."""
    call = {"id": "c1", "type": "function", "function": {"name": "pay", "arguments": '{"a":1}'}}

    body = encode(
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "pay"},
        {"role": "assistant", "content": "So be it.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "done"},
        {"role": "developer", "content": "Now thank."},
        {"role": "user", "content": ""},
    )

    assert body == {
        "model": "m",
        "store": False,
        "instructions": "Be brief.",
        "input": [
            {"role": "user", "content": "pay"},
            {"role": "assistant", "content": "So be it."},
            {"type": "function_call", "call_id": "c1", "name": "pay", "arguments": '{"a":1}'},
            {"type": "function_call_output", "call_id": "c1", "output": "done"},
            {"role": "developer", "content": "Now thank."},
            {"role": "user", "content": ""},
        ],
    }


def test_a_system_message_alone_is_the_input() -> None:
    """There is always an input."""
    body = encode({"role": "system", "content": "Tell a joke."})

    assert body["input"] == [{"role": "system", "content": "Tell a joke."}]
    assert "instructions" not in body


def test_pictures_and_texts_are_parts() -> None:
    """A message in parts has its texts and its pictures in this protocol's words."""
    picture = {
        "type": "image_url",
        "image_url": {"url": "https://a.example/x.png", "detail": "low"},
    }

    body = encode({"role": "user", "content": [{"type": "text", "text": "What?"}, picture]})

    assert body["input"][0]["content"] == [
        {"type": "input_text", "text": "What?"},
        {"type": "input_image", "image_url": "https://a.example/x.png", "detail": "low"},
    ]


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"type": "input_audio", "input_audio": {}}, "input_audio"),
        ({"type": "image_url"}, "image_url"),
        (3, "got 3"),
    ],
)
def test_a_part_that_cannot_be_said_is_an_error(part: Any, words: str) -> None:
    """What this protocol cannot carry is named, never dropped."""
    with pytest.raises(UsageError, match=words):
        encode({"role": "user", "content": [part]})


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([{"role": "tool", "tool_call_id": "x", "content": ""}], "tool_call_id='x'"),
        ([{"role": "robot", "content": "x"}], "'robot'"),
    ],
)
def test_a_message_out_of_place_is_an_error(messages: list[dict[str, Any]], words: str) -> None:
    """A result without a call and a role that nobody has are named."""
    with pytest.raises(UsageError, match=words):
        encode(*messages)


def test_every_parameter_has_its_own_place() -> None:
    """Limit, effort, form, probabilities and verbosity go where this protocol has them."""
    body = encode(
        max_tokens=50,
        effort="low",
        temperature=0.5,
        top_p=0.9,
        logprobs=2,
        json_schema=STRICT,
        extra={"verbosity": "low", "reasoning": {"summary": "auto"}, "store": True},
        stream=True,
    )

    form = {"type": "json_schema", "name": "answer", "strict": True, "schema": STRICT}
    del body["input"], body["model"]
    assert body == {
        "max_output_tokens": 50,
        "reasoning": {"effort": "low", "summary": "auto"},
        "temperature": 0.5,
        "top_p": 0.9,
        "include": ["message.output_text.logprobs"],
        "top_logprobs": 2,
        "text": {"format": form, "verbosity": "low"},
        "store": True,
        "stream": True,
    }


@pytest.mark.parametrize(
    ("parameters", "structured", "strict"),
    [(STRICT, "strict", True), (LOOSE, "strict", False), (STRICT, "schema", False)],
)
def test_a_tool_is_flat_and_says_whether_it_is_strict(
    parameters: dict[str, Any], structured: Any, strict: bool
) -> None:
    """A tool says so where its schema is not a strict one: unsaid, this protocol would take it for one."""
    function = {"name": "pay", "description": "Pay.", "parameters": parameters}
    own = {"type": "web_search"}

    body = encode(
        tools=[{"type": "function", "function": function}, own],
        options=WireOptions(structured=structured),
    )

    assert body["tools"] == [{"type": "function", **function, "strict": strict}, own]


def test_a_tool_that_is_demanded_is_named() -> None:
    """One tool is demanded by its name, any of them by `required`."""
    tool = {"type": "function", "function": {"name": "pay", "parameters": STRICT}}

    assert encode(tools=[tool], tool_choice="pay")["tool_choice"] == {
        "type": "function",
        "name": "pay",
    }
    assert encode(tools=[tool], tool_choice="required")["tool_choice"] == "required"


def test_a_text_to_go_on_from_is_refused() -> None:
    """This protocol goes on from no text."""
    with pytest.raises(UsageError, match="raw='Once'"):
        encode(raw="Once")


def test_of_the_items_the_messages_and_calls_are_the_answer() -> None:
    """Reasoning, commentary and the provider's own tools are not; texts are joined, and probabilities too."""
    reasoning = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}
    first = {"type": "output_text", "text": "so ", "logprobs": [PLACE]}

    reply = parse(
        reasoning,
        message("Let me look.", phase="commentary"),
        {"type": "web_search_call", "status": "completed"},
        message(first, "it is", phase="final_answer"),
        CALL,
    )

    assert (reply.text, reply.tool_calls, reply.finish_reason) == ("so it is", (PAY,), "tool_calls")
    assert reply.logprobs == [PLACE]
    assert reply.usage == PAID


@pytest.mark.parametrize(
    ("details", "finish"),
    [
        ({"reason": "max_output_tokens"}, "length"),
        ({"reason": "content_filter"}, "content_filter"),
        ({"reason": "max_messages"}, "length"),
        (None, "length"),
    ],
)
def test_an_incomplete_response_says_why(details: Any, finish: str) -> None:
    """What was cut off is never a whole answer, whole and streamed."""
    ending = {"status": "incomplete", "incomplete_details": details, "usage": USAGE}
    delta = {"type": "response.output_text.delta", "output_index": 0, "delta": "so f"}
    streamed = stream(delta, last=ending | {"output": []}).reply

    assert parse(message("so f"), **ending).finish_reason == finish
    assert (streamed.text, streamed.finish_reason, streamed.usage) == ("so f", finish, PAID)


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "failed", "error": {"code": "server_error", "message": "broke"}},
        {"status": "completed", "error": {"code": "server_error", "message": "broke"}},
    ],
)
def test_a_failed_response_is_the_providers(fields: dict[str, Any]) -> None:
    """A response that failed is an error with its code and what it used, whichever event says so."""
    events = [
        {"type": "response.failed", "response": {"usage": USAGE, **fields}},
        {"type": "response.completed", "response": {"usage": USAGE, **fields}},
    ]

    with pytest.raises(ProviderFault, match="broke") as caught:
        parse(**fields)
    assert (caught.value.details.code, caught.value.usage) == ("server_error", PAID)
    for event in events:
        with pytest.raises(ProviderFault, match="broke") as caught:
            stream(event)
        assert (caught.value.details.code, caught.value.usage) == ("server_error", PAID)


@pytest.mark.parametrize(
    "event",
    [
        {"type": "error", "code": "busy", "message": "broke", "param": None},
        {"type": "error", "error": {"code": "busy", "message": "broke"}},
        {"error": {"code": "busy", "message": "broke"}},
    ],
)
def test_an_error_event_is_the_error(event: dict[str, Any]) -> None:
    """An error in a stream is raised with its code, in each of its shapes."""
    with pytest.raises(ProviderFault, match="broke") as caught:
        stream(event)

    assert caught.value.details.code == "busy"


@pytest.mark.parametrize("status", ["queued", "in_progress"])
def test_a_response_that_is_not_there_yet_is_malformed(status: str) -> None:
    """What runs in the background is no answer."""
    with pytest.raises(MalformedReplyError, match=status):
        parse(status=status)


@pytest.mark.parametrize("output", [[{"type": "function_call"}], [message(content=3)]])
def test_an_item_that_cannot_be_read_is_malformed_and_counted(output: list[Any]) -> None:
    """A call without a name and a content that is no text are no reply, and were paid."""
    with pytest.raises(MalformedReplyError) as caught:
        parse(*output)

    assert caught.value.usage == PAID


def test_commentary_is_not_streamed() -> None:
    """What a model says on the way is not part of the answer."""
    item = {"type": "message", "phase": "commentary", "content": []}

    streamed = stream(
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.output_text.delta", "output_index": 0, "delta": "Let me look."},
        {"type": "response.output_text.delta", "output_index": 1, "delta": "Yes."},
    )

    assert streamed.text == streamed.reply.text == "Yes."


def test_what_came_only_at_the_end_is_not_lost() -> None:
    """A server that sends no parts, or no items, is read by its last event."""
    output = [message("Yes."), CALL]

    streamed = stream(last={"output": output, "usage": USAGE})

    assert streamed.text == streamed.reply.text == "Yes."
    assert streamed.calls == streamed.reply.tool_calls == (PAY,)
    assert streamed.reply == parse(*output)


def test_a_call_whose_arguments_come_whole_is_read() -> None:
    """Arguments in parts, with the end of the item or with the call's beginning are the same call, and come once."""
    added = {"type": "response.output_item.added", "output_index": 0}
    begun = added | {"item": CALL | {"arguments": ""}}
    delta = {"type": "response.function_call_arguments.delta", "output_index": 0}
    done = {"type": "response.function_call_arguments.done", "output_index": 0}
    end = {"type": "response.output_item.done", "output_index": 0, "item": CALL}
    ways = [
        [begun, delta | {"delta": '{"a"'}, delta | {"delta": ":1}"}],
        [begun, delta | {"delta": '{"a"'}, done | {"arguments": '{"a":1}'}, end],
        [begun, delta | {"delta": '{"a":1}'}, done | {"arguments": '{"a": 1}'}],
        [begun, end],
        [added | {"item": CALL}, end],
        [end],
    ]

    for events in ways:
        streamed = stream(*events, last={"output": [CALL]})
        assert streamed.calls == streamed.reply.tool_calls == (PAY,)


def test_events_by_the_id_of_their_item_are_told_apart() -> None:
    """Where no place is given the item's id says which call goes on."""
    events: list[dict[str, Any]] = []
    for name in ("a", "b"):
        item = {"type": "function_call", "id": name, "name": name, "arguments": ""}
        events.append({"type": "response.output_item.added", "item_id": name, "item": item})
    for name in ("b", "a"):
        delta = {"item_id": name, "delta": f'"{name}"'}
        events.append({"type": "response.function_call_arguments.delta", **delta})

    assert stream(*events).calls == (
        ToolCall(name="a", arguments='"a"'),
        ToolCall(name="b", arguments='"b"'),
    )
