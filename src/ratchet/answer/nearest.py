"""Demonstrations that follow the input: of many, those whose inputs are most like it (k nearest neighbours by embedding)."""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ratchet.core import Demonstration, Json
from ratchet.core.records import canonical_json
from ratchet.models import Embedder

__all__ = ["Neighbours", "text_of"]

REMEMBERED = 10_000


class Neighbours:
    """The demonstrations of a candidate, by their inputs.

    Args:
        demonstrations: To choose from.
        count: How many an input gets.
    """

    def __init__(self, demonstrations: Sequence[Demonstration], count: int) -> None:
        self._texts = [text_of(one.inputs) for one in demonstrations]
        self._count = count
        self._vectors: NDArray[np.float32] | None = None
        self._first = asyncio.Lock()
        self._known: OrderedDict[str, list[int]] = OrderedDict()

    async def of(self, inputs: Mapping[str, Json], embedder: Embedder) -> list[int]:
        """Return the places of the nearest, the nearest last; one with the very same inputs is left out: it would give the answer away.

        Raises: ReplyError if the embedder gives no vectors.
        """
        text = text_of(inputs)
        if text not in self._known:
            async with self._first:
                if self._vectors is None:
                    self._vectors, _ = await embedder.embed(self._texts)
            (vector,), _ = await embedder.embed([text])
            likeness = self._vectors @ vector
            order = [int(k) for k in np.argsort(-likeness, kind="stable") if self._texts[k] != text]
            self._known[text] = order[: self._count][::-1]
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return self._known[text]


def text_of(inputs: Mapping[str, Json]) -> str:
    """Return the inputs as the text that is embedded."""
    return "\n".join(
        value if isinstance(value, str) else canonical_json(value)
        for _, value in sorted(inputs.items())
    )
