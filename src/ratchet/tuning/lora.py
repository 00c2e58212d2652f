"""Fine-tuning of a local model by LoRA, with TRL and PEFT; the output is a standard PEFT adapter in safetensors.

A run is named by the hash of base, data and settings. A finished one is found again and costs nothing; one that was killed or
stopped goes on from its last checkpoint. The same seed on the same machine gives the same adapter.
"""

import contextlib
import json
import math
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from ratchet.core import Json, content_id
from ratchet.core.errors import TuningError
from ratchet.store import write_text
from ratchet.tuning.conversation import Conversation, Preference, Row
from ratchet.tuning.settings import LoraSettings, TuningEstimate, TuningProgress, TuningResult
from ratchet.tuning.tokens import IGNORED, training_row, training_rows

if TYPE_CHECKING:
    from peft import PeftModel

__all__ = ["TrainingData", "TuningStopped", "adapter_id", "estimate_lora", "train_lora"]

Watch = Callable[[TuningProgress], None]
RESULT = "ratchet.json"
LAST_WRITTEN = "trainer_state.json"
"""What the trainer writes into a checkpoint once all else is there."""
WIDTHS = 32
"""Batches are padded to a multiple of this: of many odd widths the allocator would keep memory that fits no later one."""


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


def adapter_id(data: TrainingData, settings: LoraSettings) -> str:
    """Return the id of the adapter that this run makes."""
    content = [
        data.base,
        data.start,
        [row.plain() for row in data.rows],
        [row.plain() for row in data.validation],
        settings.plain(),
    ]
    return content_id("a", content)


def estimate_lora(base: Path, data: TrainingData, settings: LoraSettings) -> TuningEstimate:
    """Return tokens, time and memory of a run; two training steps are done and thrown away to learn this machine's speed."""
    import torch  # the extra 'local'

    with quiet():
        model, tokenizer = adapted(base, None, settings)
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
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    steps = math.ceil(len(train) / settings.batch * settings.epochs)
    batch_tokens = settings.batch * max(row["length"] for row in train)
    width, layers, vocabulary = (
        model.config.hidden_size,
        model.config.num_hidden_layers,
        model.config.vocab_size,
    )
    held = sum(p.numel() * p.element_size() for p in model.parameters()) + 16 * trained
    activations = batch_tokens * (34 * width * layers + 12 * vocabulary)
    if settings.method == "dpo":  # two answers a row, and each without the adapter too
        tokens, seconds, activations = 2 * tokens, 3 * seconds, 2 * activations
    return TuningEstimate(
        examples=len(train),
        left_out=left_out,
        tokens=round(tokens * settings.epochs),
        steps=steps,
        seconds=seconds * steps,
        memory_gb=(held + activations) / 1e9,
        trained_parameters=trained,
    )


def train_lora(
    base: Path,
    data: TrainingData,
    settings: LoraSettings,
    *,
    adapters: Path,
    watch: Watch | None = None,
    should_stop: Callable[[], bool] | None = None,
    keep_checkpoint: Callable[[int, float, Path], None] | None = None,
    score: Callable[[Any, Any], float] | None = None,
) -> TuningResult:
    """Train, or find, the adapter of this run and return what came out.

    Args:
        base: The folder of the base model.
        data: What it is trained on.
        settings: How to train.
        adapters: The folder that adapters live in; the new one is `adapters/<id>`.
        watch: Called after each step.
        keep_checkpoint: Called with step, validation loss and folder of each checkpoint, which is removed later.
        score: Scores the model, with its tokenizer, at each evaluation; wanted where the settings choose the best by score.
        should_stop: Asked after each step; when it says so, a checkpoint is kept and TuningStopped is raised.
    Raises: TuningError if the data do not fit, or the loss is no longer a number.
    """
    name = adapter_id(data, settings)
    folder = adapters / name
    if (folder / RESULT).is_file():
        return TuningResult.model_validate_json((folder / RESULT).read_text("utf-8"))
    work = adapters / f"{name}.part"
    started = time.monotonic()
    with quiet():
        model, tokenizer = adapted(base, adapters / data.start if data.start else None, settings)
        train, held, tokens = prepared(data, tokenizer, settings)
        if (settings.best == "score") != (score is not None):
            raise TuningError(
                "settings.best is 'score' where there is a function that scores, and only there"
            )
        trainer = make_trainer(model, tokenizer, train, held, settings, work)
        trainer.score = score
        trainer.add_callback(watcher(watch, should_stop, keep_checkpoint))
        outcome = trainer.train(resume_from_checkpoint=whole_checkpoint(work))
    state = trainer.state
    if should_stop and should_stop() and state.global_step < state.max_steps:
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
    data: TrainingData, tokenizer: Any, settings: LoraSettings
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
        good, bad = (training_row(one.ending(a), tokenizer) for a in (one.preferred, one.rejected))
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


