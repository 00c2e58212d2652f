"""The tests of a table: columns that begin with `__` say what is expected, the others are variables."""

import re
from collections.abc import Iterator
from pathlib import Path

from ratchet.core import Json
from ratchet.exchange.losses import Losses
from ratchet.exchange.promptfoo.files import CODE, csv_rows

__all__ = ["KNOWN_KINDS", "assertion_of_cell", "csv_tests"]

KNOWN_KINDS = frozenset(
    [
        "answer-relevance",
        "assert-set",
        "bleu",
        "classifier",
        "contains",
        "contains-all",
        "contains-any",
        "contains-html",
        "contains-json",
        "contains-sql",
        "contains-xml",
        "context-faithfulness",
        "context-recall",
        "context-relevance",
        "conversation-relevance",
        "cost",
        "equals",
        "factuality",
        "finish-reason",
        "g-eval",
        "gleu",
        "guardrails",
        "icontains",
        "icontains-all",
        "icontains-any",
        "is-html",
        "is-json",
        "is-refusal",
        "is-sql",
        "is-valid-function-call",
        "is-valid-openai-function-call",
        "is-valid-openai-tools-call",
        "is-xml",
        "javascript",
        "latency",
        "levenshtein",
        "llm-rubric",
        "meteor",
        "model-graded-closedqa",
        "model-graded-factuality",
        "moderation",
        "perplexity",
        "perplexity-score",
        "pi",
        "python",
        "regex",
        "rouge-n",
        "ruby",
        "search-rubric",
        "similar",
        "similar:cosine",
        "similar:dot",
        "similar:euclidean",
        "starts-with",
        "tool-call-f1",
        "trace-error-spans",
        "trace-span-count",
        "trace-span-duration",
        "webhook",
        "word-count",
    ]
)
"""The types of promptfoo 0.121; a cell that begins with another word and a colon is a text."""
_WITH_THRESHOLD = frozenset(
    [
        "answer-relevance",
        "classifier",
        "context-faithfulness",
        "context-recall",
        "context-relevance",
        "cost",
        "latency",
        "levenshtein",
        "perplexity",
        "perplexity-score",
        "rouge-n",
        "similar",
        "starts-with",
    ]
)
_CELL = re.compile(r"(not-)?([a-z0-9:-]+?)(?:\((\d+(?:\.\d+)?)\))?(?::(.*))?", re.DOTALL)
_CELL_THRESHOLD, _SIMILAR_THRESHOLD = 0.75, 0.8
"""Thresholds of a cell that gives none; in YAML `levenshtein` has another."""
_CONFIG = re.compile(r"__config:__expected(\d*):threshold")
_IGNORED = ("__description", "__expected", "__threshold", "__metric", "__prefix", "__suffix")


def csv_tests(path: Path, losses: Losses) -> Iterator[tuple[str, dict[str, Json]]]:
    """Yield the place and the test of each row.

    Raises: DataError if the file is not CSV.
    """
    for number, row, excess in csv_rows(path):
        where = f"{path.name}:{number}"
        if excess:
            losses.add("cells beyond the header of a table", where)
        yield where, _row_test(row, where, losses)


def _row_test(row: dict[str, str], where: str, losses: Losses) -> dict[str, Json]:
    values = {name: cell for name, cell in row.items() if not _is_special(name)}
    expected = [
        assertion_of_cell(cell.strip())
        for name, cell in row.items()
        if name.startswith("__expected") and cell.strip()
    ]
    for name, cell in row.items():
        if not cell.strip() or not _is_special(name):
            continue
        found = _CONFIG.fullmatch(name)
        index = int(found[1] or 1) - 1 if found else -1
        if found and 0 <= index < len(expected) and _number(cell) is not None:
            expected[index]["threshold"] = _number(cell)
        elif not name.startswith(_IGNORED):
            losses.add(f"column {name}", where)
    metric = row.get("__metric", "").strip()
    test: dict[str, Json] = {
        "vars": values,
        "assert": [{**one, "metric": metric} if metric else one for one in expected],
        "description": row.get("__description", ""),
        "options": {k: row[f"__{k}"] for k in ("prefix", "suffix") if row.get(f"__{k}")},
    }
    if row.get("__threshold", "").strip():
        test["threshold"] = row["__threshold"].strip()
    return test


def _is_special(name: str) -> bool:
    return name.startswith(
        ("__expected", "__config:", "__metadata", *(c for c in _IGNORED), "__providerOutput")
    )


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def assertion_of_cell(cell: str) -> dict[str, Json]:
    """Return the assertion of a cell: `contains: Paris`, `levenshtein(3): Paris`, `is-json`, or a text that is to be equalled."""
    for mark in ("javascript:", "fn:", "eval:"):
        if cell.startswith(mark):
            return {"type": "javascript", "value": cell.removeprefix(mark).strip()}
    for mark in ("grade:", "llm-rubric:"):
        if cell.startswith(mark):
            return {"type": "llm-rubric", "value": cell.removeprefix(mark).strip()}
    if cell.startswith("python:"):
        return {"type": "python", "value": cell.removeprefix("python:").strip()}
    if cell.startswith("file://") and re.search(
        rf"({'|'.join(map(re.escape, CODE))})(:\w+)?$", cell
    ):
        return {"type": "python" if ".py" in cell else "javascript", "value": cell}
    found = _CELL.fullmatch(cell)
    if not found or found[2] not in KNOWN_KINDS:
        return {"type": "equals", "value": cell}
    assertion: dict[str, Json] = {"type": f"{found[1] or ''}{found[2]}"}
    if found[4] is not None:
        assertion["value"] = found[4].strip()
    if found[2] in _WITH_THRESHOLD:
        usual = _SIMILAR_THRESHOLD if found[2] == "similar" else _CELL_THRESHOLD
        assertion["threshold"] = float(found[3]) if found[3] else usual
    return assertion
