"""Linear layers of a model that only answers, laid out as the processor multiplies fastest.

oneDNN, which torch multiplies with on x86, lays weights out anew in each call unless it is handed them in its own layout.
`pack_linears` does that once. The results are those of the plain layer but for the order of additions. What is packed cannot be
trained or saved: only the engine's own copy of a model is.
"""

import platform
from collections.abc import Iterator
from functools import cache
from typing import Any

import torch

__all__ = ["PackedLinear", "pack_linears"]

ROWS = 16
"""The layout is chosen for about so many rows at once."""
SMALLEST = 1 << 16
"""Layers with fewer weights gain nothing."""


class PackedLinear(torch.nn.Linear):  # type: ignore[misc]  # untyped base
    """A linear layer whose weights are in oneDNN's layout; `weight` has their shape and type, and NaN for every number."""

    def __init__(self, plain: torch.nn.Linear) -> None:
        torch.nn.Module.__init__(self)  # without memory for weights of its own
        self.in_features, self.out_features = plain.in_features, plain.out_features
        self._packed = torch.ops.mkldnn._reorder_linear_weight(plain.weight.detach(), ROWS)  # noqa: SLF001 - named so by torch
        self.bias = plain.bias
        empty = torch.full_like(plain.weight[:1, :1], torch.nan).expand(plain.weight.shape)
        self.weight = torch.nn.Parameter(empty, requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return x times the weights, plus the bias."""
        out: torch.Tensor = torch.ops.mkldnn._linear_pointwise(  # noqa: SLF001 - named so by torch
            x, self._packed, self.bias, "none", [], ""
        )
        return out


def pack_linears(model: torch.nn.Module) -> bool:
    """Pack the linear layers of a model on the processor, in place; elsewhere, and where torch has no such layout, nothing happens.

    Returns: whether the model still computes; one whose own code reads weights beside the layers must be loaded again.
    """
    if not _can_pack():
        return True
    for holder, name, layer in list(_linears(model)):
        if layer.weight.device.type == "cpu" and layer.weight.numel() >= SMALLEST:
            setattr(holder, name, PackedLinear(layer))
    return _is_sound(model)


def _is_sound(model: Any) -> bool:
    """Return whether a model reads some tokens, and then one more, without meeting the NaN of a packed layer."""
    ids = torch.arange(4, device=model.device)[None]
    with torch.inference_mode():
        read = model(input_ids=ids, use_cache=True)
        more = model(input_ids=ids[:, :1], past_key_values=read.past_key_values, use_cache=True)
    return bool(read.logits.isfinite().all() and more.logits.isfinite().all())


@cache
def _can_pack() -> bool:
    """Return whether torch packs and multiplies here, by trying it: the calls are torch's own compiler's."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    plain = torch.nn.Linear(2, 2, bias=False).requires_grad_(False)  # noqa: FBT003 - torch's own signature
    try:
        packed = PackedLinear(plain)(torch.ones(1, 2))
    except (AttributeError, RuntimeError, TypeError):
        return False
    return bool(torch.allclose(packed, plain(torch.ones(1, 2))))


def _linears(model: torch.nn.Module) -> Iterator[tuple[torch.nn.Module, str, torch.nn.Linear]]:
    """Yield the plain linear layers, with what holds each and its name there."""
    for holder in model.modules():
        for name, layer in holder.named_children():
            if type(layer) is torch.nn.Linear:
                yield holder, name, layer
