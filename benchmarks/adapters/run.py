"""Tokens a second of one batch: one adapter, eight mixed, and eight one after another; side by side, on this machine.

python benchmarks/adapters/run.py             # prints a table
python benchmarks/adapters/run.py --rows 64
"""

import argparse
import asyncio
import statistics
import tempfile
import time
import warnings
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model

from ratchet.models import NANO, ChatRequest, ModelPool
from ratchet.models.local import load_base

ADAPTERS = 8


def make(folder: Path) -> None:
    """Write adapters of rank 16 on all linear layers, with random weights."""
    for number in range(ADAPTERS):
        torch.manual_seed(number)
        model, _ = load_base(NANO)
        tuned = get_peft_model(
            model, LoraConfig(r=16, target_modules="all-linear", task_type="CAUSAL_LM")
        )
        for key, weight in tuned.named_parameters():
            if "lora_B" in key:
                torch.nn.init.normal_(weight, std=0.002)
        tuned.save_pretrained(folder / f"a{number}")


def request(row: int, adapter: str | None, tokens: int) -> ChatRequest:
    text = f"Repeat: {' '.join(f'w{row}x{k}' for k in range(40))}"
    return ChatRequest(
        messages=[{"role": "user", "content": text}], max_tokens=tokens, adapter=adapter
    )


async def main() -> None:
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))
        async with ModelPool(adapters=Path(folder)) as pool:
            model = pool.model("local:nano")

            async def timed(batches: list[list[str | None]]) -> float:
                started, made = time.perf_counter(), 0
                for batch in batches:
                    asked = [request(row, name, given.tokens) for row, name in enumerate(batch)]
                    replies = await asyncio.gather(*(model.chat(one) for one in asked))
                    made += sum(reply.usage.completion_tokens for reply in replies)
                return made / (time.perf_counter() - started)

            share = given.rows // ADAPTERS
            settings = {
                "no adapter": [[None] * given.rows],
                "one adapter": [["a0"] * given.rows],
                "eight, mixed in one batch": [[f"a{row % ADAPTERS}" for row in range(given.rows)]],
                "eight, one after another": [[f"a{number}"] * share for number in range(ADAPTERS)],
            }
            found: dict[str, list[float]] = {name: [] for name in settings}
            for round_ in range(given.rounds + 1):
                for name, batches in settings.items():
                    speed = await timed(batches)
                    if round_:
                        found[name].append(speed)
    one = statistics.median(found["one adapter"])
    print(
        f"{given.rows} requests, {given.tokens} tokens each, median of {given.rounds} rounds, {torch.get_num_threads()} threads\n"
    )
    print("| | tokens/s | of one adapter |\n|---|---|---|")
    for name, speeds in found.items():
        print(
            f"| {name} | {statistics.median(speeds):,.0f} | {statistics.median(speeds) / one:.2f} |"
        )


if __name__ == "__main__":
    asyncio.run(main())
