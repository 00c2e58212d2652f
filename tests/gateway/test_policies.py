"""What the owner of a server sets: limits of keys, who stands in, what is remembered, how the log is kept; and other endpoints."""

import asyncio
import json
import sqlite3
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import openai
import pytest
import sqlalchemy as sa
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.util._once import Once
from tests.gateway.test_contract import client, hello, logged, serving

from ratchet.answer import starting_candidate
from ratchet.core import (
    AnswerForm,
    Decoding,
    Demonstration,
    InputField,
    MetricSpec,
    Nearest,
    Roles,
    Task,
)
from ratchet.core.errors import ReplyError, StoreError
from ratchet.gateway import Gateway
from ratchet.gateway.fresh import Fresh
from ratchet.ladder import promote
from ratchet.models import ChatRequest, ModelPool
from ratchet.store import EndpointSettings, ServeSettings, open_database
from ratchet.store.keys import add_key
from ratchet.store.redact import redacted
from ratchet.testing import ScriptedModel, ScriptedServer


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    """Give an empty database on disk."""
    opened = open_database(f"sqlite:///{tmp_path / 'r.db'}")
    yield opened
    opened.dispose()


def count_up(counter: list[str]) -> ScriptedModel:
    """Return a model that says how often it was asked."""

    def says(request: ChatRequest) -> str:
        counter.append(str(request.messages[-1]["content"]))
        return f"answer {len(counter)}"

    return ScriptedModel(says, name="local:one")


def down(_request: ChatRequest) -> Exception:
    """Give no reply."""
    return ReplyError("it is down", kind="connection")


def test_a_release_answers_as_it_was_measured(engine: sa.Engine) -> None:
    """A candidate that repairs and samples does so behind the server too, streamed or not; the tokens of all calls are told."""
    task = Task(
        name="pick",
        instructions="Pick.",
        inputs=(InputField(name="q"),),
        answer=AnswerForm(kind="label", labels=("yes", "no")),
        metric=MetricSpec(name="label"),
        models=Roles(student="local:one"),
    )

    def says(request: ChatRequest) -> str:
        return "yes" if len(request.messages) > 2 else "hm"

    model = ScriptedModel(says, name="local:one")
    candidate = starting_candidate(task).changed(
        decoding=Decoding(repairs=1, samples=3, temperature=0.5)
    )
    promote(engine, task, candidate, name="pick")
    with serving(gateway(engine, model)) as url:
        speaker = client(url)
        whole = speaker.chat.completions.create(model="pick", messages=hello("is it?"))
        stream = speaker.chat.completions.create(
            model="pick", messages=hello("is it?"), stream=True
        )
        pieces = [c.choices[0].delta.content or "" for c in stream if c.choices]
        bare = speaker.chat.completions.create(model="local:one", messages=hello("is it?"))

    assert whole.choices[0].message.content == "".join(pieces) == "yes"
    assert bare.choices[0].message.content == "hm"
    assert len(model.requests) == 6 + 6 + 1
    assert whole.usage
    assert bare.usage
    assert whole.usage.prompt_tokens > 6 * bare.usage.prompt_tokens


def test_a_release_that_reasons_answers_with_its_answer(engine: sa.Engine) -> None:
    """What was measured is the part behind the last such words; all that was said is told beside it, streamed or not."""
    task = Task(
        name="sum",
        instructions="Add.",
        inputs=(InputField(name="q"),),
        metric=MetricSpec(name="exact"),
        models=Roles(student="local:one"),
    )
    said = "One and one. Answer: no, wait. ANSWER: 2 "
    model = ScriptedModel(lambda _: said, name="local:one")
    candidate = starting_candidate(task).changed(answer="Answer: {{answer}}")
    promote(engine, task, candidate, name="sum")
    with serving(gateway(engine, model)) as url:
        speaker = client(url)
        whole = speaker.chat.completions.create(model="sum", messages=hello("1 + 1"))
        chunks = list(speaker.chat.completions.create(model="sum", messages=hello("1 + 1"), stream=True))  # fmt: skip

    assert whole.choices[0].message.content == "2"
    assert whole.model_extra == {"ratchet": {"reasoning": said}}
    assert [c.choices[0].delta.content for c in chunks if c.choices and c.choices[0].delta.content] == ["2"]  # fmt: skip
    assert {"reasoning": said} in [(c.model_extra or {}).get("ratchet") for c in chunks]


