"""Answers that were collected elsewhere become trials of a candidate that can never be asked: read by the task's form, scored like any
other's. Nothing is called.
"""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import sqlalchemy as sa

from ratchet.answer import Prompt
from ratchet.core import Candidate, Example, Json, Task, Trial, Usage, brought_candidate
from ratchet.core.errors import DataError, UsageError
from ratchet.data import BadRow, good_rows
from ratchet.data.answer_files import (
    AnswerColumns,
    AnswerReader,
    GivenAnswer,
    reply_text,
    resolve_columns,
)
from ratchet.data.records import RowError
from ratchet.measure.asking import Bench, stored
from ratchet.models import ChatReply, ToolCall
from ratchet.store import TrialWriter, keep_candidate, load_trials
from ratchet.store.storable import storable

__all__ = [
    "AnswerColumns",
    "AnswerImport",
    "answered_counts",
    "check_brought",
    "import_answers",
    "read_answers",
]

NAME = re.compile(r"[A-Za-z0-9][\w.:@+/-]{0,99}")
RESERVED = ("start", "champion")
FILE_ENDINGS = (".yaml", ".yml", ".json")
REPEAT_HINT = "; name the column that numbers several answers with --repeat"
TrialKey = tuple[str, int]


@dataclass(kw_only=True)
class AnswerImport:
    """What a file of answers holds."""

    candidate: Candidate
    columns: AnswerColumns
    left_out: tuple[str, ...]
    """Columns that play no part."""
    trials: list[Trial] = field(default_factory=list)
    """Not scored yet."""
    repeated: int = 0
    """Rows that say what a row before them says."""
    unreadable: list[BadRow] = field(default_factory=list)
    """Rows whose reply has not the task's form: they count as failed answers, as any candidate's do."""
    skipped: list[BadRow] = field(default_factory=list)
    new: int = 0
    """Trials that were not stored before."""


def check_name(name: str) -> None:
    """Refuse a name that a candidate could be taken for.

    Raises: UsageError.
    """
    rule = "letters, digits and . _ - : @ + /, the first a letter or digit"
    if not NAME.fullmatch(name):
        raise UsageError(f"the name of brought answers is {rule}; got {name!r}")
    if name in RESERVED or name.startswith(f"{Candidate.prefix}_") or name.endswith(FILE_ENDINGS):
        raise UsageError(
            f"{name!r} already means something else where a candidate is named (start, champion, an id or a file); choose another name"
        )


def read_answers(
    task: Task,
    examples: Sequence[Example],
    path: Path,
    name: str,
    *,
    columns: AnswerColumns | None = None,
    encoding: str | None = None,
    sheet: str | None = None,
    skip_bad: bool = False,
) -> AnswerImport:
    """Return the answers of a file as trials that are not scored yet; nothing is stored.

    Args:
        task: Whose examples were answered.
        examples: All of them, of every split.
        path: Any table that `import` reads.
        name: Of whoever answered.
        columns: What the user says of the columns.
        encoding: Of the text.
        sheet: Of a spreadsheet.
        skip_bad: Leave out rows that cannot be read, name no example, or answer one a second time; they are listed.
    Raises: UsageError for a name that is taken; DataError if the columns do not tell, or a row is bad.
    """
    check_name(name)
    skipped: list[BadRow] = []
    rows = list(good_rows(path, encoding=encoding, sheet=sheet, skip_bad=skip_bad, skipped=skipped))
    try:
        reader = resolve_columns(task, examples, rows, columns or AnswerColumns(), name=name)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    answers: list[GivenAnswer] = []
    for row in rows:
        try:
            answers.append(reader.read(row))
        except RowError as error:
            refuse_or_skip(path, BadRow(row.number, str(error)), skipped, skip_bad=skip_bad)
    return gather_trials(task, path, name, reader, answers, skipped, skip_bad=skip_bad)


def refuse_or_skip(path: Path, bad: BadRow, skipped: list[BadRow], *, skip_bad: bool) -> None:
    if not skip_bad:
        raise DataError(
            f"{path}, row {bad.number}: {bad.problem}. Mend the row, or leave such rows out with --skip-bad"
        )
    skipped.append(bad)


def gather_trials(
    task: Task,
    path: Path,
    name: str,
    reader: AnswerReader,
    answers: Sequence[GivenAnswer],
    skipped: list[BadRow],
    *,
    skip_bad: bool,
) -> AnswerImport:
    """Return the trials of the answers, each example and repeat once."""
    candidate = brought_candidate(name)
    result = AnswerImport(
        candidate=candidate, columns=reader.columns, left_out=reader.left_out, skipped=skipped
    )
    prompt = Prompt(task, candidate)
    first = min((answer.repeat for answer in answers), default=0)
    shift = 1 if first == 1 else 0  # repeats that are numbered from 1
    rows: dict[TrialKey, tuple[int, str]] = {}
    for answer in answers:
        trials = [to_trial(prompt, e, answer, path, answer.repeat - shift) for e in answer.examples]
        known = [rows.get((t.example_id, t.repeat)) for t in trials]
        other = next(
            (k for k, t in zip(known, trials, strict=True) if k and k[1] != t.output), None
        )
        if other:
            hint = "" if reader.columns.repeat else REPEAT_HINT
            bad = BadRow(answer.row, f"row {other[0]} answers the same example otherwise{hint}")
            refuse_or_skip(path, bad, skipped, skip_bad=skip_bad)
            continue
        fresh = [t for k, t in zip(known, trials, strict=True) if k is None]
        result.repeated += not fresh
        rows |= {(t.example_id, t.repeat): (answer.row, t.output) for t in fresh}
        result.trials += fresh
        if fresh and fresh[0].failure:
            words = f"{fresh[0].failure}: {fresh[0].output[:80]!r}"
            result.unreadable.append(BadRow(answer.row, words))
    return result


