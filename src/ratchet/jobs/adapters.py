"""The library of adapters: put one in from a folder, a file or an address; merge it into its base; pack it up; take it out.

What comes from outside is checked before it is kept: safetensors alone, no pickle; two files whose names we choose; tensors that
fit the base. An address must not lead to a private network unless that is allowed, and redirects are not followed.
"""

import http.client
import io
import ipaddress
import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import urllib.parse
import urllib.request
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from secrets import token_hex
from typing import Any

from ratchet.core.errors import DataError, UsageError
from ratchet.models import local_folder
from ratchet.models.adapters import CONFIG, WEIGHTS
from ratchet.store import Workspace, load_releases
from ratchet.store.adapters import (
    NamedAdapter,
    delete_adapter,
    find_adapter,
    list_adapters,
    name_adapter,
    size_of,
)
from ratchet.store.steps import tasks_with

__all__ = [
    "CONFIG",
    "WEIGHTS",
    "add_adapter",
    "copy_adapter",
    "fetch",
    "gguf_adapter",
    "merge_adapter",
    "packed",
    "read_parts",
    "remove_adapter",
]

CONVERTER = "convert_hf_to_gguf.py"
LARGEST = 2**30
"""Bytes of an adapter."""
LARGEST_CONFIG = 2**20
TIMEOUT_S = 60.0
NAT64 = ipaddress.ip_network("64:ff9b::/96")
DTYPES = {"float16": "f16", "bfloat16": "bf16", "float32": "f32"}
"""Of merged weights, with their names in GGUF."""


def add_adapter(
    workspace: Workspace, name: str, base: str, parts: Mapping[str, bytes], *, source: str
) -> NamedAdapter:
    """Check an adapter, keep it, and give it a name.

    Args:
        workspace: Where it goes.
        name: What it is asked for by.
        base: The local model that it is for.
        parts: The contents of its two files.
        source: Where it came from.
    Raises: DataError if it is none, or does not fit the base; UsageError if the name is taken; UnknownModelError for the base.
    """
    if not name or len(name) > 150 or not all(c.isalnum() or c in "._:-" for c in name):
        raise UsageError(
            f"{name!r} cannot be a name: letters, digits and . _ : - up to 150 of them"
        )
    served = {release.name for release in load_releases(workspace.database)}
    if name.startswith(("local:", "ft:")) or name in served:
        raise UsageError(f"{name!r} means something else already; choose another name")
    if not base.startswith("local:"):
        raise UsageError(f"the base must be a local model, as local:nano, not {base!r}")
    if find_adapter(workspace.database, name):
        raise UsageError(
            f"there is an adapter named {name!r} already; delete it, or choose another name"
        )
    for part in (CONFIG, WEIGHTS):
        if part not in parts:
            raise DataError(f"an adapter has the files {CONFIG} and {WEIGHTS}; {part} is missing")
    check_fit(parts, local_folder(base, workspace.root))
    adapter = f"u_{token_hex(8)}"
    folder = workspace.adapters / adapter
    write_parts(folder, parts)
    return name_adapter(
        workspace.database, name, adapter=adapter, base=base, source=source, size=size_of(folder)
    )


def check_fit(parts: Mapping[str, bytes], base: Path) -> None:
    """Check that an adapter's tensors fit its base, from the sizes in the file's head alone.

    Raises: DataError naming what does not.
    """
    try:
        config = json.loads(parts[CONFIG])
        rank = config["r"]
        alpha = config.get("lora_alpha", rank)
        numbers = [rank, alpha, *(config.get("alpha_pattern") or {}).values()]
        if config.get("peft_type") != "LORA" or not all(is_positive(n) for n in numbers):
            raise ValueError("it is no LoRA, or its rank or alpha is no number above 0")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{CONFIG} is none of PEFT: {error}") from error
    tensors = shapes_of(parts[WEIGHTS])
    wanted = layers_of(base)
    for key, shape in tensors.items():
        name, _, side = key.removeprefix("base_model.model.").partition(".lora_")
        layer = wanted.get(name)
        if side not in ("A.weight", "B.weight") or layer is None:
            raise DataError(
                f"the adapter is not for {base.name}: it has no linear layer for {key!r}"
            )
        place = 1 if side == "A.weight" else 0
        if len(shape) != 2 or 0 in shape or shape[place] != layer[place]:
            raise DataError(
                f"the adapter is not for {base.name}: {key!r} has the shape {shape}, and the layer {layer}"
            )
    if not tensors:
        raise DataError(f"{WEIGHTS} holds no tensors")


