"""From rows to examples of a task: columns become inputs and a reference in the task's form."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from ratchet.core import Example, Json, Split, Task
from ratchet.core.errors import DataError, did_you_mean
from ratchet.core.numerals import parse_number
from ratchet.core.records import canonical_json
from ratchet.data.answers import label_text, parse_json_text
from ratchet.data.cells import to_cell
from ratchet.data.guess import Guess
from ratchet.data.records import BadRow, Row, RowError

__all__ = ["ImportReport", "to_examples", "to_reference"]


SPLIT_NAMES: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "dev": "dev",
    "val": "dev",
    "valid": "dev",
    "validation": "dev",
    "test": "test",
}


NUM_NAMED = 20
"""So many rows of a kind are named; the others are counted."""


@dataclass(kw_only=True)
class ImportReport:
    """What an import met on the way."""

    skipped: list[BadRow] = field(default_factory=list)
    added: int = 0
    """Examples that are new, where the rows are added to a workbench."""
    repeated: int = 0
    """Rows whose inputs and answer stood in the file before."""
    unlabelled: int = 0
    """Rows without an answer, which are no examples of a task that has references."""
    unlabelled_rows: list[int] = field(default_factory=list)
    """The first of them."""
    empty: int = 0
    """Examples none of whose inputs has a value."""
    lost_labels: Counter[str] = field(default_factory=Counter)
    """Answers of skipped rows that are no label of the task, and how often."""
    labels: Counter[str] = field(default_factory=Counter)
    """References that are labels, and how often."""

    def clear(self) -> None:
        """Forget everything, before the rows are read again."""
        self.__init__()  # type: ignore[misc]  # the fields at their defaults


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

    A row without an answer is counted in `report.unlabelled` and yields nothing, unless the guess says that the task has no references.

    Raises: DataError if an answer does not fit the task's form, or an id was used before with other content; with `skip_bad` such
        rows are put into `report.skipped`.
    """
    seen: set[str] = set()
    names: dict[str, int] = {}
    for row in rows:
        problem, example, known = None, None, False
        try:
            example = to_example(task, row, guess, path)
            if example is None:
                report.unlabelled += 1
                if len(report.unlabelled_rows) < NUM_NAMED:
                    report.unlabelled_rows.append(row.number)
                continue
            known = example.id in seen  # naming it refuses what JSON cannot hold
            if example.name is not None and example.name in names and not known:
                problem = f"the id {example.name!r} was used in row {names[example.name]} with other content"
        except UnknownLabelError as error:
            problem = str(error)
            report.lost_labels[error.label] += 1
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
            report.empty += all(value is None for value in example.inputs.values())
            if task.answer.kind == "label":
                report.labels[str(example.reference)] += 1
            yield example


def to_example(task: Task, row: Row, guess: Guess, path: Path) -> Example | None:
    """Return the example that a row is; None where the answer is wanting. RowError where it does not fit."""
    columns = {name: column for column, name in guess.field_of.items()}
    inputs = {name: to_cell(row.values.get(columns.get(name, name))) for name in task.input_names}
    reference: Json = None
    if guess.answer is not None:
        answer = to_cell(row.values.get(guess.answer))
        answer = task.answer.absent if answer is None else answer
        if answer is None:
            return None
        reference = to_reference(task, answer, guess.answer)
    return Example(
        inputs=inputs,
        reference=reference,
        source=f"{path.name}:{row.number}",
        name=text_in(row, guess.identity),
        group=text_in(row, guess.group),
        knowledge=needed(row.values.get(guess.knowledge)) if guess.knowledge else (),
        split=split_in(row.values.get(guess.split), guess.split) if guess.split else None,
    )


def text_in(row: Row, column: str | None) -> str | None:
    """Return a cell as a text; None where there is nothing."""
    value = to_cell(row.values.get(column)) if column else None
    return None if value is None else label_text(value)


class UnknownLabelError(RowError):
    """An answer that is none of the task's labels."""

    def __init__(self, problem: str, label: str) -> None:
        super().__init__(problem)
        self.label = label


def needed(value: Json) -> tuple[str, ...]:
    """Return what one must know: a list as it is (also one that is written as JSON), a text as one."""
    body = parse_json_text(to_cell(value))
    if body is None:
        return ()
    return tuple(str(part) for part in (body if isinstance(body, list) else [value]))


def split_in(value: Json, column: str) -> Split | None:
    """Return a split by its name, None where the cell is empty; RowError where it is none."""
    if to_cell(value) is None:
        return None
    split = SPLIT_NAMES.get(str(value).strip().lower())
    if split is None:
        raise RowError(f"column {column!r}: {value!r} is no split; name train, dev or test")
    return split


def to_reference(task: Task, value: Json, column: str) -> Json:
    """Return the reference in the task's form; RowError where it does not fit."""
    kind = task.answer.kind
    if kind == "label":
        return label_in(task, value, column)
    if kind == "number":
        number = parse_number(value)
        if number is None:
            raise RowError(f"column {column!r}: {value!r} is no number")
        return number
    if kind in ("json", "tool"):
        return object_in(task, value, column)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def label_in(task: Task, value: Json, column: str) -> str:
    """Return the label that a cell is; `1.0` is the label 1 where that is one."""
    label = label_text(value)
    for text in (label, label.removesuffix(".0"), str(value)):
        if text in task.answer.labels:
            return text
    raise UnknownLabelError(
        f"column {column!r}: {label!r} is none of the {len(task.answer.labels)} labels of task {task.name!r}"
        f"{did_you_mean(label, task.answer.labels) or ';'} to have it as one, add it to answer.labels in the task's file",
        label,
    )


def object_in(task: Task, value: Json, column: str) -> Json:
    """Return the object that a cell is; a list stands under the name of its column, or the first that the schema has."""
    body, schema = parse_json_text(value), task.answer.json_schema or {}
    if isinstance(body, list):
        names = list(schema.get("properties", {}))
        body = {column if column in names or not names else names[0]: body}
    if not isinstance(body, dict):
        raise RowError(f"column {column!r}: expected JSON, got {str(value)[:60]!r}")
    wrong = best_match(validator(canonical_json(schema)).iter_errors(body))
    if wrong:
        raise RowError(
            f"column {column!r} does not fit answer.json_schema at {wrong.json_path}: {wrong.message[:200]}"
        )
    return body


@lru_cache(maxsize=8)
def validator(schema: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads(schema))
