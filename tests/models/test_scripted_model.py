"""The scripted model: it says what it is told to, in the ways that a test needs."""

import pytest

from ratchet.core import Usage
from ratchet.core.errors import ReplyError
from ratchet.models import ChatRequest, ToolCall
from ratchet.testing import ScriptedModel

TOOL = {"type": "function", "function": {"name": "pay", "parameters": {"type": "object"}}}


def asking(text: str, **parts: object) -> ChatRequest:
    return ChatRequest(messages=[{"role": "user", "content": text}], **parts)


async def test_a_list_is_said_in_turn_and_then_ends() -> None:
    """Each call takes the next text; after the last one there is no reply, as from a dead endpoint."""
    model = ScriptedModel(["one", "two"])

    said = [(await model.chat(asking("x"))).text for _ in range(2)]

    assert said == ["one", "two"]
    with pytest.raises(ReplyError, match="at its end"):
        await model.chat(asking("x"))


async def test_a_mapping_answers_by_the_last_message() -> None:
    """The last message picks the reply; one that is not in the script gets none."""
    model = ScriptedModel({"2+2": "4"})

    assert (await model.chat(asking("2+2"))).text == "4"
    with pytest.raises(ReplyError, match="no answer for this message"):
        await model.chat(asking("3+3"))


async def test_a_dict_calls_the_first_tool() -> None:
    """A dict becomes the arguments of a call where the request has a tool, else JSON text."""
    model = ScriptedModel(lambda _request: {"n": 1})

    called = await model.chat(asking("x", tools=[TOOL]))
    written = await model.chat(asking("x"))

    assert called.tool_calls == (ToolCall(name="pay", arguments='{"n": 1}'),)
    assert written.text == '{"n": 1}'


async def test_words_are_tokens_and_have_their_price() -> None:
    """A word is a token, so that usage and cost can be reckoned by hand; requests are kept."""
    model = ScriptedModel(["a b c"], price=(1_000_000, 2_000_000))

    reply = await model.chat(asking("one two"))

    assert reply.usage == Usage(prompt_tokens=2, completion_tokens=3, cost_usd=8.0)
    assert [r.messages[0]["content"] for r in model.requests] == ["one two"]
