"""How data is formatted and weights are trained. The training libraries are loaded only where a run starts."""

from ratchet.tuning.conversation import Conversation, Message, Preference, Row, conversations_of
from ratchet.tuning.format import (
    Fault,
    FileReport,
    check_rows,
    is_calls,
    read_file,
    read_rows,
    write_rows,
)
from ratchet.tuning.hosted import HostedRun, estimated_tokens, train_hosted
from ratchet.tuning.lora import TrainingData, TuningStopped, adapter_id, estimate_lora, train_lora
from ratchet.tuning.settings import LoraSettings, TuningEstimate, TuningProgress, TuningResult
from ratchet.tuning.tokens import training_row, training_rows

__all__ = [
    "Conversation",
    "Fault",
    "FileReport",
    "HostedRun",
    "LoraSettings",
    "Message",
    "Preference",
    "Row",
    "TrainingData",
    "TuningEstimate",
    "TuningProgress",
    "TuningResult",
    "TuningStopped",
    "adapter_id",
    "check_rows",
    "conversations_of",
    "estimate_lora",
    "estimated_tokens",
    "is_calls",
    "read_file",
    "read_rows",
    "train_hosted",
    "train_lora",
    "training_row",
    "training_rows",
    "write_rows",
]
