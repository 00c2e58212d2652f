"""The library of adapters: what comes in is checked, what goes out is what PEFT and transformers take."""

import http.server
import io
import json
import pickle
import shutil
import tarfile
import threading
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from tests.gateway.test_contract import serving

from ratchet import InputField, MetricSpec, Roles, Task
from ratchet.answer import starting_candidate
from ratchet.core import Release
from ratchet.core.errors import DataError, UsageError
from ratchet.gateway import make_gateway
from ratchet.gateway.answering import Names
from ratchet.jobs.adapters import CONFIG, WEIGHTS, add_adapter, remove_adapter
from ratchet.jobs.arriving import arrived, fetched, unpacked
from ratchet.jobs.leaving import gguf_adapter, merge_adapter, pack
from ratchet.models import NANO, ModelPool
from ratchet.store import Workspace, create_workspace
from ratchet.store.adapters import list_adapters, name_adapter
from ratchet.store.releases import add_release

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.local


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an adapter that PEFT wrote."""
    from peft import LoraConfig, get_peft_model

    from ratchet.models.local import load_base

    torch.manual_seed(0)
    model, _ = load_base(NANO)
    tuned = get_peft_model(
        model, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    )
    for key, weight in tuned.named_parameters():
        if "lora_B" in key:
            torch.nn.init.normal_(weight, std=0.1)
    found = tmp_path_factory.mktemp("adapter")
    tuned.save_pretrained(found)
    return found


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Give an empty workspace."""
    return create_workspace(tmp_path / "w")


def read_parts(folder: Path) -> dict[str, bytes]:
    """Return the two files of a folder, as far as they are there."""
    return {n: (folder / n).read_bytes() for n in (CONFIG, WEIGHTS) if (folder / n).exists()}


def parts_in(archive: bytes, beside: Path) -> dict[str, bytes]:
    """Return what is unpacked from an archive, of which nothing is left."""
    with unpacked(io.BytesIO(archive), "x", beside / "there") as folder:
        found = read_parts(folder)
        assert sorted(path.name for path in folder.rglob("*")) == sorted(found)
    assert list((beside / "there").iterdir()) == []
    return found


def packed(workspace: Workspace, name: str) -> bytes:
    """Return an adapter as a .tar.gz."""
    file = io.BytesIO()
    pack(workspace, name, file)
    return file.getvalue()


