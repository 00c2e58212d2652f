"""Knowledge bases: immutable versions of lists of passages, and the vectors of passages, each made once a model."""

from collections.abc import Sequence

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from ratchet.core import Chunking, Knowledge, Passage, content_id
from ratchet.core.errors import DataError, did_you_mean
from ratchet.store.database import add_rows, connect, transaction
from ratchet.store.tables import knowledge, knowledge_passages, passages, vectors
from ratchet.store.trials import now

__all__ = [
    "add_knowledge",
    "add_vectors",
    "find_knowledge",
    "find_passages",
    "list_knowledge",
    "load_passages",
    "load_vectors",
    "passage_row",
    "without_vectors",
]

BATCH = 1000


def add_knowledge(
    engine: sa.Engine,
    name: str,
    found: Sequence[Passage],
    chunking: Chunking,
    *,
    cut_from: str = "",
) -> Knowledge:
    """Store a new version, whole or not at all; the same passages as the newest are the version that is there."""
    identity = content_id("k", [one.id for one in found])
    with transaction(engine) as connection:
        last = connection.execute(
            sa.select(knowledge.c.body)
            .where(knowledge.c.name == name)
            .order_by(knowledge.c.version.desc())
            .limit(1)
        ).scalar()
        before = Knowledge.model_validate_json(last) if last else None
        if before and (before.id, before.chunking) == (identity, chunking):
            return before
        new = Knowledge(
            name=name,
            version=before.version + 1 if before else 1,
            id=identity,
            passages=len(found),
            sources=len({one.source for one in found}),
            chunking=chunking,
            cut_from=cut_from,
        )
        connection.execute(
            sa.insert(knowledge).values(
                name=name,
                version=new.version,
                id=identity,
                created_at=now(),
                body=new.model_dump_json(),
            )
        )
        add_rows(connection, passages, [passage_row(one) for one in {one.id: one for one in found}.values()])  # fmt: skip
        places = [
            {"knowledge_id": identity, "position": k, "passage_id": one.id}
            for k, one in enumerate(found)
        ]
        add_rows(connection, knowledge_passages, places)
    return new


def passage_row(passage: Passage) -> dict[str, object]:
    """Return what is stored of a passage."""
    return {"id": passage.id, "body": passage.model_dump_json(exclude_defaults=True)}


def find_passages(engine: sa.Engine, ids: Sequence[str]) -> dict[str, Passage]:
    """Return passages by their ids, those that are there."""
    found: dict[str, Passage] = {}
    with connect(engine) as connection:
        for start in range(0, len(ids), BATCH):
            query = sa.select(passages).where(passages.c.id.in_(ids[start : start + BATCH]))
            found |= {row.id: Passage.model_validate_json(row.body) for row in connection.execute(query)}  # fmt: skip
    return found


def list_knowledge(engine: sa.Engine) -> list[Knowledge]:
    """Return all versions, by name, the newest first."""
    query = sa.select(knowledge.c.body).order_by(knowledge.c.name, knowledge.c.version.desc())
    with connect(engine) as connection:
        return [Knowledge.model_validate_json(row.body) for row in connection.execute(query)]


def find_knowledge(engine: sa.Engine, name: str) -> Knowledge:
    """Return a version: `docs` is the newest of that name, `docs@2` the second, an id itself.

    Raises: DataError if there is none.
    """
    plain, _, version = name.partition("@")
    every = list_knowledge(engine)
    found = [
        one
        for one in every
        if name == one.id or (one.name == plain and version in ("", str(one.version)))
    ]
    if not found:
        names = list(dict.fromkeys(one.name for one in every))
        listed = f"there are {', '.join(names)}" if names else "there is none yet"
        raise DataError(
            f"no knowledge base {name!r}; {listed}.{did_you_mean(plain, names)} Add one with: ratchet knowledge add FOLDER --name NAME"
        )
    return found[0]


def load_passages(
    engine: sa.Engine, version: Knowledge, *, limit: int | None = None
) -> list[Passage]:
    """Return the passages of a version, in order; with a limit the first so many."""
    query = (
        sa.select(passages.c.body)
        .join(knowledge_passages, knowledge_passages.c.passage_id == passages.c.id)
        .where(knowledge_passages.c.knowledge_id == version.id)
        .order_by(knowledge_passages.c.position)
        .limit(limit)
    )
    with connect(engine) as connection:
        return [Passage.model_validate_json(row.body) for row in connection.execute(query)]


def add_vectors(
    engine: sa.Engine, embedding: str, found: Sequence[Passage], rows: NDArray[np.float32]
) -> None:
    """Store the vectors of passages, shape (passages, dimensions)."""
    made = [
        {"passage_id": one.id, "embedding": embedding, "vector": row.astype("<f4").tobytes()}
        for one, row in zip(found, rows, strict=True)
    ]
    with transaction(engine) as connection:
        add_rows(connection, vectors, made)


def without_vectors(engine: sa.Engine, embedding: str, found: Sequence[Passage]) -> list[Passage]:
    """Return the passages that have no vector by that model yet, each once."""
    ids = list({one.id for one in found})
    known: set[str] = set()
    with connect(engine) as connection:
        for start in range(0, len(ids), BATCH):
            query = sa.select(vectors.c.passage_id).where(
                vectors.c.embedding == embedding,
                vectors.c.passage_id.in_(ids[start : start + BATCH]),
            )
            known |= {row.passage_id for row in connection.execute(query)}
    return list({one.id: one for one in found if one.id not in known}.values())


def load_vectors(
    engine: sa.Engine, embedding: str, version: Knowledge
) -> NDArray[np.float32] | None:
    """Return the vectors of a version's passages in their order, shape (passages, dimensions); None where some are missing."""
    query = (
        sa.select(vectors.c.vector)
        .join(knowledge_passages, knowledge_passages.c.passage_id == vectors.c.passage_id)
        .where(knowledge_passages.c.knowledge_id == version.id, vectors.c.embedding == embedding)
        .order_by(knowledge_passages.c.position)
    )
    with connect(engine) as connection:
        rows = [np.frombuffer(row.vector, "<f4") for row in connection.execute(query)]
    if len(rows) != version.passages or not rows:
        return None
    return np.stack(rows).astype(np.float32)
