"""Fine-tuning of a local model with TRL and PEFT; out comes a standard PEFT adapter, or a whole model, in safetensors.

A run is named by the hash of base, data and settings. A finished one is found again and costs nothing; one that was killed or
stopped goes on from its last checkpoint. The same seed on the same machine gives the same adapter.
"""

import contextlib
import json
import math
import shutil
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from ratchet.core import Json, content_id
from ratchet.core.errors import TuningError
from ratchet.store import write_text
from ratchet.tuning.conversation import Conversation, Preference, Row
from ratchet.tuning.settings import TuningEstimate, TuningResult, TuningSettings
from ratchet.tuning.tokens import IGNORED, conversation_rows, training_rows
from ratchet.tuning.trainer import Listener, answer_loss, make_trainer, watcher
from ratchet.tuning.weights import (
    activation_bytes,
    held_bytes,
    learner,
    wants_checkpointing,
)

__all__ = ["TrainingData", "TuningStopped", "adapter_id", "estimate_training", "train"]

RESULT = "ratchet.json"
LAST_WRITTEN = "trainer_state.json"
"""What the trainer writes into a checkpoint once all else is there."""


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """What is trained on."""

    base: str
    """The name of the base model."""
    rows: Sequence[Row]
    """All conversations, or all preferences."""
    validation: Sequence[Row] = ()
    """What the validation loss is taken on; where it is empty a share of the rows is held back for it."""
    start: str | None = None
    """The id of the adapter that is trained on; None starts with a fresh one."""
    provenance: Mapping[str, Json] = field(default_factory=dict)
    """Where the rows come from; kept beside the adapter."""


class TuningStopped(TuningError):  # noqa: N818 - not a fault
    """A run was stopped from outside; the same run goes on from where it was."""


def adapter_id(data: TrainingData, settings: TuningSettings) -> str:
    """Return the id of the adapter, or whole model, that this run makes."""
    content = [
        data.base,
        data.start,
        [row.plain() for row in data.rows],
        [row.plain() for row in data.validation],
        settings.plain(),
    ]
    return content_id("a", content)


