"""Files as people have them, generated: whatever the importer accepts comes in whole, and can be shown and planned."""

import csv
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.proof.claim import Outcome, Rng, runs_of

from ratchet.answer import Prompt, starting_candidate
from ratchet.core import Budget, Example, Task
from ratchet.core.errors import RatchetError
from ratchet.data import (
    Guess,
    ImportReport,
    good_rows,
    guess_columns,
    guess_task,
    split_examples,
    survey_rows,
    to_examples,
)
from ratchet.ladder import metric_of
from ratchet.measure import Bench, plan
from ratchet.testing import ScriptedModel

__all__ = ["failure_of", "imports", "write_file"]

NAMES = (
    "text", "label", "labels", "schema", "instructions", "this", "else", "absent", "passages", "input", "output", "answer",
    "reference", "Question 1", "Question-1", "question_1", "a b", "a-b", "{{x}}", "\\{{y}}", "2nd", "Übersicht", "текст", "id",
    "ID", "key", "group", "user_id", "source", "target", "split", "tool", "summary", "price", "zip code", "version", "class",
    "Unnamed: 0", "system", "message", "context", "question", "answers", "metadata", "name, first", "???", "[bold]", "spans",
)  # fmt: skip
WORDS = (
    "order", "{{Order Number}}", "refund", "{{", "}}", "\\{{a}}", "C:\\temp\\", "naïve", "日本語", "👋", 'he said "no"', "a;b", "a,b",
    "1,5", "NaN", "null", "#5", "{x}", "[1]", "<b>", "it's", "100 %", "line\nbreak", "tab\there", "-", "'", '"', "{{#if x}}", "####",
)  # fmt: skip
LABELS = ("Spam", "spam", "ham", "Ham", "not spam", "0", "1", "1.0", "yes", "n/a", "A", "true")
FORMATS = (
    "csv",
    "csv",
    "csv;",
    "tsv",
    "jsonl",
    "jsonl",
    "json",
    "data",
    "columns",
    "parquet",
    "chat",
    "xlsx",
)

Column = Callable[[Random, int], Any]


def text(random: Random, _: int) -> str:
    return " ".join(random.choices(WORDS, k=random.randint(1, 9)))


def mixed(random: Random, row: int) -> Any:
    """Return a number in some rows, a text, a list or an object in others."""
    values = [row, row / 4, text(random, row), [row, 5, "PER"], {"a": row, "b": None}, None, True]
    return random.choice(values)


def body(random: Random, row: int) -> Any:
    value = {"city": text(random, row), "n": random.choice([row, str(row), None, row / 2])}
    if random.random() < 0.3:
        value["late" if row > 20 else "tags"] = random.choice([[], ["x"], [1, "x", None], {"k": 1}])
    return value


