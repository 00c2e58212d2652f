"""Import a file, or a table in memory: look at all of it, guess what its columns are, and store its rows as examples of a task."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import sqlalchemy as sa

from ratchet.core import Example, Task
from ratchet.core.errors import DataError
from ratchet.data.adding import Added, Watch, add_examples, newest_of, unwatched
from ratchet.data.answers import label_key
from ratchet.data.guess import JUDGE_RESERVED, Guess, field_names, guess_columns, guess_task
from ratchet.data.importing import ImportReport, to_examples
from ratchet.data.records import BadRow, Row
from ratchet.data.rows import good_rows
from ratchet.data.splits import split_examples
from ratchet.data.survey import Survey, survey_rows
from ratchet.data.tables import frame_rows
from ratchet.store import Workspace, load_examples, stream_examples

__all__ = ["FileImport", "Parts", "add_rows", "guess_for_task", "similar_labels"]

NUM_ASKED = 100
"""So many stored examples tell whether a task has references."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The columns whose part the user names; what is left out is guessed."""

    inputs: tuple[str, ...] = ()
    answer: str | None = None
    no_answer: bool = False
    group: str | None = None
    knowledge: str | None = None
    split: str | None = None


class FileImport:
    """One file on its way into a task.

    Args:
        path: The file; or, with `rows`, the name under which its examples are known.
        encoding: Of its text.
        sheet: Of a spreadsheet.
        skip_bad: Leave rows out that cannot be read or do not fit.
        rows: Read the rows, as often as it is called, in place of the file.
    """

    def __init__(
        self,
        path: Path,
        *,
        encoding: str | None = None,
        sheet: str | None = None,
        skip_bad: bool = False,
        rows: Callable[[], Iterable[Row | BadRow]] | None = None,
    ) -> None:
        self.path, self.report = path, ImportReport()
        self._encoding, self._sheet, self._skip_bad = encoding, sheet, skip_bad
        self._rows = rows
        self.task: Task
        self.guess: Guess
        self.survey: Survey

    def plan(
        self,
        name: str,
        workspace: Workspace,
        known: Task | None,
        parts: Parts,
        *,
        instructions: str = "",
    ) -> None:
        """Look at the whole file, and guess what its columns are, and the task where it is not known.

        Raises: DataError if the file cannot be read, or its columns do not tell.
        """
        self.survey = survey_rows(self.rows())
        if known:
            has_references = stored_references(workspace.database, known)
            self.guess = guess_for_task(known, self.survey, parts, has_references=has_references)
            self.task = known
            return
        self.guess = guess_columns(self.survey, **vars(parts))
        models = workspace.settings.models
        self.task = guess_task(
            name,
            self.survey,
            self.guess,
            model=models.default,
            teacher=models.teacher,
            instructions=instructions,
        )

    def rows(self) -> Iterator[Row]:
        """Yield the rows that can be read; the others are put into the report."""
        if self._rows is None:
            yield from good_rows(
                self.path,
                encoding=self._encoding,
                sheet=self._sheet,
                skip_bad=self._skip_bad,
                skipped=self.report.skipped,
            )
            return
        for row in self._rows():
            if isinstance(row, Row):
                yield row
            elif self._skip_bad:
                self.report.skipped.append(row)
            else:
                raise DataError(f"{self.path}, row {row.number}: {row.problem}")

    def examples(self) -> Iterator[Example]:
        """Yield the examples, and count in the report what is none."""
        self.report.clear()
        yield from to_examples(
            self.task,
            self.rows(),
            self.guess,
            self.path,
            report=self.report,
            skip_bad=self._skip_bad,
        )

    def store(self, engine: sa.Engine, *, afresh: bool = False, watch: Watch = unwatched) -> Added:
        """Store the examples as the task's next version."""
        return add_examples(
            engine, self.task, self.examples, source=str(self.path), afresh=afresh, watch=watch
        )

    def notes(self, added: Added) -> list[str]:
        """Return what the user should know of the rows that were read."""
        report, kept = self.report, added.new
        notes = [
            f"{counted(report.unlabelled, 'row')} without an answer, set aside: {row_numbers(report)}"
            if report.unlabelled
            else "",
            f"{counted(report.empty, 'example')} without a value in any input"
            if report.empty
            else "",
            *lost_classes(report),
            *similar_labels(self.task.answer.labels),
            f"{counted(added.replaced, 'example')} replaced: the same id and inputs came with another answer"
            if added.replaced
            else "",
            f"{counted(added.clashes, 'id')} that stood in the task before with other inputs: both examples stay"
            if added.clashes
            else "",
        ]
        if kept and not added.splits["train"] and not added.splits["test"]:
            notes.append(
                f"too few different examples to divide into train, dev and test ({added.dataset.rows} in all): all are in dev. "
                "They can be measured (--repeats asks each several times); demonstrations and fine-tuning need more"
            )
        return [note for note in notes if note]


def counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


class _Growing(Protocol):
    """A task with its examples, as the workbench has them."""

    task: Task
    examples: list[Example]
    engine: sa.Engine
    workspace: Workspace | None


