"""A release that stands on passages: what it cites is told, its guard holds answers back, streamed or not, and all of it is paid for."""

import json
from pathlib import Path

import openai
import pytest
from tests.gateway.test_contract import serving

from ratchet.core import Candidate, Guard, InputField, MetricSpec, Retrieval, Roles, Task
from ratchet.gateway import Gateway
from ratchet.ladder import promote
from ratchet.models import ChatRequest, ModelPool
from ratchet.retrieval import add_documents
from ratchet.store import open_database
from ratchet.store.requests import read_requests
from ratchet.testing import ScriptedModel

pytest.importorskip("bm25s")

TASK = Task(
    name="pets",
    instructions="Answer.",
    inputs=(InputField(name="question"),),
    metric=MetricSpec(name="match"),
    models=Roles(student="local:m"),
)


def says(request: ChatRequest) -> str:
    """Answer, and check answers: those about fish stand on nothing."""
    if request.json_schema is None:
        return "Fish fly [1]." if "fish" in request.messages[-1]["content"].split("?")[0].split("|")[-1] else "Sixteen hours [1]."  # fmt: skip
    if "claims" in request.json_schema["properties"]:
        return json.dumps({"claims": [request.messages[-1]["content"].split("<reply>")[1][:10]]})
    supported = "Fish" not in request.messages[-1]["content"].split("<claims>")[1]
    return json.dumps({"verdicts": [{"number": 1, "reason": "so", "supported": supported}]})


def test_a_guarded_release(tmp_path: Path) -> None:
    """The official client reads it as any answer; passages and the guard's finding stand beside OpenAI's fields."""
    engine = open_database(f"sqlite:///{tmp_path / 'r.db'}")
    (tmp_path / "cats.md").write_text("# Cats\n\nCats and fish: cats sleep sixteen hours a day.\n")
    add_documents(engine, "pets", [tmp_path / "cats.md"])
    plain = Candidate(
        model="local:m",
        user="{{#each passages}}{{text}}{{/each}}|{{question}}",
        retrieval=Retrieval(knowledge="pets", mode="lexical", k=1, citations=True),
    )
    promote(engine, TASK, plain.changed(guard=Guard(says="I do not know.")), name="guarded")
    promote(engine, TASK, plain, name="plain")
    model = ScriptedModel(says, name="local:m", price=(1.0, 1.0))
    gateway = Gateway(engine, lambda: ModelPool(ready={"local:m": model}, engine=engine))

    with serving(gateway) as url:
        client = openai.OpenAI(base_url=url, api_key="none", max_retries=0)

        def ask(name: str, question: str, **more: bool) -> openai.types.chat.ChatCompletion:
            messages: list[dict[str, str]] = [{"role": "user", "content": question}]
            return client.chat.completions.create(model=name, messages=messages, **more)  # type: ignore[call-overload,no-any-return]

        good, bad = ask("guarded", "How long do cats sleep?"), ask("guarded", "Do fish fly?")
        streamed = list(ask("guarded", "Do fish fly?", stream=True))
        open_, pieces = ask("plain", "Do fish fly?"), list(ask("plain", "Do fish fly?", stream=True))  # fmt: skip

    assert good.choices[0].message.content == "Sixteen hours [1]."
    assert good.model_extra["ratchet"]["guard"] == {"passes": True, "blocked": False, "faithfulness": 1.0, "unsupported": []}  # fmt: skip
    (passage,) = good.model_extra["ratchet"]["passages"]
    assert (passage["number"], passage["title"], passage["cited"]) == (1, "Cats", True)
    assert bad.choices[0].message.content == "I do not know."
    assert bad.choices[0].finish_reason == "content_filter"
    assert bad.model_extra["ratchet"]["guard"]["blocked"]
    assert "".join(p.choices[0].delta.content or "" for p in streamed) == "I do not know."
    assert open_.choices[0].message.content == "Fish fly [1]."
    assert pieces[-1].model_extra["ratchet"]["passages"][0]["title"] == "Cats"
    assert (
        good.usage.prompt_tokens > 3 * open_.usage.prompt_tokens
    )  # the checker's calls are paid for
    logged = {one.body["replies"][0]["text"] for one in read_requests(engine)}
    assert {"I do not know.", "Fish fly [1]."} <= logged
    engine.dispose()