@pytest.mark.local
def test_a_release_shows_what_is_near_and_checks_what_it_says(
    engine: sa.Engine, tmp_path: Path
) -> None:
    """Demonstrations follow the request's inputs, and the task's own check hands bad answers back, as they did when it was measured."""
    (tmp_path / "checks.py").write_text(
        "def polite(inputs, answer):\n    return None if 'please' in answer else f'say please about {inputs[\"q\"]}'\n"
    )
    task = Task(
        name="pick",
        instructions="Pick.",
        inputs=(InputField(name="q"),),
        answer=AnswerForm(check="checks.py:polite"),
        metric=MetricSpec(name="exact"),
        models=Roles(student="local:one"),
    )

    def says(request: ChatRequest) -> str:
        shown = request.messages[2]["content"]
        return f"{shown}, please" if "say please" in request.messages[-1]["content"] else str(shown)

    shown = (("The cat sleeps.", "cat"), ("Snow fell last night.", "weather"))
    candidate = starting_candidate(task).changed(
        decoding=Decoding(repairs=1),
        demonstrations=[Demonstration(inputs={"q": q}, answer=a) for q, a in shown],
        nearest=Nearest(count=1),
    )
    promote(engine, task, candidate, name="pick")
    ready = {"local:one": ScriptedModel(says, name="local:one")}
    served = Gateway(
        engine, lambda: ModelPool(ready=ready, root=tmp_path), settings=ServeSettings()
    )
    with serving(served) as url:
        assert ask(url, "A storm is coming.", "pick") == "weather, please"
        assert ask(url, "My kitten naps.", "pick") == "cat, please"


def gateway(engine: sa.Engine, *models: ScriptedModel, **settings: object) -> Gateway:
    """Return a gateway to these models."""
    ready = {model.name: model for model in models}
    return Gateway(
        engine,
        lambda: ModelPool(ready=ready),
        settings=ServeSettings.model_validate(settings),
    )


def ask(url: str, text: str = "x", model: str = "local:one", **more: object) -> str | None:
    """Return the reply to a text."""
    sdk = client(url)
    said = sdk.chat.completions.create(model=model, messages=hello(text), **more)  # type: ignore[call-overload]
    return str(said.choices[0].message.content)


def test_the_same_request_is_remembered_where_that_is_wanted(engine: sa.Engine) -> None:
    """Asked again it costs nothing and says the same, whole and streamed; any other request, or a later one, is asked."""
    counter: list[str] = []
    with serving(gateway(engine, count_up(counter), cache_s=0.5)) as url:
        sdk = client(url)
        first = ask(url)
        again = sdk.chat.completions.with_raw_response.create(
            model="local:one", messages=hello("x")
        )  # type: ignore[arg-type]
        stream = sdk.chat.completions.create(model="local:one", messages=hello("x"), stream=True)  # type: ignore[call-overload]
        streamed = "".join(piece.choices[0].delta.content or "" for piece in stream)
        other = ask(url, temperature=0.3)
        time.sleep(0.6)
        later = ask(url)

    assert first == again.parse().choices[0].message.content == streamed == "answer 1"
    assert again.headers["x-ratchet-cache"] == "hit"
    assert (other, later) == ("answer 2", "answer 3")
    assert len(logged(engine, 5)) == 5


