"""What is trained: a LoRA beside frozen weights, beside weights in four bits, or all weights; and the memory that it takes."""

import os
from pathlib import Path
from typing import Any

from ratchet.core.errors import TuningError
from ratchet.models.adapters import CONFIG
from ratchet.tuning.settings import TuningSettings

__all__ = ["activation_bytes", "held_bytes", "learner", "wants_checkpointing"]

SPARED = 0.8
"""The share of the free memory that a run may take before layers are computed twice."""


def learner(base: Path, start: Path | None, settings: TuningSettings) -> tuple[Any, Any]:
    """Return the model to train and its tokenizer: with a fresh adapter, that of `start`, or as it is where all weights are trained.

    Raises: TuningError if there is no adapter to start from, it does not fit the base, or this machine cannot hold weights in four bits.
    """
    import torch  # the extra 'local'

    from ratchet.models.local import load_base

    if start and not (start / CONFIG).is_file():
        raise TuningError(f"there is no adapter {start.name!r} to go on from")
    if settings.weights == "full":
        if start:
            raise TuningError(
                "all weights cannot be trained on from an adapter; merge it first (`ratchet adapters export NAME --out FOLDER --merge`), and name that folder as the model"
            )
        model, tokenizer = load_base(base, dtype=torch.float32)  # small steps get lost in bfloat16
        torch.manual_seed(settings.seed)
        return model.requires_grad_(True), tokenizer  # noqa: FBT003 - torch's own signature
    if settings.weights == "qlora":
        model, tokenizer = in_four_bits(base, settings)
    else:
        model, tokenizer = load_base(base)
    torch.manual_seed(settings.seed)
    tuned = resumed(model, start) if start else fresh(model, settings)
    tuned.peft_config[
        "default"
    ].base_model_name_or_path = base.name  # a path of this machine would mean nothing elsewhere
    return tuned, tokenizer


def fresh(model: Any, settings: TuningSettings) -> Any:
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=0.0,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, config)


def resumed(model: Any, start: Path) -> Any:
    from peft import PeftModel

    try:
        return PeftModel.from_pretrained(model, start, is_trainable=True)
    except (RuntimeError, ValueError) as error:
        raise TuningError(
            f"the adapter {start.name!r} does not fit the base: {str(error).splitlines()[0]}"
        ) from error


def in_four_bits(base: Path, settings: TuningSettings) -> tuple[Any, Any]:
    """Return the base with its linear layers as NF4, double quantised (Dettmers et al. 2023, "QLoRA")."""
    import torch
    from peft import prepare_model_for_kbit_training
    from transformers import BitsAndBytesConfig

    from ratchet.models.local import load_base

    try:
        import bitsandbytes  # noqa: F401 - asked for here, so that the remedy can be named
    except ImportError as missing:
        raise TuningError(
            f"weights in four bits need bitsandbytes ({missing}); install it with: pip install bitsandbytes, or train with weights = 'lora'"
        ) from missing
    if not torch.cuda.is_available():
        raise TuningError("weights in four bits need a GPU; train with weights = 'lora' here")
    quantized = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    model, tokenizer = load_base(base, quantized=quantized)
    return prepare_model_for_kbit_training(
        model, use_gradient_checkpointing=bool(settings.gradient_checkpointing)
    ), tokenizer


def held_bytes(model: Any) -> int:
    """Return the memory of the weights, and of gradients and moments of those that are trained."""
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return int(16 * trained + sum(p.numel() * p.element_size() for p in model.parameters()))


def activation_bytes(config: Any, tokens: int, *, twice: bool) -> int:
    """Return the memory of what a step keeps for its gradients, about.

    Args:
        config: Of the model.
        tokens: Of one step's batch.
        twice: Layers are computed again: only what goes into each is kept, and one layer's inside.
    """
    width, layers, vocabulary = config.hidden_size, config.num_hidden_layers, config.vocab_size
    inside = 34 * width
    kept = 2 * width * layers + inside if twice else inside * layers
    return int(tokens * (kept + 12 * vocabulary))


def free_bytes() -> int:
    """Return the memory that is free: of the GPU where there is one."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.mem_get_info()[0])
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")


def wants_checkpointing(model: Any, tokens: int, settings: TuningSettings) -> bool:
    """Return whether layers are to be computed twice: as the settings say, else where the free memory would not do."""
    if settings.gradient_checkpointing is not None:
        return settings.gradient_checkpointing
    needed: int = held_bytes(model) + activation_bytes(model.config, tokens, twice=False)
    return needed > SPARED * free_bytes()
