"""Train `local:nano` from scratch on practice chats written as it goes; no text is seen twice.

LFM2 (short convolutions before attention) learns to copy after a million tokens where a plain Llama of this size needs
many; Muon for the matrices clearly beats AdamW; the loss is on the answers only; copying is practised first and phased out.

    python -m nano.train src/ratchet/models/nano --minutes 80 --workers 2
    python -m nano.train … --continued          # go on from the weights in the folder, without warm-up and plain copying

The schedule runs over wall time, so a slower machine sees fewer tokens. `log.jsonl` beside the weights keeps the losses.
"""

import argparse
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import torch
import torch.distributed as dist
from torch.nn import functional
from transformers import AutoTokenizer, Lfm2Config, Lfm2ForCausalLM, PreTrainedTokenizerBase

from nano.abilities import Chat, draw

__all__ = ["new_model", "train"]

MATRIX_RATE = 0.02
OTHER_RATE = 3e-3
ROUND = 32
"""Widths are multiples of this: few shapes, so that the allocator finds blocks of the size that it needs."""


def new_model(tokenizer: PreTrainedTokenizerBase, seed: int = 0) -> Lfm2ForCausalLM:
    """Return an untrained LFM2 of about 2.2 million parameters, convolution and attention alternating."""
    torch.manual_seed(seed)
    config = Lfm2Config(
        vocab_size=len(tokenizer),
        hidden_size=160,
        intermediate_size=448,
        num_hidden_layers=6,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=2048,
        layer_types=["conv", "full_attention"] * 3,
        conv_L_cache=3,
        block_auto_adjust_ff_dim=False,
        tie_word_embeddings=True,
        initializer_range=0.02,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return Lfm2ForCausalLM(config)


class Practice:
    """An endless stream of length-sorted batches of about `budget` tokens, with a mask of the answers."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, *, seed: int, budget: int, longest: int
    ) -> None:
        self.tokenizer, self.rng, self.budget, self.longest = (
            tokenizer,
            Random(seed),
            budget,
            longest,
        )
        self.copying = 0.5
        self.start, self.end = (
            tokenizer.convert_tokens_to_ids(t) for t in ("<|assistant|>", "<|end|>")
        )

    def encode(self, chats: list[Chat]) -> list[tuple[list[int], list[bool]]]:
        texts = [
            self.tokenizer.apply_chat_template(c.messages, tools=c.tools or None, tokenize=False)
            for c in chats
        ]
        ids = self.tokenizer(texts, add_special_tokens=False)["input_ids"]
        return [(row, self.mask(row)) for row in ids if len(row) <= self.longest]

    def mask(self, ids: list[int]) -> list[bool]:
        inside, marks = False, []
        for token in ids:
            marks.append(inside)
            if token == self.start:
                inside = True
            elif token == self.end:
                inside = False
        return marks

    def batches(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        while True:
            rows = sorted(
                self.encode([draw(self.rng, copying=self.copying) for _ in range(384)]),
                key=lambda row: len(row[0]),
            )
            groups: list[list[tuple[list[int], list[bool]]]] = [[]]
            for row in rows:
                width = -(-len(row[0]) // ROUND) * ROUND
                if groups[-1] and width * (len(groups[-1]) + 1) > self.budget:
                    groups.append([])
                groups[-1].append(row)
            self.rng.shuffle(groups)
            yield from map(self.padded, groups)

    def padded(self, rows: list[tuple[list[int], list[bool]]]) -> tuple[torch.Tensor, torch.Tensor]:
        width = -(-max(len(ids) for ids, _ in rows) // ROUND) * ROUND
        tokens = torch.full((len(rows), width), self.tokenizer.pad_token_id)
        answers = torch.zeros((len(rows), width), dtype=torch.bool)
        for index, (ids, marks) in enumerate(rows):
            tokens[index, : len(ids)] = torch.tensor(ids)
            answers[index, : len(ids)] = torch.tensor(marks)
        return tokens, answers


def answer_loss(
    model: Lfm2ForCausalLM, tokens: torch.Tensor, answers: torch.Tensor
) -> torch.Tensor:
    """Return the mean cross-entropy over answer tokens; rows are padded on the right, so no attention mask is needed."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = model.model(input_ids=tokens[:, :-1]).last_hidden_state
        chosen = answers[:, 1:]
        logits = model.lm_head(hidden[chosen])
    return functional.cross_entropy(logits.float(), tokens[:, 1:][chosen])


def optimizers(model: Lfm2ForCausalLM) -> list[tuple[torch.optim.Optimizer, float]]:
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    chosen = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in chosen]
    return [
        (torch.optim.Muon(matrices, lr=MATRIX_RATE, weight_decay=0.01, momentum=0.95), MATRIX_RATE),
        (torch.optim.AdamW(others, lr=OTHER_RATE, betas=(0.9, 0.95), weight_decay=0.0), OTHER_RATE),
    ]