def adapted(base: Path, start: Path | None, settings: LoraSettings) -> "tuple[PeftModel, Any]":
    """Return the base model with a LoRA on all linear layers, fresh or that of `start`, and its tokenizer.

    Raises: TuningError if there is no adapter to start from, or it does not fit the base.
    """
    import torch  # the extra 'local'
    from peft import LoraConfig, PeftModel, get_peft_model

    from ratchet.models.local import load_base

    model, tokenizer = load_base(base)
    torch.manual_seed(settings.seed)
    if start:
        if not (start / "adapter_config.json").is_file():
            raise TuningError(f"there is no adapter {start.name!r} to go on from")
        try:
            tuned = PeftModel.from_pretrained(model, start, is_trainable=True)
        except (RuntimeError, ValueError) as error:
            raise TuningError(
                f"the adapter {start.name!r} does not fit {base.name}: {str(error).splitlines()[0]}"
            ) from error
    else:
        config = LoraConfig(
            r=settings.rank,
            lora_alpha=settings.alpha,
            lora_dropout=0.0,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        )
        tuned = get_peft_model(model, config)
    tuned.peft_config[
        "default"
    ].base_model_name_or_path = base.name  # a path of this machine would mean nothing elsewhere
    return tuned, tokenizer


def divided(rows: list[Any], settings: LoraSettings) -> tuple[list[Any], list[Any]]:
    """Return training and validation rows, shuffled by the seed."""
    shuffled = rows[:]
    Random(settings.seed).shuffle(shuffled)
    held = max(1, round(len(rows) * settings.validation))
    if len(rows) - held < 1:
        raise TuningError(
            f"{len(rows)} training examples are too few to hold some back for validation; import more"
        )
    return shuffled[held:], shuffled[:held]


