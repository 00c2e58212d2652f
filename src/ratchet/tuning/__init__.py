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
from ratchet.tuning.launch import Launch, train_on
from ratchet.tuning.settings import TuningProgress, TuningResult, TuningSettings, Weights
from ratchet.tuning.tokens import conversation_rows, training_rows
from ratchet.tuning.trainer import Listener
from ratchet.tuning.training import (
    TrainingData,
    TuningStopped,
    adapter_id,
    estimate_training,
    train,
)

__all__ = [
    "Conversation",
    "Fault",
    "FileReport",
    "HostedRun",
    "Launch",
    "Listener",
    "Message",
    "Preference",
    "Row",
    "TrainingData",
    "TuningProgress",
    "TuningResult",
    "TuningSettings",
    "TuningStopped",
    "Weights",
    "adapter_id",
    "check_rows",
    "conversation_rows",
    "conversations_of",
    "estimate_training",
    "estimated_tokens",
    "is_calls",
    "read_file",
    "read_rows",
    "train",
    "train_hosted",
    "train_on",
    "training_rows",
    "write_rows",
]
