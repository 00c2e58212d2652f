"""A GGUF file as the base of a fine-tune: estimated, trained on and served by its one name."""

import importlib.util
from pathlib import Path

import pytest

import ratchet
from ratchet.models import ChatRequest, ModelPool, local_folder

pytest.importorskip("torch")
pytest.importorskip("gguf")
pytestmark = pytest.mark.local

spec = importlib.util.spec_from_file_location(
    "gguf_writer", Path(__file__).parents[1] / "models" / "gguf_writer.py"
)
gguf_writer = importlib.util.module_from_spec(spec)
spec.loader.exec_module(gguf_writer)


async def test_a_gguf_file_is_trained_on_and_served_with_its_adapter(tmp_path, monkeypatch):
    """The estimate, the training and the reply of the adapter all take the file's name."""
    from ratchet.tuning import Conversation, TrainingData, estimate_training, train

    monkeypatch.setenv("RATCHET_CACHE", str(tmp_path / "cache"))
    gguf_writer.write_gguf(tmp_path / "m.gguf", kind="Q8_0")
    base = local_folder("local:m.gguf", tmp_path)
    chats = [
        Conversation(
            ({"role": "user", "content": f"hello {k}"}, {"role": "assistant", "content": "hell"})
        )
        for k in range(16)
    ]
    rows = TrainingData(base="local:m.gguf", rows=chats)
    settings = ratchet.TuningSettings(epochs=1, rank=4, evaluations=1, learning_rate=3e-3)

    estimate = estimate_training(base, rows, settings)
    result = train(base, rows, settings, adapters=tmp_path / "adapters")
    request = ChatRequest(
        messages=[{"role": "user", "content": "hello"}], max_tokens=4, adapter=result.adapter
    )
    async with ModelPool(root=tmp_path, adapters=tmp_path / "adapters") as pool:
        reply = await pool.model("local:m.gguf").chat(request)

    assert estimate.steps == result.steps > 0
    assert reply.usage.completion_tokens >= 1
