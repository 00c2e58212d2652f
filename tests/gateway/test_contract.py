"""The gateway as its clients see it: the official SDK, sync and async, against a real server on a real port."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import openai
import pytest
import sqlalchemy as sa
import uvicorn

from ratchet.answer import starting_candidate
from ratchet.core import AnswerForm, InputField, MetricSpec, Roles, Task
from ratchet.core.errors import ReplyError
from ratchet.gateway import Gateway
from ratchet.gateway.http import KEEP_ALIVE_S
from ratchet.ladder import promote
from ratchet.models import ChatRequest, ModelPool
from ratchet.store import EndpointSettings, open_database
from ratchet.store.keys import add_key
from ratchet.store.requests import LoggedRequest, read_requests
from ratchet.testing import Fault, ScriptedModel, ScriptedServer

TASK = Task(
    name="tickets",
    instructions="Which team?",
    inputs=(InputField(name="message"), InputField(name="product")),
    answer=AnswerForm(kind="label", labels=("billing", "technical")),
    metric=MetricSpec(name="label"),
    models=Roles(student="local:scripted"),
)


def says(request: ChatRequest) -> str | dict[str, str] | Exception:
    """Answer by what is asked."""
    text = request.messages[-1]["content"]
    if "broken" in text:
        return ReplyError("upstream is down", kind="connection")
    if "busy" in text:
        return ReplyError("too many", kind="rate limit")
    if "bug" in text:
        raise ZeroDivisionError
    if request.tools:
        return {"city": "Rome"}
    return f"You said: {text}"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    """Give an empty database on disk."""
    opened = open_database(f"sqlite:///{tmp_path / 'r.db'}")
    yield opened
    opened.dispose()


@pytest.fixture
def upstream() -> Iterator[ScriptedServer]:
    """Give an endpoint that fails once, and then answers."""
    with ScriptedServer(lambda _: "from upstream", faults=[Fault(status=500)]) as running:
        yield running


@pytest.fixture
def url(engine: sa.Engine, upstream: ScriptedServer) -> Iterator[str]:
    """Give the address of a gateway in front of a scripted model and an endpoint."""
    settings = EndpointSettings(base_url=upstream.url)

    def pool() -> ModelPool:
        return ModelPool({"up": settings}, ready={"local:scripted": ScriptedModel(says)})

    with serving(Gateway(engine, pool, names=("local:scripted",))) as address:
        yield address


class serving:  # noqa: N801 - reads as a word in a with statement
    """Serve an application on a free port while the block runs."""

    def __init__(self, application: Gateway) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        config = uvicorn.Config(
            application, port=self.port, log_level="warning", lifespan="on", access_log=False, timeout_keep_alive=KEEP_ALIVE_S
        )  # fmt: skip
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, daemon=True)

    def __enter__(self) -> str:
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        return f"http://127.0.0.1:{self.port}/v1"

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self.thread.join()


def client(url: str) -> openai.OpenAI:
    """Return the official client, which tries nothing twice."""
    return openai.OpenAI(base_url=url, api_key="none", max_retries=0)


def hello(text: str = "hello") -> list[dict[str, str]]:
    """Return a message."""
    return [{"role": "user", "content": text}]


def logged(engine: sa.Engine, count: int) -> list[LoggedRequest]:
    """Return the log, oldest first, once it holds so many requests."""
    for _ in range(100):
        found = list(read_requests(engine, after=0.0))
        if len(found) >= count:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{len(found)} requests in the log, not {count}")


def test_a_chat_comes_back_in_the_shape_that_the_sdk_reads(url: str, engine: sa.Engine) -> None:
    """Text, usage and id; the request, its reply and its figures are in the log, once."""
    said = client(url).chat.completions.create(
        model="local:scripted", messages=hello(), user="u1", temperature=0.5
    )
    assert said.choices[0].message.content == "You said: hello"
    assert said.choices[0].finish_reason == "stop"
    assert said.usage is not None
    assert said.usage.total_tokens == 4
    (one,) = logged(engine, 1)
    assert (one.id, one.model, one.status, one.end_user) == (said.id, "local:scripted", 200, "u1")
    assert one.body["request"]["messages"] == hello()
    assert one.body["replies"][0]["text"] == "You said: hello"
    assert client(url).models.list().data[0].id == "local:scripted"


def test_a_stream_is_the_same_text_piece_by_piece(url: str, engine: sa.Engine) -> None:
    """Role first, then the words, the finish and the usage; async too; the log holds the whole."""
    pieces = list(
        client(url).chat.completions.create(
            model="local:scripted",
            messages=hello("a b c"),
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    texts = [p.choices[0].delta.content or "" for p in pieces if p.choices]
    assert "".join(texts) == "You said: a b c"
    assert len([text for text in texts if text]) > 3
    assert pieces[-1].usage is not None
    assert pieces[-2].choices[0].finish_reason == "stop"

    async def again() -> str:
        async with openai.AsyncOpenAI(base_url=url, api_key="none") as speaker:
            stream = await speaker.chat.completions.create(
                model="local:scripted", messages=hello("x"), stream=True
            )
            return "".join([p.choices[0].delta.content or "" async for p in stream])

    assert asyncio.run(again()) == "You said: x"
    assert [one.streamed for one in logged(engine, 2)] == [True, True]


def test_tools_choices_and_seeds(url: str) -> None:
    """A tool is called, whole and streamed; n gives several choices."""
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    speaker = client(url)
    said = speaker.chat.completions.create(
        model="local:scripted", messages=hello(), tools=[tool], tool_choice="required"
    )
    (call,) = said.choices[0].message.tool_calls or []
    assert (call.function.name, json.loads(call.function.arguments)) == (
        "weather",
        {"city": "Rome"},
    )
    assert said.choices[0].finish_reason == "tool_calls"
    other = {"type": "function", "function": {"name": "time", "parameters": {"type": "object"}}}
    said = speaker.chat.completions.create(
        model="local:scripted", messages=hello(), tools=[tool, other], tool_choice="required"
    )
    assert said.choices[0].finish_reason == "tool_calls"
    streamed = speaker.chat.completions.create(
        model="local:scripted", messages=hello(), tools=[tool], stream=True
    )
    calls = [p.choices[0].delta.tool_calls for p in streamed if p.choices[0].delta.tool_calls]
    assert calls[0][0].function.name == "weather"
    assert (
        len(speaker.chat.completions.create(model="local:scripted", messages=hello(), n=3).choices)
        == 3
    )


def test_calls_that_an_endpoint_writes_in_parts_come_in_parts(engine: sa.Engine) -> None:
    """The SDK's own stream puts them together; the log has them whole."""
    parts = [
        {"index": 4, "id": "call_x", "type": "function", "function": {"name": "a", "arguments": ""}},
        {"index": 4, "function": {"arguments": '{"city": '}},
        {"index": 4, "function": {"arguments": '"Rome"}'}},
        {"index": 5, "id": "call_y", "type": "function", "function": {"name": "b", "arguments": "{}"}},
    ]  # fmt: skip
    choices = [{"index": 0, "delta": {"tool_calls": [part]}} for part in parts]
    choices.append({"index": 0, "delta": {}, "finish_reason": "tool_calls"})
    events = [json.dumps({"choices": [one]}) for one in choices]
    body = "".join(f"data: {one}\n\n" for one in [*events, "[DONE]"]).encode()
    tools = [{"type": "function", "function": {"name": n, "parameters": {}}} for n in "ab"]
    with ScriptedServer(lambda _: "unused", faults=[Fault(status=200, body=body)]) as upstream:
        endpoints = {"up": EndpointSettings(base_url=upstream.url)}
        with serving(Gateway(engine, lambda: ModelPool(endpoints))) as url:
            asked = {"model": "up/m", "messages": hello(), "tools": tools}
            with client(url).chat.completions.stream(**asked) as stream:  # type: ignore[call-overload]
                kinds = [event.type for event in stream]
                (choice,) = stream.get_final_completion().choices

    assert kinds.count("tool_calls.function.arguments.delta") == 4
    calls = choice.message.tool_calls
    assert [(one.function.name, one.function.arguments) for one in calls] == [("a", '{"city": "Rome"}'), ("b", "{}")]  # fmt: skip
    assert len({one.id for one in calls}) == 2
    assert choice.finish_reason == "tool_calls"
    (line,) = logged(engine, 1)
    assert [one["name"] for one in line.body["replies"][0]["tool_calls"]] == ["a", "b"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("parts", "error", "message"),
    [
        ({"model": "nope"}, openai.NotFoundError, "unknown model 'nope'"),
        ({"model": "up"}, openai.NotFoundError, "unknown model 'up'"),
        ({"temperature": 3}, openai.BadRequestError, "from 0 to 2"),
        ({"n": 0}, openai.BadRequestError, "'n' must be a whole number"),
        ({"messages": []}, openai.BadRequestError, "at least one message"),
        ({"messages": [{"role": "robot", "content": "x"}]}, openai.BadRequestError, "messages"),
        ({"messages": [{"role": "user", "content": 5}]}, openai.BadRequestError, "must be text"),
        ({"logit_bias": {"5": 1}}, openai.BadRequestError, "not supported"),
        ({"top_logprobs": 3}, openai.BadRequestError, "needs .logprobs."),
        ({"extra_body": {"tempurature": 1}}, openai.BadRequestError, "Did you mean 'temperature'"),
        ({"extra_body": {"inputs": {"a": 1}}}, openai.BadRequestError, "for releases"),
        ({"response_format": {"type": "xml"}}, openai.BadRequestError, "response_format"),
        ({"stop": [1]}, openai.BadRequestError, "stop"),
        ({"messages": hello("broken")}, openai.InternalServerError, "upstream is down"),
        ({"messages": hello("busy")}, openai.RateLimitError, "too many"),
        ({"messages": hello("bug")}, openai.InternalServerError, "the server failed"),
    ],
)
def test_every_error_has_the_shape_that_the_sdk_knows(
    url: str,
    engine: sa.Engine,
    parts: dict[str, object],
    error: type[openai.APIError],
    message: str,
) -> None:
    """The right exception of the SDK, its message, and a line in the log; the server goes on, whole or streamed."""
    speaker = client(url)
    for streamed in (False, True):
        with pytest.raises(error, match=message):
            list(
                speaker.chat.completions.create(
                    **{"model": "local:scripted", "messages": hello(), "stream": streamed, **parts}
                )
            )
    assert all(one.status >= 400 and one.problem for one in logged(engine, 2))
    assert speaker.chat.completions.create(model="local:scripted", messages=hello()).choices


