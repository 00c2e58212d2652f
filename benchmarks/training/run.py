"""Tokens a second of supervised LoRA training: ours, and a plain TRL script with the same model, data and settings; side by side.

python benchmarks/training/run.py             # three rounds of each, in turn, in processes of their own
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random

WORDS = [
    "red",
    "blue",
    "green",
    "pink",
    "grey",
    "black",
    "white",
    "brown",
    "north",
    "south",
    "ticket",
    "invoice",
    "printer",
    "garden",
    "river",
]
SETTINGS = {"epochs": 1.0, "batch": 8, "evaluations": 1, "patience": 100, "learning_rate": 3e-3}


def chats(count: int, words: int) -> list[list[dict[str, str]]]:
    """Return practice chats of uneven length."""
    rng = Random(0)
    return [
        [
            {"role": "system", "content": "Repeat the second and the last word."},
            {
                "role": "user",
                "content": " ".join(text := rng.choices(WORDS, k=rng.randint(words // 2, words))),
            },
            {"role": "assistant", "content": f"{text[1]} {text[-1]}"},
        ]
        for _ in range(count)
    ]


def packed(count: int, words: int) -> tuple[float, int]:
    """Return seconds of training, and tokens, with the examples of a step in one row."""
    return ours(count, words, packing=True)


def ours(count: int, words: int, *, packing: bool = False) -> tuple[float, int]:
    """Return seconds of training, and tokens."""
    from ratchet.models import NANO
    from ratchet.tuning import Conversation, Listener, TrainingData, TuningSettings, train

    rows = [Conversation(tuple(chat)) for chat in chats(count, words)]
    steps: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        result = train(
            NANO, TrainingData(base="local:nano", rows=rows), TuningSettings(**SETTINGS, packing=packing),  # type: ignore[arg-type]
            adapters=Path(folder), listener=Listener(watch=lambda p: steps.append(time.perf_counter()) if p.loss is not None else None),
        )  # fmt: skip
    return steps[-1] - steps[0], round(result.tokens * (len(steps) - 1) / len(steps))


def theirs(count: int, words: int) -> tuple[float, int]:
    """Return the same for a script as TRL's documentation has it: loss on the assistant's answers only, LoRA on all linear layers."""
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    from ratchet.models import NANO
    from ratchet.tuning import Conversation, training_rows

    tokenizer = AutoTokenizer.from_pretrained(NANO)
    model = AutoModelForCausalLM.from_pretrained(NANO)
    held = round(0.1 * count)
    rows = chats(count, words)
    counted, _ = training_rows(
        [Conversation(tuple(c)) for c in rows[held:]], tokenizer, longest=1024
    )
    steps: list[float] = []

    class Clock(TrainerCallback):
        def on_log(self, _args, _state, _control, logs=None, **_):  # type: ignore[no-untyped-def]
            if logs and "loss" in logs:
                steps.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        config = SFTConfig(
            output_dir=folder, num_train_epochs=1, per_device_train_batch_size=8, learning_rate=3e-3, lr_scheduler_type="cosine",
            bf16=True, use_cpu=True, logging_steps=1, report_to=[], disable_tqdm=True, save_strategy="no", max_length=1024,
            assistant_only_loss=False, completion_only_loss=True, gradient_checkpointing=False, dataloader_pin_memory=False,
        )  # fmt: skip
        data = Dataset.from_list([{"prompt": c[:-1], "completion": c[-1:]} for c in rows[held:]])
        SFTTrainer(
            model=model, args=config, train_dataset=data, processing_class=tokenizer, callbacks=[Clock()],
            peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
        ).train()  # fmt: skip
    tokens = sum(row["length"] for row in counted)
    return steps[-1] - steps[0], round(tokens * (len(steps) - 1) / len(steps))


RUNS = {"ours": ours, "packed": packed, "theirs": theirs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--words", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", choices=list(RUNS))
    given = parser.parse_args()
    if given.one:
        seconds, tokens = RUNS[given.one](given.rows, given.words)
        print(json.dumps({"speed": tokens / seconds}))
        return
    found: dict[str, list[float]] = {who: [] for who in RUNS}
    for _ in range(given.rounds):
        for who, speeds in found.items():
            command = [
                sys.executable,
                __file__,
                "--one",
                who,
                "--rows",
                str(given.rows),
                "--words",
                str(given.words),
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            speeds.append(json.loads(done.stdout.splitlines()[-1])["speed"])
    base = statistics.median(found["theirs"])
    print(
        f"{given.rows} chats of up to {given.words} words, batches of 8, median of {given.rounds} rounds\n"
    )
    print("| | tokens/s | of plain TRL |\n|---|---|---|")
    for who, name in (("theirs", "plain TRL"), ("ours", "ratchet"), ("packed", "ratchet, packed")):
        speed = statistics.median(found[who])
        print(f"| {name} | {speed:,.0f} | {speed / base:.2f} |")


if __name__ == "__main__":
    main()
