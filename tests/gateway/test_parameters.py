"""Every parameter of the SDK, for an endpoint, a model of this machine and a release: passed on, honoured, ignored and said so, or refused by name."""

import json
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
import sqlalchemy as sa
from openai.types import completion_create_params as text_params
from openai.types.chat import completion_create_params as chat_params
from tests.gateway.test_contract import TASK, hello, serving

from ratchet.answer import starting_candidate
from ratchet.gateway import Gateway
from ratchet.gateway.parameters import FATES, request_for
from ratchet.gateway.shapes import text_body
from ratchet.ladder import promote
from ratchet.models import ModelPool
from ratchet.models.endpoint import EndpointModel
from ratchet.store import EndpointSettings, open_database
from ratchet.testing import Fault, ScriptedModel, ScriptedServer

TOOL = {"type": "function", "function": {"name": "a", "parameters": {"type": "object"}}}
OTHER = {"type": "function", "function": {"name": "b", "strict": True, "description": "B."}}
VALUES: dict[str, Any] = {
    "audio": {"format": "wav", "voice": "alloy"},
    "best_of": 3,
    "echo": True,
    "frequency_penalty": 0.5,
    "function_call": {"name": "f"},
    "functions": [{"name": "f"}],
    "logit_bias": {"50256": -100},
    "logprobs": True,
    "max_completion_tokens": 7,
    "max_tokens": 9,
    "metadata": {"team": "red"},
    "modalities": ["text", "audio"],
    "moderation": {"model": "omni"},
    "n": 1,
    "parallel_tool_calls": False,
    "prediction": {"type": "content", "content": "x"},
    "presence_penalty": -0.5,
    "prompt_cache_key": "k",
    "prompt_cache_options": {"mode": "explicit"},
    "prompt_cache_retention": "24h",
    "reasoning_effort": "low",
    "response_format": {"type": "json_object"},
    "safety_identifier": "s",
    "seed": 3,
    "service_tier": "flex",
    "stop": ["end"],
    "store": True,
    "stream_options": {"include_usage": True},
    "suffix": "x",
    "temperature": 0.3,
    "tool_choice": "required",
    "tools": [TOOL, OTHER],
    "top_logprobs": 2,
    "top_p": 0.9,
    "user": "u",
    "verbosity": "low",
    "web_search_options": {},
}
"""A value of each parameter that says something."""
NEEDED = {
    "tool_choice": {"tools": [TOOL, OTHER]},
    "top_logprobs": {"logprobs": True},
    "parallel_tool_calls": {"tools": [TOOL]},
    "stream_options": {"stream": True},
}
OURS = {"model", "messages", "prompt"}
CHAT = sorted(set(chat_params.CompletionCreateParamsBase.__annotations__) - OURS)
TEXT = sorted(set(text_params.CompletionCreateParamsBase.__annotations__) - OURS)


