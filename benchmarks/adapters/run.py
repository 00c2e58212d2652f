"""Tokens a second of one batch: one adapter, eight mixed, and eight one after another, here and as PEFT switches them; side by side, on this machine.

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
from peft import LoraConfig, PeftModel, get_peft_model

from ratchet.models import NANO, ChatRequest, ModelPool
from ratchet.models.engine import prompt_of
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


class Switching:
    """transformers and PEFT as they are used by hand: one adapter is set, its requests are generated in one batch, then comes the next."""

    def __init__(self, folder: Path) -> None:
        base, self._tokenizer = load_base(NANO)
        self._model = PeftModel.from_pretrained(base, folder / "a0", adapter_name="a0")
        for number in range(1, ADAPTERS):
            self._model.load_adapter(folder / f"a{number}", adapter_name=f"a{number}")
        self._model.eval()

    def answer(self, batches: list[list[ChatRequest]]) -> int:
        """Answer requests, each batch with the adapter of its first; return how many tokens were made."""
        made = 0
        for batch in batches:
            self._model.set_adapter(batch[0].adapter)
            prompts = [prompt_of(self._tokenizer, one) for one in batch]
            encoded = self._tokenizer(
                prompts, return_tensors="pt", padding=True, add_special_tokens=False
            )
            with torch.inference_mode():
                out = self._model.generate(
                    **encoded, max_new_tokens=batch[0].max_tokens, do_sample=False
                )
            new = out[:, encoded["input_ids"].shape[1] :]
            made += int((new != self._tokenizer.pad_token_id).sum())
        return made


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

            by_hand = Switching(Path(folder))

            async def switched(batches: list[list[str | None]]) -> float:
                started = time.perf_counter()
                asked = [
                    [request(row, name, given.tokens) for row, name in enumerate(batch)]
                    for batch in batches
                ]
                made = await asyncio.to_thread(by_hand.answer, asked)
                return made / (time.perf_counter() - started)

            share = given.rows // ADAPTERS
            settings = {
                "no adapter": [[None] * given.rows],
                "one adapter": [["a0"] * given.rows],
                "eight, mixed in one batch": [[f"a{row % ADAPTERS}" for row in range(given.rows)]],
                "eight, one after another": [[f"a{number}"] * share for number in range(ADAPTERS)],
                "eight, one after another, set_adapter and generate": [
                    [f"a{number}"] * share for number in range(ADAPTERS)
                ],
            }
            found: dict[str, list[float]] = {name: [] for name in settings}
            for round_ in range(given.rounds + 1):
                for name, batches in settings.items():
                    speed = await (switched if "set_adapter" in name else timed)(batches)
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
