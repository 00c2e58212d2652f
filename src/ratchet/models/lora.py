"""LoRA adapters beside the weights of a local model, many at once: each row of a batch goes through its own.

The rows of a batch are put in groups of equal size, one group an adapter, and all groups are multiplied at once. So a batch of
eight adapters costs two batched multiplications a layer, and no more arithmetic than one adapter does. Files are read as PEFT
writes them (tests/models/test_lora.py compares with PEFT).
"""

from collections import OrderedDict
from collections.abc import Collection, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ratchet.core.errors import DataError, ReplyError
from ratchet.models.adapter_files import read_config, read_tensors
from ratchet.models.adapters import WEIGHTS, adapter_folder

__all__ = ["AdapterBank"]

KEPT = 64
"""So many adapters stay in memory; the one that was longest not asked for goes first."""


class Route:
    """Which adapter each row of the present batch goes through; shared by all layers."""

    def __init__(self) -> None:
        self.names: tuple[str, ...] = ()
        """The adapters of the batch, each once."""
        self.number = 0
        """Changes with `names`, so that what layers keep for them is known to be old."""
        self.places = torch.empty(0, dtype=torch.long)
        """The place in `names` of each row's adapter, -1 for none, shape (rows,)."""
        self.groups: torch.Tensor | None = None
        """The rows of each adapter, the last one repeated where there are fewer, shape (adapters × rows of the largest group,).

        None where all rows go through the same adapter.
        """
        self.is_straight = False
        """The rows stand as the groups do already."""
        self.back = torch.empty(0, dtype=torch.long)
        """Where each row stands in `groups`, shape (rows,)."""
        self.none: torch.Tensor | None = None
        """Rows without an adapter, shape (n,); None where all have one."""

    def set(self, places: torch.Tensor) -> None:
        """Put rows in groups; `places` as the attribute of that name."""
        self.places = places
        self.groups, self.none = None, None
        if not self.names or bool((places == places[0]).all() and places[0] >= 0):
            return
        members = [(places == k).nonzero()[:, 0] for k in range(len(self.names))]
        largest = max(1, *(len(one) for one in members))
        groups = places.new_zeros(len(members), largest)
        self.back = torch.zeros_like(places)
        for k, one in enumerate(members):
            groups[k, : len(one)] = one
            self.back[one] = k * largest + torch.arange(len(one), device=places.device)
        self.groups = groups.flatten()
        none = (places < 0).nonzero()[:, 0]
        self.none = none if len(none) else None
        rows = torch.arange(len(places), device=places.device)
        self.is_straight = self.none is None and torch.equal(self.groups, rows)


class LoraLinear(torch.nn.Module):  # type: ignore[misc]  # untyped base
    """A linear layer, and what adapters add to it."""

    def __init__(self, base: torch.nn.Linear, route: Route) -> None:
        super().__init__()
        self.base, self._route = base, route
        self.pairs: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
        """By adapter: A, shape (rank, in), and B with the scale in it, shape (out, rank)."""
        self._number = -1
        self._stacks: tuple[torch.Tensor, torch.Tensor] | None = None
        """Of the batch's adapters: shapes (adapters, in, rank) and (adapters, rank, out); smaller ranks are filled with zeros."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the layer's output, each row with its adapter; x has shape (rows, tokens, in)."""
        out: torch.Tensor = self.base(x)
        route = self._route
        if not route.names:
            return out
        if route.number != self._number:
            self._lay_out(route)
        if self._stacks is None:
            return out
        down, up = self._stacks
        if route.groups is None:
            place = int(route.places[0]) if len(route.names) > 1 else 0
            return out + x @ down[place] @ up[place]
        if route.is_straight:
            grouped = x.reshape(len(route.names), -1, x.shape[2])
            return out + (grouped @ down @ up).reshape(out.shape)
        grouped = x[route.groups].reshape(len(route.names), -1, x.shape[2])
        added = (grouped @ down @ up).reshape(len(route.groups), x.shape[1], -1)[route.back]
        if route.none is not None:
            added[route.none] = 0
        return out + added

    def _lay_out(self, route: Route) -> None:
        pairs = {k: self.pairs[name] for k, name in enumerate(route.names) if name in self.pairs}
        self._number, self._stacks = route.number, None
        if pairs:
            rank = max(len(a) for a, _ in pairs.values())
            weight = self.base.weight
            down = weight.new_zeros(len(route.names), self.base.in_features, rank)
            up = weight.new_zeros(len(route.names), rank, self.base.out_features)
            for k, (a, b) in pairs.items():
                down[k, :, : len(a)], up[k, : len(a)] = a.T, b.T
            self._stacks = down, up


