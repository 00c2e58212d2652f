"""TREC's plain-text forms: judgements of relevance (qrels), and rankings that were made elsewhere (runs).

A line of qrels is `query 0 document grade`, as trec_eval reads it, or `query document grade`, as BEIR writes it; a line of a run is
`query Q0 document rank score tag`. Columns are parted by tabs or spaces.
"""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ratchet.core.errors import DataError

__all__ = ["ID_NAMES", "Run", "read_lines", "read_qrels", "read_run", "read_topics"]

HEADER_ENDS = ("score", "rel", "relevance", "grade", "label")
ID_NAMES = ("id", "_id", "qid", "query_id")
TEXT_NAMES = ("query", "text", "title")


@dataclass(frozen=True)
class Run:
    """Rankings of one system: documents of each query, the best first."""

    tag: str
    rankings: Mapping[str, list[str]]


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines that hold something, each with its number.

    Raises: DataError if the file cannot be read as UTF-8.
    """
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line.rstrip("\r")


def split_columns(line: str, counts: tuple[int, ...]) -> list[str]:
    """Return the columns of a line: parted by tabs where that gives one of the counts, so that a name may hold spaces."""
    by_tabs = [part.strip() for part in line.split("\t")]
    return by_tabs if len(by_tabs) in counts else line.split()


def read_qrels(path: Path) -> dict[str, dict[str, int]]:
    """Return the grades of each query's documents.

    Raises: DataError if a line is none of qrels, or judges a document a second time and otherwise.
    """
    grades: dict[str, dict[str, int]] = {}
    for number, line in read_lines(path):
        parts = split_columns(line, (3, 4))
        if number == 1 and parts[-1].casefold() in HEADER_ENDS:
            continue
        grade = whole_number(parts[-1]) if len(parts) in (3, 4) else None
        if grade is None:
            raise DataError(
                f"{path}, line {number}: a line of judgements is 'query 0 document grade', the grade a whole number, "
                f'or {{"query": …, "relevant": [source, …]}}; got {line[:100]!r}'
            )
        query, document = parts[0], parts[-2]
        before = grades.setdefault(query, {}).setdefault(document, grade)
        if before != grade:
            raise DataError(
                f"{path}, line {number}: document {document!r} of query {query!r} was judged {before} before, and {grade} here; leave one of them"
            )
    return grades


def whole_number(text: str) -> int | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return int(number) if math.isfinite(number) and number.is_integer() else None


def read_run(path: Path) -> Run:
    """Return the rankings of a run: by score, the highest first, and of equal scores the last name first, whatever the ranks say.

    That is trec_eval's order, which holds scores in single precision.

    Raises: DataError if a line is none of a run, or a query has a document twice, or there is no line.
    """
    scores: dict[str, dict[str, np.float32]] = {}
    tags = Counter[str]()
    for number, line in read_lines(path):
        parts = split_columns(line, (6,))
        score = finite_number(parts[4]) if len(parts) == 6 else None
        if score is None:
            raise DataError(
                f"{path}, line {number}: a line of a run is 'query Q0 document rank score tag', the score a number; got {line[:100]!r}"
            )
        query, document = parts[0], parts[2]
        ranked = scores.setdefault(query, {})
        if document in ranked:
            raise DataError(
                f"{path}, line {number}: query {query!r} has document {document!r} a second time; a ranking has each document once"
            )
        with np.errstate(over="ignore"):
            ranked[document] = np.float32(score)
        tags[parts[5]] += 1
    if not scores:
        raise DataError(f"{path} has no rankings")
    rankings = {query: by_score(ranked) for query, ranked in scores.items()}
    return Run(next(iter(tags)) if len(tags) == 1 else path.stem, rankings)


def by_score(scores: Mapping[str, np.float32]) -> list[str]:
    """Return documents in trec_eval's order."""
    return sorted(scores, key=lambda name: (scores[name], name), reverse=True)


def finite_number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def read_topics(path: Path) -> dict[str, str]:
    """Return the text of each query: of lines `id<tab>text`, or of JSON objects with an id and a text.

    Raises: DataError if a line is neither, or an id comes twice.
    """
    topics: dict[str, str] = {}
    for number, line in read_lines(path):
        pair = json_topic(line) if line.lstrip().startswith("{") else tabbed_topic(line)
        if pair is None:
            raise DataError(
                f'{path}, line {number}: a query is \'id<tab>text\', or {{"id": …, "text": …}}; got {line[:100]!r}'
            )
        if pair[0] in topics:
            raise DataError(f"{path}, line {number}: query {pair[0]!r} comes a second time")
        topics[pair[0]] = pair[1]
    return topics


def tabbed_topic(line: str) -> tuple[str, str] | None:
    name, tab, text = line.partition("\t")
    return (name.strip(), text.strip()) if tab and name.strip() and text.strip() else None


def json_topic(line: str) -> tuple[str, str] | None:
    try:
        body = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict):
        return None
    name = next((body[key] for key in ID_NAMES if key in body), None)
    text = next((body[key] for key in TEXT_NAMES if isinstance(body.get(key), str)), None)
    return None if name is None or text is None else (str(name), text)
