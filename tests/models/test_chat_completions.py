"""Chat completions as endpoints write them: in parts, with refusals, errors inside a good status, and calls of every numbering."""

from typing import Any

import orjson
import pytest
from tests.models.protocol_client import Streamed, read_stream

from ratchet.core import Usage
from ratchet.models.chat import ChatReply, ChatRequest, ToolCall
from ratchet.models.openai.chat_completions import ChatCompletions
from ratchet.models.protocol import MalformedReplyError, ProviderFault, WireOptions

CHAT = ChatCompletions()
USAGE = {
    "prompt_tokens": 5,
    "completion_tokens": 3,
    "prompt_tokens_details": {"cached_tokens": 2},
    "completion_tokens_details": {"reasoning_tokens": 1},
}


def parse(message: Any, **choice: Any) -> ChatReply:
    return CHAT.parse({"choices": [{"message": message, **choice}], "usage": USAGE})


def stream(*events: Any, done: bool = True) -> Streamed:
    """Return what a stream of chunks brings; an event that is bytes is sent as it is."""
    content = b"".join(
        event if isinstance(event, bytes) else b"data: " + orjson.dumps(event) + b"\n\n"
        for event in events
    )
    return read_stream(CHAT, content + (b"data: [DONE]\n\n" if done else b""))


def chunk(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def call(arguments: Any = None, *, name: str | None = None, **fields: Any) -> dict[str, Any]:
    """Return a chunk with a part of a call."""
    function = {"name": name, "arguments": arguments}
    return chunk(
        tool_calls=[{**fields, "function": {k: v for k, v in function.items() if v is not None}}]
    )


THOUGHT = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([THOUGHT, {"type": "text", "text": "so"}, {"type": "text", "text": " it is"}], "so it is"),
        ([{"type": "reference", "reference_ids": [1]}, {"type": "text", "text": "yes"}], "yes"),
        (["plain", {"text": " too"}], "plain too"),
        ([], ""),
        (None, ""),
        ([{"type": "text", "text": None}], ""),
    ],
)
def test_content_in_parts_is_its_text(content: Any, text: str) -> None:
    """Of a list of parts the texts count, joined; thinking is not the answer. Streamed it is the same."""
    assert parse({"content": content}).text == text
    assert stream(chunk(content=content), chunk("stop")).reply.text == text


@pytest.mark.parametrize("content", [3, {"a": 1}, True])
def test_content_of_another_kind_is_malformed_and_counted(content: Any) -> None:
    """What is neither text nor parts is no reply, and its usage is known."""
    with pytest.raises(MalformedReplyError) as caught:
        parse({"content": content})

    assert caught.value.usage == Usage(
        prompt_tokens=5, completion_tokens=3, cached_tokens=2, reasoning_tokens=1
    )


def test_a_refusal_comes_through() -> None:
    """A refusal is handed on in the model's words, whole and streamed, and is not the text."""
    whole = parse({"content": None, "refusal": "I can't."}, finish_reason="stop")
    streamed = stream(chunk(refusal="I can"), chunk(refusal="'t."), chunk("stop")).reply

    for reply in (whole, streamed):
        assert (reply.text, reply.refusal, reply.finish_reason) == ("", "I can't.", "stop")


@pytest.mark.parametrize(
    "choice",
    [
        {
            "finish_reason": "error",
            "message": {"content": ""},
            "error": {"message": "broke", "code": 502},
        },
        {
            "finish_reason": "stop",
            "message": {"content": "half"},
            "error": {"message": "broke", "code": 502},
        },
        {"error": {"message": "broke", "code": 502}},
    ],
)
def test_a_choice_that_ended_with_an_error_is_no_answer(choice: dict[str, Any]) -> None:
    """A good status with an error in its choice is the provider's failure, with its code and what it used."""
    with pytest.raises(ProviderFault, match="broke") as whole:
        CHAT.parse({"choices": [choice], "usage": USAGE})
    with pytest.raises(ProviderFault, match="broke") as streamed:
        stream({"choices": [], "usage": USAGE}, {"choices": [choice]})

    assert whole.value.details.code == streamed.value.details.code == "502"
    assert whole.value.usage == streamed.value.usage != Usage()