def make_trainer(
    model: Any,
    tokenizer: Any,
    train: list[Any],
    held: list[Any],
    settings: LoraSettings,
    work: Path,
) -> Any:  # untyped libraries
    import torch  # the extra 'local'
    from datasets import Dataset
    from datasets.utils import logging as datasets_logging
    from transformers import EarlyStoppingCallback, PrinterCallback, ProgressCallback
    from trl import DPOConfig, SFTConfig

    datasets_logging.disable_progress_bar()
    steps = math.ceil(len(train) / settings.batch) * settings.epochs
    every = max(1, round(steps / settings.evaluations))
    is_dpo = settings.method == "dpo"
    own: dict[str, Any] = (
        {"beta": settings.beta}
        if is_dpo
        else {
            "train_sampling_strategy": "group_by_length",
            "length_column_name": "length",
            "packing": False,
        }
    )
    config = (DPOConfig if is_dpo else SFTConfig)(
        output_dir=str(work),
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch,
        per_device_eval_batch_size=settings.batch * 2,
        learning_rate=settings.rate(model.config.hidden_size),
        lr_scheduler_type="cosine",
        warmup_steps=max(1, round(0.05 * steps)),
        weight_decay=0.0,
        max_grad_norm=1.0,
        bf16=True,
        use_cpu=not torch.cuda.is_available(),
        **own,
        pad_to_multiple_of=WIDTHS,
        max_length=None,
        eval_strategy="steps",
        eval_steps=every,
        save_strategy="steps",
        save_steps=every,
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model=f"eval_{settings.best}",
        greater_is_better=settings.best == "score",
        logging_steps=1,
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=False,
        gradient_checkpointing=False,
        seed=settings.seed,
        data_seed=settings.seed,
        optim="adamw_torch",
    )
    trainer = (preference_trainer if is_dpo else answer_trainer)()(
        model=model,
        args=config,
        train_dataset=Dataset.from_list(train),
        eval_dataset=Dataset.from_list(held),
        processing_class=tokenizer,
        callbacks=[EarlyStoppingCallback(early_stopping_patience=settings.patience)],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    return trainer


def answer_loss(model: Any, inputs: dict[str, Any], items: Any = None) -> Any:
    """Return the cross-entropy of the answers' tokens; the head is applied to them alone.

    TRL applies it to every token of the batch, prompts too, and in tiles that suit a GPU; on a CPU that was most of a step.
    Rows are padded on the right, where no token of a causal model looks, so that no attention mask is needed. With `items`,
    the number of answer tokens of the whole step, the sum is divided by it, else by those of this batch.
    """
    from torch.nn import functional

    base = model.get_base_model()
    hidden = base.base_model(input_ids=inputs["input_ids"], use_cache=False).last_hidden_state
    targets = inputs["labels"][:, 1:]
    chosen = targets != IGNORED
    logits = base.get_output_embeddings()(hidden[:, :-1][chosen])
    total = functional.cross_entropy(logits.float(), targets[chosen], reduction="sum")
    return total / (chosen.sum() if items is None else items)


def answer_trainer() -> Any:
    from trl import SFTTrainer

    class AnswerTrainer(SFTTrainer):  # type: ignore[misc]  # untyped base
        score: Callable[[Any, Any], float] | None = None

        def evaluate(self, *args: Any, **options: Any) -> dict[str, float]:
            found: dict[str, float] = super().evaluate(*args, **options)
            if self.score:
                was_training = self.model.training
                self.model.eval()
                found["eval_score"] = self.score(self.model, self.processing_class)
                self.model.train(was_training)
                self.log({"eval_score": found["eval_score"]})
            return found

        def compute_loss(
            self,
            model: Any,
            inputs: dict[str, Any],
            return_outputs: bool = False,  # the base's signature
            num_items_in_batch: Any = None,
        ) -> Any:
            with self.compute_loss_context_manager():
                loss = answer_loss(self.accelerator.unwrap_model(model), inputs, num_items_in_batch)
            return (loss, {"loss": loss}) if return_outputs else loss

    return AnswerTrainer


def preference_trainer() -> Any:
    from trl import DPOTrainer

    class PreferenceTrainer(DPOTrainer):  # type: ignore[misc]  # untyped base
        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset  # tokens already: in training as in serving

    return PreferenceTrainer


def watcher(
    watch: Watch | None,
    should_stop: Callable[[], bool] | None,
    keep_checkpoint: Callable[[int, float, Path], None] | None,
) -> Any:
    from transformers import TrainerCallback  # the extra 'local'

    class Watcher(TrainerCallback):  # type: ignore[misc]  # untyped base
        def on_step_end(self, _args: Any, _state: Any, control: Any, **_: Any) -> None:
            if should_stop and should_stop():
                control.should_save = control.should_training_stop = True

        def on_save(self, args: Any, state: Any, _control: Any, **_: Any) -> None:
            losses = [entry["eval_loss"] for entry in state.log_history if "eval_loss" in entry]
            if keep_checkpoint and losses:
                folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
                keep_checkpoint(state.global_step, float(losses[-1]), folder)

        def on_log(
            self,
            _args: Any,
            state: Any,
            _control: Any,
            logs: dict[str, float] | None = None,
            **_: Any,
        ) -> None:
            if watch and logs:
                watch(
                    TuningProgress(
                        step=state.global_step,
                        steps=state.max_steps,
                        loss=logs.get("loss"),
                        validation_loss=logs.get("eval_loss"),
                        score=logs.get("eval_score"),
                    )
                )

    return Watcher()


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
    settings: LoraSettings,
) -> None:
    """Write the adapter with its provenance, then put the folder in its place as a whole."""
    beside = work / "adapter"
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
