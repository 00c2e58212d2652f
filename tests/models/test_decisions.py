"""Decisions of a local model: the likeliest choice with the probability of each, beside replies that are generated."""

import asyncio
import math

import pytest

from ratchet.core.errors import ReplyError, TaskError
from ratchet.models import ChatRequest, ModelPool

pytest.importorskip("torch")
pytestmark = pytest.mark.local

CHOICES = ("red", "blue", "green whale")


def user(text):
    return [{"role": "user", "content": text}]


def decision(text, choices=CHOICES, **settings):
    """Return a request to decide."""
    return ChatRequest(messages=user(text), choices=choices, decide=True, **settings)


async def ask(*requests):
    """Return the replies of local:nano, or what went wrong."""
    async with ModelPool() as pool:
        model = pool.model("local:nano")
        return await asyncio.gather(*map(model.chat, requests), return_exceptions=True)


async def test_the_likeliest_choice_is_the_reply():
    """Its probabilities sum to one and lie as the model's own likelihoods do; no token is generated."""
    async with ModelPool() as pool:
        model = pool.model("local:nano")
        reply = await model.chat(decision("Repeat: green whale"))
        plain = ChatRequest(messages=user("Repeat: green whale"))
        likelihoods = await model.likelihoods([(plain, choice) for choice in CHOICES])

    assert reply.text == "green whale"
    assert reply.finish_reason == "stop"
    assert sum(reply.probabilities.values()) == pytest.approx(1.0)
    assert list(reply.probabilities) == list(CHOICES)
    assert reply.usage.completion_tokens == 0
    assert reply.usage.prompt_tokens > 5
    logs = [math.log(one) for one in reply.probabilities.values()]
    wanted = [nats for nats, _ in likelihoods]
    assert logs[0] - logs[2] == pytest.approx(wanted[0] - wanted[2], abs=0.02)
    assert reply.sent == {"decided": {"choices": 3}}


async def test_decisions_and_replies_are_answered_together():
    """Those who generate and those who decide get what each gets alone."""
    talk = ChatRequest(messages=user("Repeat: one two three"), max_tokens=20)
    asked = [decision("Repeat: blue"), talk, decision("Repeat: red"), talk]

    replies = await ask(*asked)

    assert [reply.text for reply in replies] == ["blue", "one two three", "red", "one two three"]
    (alone,) = await ask(asked[0])
    assert replies[0].probabilities == pytest.approx(alone.probabilities, abs=1e-3)


async def test_what_the_prompt_alone_makes_likely_is_taken_out():
    """Each probability is divided by the one that the prompt without its input gives, and all by their sum."""
    own, before = await ask(decision("Repeat: blue"), decision("Repeat: "))
    (both,) = await ask(decision("Repeat: blue", prior=user("Repeat: ")))

    ratios = {name: own.probabilities[name] / before.probabilities[name] for name in CHOICES}
    total = sum(ratios.values())
    wanted = {name: ratio / total for name, ratio in ratios.items()}
    assert both.probabilities == pytest.approx(wanted, abs=1e-2)
    assert both.sent == {"decided": {"choices": 3, "calibration": "prior"}}


async def test_one_that_cannot_be_decided_takes_nobody_along():
    """Equal choices, an empty one, no adapter of that name, a prompt that is too long: each its own error, and the neighbour's answer stands."""
    asked = [
        decision("Repeat: red", choices=("red", "red")),
        decision("Repeat: red", choices=("red", "")),
        decision("Repeat: red", adapter="a_0000000000000000"),
        decision("word " * 3000),
        decision("Repeat: red"),
    ]

    equal, empty, adapter, long, good = await ask(*asked)

    assert isinstance(equal, TaskError)
    assert isinstance(empty, TaskError)
    assert isinstance(adapter, ReplyError)
    assert isinstance(long, ReplyError)
    assert long.kind == "context"
    assert good.text == "red"


async def test_a_decision_is_streamed_whole():
    """Who streams gets the choice as one piece, then the reply."""
    async with ModelPool() as pool:
        stream = pool.model("local:nano").stream(decision("Repeat: blue"))
        pieces = [piece async for piece in stream]

    assert pieces[0] == "blue"
    assert pieces[-1].probabilities["blue"] > 0.5