def add_rows(
    bench: _Growing,
    table: object,
    *,
    inputs: Sequence[str] = (),
    answer: str | None = None,
    no_answer: bool = False,
    group: str | None = None,
    knowledge: str | None = None,
    split: str | None = None,
    source: str = "table",
    skip_bad: bool = False,
) -> ImportReport:
    """Add the rows of a table to a task's examples, as `ratchet import` adds those of a file, and return what was met on the way.

    In a workspace they are stored as the next version of the examples. Examples that are there keep their splits.

    Args:
        bench: The workbench.
        table: A frame of pandas or polars, a table of pyarrow, the result of a query (SQLAlchemy, or a cursor), or a list of
            mappings, named tuples, dataclasses or rows of sqlite3.
        inputs: Columns that are the task's inputs, in their order; by default those of the same names.
        answer: The column of references; left out, it is guessed.
        no_answer: The rows have no references.
        group: Rows with the same value here stay in one split.
        knowledge: What one must know to answer.
        split: Which split a row belongs to.
        source: Where the rows come from, in your words.
        skip_bad: Leave rows out that do not fit, and report them.
    Raises: DataError if the table cannot be read, a column is missing, or a row does not fit.
    """
    rows = list(frame_rows(table))
    made = FileImport(Path(source), skip_bad=skip_bad, rows=lambda: rows)
    made.survey, made.task = survey_rows(made.rows()), bench.task
    parts = Parts(
        inputs=tuple(inputs),
        answer=answer,
        no_answer=no_answer,
        group=group,
        knowledge=knowledge,
        split=split,
    )
    labelled = any(map(bench.task.is_labelled, bench.examples)) if bench.examples else None
    made.guess = guess_for_task(bench.task, made.survey, parts, has_references=labelled)
    if bench.workspace:
        added = made.store(bench.engine)
        made.report.added = added.new
        bench.examples = load_examples(bench.engine, added.dataset)
    else:
        known = {example.id for example in bench.examples}
        fresh = [example for example in made.examples() if example.id not in known]
        made.report.added = len(fresh)
        placed = split_examples(fresh, bench.task.splits, known=bench.examples)
        bench.examples = [*bench.examples, *placed]
    return made.report


def row_numbers(report: ImportReport) -> str:
    shown = ", ".join(map(str, report.unlabelled_rows))
    more = report.unlabelled - len(report.unlabelled_rows)
    return f"row{'s' if report.unlabelled > 1 else ''} {shown}" + (
        f" and {more} more" if more else ""
    )


def lost_classes(report: ImportReport) -> Iterator[str]:
    """Yield a sentence where rows of a label were left out altogether."""
    lost = {
        label: count for label, count in report.lost_labels.items() if label not in report.labels
    }
    if lost:
        names = ", ".join(f"{label!r} ({count} rows)" for label, count in lost.items())
        yield f"the rows of {len(lost)} classes are left out, as the task does not know them: {names}; add them to answer.labels in its file, and import again"


def similar_labels(labels: Iterable[str]) -> Iterator[str]:
    """Yield a sentence where labels differ in capitals, spaces, hyphens or underscores alone."""
    alike: dict[str, list[str]] = {}
    for label in labels:
        alike.setdefault(label_key(label), []).append(label)
    pairs = [" and ".join(map(repr, same)) for same in alike.values() if len(same) > 1]
    if pairs:
        yield f"labels that differ in capitals or spaces alone: {'; '.join(pairs)}. Make them one where they mean the same"


def stored_references(engine: sa.Engine, task: Task) -> bool | None:
    """Return whether the task's examples have references; None where there are none yet."""
    newest = newest_of(engine, task.name)
    if newest is None:
        return None
    first = [
        example
        for example, _ in zip(stream_examples(engine, newest), range(NUM_ASKED), strict=False)
    ]
    return any(map(task.is_labelled, first)) if first else None


def guess_for_task(
    task: Task, survey: Survey, parts: Parts, *, has_references: bool | None
) -> Guess:
    """Return the part that each column plays in a task that is there; what the user names is taken.

    Raises: DataError if a column of the task's is missing, or no column is its answer.
    """
    inputs = parts.inputs or columns_of(task, survey)
    no_answer = parts.no_answer or (has_references is False and parts.answer is None)
    if parts.no_answer and has_references:
        raise DataError(
            f"the examples of task {task.name!r} have references; name the column of the answers with --answer, or import into a new task"
        )
    group = parts.group or task.splits.group_by
    if group is not None and group not in survey.columns and parts.group is None:
        group = None
    guess = guess_columns(
        survey,
        inputs=inputs,
        answer=parts.answer,
        no_answer=no_answer,
        group=group,
        knowledge=parts.knowledge,
        split=parts.split,
    )
    if guess.answer is None and not no_answer and has_references:
        raise DataError(
            f"no column is left for the answer of task {task.name!r}, whose examples have references; name one with --answer"
        )
    named = parts.inputs and len(parts.inputs) == len(task.input_names)
    fields = {c: c for c in inputs} | matched_fields(task, inputs)
    if named and not set(fields.values()) >= set(task.input_names):
        fields = dict(zip(inputs, task.input_names, strict=True))
    return Guess(**{**vars(guess), "fields": fields})


def columns_of(task: Task, survey: Survey) -> tuple[str, ...]:
    """Return the columns that a task's inputs were made of."""
    columns = {
        field: column for column, field in matched_fields(task, tuple(survey.columns)).items()
    }
    return tuple(columns.get(name, name) for name in task.input_names)


def matched_fields(task: Task, columns: tuple[str, ...]) -> dict[str, str]:
    """Return which of a task's inputs each column is, by its own name or the one that import gives it."""
    names = set(task.input_names)
    found = {column: column for column in columns if column in names}
    for named in (field_names(columns), field_names(columns, JUDGE_RESERVED)):
        for column, field in named.items():
            if field in names and field not in found.values() and column not in found:
                found[column] = field
    return found
