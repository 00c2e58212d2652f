"""What the rows of a running batch have read: keys and values that grow in place, and caches whose rows can be put beside each other."""

import torch
from transformers.cache_utils import (
    Cache,
    DynamicLayer,
    LinearAttentionAndFullAttentionLayer,
    LinearAttentionLayer,
)

__all__ = ["are_joinable", "cut", "put_beside", "with_room"]

ROOM = 64
"""Tokens that there is room for before keys and values are copied again."""


class Room:
    """A tensor of shape (rows, heads, tokens, size) that takes more tokens without being copied each time."""

    def __init__(self) -> None:
        self._whole: torch.Tensor | None = None
        self._taken: torch.Tensor | None = None
        """What of it is in use, a view."""

    def grown(self, states: torch.Tensor, more: torch.Tensor) -> torch.Tensor:
        """Return the states with more tokens behind them; those that are not the last ones from here are copied once."""
        length, end = states.shape[2], states.shape[2] + more.shape[2]
        if self._whole is None or states is not self._taken or end > self._whole.shape[2]:
            self._whole = more.new_empty((*more.shape[:2], end + ROOM, more.shape[3]))
            self._whole[:, :, :length] = states
        self._whole[:, :, length:end] = more
        self._taken = self._whole[:, :, :end]
        return self._taken


class RoomyLayer(DynamicLayer):  # type: ignore[misc]  # untyped base
    """A layer with room behind its keys and values: transformers' own takes new memory for all of them at each token, which was half of decoding."""

    def __init__(self, read: DynamicLayer) -> None:
        super().__init__()
        self.lazy_initialization(read.keys, read.values)
        self.keys, self.values = read.keys, read.values
        self._rooms = Room(), Room()

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: object, **__: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Take more tokens, and return all."""
        self.keys = self._rooms[0].grown(self.keys, key_states)
        self.values = self._rooms[1].grown(self.values, value_states)
        return self.keys, self.values


JOINABLE = {DynamicLayer, RoomyLayer, LinearAttentionLayer, LinearAttentionAndFullAttentionLayer}
"""Layers whose rows can be put beside those of another one."""


def with_room(cache: Cache) -> Cache:
    """Return the cache of rows that have been read, made ready for the tokens to come."""
    for place, layer in enumerate(cache.layers):
        if type(layer) is DynamicLayer and layer.is_initialized:
            cache.layers[place] = RoomyLayer(layer)
    return cache


def are_joinable(cache: Cache | None) -> bool:
    """Return whether rows can be put beside those of a cache."""
    return cache is None or all(type(layer) in JOINABLE for layer in cache.layers)


def put_beside(mine: Cache, new: Cache, width: int) -> None:
    """Put the rows of a cache below those of another one, both filled up on the left to `width` tokens."""
    for layer, more in zip(mine.layers, new.layers, strict=True):
        if (
            isinstance(layer, DynamicLayer)
            and isinstance(more, DynamicLayer)
            and more.is_initialized
        ):
            layer.keys = torch.cat([filled(layer.keys, width), filled(more.keys, width)])
            layer.values = torch.cat([filled(layer.values, width), filled(more.values, width)])
        if isinstance(layer, LinearAttentionLayer) and isinstance(more, LinearAttentionLayer):
            for states, others in (
                (layer.conv_states, more.conv_states),
                (layer.recurrent_states, more.recurrent_states),
            ):
                for place, state in states.items():
                    if state is not None:
                        states[place] = torch.cat([state, others[place]])


def cut(cache: Cache, tokens: int) -> None:
    """Leave the first tokens out."""
    for layer in cache.layers:
        if isinstance(layer, DynamicLayer):
            layer.keys, layer.values = layer.keys[:, :, tokens:], layer.values[:, :, tokens:]


def filled(states: torch.Tensor, width: int) -> torch.Tensor:
    """Return keys or values with zeros on the left, from shape (rows, heads, tokens, size) to (rows, heads, width, size)."""
    return torch.nn.functional.pad(states, (0, 0, width - states.shape[2], 0))