def test_nobody_stands_in_unless_it_is_said(engine: sa.Engine) -> None:
    """A model that is down is answered by the one named for it, and the response says so; without a rule it is an error."""
    dead, alive = ScriptedModel(down, name="local:dead"), count_up([])
    rule = {"local:dead": ["local:one"]}
    with serving(gateway(engine, dead, alive, fallbacks=rule)) as url:
        said = client(url).chat.completions.with_raw_response.create(
            model="local:dead",
            messages=hello(),  # type: ignore[arg-type]
        )
        stream = client(url).chat.completions.create(
            model="local:dead", messages=hello(), stream=True
        )  # type: ignore[call-overload]
        pieces = [piece.choices[0].delta.content or "" for piece in stream]

    assert said.parse().choices[0].message.content == "answer 1"
    assert said.headers["x-ratchet-model"] == "local:one"
    assert "".join(pieces) == "answer 2"
    assert logged(engine, 2)[0].body["answered_by"] == "local:one"
    with serving(gateway(engine, dead, alive)) as url, pytest.raises(openai.InternalServerError):
        ask(url, model="local:dead")


def test_keys_have_limits(engine: sa.Engine) -> None:
    """A key that asks too often is told when to come again; one that has spent its dollars gets nothing more; others go on."""
    often = add_key(engine, "often", ("chat",), requests_a_minute=2)
    poor = add_key(engine, "poor", ("chat",), usd_a_day=0.0)
    rich = add_key(engine, "rich", ("chat",))

    def sdk(key: str, url: str) -> openai.OpenAI:
        return openai.OpenAI(base_url=url, api_key=key, max_retries=0)

    with serving(gateway(engine, count_up([]))) as url:
        for _ in range(2):
            sdk(often, url).chat.completions.create(model="local:one", messages=hello())  # type: ignore[arg-type]
        with pytest.raises(openai.RateLimitError, match="2 requests a minute") as limited:
            sdk(often, url).chat.completions.create(model="local:one", messages=hello())  # type: ignore[arg-type]
        with pytest.raises(openai.RateLimitError, match="has spent its"):
            sdk(poor, url).chat.completions.create(model="local:one", messages=hello())  # type: ignore[arg-type]
        sdk(rich, url).chat.completions.create(model="local:one", messages=hello())  # type: ignore[arg-type]

    assert 1 <= int(limited.value.response.headers["retry-after"]) <= 30
    assert limited.value.code == "rate_limit_exceeded"
    assert [one.key for one in logged(engine, 3)] == ["often", "often", "rich"]


def test_a_durable_log_holds_what_was_answered(engine: sa.Engine) -> None:
    """By the time a reply is there its line is in the database; where it cannot be written, there is an error and no reply."""
    with serving(gateway(engine, count_up([]), log="durable")) as url:
        for number in range(5):
            ask(url, str(number))
            assert len(logged(engine, 0)) == number + 1
        stream = client(url).chat.completions.create(
            model="local:one", messages=hello(), stream=True
        )  # type: ignore[call-overload]
        assert len(list(stream)) > 2
        assert len(logged(engine, 0)) == 6
        with pytest.raises(openai.NotFoundError):
            ask(url, model="local:nobody")
        assert len(logged(engine, 0)) == 7  # errors are replies too

        with sqlite3.connect(engine.url.database or "") as raw:
            raw.execute("ALTER TABLE requests RENAME TO moved")
        with pytest.raises(openai.APIStatusError) as failed:
            ask(url)
        assert failed.value.status_code == 507
        with sqlite3.connect(engine.url.database or "") as raw:
            raw.execute("ALTER TABLE moved RENAME TO requests")
        assert ask(url)


def test_a_fast_log_catches_up(engine: sa.Engine) -> None:
    """While the log cannot be written replies go on and `/healthz` says so; afterwards every line is there, once."""
    with serving(gateway(engine, count_up([]))) as url:
        with sqlite3.connect(engine.url.database or "") as raw:
            raw.execute("ALTER TABLE requests RENAME TO moved")
        for number in range(20):
            assert ask(url, str(number))
        time.sleep(0.3)
        with urllib.request.urlopen(url.removesuffix("/v1") + "/healthz") as health:
            assert b"log failing" in health.read()
        with sqlite3.connect(engine.url.database or "") as raw:
            raw.execute("ALTER TABLE moved RENAME TO requests")
        found = logged(engine, 20)
        with urllib.request.urlopen(url.removesuffix("/v1") + "/metrics") as figures:
            text = figures.read().decode()

    assert len({one.id for one in found}) == 20
    assert 'ratchet_requests_total{model="local:one",status="200"} 20.0' in text
    assert "ratchet_log_lost 0.0" in text


