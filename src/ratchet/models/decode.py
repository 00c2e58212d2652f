"""Generate a batch token by token with a model of transformers, dropping rows from the batch as they end.

transformers' own `generate` keeps every row until the longest one ends; for short answers of uneven length that is most of
the work. Greedy decoding gives the same tokens (tests/models/test_decode.py).
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import torch

if TYPE_CHECKING:
    from transformers import BatchEncoding, PreTrainedModel

__all__ = ["Likely", "Row", "Sampler", "decode"]

COLDEST = 1e-4
"""Below this temperature the likeliest token is taken: dividing by less overflows."""
SHRINK_AT = 0.75
"""Ended rows are dropped once the batch can shrink to this share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one row of a batch wants."""

    limit: int
    """The most new tokens."""
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    likely: int | None = None
    """So many of the likeliest tokens are told of at each place, beside the one taken; None tells of none."""


class Likely(NamedTuple):
    """How likely a token was, before any temperature and any grammar."""

    token: int
    logprob: float
    others: list[tuple[int, float]]
    """The likeliest tokens, and their logarithms."""


class Mask(Protocol):
    """What rules tokens out; row numbers are those of the whole batch."""

    def __call__(
        self, rows: Sequence[int], last: Sequence[int] | None, logits: torch.Tensor
    ) -> None:
        """Set forbidden tokens of `logits` to minus infinity; `last` are the tokens just taken, None at the start."""
        ...


class Sampler:
    """Takes a token for each row: the likeliest at temperature 0, else one from its nucleus.

    A row with a seed has random numbers of its own, so that what it gets does not depend on who is in its batch.
    """

    def __init__(self, wanted: Sequence[Row]) -> None:
        self._wanted = wanted
        self._shared = torch.Generator().manual_seed(int.from_bytes(os.urandom(7)))
        self._own = {
            place: torch.Generator().manual_seed(row.seed % 2**63)
            for place, row in enumerate(wanted)
            if row.seed is not None and row.temperature > 0
        }

    def __call__(self, rows: Sequence[int], logits: torch.Tensor) -> torch.Tensor:
        """Return one token a row from `logits`, shape (rows, vocabulary); `rows` are the rows' numbers in the whole batch."""
        picked = logits.argmax(-1)
        free = [place for place, row in enumerate(rows) if self._wanted[row].temperature > COLDEST]
        if not free:
            return picked
        wanted = [self._wanted[rows[place]] for place in free]
        heat = torch.tensor([row.temperature for row in wanted])[:, None]
        nucleus = torch.tensor([row.top_p for row in wanted])[:, None]
        shares = torch.softmax(logits[free].float().cpu() / heat, -1)
        ordered, tokens = shares.sort(-1, descending=True)
        ordered = ordered.masked_fill(ordered.cumsum(-1) - ordered >= nucleus, 0.0)
        chosen = torch.multinomial(ordered, 1, generator=self._shared)
        for place, row in enumerate(free):
            if own := self._own.get(rows[row]):
                chosen[place] = torch.multinomial(ordered[place], 1, generator=own)
        picked[free] = tokens.gather(-1, chosen).squeeze(-1).to(picked.device)
        return picked


def decode(
    model: "PreTrainedModel",
    encoded: "BatchEncoding",
    wanted: Sequence[Row],
    *,
    end: int,
    mask: Mask | None = None,
    watch: Callable[[int, list[int]], bool] | None = None,
    keep: Callable[[torch.Tensor], None] | None = None,
) -> tuple[list[list[int]], list[list[Likely]]]:
    """Return the new tokens of each row, the end token included where the row came to it, and how likely they were, where wanted.

    Args:
        model: A causal language model.
        encoded: `input_ids` and `attention_mask`, padded on the left, shape (rows, width).
        wanted: What each row wants.
        end: The token that ends a row.
        mask: What rules tokens out before one is chosen.
        watch: Called with a row and its tokens after each of them; a row ends where it returns True.
        keep: Called with the places of the rows that stay, when others are dropped.
    """
    attention = encoded["attention_mask"]
    new: list[list[int]] = [[] for _ in wanted]
    told: list[list[Likely]] = [[] for _ in wanted]
    rows, last = list(range(len(wanted))), None
    ids, positions = encoded["input_ids"], (attention.cumsum(-1) - 1).clamp(min=0)
    cache, pick = None, Sampler(wanted)
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
            curious = [place for place, row in enumerate(rows) if wanted[row].likely is not None]
            shares = torch.log_softmax(logits[curious].float(), -1) if curious else None
            if mask:
                mask(rows, last, logits)
            picked = pick(rows, logits)
            last = picked.tolist()
            for row, token in zip(rows, last, strict=True):
                if not is_done(new[row], wanted[row].limit, end) and row not in ended:
                    new[row].append(token)
                    if watch and watch(row, new[row]):
                        ended.add(row)
            if shares is not None:
                for line, place in zip(shares, curious, strict=True):
                    row = rows[place]
                    if len(told[row]) < len(new[row]):
                        told[row].append(likely(line, last[place], wanted[row].likely or 0))
            live = [
                i
                for i, row in enumerate(rows)
                if not is_done(new[row], wanted[row].limit, end) and row not in ended
            ]
            if not live:
                break
            if len(live) <= SHRINK_AT * len(rows):
                index = torch.tensor(live, device=attention.device)
                cache.reorder_cache(index)
                if keep:
                    keep(index)
                rows, last = [rows[i] for i in live], [last[i] for i in live]
                attention, positions, picked = attention[index], positions[index], picked[index]
            attention = torch.cat([attention, attention.new_ones(len(rows), 1)], -1)
            ids, positions = picked[:, None], positions[:, -1:] + 1
    return new, told


def likely(shares: torch.Tensor, token: int, count: int) -> Likely:
    """Return a token's logarithm, and those of the `count` likeliest, from `shares`, shape (vocabulary,)."""
    values, tokens = shares.topk(count)
    others = list(zip(tokens.tolist(), values.tolist(), strict=True))
    return Likely(token, float(shares[token]), others)


def is_done(tokens: list[int], limit: int, end: int) -> bool:
    return len(tokens) >= limit or (bool(tokens) and tokens[-1] == end)
