"""Models of today, each played by a stand-in that refuses what the real one refuses: all that Ratchet asks passes without a setting."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import openai
import pytest
from tests.gateway.test_contract import serving

import ratchet
from ratchet.core.errors import ParameterError
from ratchet.gateway import Gateway
from ratchet.ladder import metric_of, synthesise
from ratchet.levers import DecodingLever, PromptLever, Proposer
from ratchet.models import ChatRequest, ModelPool
from ratchet.store import EndpointSettings, create_workspace, open_database
from ratchet.testing import PERSONALITIES, ProviderServer

TOWNS = {"France": "Paris", "Peru": "Lima", "Japan": "Tokyo", "Kenya": "Nairobi"}
SCHEMA = {"type": "object", "properties": {"town": {"type": "string"}}, "required": ["town"]}
FAMILIES = sorted(PERSONALITIES)


def said(body: dict[str, object]) -> str:
    """Return the towns that a request is about, from whichever place its protocol puts the question."""
    text = json.dumps(body.get("messages") or body.get("input"))
    named = [country for country in re.findall(r"[A-Z][a-z]+", text) if country in TOWNS]
    return TOWNS[named[-1]] if named else "Paris"


def answer(body: dict[str, object]) -> "str | dict[str, object]":
    """Answer as a model would: by a call where there is a tool, in JSON where it is asked for, else in a word."""
    text = json.dumps(body)
    if body.get("tools"):
        arguments = json.dumps({"town": said(body)})
        call = {"id": "1", "type": "function", "function": {"name": "name", "arguments": arguments}}
        return {"role": "assistant", "content": None, "tool_calls": [call]}
    if '"grade' in text or "verdict" in text or '"pass"' in text:
        return json.dumps({"reason": "so it is", "verdict": "pass", "grade": 5})
    if '"system"' in text and '"user"' in text and "proposal" in text.lower():
        return json.dumps({"system": "Name the town. {{instructions}}", "user": "{{country}}"})
    return json.dumps({"town": said(body)}) if "json" in text.lower() else said(body)


@contextmanager
def served(
    family: str, say: Callable[[dict[str, object]], object] = answer
) -> Iterator[tuple[ProviderServer, EndpointSettings]]:
    """Yield a stand-in of a family, and settings that say its address and nothing else."""
    with ProviderServer(say, personality=family) as server:
        protocol = "messages" if family.startswith("claude") else None
        yield server, EndpointSettings(base_url=server.url, protocol=protocol, retries=0)


def bench_on(
    root: Path, endpoint: EndpointSettings, family: str, **form: object
) -> ratchet.Workbench:
    """Return a task for the family's model, in a workspace that knows its endpoint."""
    workspace = create_workspace(root)
    protocol = f'protocol = "{endpoint.protocol}"\n' if endpoint.protocol else ""
    settings = f'[endpoints.p]\nbase_url = "{endpoint.base_url}"\nretries = 0\n{protocol}'
    (root / "ratchet.toml").write_text(settings, "utf-8")
    task = ratchet.Task(
        name="towns",
        instructions="Name the capital. Answer in JSON." if form else "Name the capital.",
        inputs=(ratchet.InputField(name="country"),),
        answer=ratchet.AnswerForm(**form),
        metric=ratchet.MetricSpec(name="fields" if form else "match"),
        models=ratchet.Roles(student=f"p/{family}"),
    )
    examples = [
        ratchet.Example(
            inputs={"country": f"{country} {number}"},
            reference={"town": town} if form else town,
            split=split,
        )
        for country, town in TOWNS.items()
        for number, split in enumerate(("train", "train", "train", "dev", "dev", "test"))
    ]
    return ratchet.Workbench(
        task,
        examples,
        metric=metric_of(task, workspace),
        engine=workspace.database,
        files=workspace.files,
        workspace=workspace,
    )


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "form",
    [
        {},
        {"kind": "json", "json_schema": SCHEMA},
        {"kind": "tool", "tool": "name", "json_schema": SCHEMA},
    ],
    ids=["text", "json", "tool"],
)
def test_a_family_is_measured_without_a_setting(
    tmp_path: Path, family: str, form: dict[str, object]
) -> None:
    """Text, JSON and tool calls: each answer is right, and after what is learnt from the first there is a call an answer."""
    with served(family) as (server, endpoint):
        bench = bench_on(tmp_path, endpoint, family, **form)
        train = bench.split("train")

        measured = bench.measure(bench.start(), "train")

        assert (measured.score, measured.n, len(measured.missing)) == (1.0, len(train), 0)
        assert server.calls - len(server.refused) == len(train)
        assert len(server.refused) <= len(train)  # calls under way at once meet the same refusal
        before = server.calls
        bench.measure(bench.start(), "dev")
        assert server.calls - before == len(bench.split("dev"))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_proposes_and_writes_examples(tmp_path: Path, family: str) -> None:
    """Proposals and made-up examples ask for a temperature that only helps: where it is refused it is left out."""
    fresh = iter(range(10_000))

    def say(body: dict[str, object]) -> str:
        text = json.dumps(body)
        if "inputs" in text and "instructions" in text and "another example" in text.lower():
            return json.dumps(
                {"inputs": {"country": f"France {next(fresh)} of old"}, "answer": "Paris"}
            )
        return json.dumps(
            {
                "system": f"Name the town, try {next(fresh)}. {{{{instructions}}}}",
                "user": "{{country}}",
            }
        )

    with served(family, say) as (server, endpoint):
        bench = bench_on(tmp_path, endpoint, family)

        async def write(models: ModelPool) -> object:
            evidence = bench.ground(models, ratchet.Budget()).evidence
            return await synthesise(
                evidence, bench.examples, kind="alike", model=f"p/{family}", count=2
            )

        bench.with_pool(write)
        proposed = bench.climb([PromptLever(proposer=Proposer(model=f"p/{family}", count=2))])

        assert server.calls > 2
        assert proposed


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_draws_several_samples(tmp_path: Path, family: str) -> None:
    """The decoding lever leaves the temperature to a model that takes none, and no way of it is refused."""
    with served(family) as (server, endpoint):
        bench = bench_on(tmp_path, endpoint, family)
        bench.measure(bench.start())
        known = len(server.refused)

        steps = bench.climb([DecodingLever(samples=(2,), repairs=1)])

        assert steps
        assert len(server.refused) == known