def to_trial(
    prompt: Prompt, example: Example, answer: GivenAnswer, path: Path, repeat: int
) -> Trial:
    """Return the trial that an answer is; what nobody knows of it is named in `sent`."""
    task = prompt.task
    text = reply_text(answer.reply)
    parsed, failure = prompt.read(to_reply(task, text))
    counts = (answer.prompt_tokens, answer.completion_tokens)
    unknown = [
        name
        for name, is_known in (
            ("tokens", None not in counts),
            ("latency_s", answer.latency_s is not None),
        )
        if not is_known
    ]
    return Trial(
        candidate_id=prompt.candidate.id,
        task_id=task.asking_id,
        example_id=example.id,
        repeat=repeat,
        output=str(storable(text)),
        answer=parsed,
        failure=failure,
        usage=Usage(
            prompt_tokens=counts[0] or 0,
            completion_tokens=counts[1] or 0,
            cost_usd=answer.cost_usd,
        ),
        latency_s=answer.latency_s or 0.0,
        sent={"brought": f"{path.name}:{answer.row}", "unknown": unknown},
    )


def to_reply(task: Task, text: str) -> ChatReply:
    """Return a text as the reply that a model would have given: for a tool, the call that it is written as."""
    if task.answer.kind != "tool":
        return ChatReply(text=text)
    try:
        calls = tool_calls(json.loads(text), task)
    except (ValueError, RecursionError):
        return ChatReply(text=text)
    return ChatReply(tool_calls=calls) if calls else ChatReply(text=text)


def tool_calls(body: Json, task: Task) -> tuple[ToolCall, ...]:
    """Return the calls that a JSON value is: with name and arguments, as messages and their lists have them, or arguments alone."""
    if isinstance(body, list):
        return tuple(call for part in body for call in tool_calls(part, task))
    if not isinstance(body, dict):
        return ()
    if isinstance(body.get("tool_calls"), list):
        return tool_calls(body["tool_calls"], task)
    if isinstance(body.get("function"), dict):
        return tool_calls(body["function"], task)
    schema: dict[str, Any] = task.answer.json_schema or {}
    own_fields = schema.get("properties", {})
    is_call = {"name", "arguments"} <= body.keys() and "arguments" not in own_fields
    name, arguments = (body["name"], body["arguments"]) if is_call else (task.answer.tool, body)
    written = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return (ToolCall(name=str(name), arguments=written),)


def store_answers(engine: sa.Engine, answers: AnswerImport, path: Path, *, skip_bad: bool) -> None:
    """Store the trials that are not there yet; a measurement scores them.

    Raises: DataError if another answer to one of the examples was brought under the same name before.
    """
    task_id = answers.trials[0].task_id if answers.trials else ""
    before = load_trials(engine, [answers.candidate.id], task_id=task_id)
    known = {(trial.example_id, trial.repeat): trial.output for trial in before}
    fresh = [t for t in answers.trials if (t.example_id, t.repeat) not in known]
    for trial in answers.trials:
        output = known.get((trial.example_id, trial.repeat), trial.output)
        if output != trial.output:
            number = int(str(trial.sent["brought"]).rpartition(":")[2])
            problem = f"{answers.candidate.note!r} has answered example {trial.example_id} before, and otherwise; answers are never replaced: bring these under another name"
            refuse_or_skip(path, BadRow(number, problem), answers.skipped, skip_bad=skip_bad)
    keep_candidate(engine, answers.candidate)
    with TrialWriter(engine) as writer:
        for trial in fresh:
            writer.put(trial, "")
    answers.new = len(fresh)


class _Answered(Protocol):
    """A task with its examples, as the workbench has them."""

    task: Task
    examples: list[Example]
    engine: sa.Engine


def import_answers(
    bench: _Answered,
    path: Path,
    name: str,
    *,
    columns: AnswerColumns | None = None,
    encoding: str | None = None,
    sheet: str | None = None,
    skip_bad: bool = False,
) -> AnswerImport:
    """Read the answers of a file and store them as trials of the candidate `brought:<name>`; a measurement scores them.

    Args and Raises: as `read_answers` and `store_answers`.
    """
    answers = read_answers(
        bench.task,
        bench.examples,
        path,
        name,
        columns=columns,
        encoding=encoding,
        sheet=sheet,
        skip_bad=skip_bad,
    )
    store_answers(bench.engine, answers, path, skip_bad=skip_bad)
    return answers


def check_brought(
    bench: Bench, candidate: Candidate, examples: Sequence[Example], *, split: str
) -> None:
    """Refuse to measure brought answers where there is none to these examples.

    Raises: DataError.
    """
    if not candidate.is_brought:
        return
    wanted = {example.id for example in examples}
    if not any(trial.example_id in wanted for trial in stored(bench, candidate)):
        task = bench.task.name
        raise DataError(
            f"{candidate.model!r} has no answer to an example of split {split!r} under the task's present instructions and form; bring them with: ratchet import-answers FILE --task {task} --candidate {candidate.note}"
        )


def answered_counts(
    answers: AnswerImport, examples: Sequence[Example]
) -> dict[str, tuple[int, int]]:
    """Return how many examples of each split the file answers, and of how many."""
    ids = {trial.example_id for trial in answers.trials}
    total = Counter(str(example.split) for example in examples)
    there = Counter(str(example.split) for example in examples if example.id in ids)
    return {
        split: (there[split], total[split]) for split in ("train", "dev", "test") if total[split]
    }