@pytest.mark.parametrize(
    "event",
    [
        {"error": {"message": "overloaded", "code": "busy"}},
        {"error": {"message": "overloaded", "code": "busy"}, "choices": []},
        b'event: error\ndata: {"message": "overloaded", "code": "busy"}\n\n',
    ],
)
def test_an_error_event_is_the_error(event: Any) -> None:
    """An error between the chunks is raised with its code, whatever came before."""
    with pytest.raises(ProviderFault, match="overloaded") as caught:
        stream(chunk(content="so far"), event)

    assert caught.value.details.code == "busy"


ONE, TWO = ToolCall(name="pay", arguments='{"a":1}'), ToolCall(name="pay", arguments='{"a":2}')
OTHER = ToolCall(name="ask", arguments='{"a":2}')


@pytest.mark.parametrize(
    ("chunks", "calls"),
    [
        (
            [
                call('{"a"', name="pay", index=0, id="x"),
                call(":1}", index=0),
                call('{"a"', name="pay", index=1, id="y"),
                call(":2}", index=1),
            ],
            (ONE, TWO),
        ),
        (
            [
                call('{"a"', name="pay", index=0, id="x"),
                call('{"a"', name="pay", index=1, id="y"),
                call(":1}", index=0),
                call(":2}", index=1),
            ],
            (ONE, TWO),
        ),
        (
            [
                call('{"a"', name="pay", index=0, id="x"),
                call(":1}", index=0),
                call('{"a"', name="pay", index=0, id="y"),
                call(":2}", index=0),
            ],
            (ONE, TWO),
        ),
        ([call('{"a":1}', name="pay", id="x"), call('{"a":2}', name="ask", id="y")], (ONE, OTHER)),
        ([call('{"a":1}', name="pay"), call('{"a":2}', name="ask")], (ONE, OTHER)),
        ([call('{"a":1}', name="pay"), call('{"a":2}', name="pay")], (ONE, TWO)),
        (
            [call('{"a":1}', name="pay", index=0), call('{"a":2}', name="ask", index=0)],
            (ONE, OTHER),
        ),
        (
            [
                call('{"a"', name="pay", id="x"),
                call(":1}", id="x"),
                call('{"a":2}', name="pay", id="y"),
            ],
            (ONE, TWO),
        ),
        (
            [call('{"a"', name="pay"), call(":1}"), call('{"a"', name="ask"), call(":2}")],
            (ONE, OTHER),
        ),
        ([call('{"a"', name="pay", index=0, id="x"), call(":1}")], (ONE,)),
        (
            [call('{"a"', name="pay", index=0, id="x"), call(":1}", name="pay", index=0, id="x")],
            (ONE,),
        ),
        ([call({"a": 1}, name="pay", index=0, id="x")], (ONE,)),
        ([call(name="pay", index=0, id="x")], (ToolCall(name="pay", arguments="{}"),)),
        (
            [chunk(function_call={"name": "pay"}), chunk(function_call={"arguments": '{"a":1}'})],
            (ONE,),
        ),
    ],
    ids=[
        "indexed",
        "interleaved",
        "all of index 0",
        "ids alone",
        "nothing but names",
        "the same name",
        "another name at index 0",
        "ids repeated",
        "parts without a name",
        "an index once",
        "all repeated",
        "an object",
        "no arguments",
        "the older form",
    ],
)
def test_parallel_calls_are_told_apart(chunks: list[Any], calls: tuple[ToolCall, ...]) -> None:
    """A new id, or a new name, begins a new call, whatever the index says; the parts put together are the calls."""
    streamed = stream(*chunks, chunk("tool_calls"))

    assert streamed.reply.tool_calls == calls
    assert streamed.calls == calls


@pytest.mark.parametrize(
    ("arguments", "text"),
    [('{"a":1}', '{"a":1}'), ({"a": 1}, '{"a":1}'), (None, "{}"), ([1], "[1]"), (3, "3")],
)
def test_arguments_are_json_text(arguments: Any, text: str) -> None:
    """Arguments that come as a value are written as JSON; the answer's form decides about them."""
    message = {"tool_calls": [{"function": {"name": "pay", "arguments": arguments}}]}

    assert parse(message).tool_calls == (ToolCall(name="pay", arguments=text),)