def is_positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def shapes_of(content: bytes) -> dict[str, list[int]]:
    """Return the shape of each tensor in a safetensors file; nothing in it is run, and no weight is read.

    Raises: DataError if it is no such file.
    """
    try:
        size = int.from_bytes(content[:8], "little")
        if len(content) < 8 or size > len(content) - 8:
            raise ValueError("its head is cut off")
        head = json.loads(content[8 : 8 + size])
        head.pop("__metadata__", None)
        end = max((tensor["data_offsets"][1] for tensor in head.values()), default=0)
        if end != len(content) - 8 - size:
            raise ValueError("its weights are cut off")
        return {str(name): [int(n) for n in tensor["shape"]] for name, tensor in head.items()}
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise DataError(f"{WEIGHTS} is no safetensors file: {error}") from error


def layers_of(base: Path) -> dict[str, list[int]]:
    """Return the shape of each linear layer's weights (out, in) of a model, without loading it."""
    import torch  # the extra 'local'
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(base))
    return {
        name: [layer.out_features, layer.in_features]
        for name, layer in model.named_modules()
        if isinstance(layer, torch.nn.Linear)
    }


def read_parts(path: Path) -> dict[str, bytes]:
    """Return the two files of an adapter from a folder, a .zip or a .tar.gz; whatever else is in there is not touched.

    Raises: DataError if there is nothing such.
    """
    if path.is_dir():
        return {n: (path / n).read_bytes() for n in (CONFIG, WEIGHTS) if (path / n).is_file()}
    if not path.is_file():
        raise DataError(f"there is no file or folder {path}")
    return unpacked(path.read_bytes(), path.name)


def unpacked(content: bytes, name: str) -> dict[str, bytes]:
    """Return the two files from an archive; only their names count, no path of it is ever made."""
    found: dict[str, bytes] = {}
    file = io.BytesIO(content)
    try:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                for entry in archive.infolist():
                    part = entry.filename.rsplit("/", 1)[-1]
                    if part in (CONFIG, WEIGHTS):
                        allowed(part, entry.file_size)
                        found[part] = archive.read(entry)
            return found
        file.seek(0)
        with tarfile.open(fileobj=file, mode="r:*") as tar:
            for member in tar:
                part = member.name.rsplit("/", 1)[-1]
                if part in (CONFIG, WEIGHTS) and member.isfile():
                    allowed(part, member.size)
                    opened = tar.extractfile(member)
                    found[part] = opened.read() if opened else b""
    except (
        zipfile.BadZipFile,
        tarfile.TarError,
        OSError,
        EOFError,
        RuntimeError,
        ValueError,
        zlib.error,
    ) as error:
        raise DataError(
            f"{name} is neither a .zip nor a .tar.gz with an adapter: {error}"
        ) from error
    return found


def allowed(part: str, size: int) -> None:
    if size > (LARGEST_CONFIG if part == CONFIG else LARGEST):
        raise DataError(f"{part} is larger than an adapter can be ({size} bytes)")


