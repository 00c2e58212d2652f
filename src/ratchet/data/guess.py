"""Guess which columns of a file are inputs, which one is the answer, and which form and metric fit it.

A guess holds for every row: it stands on a survey of the whole file. It is shown to the user and written into the task's file,
where it can be changed.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ratchet.core import (
    RESERVED_NAMES,
    AnswerForm,
    InputField,
    MetricSpec,
    Roles,
    SplitSpec,
    Task,
    escape_template,
)
from ratchet.core.errors import DataError, did_you_mean
from ratchet.data.answer_form import guess_form
from ratchet.data.records import Row
from ratchet.data.survey import NUM_COMPARED, Survey, survey_rows

__all__ = ["Guess", "field_name", "field_names", "guess_columns", "guess_task"]

ANSWER_NAMES = (
    "answer",
    "reference",
    "expected",
    "expected_output",
    "target",
    "label",
    "category",
    "class",
    "intent",
    "output",
    "completion",
    "response",
    "gold",
    "ground_truth",
    "sentiment",
    "sql",
    "query_sql",
    "fields",
    "spans",
    "entities",
    "price",
    "summary",
)
WEAK_ANSWER_NAMES = (
    "output",
    "completion",
    "response",
    "sql",
    "query_sql",
    "fields",
    "spans",
    "entities",
    "price",
    "summary",
)
"""A column of such a name may be what goes in, where it stands alone."""
ID_NAMES = (
    "id",
    "_id",
    "uuid",
    "guid",
    "key",
    "example_id",
    "question_id",
    "sample_id",
    "record_id",
    "instance_id",
    "row_id",
    "uid",
    "qid",
)
GROUP_NAMES = (
    "group",
    "scene",
    "form",
    "template_id",
    "conversation_id",
    "thread_id",
    "document_id",
    "doc_id",
    "session_id",
    "user_id",
)
LEFT_OUT = (
    "metadata",
    "source",
    "split",
    "created_at",
    "timestamp",
    "tool",
    "tools",
    "functions",
    "parallel_tool_calls",
    "unnamed: 0",
    "__index_level_0__",
)
"""Bookkeeping; it is an input only where nothing else is."""
NEVER_INPUT = ("unnamed: 0", "__index_level_0__")
MIN_UNIQUE, MIN_ROWS_OF_IDS = 0.9, 10
"""Among so many rows a column of ids has at least this share of different values."""
MIN_GROUPS = 3
JUDGE_NAMES = ("answer", "reference", "first", "second")
"""Inputs that a judge needs for itself."""
JUDGE_RESERVED = (*RESERVED_NAMES, *JUDGE_NAMES)
RUBRIC = "The answer does what the instructions ask for, rests on the input alone, and is clear and complete."


@dataclass(frozen=True, kw_only=True)
class Guess:
    """Which column plays which part, and why."""

    inputs: tuple[str, ...]
    answer: str | None
    """None where the examples have no references: a judge or a function of yours scores the answers."""
    identity: str | None = None
    group: str | None = None
    knowledge: str | None = None
    """What one must know to answer: a text, or a list of texts, files or titles."""
    split: str | None = None
    """Which split a row belongs to: train, dev or test."""
    left_out: tuple[str, ...] = ()
    reasons: tuple[str, ...] = field(default=())
    fields: dict[str, str] = field(default_factory=dict)
    """The name that each input has in the task, by its column."""

    @property
    def field_of(self) -> dict[str, str]:
        """Return the name that each input has in the task, by its column."""
        return self.fields or field_names(self.inputs)


def guess_columns(
    rows: Iterable[Row] | Survey,
    *,
    inputs: Sequence[str] = (),
    answer: str | None = None,
    group: str | None = None,
    knowledge: str | None = None,
    split: str | None = None,
    no_answer: bool = False,
) -> Guess:
    """Return the part that each column plays; what the caller names is taken as it is.

    Args:
        rows: All rows of a file, or what a survey says of them.
        inputs: Columns that go in; left out, they are guessed.
        answer: The column of references; left out, it is guessed.
        group: Rows with the same value here stay in one split.
        knowledge: What one must know.
        split: Which split a row belongs to.
        no_answer: The examples have no references.
    Raises: DataError if there is no row, a named column is missing, or the columns cannot be told apart.
    """
    survey = rows if isinstance(rows, Survey) else survey_rows(rows)
    if not survey.num_rows:
        raise DataError("there are no rows to guess from: the file has a header and nothing else")
    check_named(survey, inputs, answer, [group, knowledge, split], no_answer=no_answer)
    guesser = _Guesser(
        survey, taken=tuple(filter(None, [*inputs, answer, group, knowledge, split]))
    )
    identity, chosen_group = guesser.identity(), group or guesser.group()
    parts = [answer, identity, chosen_group, knowledge, split]
    chosen_answer = answer if answer or no_answer else guesser.answer(inputs, parts)
    chosen = tuple(inputs) or guesser.inputs([*parts, chosen_answer])
    if (
        not chosen and not group and chosen_group
    ):  # what would hold rows together is all that there is
        chosen, chosen_group = (chosen_group,), None
    if not chosen and identity:
        chosen, identity = (identity,), None
    if not chosen and chosen_answer in guesser.weak_answers and not answer:
        chosen, chosen_answer = (str(chosen_answer),), None
    if not chosen:
        raise DataError(
            f"no column is left as an input beside the answer {chosen_answer!r}; name one with --input"
        )
    if chosen_answer is None and not no_answer:
        guesser.note(
            "no column is left for an answer, so that the task has no references: a judge scores it"
        )
    part_names = (*chosen, chosen_answer, identity, chosen_group, knowledge, split)
    fields = guesser.fields(chosen, is_judged=chosen_answer is None)
    return Guess(
        inputs=chosen,
        answer=chosen_answer,
        identity=identity,
        group=chosen_group,
        knowledge=knowledge,
        split=split,
        left_out=tuple(name for name in survey.columns if name not in part_names),
        reasons=tuple(guesser.notes),
        fields=fields,
    )


def check_named(
    survey: Survey,
    inputs: Sequence[str],
    answer: str | None,
    others: Sequence[str | None],
    *,
    no_answer: bool,
) -> None:
    """Refuse columns that are not there, and one that is named as input and as answer."""
    names = list(survey.columns)
    for name in (*inputs, *filter(None, [answer, *others])):
        if name not in names:
            raise DataError(
                f"there is no column {name!r}; the columns are {', '.join(map(repr, names))}.{did_you_mean(name, names)}"
            )
    if answer and no_answer:
        raise DataError(
            f"--answer {answer!r} names the answers, and --no-answer says that there are none; leave one of them out"
        )
    if answer in inputs:
        raise DataError(
            f"the column {answer!r} is named as an input and as the answer; name another one, or --no-answer where there are no references"
        )


class _Guesser:
    """What the names and the values of columns say of their parts."""

    def __init__(self, survey: Survey, *, taken: tuple[str, ...]) -> None:
        self._columns, self._hinted, self._taken = survey.columns, survey.inputs, taken
        self._low = {name.lower(): name for name in reversed(survey.columns)}
        self.notes: list[str] = []
        self._dropped: list[str] = []
        self.weak_answers = tuple(self._low[n] for n in WEAK_ANSWER_NAMES if n in self._low)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def identity(self) -> str | None:
        """Return the column that names the rows: texts or integers, hardly ever twice the same."""
        for known in ID_NAMES:
            name = self._low.get(known)
            if name is None or name in self._taken:
                continue
            column = self._columns[name]
            compared = min(column.num_values, NUM_COMPARED)
            if column.is_name and compared and column.num_different >= MIN_UNIQUE * compared:
                return name
            if column.is_name and 0 < compared < MIN_ROWS_OF_IDS:
                return name  # too few rows to tell; the import refuses an id that comes twice
            self.note(
                f"the column {name!r} has the same value in many rows, so that it is not taken for their id"
            )
            self._dropped.append(name)
        return None

    def group(self) -> str | None:
        """Return the column whose equal values hold rows together."""
        for known in GROUP_NAMES:
            name = self._low.get(known)
            if name is not None and name not in self._taken:
                if (
                    self._columns[name].num_different >= MIN_GROUPS
                    or self._columns[name].num_values < MIN_GROUPS
                ):
                    return name
                self._dropped.append(name)
                self.note(
                    f"the column {name!r} has {self._columns[name].num_different} values, too few to divide by, and is left out; take it with --group"
                )
        return None

    def spare(self, parts: Sequence[str | None]) -> list[str]:
        """Return the columns that may go in: those without another part, bookkeeping aside."""
        return [
            name
            for name in self._columns
            if name not in (*parts, *self._dropped) and name.lower() not in LEFT_OUT
        ]

    def answer(self, inputs: Sequence[str], parts: Sequence[str | None]) -> str | None:
        """Return the column of references: by its name, else the last one that is spare; None where none is left."""
        for known in ANSWER_NAMES:
            name = self._low.get(known)
            if name is None or name in (*inputs, *self._hinted, *self._taken):
                continue
            if self._columns[name].num_values:
                return name
            self._dropped.append(name)
            self.note(f"the column {name!r} is empty in every row, so that it holds no answers")
            return None
        spare = self.spare([*parts, *inputs])
        full = [name for name in spare if self._columns[name].num_values]
        if self._hinted or not full or len(spare) + len(inputs) < 2:
            return None
        self.note(f"no column has the name of an answer; took the last one, {full[-1]!r}")
        return full[-1]

    def fields(self, inputs: Sequence[str], *, is_judged: bool) -> dict[str, str]:
        """Return the name of each input in the task, and note those that are renamed."""
        named = field_names(tuple(self._columns), JUDGE_RESERVED if is_judged else RESERVED_NAMES)
        for column in inputs:
            if column != named[column]:
                self.note(f"the column {column!r} is the input {named[column]!r} in the task")
        return {column: named[column] for column in inputs}

    def inputs(self, parts: Sequence[str | None]) -> tuple[str, ...]:
        """Return the columns that go in; bookkeeping where there is nothing else."""
        if self._hinted:
            return tuple(name for name in self._hinted if name not in parts)
        spare = [name for name in self.spare(parts) if name not in parts]
        return tuple(spare) or tuple(
            name for name in self._columns if name not in parts and name.lower() not in NEVER_INPUT
        )


def guess_task(
    name: str,
    rows: Iterable[Row] | Survey,
    guess: Guess,
    *,
    model: str,
    teacher: str | None = None,
    instructions: str = "",
) -> Task:
    """Return a task for the guessed columns: answer form and metric follow from the answers' values, and the instructions where none are given."""
    survey = rows if isinstance(rows, Survey) else survey_rows(rows)
    columns = list(guess.inputs)
    if guess.answer is None:
        form, metric = AnswerForm(), judged_by(teacher or model)
        guessed = "Answer the input."
    else:
        form, metric, guessed = guess_form(guess.answer, survey)
    system = survey.columns.get("system")
    if (
        "system" in columns
        and len(columns) > 1
        and system
        and system.num_values
        and system.is_constant
    ):
        guessed = escape_template(str(system.first))
        columns.remove("system")
    return Task(
        name=name,
        instructions=instructions.strip() or guessed,
        inputs=tuple(InputField(name=guess.field_of[column]) for column in columns),
        answer=form,
        metric=metric,
        splits=SplitSpec(group_by=guess.group),
        models=Roles(student=model, teacher=teacher),
    )


def judged_by(model: str) -> MetricSpec:
    """Return the metric of a task without references: a grade by a model, to be made the task's own."""
    return MetricSpec(
        name="judge",
        options={"rubric": RUBRIC, "scale": "grade", "reference": False, "judges": [model]},
    )


def field_name(column: str, reserved: Sequence[str] = RESERVED_NAMES) -> str:
    """Return a column's name as a field of a template: letters, digits and _ alone, an ASCII letter or _ first, and none of the `reserved`."""
    name = re.sub(r"\W+", "_", column.strip()).strip("_") or "input"
    if name in reserved:
        return f"input_{name}"
    return name if re.match(r"[A-Za-z_]", name) else f"_{name}"


def field_names(columns: Sequence[str], reserved: Sequence[str] = RESERVED_NAMES) -> dict[str, str]:
    """Return a field name for each column, no two the same; a column whose name needs no change has the first claim to it."""
    names = {column: column for column in columns if field_name(column, reserved) == column}
    taken = set(names)
    for column in columns:
        if column in names:
            continue
        plain = name = field_name(column, reserved)
        number = 2
        while name in taken:
            name, number = f"{plain}_{number}", number + 1
        taken.add(name)
        names[column] = name
    return names