def zipped(parts: dict[str, bytes]) -> bytes:
    """Return a .zip."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return file.getvalue()


def test_an_adapter_goes_in_and_comes_out(
    workspace: Workspace, folder: Path, tmp_path: Path
) -> None:
    """From a folder, a zip and a tar; listed; packed again to the byte; merged weights answer as base and adapter do."""
    from transformers import AutoModelForCausalLM

    from ratchet.models.local import load_base
    from ratchet.models.lora import AdapterBank

    parts = read_parts(folder)
    made = add_adapter(workspace, "mine", "local:nano", folder, source="folder")
    with pytest.raises(UsageError, match="named 'mine' already"):
        add_adapter(workspace, "mine", "local:nano", folder, source="folder")
    assert parts_in(packed(workspace, "mine"), tmp_path) == parts
    assert parts_in(zipped({f"../../etc/{n}": one for n, one in parts.items()}), tmp_path) == parts

    merge_adapter(workspace, "mine", tmp_path / "merged", dtype="float32")
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged").eval()
    model, _ = load_base(NANO)
    bank = AdapterBank(model, workspace.adapters)
    bank.load(made.adapter)
    bank.route([made.adapter])
    ids = torch.arange(20, 40)[None]
    mask = torch.ones_like(ids)
    with torch.inference_mode():
        ours = model(input_ids=ids, attention_mask=mask).logits
        theirs = merged(input_ids=ids, attention_mask=mask).logits
    assert torch.allclose(ours, theirs, atol=1e-3)
    with pytest.raises(UsageError, match="is not empty"):
        merge_adapter(workspace, "mine", tmp_path / "merged")

    remove_adapter(workspace, "mine")
    assert list_adapters(workspace.database) == []
    assert not (workspace.adapters / made.adapter).exists()
    with pytest.raises(UsageError, match="there is no adapter 'mine'"):
        packed(workspace, "mine")


def test_what_is_no_adapter_stays_out(workspace: Workspace, folder: Path, tmp_path: Path) -> None:
    """A pickle, cut-off weights, other sizes, other layers, a missing file, an odd name: refused, and nothing is left behind."""
    from safetensors.torch import load_file, save

    parts = read_parts(folder)
    tensors = load_file(folder / WEIGHTS)
    wide = save(
        {name: torch.cat([t, t], 1) if "lora_A" in name else t for name, t in tensors.items()}
    )
    other = save({name.replace("layers.0", "layers.99"): t for name, t in tensors.items()})
    bad = {
        "no safetensors file": {**parts, WEIGHTS: pickle.dumps({"a": 1})},
        "cut off": {**parts, WEIGHTS: parts[WEIGHTS][:-9]},
        "has the shape": {**parts, WEIGHTS: wide},
        "no linear layer for": {**parts, WEIGHTS: other},
        "adapter_config.json is none of PEFT": {**parts, CONFIG: b"[]"},
        "is missing": {CONFIG: parts[CONFIG]},
    }

    def add(given: dict[str, bytes]) -> None:
        with unpacked(io.BytesIO(zipped(given)), "x", workspace.adapters) as found:
            add_adapter(workspace, "bad", "local:nano", found, source="x")

    for message, given in bad.items():
        with pytest.raises(DataError, match=message):
            add(given)
    with pytest.raises(UsageError, match="cannot be a name"):
        add_adapter(workspace, "../bad", "local:nano", folder, source="x")
    whole = zipped(parts)
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w:gz") as packing:
        packing.add(folder / WEIGHTS, arcname=WEIGHTS)
    broken = whole[:200] + b"\0" * 50 + whole[250:]
    for archive in (b"hello", b"", whole[:-30], broken, tar.getvalue()[:-2000]):
        with pytest.raises(DataError, match=r"neither a \.zip nor a \.tar"):
            parts_in(archive, tmp_path)
    bzipped = io.BytesIO()
    with tarfile.open(fileobj=bzipped, mode="w:bz2") as packing:
        packing.add(folder / WEIGHTS, arcname=WEIGHTS)
    damaged = bzipped.getvalue()[:5000] + b"\0" * 50 + bzipped.getvalue()[5050:]
    for archive in (whole[500:], damaged):
        (tmp_path / "archive").write_bytes(archive)
        with pytest.raises(DataError, match=r"neither a \.zip nor a \.tar"), arrived(str(tmp_path / "archive"), tmp_path / "there"):  # fmt: skip
            pass
    assert list((tmp_path / "there").iterdir()) == []

    assert list_adapters(workspace.database) == []
    assert not workspace.adapters.exists() or not list(workspace.adapters.iterdir())


def test_archives_of_many_entries_are_refused_at_once(tmp_path: Path) -> None:
    """Thousands of entries of one name, and a file that is there twice: a sentence, within a moment."""
    for make, suffix in ((zipped_twice, "zip"), (tarred_twice, "tar.gz")):
        for count, words in ((1200, "entries; an adapter is two files"), (2, "more than once")):
            name = CONFIG if count == 2 else "log.txt"
            path = tmp_path / f"{count}.{suffix}"
            path.write_bytes(make(name, count))
            with pytest.raises(DataError, match=words), arrived(str(path), tmp_path / "there"):
                pass


def zipped_twice(name: str, count: int) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w") as archive:
        warnings.simplefilter("ignore")
        for _ in range(count):
            archive.writestr(name, "{}")
    return file.getvalue()


def tarred_twice(name: str, count: int) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for _ in range(count):
            member = tarfile.TarInfo(name)
            member.size = 2
            archive.addfile(member, io.BytesIO(b"{}"))
    return file.getvalue()


def test_links_in_an_archive_are_not_followed(tmp_path: Path) -> None:
    """A link that bears the right name is not read."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        link = tarfile.TarInfo(CONFIG)
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)

    assert parts_in(file.getvalue(), tmp_path) == {}


