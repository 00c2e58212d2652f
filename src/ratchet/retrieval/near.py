"""Who finds the vectors that are nearest to a query's: all compared one by one, a graph of neighbours, or a Qdrant server by URL.

The graph is HNSW (Malkov and Yashunin 2018), in usearch, kept in a file. A server holds the vectors of a corpus that outgrows the
machine; a collection is named by what is in it, filled once, and never changed.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ratchet.core import Json, Passage
from ratchet.core.errors import RatchetError, StoreError, UsageError

__all__ = ["EXACT", "Exact", "Graph", "Near", "Places", "Server", "best_places", "value_of"]

EXACT = 50_000
"""Passages that are compared with a query one by one: a few milliseconds."""
WIDE = 200
"""So many neighbours are looked at in the graph, at least: 0.998 of the true ten are found (benchmarks/retrieval)."""
UPLOADED = 500
"""Vectors that are sent to a server at a time."""
Places = list[tuple[int, float]]
"""Places of passages and their cosines, the nearest first."""
Mask = NDArray[np.bool_]


class Near(Protocol):
    """Finds what is nearest to a vector."""

    def ready(self) -> None:
        """Make what searching needs: minutes for a graph, or a server's collection, that is not there yet."""
        ...

    def nearest(
        self, vector: NDArray[np.float32], k: int, allowed: Mask | None, where: Mapping[str, Json]
    ) -> Places:
        """Return the `k` nearest.

        Args:
            vector: Of length 1, shape (dimensions,).
            k: How many.
            allowed: Which passages may be found, shape (passages,); None is all.
            where: What `allowed` was made of, for who filters by itself.
        """
        ...


class Exact:
    """Compare all.

    Args:
        vectors: Of length 1, shape (passages, dimensions).
    """

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        self.vectors = vectors

    def ready(self) -> None:
        """Nothing has to be made."""

    def nearest(
        self, vector: NDArray[np.float32], k: int, allowed: Mask | None, _where: Mapping[str, Json]
    ) -> Places:
        """Return the `k` nearest, ties in the order of the passages."""
        near = self.vectors @ vector
        places = np.arange(len(near)) if allowed is None else np.flatnonzero(allowed)
        return [(place, float(near[place])) for place in best_places(near, places, k)]


class Graph:
    """Look only at neighbours of neighbours; a search with a filter compares all.

    Args:
        vectors: Of length 1, shape (passages, dimensions).
        file: Where the graph is kept; one that does not fit is made anew.
    """

    def __init__(self, vectors: NDArray[np.float32], file: Path) -> None:
        self._exact, self._file = Exact(vectors), file

    def ready(self) -> None:
        """Read or make the graph."""
        _ = self._graph

    def nearest(
        self, vector: NDArray[np.float32], k: int, allowed: Mask | None, where: Mapping[str, Json]
    ) -> Places:
        """Return the `k` nearest, nearly always the true ones."""
        if allowed is not None:
            return self._exact.nearest(vector, k, allowed, where)
        found = self._graph.search(vector, k)
        return [(int(p), 1 - float(d)) for p, d in zip(found.keys, found.distances, strict=True)]

    @cached_property
    def _graph(self) -> Any:
        from usearch.index import Index  # the extra 'knowledge'

        vectors = self._exact.vectors
        if self._file.is_file():
            graph = Index.restore(str(self._file), view=True)
            if graph is not None and len(graph) == len(vectors):
                graph.expansion_search = WIDE  # type: ignore[misc]  # it has a setter, under another decorator
                return graph
        graph = Index(ndim=vectors.shape[1], metric="ip", dtype="f16", expansion_search=WIDE)
        graph.add(np.arange(len(vectors)), vectors)
        self._file.parent.mkdir(parents=True, exist_ok=True)
        half = self._file.with_suffix(".part")
        graph.save(str(half))
        half.replace(self._file)  # a graph that is there is whole
        return graph