def test_a_release_fills_its_template_and_can_be_replayed(url: str, engine: sa.Engine) -> None:
    """The fields by name; a promotion is taken over while the server runs; the log keeps the inputs and who answered."""
    first = starting_candidate(TASK)
    second = first.changed(system="Be careful. {{instructions}}")
    promote(engine, TASK, first, name="desk")
    speaker, inputs = client(url), {"message": "it burns", "product": "oven"}

    def ask(**parts: object) -> str:
        said = speaker.chat.completions.create(
            model="desk", messages=hello("ignored"), extra_body={"inputs": {**inputs, **parts}}
        )
        return str(said.choices[0].message.content)

    assert ask() == "You said: message: it burns\nproduct: oven"
    with pytest.raises(openai.BadRequestError, match="takes the fields message, product"):
        speaker.chat.completions.create(model="desk", messages=hello())
    with pytest.raises(openai.BadRequestError, match="has no field 'colour'"):
        ask(colour="red")
    assert promote(engine, TASK, second, name="desk").number == 2
    assert promote(engine, TASK, second, name="desk").number == 2
    until(lambda: (ask(), logged(engine, 1)[-1].candidate_id == second.id)[1])
    answered = next(one for one in logged(engine, 1) if one.status == 200)
    assert answered.candidate_id == first.id
    assert answered.body["inputs"] == inputs
    assert "desk" in [model.id for model in speaker.models.list()]


