"""How good a search is: its rankings against judgements of relevance, with intervals over queries."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ratchet.core import Passage
from ratchet.core.errors import DataError
from ratchet.measure.intervals import t_interval
from ratchet.measure.ranking import average_precision, ndcg, precision, recall_at, reciprocal_rank
from ratchet.retrieval import Found, Library, Mode

__all__ = ["JudgedQuery", "judged_queries", "search_scores"]

DEEP = 100
"""So deep a ranking is judged where the metric has no depth of its own."""


@dataclass(frozen=True)
class JudgedQuery:
    """A query, and what is relevant to it: documents by source or title, with grades."""

    query: str
    grades: dict[str, int]


def judged_queries(path: Path) -> list[JudgedQuery]:
    """Return the queries of a .jsonl file.

    Raises: DataError if a line is none, or there is none.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    found = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            body = json.loads(line)
            relevant = body["relevant"]
            grades = relevant if isinstance(relevant, dict) else dict.fromkeys(relevant, 1)
            found.append(
                JudgedQuery(str(body["query"]), {str(k): int(v) for k, v in grades.items()})
            )
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f'{path}, line {number}: a line is {{"query": …, "relevant": [source, …]}}; {error!r}'
            ) from error
    if not found:
        raise DataError(f"{path} has no queries")
    return found


async def search_scores(
    library: Library,
    name: str,
    queries: Sequence[JudgedQuery],
    *,
    mode: Mode,
    k: int = 10,
    embedding: str = "local:minilm",
    language: str = "english",
) -> dict[str, tuple[float, float, float]]:
    """Return each metric's mean over queries, with its 95 % interval."""
    hits = [
        await library.search(
            name, one.query, mode=mode, k=max(k, DEEP), embedding=embedding, language=language
        )
        for one in queries
    ]
    whole = names_whole_documents(hits, queries)
    rows = []
    for one, found in zip(queries, hits, strict=True):
        ranked = documents_of(found, one.grades, whole=whole)
        rows.append(
            (
                recall_at(ranked, one.grades, k),
                precision(ranked, one.grades, k),
                reciprocal_rank(ranked, one.grades),
                average_precision(ranked, one.grades),
                ndcg(ranked, one.grades, k),
            )
        )
    names = (f"recall@{k}", f"precision@{k}", "MRR", "MAP", f"nDCG@{k}")
    table = np.array(rows)
    return {
        figure: (float(column.mean()), *bounds(column))
        for figure, column in zip(names, table.T, strict=True)
    }


def bounds(column: np.ndarray[tuple[int], np.dtype[np.float64]]) -> tuple[float, float]:
    interval = t_interval(column)
    return max(0.0, interval.low), min(1.0, interval.high)


def names_whole_documents(hits: Sequence[Sequence[Found]], queries: Sequence[JudgedQuery]) -> bool:
    """Return whether the judgements name whole documents (files, or their titles), and not rows or sections of them."""
    judged = {name for query in queries for name in query.grades}
    passages = [one.passage for found in hits for one in found]
    return any(not judged.isdisjoint(document_names(passage)) for passage in passages)


def document_names(passage: Passage) -> tuple[str, ...]:
    """Return what judgements may call the document that a passage is from."""
    return passage.source, passage.title, Path(passage.source).name


def documents_of(found: Sequence[Found], grades: dict[str, int], *, whole: bool) -> list[str]:
    """Return the documents of passages, each once at its best place, named as the judgements name them.

    Where judgements name rows or sections, each row or section is a document of its own, judged or not: all that nobody judged
    under one name would count as one, and everything below it stand too high.

    Args:
        found: The passages, the best first.
        grades: The judgements of this query.
        whole: Whether judgements name whole documents.
    """
    ranked: dict[str, None] = {}
    for one in found:
        passage = one.passage
        own = str(passage.meta.get("id", ""))
        names = (*document_names(passage), own, passage.section)
        part = "" if whole else f"#{passage.section}#{own}"
        ranked[next((name for name in names if name in grades), passage.source + part)] = None
    return list(ranked)