def share_gradients(model: Lfm2ForCausalLM) -> None:
    """Average the gradients over the workers in one message."""
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    flat = torch.cat([g.view(-1) for g in gradients])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def rate(done: float) -> float:
    """Return the factor on the learning rates after the share `done` of the run: 3 % warm-up, decay over the last 60 %."""
    return max(0.02, min(1.0, done / 0.03, (1 - done) / 0.6))


def train(folder: Path, given: argparse.Namespace, worker: int) -> None:
    """Train for `given.minutes` of wall time and leave the weights in bf16 in `folder`."""
    minutes, workers, seed, budget = given.minutes, given.workers, given.seed, given.budget
    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = (
        Lfm2ForCausalLM.from_pretrained(folder, dtype=torch.float32)
        if given.continued
        else new_model(tokenizer, seed)
    )
    practice = Practice(tokenizer, seed=1000 + 7 * seed + worker, budget=budget, longest=640)
    steps, started, seen, smooth = optimizers(model), time.time(), 0, float("nan")
    reports = 0
    for count, (tokens, answers) in enumerate(practice.batches()):
        clock = torch.tensor([(time.time() - started) / (60 * minutes)])
        if workers > 1:
            dist.broadcast(clock, 0)
        done = clock.item()
        if done >= 1:
            break
        practice.copying = 0.0 if given.continued else max(0.0, 0.5 * (1 - done / 0.15))
        loss = answer_loss(model, tokens, answers)
        loss.backward()
        if workers > 1:
            share_gradients(model)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, base in steps:
            for group in optimizer.param_groups:
                group["lr"] = base * rate(max(done, 0.03) if given.continued else done)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        seen += int((tokens != tokenizer.pad_token_id).sum()) * workers
        smooth = loss.item() if count == 0 else 0.98 * smooth + 0.02 * loss.item()
        if worker == 0 and done * 60 * minutes > 60 * (reports + 1):
            reports += 1
            report(
                folder,
                model,
                {
                    "minutes": round(done * minutes, 1),
                    "steps": count,
                    "tokens": seen,
                    "loss": round(smooth, 4),
                },
                reports,
            )
    if worker == 0:
        save(model, folder)


def report(folder: Path, model: Lfm2ForCausalLM, row: dict[str, Any], number: int) -> None:
    print(row, flush=True)
    with (folder / "log.jsonl").open("a", encoding="utf-8") as log:
        log.write(json.dumps(row) + "\n")
    if number % 10 == 0:
        save(model, folder)


def save(model: Lfm2ForCausalLM, folder: Path) -> None:
    weights = {
        name: tensor.detach().to(torch.bfloat16).clone()
        for name, tensor in model.state_dict().items()
    }
    copy = Lfm2ForCausalLM(model.config).to(torch.bfloat16)
    copy.load_state_dict(weights)
    copy.save_pretrained(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=80)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--budget", type=int, default=3072, help="tokens in a batch of one worker")
    parser.add_argument(
        "--continued", action="store_true", help="start from the weights in the folder"
    )
    given = parser.parse_args()
    os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
    os.environ.setdefault("MASTER_PORT", "29531")
    if given.workers == 1:
        work(0, given)
    else:
        torch.multiprocessing.spawn(work, args=(given,), nprocs=given.workers)


def work(worker: int, given: argparse.Namespace) -> None:
    if given.workers > 1:
        dist.init_process_group("gloo", rank=worker, world_size=given.workers)
    train(given.folder, given, worker)


if __name__ == "__main__":
    main()
