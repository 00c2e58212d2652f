"""Generate token by token with a model of transformers: rows join a running batch, and leave it as they end.

transformers' own `generate` keeps every row until the longest one ends, and lets nobody in; for short answers of uneven length
that is most of the work. Greedy decoding gives the same tokens (tests/models/test_decode.py).
"""

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

import torch

from ratchet.core.errors import ReplyError
from ratchet.models.cache import are_joinable, cut, put_beside, with_room

if TYPE_CHECKING:
    from transformers import BatchEncoding, Cache, PreTrainedModel

__all__ = ["Batch", "Likely", "Row", "take"]

COLDEST = 1e-4
"""Below this temperature the likeliest token is taken: dividing by less overflows."""
NO_NUMBERS = "the model gives no numbers for the next token (NaN): its weights, or its adapter's, are damaged or too large for their type"
SHRINK_AT = 0.75
"""Ended rows are dropped once the batch can shrink to this share."""
shared = torch.Generator().manual_seed(int.from_bytes(os.urandom(7)))
"""The random numbers of rows without a seed."""


class Likely(NamedTuple):
    """How likely a token was, before any temperature and any grammar."""

    token: int
    logprob: float
    others: list[tuple[int, float]]
    """The likeliest tokens, and their logarithms."""


class Mask(Protocol):
    """What rules tokens of a row out."""

    def __call__(self, last: int | None, logits: torch.Tensor) -> None:
        """Set forbidden tokens of `logits`, shape (vocabulary,), to minus infinity; `last` was just taken, None at the start."""
        ...


@dataclass(slots=True, kw_only=True, eq=False)
class Row:
    """What one row of a batch wants, and what it has."""

    limit: int
    """The most new tokens."""
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    """With one, what the row gets does not depend on who is in its batch."""
    likely: int | None = None
    """So many of the likeliest tokens are told of at each place, beside the one taken; None tells of none."""
    adapter: str | None = None
    mask: Mask | None = None
    watch: Callable[[list[int]], bool] | None = None
    """Called with the tokens after each of them; the row ends where it returns True."""
    tokens: list[int] = field(default_factory=list)
    """The new tokens, the end token included where the row came to it."""
    told: list[Likely] = field(default_factory=list)
    """How likely they were, where that is wanted."""
    is_done: bool = False
    error: Exception | None = None
    """Why it ended without a reply; its neighbours go on."""
    own: torch.Generator | None = None

    def __post_init__(self) -> None:
        if self.seed is not None and self.temperature > 0:
            self.own = torch.Generator().manual_seed(self.seed % 2**63)

    def fail(self, error: Exception) -> None:
        """End the row without a reply."""
        self.error, self.is_done = error, True

    def add(self, token: int, ends: Collection[int]) -> None:
        """Take the next token; one of `ends` is the last."""
        self.tokens.append(token)
        stops = self.watch(self.tokens) if self.watch else False
        self.is_done = stops or token in ends or len(self.tokens) >= self.limit


def take(rows: Sequence[Row], logits: torch.Tensor) -> torch.Tensor:
    """Return one token a row from `logits`, shape (rows, vocabulary): the likeliest at temperature 0, else one from its nucleus."""
    peaks, picked = logits.max(-1)
    for place in peaks.isnan().nonzero()[:, 0].tolist():
        rows[place].fail(ReplyError(NO_NUMBERS, kind="no numbers"))
        logits[place] = 0.0
        picked[place] = 0
    free = [place for place, row in enumerate(rows) if row.temperature > COLDEST]
    if not free:
        return picked
    heat = torch.tensor([rows[place].temperature for place in free])[:, None]
    nucleus = torch.tensor([rows[place].top_p for place in free])[:, None]
    shares = torch.softmax(logits[free].float().cpu() / heat, -1)
    ordered, tokens = shares.sort(-1, descending=True)
    ordered = ordered.masked_fill(ordered.cumsum(-1) - ordered >= nucleus, 0.0)
    chosen = torch.multinomial(ordered, 1, generator=shared)
    for line, place in enumerate(free):
        if own := rows[place].own:
            chosen[line] = torch.multinomial(ordered[line], 1, generator=own)
    picked[free] = tokens.gather(-1, chosen).squeeze(-1).to(picked.device)
    return picked


