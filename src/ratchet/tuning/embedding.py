"""Fine-tune a sentence model on pairs of a question and a passage that answers it, the other passages of a batch as wrong ones.

Multiple negatives ranking loss (Henderson et al. 2017), by sentence-transformers. What comes out is a folder that loads like its base.
"""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ratchet.core.errors import TuningError, UsageError
from ratchet.models.loading import LOADING

__all__ = ["FEWEST_PAIRS", "train_embedding"]

FEWEST_PAIRS = 16
"""Under so many pairs there is nothing to learn from."""


def train_embedding(
    pairs: Sequence[tuple[str, str]],
    base: Path,
    folder: Path,
    *,
    epochs: float = 2.0,
    batch: int = 32,
    learning_rate: float = 2e-5,
    seed: int = 0,
    watch: Callable[[int, int], None] | None = None,
) -> Path:
    """Train, and return `folder` with the weights; one that is there is not made again.

    Args:
        pairs: Question and passage.
        base: The folder of the sentence model to begin with.
        folder: Where the new one is put, whole or not at all.
        epochs: Passes over the pairs.
        batch: Pairs a step; each passage is a wrong one for all others' questions.
        learning_rate: At its highest.
        seed: Of the order.
        watch: Told steps done and steps in all.
    Raises: TuningError if there are too few pairs; UsageError without the extra.
    """
    if (folder / "config.json").is_file():
        return folder
    if len(pairs) < FEWEST_PAIRS:
        raise TuningError(
            f"{len(pairs)} pairs of question and passage are too few to train on; {FEWEST_PAIRS} are the least"
        )
    try:
        import torch
        from datasets import Dataset
        from sentence_transformers import (
            SentenceTransformer,
            SentenceTransformerTrainer,
            SentenceTransformerTrainingArguments,
        )
        from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
        from transformers import TrainerCallback
    except ImportError as missing:
        raise UsageError(
            f"fine-tuning embeddings needs the extras 'local' and 'embed' ({missing}); install them with: pip install 'ratchet[local,embed]'"
        ) from missing

    class Telling(TrainerCallback):  # type: ignore[misc]  # the library is untyped
        def on_step_end(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
            if watch:
                watch(state.global_step, state.max_steps)

    half = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(half, ignore_errors=True)
    with LOADING:
        model = SentenceTransformer(str(base), local_files_only=True)
    trainer = SentenceTransformerTrainer(
        model=model,
        args=SentenceTransformerTrainingArguments(
            output_dir=str(half / "steps"),
            num_train_epochs=epochs,
            per_device_train_batch_size=batch,
            learning_rate=learning_rate,
            warmup_steps=0.1,
            seed=seed,
            bf16=True,
            use_cpu=not torch.cuda.is_available(),
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            logging_strategy="no",
            dataloader_drop_last=False,
        ),
        train_dataset=Dataset.from_dict(
            {"anchor": [q for q, _ in pairs], "positive": [p for _, p in pairs]}
        ),
        loss=MultipleNegativesRankingLoss(model),
        callbacks=[Telling()],
    )
    trainer.train()
    shutil.rmtree(half, ignore_errors=True)
    model.save(str(half))
    half.replace(folder)  # a folder that is there is whole
    return folder
