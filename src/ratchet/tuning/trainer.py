"""TRL's trainers, set up: loss on the answers alone, batches of like lengths or packed rows, checkpoints, and word of each step."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ratchet.tuning.packing import PackedRows, packed_mask
from ratchet.tuning.settings import TuningProgress, TuningSettings
from ratchet.tuning.tokens import IGNORED
from ratchet.tuning.weights import wants_checkpointing

__all__ = ["Listener", "answer_loss", "make_trainer", "watcher"]

WIDTHS = 32
"""Batches are padded to a multiple of this: of many odd widths the allocator would keep memory that fits no later one."""
PACKED = 256
"""Tokens of a packed row, or the longest example's: in longer rows what attention leaves out costs more than padding does."""


@dataclass(frozen=True, kw_only=True)
class Listener:
    """Who is told of a run, and asked."""

    watch: Callable[[TuningProgress], None] | None = None
    """Called after each step."""
    should_stop: Callable[[], bool] | None = None
    """Asked after each step; when it says so, a checkpoint is kept and TuningStopped is raised."""
    keep_checkpoint: Callable[[int, float, Path], None] | None = None
    """Called with step, validation loss and folder of each checkpoint, which is removed later."""
    score: Callable[[Any, Any], float] | None = None
    """Scores the model, with its tokenizer, at each evaluation; wanted where the settings choose the best by score."""


def make_trainer(
    model: Any,
    tokenizer: Any,
    train: list[Any],
    held: list[Any],
    settings: TuningSettings,
    work: Path,
) -> Any:  # untyped libraries
    """Return the trainer of a run; its checkpoints go to `work`."""
    import torch  # the extra 'local'
    from datasets import Dataset
    from datasets.utils import logging as datasets_logging
    from transformers import EarlyStoppingCallback, PrinterCallback, ProgressCallback
    from trl import DPOConfig, SFTConfig

    datasets_logging.disable_progress_bar()
    steps = settings.steps(len(train))
    every = max(1, round(steps / settings.evaluations))
    each = max(1, settings.batch // processes())
    is_dpo = settings.method == "dpo"
    longest = max(row["length"] for row in train)
    twice = wants_checkpointing(model, each * longest, settings)
    own: dict[str, Any] = {"beta": settings.beta} if is_dpo else {"packing": False}
    if not is_dpo and not settings.packing:
        own |= {"train_sampling_strategy": "group_by_length", "length_column_name": "length"}
    config = (DPOConfig if is_dpo else SFTConfig)(
        output_dir=str(work),
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=each,
        per_device_eval_batch_size=each * 2,
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
        gradient_checkpointing=twice,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        seed=settings.seed,
        data_seed=settings.seed,
        optim="adamw_torch",
    )
    collator = None
    if settings.packing:
        collator = PackedRows(
            model.config,
            longest=max(longest, PACKED),
            multiple=WIDTHS,
            fill=tokenizer.pad_token_id,
        )
    trainer = (preference_trainer if is_dpo else answer_trainer)()(
        model=model,
        args=config,
        train_dataset=Dataset.from_list(train),
        eval_dataset=Dataset.from_list(held),
        processing_class=tokenizer,
        data_collator=collator,
        callbacks=[EarlyStoppingCallback(early_stopping_patience=settings.patience)],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    return trainer


def processes() -> int:
    """Return how many processes train together; 1 where this one trains alone."""
    import torch.distributed as group

    return group.get_world_size() if group.is_initialized() else 1


def answer_loss(model: Any, inputs: dict[str, Any], items: Any = None) -> Any:
    """Return the cross-entropy of the answers' tokens; the head is applied to them alone.

    TRL applies it to every token of the batch, prompts too, and in tiles that suit a GPU; on a CPU that was most of a step.
    Rows are padded on the right, where no token of a causal model looks, so that no attention mask is needed. With `items`,
    the number of answer tokens of the whole step, the sum is divided by it, else by those of this batch.
    """
    from torch.nn import functional

    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    more = {}
    if "position_ids" in inputs:
        mask = packed_mask(base.config, inputs, base.dtype)
        more = {"position_ids": inputs["position_ids"], "attention_mask": mask}
    hidden = base.base_model(
        input_ids=inputs["input_ids"], use_cache=False, **more
    ).last_hidden_state
    targets = inputs["labels"][:, 1:]
    chosen = targets != IGNORED
    logits = base.get_output_embeddings()(hidden[:, :-1][chosen])
    total = functional.cross_entropy(logits.float(), targets[chosen], reduction="sum")
    return total / (chosen.sum() if items is None else items)


def answer_trainer() -> Any:
    from trl import SFTTrainer

    class AnswerTrainer(SFTTrainer):  # type: ignore[misc]  # untyped base
        score: Callable[[Any, Any], float] | None = None

        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            learner, usual = self.model, self.model.forward

            def forward(
                *given: Any, answer_inputs: Any = None, items: Any = None, **more: Any
            ) -> Any:
                """Return the loss where it is asked for; through the model's own call, where processes share their gradients."""
                if answer_inputs is None:
                    return usual(*given, **more)
                return answer_loss(learner, answer_inputs, items)

            self.model.forward = forward

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
                loss = model(answer_inputs=inputs, items=num_items_in_batch)
            if num_items_in_batch is not None:  # of all processes, whose gradients are averaged
                loss = loss * self.accelerator.num_processes
            return (loss, {"loss": loss}) if return_outputs else loss

    return AnswerTrainer


def preference_trainer() -> Any:
    from trl import DPOTrainer

    class PreferenceTrainer(DPOTrainer):  # type: ignore[misc]  # untyped base
        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset  # tokens already: in training as in serving

    return PreferenceTrainer


def watcher(listener: Listener) -> Any:
    """Return the callback that tells of steps and checkpoints, and stops a run; only the first of several processes tells."""
    from transformers import TrainerCallback  # the extra 'local'

    class Watcher(TrainerCallback):  # type: ignore[misc]  # untyped base
        def on_step_end(self, _args: Any, _state: Any, control: Any, **_: Any) -> None:
            if listener.should_stop and agreed(listener.should_stop()):
                control.should_save = control.should_training_stop = True

        def on_save(self, args: Any, state: Any, _control: Any, **_: Any) -> None:
            losses = [entry["eval_loss"] for entry in state.log_history if "eval_loss" in entry]
            if listener.keep_checkpoint and losses and state.is_world_process_zero:
                folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
                listener.keep_checkpoint(state.global_step, float(losses[-1]), folder)

        def on_log(
            self,
            _args: Any,
            state: Any,
            _control: Any,
            logs: dict[str, float] | None = None,
            **_: Any,
        ) -> None:
            if listener.watch and logs and state.is_world_process_zero:
                listener.watch(
                    TuningProgress(
                        step=state.global_step,
                        steps=state.max_steps,
                        loss=logs.get("loss"),
                        validation_loss=logs.get("eval_loss"),
                        score=logs.get("eval_score"),
                    )
                )

    return Watcher()


def agreed(stops: bool) -> bool:
    """Return whether any process wants to stop: they all must, at the same step."""
    if processes() == 1:
        return stops
    import torch
    import torch.distributed as group

    device = "cuda" if torch.cuda.is_available() else "cpu"
    votes = torch.tensor(int(stops), device=device)
    group.all_reduce(votes)
    return bool(votes.item())