async def test_a_named_temperature_that_is_refused_is_an_error() -> None:
    """A candidate that says 0 is never asked as another one: the error names the parameter and the way out."""
    request = ChatRequest(messages=[{"role": "user", "content": "Peru"}], temperature=0.0)
    with served("claude-opus-4-7") as (server, endpoint):
        with pytest.raises(
            ParameterError, match=r"temperature = 0.0.*decoding: {temperature: null}"
        ):
            await ModelPool({"p": endpoint}).model("p/claude-opus-4-7").chat(request)

        assert server.calls == 0  # it is known before anything is sent


async def test_what_nobody_knew_is_learnt_once_and_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An unknown model's refusal of what only helps is learnt from: one call more, one line, and then no more of either."""
    request = ChatRequest(
        messages=[{"role": "user", "content": "Peru"}],
        temperature=0.5,
        max_tokens=100,
        optional=frozenset(("temperature",)),
    )
    with ProviderServer(answer, personality="gpt-6.2-sol") as server:
        pool = ModelPool({"p": EndpointSettings(base_url=server.url)})
        model = pool.model("p/brand-new-model")

        replies = [await model.chat(request) for _ in range(3)]

        assert [reply.text for reply in replies] == ["Lima"] * 3
        assert len(server.refused) == 2  # the temperature, and the word for the limit
        assert server.calls == 5
        assert len([record for record in caplog.records if "asked again" in record.message]) == 2
        assert replies[-1].sent["left_out"] == ["temperature"]
        await pool.close()


async def test_a_tool_by_responses_alone_is_asked_there() -> None:
    """A model that takes no tools in chat completions is asked by the other protocol, and the reply says so."""
    tool = {"type": "function", "function": {"name": "name", "parameters": SCHEMA}}
    request = ChatRequest(messages=[{"role": "user", "content": "Peru"}], tools=[tool])
    with served("gpt-6-astra") as (server, endpoint):
        pool = ModelPool({"p": endpoint})
        reply = await pool.model("p/gpt-6-astra").chat(request)

        assert reply.tool_calls[0].name == "name"
        assert reply.sent["protocol"] == "responses"
        assert server.paths == ["responses"]
        await pool.close()