class AdapterBank:
    """The adapters of one model.

    Args:
        model: Its linear layers are wrapped as adapters for them come.
        folder: Holds adapters by id.
    """

    def __init__(self, model: torch.nn.Module, folder: Path | None) -> None:
        self._model, self._folder = model, folder
        self._route = Route()
        self._layers: dict[str, LoraLinear] = {}
        self._loaded: OrderedDict[str, list[LoraLinear]] = OrderedDict()

    def load(self, adapter: str) -> None:
        """Make an adapter ready.

        Raises: ReplyError if there is none of that id, or it cannot be served.
        """
        if adapter in self._loaded:
            self._loaded.move_to_end(adapter)
            return
        self._loaded[adapter] = self._read(adapter, adapter_folder(self._folder, adapter))

    def forget(self, used: Collection[str | None]) -> None:
        """Let go of the adapters that were longest not asked for, beyond `KEPT`; not of those that are in use."""
        for old in list(self._loaded):
            if len(self._loaded) <= KEPT:
                return
            if old not in used:
                for layer in self._loaded.pop(old):
                    layer.pairs.pop(old, None)

    def route(self, adapters: Sequence[str | None]) -> None:
        """Say which adapter each row goes through next; they must be loaded."""
        names = tuple(dict.fromkeys(name for name in adapters if name))
        if missing := [name for name in names if name not in self._loaded]:
            raise refusal(missing[0], "it is not loaded")  # never the base in its name
        route = self._route
        if names != route.names:
            route.names, route.number = names, route.number + 1
        device = next(self._model.parameters()).device
        places = [names.index(name) if name else -1 for name in adapters]
        route.set(torch.tensor(places, dtype=torch.long, device=device))

    def _read(self, adapter: str, folder: Path) -> list[LoraLinear]:
        """Put an adapter's matrices beside the layers that they are for.

        Raises: ReplyError if it cannot be served as PEFT would; then nothing of it is there.
        """
        try:
            config = read_config(folder)
            found = read_tensors(folder, config)
            tensors = load_file(folder / WEIGHTS)
        except (OSError, SafetensorError, DataError) as error:
            raise refusal(adapter, str(error)) from error
        weight = next(self._model.parameters())
        by_place = {(one.layer, one.side): tensors[one.key] for one in found}
        pairs = []
        for name in sorted({one.layer for one in found}):
            a, b = by_place[name, "A"], by_place[name, "B"]
            layer = self._layer(name)
            if layer is None:
                raise refusal(adapter, f"it is not for this model: there is no layer {name}")
            if a.shape[1] != layer.base.in_features or b.shape[0] != layer.base.out_features:
                raise refusal(adapter, f"it is not for this model: {name} has other sizes")
            if not bool(a.isfinite().all() and b.isfinite().all()):
                raise refusal(adapter, f"the weights of {name} are not all numbers")
            scaled = b.to(torch.float32) * config.scale_of(name)
            pairs.append((layer, (a.to(weight), scaled.to(weight))))
        for layer, pair in pairs:
            layer.pairs[adapter] = pair
        return [layer for layer, _ in pairs]

    def _layer(self, name: str) -> LoraLinear | None:
        """Return the wrapped layer of that name; None where there is no linear layer of that name."""
        if name not in self._layers:
            parent, _, last = name.rpartition(".")
            try:
                holder = self._model.get_submodule(parent)
            except AttributeError:
                return None
            base = getattr(holder, last, None)
            if not isinstance(base, torch.nn.Linear):
                return None
            self._layers[name] = LoraLinear(base, self._route)
            setattr(holder, last, self._layers[name])
        return self._layers[name]


def refusal(adapter: str, reason: str) -> ReplyError:
    """Return the error of an adapter that is not served."""
    return ReplyError(f"the adapter {adapter!r} is not served: {reason}", kind="no adapter")
