"""What an adapter's two files say, checked whole: its settings, and the head of its weights; nothing in them is run.

An adapter is served as two matrices a linear layer. Settings that leave the arithmetic at that pass whatever they are; of every other
setting only PEFT's default passes, also of those that a later PEFT will have. So an adapter answers as PEFT would have it answer, or
is refused by the name of what differs (tests/models/test_adapter_files.py makes adapters with PEFT and compares).
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ratchet.core.errors import DataError
from ratchet.models.adapters import CONFIG, WEIGHTS

__all__ = ["HARMLESS", "AdapterConfig", "Tensor", "read_config", "read_tensors"]

MAX_CONFIG_BYTES = 2**20
MAX_HEAD_BYTES = 2**26
MAX_RANK = 8192
HARMLESS = frozenset(
    (
        *("task_type", "peft_type", "auto_mapping", "peft_version", "revision", "inference_mode"),
        *("base_model_name_or_path", "lora_dropout", "target_modules", "exclude_modules"),
        *("layers_to_transform", "layers_pattern", "qalora_group_size", "megatron_core"),
        *("loftq_config", "eva_config", "corda_config", "lora_ga_config", "runtime_config"),
    )
)
"""Settings of training, of names, and of initialisations that `init_lora_weights` decides about."""
READ = frozenset(
    ("r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern", "init_lora_weights", "bias")
)
UNCHANGED_BASE = (True, False, None, "gaussian", "orthogonal", "eva")
"""Initialisations that leave the base as it is; others put a part of it into the adapter, which is right on the changed base alone."""
REMEDY = "merge it into its base with PEFT (merge_and_unload) and serve the result as a model of its own, or train it without that"
PLAIN_NAME = re.compile(r"\^?[A-Za-z0-9_.\-]+\$?")
"""Patterns that are names of layers, or the ends of names."""
BYTES = {"F16": 2, "BF16": 2, "F32": 4}
"""Types of weights that are served, and the size of a number."""
KEY = re.compile(r"(?:base_model\.model\.)?(.+)\.lora_([AB])\.weight")


@dataclass(frozen=True, kw_only=True)
class AdapterConfig:
    """The settings that matter."""

    rank: int
    alpha: float
    use_rslora: bool
    ranks: Mapping[str, int]
    """By pattern of layers' names, in their order."""
    alphas: Mapping[str, float]

    def rank_of(self, layer: str) -> int:
        """Return the rank that a layer's matrices must have."""
        return int(_of_pattern(self.ranks, layer, self.rank))

    def scale_of(self, layer: str) -> float:
        """Return what an adapter's addition to a layer is multiplied by."""
        rank = self.rank_of(layer)
        alpha = float(_of_pattern(self.alphas, layer, self.alpha))
        return alpha / (math.sqrt(rank) if self.use_rslora else rank)


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """One of an adapter's matrices, by the head of its file."""

    key: str
    layer: str
    """The linear layer's name in the base."""
    side: str
    """A or B."""
    shape: tuple[int, int]


def _of_pattern(patterns: Mapping[str, Any], layer: str, usual: Any) -> Any:
    """Return the value of the first pattern that a layer's name ends with, or is, as PEFT's `get_pattern_key` looks for it."""
    for pattern, value in patterns.items():
        name = pattern.removeprefix("^").removesuffix("$")
        is_whole = pattern.startswith("^")
        if layer == name or (not is_whole and layer.endswith(f".{name}")):
            return value
    return usual


def read_config(folder: Path) -> AdapterConfig:
    """Return the settings of an adapter.

    Raises: DataError that names the setting which cannot be served, its value and the remedy.
    """
    path = folder / CONFIG
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise ValueError(f"it has more than {MAX_CONFIG_BYTES} bytes")
        config = json.loads(path.read_bytes())
    except (ValueError, RecursionError, OSError) as error:
        raise DataError(
            f"{CONFIG} is none of PEFT: {str(error)[:200] or 'nested too deep'}"
        ) from error
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        kind = config.get("peft_type") if isinstance(config, dict) else None
        raise DataError(f"{CONFIG} is none of PEFT that is a LoRA: peft_type is {kind!r:.80}")
    for name, value in config.items():
        if name not in HARMLESS and name not in READ and _says_something(value):
            raise _refusal(name, value)
    if config.get("bias", "none") not in ("none", None):
        raise _refusal("bias", config["bias"])
    start = config.get("init_lora_weights", True)
    if isinstance(start, list | dict) or start not in UNCHANGED_BASE:
        raise _refusal("init_lora_weights", start)
    return AdapterConfig(
        rank=_rank("r", config.get("r", 8)),
        alpha=_number("lora_alpha", config.get("lora_alpha", 8)),
        use_rslora=_flag("use_rslora", config.get("use_rslora")),
        ranks={name: _rank("rank_pattern", value) for name, value in _patterns(config, "rank_pattern")},
        alphas={name: _number("alpha_pattern", value) for name, value in _patterns(config, "alpha_pattern")},
    )  # fmt: skip


def _says_something(value: Any) -> bool:
    """Return whether a setting is other than what PEFT leaves it at: nothing, false, empty."""
    return value not in (None, False, "") and value not in ([], {})