class _Straight(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: what was checked is what is asked."""

    def redirect_request(
        self, _req: Any, _fp: Any, code: int, _msg: str, _headers: Any, newurl: str
    ) -> None:
        raise DataError(
            f"the address leads on to {newurl} ({code}); give that one, if you trust it"
        )


def is_public(address: str) -> bool:
    """Return whether an address is on the public internet, and not a private one in the clothes of a public one."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo and found.teredo[1])
        if inner or found in NAT64:
            return False
    return found.is_global


class _Checked:
    """A connection that looks at whom it reached before it says a word: a name may lead elsewhere the second time."""

    sock: socket.socket

    def connect(self) -> None:
        """Connect, and hang up on a private address."""
        super().connect()  # type: ignore[misc]  # the connection that this is mixed into
        address = self.sock.getpeername()[0]
        if not is_public(address):
            self.sock.close()
            raise OSError(
                f"it is in a private network ({address}); allow that with --allow-private, if it is yours"
            )


class _Http(_Checked, http.client.HTTPConnection):
    pass


class _Https(_Checked, http.client.HTTPSConnection):
    pass


class _HttpHandler(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Http, req)


class _HttpsHandler(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Https, req)


def fetch(url: str, *, allow_private: bool = False) -> bytes:
    """Return what is at an address.

    Raises: DataError if it cannot be reached, is in a private network, or leads elsewhere.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise DataError(f"{url!r} is no http(s) address")
    handlers = (
        [] if allow_private else [_HttpHandler(), _HttpsHandler(), urllib.request.ProxyHandler({})]
    )
    opener = urllib.request.build_opener(_Straight, *handlers)
    try:
        with opener.open(url, timeout=TIMEOUT_S) as response:
            content: bytes = response.read(LARGEST + 1)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise DataError(f"{url} cannot be read: {getattr(error, 'reason', error)}") from error
    if len(content) > LARGEST:
        raise DataError(f"{url} is larger than an adapter can be")
    return content


def copy_adapter(source: Path, target: Path) -> None:
    """Copy an adapter's weights and configuration."""
    write_parts(target, {name: (source / name).read_bytes() for name in (CONFIG, WEIGHTS)})


def write_parts(folder: Path, parts: Mapping[str, bytes]) -> None:
    """Write an adapter's two files whole or not at all, in place of those that are there."""
    beside = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        for part in (CONFIG, WEIGHTS):
            (beside / part).write_bytes(parts[part])
        shutil.rmtree(folder, ignore_errors=True)
        beside.rename(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def remove_adapter(workspace: Workspace, name: str) -> None:
    """Take an adapter out; its folder goes when no other name means it.

    Raises: UsageError if there is none of that name, or a release or a ladder needs it.
    """
    engine = workspace.database
    found = find_adapter(engine, name)
    if found is None:
        raise UsageError(f"there is no adapter {name!r}; `ratchet adapters list` shows all")
    used = [one.name for one in load_releases(engine) if one.candidate.adapter == found.adapter]
    if used:
        raise UsageError(
            f"{name!r} is served as the release {used[0]!r}; promote another candidate first"
        )
    others = [one for one in list_adapters(engine) if one.adapter == found.adapter and one.name != name]  # fmt: skip
    if not others and (climbed := tasks_with(engine, found.adapter)):
        raise UsageError(
            f"{name!r} stands on the ladder of {climbed[0]!r}; `ratchet ladder {climbed[0]} --clear` forgets that"
        )
    delete_adapter(engine, name)
    if all(other.adapter != found.adapter for other in list_adapters(engine)):
        shutil.rmtree(workspace.adapters / found.adapter, ignore_errors=True)


def packed(workspace: Workspace, name: str) -> bytes:
    """Return an adapter's two files as a .tar.gz, as PEFT, transformers and vLLM take them.

    Raises: UsageError if there is none of that name.
    """
    found = find_adapter(workspace.database, name)
    if found is None:
        raise UsageError(f"there is no adapter {name!r}; `ratchet adapters list` shows all")
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        for part in (CONFIG, WEIGHTS):
            tar.add(workspace.adapters / found.adapter / part, arcname=part)
    return file.getvalue()


def gguf_adapter(workspace: Workspace, name: str, out: Path, *, dtype: str) -> None:
    """Write the base with the adapter merged into it as GGUF, by llama.cpp's own converter.

    Raises: UsageError if the converter is not on this machine, or does not know the model; and as `merge_adapter`.
    """
    known = Path(os.environ["LLAMA_CPP"]) / CONVERTER if os.environ.get("LLAMA_CPP") else None
    found = str(known) if known and known.is_file() else shutil.which(CONVERTER)
    if found is None:
        raise UsageError(
            f"GGUF needs llama.cpp's {CONVERTER}: put it on the PATH, or set LLAMA_CPP to llama.cpp's folder; or export with --merge, and convert elsewhere"
        )
    with tempfile.TemporaryDirectory() as folder:
        merge_adapter(workspace, name, Path(folder) / "merged", dtype=dtype)
        beside = out.with_name(f".{out.name}.part")
        done = subprocess.run(  # noqa: S603 - the converter that was named
            [
                sys.executable,
                found,
                f"{folder}/merged",
                "--outfile",
                str(beside),
                "--outtype",
                DTYPES[dtype],
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode or not beside.is_file():
            beside.unlink(missing_ok=True)
            said = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing"]
            raise UsageError(f"{found} did not convert the model: {said[-1][:300]}")
        beside.rename(out)


def merge_adapter(workspace: Workspace, name: str, out: Path, *, dtype: str = "float32") -> None:
    """Write the base with the adapter merged into it, as a folder that transformers and vLLM load without PEFT.

    Raises: UsageError if there is none of that name, the folder is not empty, or the type is unknown.
    """
    found = find_adapter(workspace.database, name)
    if found is None:
        raise UsageError(f"there is no adapter {name!r}; `ratchet adapters list` shows all")
    if dtype not in DTYPES:
        raise UsageError(f"--dtype is one of {', '.join(DTYPES)}, not {dtype!r}")
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"{out} is not empty; name a new folder")
    import torch  # the extra 'local'
    from peft import PeftModel

    from ratchet.models.local import load_base

    base = local_folder(found.base, workspace.root)
    model, tokenizer = load_base(base)
    merged = PeftModel.from_pretrained(model, workspace.adapters / found.adapter).merge_and_unload()
    merged.to(getattr(torch, dtype)).save_pretrained(out)
    tokenizer.save_pretrained(out)
