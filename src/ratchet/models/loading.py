"""Loading weights: one model at a time, and in which precision.

transformers builds a model without memory first, by a switch that all threads share: a model that another thread builds meanwhile may be
left without its weights ("Cannot copy out of meta tensor").
"""

import json
import threading
from functools import cache
from pathlib import Path
from typing import Literal

__all__ = ["LOADING", "Weights", "choose_precision", "has_bfloat16"]

LOADING = threading.Lock()
"""Held by whoever calls `from_pretrained` for a model."""
CPUINFO = Path("/proc/cpuinfo")
BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}
MIN_BFLOAT16_BYTES = 64_000_000
"""Files of weights below this gain nothing from bfloat16: their layers are too small."""
Weights = Literal["auto", "float32", "bfloat16"]


@cache
def has_bfloat16() -> bool:
    """Return whether this machine's processor multiplies bfloat16 itself; where it cannot be known, False."""
    try:
        text = CPUINFO.read_text("utf-8")
    except OSError:
        return False
    lines = (line.partition(":")[2] for line in text.splitlines() if line.startswith("flags"))
    return not BFLOAT16_FLAGS.isdisjoint(next(lines, "").split())


def choose_precision(folder: Path, weights: Weights) -> Literal["float32", "bfloat16"] | None:
    """Return what the weights of a folder are to be held in to answer on the processor; None leaves it to the device's default.

    `auto` is bfloat16 for models that were saved in it, so that no weight changes, where the processor multiplies it and the model is
    large enough to gain by it.
    """
    if weights != "auto":
        return weights
    config = json.loads((folder / "config.json").read_text("utf-8"))
    saved = config.get("dtype", config.get("torch_dtype"))
    size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    is_worth_it = saved == "bfloat16" and size >= MIN_BFLOAT16_BYTES and has_bfloat16()
    return "bfloat16" if is_worth_it else None
