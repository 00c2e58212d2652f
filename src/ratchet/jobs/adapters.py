"""The library of adapters: one is put in, checked, under a name; one is taken out.

What comes from outside is checked before it is kept: safetensors alone, no pickle; two files whose names we choose; tensors that
fit the base.
"""

import json
import shutil
from pathlib import Path
from secrets import token_hex
from typing import Any

from ratchet.core.errors import DataError, UsageError
from ratchet.ladder.canary import answering
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
from ratchet.store.workspace import writable

__all__ = [
    "CONFIG",
    "WEIGHTS",
    "add_adapter",
    "check_files",
    "copy_adapter",
    "folder_of",
    "known",
    "remove_adapter",
]

LARGEST_HEAD = 2**26
"""Bytes that say what is in a safetensors file."""


def add_adapter(
    workspace: Workspace, name: str, base: str, folder: Path, *, source: str
) -> NamedAdapter:
    """Check an adapter, keep it, and give it a name.

    Args:
        workspace: Where it goes.
        name: What it is asked for by.
        base: The local model that it is for.
        folder: Holds its two files.
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
    check_files(folder)
    check_fit(folder, local_folder(base, workspace.root))
    adapter = f"u_{token_hex(8)}"
    kept = workspace.adapters / adapter
    copy_adapter(folder, kept)
    return name_adapter(
        workspace.database, name, adapter=adapter, base=base, source=source, size=size_of(kept)
    )


def check_files(folder: Path) -> None:
    """Check that a folder has an adapter's two files.

    Raises: DataError if one is missing.
    """
    for part in (CONFIG, WEIGHTS):
        if not (folder / part).is_file():
            raise DataError(f"an adapter has the files {CONFIG} and {WEIGHTS}; {part} is missing")


def check_fit(folder: Path, base: Path) -> None:
    """Check that an adapter's tensors fit its base, from the sizes in the file's head alone.

    Raises: DataError naming what does not.
    """
    try:
        config = json.loads((folder / CONFIG).read_bytes())
        rank = config["r"]
        alpha = config.get("lora_alpha", rank)
        numbers = [rank, alpha, *(config.get("alpha_pattern") or {}).values()]
        if config.get("peft_type") != "LORA" or not all(is_positive(n) for n in numbers):
            raise ValueError("it is no LoRA, or its rank or alpha is no number above 0")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{CONFIG} is none of PEFT: {error}") from error
    tensors = shapes_of(folder / WEIGHTS)
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


def shapes_of(path: Path) -> dict[str, list[int]]:
    """Return the shape of each tensor in a safetensors file; nothing in it is run, and no weight is read.

    Raises: DataError if it is no such file.
    """
    whole = path.stat().st_size
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if whole < 8 or size > min(whole - 8, LARGEST_HEAD):
                raise ValueError("its head is cut off")
            head = json.loads(file.read(size))
        head.pop("__metadata__", None)
        end = max((tensor["data_offsets"][1] for tensor in head.values()), default=0)
        if end != whole - 8 - size:
            raise ValueError("its weights are cut off")
        return {str(name): [int(n) for n in tensor["shape"]] for name, tensor in head.items()}
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
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


def copy_adapter(source: Path, target: Path) -> None:
    """Copy an adapter's two files, whole or not at all, in place of those that are there.

    Raises: DataError if they are not there; StoreError if they cannot be written.
    """
    check_files(source)
    beside = target.with_name(f".{target.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    with writable(target):
        beside.mkdir(parents=True)
        try:
            for part in (CONFIG, WEIGHTS):
                shutil.copyfile(source / part, beside / part)
            shutil.rmtree(target, ignore_errors=True)
            beside.rename(target)
        finally:
            shutil.rmtree(beside, ignore_errors=True)


def known(workspace: Workspace, name: str) -> NamedAdapter:
    """Return the adapter of a name.

    Raises: UsageError if there is none.
    """
    found = find_adapter(workspace.database, name)
    if found is None:
        raise UsageError(f"there is no adapter {name!r}; `ratchet adapters list` shows all")
    return found


def folder_of(workspace: Workspace, one: NamedAdapter) -> Path:
    """Return where the weights of a fine-tune lie."""
    if one.adapter:
        return workspace.adapters / one.adapter
    return workspace.root / one.base.removeprefix("local:")


def remove_adapter(workspace: Workspace, name: str) -> None:
    """Take an adapter out; its folder goes when no other name means it.

    Raises: UsageError if there is none of that name, or a release or a ladder needs it.
    """
    engine, found = workspace.database, known(workspace, name)
    used = [
        release
        for release, those in answering(engine).items()
        if any(map(found.is_needed_by, those))
    ]
    if used:
        raise UsageError(
            f"the release {used[0]!r} answers with {name!r}, or would after a rollback; promote others first"
        )
    rest = [one for one in list_adapters(engine) if one.name != name]
    others = [one for one in rest if (one.base, one.adapter) == (found.base, found.adapter)]
    built = [one.name for one in rest if not found.adapter and one.adapter and one.base == found.base]  # fmt: skip
    if built and not others:
        raise UsageError(f"{name!r} is the base of {built[0]!r}; delete that one first")
    if not others and (climbed := tasks_with(engine, found.is_needed_by)):
        raise UsageError(
            f"{name!r} stands on the ladder of {climbed[0]!r}; `ratchet ladder {climbed[0]} --clear` forgets that"
        )
    delete_adapter(engine, name)
    if not others:
        shutil.rmtree(folder_of(workspace, found), ignore_errors=True)
