"""The workspace's knowledge bases: add documents, embed what is new, and search."""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import sqlalchemy as sa

from ratchet.core import Candidate, Chunking, Json, Knowledge, Passage, Retrieval, content_id
from ratchet.core.errors import DataError, UsageError
from ratchet.models import ModelPool
from ratchet.retrieval.chunk import passages_of
from ratchet.retrieval.near import EXACT, Exact, Graph, Near, Server
from ratchet.retrieval.parse import Document, read_documents
from ratchet.retrieval.search import Found, Index, Mode
from ratchet.store.knowledge import (
    add_knowledge,
    add_vectors,
    find_knowledge,
    list_knowledge,
    load_passages,
    load_vectors,
    without_vectors,
)

__all__ = ["Added", "Library", "add_documents", "pinned"]

RESERVED = ("none", "tables")
"""Where routing may send a query that is no knowledge base."""
BATCH = 256
"""Passages that are embedded at a time, and kept."""


@dataclass(frozen=True, kw_only=True)
class Added:
    """A new version of a knowledge base."""

    knowledge: Knowledge
    new: int
    """Passages that the version before did not have."""
    gone: int
    """Those that it had, and this one has not."""
    problems: list[str] = field(default_factory=list)
    """Files that could not be read, each with its reason."""


def add_documents(
    engine: sa.Engine,
    name: str,
    paths: Sequence[Path],
    *,
    chunking: Chunking | None = None,
    fresh: bool = False,
    root: Path | None = None,
    cut_from: str = "",
) -> Added:
    """Read documents into the next version of a knowledge base; those of the same files are replaced, others stay.

    Args:
        engine: The database.
        name: The knowledge base.
        paths: Files and folders.
        chunking: How they are cut; by default as the version before.
        fresh: Leave out what the version before has from other files.
        root: The workspace's folder: files in it are named from there, so that they are the same from wherever they are added.
        cut_from: The knowledge base whose documents are cut otherwise, where a lever does it.
    Raises: DataError if nothing can be read, or the name cannot be one.
    """
    if name in RESERVED:
        raise DataError(
            f"a knowledge base cannot be named {name!r}: routing means something else by it"
        )
    if not name or not all(c.isalnum() or c in "_-" for c in name):
        raise DataError(f"a knowledge base's name is letters, digits, - and _; got {name!r}")
    known = [one for one in list_knowledge(engine) if one.name == name]
    before = load_passages(engine, known[0]) if known else []
    cutting = chunking or (known[0].chunking if known else Chunking())
    if known and not fresh and cutting != known[0].chunking:
        raise DataError(
            f"{name!r} is cut by {known[0].chunking.by} into {known[0].chunking.size} words; to cut it otherwise add all of it anew, with --fresh"
        )
    found: list[Passage] = []
    problems: list[str] = []
    for path in paths:
        for document in read_documents(path):
            if isinstance(document, str):
                problems.append(document)
            else:
                found += passages_of(named_from(document, root), cutting)
    if not found:
        raise DataError("; ".join(problems) or "there is nothing to add")
    sources = {one.source for one in found}
    kept = [] if fresh else [one for one in before if one.source not in sources]
    whole = list({one.id: one for one in (*kept, *found)}.values())
    version = add_knowledge(engine, name, whole, cutting, cut_from=cut_from)
    old, new = {one.id for one in before}, {one.id for one in whole}
    return Added(knowledge=version, new=len(new - old), gone=len(old - new), problems=problems)


def named_from(document: Document, root: Path | None) -> Document:
    """Return a document under the name that its file has from a folder; one outside keeps its whole path."""
    if root is None:
        return document
    path = Path(document.source).resolve()
    inside = path.is_relative_to(root.resolve())
    return replace(document, source=str(path.relative_to(root.resolve()) if inside else path))


def pinned(engine: sa.Engine, candidate: Candidate) -> Candidate:
    """Return a candidate whose knowledge is named by version: what a name stands for changes, and a candidate does not.

    Raises: DataError if there is no such knowledge base.
    """
    retrieval = candidate.retrieval
    if retrieval is None or not retrieval.knowledge:
        return candidate

    def id_of(name: str) -> str:
        return name if name in RESERVED else find_knowledge(engine, name).id

    parts: dict[str, Json] = retrieval.model_dump()
    parts["knowledge"] = id_of(retrieval.knowledge)
    if routing := retrieval.routing:
        parts["routing"] |= {
            part: {id_of(name): value for name, value in getattr(routing, part).items()}
            for part in ("choices", "questions")
        }
    found = Retrieval.model_validate(parts)
    return (
        candidate if found == retrieval else candidate.changed(retrieval=found, note=candidate.note)
    )