def estimate_training(base: Path, data: TrainingData, settings: TuningSettings) -> TuningEstimate:
    """Return tokens, time and memory of a run; two training steps are done and thrown away to learn this machine's speed."""
    import torch  # the extra 'local'

    with quiet():
        model, tokenizer = learner(base, None, settings)
    chats = [r.ending(r.preferred) if isinstance(r, Preference) else r for r in data.rows]
    rows, left_out = training_rows(chats, tokenizer, longest=settings.max_length)
    train = rows if data.validation else divided(rows, settings)[0]
    tokens = sum(row["length"] for row in train)
    typical = sorted(train, key=lambda row: row["length"])[len(train) // 2 :][: settings.batch]
    seconds = math.inf
    for _ in range(2):
        started = time.perf_counter()
        width = max(row["length"] for row in typical)
        batch = {
            name: torch.tensor(
                [row[name] + [fill] * (width - row["length"]) for row in typical],
                device=model.device,
            )
            for name, fill in (("input_ids", 0), ("labels", IGNORED))
        }
        with torch.autocast(model.device.type, dtype=torch.bfloat16):
            answer_loss(model, batch).backward()
        seconds = min(seconds, time.perf_counter() - started)
    steps = settings.steps(len(train))
    batch_tokens = settings.batch * max(row["length"] for row in train)
    twice = wants_checkpointing(model, batch_tokens, settings)
    activations = activation_bytes(model.config, batch_tokens, twice=twice)
    if twice:
        seconds *= 4 / 3
    if settings.method == "dpo":  # two answers a row, and each without the adapter too
        tokens, seconds, activations = 2 * tokens, 3 * seconds, 2 * activations
    return TuningEstimate(
        examples=len(train),
        left_out=left_out,
        tokens=round(tokens * settings.epochs),
        steps=steps,
        seconds=seconds * steps,
        memory_gb=(held_bytes(model) + activations) / 1e9,
        trained_parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
        checkpointing=twice,
        reasons=tuple(settings.reasons(model.config.hidden_size)),
    )


def train(
    base: Path,
    data: TrainingData,
    settings: TuningSettings,
    *,
    adapters: Path,
    listener: Listener | None = None,
) -> TuningResult:
    """Train, or find, the adapter or whole model of this run and return what came out.

    Called by several processes of one group at once, they train together, and the first of them writes.

    Args:
        base: The folder of the base model.
        data: What it is trained on.
        settings: How to train.
        adapters: The folder that adapters live in; what comes out is `adapters/<id>`, a whole model too.
        listener: Who is told of it, and asked.
    Raises: TuningError if the data do not fit, or the loss is no longer a number; TuningStopped if the listener wants that.
    """
    listener = listener or Listener()
    name = adapter_id(data, settings)
    folder = adapters / name
    if (folder / RESULT).is_file():
        return TuningResult.model_validate_json((folder / RESULT).read_text("utf-8"))
    work = adapters / f"{name}.part"
    started = time.monotonic()
    with quiet():
        model, tokenizer = learner(base, adapters / data.start if data.start else None, settings)
        train, held, tokens = prepared(data, tokenizer, settings)
        if (settings.best == "score") != (listener.score is not None):
            raise TuningError(
                "settings.best is 'score' where there is a function that scores, and only there"
            )
        trainer = make_trainer(model, tokenizer, train, held, settings, work)
        trainer.score = listener.score
        trainer.add_callback(watcher(listener))
        outcome = trainer.train(resume_from_checkpoint=whole_checkpoint(work))
    state = trainer.state
    if listener.should_stop and listener.should_stop() and state.global_step < state.max_steps:
        raise TuningStopped(f"stopped at step {state.global_step} of {state.max_steps}")
    if not math.isfinite(outcome.training_loss):
        raise TuningError(
            f"the loss became {outcome.training_loss}; lower learning_rate (it was {settings.rate(model.config.hidden_size):g})"
        )
    result = TuningResult(
        adapter=name,
        steps=state.global_step,
        tokens=round(tokens * (state.epoch or 0)),
        seconds=time.monotonic() - started,
        loss=outcome.training_loss,
        validation_loss=best_loss(state),
        stopped_early=state.global_step < state.max_steps,
    )
    if trainer.is_world_process_zero():
        with quiet():
            keep(trainer, result, work, folder, data, settings)
    return result


def whole_checkpoint(work: Path) -> str | None:
    """Return the latest checkpoint that was written to its end; those that a kill cut short are removed."""
    found = sorted(work.glob("checkpoint-*"), key=lambda folder: int(folder.name.split("-")[1]))
    for folder in found:
        try:
            json.loads((folder / LAST_WRITTEN).read_text("utf-8"))
        except (OSError, ValueError):
            shutil.rmtree(folder)
    whole = [str(folder) for folder in found if folder.is_dir()]
    return whole[-1] if whole else None


def best_loss(state: Any) -> float:
    """Return the validation loss of the checkpoint that was kept; NaN where none was taken."""
    taken = [entry for entry in state.log_history if "eval_loss" in entry]
    scored = [entry for entry in taken if entry.get("eval_score") == state.best_metric]
    kept = scored or sorted(taken, key=lambda entry: entry["eval_loss"])
    return float(kept[0]["eval_loss"]) if kept else math.nan


def prepared(
    data: TrainingData, tokenizer: Any, settings: TuningSettings
) -> tuple[list[Any], list[Any], int]:
    """Return training and validation rows in tokens, and how many tokens the former have.

    Raises: TuningError if a row is not of the method's kind, or nothing is left to train or validate on.
    """
    wanted = Preference if settings.method == "dpo" else Conversation
    for row in (*data.rows, *data.validation):
        if not isinstance(row, wanted):
            raise TuningError(
                f"the method {settings.method!r} trains on {wanted.__name__.lower()} rows, and there are others"
            )
    tokens: Any = preference_rows if settings.method == "dpo" else training_rows
    rows, _ = tokens(data.rows, tokenizer, longest=settings.max_length)
    if data.validation:
        train, (held, _) = rows, tokens(data.validation, tokenizer, longest=settings.max_length)
    else:
        train, held = divided(rows, settings)
    return train, held, sum(row["length"] for row in train)


def preference_rows(
    preferences: Sequence[Preference], tokenizer: Any, *, longest: int
) -> tuple[list[dict[str, Any]], int]:
    """Return prompt, preferred and rejected answer of each pair in tokens, and how many pairs were too long."""
    found = []
    for one in preferences:
        good, bad = (
            conversation_rows(one.ending(a), tokenizer)[-1] for a in (one.preferred, one.rejected)
        )
        asked = good["labels"].count(IGNORED)
        if max(good["length"], bad["length"]) <= longest:
            found.append({
                "prompt_ids": good["input_ids"][:asked],
                "chosen_ids": good["input_ids"][asked:],
                "rejected_ids": bad["input_ids"][asked:],
                "length": good["length"] + bad["length"] - asked,
            })  # fmt: skip
    if not found:
        raise TuningError(
            f"none of {len(preferences)} preferences fits into {longest} tokens; raise max_length"
        )
    return found, len(preferences) - len(found)


def divided(rows: list[Any], settings: TuningSettings) -> tuple[list[Any], list[Any]]:
    """Return training and validation rows, shuffled by the seed."""
    shuffled = rows[:]
    Random(settings.seed).shuffle(shuffled)
    held = max(1, round(len(rows) * settings.validation))
    if len(rows) - held < 1:
        raise TuningError(
            f"{len(rows)} training examples are too few to hold some back for validation; import more"
        )
    return shuffled[held:], shuffled[:held]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the libraries' warnings about their own old names from the terminal."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def keep(
    trainer: Any,
    result: TuningResult,
    work: Path,
    folder: Path,
    data: TrainingData,
    settings: TuningSettings,
) -> None:
    """Write the adapter with its provenance, then put the folder in its place as a whole."""
    beside = work / "adapter"
    if settings.weights == "full":
        trainer.model.save_pretrained(beside)
        trainer.processing_class.save_pretrained(beside)
    else:
        trainer.model.save_pretrained(beside, selected_adapters=["default"])
    provenance = {
        **data.provenance,
        "base": data.base,
        "start": data.start,
        "rows": len(data.rows),
        "settings": settings.model_dump(mode="json"),
    }
    write_text(beside / "provenance.json", json.dumps(provenance, indent=2, ensure_ascii=False))
    write_text(beside / RESULT, result.model_dump_json(indent=2))
    folder.parent.mkdir(parents=True, exist_ok=True)
    if folder.exists():
        shutil.rmtree(folder)
    beside.rename(folder)
    shutil.rmtree(work, ignore_errors=True)
