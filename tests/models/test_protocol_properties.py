"""Properties of protocols: whatever is said comes back as it was, and whatever is asked is what the official SDK's types allow."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.models.protocol_client import PROTOCOLS, read_stream

from ratchet.core import Usage
from ratchet.models.chat import ChatReply, ChatRequest, ToolCall
from ratchet.models.protocol import WireOptions, WireProtocol
from ratchet.testing.providers.server import FORMATS

PAIRS = list(zip(PROTOCOLS, FORMATS, strict=True))
every_pair = pytest.mark.parametrize(
    ("protocol", "wire_format"), PAIRS, ids=[protocol.name for protocol in PROTOCOLS]
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
words = st.text(st.characters(exclude_categories=["Cs", "Z", "C"]), min_size=1, max_size=9)
objects = st.dictionaries(words, st.one_of(st.integers(0, 9), texts, st.none()), max_size=3)
calls = st.builds(
    lambda name, value: ToolCall(name=name, arguments=orjson.dumps(value).decode()),
    st.from_regex(r"[a-z_]{1,9}", fullmatch=True),
    objects,
)
usages = st.builds(
    lambda fresh, read, written, spoken, thought: Usage(
        prompt_tokens=fresh + read + written,
        completion_tokens=spoken + thought,
        cached_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=thought,
    ),
    *[st.integers(0, 99)] * 5,
)


@st.composite
def replies(draw: st.DrawFn) -> ChatReply:
    """Draw a reply such as every protocol can give."""
    made = tuple(draw(st.lists(calls, max_size=3)))
    refusal = None if made else draw(st.none() | words)
    ends = ["length", "tool_calls"] if made else ["length", "stop"]
    finish = "content_filter" if refusal else draw(st.sampled_from(ends))
    return ChatReply(
        text=draw(texts),
        tool_calls=made,
        finish_reason=finish,
        refusal=refusal,
        usage=draw(usages),
    )


@every_pair
@settings(deadline=None)
@given(reply=replies(), size=st.integers(1, 50))
def test_a_reply_comes_back_whole_and_streamed(
    protocol: WireProtocol, wire_format: Any, reply: ChatReply, size: int
) -> None:
    """Any reply that a provider writes is read as it was, and so is its stream, wherever it is cut."""
    body = {"model": "m", "stream_options": {"include_usage": True}}

    whole = protocol.parse(orjson.loads(orjson.dumps(wire_format.render(reply, body))))
    content = b"".join(wire_format.render_events(reply, body))
    streamed = read_stream(protocol, content, size=size)

    assert whole == streamed.reply == reply
    assert streamed.text == reply.text
    assert streamed.calls == reply.tool_calls


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw a conversation with system messages anywhere, calls of any id, and a result for each call."""
    messages: list[dict[str, Any]] = []
    for _ in range(draw(st.integers(1, 4))):
        if draw(st.booleans()):
            role = draw(st.sampled_from(["system", "developer"]))
            messages.append({"role": role, "content": draw(words)})
        messages.append({"role": "user", "content": draw(words)})
        made = draw(st.lists(calls, max_size=3))
        ids = [draw(st.sampled_from(["a", "b", "ü", ""])) for _ in made]
        spoken = {"role": "assistant", "content": draw(texts)}
        made_calls = [
            {"id": name, "type": "function", "function": {"name": call.name, "arguments": text}}
            for name, call in zip(ids, made, strict=True)
            for text in [draw(st.sampled_from([call.arguments, "{broken", ""]))]
        ]
        messages.append(spoken | ({"tool_calls": made_calls} if made_calls else {}))
        messages += [
            {"role": "tool", "tool_call_id": name, "content": draw(texts)}
            for name in draw(st.permutations(ids))
        ]
    return [*messages, {"role": "user", "content": draw(words)}]


@every_pair
@settings(deadline=None)  # the SDK is loaded with the first request
@given(messages=conversations())
def test_any_conversation_is_one_that_the_sdk_allows(
    protocol: WireProtocol, wire_format: Any, messages: list[dict[str, Any]]
) -> None:
    """Whatever was said before, what is sent is of the SDK's types, and each call has its result; every word goes along."""
    body = protocol.encode("m", ChatRequest(messages=messages), WireOptions(), stream=False)

    assert wire_format.problems_in(body) == []
    sent = json.dumps(body, ensure_ascii=False)
    spoken = [message["content"] for message in messages if message["role"] == "user"]
    assert all(json.dumps(text, ensure_ascii=False)[1:-1] in sent for text in spoken)
