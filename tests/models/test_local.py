"""The local engine, on the small model that ships with the package."""

import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise

import pytest

from ratchet.core.errors import ReplyError, TaskError, UnknownModelError
from ratchet.models import NANO, ChatReply, ChatRequest, ModelPool

pytest.importorskip("torch")
pytestmark = pytest.mark.local

SCHEMA = {
    "type": "object",
    "properties": {
        "quantity": {"type": "integer"},
        "origin": {"type": "string", "enum": ["north", "south"]},
        "remark": {"type": "string", "maxLength": 30},
    },
    "required": ["quantity", "origin", "remark"],
    "additionalProperties": False,
}
TEXTS = {
    **SCHEMA,
    "properties": {key: {"type": "string", "maxLength": 20} for key in SCHEMA["properties"]},
}
TOOL = {"type": "function", "function": {"name": "take", "parameters": TEXTS}}


def asked(text, **settings):
    """Return a request with one user message."""
    return ChatRequest(messages=[{"role": "user", "content": text}], max_tokens=160, **settings)


async def answers(*requests):
    """Return the replies of local:nano."""
    async with ModelPool() as pool:
        return await asyncio.gather(*(pool.model("local:nano").chat(r) for r in requests))


async def test_it_copies():
    """The model repeats a text exactly, and says how many tokens that took."""
    (reply,) = await answers(asked("Repeat: blue whale 4711"))

    assert reply.text == "blue whale 4711"
    assert reply.finish_reason == "stop"
    assert reply.usage.prompt_tokens > 5
    assert reply.usage.cost_usd == 0.0


async def test_a_batch_answers_as_each_alone():
    """Requests that are answered together get the answers that they get alone."""
    requests = [asked(f"Repeat: {text}") for text in ("red", "a much longer text with 12 34", "x")]

    together = await answers(*requests)
    alone = [(await answers(request))[0] for request in requests]

    assert [r.text for r in together] == [r.text for r in alone]


async def test_json_follows_the_schema():
    """Whatever is asked, the answer is a JSON object that the schema allows."""
    (reply,) = await answers(
        asked(
            "quantity: 17; origin: south; remark: none",
            json_schema=SCHEMA,
        )
    )

    body = json.loads(reply.text)
    assert set(body) == {"quantity", "origin", "remark"}
    assert body["origin"] in ("north", "south")


async def test_a_tool_is_called_when_it_must_be():
    """With a tool choice the reply is a call of that tool, with arguments of its schema."""
    (reply,) = await answers(
        asked("quantity: 17; origin: south; remark: ok", tools=[TOOL], tool_choice="take")
    )

    assert reply.finish_reason == "tool_calls"
    assert reply.tool_calls[0].name == "take"
    assert set(json.loads(reply.tool_calls[0].arguments)) == {"quantity", "origin", "remark"}


async def test_free_and_forced_rows_share_a_batch():
    """A request without a schema is not held to that of its neighbour."""
    free, forced = await answers(asked("Repeat: blue"), asked("Repeat: blue", json_schema=SCHEMA))

    assert free.text == "blue"
    assert forced.text.startswith("{")


async def test_sampling_with_a_seed_repeats():
    """The same seed gives the same sample."""
    request = asked("Repeat: one two three four five", temperature=1.5, seed=3)

    first, second = (await answers(request))[0], (await answers(request))[0]

    assert first.text == second.text


async def test_an_answer_is_cut_at_its_own_limit():
    """A short limit holds for its request alone, and the reply says so."""
    long = asked("Repeat: one two three four five six")

    short, whole = await answers(replace(long, max_tokens=3), long)

    assert short.finish_reason == "length"
    assert short.usage.completion_tokens == 3
    assert whole.finish_reason == "stop"


async def test_what_cannot_be_followed_is_refused():
    """A tool choice that is not among the tools, and an unknown adapter, are errors that name it."""
    with pytest.raises(TaskError, match="'give'"):
        await answers(asked("x", tools=[TOOL], tool_choice="give"))
    with pytest.raises(ReplyError, match="a_missing"):
        await answers(asked("x", adapter="a_missing"))


async def test_one_of_several_tools_must_be_called():
    """A required call is one of any of the request's tools, with arguments by its schema."""
    other = {"type": "function", "function": {**TOOL["function"], "name": "leave"}}

    (reply,) = await answers(
        asked("6 apples from north", tools=[TOOL, other], tool_choice="required")
    )

    assert [call.name in ("take", "leave") for call in reply.tool_calls] == [True]
    assert isinstance(json.loads(reply.tool_calls[0].arguments), dict)


def test_unknown_folders_are_refused(tmp_path):
    """A folder without a model is no model, and the message says what to name."""
    pool = ModelPool(root=tmp_path)

    with pytest.raises(UnknownModelError, match=r"config\.json"):
        pool.model("local:nothing-here")


def test_several_threads_load_at_once():
    """Each gets a model with its weights, on a device."""
    from ratchet.models.local import load_base

    with ThreadPoolExecutor(4) as threads:
        loaded = list(threads.map(lambda _: load_base(NANO), range(8)))

    assert {str(model.device.type) for model, _ in loaded} <= {"cpu", "cuda"}


