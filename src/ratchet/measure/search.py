"""How good a search is: its rankings against judgements of relevance, with intervals over queries."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ratchet.core import Passage
from ratchet.core.errors import DataError
from ratchet.measure.intervals import t_interval
from ratchet.measure.ranking import average_precision, ndcg, precision, recall_at, reciprocal_rank
from ratchet.measure.trec import ID_NAMES, Run, read_lines, read_qrels, read_topics
from ratchet.retrieval import Found, Library, Mode

__all__ = ["JudgedQuery", "judged_queries", "run_scores", "search_scores"]

DEEP = 100
"""So deep a ranking is judged where the metric has no depth of its own."""
SHOWN = 10


@dataclass(frozen=True)
class JudgedQuery:
    """A query, and what is relevant to it: documents by source or title, with grades."""

    query: str
    """Its text; empty where judgements name it by its id alone."""
    grades: dict[str, int]
    id: str = ""
    """By which a run names it."""


def judged_queries(path: Path, topics: Path | None = None) -> list[JudgedQuery]:
    """Return the queries of a file of judgements: JSON lines, or TREC's qrels.

    Args:
        path: The file.
        topics: Where the texts of queries are that `path` names by their ids.
    Raises: DataError if a line is none, there is none, or `topics` lacks a query.
    """
    first = next((line for _, line in read_lines(path)), "")
    queries = (
        list(judged_lines(path))
        if first.lstrip().startswith("{")
        else [JudgedQuery("", grades, name) for name, grades in read_qrels(path).items()]
    )
    if not queries:
        raise DataError(f"{path} has no queries")
    if topics is None:
        return queries
    texts = read_topics(topics)
    lacking = next((one.id for one in queries if not one.query and one.id not in texts), None)
    if lacking is not None:
        raise DataError(f"{topics} has no text of query {lacking!r}, which {path} judges")
    return [replace(one, query=one.query or texts[one.id]) for one in queries]


def judged_lines(path: Path) -> Iterator[JudgedQuery]:
    """Yield the queries of a .jsonl file.

    Raises: DataError if a line is none.
    """
    for number, line in read_lines(path):
        try:
            body = json.loads(line)
            relevant = body["relevant"]
            grades = relevant if isinstance(relevant, dict) else dict.fromkeys(relevant, 1)
            yield JudgedQuery(
                str(body["query"]),
                {str(k): int(v) for k, v in grades.items()},
                str(next((body[key] for key in ID_NAMES if key in body), "")),
            )
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise DataError(
                f'{path}, line {number}: a line is {{"query": …, "relevant": [source, …]}}; {error!r}'
            ) from error


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
    rankings = [
        documents_of(found, one.grades, whole=whole)
        for one, found in zip(queries, hits, strict=True)
    ]
    return score_rankings(rankings, queries, k=k)


def run_scores(
    run: Run, queries: Sequence[JudgedQuery], *, k: int = 10
) -> tuple[dict[str, tuple[float, float, float]], list[str]]:
    """Return each metric's mean over the judged queries for a ranking that was made elsewhere, and what must be said beside it.

    A judged query that the run has no ranking for counts 0, as with trec_eval's option -c: a system is not better for leaving out
    what it finds hard.

    Raises: DataError if judgements have no ids, or the run has none of their queries.
    """
    ids = [one.id for one in queries]
    if "" in ids:
        place = ids.index("") + 1
        raise DataError(
            f'a run names queries by their ids, and judged query {place} has none; write {{"id": …, "query": …, "relevant": …}}, or judgements in TREC\'s form'
        )
    lacking = [name for name in ids if name not in run.rankings]
    if len(lacking) == len(ids):
        theirs = ", ".join(map(repr, list(run.rankings)[:3]))
        raise DataError(
            f"run {run.tag!r} has none of the judged queries: it names {theirs}, the judgements {', '.join(map(repr, ids[:3]))}"
        )
    unjudged = len(run.rankings.keys() - set(ids))
    notes = [
        f"{len(lacking)} judged queries have no ranking in run {run.tag!r}, and count 0: {', '.join(lacking[:SHOWN])}"
        if lacking
        else "",
        f"{unjudged} queries of run {run.tag!r} are not judged, and left out" if unjudged else "",
    ]
    rankings = [run.rankings.get(name, []) for name in ids]
    return score_rankings(rankings, queries, k=k), [note for note in notes if note]


def score_rankings(
    rankings: Sequence[Sequence[str]], queries: Sequence[JudgedQuery], *, k: int
) -> dict[str, tuple[float, float, float]]:
    """Return each metric's mean over queries, with its 95 % interval."""
    names = (f"recall@{k}", f"precision@{k}", "MRR", "MAP", f"nDCG@{k}")
    table = np.array(
        [
            (
                recall_at(ranked, one.grades, k),
                precision(ranked, one.grades, k),
                reciprocal_rank(ranked, one.grades),
                average_precision(ranked, one.grades),
                ndcg(ranked, one.grades, k),
            )
            for ranked, one in zip(rankings, queries, strict=True)
        ]
    )
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
