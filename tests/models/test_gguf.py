"""GGUF files as models: converted once, refused in words, nothing half-written."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ratchet.core.errors import UnknownModelError
from ratchet.models import ChatRequest, ModelPool, local_folder
from ratchet.models.gguf import remove_converted

torch = pytest.importorskip("torch")
pytest.importorskip("gguf")
pytestmark = pytest.mark.local

spec = importlib.util.spec_from_file_location(
    "gguf_writer", Path(__file__).with_name("gguf_writer.py")
)
gguf_writer = importlib.util.module_from_spec(spec)
spec.loader.exec_module(gguf_writer)
HELLO = ChatRequest(messages=[{"role": "user", "content": "hello"}], max_tokens=5)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Give every test a cache of its own."""
    monkeypatch.setenv("RATCHET_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


def visible(cache):
    """Return what the cache holds."""
    return sorted(p.name for p in cache.iterdir() if p.name != ".locks") if cache.exists() else []


@pytest.mark.parametrize("kind", ["F32", "F16", "Q8_0", "Q4_1"])
async def test_a_gguf_file_answers(tmp_path, kind, cache):
    """Whatever its weights are held in, a file is a model like a folder, and is converted once."""
    gguf_writer.write_gguf(tmp_path / "m.gguf", kind=kind)
    async with ModelPool(root=tmp_path) as pool:
        reply = await pool.model("local:m.gguf").chat(HELLO)
    first = local_folder("local:m.gguf", tmp_path)
    made = (first / "config.json").stat().st_mtime_ns

    again = local_folder("local:m.gguf", tmp_path)

    assert reply.usage.completion_tokens >= 1
    assert again == first
    assert (again / "config.json").stat().st_mtime_ns == made
    assert visible(cache) == [first.name]


def test_the_weights_are_those_of_the_file(tmp_path):
    """The folder's model computes what transformers computes from the file itself."""
    from transformers import AutoModelForCausalLM, GgufConfig

    from ratchet.models.local import load_base

    gguf_writer.write_gguf(tmp_path / "m.gguf", kind="F32")
    ids = torch.tensor([[5, 6, 7, 8]])
    direct = AutoModelForCausalLM.from_pretrained(
        tmp_path,
        gguf_file="m.gguf",
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.float32,
    )
    model, _ = load_base(local_folder("local:m.gguf", tmp_path), dtype=torch.float32)

    with torch.inference_mode():
        assert torch.equal(model(ids).logits, direct(ids).logits)


def test_a_file_that_changes_is_converted_anew(tmp_path):
    """The same name with other contents is another model."""
    path = gguf_writer.write_gguf(tmp_path / "m.gguf", kind="F32")
    first = local_folder("local:m.gguf", tmp_path)
    gguf_writer.write_gguf(path, kind="Q8_0")

    second = local_folder("local:m.gguf", tmp_path)

    assert second != first
    assert remove_converted(path)
    assert not first.exists()
    assert not second.exists()
    assert not remove_converted(path)


def cut(path):
    """Leave half of a file."""
    data = gguf_writer.write_gguf(path).read_bytes()
    path.write_bytes(data[: len(data) // 2])


BROKEN = {
    "cut": (cut, "is cut or damaged"),
    "header": (lambda path: path.write_bytes(b"GGUF\x03\x00\x00\x00"), "is cut or damaged"),
    "text": (lambda path: path.write_text("hello"), "is not a GGUF file"),
    "empty": (lambda path: path.write_bytes(b""), "is not a GGUF file"),
    "architecture": (
        lambda path: gguf_writer.write_gguf(path, architecture="unheard"),
        "unheard is not supported",
    ),
    "no template": (
        lambda path: gguf_writer.write_gguf(path, template=None),
        "has no chat template",
    ),
    "rows": (lambda path: gguf_writer.write_gguf(path, rows=100), "its vocabulary is larger"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_not_a_readable_model_is_a_sentence(tmp_path, cache, name):
    """The error names the file and what is wrong with it, and nothing of it stays in the cache."""
    write, words = BROKEN[name]
    write(tmp_path / "bad.gguf")

    with pytest.raises(UnknownModelError, match=words) as caught:
        local_folder("local:bad.gguf", tmp_path)

    assert "bad.gguf" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert visible(cache) == []


def test_a_file_that_is_not_there_is_named(tmp_path):
    """The error names the path that was looked at."""
    with pytest.raises(UnknownModelError, match=r"nowhere\.gguf is not a file"):
        local_folder("local:nowhere.gguf", tmp_path)


def test_confined_names_stay_below_the_root(tmp_path):
    """Of strangers' names only a plain path below the root is a file; links and dots are refused."""
    root = tmp_path / "workspace"
    root.mkdir()
    gguf_writer.write_gguf(tmp_path / "outside.gguf")
    gguf_writer.write_gguf(root / "inside.gguf")
    (root / "link.gguf").symlink_to(tmp_path / "outside.gguf")

    assert local_folder("local:inside.gguf", root, confined=True).is_dir()
    for name in ("../outside.gguf", "link.gguf", str(tmp_path / "outside.gguf"), "none.gguf"):
        with pytest.raises(UnknownModelError, match="unknown model") as caught:
            local_folder(f"local:{name}", root, confined=True)
        assert str(root) not in str(caught.value)


CONVERT = "import sys, pathlib; from ratchet.models import local_folder; print(local_folder('local:m.gguf', pathlib.Path(sys.argv[1])))"


def test_two_processes_convert_a_file_at_once(tmp_path, cache):
    """Both get the same whole folder."""
    gguf_writer.write_gguf(tmp_path / "m.gguf")
    command = [sys.executable, "-c", CONVERT, str(tmp_path)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    folders = {process.communicate(timeout=120)[0].strip() for process in processes}

    assert [process.returncode for process in processes] == [0, 0]
    assert len(folders) == 1
    assert visible(cache) == [Path(folders.pop()).name]


def test_what_a_killed_process_left_is_removed(tmp_path, cache):
    """A half-written folder is never used, and goes with the next conversion of its file."""
    gguf_writer.write_gguf(tmp_path / "m.gguf")
    folder = local_folder("local:m.gguf", tmp_path)
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    folder.rename(part)
    (part / "config.json").unlink()

    assert local_folder("local:m.gguf", tmp_path) == folder
    assert visible(cache) == [folder.name]


def test_tokens_without_rows_are_taken_out(tmp_path):
    """A token that the reader adds, and that the model has no row for, is neither in the tokenizer nor its unknown token."""
    from transformers import AutoTokenizer

    from ratchet.models.gguf import _drop_tokens_without_rows

    gguf_writer.write_gguf(tmp_path / "m.gguf")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path, gguf_file="m.gguf")
    rows = len(tokenizer)
    tokenizer.add_special_tokens({"unk_token": "<unk>"})
    tokenizer.save_pretrained(tmp_path / "saved")

    _drop_tokens_without_rows(tmp_path / "saved", rows, tmp_path / "m.gguf")

    read = AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert len(tokenizer) == rows + 1
    assert len(read) == rows
    assert read.unk_token != "<unk>"
    assert "<unk>" not in json.loads((tmp_path / "saved" / "tokenizer.json").read_text())["model"]
    assert read("hello")["input_ids"] == tokenizer("hello")["input_ids"]
