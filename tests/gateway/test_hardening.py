"""What was once broken: bodies that kill the log, clients that go away, names that mean something else, races between processes."""

import json
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
import sqlalchemy as sa
from benchmarks.log.run import TRIGGERS
from tests.gateway.test_contract import hello, logged, serving
from tests.gateway.test_policies import ask, count_up, down, gateway

from ratchet.core.errors import UnknownModelError, UsageError
from ratchet.gateway import Gateway
from ratchet.models import ChatReply, ChatRequest, ModelPool
from ratchet.store import EndpointSettings, create_workspace, open_database
from ratchet.store.jobs import add_event, add_job, change_job, job_events_of
from ratchet.store.redact import redacted
from ratchet.testing import ScriptedModel


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    """Give an empty database on disk."""
    opened = open_database(f"sqlite:///{tmp_path / 'r.db'}")
    yield opened
    opened.dispose()


@pytest.mark.parametrize("log", ["fast", "durable"])
def test_no_body_ends_the_log(engine: sa.Engine, log: str) -> None:
    """A body nested a thousand deep, and one that no database takes, are answered and noted; the log goes on."""
    deep: list[object] = []
    for _ in range(900):
        deep = [deep]
    with serving(gateway(engine, count_up([]), log=log)) as url:
        ask(url, extra_body={"metadata": deep})
        ask(url, "nul \x00 inside")
        ask(url, extra_body={"metadata": {"n": 2**70}})
        ask(url)

    assert len(logged(engine, 4)) == 4
    asked = [json.dumps(one.body) for one in logged(engine, 4)]
    assert any("nul" in one and "inside" in one and "\\u0000" not in one for one in asked)


def test_a_request_that_the_database_refuses_is_counted(engine: sa.Engine, tmp_path: Path) -> None:
    """It is answered as any other; `/metrics` and `/healthz` count it, and its neighbours are in the log."""
    with engine.begin() as connection:
        for statement in TRIGGERS["sqlite"]:
            connection.exec_driver_sql(statement)
    pool = ModelPool(ready={"local:one": count_up([])})
    with serving(Gateway(engine, lambda: pool, log_folder=tmp_path / "log")) as url:
        ask(url)
        assert ask(url, user="refused")
        ask(url)
        assert len(logged(engine, 2)) == 2
        root = url.removesuffix("/v1")
        for _ in range(100):
            figures = urllib.request.urlopen(f"{root}/metrics").read().decode()
            if "ratchet_log_refused 1.0" in figures:
                break
            time.sleep(0.02)
        health = json.loads(urllib.request.urlopen(f"{root}/healthz").read())

    assert "ratchet_log_refused 1.0" in figures
    assert "ratchet_log_waiting 0.0" in figures
    assert "ratchet_log_lost 0.0" in figures
    assert (health["status"], health["log_refused"]) == ("ok", 1)


def test_feedback_on_what_no_database_could_hold_is_feedback_on_nothing(engine: sa.Engine) -> None:
    """An id with NUL in it is unknown, as any other that is not in the log; NUL in a comment is no reason to refuse it."""
    with serving(gateway(engine, count_up([]))) as url:
        sdk = openai.OpenAI(base_url=url, api_key="x", max_retries=0)
        with pytest.raises(openai.NotFoundError, match="no request has the id"):
            sdk.post("/feedback", cast_to=object, body={"id": "a\x00b", "thumb": "up"})
        ask(url)
        (one,) = logged(engine, 1)
        sdk.post("/feedback", cast_to=object, body={"id": one.id, "comment": "nul \x00 inside"})
        (one,) = logged(engine, 1)

    assert one.feedback == ({"comment": "nul \ufffd inside"},)


def test_secrets_go_wherever_they_stand_and_json_stays_json() -> None:
    """At the start of a line, over several texts, and never out of a number."""
    body = {
        "a": "key:\nsk-abcdefghijklmnopqrst\tAKIAABCDEFGHIJKLMNOP",
        "b": ["-----BEGIN PRIVATE KEY-----", {"c": "-----END PRIVATE KEY-----"}],
        "seed": 4111111111111111,
        "x": 1234.567891,
        "mail": "hi\nbob@example.org",
    }

    clean = json.loads(redacted(body, ("secrets", "pii")))

    assert clean["a"] == "key:\n[secret]\t[secret]"
    assert (clean["seed"], clean["x"], clean["mail"]) == (
        4111111111111111,
        1234.567891,
        "hi\n[email]",
    )
    assert clean["b"] == body["b"]


def test_a_client_that_goes_away_ends_its_request(engine: sa.Engine) -> None:
    """After the first pieces the connection is closed: the model is asked for no more, and the log says who went."""
    made: list[int] = []

    class Slow(ScriptedModel):
        async def stream(self, request: ChatRequest):  # type: ignore[no-untyped-def,override]
            import asyncio

            for k in range(200):
                made.append(k)
                yield "word "
                await asyncio.sleep(0.02)
            yield ChatReply(text="word " * 200)

    with serving(gateway(engine, Slow(lambda _: "", name="local:one"))) as url:
        port = int(url.split(":")[2].split("/")[0])
        body = json.dumps({"model": "local:one", "messages": hello(), "stream": True})
        with socket.create_connection(("127.0.0.1", port)) as raw:
            raw.sendall(
                f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
            )
            raw.recv(400)
        (one,) = logged(engine, 1)
        count = len(made)
        time.sleep(0.2)

    assert one.status == 499
    assert count < 100
    assert len(made) <= count + 1


