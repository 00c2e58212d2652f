"""Task: what a model must do — input fields, the answer's form, instructions, and the metric that scores it."""

import re
from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from ratchet.core.example import Example
from ratchet.core.policy import Policy
from ratchet.core.records import Json, Record, content_id
from ratchet.core.schemas import schema_problem, standard_types

__all__ = ["AnswerForm", "FormKind", "InputField", "MetricSpec", "Roles", "SplitSpec", "Task"]

FormKind = Literal["text", "label", "number", "json", "tool", "sql"]
READ_ANEW: dict[str, int] = {"label": 1, "number": 1, "json": 1, "tool": 1, "sql": 1}
"""Kinds of answers that are asked for or read otherwise than before, and how often that has changed: answers of before are not mixed
with those of today."""
TASK_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
"""It is the name of a file, too."""
Share = Annotated[float, Field(gt=0, lt=1)]


class InputField(Record):
    """One input of the task."""

    name: str
    description: str = ""

    @field_validator("name")
    @classmethod
    def _is_a_name(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z_]\w*", name):
            raise ValueError(
                f"a field name is letters, digits and _, and starts with no digit; got {name!r}"
            )
        return name


class AnswerForm(Record):
    """The form that an answer must have."""

    kind: FormKind = "text"
    labels: tuple[str, ...] = ()
    """The labels to choose from, for kind `label`."""
    json_schema: dict[str, Json] | None = None
    """The schema of the object (kind `json`) or of the arguments (kind `tool`)."""
    tool: str | None = None
    """The name of the tool to call, for kind `tool`."""
    description: str = ""
    """What the tool does, in the words that the model reads."""
    database: str | None = None
    """The SQLite file that a query is for, from the workspace's folder, for kind `sql`; may use input fields: `databases/{{db_id}}.sqlite`."""
    absent: str | None = None
    """What is answered where the knowledge does not hold it, for kind `text`: a reference that is this, or null, is right only so."""
    check: str | None = None
    """A function of yours, `file.py:name`, that is given inputs and answer and returns what is wrong with it, or nothing; `repairs` hand that back."""
    check_digest: str = ""
    """Of the file that `check` is in, as it was read: set by the workspace."""
    max_tokens: Annotated[int, Field(gt=0)] | None = None
    """The longest answer, which the start candidate takes; None leaves it to the model, or to the form."""

    @field_validator("json_schema")
    @classmethod
    def _has_standard_types(cls, schema: dict[str, Json] | None) -> dict[str, Json] | None:
        return None if schema is None else standard_types(schema)

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.kind == "label" and len(set(self.labels)) < 2:
            raise ValueError(
                "an answer of kind 'label' needs at least two different labels in answer.labels"
            )
        if self.kind in ("json", "tool") and not self.json_schema:
            raise ValueError(f"an answer of kind {self.kind!r} needs answer.json_schema")
        if self.kind == "tool" and not self.tool:
            raise ValueError("an answer of kind 'tool' needs answer.tool, the name of the tool")
        if self.absent is not None and (self.kind != "text" or not self.absent.strip()):
            raise ValueError(
                f"answer.absent is a text, for answers of kind 'text'; got {self.absent!r} for kind {self.kind!r}"
            )
        if self.database and self.kind != "sql":
            raise ValueError(
                f"answer.database is for answers of kind 'sql', and this one is of kind {self.kind!r}"
            )
        return self


class MetricSpec(Record):
    """Which metric scores the task, and its options."""

    name: str
    options: dict[str, Json] = {}


class SplitSpec(Record):
    """How examples are divided; the shares must sum to one."""

    train: Share = 0.6
    dev: Share = 0.2
    test: Share = 0.2
    seed: int = 0
    group_by: str | None = None
    """A column of the file; examples with the same value never straddle splits (a conversation, a document, a form)."""

    @model_validator(mode="after")
    def _sums_to_one(self) -> Self:
        if abs(self.train + self.dev + self.test - 1) > 1e-9:
            raise ValueError(f"split sizes must sum to 1, got {(self.train, self.dev, self.test)}")
        return self


class Roles(Record):
    """Which model plays which part; a name is `local:nano`, `local:<folder>` or `<endpoint>/<model>`."""

    student: str
    """The model to improve and to serve."""
    teacher: str | None = None
    """A stronger model that may show how it is done."""


class Task(Record):
    """What a model must do, and how an answer is scored."""

    prefix = "t"
    name: str
    instructions: str
    inputs: Annotated[tuple[InputField, ...], Field(min_length=1)]
    answer: AnswerForm = AnswerForm()
    metric: MetricSpec
    splits: SplitSpec = SplitSpec()
    models: Roles
    margin: Annotated[float, Field(ge=0, lt=1)] = 0.02
    """The largest loss of score that still counts as "not worse" (0.02 is two points)."""
    admit: Policy = Policy()
    """What a challenger must keep beside a better score."""

    @field_validator("name")
    @classmethod
    def _is_a_file_name(cls, name: str) -> str:
        if not TASK_NAME.fullmatch(name):
            raise ValueError(f"a task name is lower-case letters, digits, - and _; got {name!r}")
        return name

    @field_validator("inputs")
    @classmethod
    def _have_their_own_names(cls, inputs: tuple[InputField, ...]) -> tuple[InputField, ...]:
        names = [field.name for field in inputs]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"each input needs its own name; {twice!r} stands twice in {names!r}")
        return inputs

    @model_validator(mode="after")
    def _has_its_slices(self) -> Self:
        if unknown := sorted(set(self.admit.slices) - {field.name for field in self.inputs}):
            raise ValueError(
                f"admit.slices names {unknown[0]!r}, which is no input; the inputs are {', '.join(self.input_names)}"
            )
        return self

    @model_validator(mode="after")
    def _has_a_sound_schema(self) -> Self:
        if self.answer.json_schema:
            problem = schema_problem(self.answer.json_schema)
            if problem:
                raise ValueError(
                    f"task {self.name!r}: answer.json_schema is no JSON Schema {problem}"
                )
        return self

    @cached_property
    def asking_id(self) -> str:
        """Return the id of what shapes a request and how its reply is read: instructions, inputs and answer form.

        Trials are kept under it, so that an edited instruction is never scored by answers to the old one.
        """
        parts: dict[str, Json] = {
            "instructions": self.instructions,
            "inputs": list(self.input_names),
            "answer": self.answer.model_copy(update={"max_tokens": None}).plain(),
        }
        if revision := READ_ANEW.get(self.answer.kind):
            parts["revision"] = revision
        return content_id("q", parts)

    def is_labelled(self, example: Example) -> bool:
        """Return whether an example says what is right: it has a reference, or the task takes none for "it cannot be known"."""
        reference = example.reference
        is_blank = reference is None or (isinstance(reference, str) and not reference.strip())
        return not is_blank or self.answer.absent is not None

    @property
    def input_names(self) -> tuple[str, ...]:
        """Return the names of the input fields, in order."""
        return tuple(field.name for field in self.inputs)