class Batch:
    """Rows that are generated together.

    Args:
        model: A causal language model.
        ends: The tokens that end a row.
        route: Told the adapters of the rows before each time that other rows than before go through the model.
    """

    def __init__(
        self,
        model: "PreTrainedModel",
        *,
        ends: Collection[int],
        route: Callable[[Sequence[str | None]], None],
    ) -> None:
        self._model, self._ends, self._route = model, ends, route
        self._rows: list[Row] = []
        self._cache: Cache | None = None
        device = model.device
        self._attention = torch.empty((0, 0), dtype=torch.long, device=device)
        """1 where a row has a token, shape (rows, width)."""
        self._last = torch.empty((0, 1), dtype=torch.long, device=device)
        """The tokens just taken, shape (rows, 1)."""
        self._places = torch.empty((0, 1), dtype=torch.long, device=device)
        """Their positions, shape (rows, 1)."""

    def __len__(self) -> int:
        """Return how many rows are not done."""
        return sum(not row.is_done for row in self._rows)

    @property
    def can_join(self) -> bool:
        """Whether rows may join: always where nobody is there, else where the model's cache lets them."""
        return not len(self) or are_joinable(self._cache)

    def join(self, encoded: "BatchEncoding", rows: Sequence[Row]) -> list[Row]:
        """Put rows into the batch, and take the first token of each; return those that ended with it.

        Args:
            encoded: `input_ids` and `attention_mask`, padded on the left, shape (rows, width).
            rows: What each row wants.
        """
        attention = encoded["attention_mask"]
        places = (attention.cumsum(-1) - 1).clamp(min=0)
        self._route([row.adapter for row in rows])
        cache, last = self._forward(encoded["input_ids"], attention, places, None, rows)
        ended = [row for row in rows if row.is_done]
        if self._cache is None or not len(self):  # what is there is done
            self._rows, self._cache, self._attention = list(rows), with_room(cache), attention
            self._last, self._places = last, places[:, -1:]
            return ended
        self._drop(always=True)
        width = max(self._attention.shape[1], attention.shape[1])
        put_beside(self._cache, cache, width)
        self._attention = torch.cat([widened(self._attention, width), widened(attention, width)])
        self._last = torch.cat([self._last, last])
        self._places = torch.cat([self._places, places[:, -1:]])
        self._rows += rows
        self._sort()
        self.reroute()
        return ended

    def step(self) -> list[Row]:
        """Take the next token of every row; return those that ended with it."""
        if not len(self):
            return []
        self._drop()
        going = [row for row in self._rows if not row.is_done]
        self._attention = torch.cat(
            [self._attention, self._attention.new_ones(len(self._rows), 1)], -1
        )
        self._places = self._places + 1
        self._cache, self._last = self._forward(
            self._last, self._attention, self._places, self._cache, self._rows
        )
        return [row for row in going if row.is_done]

    def reroute(self) -> None:
        """Say again whose rows these are, once something else has gone through the model."""
        self._route([row.adapter for row in self._rows])

    def _forward(
        self,
        ids: torch.Tensor,
        attention: torch.Tensor,
        places: torch.Tensor,
        cache: "Cache | None",
        rows: Sequence[Row],
    ) -> "tuple[Cache, torch.Tensor]":
        """Return the cache, and the token taken for each row, which is added to it where it is not done."""
        with torch.inference_mode():
            out = self._model(
                input_ids=ids,
                attention_mask=attention,
                position_ids=places,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
            logits = out.logits[:, -1].float()  # in bfloat16 the largest takes five times as long
            live = [(place, row) for place, row in enumerate(rows) if not row.is_done]
            curious = [place for place, row in live if row.likely is not None]
            shares = torch.log_softmax(logits[curious], -1) if curious else None
            for place, row in live:
                if row.mask:
                    self._rule_out(row, row.mask, logits[place])
            picked = take(rows, logits)
            tokens = picked.tolist()
            if shares is not None:
                for line, place in zip(shares, curious, strict=True):
                    row = rows[place]
                    row.told.append(likely(line, tokens[place], row.likely or 0))
            for place, row in live:
                if row.error is None:
                    row.add(tokens[place], self._ends)
        return out.past_key_values, picked[:, None]

    @staticmethod
    def _rule_out(row: Row, mask: Mask, logits: torch.Tensor) -> None:
        """Apply a row's mask; a mask that fails ends its own row."""
        try:
            mask(row.tokens[-1] if row.tokens else None, logits)
        except Exception as error:  # noqa: BLE001 - handed to who waits for the row
            row.fail(error)

    def _drop(self, *, always: bool = False) -> None:
        """Let go of rows that are done, once that makes the batch much smaller."""
        live = [place for place, row in enumerate(self._rows) if not row.is_done]
        if len(live) == len(self._rows) or not (always or len(live) <= SHRINK_AT * len(self._rows)):
            return
        self._reorder(live)
        empty = int((self._attention.sum(0) > 0).int().argmax())
        if empty and self._cache and are_joinable(self._cache):  # the longest has gone
            self._attention = self._attention[:, empty:]
            cut(self._cache, empty)
        self.reroute()

    def _sort(self) -> None:
        """Put rows of one adapter side by side, where they are multiplied at once."""
        order = sorted(range(len(self._rows)), key=lambda k: self._rows[k].adapter or "")
        if order != list(range(len(order))):
            self._reorder(order)

    def _reorder(self, places: list[int]) -> None:
        assert self._cache is not None  # there are rows
        index = torch.tensor(places, device=self._attention.device)
        self._cache.reorder_cache(index)
        self._rows = [self._rows[place] for place in places]
        self._attention, self._last = self._attention[index], self._last[index]
        self._places = self._places[index]


def widened(attention: torch.Tensor, width: int) -> torch.Tensor:
    return torch.nn.functional.pad(attention, (width - attention.shape[1], 0))


def likely(shares: torch.Tensor, token: int, count: int) -> Likely:
    """Return a token's logarithm, and those of the `count` likeliest, from `shares`, shape (vocabulary,)."""
    values, tokens = shares.topk(count)
    others = list(zip(tokens.tolist(), values.tolist(), strict=True))
    return Likely(token, float(shares[token]), others)