class Served(typing.NamedTuple):
    """A running gateway."""

    url: str
    upstream: ScriptedServer

    def ask(self, model: str, **parts: Any) -> Any:
        """Send a chat by the SDK, whatever its own types say of the parameters; return the raw response."""
        sdk = openai.OpenAI(base_url=self.url, api_key="x", max_retries=0)
        body = {"model": model, "messages": hello(), **parts}
        return sdk.chat.completions.with_raw_response.create(
            model=body.pop("model"), messages=body.pop("messages"), extra_body=body
        )

    def complete(self, model: str, **parts: Any) -> Any:
        """Send a text likewise."""
        sdk = openai.OpenAI(base_url=self.url, api_key="x", max_retries=0)
        return sdk.completions.with_raw_response.create(
            model=model, prompt="Once", extra_body=parts
        )


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Give a gateway before an endpoint, a scripted model of this machine and a release."""
    engine = open_database(f"sqlite:///{tmp_path_factory.mktemp('served') / 'r.db'}")
    promote(engine, TASK, starting_candidate(TASK), name="desk")
    with ScriptedServer(lambda _: "billing") as upstream:
        settings = EndpointSettings(base_url=upstream.url, retries=0)

        def pool() -> ModelPool:
            scripted = ScriptedModel(lambda _: "billing", name="local:scripted")
            return ModelPool({"up": settings}, ready={"local:scripted": scripted})

        with serving(Gateway(engine, pool)) as url:
            yield Served(url, upstream)
    engine.dispose()


@pytest.mark.parametrize("name", sorted({*CHAT, *TEXT}))
def test_every_parameter_of_the_sdk_has_a_fate(name: str) -> None:
    """A new version of the SDK may bring another one: say in `gateway/parameters.py` what becomes of it, and here a value."""
    assert name in FATES, f"FATES in gateway/parameters.py says nothing of {name!r}"
    assert name in VALUES, f"VALUES says nothing of {name!r}"


@pytest.mark.parametrize("name", CHAT)
def test_an_endpoint_gets_each_parameter_as_it_was_named(served: Served, name: str) -> None:
    """The very value under the very name, and nothing that was not named."""
    parts = {**NEEDED.get(name, {}), name: VALUES[name]}
    served.ask("up/m", **parts)

    sent = served.upstream.bodies[-1]
    assert sent.get(name, 1 if name == "n" else None) == VALUES[name]
    extra = sent.keys() - {"model", "messages", *parts}
    assert extra <= ({"stream_options"} if parts.get("stream") else set())


@pytest.mark.parametrize("name", CHAT)
def test_a_model_of_this_machine_honours_ignores_or_refuses_each(served: Served, name: str) -> None:
    """As the table says: refused by name, ignored with a header, or taken."""
    parts = {**NEEDED.get(name, {}), name: VALUES[name]}
    fate = FATES[name][1]
    if fate == "refused":
        with pytest.raises(openai.BadRequestError, match=f"'{name}' is not supported") as refused:
            served.ask("local:scripted", **parts)
        assert refused.value.param == name
        return
    ignored = served.ask("local:scripted", **parts).headers.get("x-ratchet-ignored", "")
    assert (name in ignored.split(", ")) is (fate == "ignored")


@pytest.mark.parametrize("name", CHAT)
def test_a_release_answers_as_it_was_measured(served: Served, name: str) -> None:
    """What would change its answer is ignored, and the header says so."""
    parts = {**NEEDED.get(name, {}), name: VALUES[name], "inputs": {"message": "m", "product": "p"}}
    ignored = served.ask("desk", **parts).headers.get("x-ratchet-ignored", "").split(", ")

    assert (name in ignored) is (FATES[name][2] == "ignored")


@pytest.mark.parametrize("name", TEXT)
def test_texts_follow_the_same_table(served: Served, name: str) -> None:
    """An endpoint gets what was named; a model of this machine refuses what it cannot do."""
    value = 2 if name == "logprobs" else VALUES[name]
    parts = {**({"stream": True} if name == "stream_options" else {}), name: value}
    (asked,) = text_body(json.dumps({"model": "up/m", "prompt": "Once", **parts}).encode())
    model = EndpointModel("up/m", "m", served.upstream.url)
    request, ignored = request_for(asked, model)
    _, sent = model._encode(model.shape(request), stream=asked.stream)
    assert sent.get(name, 1 if name == "n" else None) == value
    assert not ignored
    if FATES[name][1] == "refused":
        with pytest.raises(openai.BadRequestError, match=f"'{name}' is not supported"):
            served.complete("local:scripted", **parts)


def test_what_the_sdk_does_not_know_yet_goes_to_the_endpoint(served: Served) -> None:
    """A parameter of next year, and a misspelt one, are the endpoint's business; a model of this machine helps with the spelling."""
    served.ask("up/m", thinking_style="brief")
    assert served.upstream.bodies[-1]["thinking_style"] == "brief"
    with pytest.raises(openai.BadRequestError, match="Did you mean 'temperature'"):
        served.ask("local:scripted", tempurature=1)


SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


@pytest.mark.parametrize(
    "form",
    [
        {"type": "text"},
        {"type": "json_object"},
        {"type": "json_schema", "json_schema": {"name": "mine", "schema": SCHEMA}},
        {"type": "json_schema", "json_schema": {"name": "mine", "strict": False, "description": "D.", "schema": SCHEMA}},
        {"type": "grammar", "grammar": "x"},
    ],
)  # fmt: skip
def test_the_form_of_a_reply_is_asked_for_as_it_was(served: Served, form: dict[str, Any]) -> None:
    """No schema becomes strict on the way, or gets another name."""
    served.ask("up/m", response_format=form)
    assert served.upstream.bodies[-1]["response_format"] == form


@pytest.mark.parametrize(
    "choice",
    [
        "none",
        "auto",
        "required",
        {"type": "function", "function": {"name": "b"}},
        {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "a"}}]}},
        {"type": "custom", "custom": {"name": "c"}},
    ],
)  # fmt: skip
def test_a_choice_of_tools_is_asked_for_as_it_was(served: Served, choice: Any) -> None:
    """Tools too: nothing is added to them, and custom ones pass."""
    tools = [TOOL, OTHER, {"type": "custom", "custom": {"name": "c"}}]
    served.ask("up/m", tools=tools, tool_choice=choice)
    sent = served.upstream.bodies[-1]
    assert (sent["tools"], sent["tool_choice"]) == (tools, choice)


HISTORY = [
    {"role": "developer", "content": "Be brief.", "name": "d"},
    {"role": "user", "content": [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]},
    {"role": "assistant", "content": None, "refusal": "I cannot."},
    {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "a", "arguments": "{}"}}]},
    {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "ok"}]},
    {"role": "user", "content": "Go on."},
]  # fmt: skip


def test_a_history_goes_to_the_endpoint_as_it_is(served: Served) -> None:
    """Roles, parts, refusals, names: none is changed."""
    served.ask("up/m", messages=HISTORY)
    assert served.upstream.bodies[-1]["messages"] == HISTORY