def test_secrets_and_personal_data_are_blacked_out() -> None:
    """Keys, mail addresses, cards that pass the check, account and phone numbers go; ordinary numbers stay."""
    body = {
        "text": "key sk-abcdefghijklmnopqrst mail ann@example.org card 4111 1111 1111 1111 "
        "iban DE89 3704 0044 0532 0130 00 ip 10.0.0.1 call +49 170 1234567 order 20261122 price 12.50"
    }

    plain = redacted(body, ("secrets",)).decode()
    clean = redacted(body, ("secrets", "pii")).decode()

    assert "[secret]" in plain
    assert "ann@example.org" in plain
    for gone in ("ann@", "4111 1111 1111 1111", "DE89", "10.0.0.1", "1234567"):
        assert gone not in clean
    for kept in ("20261122", "12.50"):
        assert kept in clean


@pytest.mark.parametrize(
    "text",
    [
        "sk-abcdefghijklmnopqrst", "rk-abcdefghijklmnopqrst", "pk-abcdefghijklmnopqrst", *(f"gh{kind}_abcdefghijklmnopqrstuv" for kind in "pousr"), "AKIAABCDEFGHIJKLMNOP",
        "xoxb-1234567890ab", "AIza" + "a" * 35, "hf_abcdefghijklmnopqrst", "glpat-abcdefghijklmnopqrst", "eyJabcdefgh.eyJabcdefgh.abcdefgh",
        "-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----", "ann@example.org", "DE89370400440532013000",
        "4111111111111111", "123-45-6789", "10.0.0.1", "555 123 4567", "(030) 1234567",
    ],
)  # fmt: skip
def test_each_form_is_found_where_it_stands_alone(text: str) -> None:
    """The signs by which a request is passed over miss none of the forms."""
    assert text not in json.loads(redacted({"a": {"b": ["é\n", text]}}, ("secrets", "pii")))["a"]["b"][1]  # fmt: skip


def test_who_comes_while_something_is_read_waits_for_the_same_reading() -> None:
    """Fifty at once read it once, whoever goes away meanwhile; who comes after it was taken for old waits for the next one, and nobody for more than that."""
    begun, goes_on = 0, asyncio.Event()

    async def read() -> None:
        nonlocal begun
        begun += 1
        goes_on.clear()
        await goes_on.wait()

    async def go() -> None:
        known = Fresh(read)
        gone, *waiting = [asyncio.create_task(known.ensure()) for _ in range(50)]
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        known.expire()
        after = asyncio.create_task(known.ensure())
        await asyncio.sleep(0)
        assert begun == 1
        goes_on.set()
        await asyncio.gather(*waiting)
        assert not after.done()
        assert begun == 2
        known.expire()  # what is being read is old already, and good enough for who waits for it
        goes_on.set()
        await after
        assert begun == 2

    asyncio.run(go())


def test_where_names_cannot_be_read_all_who_wait_are_told_and_the_next_reads_again() -> None:
    """None of them waits for a reading of its own."""
    tried = 0

    async def read() -> None:
        nonlocal tried
        tried += 1
        await asyncio.sleep(0.02)
        if tried == 1:
            raise StoreError("the disk is gone")

    async def go() -> None:
        known = Fresh(read)
        ended = await asyncio.gather(*(known.ensure() for _ in range(20)), return_exceptions=True)
        assert [str(error) for error in ended] == ["the disk is gone"] * 20
        await known.ensure()
        await known.ensure()

    asyncio.run(go())
    assert tried == 2