class Server:
    """Ask a Qdrant server.

    Args:
        url: Of the server; `:memory:` is one inside this process, for tests.
        collection: Named by its content.
        passages: What filters look at.
        vectors: Returns those of length 1, shape (passages, dimensions), where the collection has to be filled.
        key: The server's, if it wants one.
    Raises: UsageError without the extra.
    """

    def __init__(
        self,
        url: str,
        collection: str,
        passages: Sequence[Passage],
        vectors: Callable[[], NDArray[np.float32] | None],
        *,
        key: str | None = None,
    ) -> None:
        try:
            from qdrant_client import QdrantClient
        except ImportError as missing:
            raise UsageError(
                f"a server for search needs the extra 'qdrant' ({missing}); install it with: pip install 'ratchet[qdrant]'"
            ) from missing
        self._client = (
            QdrantClient(":memory:")
            if url == ":memory:"
            else QdrantClient(url=url, api_key=key, check_compatibility=False)
        )
        self._url, self._collection = url, collection
        self._passages, self._vectors = passages, vectors

    def ready(self) -> None:
        """Fill the collection where it is not there, or not whole.

        Raises: StoreError if the server cannot be reached, or refuses.
        """
        from qdrant_client import models

        try:
            known = self._client.collection_exists(self._collection)
            if known and self._client.count(self._collection).count == len(self._passages):
                return
            vectors = self._vectors()
            if vectors is None:
                raise UsageError("the passages have no vectors yet")
            if not known:
                size = models.VectorParams(size=vectors.shape[1], distance=models.Distance.DOT)
                self._client.create_collection(self._collection, vectors_config=size)
            for start in range(0, len(self._passages), UPLOADED):
                some = range(start, min(start + UPLOADED, len(self._passages)))
                points = [
                    models.PointStruct(
                        id=place,
                        vector=vectors[place].tolist(),
                        payload=payload(self._passages[place]),
                    )
                    for place in some
                ]
                self._client.upsert(self._collection, points, wait=True)
        except RatchetError:
            raise
        except Exception as error:
            raise StoreError(
                f"the search server {self._url} does not answer: {str(error)[:300]}"
            ) from error

    def nearest(
        self, vector: NDArray[np.float32], k: int, _allowed: Mask | None, where: Mapping[str, Json]
    ) -> Places:
        """Return the `k` nearest; the server filters.

        Raises: StoreError if it does not answer.
        """
        from qdrant_client import models

        conditions: list[Any] = [
            models.FieldCondition(key=name, match=models.MatchValue(value=str(value)))
            for name, value in where.items()
        ]
        try:
            found = self._client.query_points(
                self._collection,
                query=vector.tolist(),
                limit=k,
                query_filter=models.Filter(must=conditions) if conditions else None,
            )
        except Exception as error:
            raise StoreError(
                f"the search server {self._url} does not answer: {str(error)[:300]}"
            ) from error
        return [(int(point.id), float(point.score)) for point in found.points]


def best_places(scores: NDArray[np.floating], places: NDArray[np.intp], k: int) -> list[int]:
    """Return the `k` of `places` with the highest scores, ties in their order, without sorting all."""
    if len(places) > 4 * k:
        border = np.partition(scores[places], len(places) - k)[len(places) - k]
        places = places[scores[places] >= border]
    order = places[np.argsort(-scores[places], kind="stable")]
    return [int(place) for place in order[:k]]


def payload(passage: Passage) -> dict[str, str]:
    """Return what a filter may look at, as text."""
    own = {name: value_of(passage, name) for name in ("source", "title", "section", "date")}
    return {name: str(value) for name, value in {**passage.meta, **own}.items()}


def value_of(passage: Passage, name: str) -> Json:
    """Return what a filter looks at."""
    if name in ("source", "title", "section", "date"):
        return getattr(passage, name)
    return passage.meta.get(name)
