"""Forms that published sets come in, as plain rows: SQuAD's paragraphs, and CoNLL's tokens with tags."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from ratchet.core import Json
from ratchet.core.errors import DataError
from ratchet.data.records import BadRow, Row

__all__ = ["UNANSWERABLE", "conll_rows", "flat_answers", "has_paragraphs", "is_conll", "squad_rows"]

UNANSWERABLE = "unanswerable"
"""The answer to a question that its paragraph does not hold."""
TAG = re.compile(r"O|[BIESLU]-\S+")
MIN_TITLES = 3
"""Fewer articles cannot be divided into three parts; then each paragraph is a group of its own."""
SNIFFED_LINES = 200


def has_paragraphs(value: Json) -> bool:
    """Return whether a value is SQuAD's list of articles."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(a, dict) and isinstance(a.get("paragraphs"), list) for a in value)
    )


def squad_rows(articles: Iterable[Mapping[str, Json]]) -> Iterator[Json]:
    """Yield a row for each question of SQuAD's articles: id, document_id, context, question, answers."""
    articles = list(articles)
    has_titles = len({str(article.get("title")) for article in articles}) >= MIN_TITLES
    for number, article in enumerate(articles):
        title = str(article.get("title") or number)
        for place, paragraph in enumerate(article["paragraphs"]):
            if not isinstance(paragraph, dict) or not isinstance(paragraph.get("qas"), list):
                yield paragraph
                continue
            for question in paragraph["qas"]:
                if not isinstance(question, dict):
                    yield question
                    continue
                answers = question.get("answers")
                texts = [a.get("text") for a in answers or () if isinstance(a, dict)]
                yield {
                    "id": question.get("id"),
                    "document_id": title if has_titles else f"{title}, paragraph {place + 1}",
                    "context": paragraph.get("context"),
                    "question": question.get("question"),
                    "answers": None if answers is None else {"text": texts},
                    "is_impossible": bool(question.get("is_impossible")),
                }


def flat_answers(cells: dict[str, Json]) -> dict[str, Json]:
    """Return a row whose `answers` are SQuAD's, with one `answer` in their place: the text that most people gave.

    A question that is marked as impossible, or whose list is empty, has the answer "unanswerable".
    """
    answers = cells.get("answers")
    texts = answers.get("text") if isinstance(answers, dict) else None
    if not isinstance(texts, list) or "question" not in cells or "answer" in cells:
        return cells
    given = [text for text in texts if isinstance(text, str) and text.strip()]
    if given and not cells.get("is_impossible"):
        most = Counter(given).most_common()
        answer = min((text for text, count in most if count == most[0][1]), key=len)
    else:
        answer = UNANSWERABLE
    rest = {name: cell for name, cell in cells.items() if name not in ("answers", "is_impossible")}
    return {**rest, "answer": answer}


def is_conll(path: Path, encoding: str) -> bool:
    """Return whether a text file holds a token and its tag a line, with empty lines between sentences."""
    tagged = blank = 0
    with path.open(encoding=encoding) as file:
        for _, line in zip(range(SNIFFED_LINES), file, strict=False):
            parts = line.split()
            if not parts:
                blank += 1
            elif len(parts) < 2 or not TAG.fullmatch(parts[-1]):
                if not line.startswith(("-DOCSTART-", "#")):
                    return False
            else:
                tagged += 1
    return tagged > 0 and (blank > 0 or tagged < SNIFFED_LINES)


def conll_rows(path: Path, encoding: str) -> Iterator[Row | BadRow]:
    """Yield a row for each sentence: `text`, its tokens with a space between, and `spans`, each with `text` and `label`.

    Raises: DataError if there is no sentence.
    """
    number = 0
    with path.open(encoding=encoding) as file:
        for start, sentence in sentences(file):
            number += 1
            wrong = [
                n
                for n, parts in enumerate(sentence)
                if len(parts) < 2 or not TAG.fullmatch(parts[-1])
            ]
            if wrong:
                yield BadRow(
                    number,
                    f"line {start + wrong[0]}: expected a token and its tag, such as B-PER or O, got {' '.join(sentence[wrong[0]])!r}",
                )
                continue
            tokens = [parts[0] for parts in sentence]
            spans = [
                {"text": " ".join(tokens[first:last]), "label": label}
                for first, last, label in spans_of([parts[-1] for parts in sentence])
            ]
            yield Row(number, {"text": " ".join(tokens), "spans": spans}, ("text",))
    if not number:
        raise DataError(f"{path}: there is no sentence in it")


def sentences(lines: Iterable[str]) -> Iterator[tuple[int, list[list[str]]]]:
    """Yield each sentence's first line and the words of its lines."""
    current: list[list[str]] = []
    start = 1
    for number, line in enumerate(lines, start=1):
        parts = line.split()
        if (
            parts
            and not line.startswith("-DOCSTART-")
            and not (line.startswith("#") and len(parts) != 2)
        ):
            start = start if current else number
            current.append(parts)
        elif current:
            yield start, current
            current = []
    if current:
        yield start, current


def spans_of(tags: list[str]) -> Iterator[tuple[int, int, str]]:
    """Yield first token, end and label of each span; an I without its B begins one, as IOB1 has it."""
    first, label = 0, ""
    for place, tag in enumerate([*tags, "O"]):
        head, _, name = tag.partition("-")
        if label and (head in "OBSU" or name != label):
            yield first, place, label
            label = ""
        if head != "O" and not label:
            first, label = place, name
        if label and head in "ESLU":
            yield first, place + 1, label
            label = ""
