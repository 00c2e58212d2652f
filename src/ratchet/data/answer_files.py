"""Answers that were collected elsewhere, as rows of a file: which column names the example, which holds the reply, and what it took."""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields

from ratchet.core import Example, Json, Task, canonical_json
from ratchet.core.errors import DataError, did_you_mean
from ratchet.core.numerals import parse_number
from ratchet.data.answers import label_text, parse_json_text
from ratchet.data.cells import to_cell
from ratchet.data.files import matched_fields
from ratchet.data.records import Row, RowError

__all__ = ["AnswerColumns", "AnswerReader", "GivenAnswer", "example_finder", "resolve_columns"]

EXAMPLE_NAMES = ("example", "example_id", "id", "_id", "qid", "question_id", "key", "name")
REPLY_NAMES = (
    "reply",
    "response",
    "output",
    "completion",
    "prediction",
    "predicted",
    "generated",
    "generation",
    "model_output",
    "model_answer",
    "model_response",
)
USAGE_NAMES: dict[str, tuple[str, ...]] = {
    "repeat": ("repeat", "repetition"),
    "prompt_tokens": ("prompt_tokens", "input_tokens"),
    "completion_tokens": ("completion_tokens", "output_tokens"),
    "cost": ("cost_usd",),
    "latency": ("latency_s",),
}
"""Names that say what a column holds and in which unit; any other one the user names."""


@dataclass(frozen=True, kw_only=True)
class AnswerColumns:
    """The columns whose part the user names; what is left out is guessed."""

    example: str | None = None
    """The id in the user's own file, or the content id."""
    reply: str | None = None
    repeat: str | None = None
    prompt_tokens: str | None = None
    completion_tokens: str | None = None
    cost: str | None = None
    """In dollars."""
    latency: str | None = None
    """In seconds."""

    def named(self) -> dict[str, str]:
        """Return the parts that have a column, each with its column."""
        parts = {part.name: getattr(self, part.name) for part in fields(self)}
        return {name: column for name, column in parts.items() if column is not None}


@dataclass(frozen=True, kw_only=True)
class GivenAnswer:
    """What one row says."""

    row: int
    examples: tuple[Example, ...]
    """Usually one; several where the row names inputs that several examples share."""
    reply: Json
    repeat: int
    prompt_tokens: int | None
    completion_tokens: int | None
    cost_usd: float | None
    latency_s: float | None


@dataclass(kw_only=True)
class AnswerReader:
    """Reads the rows of a file once its columns are known."""

    columns: AnswerColumns
    find: Callable[[Row], tuple[Example, ...]]
    """Returns the examples of a row, or raises RowError."""
    left_out: tuple[str, ...] = field(default=())
    """The columns that play no part."""

    def read(self, row: Row) -> GivenAnswer:
        """Return what a row says.

        Raises: RowError if it names no example, or a cell is not a number that its column can hold.
        """
        columns = self.columns
        return GivenAnswer(
            row=row.number,
            examples=self.find(row),
            reply=row.values.get(columns.reply or ""),
            repeat=read_count(row, columns.repeat) or 0,
            prompt_tokens=read_count(row, columns.prompt_tokens),
            completion_tokens=read_count(row, columns.completion_tokens),
            cost_usd=read_amount(row, columns.cost),
            latency_s=read_amount(row, columns.latency),
        )


def resolve_columns(
    task: Task, examples: Sequence[Example], rows: Sequence[Row], given: AnswerColumns, *, name: str
) -> AnswerReader:
    """Return what reads the rows: the columns that are named, and the others guessed.

    Args:
        task: Whose answers they are.
        examples: All of its examples.
        rows: All rows of the file.
        given: What the user names.
        name: Of the candidate; a column of that name holds its replies.
    Raises: DataError if a column is not there, or the columns do not say which is the example's or the reply's.
    """
    columns = tuple(dict.fromkeys(column for row in rows for column in row.values))
    for part, column in given.named().items():
        if column not in columns:
            raise DataError(
                f"there is no column {column!r} for the {part.replace('_', ' ')}; "
                f"the columns are {', '.join(columns)}.{did_you_mean(column, columns)}"
            )
    usage = usage_columns(columns, given)
    free = tuple(c for c in columns if c not in {*usage.values(), *given.named().values()})
    by_name = examples_by_name(examples)
    fields_of = matched_fields(task, columns)
    has_inputs = set(fields_of.values()) == set(task.input_names)
    example = given.example or column_of_ids(free, rows, by_name, has_inputs=has_inputs)
    if example is not None:
        find = example_finder(by_name, example, task.name)
        used = {example}
    elif has_inputs:
        find = input_finder(task, examples, fields_of)
        used = set(fields_of)
    else:
        raise DataError(
            f"no column names the examples of task {task.name!r}: neither ids of your file or content ids, "
            f"nor all of its inputs ({', '.join(task.input_names)}); the columns are {', '.join(columns)}. "
            "Name the column of ids with --example"
        )
    rest = tuple(c for c in free if c not in used and c not in fields_of)
    reply = given.reply or reply_column(rest, name)
    is_guess = given.reply is None and reply != name and plain_name(reply) not in REPLY_NAMES
    if is_guess and holds_references(rows, reply, find):
        raise DataError(
            f"column {reply!r} holds the references themselves, not replies; if those are the replies, say so with --reply {reply}"
        )
    parts: Mapping[str, str | None] = {"example": example, "reply": reply, **usage}
    return AnswerReader(
        columns=AnswerColumns(**parts),
        find=find,
        left_out=tuple(c for c in free if c not in used and c != reply),
    )


