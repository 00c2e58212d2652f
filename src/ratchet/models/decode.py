"""Generate a batch token by token with a model of transformers, dropping rows from the batch as they end.

transformers' own `generate` keeps every row until the longest one ends; for short answers of uneven length that is most of
the work. Greedy decoding gives the same tokens (tests/models/test_decode.py).
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import torch

if TYPE_CHECKING:
    from transformers import BatchEncoding, PreTrainedModel

__all__ = ["Picker", "decode", "greedy", "sampler"]

Picker = Callable[[torch.Tensor], torch.Tensor]
"""From logits, shape (rows, vocabulary), to one token a row, shape (rows,)."""
SHRINK_AT = 0.75
"""Ended rows are dropped once the batch can shrink to this share."""


class Mask(Protocol):
    """What rules tokens out; row numbers are those of the whole batch."""

    def __call__(
        self, rows: Sequence[int], last: Sequence[int] | None, logits: torch.Tensor
    ) -> None:
        """Set forbidden tokens of `logits` to minus infinity; `last` are the tokens just taken, None at the start."""
        ...


def greedy(logits: torch.Tensor) -> torch.Tensor:
    """Return the most likely token of each row."""
    return logits.argmax(-1)


def sampler(temperature: float, top_p: float, seed: int) -> Picker:
    """Return a picker that samples from the smallest set of tokens whose probabilities sum to `top_p`."""
    rng = torch.Generator().manual_seed(seed)

    def pick(logits: torch.Tensor) -> torch.Tensor:
        shares = torch.softmax(logits.float().cpu() / temperature, -1)
        ordered, tokens = shares.sort(-1, descending=True)
        ordered = ordered.masked_fill(ordered.cumsum(-1) - ordered >= top_p, 0.0)
        chosen = torch.multinomial(ordered, 1, generator=rng)
        return tokens.gather(-1, chosen).squeeze(-1).to(logits.device)

    return pick


def decode(
    model: "PreTrainedModel",
    encoded: "BatchEncoding",
    *,
    limits: Sequence[int],
    end: int,
    pick: Picker = greedy,
    mask: Mask | None = None,
    watch: Callable[[int, list[int]], bool] | None = None,
) -> list[list[int]]:
    """Return the new tokens of each row, the end token included where the row came to it.

    Args:
        model: A causal language model.
        encoded: `input_ids` and `attention_mask`, padded on the left, shape (rows, width).
        limits: The most new tokens of each row.
        end: The token that ends a row.
        pick: How a token is chosen.
        mask: What rules tokens out before one is chosen.
        watch: Called with a row and its tokens after each of them; a row ends where it returns True.
    """
    attention = encoded["attention_mask"]
    new: list[list[int]] = [[] for _ in limits]
    rows, last = list(range(len(limits))), None
    ids, positions = encoded["input_ids"], (attention.cumsum(-1) - 1).clamp(min=0)
    cache = None
    ended: set[int] = set()
    with torch.inference_mode():
        while rows:
            out = model(
                input_ids=ids,
                attention_mask=attention,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
            cache, logits = out.past_key_values, out.logits[:, -1]
            if mask:
                mask(rows, last, logits)
            picked = pick(logits)
            last = picked.tolist()
            for row, token in zip(rows, last, strict=True):
                if not is_done(new[row], limits[row], end) and row not in ended:
                    new[row].append(token)
                    if watch and watch(row, new[row]):
                        ended.add(row)
            live = [
                i
                for i, row in enumerate(rows)
                if not is_done(new[row], limits[row], end) and row not in ended
            ]
            if not live:
                break
            if len(live) <= SHRINK_AT * len(rows):
                index = torch.tensor(live, device=attention.device)
                cache.reorder_cache(index)
                rows, last = [rows[i] for i in live], [last[i] for i in live]
                attention, positions, picked = attention[index], positions[index], picked[index]
            attention = torch.cat([attention, attention.new_ones(len(rows), 1)], -1)
            ids, positions = picked[:, None], positions[:, -1:] + 1
    return new


def is_done(tokens: list[int], limit: int, end: int) -> bool:
    return len(tokens) >= limit or (bool(tokens) and tokens[-1] == end)