@pytest.fixture
def elsewhere(folder: Path) -> Iterator[str]:
    """Give an address of an adapter, and one that leads on to it."""
    archive = zipped(read_parts(folder))

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302 if self.path == "/on" else 200)
            if self.path == "/on":
                self.send_header("location", "/adapter.zip")
            self.end_headers()
            if self.path != "/on":
                self.wfile.write(archive)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_addresses_are_checked(elsewhere: str, folder: Path, tmp_path: Path) -> None:
    """A private address only where that is allowed; no redirects; no other schemes."""

    def fetch(url: str, *, allow_private: bool = False) -> dict[str, bytes]:
        with fetched(url, tmp_path / "there", allow_private=allow_private) as found:
            return read_parts(found)

    assert fetch(f"{elsewhere}/adapter.zip", allow_private=True) == read_parts(folder)
    with pytest.raises(DataError, match="in a private network"):
        fetch(f"{elsewhere}/adapter.zip")
    with pytest.raises(DataError, match="leads on to"):
        fetch(f"{elsewhere}/on", allow_private=True)
    with pytest.raises(DataError, match=r"no http\(s\) address"):
        fetch("file:///etc/passwd")
    with pytest.raises(DataError, match="no file or folder"), arrived("nowhere", tmp_path):
        pass
    assert list((tmp_path / "there").iterdir()) == []


async def test_a_model_of_its_own_goes_when_nothing_needs_it(
    workspace: Workspace, folder: Path
) -> None:
    """Not while an adapter stands on it, or a release or its canary answers with it; an alias goes at any time; its weights are let go, and a name whose files are gone says so."""
    engine, own = workspace.database, workspace.adapters / "a_own"
    shutil.copytree(NANO, own)
    base = f"local:{own.relative_to(workspace.root).as_posix()}"
    for name in ("ft:one", "ft:two"):
        name_adapter(engine, name, adapter="", base=base, source="job", size=1)
    add_adapter(workspace, "upon", base, folder, source="folder")
    task = Task(name="t", instructions="Say it.", inputs=(InputField(name="q"),), metric=MetricSpec(name="exact"), models=Roles(student="local:nano"))  # fmt: skip
    plain = starting_candidate(task)
    remove_adapter(workspace, "ft:two")
    with pytest.raises(UsageError, match="is the base of 'upon'"):
        remove_adapter(workspace, "ft:one")
    remove_adapter(workspace, "upon")
    add_release(engine, Release(name="r", number=1, task=task, candidate=plain, canary=plain.changed(model=base), share=0.1, who="me", at="now"))  # fmt: skip
    with pytest.raises(UsageError, match="the release 'r' answers with 'ft:one'"):
        remove_adapter(workspace, "ft:one")
    candidates = plain.changed(model=base), plain, plain.changed(system="Say it twice.")
    for number, candidate in enumerate(candidates, 2):
        if number > 2:  # served, and then what a rollback goes back to
            with pytest.raises(UsageError, match="or would after a rollback"):
                remove_adapter(workspace, "ft:one")
        add_release(engine, Release(name="r", number=number, task=task, candidate=candidate, who="me", at="now"))  # fmt: skip

    async with ModelPool(root=workspace.root, confined=True) as pool:
        names = Names(engine, pool)
        await names.ready()
        pool.model(base)
        pool.model("local:nano")
        remove_adapter(workspace, "ft:one")
        names.expire()
        await names.ready()
        assert not pool.is_open(base)
        assert pool.is_open("local:nano")
    assert not own.exists()
    for adapter, gone in (("", base), ("a_none", "local:nano")):
        name_adapter(engine, "gone", adapter=adapter, base=gone, source="job", size=1)
        with pytest.raises(DataError, match=r"gone|missing"):
            packed(workspace, "gone")


