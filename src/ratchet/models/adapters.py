"""Where LoRA adapters lie: a folder each, by id, with PEFT's two files."""

from pathlib import Path

from ratchet.core.errors import ReplyError

__all__ = ["CONFIG", "WEIGHTS", "adapter_folder"]

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def adapter_folder(adapters: Path | None, adapter: str) -> Path:
    """Return the folder of an adapter.

    Raises: ReplyError (kind "no adapter") if there is none of that id.
    """
    folder = (adapters or Path()) / adapter
    if not (folder / CONFIG).is_file():
        raise ReplyError(
            f"there is no adapter {adapter!r} in {adapters}; `ratchet try tune TASK` makes one",
            kind="no adapter",
        )
    return folder