def _refusal(name: str, value: Any) -> DataError:
    said = json.dumps(value, default=str)
    return DataError(
        f"{CONFIG} sets {name} to {said[:80]}, which is not served as PEFT would: {REMEDY}"
    )


def _patterns(config: Mapping[str, Any], name: str) -> list[tuple[str, Any]]:
    patterns = config.get(name) or {}
    if not isinstance(patterns, dict):
        raise _refusal(name, patterns)
    for pattern in patterns:
        if not PLAIN_NAME.fullmatch(pattern):
            raise DataError(
                f"{CONFIG}: {name} has the pattern {pattern[:80]!r}; names of layers, or the ends of them, are served, and other patterns are not: {REMEDY}"
            )
    return list(patterns.items())


def _number(name: str, value: Any) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 < value < 1e9:
        raise DataError(f"{CONFIG}: {name} must be a number above 0, not {str(value)[:80]}")
    return float(value)


def _rank(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= MAX_RANK:
        raise DataError(
            f"{CONFIG}: {name} must be a whole number from 1 to {MAX_RANK}, not {str(value)[:80]}"
        )
    return value


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool | None):
        raise DataError(f"{CONFIG}: {name} must be true or false, not {str(value)[:80]}")
    return bool(value)


def read_tensors(folder: Path, config: AdapterConfig) -> list[Tensor]:
    """Return the matrices of an adapter by the head of its weights: a pair a layer, of the rank that the settings say.

    Raises: DataError if the file is damaged, or holds anything else.
    """
    tensors = [_tensor(key, entry) for key, entry in _read_head(folder / WEIGHTS).items()]
    if not tensors:
        raise DataError(f"{WEIGHTS} holds no tensors")
    found: dict[str, dict[str, Tensor]] = {}
    for tensor in tensors:
        pair = found.setdefault(tensor.layer, {})
        if tensor.side in pair:
            raise DataError(f"{WEIGHTS} holds lora_{tensor.side} of {tensor.layer!r} twice")
        pair[tensor.side] = tensor
    for layer, pair in found.items():
        if len(pair) < 2:
            raise DataError(f"{WEIGHTS} holds lora_{next(iter(pair))} alone of {layer!r}")
        rank = config.rank_of(layer)
        ranks = (pair["A"].shape[0], pair["B"].shape[1])
        if ranks != (rank, rank):
            raise DataError(
                f"{WEIGHTS}: the matrices of {layer!r} are of the ranks {ranks[0]} and {ranks[1]}, and {CONFIG} says {rank}"
            )
    return tensors


def _tensor(key: str, entry: Any) -> Tensor:
    named = KEY.fullmatch(key)
    if key.endswith(".base_layer.weight"):
        raise DataError(
            f"{WEIGHTS} holds weights of the base ({key[:120]!r}), which PEFT would put in place of the base's own: save it with save_embedding_layers=False if they are unchanged"
        )
    if named is None:
        raise DataError(
            f"{WEIGHTS} holds {key[:120]!r}, which is not a LoRA matrix of a linear layer: {REMEDY}"
        )
    shape = entry["shape"]
    if len(shape) != 2 or 0 in shape:
        raise DataError(
            f"{WEIGHTS}: {key[:120]!r} has the shape {str(shape)[:80]}, and is no matrix"
        )
    return Tensor(key=key, layer=named[1], side=named[2], shape=(shape[0], shape[1]))


def _read_head(path: Path) -> dict[str, Any]:
    """Return what a safetensors file says of its tensors, which fill the file without a gap and without lying over one another."""
    try:
        whole = path.stat().st_size
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if whole < 8 or size > min(whole - 8, MAX_HEAD_BYTES):
                raise ValueError("its head is cut off")
            head = json.loads(file.read(size))
        head.pop("__metadata__", None)
        end = 0
        for key, entry in sorted(head.items(), key=lambda item: item[1]["data_offsets"][0]):
            end = _check_place(key, entry, end)
        if end != whole - 8 - size:
            raise ValueError("its weights are cut off")
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        said = str(error)[:200] or "nested too deep"
        raise DataError(f"{WEIGHTS} is no safetensors file: {said}") from error
    return dict(head)


def _check_place(key: str, entry: Any, end: int) -> int:
    """Return where a tensor ends, which begins at `end`; raise ValueError or DataError if it does not say so."""
    begin, stop = entry["data_offsets"]
    shape, kind = entry["shape"], entry["dtype"]
    numbers = [begin, stop, *shape]
    if not all(isinstance(one, int) and not isinstance(one, bool) and 0 <= one < 2**40 for one in numbers):  # fmt: skip
        raise ValueError(f"{key[:80]!r} has places or sizes that are no sizes")
    if not isinstance(kind, str) or kind not in BYTES:
        raise DataError(
            f"{WEIGHTS}: {key[:80]!r} is of the type {str(kind)[:20]}; {', '.join(BYTES)} are served"
        )
    if begin != end or stop - begin != math.prod(shape) * BYTES[kind]:
        raise ValueError(f"{key[:80]!r} does not lie where its sizes say")
    return int(stop)
