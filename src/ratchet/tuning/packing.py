"""Several examples in one row, each seeing itself alone: no padding is computed, and the gradient is that of separate rows."""

from collections.abc import Sequence
from typing import Any

from ratchet.core.errors import TuningError
from ratchet.tuning.tokens import IGNORED, TrainingRow

__all__ = ["PackedRows", "packed_mask"]

ATTENTION = {"full_attention", "sliding_attention", "chunked_attention"}
"""Layers that transformers keeps within an example where positions begin again."""
CONVOLUTION = "conv"
"""Layers that look back a few tokens, whatever the positions: they are kept apart by a gap that they read as nothing."""


class PackedRows:
    """Lay rows end to end; called with the rows of a step.

    Args:
        config: Of the model.
        longest: So many tokens fit into one row.
        multiple: Rows are filled up to a multiple of this.
        fill: The token of gaps and ends.

    Raises: TuningError for a model whose layers would carry one example into the next.
    """

    def __init__(self, config: Any, *, longest: int, multiple: int, fill: int) -> None:
        kinds = kinds_of(config)
        if unknown := kinds - ATTENTION - {CONVOLUTION}:
            raise TuningError(
                f"packing would carry one example into the next in this model's {', '.join(sorted(unknown))} layers; leave it out"
            )
        self._gap = config.conv_L_cache - 1 if CONVOLUTION in kinds else 0
        self._longest, self._multiple, self._fill = longest, multiple, fill

    def __call__(self, rows: Sequence[TrainingRow]) -> dict[str, Any]:
        """Return `input_ids`, `labels`, `position_ids` and `real`, which is 0 in gaps, each of shape (rows, width)."""
        import torch

        piles = self._piles(rows)
        width = max(sum(len(row["input_ids"]) + self._gap for row in pile) for pile in piles)
        width = -(-width // self._multiple) * self._multiple
        shape = (len(piles), width)
        ids = torch.full(shape, self._fill)
        labels = torch.full(shape, IGNORED)
        positions, real = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
        for line, pile in enumerate(piles):
            at = 0
            for row in pile:
                end = at + len(row["input_ids"])
                after = end + self._gap
                ids[line, at:end] = torch.tensor(row["input_ids"])
                labels[line, at:end] = torch.tensor(row["labels"])
                labels[line, at] = IGNORED  # the token before it is another example's
                positions[line, at:after] = torch.arange(after - at)
                real[line, at:end] = 1
                at = after
            positions[line, at:] = torch.arange(width - at)
        return {"input_ids": ids, "labels": labels, "position_ids": positions, "real": real}

    def _piles(self, rows: Sequence[TrainingRow]) -> list[list[TrainingRow]]:
        """Return which rows share one: the longest first, each where it fits and least is left."""
        piles: list[list[TrainingRow]] = []
        left: list[int] = []
        for row in sorted(rows, key=lambda row: -len(row["input_ids"])):
            size = len(row["input_ids"]) + self._gap
            fitting = [place for place, room in enumerate(left) if room >= size]
            place = min(fitting, key=left.__getitem__, default=len(piles))
            if place == len(piles):
                piles.append([])
                left.append(max(self._longest, size))
            piles[place].append(row)
            left[place] -= size
        return piles


def kinds_of(config: Any) -> set[str]:
    """Return the kinds of layers of a model."""
    kinds = getattr(config, "layer_types", None)
    if kinds:
        return set(kinds)
    looks_back = any(hasattr(config, name) for name in ("ssm_cfg", "state_size", "mamba_d_state"))
    return {"recurrent"} if looks_back else {"full_attention"}


def packed_mask(config: Any, inputs: dict[str, Any], dtype: Any) -> Any:
    """Return the attention mask of packed rows: None where positions that begin again say it all."""
    import torch

    if CONVOLUTION not in kinds_of(config):
        return None
    from transformers.masking_utils import create_causal_mask

    shape = (*inputs["input_ids"].shape, 1)
    whole = create_causal_mask(
        config=config,
        inputs_embeds=torch.empty(shape, dtype=dtype, device=inputs["input_ids"].device),
        attention_mask=None,
        past_key_values=None,
        position_ids=inputs["position_ids"],
    )
    return {"full_attention": whole, CONVOLUTION: inputs["real"]}
