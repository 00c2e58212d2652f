"""Local models through vLLM, against a stand-in that answers as vLLM does."""

import importlib.util
import sys
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer

from ratchet.core.errors import ReplyError, UnknownModelError
from ratchet.models import NANO, ChatRequest, ModelPool
from ratchet.store import LocalSettings

HERE = Path(__file__).with_name("vllm_standin.py")
spec = importlib.util.spec_from_file_location("vllm_standin", HERE)
standin = importlib.util.module_from_spec(spec)
spec.loader.exec_module(standin)


def asked(adapter=None):
    """Return a request."""
    return ChatRequest(messages=[{"role": "user", "content": "hi"}], max_tokens=9, adapter=adapter)


@pytest.fixture
def adapters(tmp_path):
    """Return a folder with two adapters."""
    for name, rank in (("a_1", 16), ("a_2", 128)):
        (tmp_path / "adapters" / name).mkdir(parents=True)
        (tmp_path / "adapters" / name / "adapter_config.json").write_text(f'{{"r": {rank}}}')
    return tmp_path / "adapters"


@pytest.fixture
async def server():
    """Return a stand-in that runs, with its address."""
    made = standin.Server(NANO)
    running = TestServer(made.app)
    await running.start_server()
    made.url = str(running.make_url("/v1"))
    yield made
    await running.close()


def pool(adapters, url=None, *args):
    """Return models that answer through vLLM."""
    settings = LocalSettings(engine="vllm", vllm_url=url, vllm_args=args)
    return ModelPool(adapters=adapters, local=settings)


async def test_adapters_are_loaded_once_and_again_when_forgotten(server, adapters):
    """The base answers by its folder, an adapter by its id; a server that started anew is told of it again."""
    async with pool(adapters, server.url) as models:
        model = models.model("local:nano")
        assert (await model.chat(asked())).text == "base: hi"
        for _ in range(2):
            reply = await model.chat(asked("a_1"))
        assert reply.text == "a_1: hi"
        assert reply.usage.cost_usd == 0.0
        assert server.loads == ["a_1"]
        server.loras.clear()
        pieces = [piece async for piece in model.stream(asked("a_1"))]
    assert "".join(pieces[:-1]) == pieces[-1].text == "a_1: hi"
    assert server.loads == ["a_1", "a_1"]


async def test_an_adapter_that_is_there_already_is_used(server, adapters):
    """Its id is that of its content, so it is the same one."""
    server.loras["a_1"] = "/elsewhere"
    async with pool(adapters, server.url) as models:
        assert (await models.model("local:nano").chat(asked("a_1"))).text == "a_1: hi"


async def test_what_vllm_refuses_is_said(server, adapters):
    """A missing adapter, one of too high a rank, a server that takes none, and none at all; a single base is the one that is meant."""
    async with pool(adapters, server.url) as models:
        model = models.model("local:nano")
        with pytest.raises(ReplyError, match="there is no adapter 'a_9'"):
            await model.chat(asked("a_9"))
        with pytest.raises(ReplyError, match="greater than max_lora_rank"):
            await model.chat(asked("a_2"))
    closed = standin.Server(NANO, allows=False)
    other = standin.Server("other")
    async with TestServer(closed.app) as one, TestServer(other.app) as two:
        async with pool(adapters, str(one.make_url("/"))) as models:
            with pytest.raises(ReplyError, match="VLLM_ALLOW_RUNTIME_LORA_UPDATING=True"):
                await models.model("local:nano").chat(asked("a_1"))
        async with pool(adapters, str(two.make_url("/"))) as models:  # the only one it has
            assert (await models.model("local:nano").chat(asked())).text == "base: hi"
    async with pool(adapters, "http://127.0.0.1:9") as models:
        with pytest.raises(UnknownModelError, match="no vLLM server answers at"):
            await models.model("local:nano").chat(asked())


async def test_a_server_is_started_and_ended(adapters, monkeypatch, tmp_path):
    """Without an address `vllm serve` is run for the model's folder, with LoRA allowed; it ends with the pool."""
    program = tmp_path / "bin" / "vllm"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {HERE} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    async with pool(adapters) as models:
        model = models.model("local:nano")
        assert (await model.chat(asked("a_1"))).text == "a_1: hi"
        server = model._server
        assert server.returncode is None
    assert server.returncode is not None

    async with pool(adapters, None, "--max-model-len", "1") as models:
        with pytest.raises(UnknownModelError, match="vLLM ended before it answered: ValueError"):
            await models.model("local:nano").chat(asked())


async def test_without_vllm_the_remedy_is_named(adapters, monkeypatch):
    """It is no dependency of ours."""
    monkeypatch.setenv("PATH", "/nowhere")
    async with pool(adapters) as models:
        with pytest.raises(UnknownModelError, match="pip install vllm on a machine with a GPU"):
            await models.model("local:nano").chat(asked())
