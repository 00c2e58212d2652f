"""The engine under stress: caches that nobody can join, requests that fail, clients that go away."""

import asyncio
import shutil
import time
from concurrent.futures import Future

import pytest

from ratchet.core.errors import ReplyError, UnknownModelError
from ratchet.models import NANO, ChatRequest, ModelPool

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.local


def waiting(engine_module, text, limit=6):
    """Return a request that waits for the engine."""
    request = ChatRequest(messages=[], raw=text, max_tokens=limit)
    return engine_module.Waiting(request, text, Future(), 0.0)


@pytest.fixture(scope="module")
def sliding():
    """Return a tiny model whose attention slides, with the tokenizer of local:nano."""
    from transformers import MistralConfig, MistralForCausalLM

    from ratchet.models.local import load_base

    _, tokenizer = load_base(NANO)
    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        sliding_window=16,
        max_position_embeddings=512,
    )
    return MistralForCausalLM(config).eval(), tokenizer


def answered(engine, items):
    """Return the texts once all is done."""
    engine.admit(items)
    while len(engine):
        engine.step()
    return [item.future.result(timeout=0).text for item in items]


def test_a_cache_that_nobody_can_join_is_filled_group_by_group(sliding, monkeypatch):
    """Whatever the lengths and the groups: each gets what it gets alone."""
    from ratchet.models import engine as engines

    monkeypatch.setattr(engines, "PREFILL", 60)
    words = [
        "red",
        "blue",
        "green",
        "pink",
        "grey",
        "black",
        "white",
        "brown",
        "teal",
        "north",
        "south",
        "east",
        "west",
    ]
    texts = [" ".join(words[: 1 + 3 * k % 13]) for k in range(8)]
    alone = [answered(engines.Engine(*sliding), [waiting(engines, t)])[0] for t in texts]

    together = answered(
        engines.Engine(*sliding), [waiting(engines, t, 2 + k) for k, t in enumerate(texts)]
    )

    for k, (one, among) in enumerate(zip(alone, together, strict=True)):
        assert min(len(one), len(among)) > 0, k
        assert one.startswith(among) or among.startswith(one), k


def test_a_group_that_fails_takes_nobody_along(sliding, monkeypatch):
    """Those after it are answered; what an engine cannot read is the asker's own trouble."""
    from ratchet.models import engine as engines

    monkeypatch.setattr(engines, "PREFILL", 8)
    model, tokenizer = sliding
    calls = []

    def once_broken(*_, **__):
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("out of memory")

    hook = model.register_forward_pre_hook(once_broken, with_kwargs=True)
    engine = engines.Engine(model, tokenizer)
    items = [
        waiting(engines, text) for text in ("red", "red blue green", "", "red blue green pink")
    ]

    engine.admit(items)
    while len(engine):
        engine.step()
    hook.remove()

    with pytest.raises(RuntimeError, match="out of memory"):
        items[0].future.result(timeout=0)
    with pytest.raises(ReplyError, match="prompt is empty"):
        items[2].future.result(timeout=0)
    assert all(items[k].future.result(timeout=0).usage.completion_tokens for k in (1, 3))


def test_latency_does_not_count_the_loading_of_the_weights(sliding):
    """Who came while they were loaded waited for the work alone, as who comes later."""
    from ratchet.models import engine as engines

    engine = engines.Engine(*sliding)
    early, late = waiting(engines, "red"), waiting(engines, "blue")
    early.since -= 100
    late.since = time.perf_counter()
    answered(engine, [early, late])
    latencies = [item.future.result(timeout=0).latency_s for item in (early, late)]

    assert all(0 < one < 50 for one in latencies)


async def test_a_client_that_goes_while_loading_fails_harms_nobody(tmp_path):
    """The next one is told why the model cannot be loaded."""
    folder = tmp_path / "broken"
    shutil.copytree(NANO, folder)
    (folder / "model.safetensors").write_bytes(b"broken")
    request = ChatRequest(messages=[{"role": "user", "content": "hi"}])
    async with ModelPool(root=tmp_path) as pool:
        model = pool.model("local:broken")
        first = asyncio.create_task(model.chat(request))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        for _ in range(2):
            with pytest.raises(UnknownModelError, match="cannot be loaded by transformers"):
                await asyncio.wait_for(model.chat(request), 60)


async def test_a_model_that_is_closed_says_so_to_who_waits():
    """An error that can be told, where somebody deletes a fine-tune in use."""
    async with ModelPool() as pool:
        model = pool.model("local:nano")
        asked = asyncio.create_task(
            model.chat(ChatRequest(messages=[{"role": "user", "content": "hi"}]))
        )
        await asyncio.sleep(0)
        await model.close()
        with pytest.raises(ReplyError, match="was closed before it answered"):
            await asked
