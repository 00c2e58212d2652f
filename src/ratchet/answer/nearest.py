"""Demonstrations that follow the input: of many, those that are most like it (k nearest neighbours by embedding)."""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ratchet.answer.hardness import hardness
from ratchet.core import Demonstration, Json, Nearest, Task
from ratchet.core.records import written
from ratchet.models import Embedder

__all__ = ["CLASSED", "Neighbours", "class_of", "text_of"]

REMEMBERED = 10_000
CLASSED = ("label", "sql")
"""Kinds of answers that have a class."""


class Neighbours:
    """The demonstrations of a candidate, by their inputs or their answers.

    Args:
        task: Whose demonstrations they are.
        demonstrations: To choose from.
        nearest: How.
    """

    def __init__(
        self, task: Task, demonstrations: Sequence[Demonstration], nearest: Nearest
    ) -> None:
        self._inputs = [text_of(one.inputs) for one in demonstrations]
        by_answer = nearest.by == "answer"
        self._texts = [written(one.answer) for one in demonstrations] if by_answer else self._inputs
        self._classes = (
            [class_of(task, one.answer) for one in demonstrations] if nearest.same_class else []
        )
        self._count = nearest.count
        self._vectors: NDArray[np.float32] | None = None
        self._first = asyncio.Lock()
        self._known: OrderedDict[tuple[str, str, str | None], list[int]] = OrderedDict()

    async def of(
        self,
        inputs: Mapping[str, Json],
        embedder: Embedder,
        *,
        draft: str | None = None,
        of_class: str | None = None,
    ) -> list[int]:
        """Return the places of the nearest, the nearest last; one with the very same inputs is left out: it would give the answer away.

        Args:
            inputs: Of the example.
            embedder: Who tells how near two texts are.
            draft: What is compared instead of the inputs: a first answer.
            of_class: Those whose answer is of that class come first; others fill up.
        Raises: ReplyError if the embedder gives no vectors.
        """
        own = text_of(inputs)
        key = (own, draft or own, of_class)
        if key not in self._known:
            async with self._first:
                if self._vectors is None:
                    self._vectors, _ = await embedder.embed(self._texts)
            (vector,), _ = await embedder.embed([key[1]])
            likeness = self._vectors @ vector
            order = [int(k) for k in np.argsort(-likeness, kind="stable") if self._inputs[k] != own]
            if of_class is not None and self._classes:
                order.sort(key=lambda place: self._classes[place] != of_class)
            self._known[key] = order[: self._count][::-1]
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return self._known[key]


def class_of(task: Task, answer: Json) -> str | None:
    """Return the class of an answer: its label, or how hard its query is; None for other kinds."""
    if task.answer.kind == "sql":
        return hardness(str(answer))
    return str(answer) if task.answer.kind == "label" else None


def text_of(inputs: Mapping[str, Json]) -> str:
    """Return the inputs as the text that is embedded."""
    return "\n".join(written(value) for _, value in sorted(inputs.items()))
