"""Guess from the first rows which columns are inputs, which one is the answer, and which form and metric fit it.

A guess is shown to the user and written into the task's file, where it can be changed.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from ratchet.core import AnswerForm, InputField, Json, MetricSpec, Roles, SplitSpec, Task
from ratchet.core.errors import DataError, did_you_mean
from ratchet.data.rows import Row, is_deep

__all__ = ["Guess", "guess_columns", "guess_task"]

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
ID_NAMES = ("id", "uuid", "key", "example_id", "row_id", "uid")
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
LEFT_OUT = ("metadata", "source", "split", "created_at", "timestamp")
MOST_LABELS = 200


@dataclass(frozen=True, kw_only=True)
class Guess:
    """Which column plays which part, and why."""

    inputs: tuple[str, ...]
    answer: str
    identity: str | None = None
    group: str | None = None
    knowledge: str | None = None
    """What one must know to answer: a text, or a list of texts, files or titles."""
    split: str | None = None
    """Which split a row belongs to: train, dev or test."""
    left_out: tuple[str, ...] = ()
    reasons: tuple[str, ...] = field(default=())


def guess_columns(
    rows: Sequence[Row],
    *,
    inputs: Sequence[str] = (),
    answer: str | None = None,
    group: str | None = None,
    knowledge: str | None = None,
    split: str | None = None,
) -> Guess:
    """Return the part that each column plays; what the caller names is taken as it is.

    Raises: DataError if there is no row, a named column is missing, or fewer than two columns can be told apart.
    """
    if not rows:
        raise DataError("there are no rows to guess from: the file has a header and nothing else")
    names = list(dict.fromkeys(name for row in rows for name in row.values))
    named = [*filter(None, [knowledge, split])]
    for asked in (*inputs, *filter(None, [answer, group]), *named):
        if asked not in names:
            raise DataError(
                f"there is no column {asked!r}; the columns are {', '.join(map(repr, names))}.{did_you_mean(asked, names)}"
            )
    low = {name.lower(): name for name in names}
    chosen_answer = answer or next(
        (low[known] for known in ANSWER_NAMES if known in low and low[known] not in inputs), None
    )
    identity = next(
        (low[known] for known in ID_NAMES if known in low and is_identity(rows, low[known])), None
    )
    chosen_group = group or next(
        (low[known] for known in GROUP_NAMES if known in low and low[known] not in inputs), None
    )
    spare = [
        n
        for n in names
        if n not in (identity, chosen_group, chosen_answer, *named) and n.lower() not in LEFT_OUT
    ]
    reasons = []
    if chosen_answer is None:
        if len(spare) < 2:
            raise DataError(
                f"the columns {names!r} do not tell input and answer apart; name them with --input and --answer"
            )
        chosen_answer = spare.pop()
        reasons.append(f"no column has the name of an answer; took the last one, {chosen_answer!r}")
    chosen = tuple(inputs) or tuple(name for name in spare if name not in (chosen_answer, "tool"))
    if not chosen:
        raise DataError(
            f"no column is left as an input beside the answer {chosen_answer!r}; name one with --input"
        )
    left = tuple(
        n for n in names if n not in (*chosen, chosen_answer, identity, chosen_group, *named)
    )
    return Guess(
        inputs=chosen,
        answer=chosen_answer,
        identity=identity,
        group=chosen_group,
        knowledge=knowledge,
        split=split,
        left_out=left,
        reasons=tuple(reasons),
    )


def is_identity(rows: Sequence[Row], name: str) -> bool:
    values = [row.values.get(name) for row in rows]
    return all(isinstance(value, str | int) for value in values)


def guess_task(
    name: str,
    rows: Sequence[Row],
    guess: Guess,
    *,
    model: str,
    teacher: str | None = None,
    instructions: str = "",
) -> Task:
    """Return a task for the guessed columns: answer form and metric follow from the answers' values, and the instructions where none are given."""
    answers = [parsed(row.values.get(guess.answer)) for row in rows]
    form, metric, guessed = guess_form(guess.answer, [a for a in answers if a is not None])
    systems = {str(row.values["system"]) for row in rows if row.values.get("system")}
    if len(systems) == 1 and "system" in guess.inputs:
        guessed = systems.pop()
        guess = Guess(**{**vars(guess), "inputs": tuple(n for n in guess.inputs if n != "system")})
    return Task(
        name=name,
        instructions=instructions.strip() or guessed,
        inputs=tuple(InputField(name=field_name(n)) for n in guess.inputs),
        answer=form,
        metric=metric,
        splits=SplitSpec(group_by=guess.group),
        models=Roles(student=model, teacher=teacher),
    )