def test_a_model_of_this_machine_reads_text_and_names_the_rest(served: Served) -> None:
    """An image is refused by its place; refusals and parts of text are read; custom tools are refused."""
    with pytest.raises(openai.BadRequestError, match=r"messages\[1\].content.*image_url"):
        served.ask("local:scripted", messages=HISTORY)
    assert served.ask("local:scripted", messages=[HISTORY[0], *HISTORY[2:]]).status_code == 200
    with pytest.raises(openai.BadRequestError, match="takes functions alone"):
        served.ask("local:scripted", tools=[{"type": "custom", "custom": {"name": "c"}}])


@pytest.mark.parametrize("model", ["up/m", "local:scripted"])
@pytest.mark.parametrize("name", ["stream", "logprobs"])
def test_what_is_true_or_false_is_no_text(served: Served, model: str, name: str) -> None:
    """`"false"` is neither: refused by its name, as OpenAI does."""
    with pytest.raises(openai.BadRequestError, match=f"'{name}' must be true or false"):
        served.ask(model, **{name: "false"})


@pytest.mark.parametrize("model", ["up/m", "local:scripted"])
def test_several_replies_are_streamed(served: Served, model: str) -> None:
    """Each piece says which reply it belongs to."""
    sdk = openai.OpenAI(base_url=served.url, api_key="x", max_retries=0)
    texts = {0: "", 1: "", 2: ""}
    ends: list[int] = []
    for piece in sdk.chat.completions.create(model=model, messages=hello(), n=3, stream=True):  # type: ignore[call-overload]
        for one in piece.choices:
            texts[one.index] += one.delta.content or ""
            ends += [one.index] if one.finish_reason else []

    assert texts == dict.fromkeys(range(3), "billing")
    assert sorted(ends) == [0, 1, 2]


def test_what_an_endpoint_says_beside_its_reply_comes_back(tmp_path: Path) -> None:
    """Annotations, thinking, the tier and the fingerprint, logarithms of a refusal."""
    message = {"role": "assistant", "content": "hi", "refusal": None, "annotations": [{"type": "url_citation"}], "reasoning_content": "hm"}  # fmt: skip
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": {"content": None, "refusal": [{"token": "I", "logprob": -0.1, "bytes": None, "top_logprobs": []}]}}  # fmt: skip
    body = {"choices": [choice], "service_tier": "flex", "system_fingerprint": "fp_1", "usage": {"prompt_tokens": 1, "completion_tokens": 1}}  # fmt: skip
    engine = open_database(f"sqlite:///{tmp_path / 'r.db'}")
    fault = Fault(status=200, body=json.dumps(body).encode())
    with ScriptedServer(lambda _: "unused", faults=[fault]) as upstream:
        endpoints = {"up": EndpointSettings(base_url=upstream.url, retries=0)}
        with serving(Gateway(engine, lambda: ModelPool(endpoints))) as url:
            sdk = openai.OpenAI(base_url=url, api_key="x", max_retries=0)
            said = sdk.chat.completions.create(model="up/m", messages=hello())  # type: ignore[arg-type]

    assert (said.service_tier, said.system_fingerprint) == ("flex", "fp_1")
    told = said.choices[0].message.model_dump()
    assert told["annotations"][0]["type"] == "url_citation"
    assert told["reasoning_content"] == "hm"
    assert said.choices[0].logprobs.refusal[0].token == "I"
    engine.dispose()


@pytest.mark.parametrize("name", ["x\x00y", "x" * 100_000, "line\nbreak"])
def test_odd_names_are_refused_and_not_repeated(served: Served, name: str) -> None:
    """A name that no model has is a 400 of a few words."""
    with pytest.raises(openai.BadRequestError, match="'model' must be a name") as refused:
        served.ask(name)
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize("field", ["inputs", "stop", "tools", "messages", "response_format"])
@pytest.mark.parametrize("model", ["desk", "local:scripted"])
def test_what_is_nested_deep_is_refused(served: Served, model: str, field: str) -> None:
    """Nine hundred lists in one another are refused, or read, and no failure of the server."""
    deep: Any = []
    for _ in range(900):
        deep = [deep]
    value = {"inputs": {"message": deep, "product": "p"}, "messages": [{"role": "user", "content": deep}]}  # fmt: skip
    try:
        status = served.ask(model, **{field: value.get(field, deep)}).status_code
    except openai.APIStatusError as error:
        status = error.status_code
    assert status in (200, 400)


def test_a_prompt_that_is_too_long_has_openais_code(engine: sa.Engine) -> None:
    """So that programs which shorten their prompts on it do."""
    pytest.importorskip("torch")
    with serving(Gateway(engine, ModelPool)) as url:
        sdk = openai.OpenAI(base_url=url, api_key="x", max_retries=0)
        with pytest.raises(openai.BadRequestError, match="has places for") as refused:
            sdk.chat.completions.create(
                model="local:nano", messages=[{"role": "user", "content": "word " * 5000}]
            )
    assert (refused.value.code, refused.value.type) == (
        "context_length_exceeded",
        "invalid_request_error",
    )
