"""Models by name: each opened once, an unknown one never replaced by another."""

from pathlib import Path

import pytest

from ratchet.core.errors import UnknownModelError, UsageError
from ratchet.models import ChatRequest, ModelPool, local_folder
from ratchet.store import EndpointSettings
from ratchet.testing import ScriptedModel, ScriptedServer

HELLO = ChatRequest(messages=[{"role": "user", "content": "hello"}])


async def test_a_name_is_an_endpoint_and_its_model() -> None:
    """The part before the first slash names the endpoint; all behind it is the model's name."""
    with ScriptedServer(lambda _body: "hi") as server:
        async with ModelPool({"mock": EndpointSettings(base_url=server.url)}) as pool:
            reply = await pool.model("mock/org/model").chat(HELLO)

    assert reply.text == "hi"
    assert server.bodies[0]["model"] == "org/model"


async def test_the_price_of_the_settings_holds() -> None:
    """A price in ratchet.toml, in dollars a million tokens, is what calls cost."""
    settings = EndpointSettings.model_validate(
        {"base_url": "http://127.0.0.1:1/v1", "price": {"input": 1, "output": 4}}
    )
    async with ModelPool({"mock": settings}) as pool:
        cost = pool.model("mock/gpt-4o").price(1_000_000, 500_000)

    assert cost == 3


@pytest.mark.parametrize(
    ("base_url", "known"),
    [("http://localhost:1/v1", False), ("http://[::1]:1/v1", False), ("http://127.0.0.2:1/v1", False), ("https://llm.example.org/v1", False), ("https://api.openai.com/v1", True)],
)  # fmt: skip
async def test_what_runs_on_this_machine_has_no_list_price(base_url: str, known: bool) -> None:
    """A provider's price list is not meant for a model of the same name on a loopback address."""
    async with ModelPool({"mock": EndpointSettings(base_url=base_url)}) as pool:
        price = pool.model("mock/gpt-4o").price(1_000_000, 0)

    assert (price is not None) is known


async def test_a_model_is_opened_once() -> None:
    """The same name gives the same model, so that all calls share its connections."""
    async with ModelPool({"mock": EndpointSettings(base_url="http://127.0.0.1:1/v1")}) as pool:
        assert pool.model("mock/a") is pool.model("mock/a")
        assert pool.model("mock/a") is not pool.model("mock/b")


async def test_models_that_are_ready_are_used_as_they_are() -> None:
    """A model that is handed over is found under its name."""
    ready = ScriptedModel(["hi"])
    async with ModelPool(ready={"scripted": ready}) as pool:
        assert pool.model("scripted") is ready


@pytest.mark.parametrize("name", ["gpt-4", "nowhere/gpt-4", "mock", "", "scriptd"])
async def test_an_unknown_name_is_refused_with_those_there_are(name: str) -> None:
    """The error lists the forms of name that work here."""
    pool = ModelPool({"mock": EndpointSettings(base_url="http://127.0.0.1:1/v1")})

    with pytest.raises(UnknownModelError, match=r"local:nano, mock/<model>.*ratchet\.toml"):
        pool.model(name)


async def test_a_misspelt_endpoint_gets_a_suggestion() -> None:
    """The closest endpoint is suggested, with the model that was asked for."""
    pool = ModelPool({"openai": EndpointSettings(base_url="http://127.0.0.1:1/v1")})

    with pytest.raises(UnknownModelError, match=r"Did you mean 'openai/gpt-4\.1-mini'\?"):
        pool.model("opnai/gpt-4.1-mini")


def test_a_local_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    """A folder that holds no model is named with what is missing in it."""
    with pytest.raises(UnknownModelError, match=r"holds no config\.json"):
        local_folder("local:weights", tmp_path)


def test_a_local_folder_is_meant_from_the_root(tmp_path: Path) -> None:
    """A relative folder is looked up under the workspace."""
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "config.json").write_text("{}")

    assert local_folder("local:weights", tmp_path) == tmp_path / "weights"


async def test_brought_answers_have_no_model_to_ask() -> None:
    """They have a name that can be priced and planned with, and every call is refused; strangers cannot name them at all."""
    async with ModelPool() as pool:
        model = pool.model("brought:old-bot")
        with pytest.raises(UsageError, match="collected elsewhere"):
            await model.chat(ChatRequest(messages=[]))
        with pytest.raises(UsageError, match="collected elsewhere"):
            await anext(aiter(model.stream(ChatRequest(messages=[]))))
        assert model.count_tokens(ChatRequest(messages=[])) == (0, True)
        assert model.price(10, 10) == 0
    async with ModelPool(confined=True) as pool:
        with pytest.raises(UnknownModelError):
            pool.model("brought:old-bot")