def test_nano_loads_with_plain_transformers():
    """The files need no code of ours: transformers loads weights, tokenizer and chat template."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(NANO)
    model = AutoModelForCausalLM.from_pretrained(NANO)

    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "hi"}], tokenize=False, add_generation_prompt=True
    )
    assert text == "<|bos|><|user|>hi<|end|><|assistant|>"
    assert 2_000_000 <= model.num_parameters() <= 5_000_000


async def streamed(request):
    """Return the pieces of a stream, and the reply at its end."""
    async with ModelPool() as pool:
        pieces = [piece async for piece in pool.model("local:nano").stream(request)]
    return pieces[:-1], pieces[-1]


async def test_a_stream_is_the_reply_piece_by_piece():
    """The pieces make the text of the whole reply, and there are several, where tools could be called too; a call comes at the end."""
    pieces, reply = await streamed(asked("Repeat: blue whale 4711"))

    assert "".join(pieces) == reply.text == "blue whale 4711"
    assert len(pieces) > 3
    pieces, called = await streamed(asked("6 apples from north", tools=[TOOL], tool_choice="take"))
    assert called.tool_calls[0].name == "take"
    assert pieces == []
    async with ModelPool() as pool:
        raw = replace(asked("Repeat: blue whale 4711"), tools=[TOOL], raw=copying("blue whale 4711"))  # fmt: skip
        pieces = [piece async for piece in pool.model("local:nano").stream(raw)]
    assert "".join(pieces[:-1]) == pieces[-1].text == "blue whale 4711"
    assert len(pieces) > 4


def copying(text):
    """Return the prompt of a chat without tools, as the template has it."""
    from ratchet.models.engine import prompt_of
    from ratchet.models.local import load_base

    return prompt_of(load_base(NANO)[1], asked(f"Repeat: {text}"))


CALL = '<tool_call>{"name": "take", "arguments": {"a": 1}}</tool_call>'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"Let me look.\n{CALL}", "Let me look."),
        (f"  Let me <tool_ look. {CALL}\n", "  Let me <tool_ look."),
        (f"{CALL} Done.", "Done."),
        (f"One {CALL} two {CALL}", "One\ntwo"),
        (f"{CALL}", ""),
        ("No call <tool_call>{broken", "No call <tool_call>{broken"),
        (" plain \n", " plain \n"),
    ],
)
def test_what_is_sent_before_a_call_is_the_beginning_of_the_reply(text, said):
    """Letter by letter: what is surely no call grows, and is what the whole reply begins with; nothing of a call is in it."""
    from ratchet.models.chat_template import chat_format_of
    from ratchet.models.engine import reply
    from ratchet.models.local import load_base

    form = chat_format_of(load_base(NANO)[1])
    whole = reply(form, asked("x", tools=[TOOL]), ChatReply(text=text))
    sent = [text[: form.count_spoken(text[:k])] for k in range(len(text) + 1)]

    assert whole.text == said
    assert len(whole.tool_calls) == text.count(CALL)
    assert all(later.startswith(one) for one, later in pairwise(sent))
    assert whole.text.startswith(sent[-1])
    assert CALL[:11] not in sent[-1]


async def test_a_stop_ends_the_reply_before_it():
    """The text ends where the stop begins, whole and streamed; nothing of the stop is ever sent."""
    request = asked("Repeat: blue whale 4711", stop=("ale 4",))
    (reply,) = await answers(request)
    pieces, whole = await streamed(request)

    assert reply.text == whole.text == "".join(pieces) == "blue wh"
    assert reply.finish_reason == "stop"
    assert reply.usage.completion_tokens < 20


async def test_a_short_request_does_not_wait_for_a_long_one():
    """It joins while the other is under way, and its reply is there first."""
    long = asked("Tell.", temperature=50, seed=5)  # so hot that the end is as rare as any token
    short = ChatRequest(messages=[{"role": "user", "content": "Repeat: one"}], max_tokens=4)
    async with ModelPool() as pool:
        model = pool.model("local:nano")
        await model.chat(short)  # loaded
        ended = []

        async def ask(name, request):
            reply = await model.chat(request)
            ended.append(name)
            return reply

        first = asyncio.create_task(ask("long", long))
        await asyncio.sleep(0.2)
        await ask("short", short)
        reply = await first

    assert reply.usage.completion_tokens == 160
    assert ended == ["short", "long"]


async def test_who_goes_away_gives_up_the_place():
    """A stream that nobody reads on ends at its next token."""
    request = ChatRequest(
        messages=[{"role": "user", "content": "Tell."}], max_tokens=4000, temperature=50, seed=1
    )
    async with ModelPool() as pool:
        model = pool.model("local:nano")
        stream = model.stream(request)
        await anext(stream)
        await stream.aclose()
        started = time.monotonic()
        await model.close()  # waits for what is under way

    assert time.monotonic() - started < 2