class Library:
    """Knowledge bases, opened once each and searched.

    Args:
        engine: The database.
        pool: Who embeds.
    """

    def __init__(self, engine: sa.Engine, pool: ModelPool) -> None:
        self._engine, self._pool = engine, pool
        self._open: dict[tuple[str, str | None, str], Index] = {}
        self._versions: dict[str, Knowledge] = {}
        self._opening = asyncio.Lock()

    @classmethod
    def of(cls, pool: ModelPool) -> "Library":
        """Return the library of a pool's database; it lives as long as the pool.

        Raises: UsageError if the pool has no database.
        """
        if pool.engine is None:
            raise UsageError(
                "there is no workspace, so no knowledge base; make one with: ratchet init"
            )
        library: Library = pool.kept.setdefault("library", cls(pool.engine, pool))
        return library

    async def embed(
        self, version: Knowledge, embedding: str, *, watch: Callable[[int, int], None] | None = None
    ) -> int:
        """Embed the passages of a version that have no vector yet, and return how many those were; what is done is kept.

        Raises: UnknownModelError or ReplyError if nobody embeds.
        """
        missing = without_vectors(self._engine, embedding, load_passages(self._engine, version))
        model = self._pool.embedder(embedding) if missing else None
        for start in range(0, len(missing), BATCH):
            some = missing[start : start + BATCH]
            assert model is not None  # there is something to embed
            rows, _ = await model.embed([one.searched for one in some])
            add_vectors(self._engine, embedding, some, rows)
            if watch:
                watch(start + len(some), len(missing))
        return len(missing)

    async def search(
        self,
        name: str,
        query: str,
        *,
        mode: Mode = "hybrid",
        k: int = 5,
        embedding: str = "local:minilm",
        weight: float = 0.5,
        where: Mapping[str, Json] | None = None,
        language: str = "english",
    ) -> list[Found]:
        """Return the passages of a knowledge base that fit a query best; passages that have no vector yet are embedded first.

        Raises: DataError if there is no such knowledge base.
        """
        version = await self.version(name)
        index = await self.index(version, None if mode == "lexical" else embedding, language)
        vector = None
        if mode != "lexical":
            (vector,), _ = await self._pool.embedder(embedding).embed([query])
        look = partial(index.search, mode=mode, k=k, vector=vector, weight=weight, where=where)
        return await asyncio.to_thread(look, query)  # some milliseconds, or a server's

    async def version(self, name: str) -> Knowledge:
        """Return the version that a name stands for now.

        Raises: DataError if there is no such knowledge base.
        """
        known = self._versions.get(name)
        if known is None:
            known = await asyncio.to_thread(find_knowledge, self._engine, name)
            if name == known.id:  # it stands for the same for ever
                self._versions[name] = known
        return known

    async def index(
        self, version: Knowledge, embedding: str | None, language: str = "english"
    ) -> Index:
        """Return the index of a version, with vectors where a model for them is named."""
        key = (version.id, embedding, language)
        async with self._opening:
            if key not in self._open:
                if embedding is not None:
                    await self.embed(version, embedding)
                self._open[key] = await asyncio.to_thread(self._read, version, embedding, language)
        return self._open[key]

    def _read(self, version: Knowledge, embedding: str | None, language: str) -> Index:
        passages = load_passages(self._engine, version)
        near = self._near(version, embedding, passages) if embedding else None
        return Index(passages, near, language=language).ready()

    def _near(self, version: Knowledge, embedding: str, passages: list[Passage]) -> Near | None:
        """Return who finds the nearest vectors: the server that the workspace names, else this machine."""
        name, search = content_id("g", [version.id, embedding]), self._pool.search
        if search and search.server:
            key = os.environ.get(search.key_env) if search.key_env else None
            rows_of = partial(load_vectors, self._engine, embedding, version)
            return Server(search.server, f"ratchet-{name}", passages, rows_of, key=key)
        rows = load_vectors(self._engine, embedding, version)
        if rows is None:
            return None
        if self._pool.files and len(rows) > EXACT:
            return Graph(rows, self._pool.files / "indexes" / f"{name}.usearch")
        return Exact(rows)