async def test_the_library_over_http(
    workspace: Workspace, folder: Path, elsewhere: str, tmp_path: Path
) -> None:
    """Upload, list, download, ask, delete; an address in a private network is refused, in OpenAI's shape."""

    class Nobody:
        def put(self, _job: str, _run: int) -> None:
            raise AssertionError

    gateway = make_gateway(workspace, Nobody())
    archive = zipped(read_parts(folder))
    with serving(gateway) as url:
        async with aiohttp.ClientSession() as session:
            form = aiohttp.FormData({"name": "mine", "base": "local:nano"})
            form.add_field("file", archive, filename="a.zip")
            async with session.post(f"{url}/adapters", data=form) as said:
                assert (await said.json())["id"] == "mine"
            async with session.get(f"{url}/adapters") as said:
                assert [one["id"] for one in (await said.json())["data"]] == ["mine"]
            async with session.get(f"{url}/adapters/mine/content") as said:
                assert parts_in(await said.read(), tmp_path) == read_parts(folder)
            async with session.get(f"{url}/adapters/other/content") as said:
                assert said.status == 404
            body = {
                "model": "local:nano",
                "peft": "mine",
                "messages": [{"role": "user", "content": "hi"}],
                "max_tokens": 3,
            }
            async with session.post(f"{url}/chat/completions", json=body) as said:
                assert said.status == 200
            wanted = {"name": "far", "url": f"{elsewhere}/adapter.zip"}
            async with session.post(f"{url}/adapters/fetch", json=wanted) as said:
                assert said.status == 400
                assert "private network" in json.loads(await said.read())["error"]["message"]
            field = b'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\n%s\r\n--b--\r\n'
            long = io.BytesIO(field % (b"x" * 5_000_000))
            kind = {"content-type": "multipart/form-data; boundary=b"}
            async with session.post(f"{url}/adapters", data=long, headers=kind) as said:
                assert said.status in (400, 413)
                assert "error" in json.loads(await said.read())
            async with session.delete(f"{url}/adapters/mine") as said:
                assert (await said.json())["deleted"]
    assert list(workspace.adapters.iterdir()) == []


def test_gguf_is_written_by_llama_cpps_converter(workspace, folder, tmp_path, monkeypatch):
    """It is handed the merged model and a type; without it, or where it fails, the remedy or its own words are told."""
    add_adapter(workspace, "mine", "local:nano", folder, source="folder")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UsageError, match="set LLAMA_CPP to"):
        gguf_adapter(workspace, "mine", tmp_path / "mine.gguf", dtype="float16")
    (tmp_path / "llama").mkdir()
    (tmp_path / "llama" / "convert_hf_to_gguf.py").write_text(
        "import pathlib, sys\n"
        "merged, _, out, _, kind = sys.argv[1:]\n"
        "assert (pathlib.Path(merged) / 'model.safetensors').is_file()\n"
        "assert (pathlib.Path(merged) / 'tokenizer.json').is_file()\n"
        "if kind == 'f32': sys.exit('ERROR: Model Lfm2ForCausalLM is not supported')\n"
        "pathlib.Path(out).write_bytes(b'GGUF' + kind.encode())\n"
    )
    monkeypatch.setenv("LLAMA_CPP", str(tmp_path / "llama"))

    gguf_adapter(workspace, "mine", tmp_path / "mine.gguf", dtype="bfloat16")

    assert (tmp_path / "mine.gguf").read_bytes() == b"GGUFbf16"
    with pytest.raises(UsageError, match="Model Lfm2ForCausalLM is not supported"):
        gguf_adapter(workspace, "mine", tmp_path / "other.gguf", dtype="float32")
    assert not list(tmp_path.glob("*other*"))
