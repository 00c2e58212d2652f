"""How a LoRA is trained; every number has a default that is shown before the start."""

from typing import Annotated, Literal

from pydantic import Field

from ratchet.core import Record

__all__ = ["LoraSettings", "TuningEstimate", "TuningProgress", "TuningResult"]


class LoraSettings(Record):
    """Settings of one LoRA run; content-addressed together with base, prompt and data, so that a finished run is never repeated."""

    prefix = "a"
    method: Literal["supervised", "dpo"] = "supervised"
    """Learn the answers, or learn to prefer one of two."""
    beta: Annotated[float, Field(gt=0)] = 0.1
    """For dpo: how strongly the model is held to what it was."""
    rank: Annotated[int, Field(gt=0)] = 16
    alpha: Annotated[int, Field(gt=0)] = 32
    learning_rate: Annotated[float, Field(gt=0)] | None = None
    """None chooses by width: 2e-4 at 2,048 and wider, in inverse proportion below, at most 3e-3 (a small model needs larger steps)."""
    epochs: Annotated[float, Field(gt=0)] = 3.0
    batch: Annotated[int, Field(gt=0)] = 8
    """Examples a step."""
    max_length: Annotated[int, Field(gt=0)] = 1024
    """Longer examples are left out, and counted."""
    validation: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    """Share of the training examples that only the validation loss sees."""
    evaluations: Annotated[int, Field(gt=0)] = 8
    """How often the validation loss is taken; each time leaves a checkpoint to resume from."""
    best: Literal["loss", "score"] = "loss"
    """What the best checkpoint is chosen by: the validation loss, or the task's own metric on answers that are generated."""
    patience: Annotated[int, Field(gt=0)] = 3
    """Evaluations without a better loss, or score, that end the run early."""
    seed: int = 0

    def rate(self, width: int) -> float:
        """Return the learning rate for a model of that hidden width."""
        return self.learning_rate or min(3e-3, 2e-4 * 2048 / min(width, 2048))


class TuningEstimate(Record):
    """What a run would take; time from a short calibration on this machine, memory from sizes."""

    examples: int
    left_out: int
    tokens: int
    """Tokens of all epochs."""
    steps: int
    seconds: float
    memory_gb: float
    trained_parameters: int


class TuningProgress(Record):
    """Where a run stands."""

    step: int
    steps: int
    loss: float | None = None
    validation_loss: float | None = None
    score: float | None = None
    """By the task's own metric, where the best checkpoint is chosen by it."""


class TuningResult(Record):
    """What came out."""

    adapter: str
    steps: int
    tokens: int
    seconds: float
    loss: float
    validation_loss: float
    stopped_early: bool