def until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    for _ in range(60):
        if is_so():
            return
        time.sleep(0.1)
    raise AssertionError("it never came to be")


def test_feedback_finds_its_request(url: str, engine: sa.Engine) -> None:
    """Thumb, score, comment and answer are kept beside the request; nonsense is refused; keys are blacked out."""
    speaker = client(url)
    said = speaker.chat.completions.create(
        model="local:scripted", messages=hello("my key is sk-abcdefghijklmnop1234")
    )

    def give(**body: object) -> dict[str, object]:
        return speaker.post("/feedback", cast_to=object, body=body)  # type: ignore[return-value]

    assert give(id=said.id, thumb="up", score=0.5, comment="fine")["thumb"] == "up"
    for body in ({}, {"thumb": "sideways"}, {"score": 2}, {"stars": 5}):
        with pytest.raises(openai.BadRequestError):
            give(id=said.id, **body)
    with pytest.raises(openai.NotFoundError, match="no request has the id"):
        give(id="chatcmpl-none", thumb="down")
    (one,) = logged(engine, 1)
    assert one.feedback == ({"thumb": "up", "score": 0.5, "comment": "fine"},)
    assert "sk-abc" not in json.dumps(one.body)


def test_an_endpoint_behind_it_is_tried_again(url: str, upstream: ScriptedServer) -> None:
    """The first call fails with 500 and is tried again; the client sees nothing of it."""
    said = client(url).chat.completions.create(model="up/m", messages=hello())
    assert said.choices[0].message.content == "from upstream"
    assert upstream.calls == 2