COLUMNS: tuple[Column, ...] = (
    text,
    text,
    mixed,
    body,
    lambda random, _: random.choice(LABELS),
    lambda _, row: LABELS[min(row // 20, len(LABELS) - 1)],
    lambda _, row: row,
    lambda random, _: str(random.randint(0, 99999)).zfill(5),
    lambda random, _: f"+49{random.randint(10**9, 10**10)}",
    lambda random, _: f"1.{random.randint(0, 20)}",
    lambda random, _: 10**17 + random.randint(0, 9**9),
    lambda random, _: round(random.uniform(-1000, 1000), 2),
    lambda random, _: float(random.randint(0, 1)),
    lambda random, _: f"{random.randint(1, 99)},{random.randint(0, 999):03}.50",
    lambda random, row: [[0, row, random.choice(["PER", "LOC"])]] * random.randint(0, 2),
    lambda random, row: [{"text": text(random, row), "label": random.choice("ab")}],
    lambda _, row: f"He has {row}.\n#### {row}",
    lambda _, _row: None,
    lambda _, _row: "",
)


def write_file(random: Random, folder: Path) -> Path:
    """Write a file of random columns in a random format, and return where it lies."""
    names = random.sample(NAMES, random.randint(1, 5))
    columns = {name: (random.choice(COLUMNS), random.choice([0, 0, 0, 0.3])) for name in names}
    count = random.choice([1, 2, 3, 12, 40, 40, 260])
    rows = [
        {
            name: None if random.random() < gaps else make(random, number)
            for name, (make, gaps) in columns.items()
        }
        for number in range(count)
    ]
    kind = random.choice(FORMATS)
    return WRITERS.get(kind, write_json)(folder, rows, kind)


def write_csv(folder: Path, rows: list[dict[str, Any]], kind: str) -> Path:
    path = folder / ("rows.tsv" if kind == "tsv" else "rows.csv")
    cells = [
        {n: json.dumps(c) if isinstance(c, list | dict) else c for n, c in row.items()}
        for row in rows
    ]
    separator = {"tsv": "\t", "csv;": ";"}.get(kind, ",")
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=separator)
        writer.writeheader()
        writer.writerows(cells)
    return path


def write_json(folder: Path, rows: list[dict[str, Any]], kind: str) -> Path:
    if kind == "jsonl":
        return written(folder / "rows.jsonl", "\n".join(map(json.dumps, rows)))
    whole: Any = rows
    if kind == "data":
        whole = {"version": 1, "data": rows}
    elif kind == "columns":
        whole = {name: {str(n): row[name] for n, row in enumerate(rows)} for name in rows[0]}
    return written(folder / "rows.json", json.dumps(whole))


def write_chat(folder: Path, rows: list[dict[str, Any]], _kind: str) -> Path:
    """Write the first columns as chats, all with one system prompt, or each with its own."""
    lines = []
    for number, row in enumerate(rows):
        cells = [json.dumps(cell) for cell in row.values()]
        first, last = cells[0], cells[-1]
        system = WORDS[number % len(WORDS)] if len(row) > 3 else "Ask for {{Order Number}}."
        messages = [("developer", system), ("user", first), ("assistant", last)]
        turns = [{"role": role, "content": content} for role, content in messages]
        lines.append(json.dumps({"id": number, "messages": turns[: 2 if number % 7 == 6 else 3]}))
    return written(folder / "chat.jsonl", "\n".join(lines))


def write_table(folder: Path, rows: list[dict[str, Any]], kind: str) -> Path:
    """Write a typed table, whose cells are JSON where a column's types differ."""
    import polars as pl

    try:
        frame = pl.DataFrame(rows, infer_schema_length=None)
        frame.write_parquet(folder / "rows.parquet")
    except (pl.exceptions.PolarsError, TypeError, OverflowError):
        return write_csv(folder, rows, kind)
    return folder / "rows.parquet"


def write_spreadsheet(folder: Path, rows: list[dict[str, Any]], _kind: str) -> Path:
    from openpyxl import Workbook

    book = Workbook()
    sheet: Any = book.active
    sheet.append(list(rows[0]))
    for row in rows:
        sheet.append([json.dumps(c) if isinstance(c, list | dict) else c for c in row.values()])
    book.save(folder / "rows.xlsx")
    return folder / "rows.xlsx"


WRITERS: dict[str, Callable[[Path, list[dict[str, Any]], str], Path]] = {
    "csv": write_csv,
    "csv;": write_csv,
    "tsv": write_csv,
    "chat": write_chat,
    "parquet": write_table,
    "xlsx": write_spreadsheet,
}


def written(path: Path, content: str) -> Path:
    path.write_text(content, "utf-8")
    return path


def failure_of(path: Path) -> tuple[str, str]:
    """Return how the import of a file ends: ("", "") where all is well, ("refused", why), or what failed after the guess, and why."""
    try:
        survey = survey_rows(good_rows(path))
        guess = guess_columns(survey)
    except RatchetError as error:
        return "refused", str(error)
    step = "task"
    try:
        task = guess_task("t", survey, guess, model="m")
        step = "rows"
        examples, report = read_all(path, task, guess)
        count = len(examples) + report.repeated + report.unlabelled
        if count != survey.num_rows or report.skipped:
            return step, f"{count} of {survey.num_rows} rows came in"
        step = "splits"
        placed = split_examples(examples, task.splits)
        step = "show"
        prompt = Prompt(task, starting_candidate(task))
        for example in placed:
            prompt.request(example)
        step = "plan"
        planned(task, placed)
    except (RatchetError, ValueError, TypeError, KeyError, AttributeError) as error:
        if step == "rows" and "was used in row" in str(error):
            return "refused", str(error)  # an id that comes twice is a mistake in the file
        return step, repr(error)
    return "", ""


def read_all(path: Path, task: Task, guess: Guess) -> tuple[list[Example], ImportReport]:
    report = ImportReport()
    rows = good_rows(path)
    return list(to_examples(task, rows, guess, path, report=report)), report


def planned(task: Task, examples: list[Example]) -> None:
    bench = Bench(task=task, metric=metric_of(task, None), engine=None, budget=Budget())
    model = ScriptedModel(lambda _: "")
    plan(bench, starting_candidate(task), model, [e for e in examples if e.split == "dev"])


def imports(rng: Rng, size: float) -> list[Outcome]:
    """Import files of every format, with names and cells that are awkward."""
    runs = runs_of(20_000, size)
    random = Random(int(rng.integers(2**32)))
    failed = refused = 0
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(runs):
            step, _why = failure_of(write_file(random, Path(folder)))
            refused += step == "refused"
            failed += step not in ("", "refused")
    return [
        Outcome("an accepted file fails behind the guess", failed / runs, runs, 0.0, 0.0),
        Outcome("a file is refused, with what to do", refused / runs, runs, 0.0, 0.1),
    ]
