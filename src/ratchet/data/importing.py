"""From rows to examples of a task: columns become inputs and a reference in the task's form."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from ratchet.core import Example, Json, Split, Task
from ratchet.core.errors import DataError
from ratchet.core.numerals import parse_number
from ratchet.core.records import canonical_json
from ratchet.data.guess import Guess, field_name, parsed
from ratchet.data.rows import BadRow, Row

__all__ = ["ImportReport", "to_examples"]


SPLIT_NAMES: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "dev": "dev",
    "val": "dev",
    "valid": "dev",
    "validation": "dev",
    "test": "test",
}


@dataclass(kw_only=True)
class ImportReport:
    """What an import met on the way."""

    skipped: list[BadRow] = field(default_factory=list)
    repeated: int = 0
    """Rows whose inputs and answer stood in the file before."""


def to_examples(
    task: Task,
    rows: Iterable[Row],
    guess: Guess,
    path: Path,
    *,
    report: ImportReport,
    skip_bad: bool = False,
) -> Iterator[Example]:
    """Yield an example a row, each content once.

    Raises: DataError if a row has no value for a column, its answer does not fit the task's form, or its id was used before
        with other content; with `skip_bad` such rows are put into `report.skipped`.
    """
    seen: set[str] = set()
    names: dict[str, int] = {}
    for row in rows:
        problem, example, known = None, None, False
        try:
            example = to_example(task, row, guess, path)
            known = example.id in seen  # naming it refuses what JSON cannot hold
            if example.name is not None and example.name in names and not known:
                problem = f"the id {example.name!r} was used in row {names[example.name]} with other content"
        except ValueError as error:
            problem = str(error)
        if problem:
            if not skip_bad:
                raise DataError(
                    f"{path}, row {row.number}: {problem}. Mend the row, or leave such rows out with --skip-bad"
                )
            report.skipped.append(BadRow(row.number, problem))
        elif example:
            if known:
                report.repeated += 1
                continue
            seen.add(example.id)
            if example.name is not None:
                names[example.name] = row.number
            yield example


def to_example(task: Task, row: Row, guess: Guess, path: Path) -> Example:
    columns = {field_name(column): column for column in guess.inputs}
    inputs: dict[str, Json] = {}
    for name in task.input_names:
        column = columns.get(name, name)
        if row.values.get(column) in (None, ""):
            raise ValueError(
                f"column {column!r} is empty or missing; the columns are {', '.join(map(repr, row.values))}"
            )
        inputs[name] = row.values[column]
    said = row.values.get(guess.answer)
    if task.answer.absent is not None and said in (None, ""):
        said = task.answer.absent
    if said is None:
        raise ValueError(
            f"column {guess.answer!r} (the answer) is empty or missing; the columns are {', '.join(map(repr, row.values))}"
        )
    group = row.values.get(guess.group) if guess.group else None
    identity = row.values.get(guess.identity) if guess.identity else None
    return Example(
        inputs=inputs,
        reference=reference(task, said, guess.answer),
        source=f"{path.name}:{row.number}",
        name=None if identity is None else str(identity),
        group=None if group is None else str(group),
        knowledge=needed(row.values.get(guess.knowledge)) if guess.knowledge else (),
        split=split_in(row.values.get(guess.split), guess.split) if guess.split else None,
    )


def needed(value: Json) -> tuple[str, ...]:
    """Return what one must know: a list as it is (also one that is written as JSON), a text as one."""
    body = parsed(value)
    if body in (None, ""):
        return ()
    return tuple(str(one) for one in (body if isinstance(body, list) else [value]))


def split_in(value: Json, column: str) -> Split:
    """Return a split by its name; ValueError where it is none."""
    found = SPLIT_NAMES.get(str(value).strip().lower())
    if found is None:
        raise ValueError(f"column {column!r}: {value!r} is no split; name train, dev or test")
    return found


def reference(task: Task, value: Json, column: str) -> Json:
    """Return the reference in the task's form; ValueError where it does not fit."""
    kind = task.answer.kind
    if kind == "label":
        label = str(value).strip()
        if label not in task.answer.labels:
            raise ValueError(
                f"column {column!r}: {label!r} is none of the labels in the task's file ({len(task.answer.labels)} labels)"
            )
        return label
    if kind == "number":
        number = parse_number(value)
        if number is None:
            raise ValueError(f"column {column!r}: {value!r} is no number")
        return value if isinstance(value, int | float) else number
    if kind in ("json", "tool"):
        body = parsed(value)
        if isinstance(body, list):
            body = {
                next(iter((task.answer.json_schema or {}).get("properties", {column: None}))): body
            }
        if not isinstance(body, dict):
            raise ValueError(f"column {column!r}: expected JSON, got {str(value)[:60]!r}")
        wrong = best_match(validator(canonical_json(task.answer.json_schema)).iter_errors(body))
        if wrong:
            raise ValueError(
                f"column {column!r} does not fit answer.json_schema at {wrong.json_path}: {wrong.message[:200]}"
            )
        return body
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@lru_cache(maxsize=8)
def validator(schema: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads(schema))