def test_who_stood_in_is_said_everywhere_and_remembered_nowhere(engine: sa.Engine) -> None:
    """The header is on streams and texts too; an answer of another model is not kept as this one's."""
    dead, counter = ScriptedModel(down, name="local:dead"), list[str]()
    rule = {"local:dead": ["local:one"]}
    with serving(gateway(engine, dead, count_up(counter), fallbacks=rule, cache_s=60)) as url:
        sdk = openai.OpenAI(base_url=url, api_key="x", max_retries=0)
        first = ask(url, model="local:dead")
        second = ask(url, model="local:dead")
        with sdk.chat.completions.with_streaming_response.create(
            model="local:dead",
            messages=hello(),  # type: ignore[arg-type]
            stream=True,
        ) as streamed:
            headers = dict(streamed.headers)
            streamed.read()

    assert (first, second) == ("answer 1", "answer 2")
    assert headers["x-ratchet-model"] == "local:one"
    assert [one.body.get("answered_by") for one in logged(engine, 3)] == ["local:one"] * 3


def test_names_do_not_leave_the_workspace(tmp_path: Path) -> None:
    """A stranger's name opens no folder elsewhere, and is told nothing of it; an adapter cannot take a model's name."""
    from ratchet.jobs.adapters import add_adapter

    (tmp_path / "w").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "config.json").write_text("{}", "utf-8")
    pool = ModelPool(
        {"far": EndpointSettings(base_url="http://x/v1")}, root=tmp_path / "w", confined=True
    )

    for name in ("local:../out", f"local:{tmp_path / 'out'}", "local:./nano/."):
        with pytest.raises(UnknownModelError) as refused:
            pool.model(name)
        assert str(tmp_path) not in str(refused.value).replace(name, "")
    workspace = create_workspace(tmp_path / "w")
    for name in ("local:nano", "ft:nano:x:1"):
        with pytest.raises(UsageError, match="means something else"):
            add_adapter(workspace, name, "local:nano", tmp_path, source="x")


def test_a_job_is_resumed_once(engine: sa.Engine) -> None:
    """Of two that resume at once one wins; what a worker has taken up in between stays running; events of two writers all count."""
    job = add_job(engine, {"model": "m"})
    change_job(engine, job.id, "paused")

    assert change_job(engine, job.id, "queued", only=("paused",), again=True)
    assert not change_job(engine, job.id, "queued", only=("paused",), again=True)
    change_job(engine, job.id, "running")
    assert not change_job(engine, job.id, "queued", only=("paused",), again=True)

    def write() -> None:
        for k in range(40):
            add_event(engine, job.id, str(k))

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(job_events_of(engine, job.id)) == 120


@pytest.mark.local
def test_one_bad_request_hurts_no_neighbour() -> None:
    """In one batch of the local model: a tiny temperature, a schema that cannot be followed, a prompt that is too long, and a good one."""
    import asyncio

    pytest.importorskip("torch")
    good = ChatRequest(messages=[{"role": "user", "content": "Repeat: red"}], max_tokens=10**6)
    long = ChatRequest(messages=[{"role": "user", "content": "word " * 5000}])
    cold = ChatRequest(messages=[{"role": "user", "content": "Repeat: red"}], temperature=1e-40)
    bad = ChatRequest(
        messages=[{"role": "user", "content": "x"}], json_schema={"type": "no such type"}
    )

    async def work() -> list[ChatReply | BaseException]:
        async with ModelPool() as pool:
            calls = (pool.model("local:nano").chat(one) for one in (good, long, cold, bad, good))
            return await asyncio.gather(*calls, return_exceptions=True)

    first, too_long, colder, schema, last = asyncio.run(work())

    assert isinstance(first, ChatReply)
    assert isinstance(last, ChatReply)
    assert isinstance(colder, ChatReply)
    assert first.text == last.text == colder.text == "red"
    assert "tokens, and the model has places for" in str(too_long)
    assert isinstance(schema, Exception)


def test_no_tool_is_called_where_none_may_be(engine: sa.Engine) -> None:
    """`tool_choice` none leaves the tools out."""
    seen: list[object] = []

    def says(request: ChatRequest) -> str:
        seen.append(request.tools)
        return "no"

    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    model = ScriptedModel(says, name="local:one")
    with serving(Gateway(engine, lambda: ModelPool(ready={"local:one": model}))) as url:
        ask(url, tools=[tool], tool_choice="none")
        with pytest.raises(openai.BadRequestError, match="tool_calls"):
            openai.OpenAI(base_url=url, api_key="x").chat.completions.create(
                model="local:one",
                messages=[{"role": "assistant", "content": "x", "tool_calls": "abc"}],  # type: ignore[list-item]
            )

    assert seen == [None]


async def test_made_up_names_fill_no_pool(tmp_path: Path) -> None:
    """A thousand names of an endpoint that do not exist: what was asked last stays, what was handed over stays, and any name can be opened."""
    settings = {"up": EndpointSettings(base_url="http://127.0.0.1:1/v1")}
    ready = ScriptedModel(lambda _: "", name="local:one")
    async with ModelPool(
        settings, root=tmp_path, ready={"local:one": ready}, confined=True
    ) as pool:
        real = pool.model("up/real")
        for number in range(1000):
            pool.model(f"up/made-up-{number}")
            assert pool.model("up/real") is real
        pool.forget_gone()
        assert pool.model("local:one") is ready
        assert not pool.is_open("up/made-up-0")
        assert pool.is_open("up/made-up-999")