def test_the_older_form_of_a_call_is_read() -> None:
    """`function_call` is one call."""
    message = {"content": None, "function_call": {"name": "pay", "arguments": '{"a":1}'}}

    assert parse(message).tool_calls == (ONE,)


def test_a_stream_that_is_done_without_a_reason_is_whole() -> None:
    """`[DONE]` ends a reply that names no reason."""
    assert stream(chunk(content="all of it")).reply.finish_reason == "stop"
    assert stream(call('{"a":1}', name="pay")).reply.finish_reason == "tool_calls"


def test_a_reason_without_done_is_an_end() -> None:
    """A stream with a reason and no `[DONE]` is whole."""
    streamed = stream(chunk(content="all"), chunk("length"), done=False)

    assert (streamed.text, streamed.reply.finish_reason) == ("all", "length")


@pytest.mark.parametrize(
    "junk",
    [
        b"data: null\n\n",
        b"data: 3\n\n",
        b": comment\n\n",
        b"data: {broken\n\n",
        b"id: 7\nretry: 9\n\n",
    ],
)
def test_what_is_no_chunk_is_passed_over(junk: bytes) -> None:
    """Comments, nulls and lines that are not JSON do not break a stream."""
    streamed = stream(junk, chunk(content="a"), junk, chunk(content="b"), junk, chunk("stop"), junk)

    assert streamed.pieces == ["a", "b"]


def test_other_choices_are_not_the_answer() -> None:
    """A second choice, which nobody asked for, is not mixed into the first."""
    second = {"choices": [{"index": 1, "delta": {"content": "B"}}]}

    assert stream(chunk(content="A"), second, chunk("stop")).text == "A"


def test_streamed_probabilities_are_those_of_the_whole() -> None:
    """Log probabilities come token by token, and are put together."""
    place = {"token": "a", "logprob": -0.1, "bytes": None, "top_logprobs": []}
    with_logprobs = {"choices": [{"delta": {"content": "a"}, "logprobs": {"content": [place]}}]}

    streamed = stream(with_logprobs, with_logprobs, chunk("stop")).reply

    assert streamed.logprobs == [place, place]
    assert parse({"content": "aa"}, logprobs={"content": [place, place]}).logprobs == [place, place]


def test_all_counts_of_the_usage_are_read() -> None:
    """Cached, written and thinking tokens come with those of the prompt and of the completion; odd counts are none."""
    assert parse({"content": ""}).usage == Usage(
        prompt_tokens=5, completion_tokens=3, cached_tokens=2, reasoning_tokens=1
    )
    odd = {"prompt_tokens": -1, "completion_tokens": True, "prompt_tokens_details": 3}
    assert CHAT.parse({"choices": [{"message": {"content": ""}}], "usage": odd}).usage == Usage()


def test_a_text_to_go_on_from_is_a_completion() -> None:
    """`raw` is sent as a prompt to the path of plain texts, and its `text` is the reply."""
    request = ChatRequest(messages=[], raw="Once upon", max_tokens=5, logprobs=2)
    options = WireOptions(max_tokens_name="max_completion_tokens")

    assert CHAT.path(request) == "/completions"
    assert CHAT.encode("m", request, options, stream=False) == {
        "model": "m",
        "prompt": "Once upon",
        "max_tokens": 5,
        "logprobs": 2,
    }
    assert CHAT.parse({"choices": [{"text": " a time"}]}).text == " a time"


def test_the_limit_has_the_name_that_the_model_takes() -> None:
    """A model that thinks is sent `max_completion_tokens`, and usage in a stream is asked for where it may be."""
    request = ChatRequest(messages=[{"role": "user", "content": "x"}], max_tokens=5)
    options = WireOptions(max_tokens_name="max_completion_tokens", stream_usage=False)

    body = CHAT.encode("m", request, options, stream=True)

    assert body["max_completion_tokens"] == 5
    assert "max_tokens" not in body
    assert "stream_options" not in body
    stream_options = CHAT.encode("m", request, WireOptions(), stream=True)["stream_options"]
    assert stream_options == {"include_usage": True}