def field_name(column: str) -> str:
    """Return a column's name as a field of a template: letters, digits and _ alone, an ASCII letter or _ first."""
    name = re.sub(r"\W+", "_", column.strip()).strip("_") or "input"
    return name if re.match(r"[A-Za-z_]", name) else f"_{name}"


def parsed(value: Json) -> Json:
    """Return a cell as JSON where it is an object or list written as text."""
    if isinstance(value, str) and value.strip()[:1] in ("{", "["):
        try:
            body = json.loads(value)
        except (ValueError, RecursionError):
            return value
        return value if is_deep(body) else body
    return value


def guess_form(column: str, answers: list[Json]) -> tuple[AnswerForm, MetricSpec, str]:
    if answers and all(isinstance(a, list | dict) for a in answers):
        return structured_form(column, answers)
    texts = [str(a).strip() for a in answers]
    if (
        texts and all(is_number(t) for t in texts) and len(set(texts)) > 10
    ):  # fewer look like labels
        return (
            AnswerForm(kind="number"),
            MetricSpec(name="number"),
            f"Answer with the {column}: one number and nothing else.",
        )
    labels = sorted(set(texts))
    repeats = len(texts) / max(1, len(labels))
    if (
        2 <= len(labels) <= MOST_LABELS and repeats >= 3 and max(map(len, labels)) <= 80
    ):  # a rule of thumb
        return (
            AnswerForm(kind="label", labels=tuple(labels)),
            MetricSpec(name="label"),
            f"Choose the {column}. Answer with the label alone.",
        )
    return (
        AnswerForm(kind="text"),
        MetricSpec(name="match"),
        f"Answer with the {column} and nothing else.",
    )


def is_number(text: str) -> bool:
    return re.fullmatch(r"[-+]?\d[\d,]*(\.\d+)?([eE][-+]?\d+)?", text) is not None


def structured_form(column: str, answers: list[Json]) -> tuple[AnswerForm, MetricSpec, str]:
    if all(isinstance(a, list) for a in answers):
        answers = [{column: a} for a in answers]
    schema = infer_schema(answers)
    listed = next(
        (
            n
            for n, s in schema["properties"].items()
            if s.get("type") == "array" and s["items"].get("type") == "object"
        ),
        None,
    )
    instructions = "Answer with a JSON object: {{schema}}"
    if listed:
        properties = schema["properties"][listed]["items"]["properties"]
        label = next((n for n, s in properties.items() if "enum" in s), None)
        text = next((n for n, s in properties.items() if s == {"type": "string"}), None)
        if label and text:
            options = {"list": listed, "text": text, "label": label}
            return (
                AnswerForm(kind="json", json_schema=schema),
                MetricSpec(name="spans", options=options),
                instructions,
            )
    return AnswerForm(kind="json", json_schema=schema), MetricSpec(name="fields"), instructions


def infer_schema(values: list[Json]) -> dict[str, Json]:
    """Return the smallest JSON schema, of the kinds that are used here, that all values fit."""
    present = [v for v in values if v is not None]
    if present and all(isinstance(v, dict) for v in present):
        names = list(dict.fromkeys(name for v in present for name in v))
        properties = {name: infer_schema([v[name] for v in present if name in v]) for name in names}
        required = [name for name in names if all(name in v for v in present)]
        return {
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": False,
        }
    if present and all(isinstance(v, list) for v in present):
        return {"type": "array", "items": infer_schema([item for v in present for item in v])}
    if present and all(isinstance(v, bool) for v in present):
        return {"type": "boolean"}
    if present and all(isinstance(v, int) and not isinstance(v, bool) for v in present):
        return {"type": "integer"}
    if present and all(isinstance(v, int | float) and not isinstance(v, bool) for v in present):
        return {"type": "number"}
    texts = {v for v in present if isinstance(v, str)}
    few = (
        len(texts) <= 60 and len(present) >= 5 * len(texts) and all(len(t) <= 40 for t in texts)
    )  # a rule of thumb
    if present and few and len(texts) > 1:
        return {"type": "string", "enum": sorted(texts)}
    return {"type": "string"}