def usage_columns(columns: Sequence[str], given: AnswerColumns) -> dict[str, str]:
    """Return the columns of repeats, tokens, cost and latency that are named, or whose own name says so."""
    named, taken = given.named(), set(given.named().values())
    plain = {plain_name(column): column for column in columns if column not in taken}
    guessed = {
        part: plain[known]
        for part, names in USAGE_NAMES.items()
        for known in reversed(names)
        if known in plain
    }
    return {**guessed, **{part: named[part] for part in USAGE_NAMES if part in named}}


def plain_name(column: str) -> str:
    return column.strip().casefold().replace(" ", "_").replace("-", "_")


def examples_by_name(examples: Iterable[Example]) -> dict[str, list[Example]]:
    """Return the examples by their content ids, and by the ids that the user's file gave them."""
    found: dict[str, list[Example]] = {}
    for example in examples:
        for key in {example.id, example.name or example.id}:
            found.setdefault(key, []).append(example)
    return found


def column_of_ids(
    columns: Sequence[str],
    rows: Sequence[Row],
    by_name: Mapping[str, list[Example]],
    *,
    has_inputs: bool,
) -> str | None:
    """Return the column that names examples: one that is called so and holds ids; else, where the inputs are not all there, one
    most of whose values are ids, each once.
    """
    hits = {
        column: Counter(key for row in rows if (key := cell_key(row, column)) in by_name)
        for column in columns
    }
    called = [c for n in EXAMPLE_NAMES for c in columns if plain_name(c) == n and hits[c]]
    if called or has_inputs:
        return called[0] if called else None
    likely = [c for c in columns if 2 * len(hits[c]) > len(rows)]
    return max(likely, key=lambda c: len(hits[c]), default=None)


def cell_key(row: Row, column: str) -> str:
    value = to_cell(row.values.get(column))
    return "" if value is None else label_text(value)


def example_finder(
    by_name: Mapping[str, list[Example]], column: str, task: str
) -> Callable[[Row], tuple[Example, ...]]:
    """Return what finds the example that a row names in a column."""

    def find(row: Row) -> tuple[Example, ...]:
        key = cell_key(row, column)
        if not key:
            raise RowError(f"column {column!r} names no example")
        found = by_name.get(key, [])
        if not found:
            raise RowError(f"task {task!r} has no example {key!r}{did_you_mean(key, by_name)}")
        if len(found) > 1:
            raise RowError(
                f"{len(found)} examples have the id {key!r}; name one of {', '.join(e.id for e in found)}"
            )
        return tuple(found)

    return find


def input_finder(
    task: Task, examples: Iterable[Example], fields_of: Mapping[str, str]
) -> Callable[[Row], tuple[Example, ...]]:
    """Return what finds the examples whose inputs a row holds."""
    column_of = {name: column for column, name in fields_of.items()}
    known: dict[str, list[Example]] = {}
    for example in examples:
        known.setdefault(input_key([example.inputs.get(n) for n in task.input_names]), []).append(
            example
        )

    def find(row: Row) -> tuple[Example, ...]:
        values = [row.values.get(column_of[name]) for name in task.input_names]
        found = known.get(input_key(values))
        if found is None:
            pairs = zip(task.input_names, values, strict=True)
            shown = ", ".join(f"{name} {str(value)[:60]!r}" for name, value in pairs)
            raise RowError(f"task {task.name!r} has no example with {shown}")
        return tuple(found)

    return find


def input_key(values: Sequence[Json]) -> str:
    """Return what inputs have in common that are the same, whatever format they were read from: a table writes numbers as text."""
    return canonical_json([comparable_cell(value) for value in values])


def comparable_cell(value: Json) -> Json:
    cell = parse_json_text(to_cell(value))
    return cell if isinstance(cell, dict | list) or cell is None else label_text(cell)


def reply_column(columns: Sequence[str], name: str) -> str:
    """Return the column of the replies: of the candidate's own name, of a usual name, or the only one that is left.

    Raises: DataError if the columns do not tell.
    """
    own = [c for c in columns if c == name]
    usual = own or [c for c in columns if plain_name(c) in REPLY_NAMES]
    chosen = usual or list(columns)
    if len(chosen) == 1:
        return chosen[0]
    among = f"any of {', '.join(chosen)}" if chosen else "none of the columns"
    raise DataError(f"the replies could be {among}; name their column with --reply")


def holds_references(
    rows: Iterable[Row], column: str, find: Callable[[Row], tuple[Example, ...]]
) -> bool:
    """Return whether a column says of each row what its example's reference is: a file without replies must not score 100."""
    has_seen = False
    for row in rows:
        try:
            references = [comparable_cell(example.reference) for example in find(row)]
        except RowError:
            continue
        if comparable_cell(row.values.get(column)) not in references:
            return False
        has_seen = True
    return has_seen


def read_amount(row: Row, column: str | None) -> float | None:
    """Return a number of at least 0; None where the cell is empty.

    Raises: RowError if it is none.
    """
    cell = to_cell(row.values.get(column)) if column else None
    if cell is None:
        return None
    number = parse_number(cell)
    if number is None or not math.isfinite(number) or number < 0:
        raise RowError(f"column {column!r} must be a number of at least 0, got {cell!r}")
    return float(number)


def read_count(row: Row, column: str | None) -> int | None:
    """Return a whole number of at least 0; None where the cell is empty.

    Raises: RowError if it is none.
    """
    number = read_amount(row, column)
    if number is not None and not number.is_integer():
        raise RowError(f"column {column!r} must be a whole number, got {number!r}")
    return None if number is None else int(number)


def reply_text(value: Json) -> str:
    """Return a reply as the text that a model would have written; empty where there is nothing."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return label_text(value)