@pytest.mark.local
def test_texts_likelihoods_and_vectors(engine: sa.Engine) -> None:
    """The real local model: a text goes on without a chat, likelihoods come whole and streamed, vectors are near where meaning is."""
    pytest.importorskip("torch")
    with serving(Gateway(engine, ModelPool)) as url:
        sdk = client(url)
        text = sdk.completions.create(
            model="local:nano",
            prompt=["<|bos|><|user|>Repeat: red<|end|><|assistant|>", "red red red"],
            max_tokens=4,
            temperature=0,
            logprobs=2,
            stop="<|end|>",
        )
        stream = sdk.completions.create(
            model="local:nano",
            prompt="<|bos|><|user|>Repeat: red<|end|><|assistant|>",
            max_tokens=4,
            temperature=0,
            stream=True,
        )
        streamed = "".join(piece.choices[0].text for piece in stream)
        chat = sdk.chat.completions.create(
            model="local:nano",
            messages=hello("Repeat: red"),  # type: ignore[arg-type]
            temperature=0,
            max_tokens=5,
            logprobs=True,
            top_logprobs=2,
        )
        pieces = list(
            sdk.chat.completions.create(
                model="local:nano",
                messages=hello("Repeat: red"),  # type: ignore[arg-type]
                temperature=0,
                max_tokens=5,
                logprobs=True,
                stream=True,
            )
        )
        vectors = sdk.embeddings.create(
            model="local:minilm", input=["a cat sleeps", "a kitten naps", "stock prices fell"]
        )
        short = sdk.embeddings.create(model="local:minilm", input="a cat sleeps", dimensions=64)

    assert text.choices[0].text == streamed == "red"
    assert text.choices[0].logprobs is not None
    assert len(text.choices[0].logprobs.tokens or []) == len(
        text.choices[0].logprobs.token_logprobs or []
    )
    assert [choice.index for choice in text.choices] == [0, 1]
    told = chat.choices[0].logprobs
    assert told is not None
    assert told.content
    assert "".join(one.token for one in told.content) == chat.choices[0].message.content == "red"
    assert all(one.logprob <= 0 and len(one.top_logprobs) == 2 for one in told.content)
    likely = [piece.choices[0].logprobs for piece in pieces if piece.choices[0].logprobs]
    assert likely[0].content
    assert len(likely[0].content) == len(told.content)
    found = np.array([one.embedding for one in vectors.data])
    assert found.shape == (3, 384)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert found[0] @ found[1] > found[0] @ found[2] + 0.2
    assert len(short.data[0].embedding) == 64


def test_what_goes_through_to_an_endpoint(engine: sa.Engine) -> None:
    """Vectors and likelihoods of a model behind an endpoint are handed on; an endpoint without embeddings is named."""
    with ScriptedServer(lambda _: "hi") as upstream:
        pool = {"up": EndpointSettings(base_url=upstream.url, retries=0)}
        with serving(Gateway(engine, lambda: ModelPool(pool))) as url:
            sdk = client(url)
            with pytest.raises(openai.APIStatusError, match="404"):
                sdk.embeddings.create(model="up/any", input="x")
            for wrong in ([], "", [1, 2]):
                with pytest.raises(openai.BadRequestError, match="'input'"):
                    sdk.embeddings.create(model="up/any", input=wrong)


def test_requests_are_traced(engine: sa.Engine) -> None:
    """A span a request under the client's own, with model, tokens and end, by the conventions for generative AI; errors too."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace._TRACER_PROVIDER_SET_ONCE = Once()
    trace.set_tracer_provider(provider)
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    dead = ScriptedModel(down, name="local:dead")
    with serving(gateway(engine, count_up([]), dead)) as url:
        ask(url, extra_headers={"traceparent": parent})
        with pytest.raises(openai.InternalServerError):
            ask(url, model="local:dead")
        logged(engine, 2)

    good, bad = exporter.get_finished_spans()
    assert good.name == "chat local:one"
    assert good.parent is not None
    assert format(good.parent.span_id, "x") == "b7ad6b7169203331"
    wanted = {"gen_ai.operation.name": "chat", "gen_ai.response.model": "local:one"}
    assert wanted.items() <= dict(good.attributes or {}).items()
    assert (good.attributes or {})["gen_ai.usage.output_tokens"] == 2
    assert not bad.status.is_ok
    assert "it is down" in str(bad.status.description)
