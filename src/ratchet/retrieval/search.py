"""Search passages: by words (BM25), by meaning (vectors), or by both, their ranks fused.

Reciprocal rank fusion: Cormack, Clarke and Büttcher (2009), with their constant of 60. `near` says who finds vectors.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from ratchet.core import Json, Passage
from ratchet.core.errors import UsageError
from ratchet.retrieval.near import Near, best_places, value_of
from ratchet.retrieval.words import to_search_text, word_pattern

__all__ = ["Found", "Index", "Mode"]

Mode = Literal["lexical", "dense", "hybrid"]
FUSED = 60
POOL = 100
"""So deep each ranking is taken for fusion, at least."""
K1, B = 0.9, 0.4
"""BM25's, as Anserini sets them for passages."""
LONGEST = 2000
"""Words of a query."""
STOPPED = ("english", "german", "dutch", "french", "spanish", "portuguese", "italian", "russian", "swedish", "norwegian", "chinese", "turkish")  # fmt: skip
"""Languages whose words that say nothing are known."""


@dataclass(frozen=True)
class Found:
    """A passage that was found, and how well it fits; scores of different modes are of different scales."""

    passage: Passage
    score: float


class Index:
    """The passages of a knowledge base, ready to be searched.

    Args:
        passages: What is searched.
        near: Who finds the nearest vectors, for dense and hybrid search.
        language: Of stems and of words that are left out.
    """

    def __init__(
        self,
        passages: Sequence[Passage],
        near: Near | None = None,
        *,
        language: str = "english",
    ) -> None:
        self.passages, self._near, self._language = list(passages), near, language

    def ready(self) -> Self:
        """Make what searching needs, which takes seconds where there is much, and minutes for a graph that is not there yet."""
        _ = self._bm25
        if self._near:
            self._near.ready()
        return self

    def search(
        self,
        query: str,
        *,
        mode: Mode = "hybrid",
        k: int = 5,
        vector: NDArray[np.float32] | None = None,
        weight: float = 0.5,
        where: Mapping[str, Json] | None = None,
    ) -> list[Found]:
        """Return the `k` passages that fit a query best.

        Args:
            query: The words.
            mode: How to search.
            k: How many.
            vector: The query's, shape (dimensions,), for dense and hybrid search.
            weight: Of the dense ranking in a hybrid one, from 0 to 1.
            where: Only passages whose metadata (or source, title, date) have these values.
        Raises: UsageError if vectors are needed, and are not there.
        """
        if not self.passages or k < 1:
            return []
        allowed = self._allowed(where)
        if not allowed.any():
            return []
        if mode == "lexical":
            return self._best(self._lexical(query), allowed, k)
        if self._near is None or vector is None:
            raise UsageError(
                f"{mode} search needs vectors, and there are none; name a model for them with --embedding, or search with --mode lexical"
            )
        mask = allowed if where else None
        if mode == "dense":
            nearest = self._near.nearest(vector, k, mask, where or {})
            return [Found(self.passages[place], score) for place, score in nearest]
        depth = max(POOL, k)
        lexical = self._lexical(query)
        words = best_places(lexical, np.flatnonzero(allowed & (lexical > 0)), depth)
        meaning = [place for place, _ in self._near.nearest(vector, depth, mask, where or {})]
        fused = np.zeros(len(self.passages))
        for places, share in ((words, 1 - weight), (meaning, weight)):
            for rank, place in enumerate(places, start=1):
                fused[place] += share / (FUSED + rank)
        return self._best(fused, allowed, k)

    def _best(
        self, scores: NDArray[np.floating], allowed: NDArray[np.bool_], k: int
    ) -> list[Found]:
        return [
            Found(self.passages[place], float(scores[place]))
            for place in best_places(scores, np.flatnonzero(allowed & (scores > 0)), k)
        ]

    def _lexical(self, query: str) -> NDArray[np.floating]:
        """Return BM25's score of every passage."""
        model, vocabulary = self._bm25
        words = [
            word
            for word in tokens([" ".join(query.split()[:LONGEST])], self._language)[0]
            if word in vocabulary
        ]
        if not words:
            return np.zeros(len(self.passages))
        scores: NDArray[np.floating] = model.get_scores(words)
        return scores

    @cached_property
    def _bm25(self) -> tuple[Any, frozenset[str]]:
        import bm25s  # the extra 'knowledge'

        corpus = tokens([one.searched for one in self.passages], self._language)
        model = bm25s.BM25(method="lucene", k1=K1, b=B)
        if any(corpus):
            model.index(corpus, show_progress=False)
        return model, frozenset(word for words in corpus for word in words)

    def _allowed(self, where: Mapping[str, Json] | None) -> NDArray[np.bool_]:
        if not where:
            return np.ones(len(self.passages), dtype=bool)
        wanted = {name: str(value) for name, value in where.items()}
        return np.array([all(str(value_of(one, name)) == value for name, value in wanted.items()) for one in self.passages])  # fmt: skip

    def around(self, passage: Passage, count: int) -> list[Passage]:
        """Return a passage with up to `count` before it and after it of the same file, in their order."""
        place = self.place(passage)
        near = self.passages[max(0, place - count) : place + count + 1]
        return [one for one in near if one.source == passage.source]

    def values(self, name: str) -> list[str]:
        """Return the values that passages have in a column, the most frequent first."""
        counts = Counter(str(value) for one in self.passages if (value := value_of(one, name)) not in (None, ""))  # fmt: skip
        return [value for value, _ in counts.most_common()]

    def meant(self, name: str) -> list[Passage]:
        """Return the passages that a name stands for: an id, a file (with its folder or without), a title, or a column `id`."""
        return [
            one
            for one in self.passages
            if name in (one.id, one.source, Path(one.source).name, one.title, str(one.meta.get("id", "")))
        ]  # fmt: skip

    def place(self, passage: Passage) -> int:
        """Return where a passage stands among all."""
        return self._places[passage.id]

    @cached_property
    def _places(self) -> dict[str, int]:
        return {one.id: place for place, one in enumerate(self.passages)}


def tokens(texts: list[str], language: str) -> list[list[str]]:
    """Return the stems of texts, without the words that say nothing.

    Raises: UsageError without the extra.
    """
    try:
        import bm25s
        import Stemmer
    except ImportError as missing:
        raise UsageError(
            f"searching needs the extra 'knowledge' ({missing}); install it with: pip install 'ratchet[knowledge]'"
        ) from missing
    if language not in Stemmer.algorithms():
        raise UsageError(
            f"unknown language {language!r}; there are {', '.join(Stemmer.algorithms())}"
        )
    found: list[list[str]] = bm25s.tokenize(
        [to_search_text(text) for text in texts],
        stopwords=language if language in STOPPED else [],
        stemmer=Stemmer.Stemmer(language),
        token_pattern=word_pattern(),
        return_ids=False,
        show_progress=False,
    )
    return found
