"""How data is formatted and weights are trained. The training libraries are loaded only where a run starts."""

from ratchet.tuning.format import training_rows
from ratchet.tuning.lora import adapter_id, estimate_lora, train_lora
from ratchet.tuning.settings import LoraSettings, TuningEstimate, TuningProgress, TuningResult

__all__ = [
    "LoraSettings",
    "TuningEstimate",
    "TuningProgress",
    "TuningResult",
    "adapter_id",
    "estimate_lora",
    "train_lora",
    "training_rows",
]
