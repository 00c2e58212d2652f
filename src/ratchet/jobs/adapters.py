"""The library of adapters: one is put in, checked, under a name; one is taken out.

What comes from outside is checked before it is kept: safetensors alone, no pickle; two files whose names we choose; tensors that
fit the base.
"""

import shutil
from pathlib import Path
from secrets import token_hex

from ratchet.core.errors import DataError, UsageError
from ratchet.ladder.canary import answering
from ratchet.models import local_folder
from ratchet.models.adapter_files import read_config, read_tensors
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
    """Check that an adapter is one that is served as PEFT would, fits its base, and has numbers for weights.

    Raises: DataError naming what is wrong.
    """
    tensors = read_tensors(folder, read_config(folder))
    wanted = layers_of(base)
    for tensor in tensors:
        layer = wanted.get(tensor.layer)
        if layer is None:
            raise DataError(
                f"the adapter is not for {base.name}: it has no linear layer for {tensor.key!r}"
            )
        place = 1 if tensor.side == "A" else 0
        if tensor.shape[place] != layer[place]:
            raise DataError(
                f"the adapter is not for {base.name}: {tensor.key!r} has the shape {list(tensor.shape)}, and the layer {layer}"
            )
    check_finite(folder)


def check_finite(folder: Path) -> None:
    """Check that all weights of an adapter are numbers.

    Raises: DataError naming the first that is not.
    """
    from safetensors import safe_open  # the extra 'local'

    with safe_open(folder / WEIGHTS, framework="pt") as file:
        for key in file.keys():  # noqa: SIM118 - it is no mapping
            if not bool(file.get_tensor(key).isfinite().all()):
                raise DataError(
                    f"{WEIGHTS}: {key!r} holds values that are no numbers (NaN or infinite)"
                )


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