def test_many_at_once_are_all_answered_and_logged_once(url: str, engine: sa.Engine) -> None:
    """600 requests, 64 at once, some of them bound to fail: every one has an answer or an error, and its line in the log."""
    texts = [("broken" if k % 7 == 0 else "busy" if k % 11 == 0 else f"q{k}") for k in range(600)]

    async def work() -> list[object]:
        turn = asyncio.Semaphore(64)
        async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as speaker:

            async def one(text: str) -> object:
                async with turn:
                    try:
                        return await speaker.chat.completions.create(
                            model="local:scripted", messages=hello(text)
                        )
                    except openai.APIStatusError as error:
                        return error

            return await asyncio.gather(*map(one, texts))

    outcomes = asyncio.run(work())
    failed = sum(isinstance(outcome, openai.APIStatusError) for outcome in outcomes)
    assert failed == sum(text in ("broken", "busy") for text in texts)
    found = logged(engine, 600)
    assert len({one.id for one in found}) == len(found) == 600
    assert sum(one.status >= 400 for one in found) == failed


def test_unknown_paths_and_broken_bodies(url: str) -> None:
    """404 and 405 name what there is; a body that is no JSON is 400; health answers."""
    speaker = client(url)
    with pytest.raises(openai.NotFoundError, match="there are /healthz, /metrics, /v1/chat"):
        speaker.moderations.create(input="y")
    with pytest.raises(openai.APIStatusError, match="not allowed"):
        speaker.get("/chat/completions", cast_to=object)
    with pytest.raises(openai.BadRequestError, match="no JSON"):
        speaker.post(
            "/chat/completions",
            cast_to=object,
            content=b"{",
            options={"headers": {"content-type": "application/json"}},
        )


def test_a_release_takes_its_only_field_from_the_message(url: str, engine: sa.Engine) -> None:
    """With one field plain chat clients need nothing new."""
    one_field = TASK.model_copy(update={"inputs": (InputField(name="message"),)})
    promote(engine, one_field, starting_candidate(one_field), name="plain")
    until(lambda: "plain" in [m.id for m in client(url).models.list()])
    said = client(url).chat.completions.create(model="plain", messages=hello("it burns"))
    assert said.choices[0].message.content == "You said: it burns"


def test_nobody_slips_in_while_the_keys_are_read(engine: sa.Engine) -> None:
    """Twenty requests at once to a server that has just started, and has keys: every one is refused."""
    add_key(engine, "ann", ("chat",))
    gateway = Gateway(engine, lambda: ModelPool(ready={"local:scripted": ScriptedModel(says)}))

    async def work(url: str) -> list[object]:
        async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as speaker:
            asked = (
                speaker.chat.completions.create(model="local:scripted", messages=hello())
                for _ in range(20)
            )
            return await asyncio.gather(*asked, return_exceptions=True)

    with serving(gateway) as url:
        outcomes = asyncio.run(work(url))
    assert {type(outcome) for outcome in outcomes} == {openai.AuthenticationError}