async def test_an_answer_cut_off_while_thinking_is_told_from_one_that_is_too_long() -> None:
    """A limit for the answer leaves room for thinking beside it, where the model is known to think."""
    request = ChatRequest(messages=[{"role": "user", "content": "Peru"}], max_tokens=8)
    with served("gpt-6.2-sol") as (server, endpoint):
        pool = ModelPool({"p": endpoint})
        reply = await pool.model("p/gpt-6.2-sol").chat(request)

        assert reply.text == "Lima"
        assert server.bodies[0]["max_completion_tokens"] > 64
        assert "max_tokens" not in server.bodies[0]
        await pool.close()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_judges(tmp_path: Path, family: str) -> None:
    """A judge's grade is forced into its form in each family's own way, and every answer gets one."""

    def say(body: dict[str, object]) -> str:
        text = json.dumps(body)
        return json.dumps({"reason": "", "grade": "pass"}) if "grade" in text else said(body)

    with served(family, say) as (_, endpoint):
        plain = bench_on(tmp_path, endpoint, family)
        options = {"rubric": "It is the capital.", "judges": [f"p/{family}"]}
        task = plain.task.model_copy(
            update={"metric": ratchet.MetricSpec(name="judge", options=options)}
        )
        bench = ratchet.Workbench(
            task,
            plain.examples,
            metric=metric_of(task, plain.workspace),
            engine=plain.engine,
            files=plain.files,
            workspace=plain.workspace,
        )

        measured = bench.measure(bench.start())

        assert (measured.score, len(measured.missing)) == (1.0, 0)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_served(tmp_path: Path, family: str) -> None:
    """The gateway sends an endpoint what a client names and nothing beside it; the SDK gets the reply, whole and streamed."""
    with served(family) as (server, endpoint):
        engine = open_database(f"sqlite:///{tmp_path / 'r.db'}")
        gateway = Gateway(engine, lambda: ModelPool({"p": endpoint}), names=())
        with serving(gateway) as url:
            client = openai.OpenAI(base_url=url, api_key="none", max_retries=0)
            messages = [{"role": "user", "content": "Peru"}]

            whole = client.chat.completions.create(model=f"p/{family}", messages=messages)
            pieces = client.chat.completions.create(
                model=f"p/{family}", messages=messages, stream=True
            )

            assert whole.choices[0].message.content == "Lima"
            text = "".join(p.choices[0].delta.content or "" for p in pieces if p.choices)
            assert text == "Lima"
        engine.dispose()
        assert not server.refused
        named = set().union(*server.bodies) - {"model", "messages", "stream", "stream_options"}
        assert named <= {"max_tokens"}  # which Messages demands


def test_a_trial_says_how_it_was_asked(tmp_path: Path) -> None:
    """What was sent otherwise than the candidate says stands in each trial, also once it is read back."""
    form = {"kind": "tool", "tool": "name", "json_schema": SCHEMA}
    with served("gpt-6-astra") as (_, endpoint):
        bench = bench_on(tmp_path, endpoint, "gpt-6-astra", **form)

        trials = bench.measure(bench.start()).trials

        assert all(trial.sent["protocol"] == "responses" for trial in trials)
        assert all(trial.usage.reasoning_tokens == 64 for trial in trials)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_label_is_forced_by_a_schema_where_a_candidate_asks_for_it(
    tmp_path: Path, family: str
) -> None:
    """As JSON a label comes in an object, which the endpoint forces where it can, and is read out of it."""

    def say(body: dict[str, object]) -> str:
        return json.dumps({"answer": said(body)})

    with served(family, say) as (server, endpoint):
        plain = bench_on(tmp_path, endpoint, family)
        form = ratchet.AnswerForm(kind="label", labels=tuple(TOWNS.values()))
        task = plain.task.model_copy(
            update={
                "answer": form,
                "metric": ratchet.MetricSpec(name="label"),
                "instructions": "Name the capital in JSON.",
            }
        )
        bench = ratchet.Workbench(
            task,
            plain.examples,
            metric=metric_of(task, plain.workspace),
            engine=plain.engine,
            files=plain.files,
            workspace=plain.workspace,
        )
        start = bench.start()
        forced = start.changed(decoding=start.decoding.model_copy(update={"as_json": True}))

        measured = bench.measure(forced)

        assert measured.score == 1.0
        forms = {"response_format", "text", "output_config"}
        assert forms & set(server.bodies[-1]) or family == "deepseek-chat"
