"""Put what was found into another order: by a cross-encoder that reads query and passage together, or by date.

Also: fuse several rankings into one (reciprocal rank fusion: Cormack, Clarke and Büttcher 2009).
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ratchet.core import Passage
from ratchet.core.errors import UnknownModelError
from ratchet.models.loading import LOADING
from ratchet.retrieval.search import FUSED, Found

__all__ = ["CrossEncoder", "fused", "newest"]

BATCH = 32


def fused(rankings: Sequence[Sequence[Found]]) -> list[Found]:
    """Return one ranking of several, by the sum of reciprocal ranks; ties in the order of the first ranking."""
    scores: dict[str, float] = {}
    passages: dict[str, Passage] = {}
    for ranking in rankings:
        for rank, one in enumerate(ranking, start=1):
            passages.setdefault(one.passage.id, one.passage)
            scores[one.passage.id] = scores.get(one.passage.id, 0.0) + 1 / (FUSED + rank)
    order = sorted(scores, key=lambda name: -scores[name])
    return [Found(passages[name], scores[name]) for name in order]


def newest(found: Sequence[Found]) -> list[Found]:
    """Return what was found by date, newest first; passages without one come last, and equals as they were."""
    return sorted(found, key=lambda one: one.passage.date or "", reverse=True)


class CrossEncoder:
    """A sequence classifier of transformers that reads query and passage together.

    Args:
        folder: With the model; its first (or only) output is how well the passage fits, or its last where there are several.
    Raises: UnknownModelError if the folder holds none.
    """

    def __init__(self, folder: Path) -> None:
        if not (folder / "config.json").is_file():
            raise UnknownModelError(
                f"{folder} holds no config.json; a cross-encoder is a folder with a sequence classifier that transformers can load"
            )
        self._folder = folder
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ratchet-rerank")
        self._model: Any = None
        self._tokenizer: Any = None

    async def order(self, query: str, found: Sequence[Found]) -> list[Found]:
        """Return what was found, the best first, with the model's scores; equals as they were."""
        texts = [one.passage.searched for one in found]
        loop = asyncio.get_running_loop()
        scores = await loop.run_in_executor(self._thread, self._scores, query, texts)
        places = sorted(range(len(found)), key=lambda place: -scores[place])
        return [Found(found[place].passage, scores[place]) for place in places]

    async def close(self) -> None:
        """Let go of the weights."""
        self._thread.shutdown()
        self._model = None

    def _scores(self, query: str, texts: list[str]) -> list[float]:
        import torch  # the extra 'local'
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        if self._model is None:
            self._tokenizer = AutoTokenizer.from_pretrained(self._folder, local_files_only=True)
            with LOADING:
                self._model = AutoModelForSequenceClassification.from_pretrained(
                    self._folder, local_files_only=True
                ).eval()
        longest = min(self._tokenizer.model_max_length, self._model.config.max_position_embeddings)
        scores: list[float] = []
        for start in range(0, len(texts), BATCH):
            some = texts[start : start + BATCH]
            batch = self._tokenizer(
                [query] * len(some),
                some,
                padding=True,
                truncation="longest_first",
                max_length=longest,
                return_tensors="pt",
            )
            with torch.inference_mode():
                scores += self._model(**batch).logits[:, -1].float().tolist()
        return scores
