"""How weights are trained; every number has a default, and says why before the start."""

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from ratchet.core import Record

__all__ = ["TuningEstimate", "TuningProgress", "TuningResult", "TuningSettings"]

LORA_RATE, FULL_RATE = 2e-4, 2e-5
"""Learning rates at a width of 2,048: a LoRA takes about ten times the rate of whole weights."""


Weights = Literal["lora", "qlora", "full"]
"""What is trained: an adapter; an adapter beside weights that are held in four bits (bitsandbytes, on a GPU); or all weights."""


class TuningSettings(Record):
    """Settings of one run; content-addressed together with base, prompt and data, so that a finished run is never repeated."""

    prefix = "a"
    method: Literal["supervised", "dpo"] = "supervised"
    """Learn the answers, or learn to prefer one of two."""
    weights: Weights = "lora"
    beta: Annotated[float, Field(gt=0)] = 0.1
    """For dpo: how strongly the model is held to what it was."""
    rank: Annotated[int, Field(gt=0)] = 16
    alpha: Annotated[int, Field(gt=0)] = 32
    learning_rate: Annotated[float, Field(gt=0)] | None = None
    """None chooses by width: for a LoRA 2e-4 at 2,048 and wider, in inverse proportion below, at most 3e-3 (a small model needs larger
    steps); a tenth of that for all weights."""
    epochs: Annotated[float, Field(gt=0)] = 3.0
    batch: Annotated[int, Field(gt=0)] = 8
    """Examples a step, on all processes together."""
    packing: bool = False
    """Lay the examples of a step end to end in as few rows as they fit into, each seeing itself alone: no padding, the same
    gradient."""
    max_length: Annotated[int, Field(gt=0)] = 1024
    """Longer examples are left out, and counted."""
    gradient_checkpointing: bool | None = None
    """Compute a layer's values again instead of keeping them: a third slower, and much less memory. None does it where the memory that
    is free would not do otherwise."""
    validation: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    """Share of the training examples that only the validation loss sees."""
    evaluations: Annotated[int, Field(gt=0)] = 8
    """How often the validation loss is taken; each time leaves a checkpoint to resume from."""
    best: Literal["loss", "score"] = "loss"
    """What the best checkpoint is chosen by: the validation loss, or the task's own metric on answers that are generated."""
    patience: Annotated[int, Field(gt=0)] = 3
    """Evaluations without a better loss, or score, that end the run early."""
    seed: int = 0

    @model_validator(mode="after")
    def _check(self) -> "TuningSettings":
        if self.packing and self.method == "dpo":
            raise ValueError("packing is for supervised training; leave it out for dpo")
        return self

    def steps(self, examples: int) -> int:
        """Return the steps of all epochs over so many examples; the last step of an epoch may have fewer."""
        return math.ceil(math.ceil(examples / self.batch) * self.epochs)

    def rate(self, width: int) -> float:
        """Return the learning rate for a model of that hidden width."""
        usual = FULL_RATE if self.weights == "full" else LORA_RATE
        return self.learning_rate or min(15 * usual, usual * 2048 / min(width, 2048))

    def reasons(self, width: int) -> list[str]:
        """Return what was chosen for a model of that hidden width, each with its reason."""
        rate = self.rate(width)
        said = [
            f"learning rate {rate:.2g} (" + ("as set" if self.learning_rate else f"{width:,} wide; narrower models take larger steps"
            + (", all weights a tenth of a LoRA's" if self.weights == "full" else "")) + ")",
            f"{self.epochs:g} epochs at most (it ends early once {self.patience} evaluations bring nothing)",
            f"{self.batch} examples a step" + (", packed" if self.packing else ""),
        ]  # fmt: skip
        if self.weights != "full":
            said.append(f"rank {self.rank} on all linear layers, alpha {self.alpha}")
        return said


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
    checkpointing: bool = False
    """Whether layers are computed twice, because the memory would not do otherwise."""
    reasons: tuple[str, ...] = ()
    """What was chosen, and why."""


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
    """The id of the adapter; of a whole model, where all weights were trained."""
    steps: int
    tokens: int
    seconds: float
    loss: float
    validation_loss: float
    stopped_early: bool
