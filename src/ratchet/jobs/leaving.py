"""Fine-tunes for elsewhere: packed as they are, merged into their base, or as GGUF."""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import IO

from ratchet.core.errors import DataError, UsageError
from ratchet.jobs.adapters import check_files, folder_of, known
from ratchet.models import local_folder
from ratchet.models.adapters import CONFIG, WEIGHTS
from ratchet.store import Workspace

__all__ = ["gguf_adapter", "merge_adapter", "pack"]

CONVERTER = "convert_hf_to_gguf.py"
DTYPES = {"float16": "f16", "bfloat16": "bf16", "float32": "f32"}
"""Of merged weights, with their names in GGUF."""


def pack(workspace: Workspace, name: str, file: IO[bytes]) -> None:
    """Write an adapter's two files as a .tar.gz, or the files of a model of its own, as PEFT, transformers and vLLM take them.

    Raises: UsageError if there is none of that name; DataError if its files are gone.
    """
    found = known(workspace, name)
    folder = folder_of(workspace, found)
    if found.adapter:
        check_files(folder)
    elif not folder.is_dir():
        raise DataError(f"the files of {name!r} are gone")
    parts = (CONFIG, WEIGHTS) if found.adapter else sorted(one.name for one in folder.iterdir())
    with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as tar:  # weights hardly shrink
        for part in parts:
            tar.add(folder / part, arcname=part)


def gguf_adapter(workspace: Workspace, name: str, out: Path, *, dtype: str) -> None:
    """Write the base with the adapter merged into it as GGUF, by llama.cpp's own converter.

    Raises: UsageError if the converter is not on this machine, or does not know the model; and as `merge_adapter`.
    """
    own = Path(os.environ["LLAMA_CPP"]) / CONVERTER if os.environ.get("LLAMA_CPP") else None
    found = str(own) if own and own.is_file() else shutil.which(CONVERTER)
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
    """Write the base with the adapter merged into it, or the model of its own, as a folder that transformers and vLLM load without PEFT.

    Raises: UsageError if there is none of that name, the folder is not empty, or the type is unknown.
    """
    found = known(workspace, name)
    if dtype not in DTYPES:
        raise UsageError(f"--dtype is one of {', '.join(DTYPES)}, not {dtype!r}")
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"{out} is not empty; name a new folder")
    import torch  # the extra 'local'
    from peft import PeftModel

    from ratchet.models.local import load_base

    base = local_folder(found.base, workspace.root)
    model, tokenizer = load_base(base)
    if found.adapter:
        folder = folder_of(workspace, found)
        model = PeftModel.from_pretrained(model, folder).merge_and_unload()
    model.to(getattr(torch, dtype)).save_pretrained(out)
    tokenizer.save_pretrained(out)
