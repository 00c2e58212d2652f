"""Candidate: one complete way of doing the task. A prompt and a fine-tune differ only in which part of it changed."""

from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from ratchet.core.records import Json, Record
from ratchet.core.retrieval import Guard, Retrieval

__all__ = [
    "BROUGHT",
    "STORED",
    "Candidate",
    "Decoding",
    "Demonstration",
    "Effort",
    "Nearest",
    "brought_candidate",
]

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
STORED = {"stored": True}
"""The validation context for whoever reads a candidate, or a record that holds one, from the database."""
BROUGHT = "brought:"
"""What the model of a candidate begins with whose answers were collected elsewhere, and that can never be asked."""
STORED_DEFAULTS: dict[str, Json] = {"temperature": 0.0, "max_tokens": 512}
"""What an absent field of a stored candidate means: these were its defaults before a field could be unset (decision 020)."""


class Demonstration(Record):
    """An example shown in the prompt with its answer; always one of the train split."""

    inputs: dict[str, Json]
    answer: Json
    asked: str = ""
    """The question as it was written, where it is another than the template makes of the inputs."""
    said: str = ""
    """The reply as it was written, where it is more than the answer: a model's reasoning, and the answer at its end."""


class Decoding(Record):
    """How the answer is drawn from the model."""

    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    """None leaves it to the model: nothing is sent, and a local model takes the likeliest token."""
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    """The share of the likeliest tokens to draw from; 1 is all of them, which is the same as None."""
    max_tokens: Annotated[int, Field(gt=0)] | None = None
    """The longest answer; None leaves it to the model. What a model thinks before its answer is not counted."""
    thinking_tokens: Annotated[int, Field(gt=0)] | None = None
    """The longest thinking before the answer, for models that think; None leaves it to the model, or to its effort."""
    seed: int | None = None
    constrained: bool = True
    """Force the answer into its form while it is decoded: JSON and tool calls everywhere, labels and numbers where the
    model's probabilities are at hand (local models)."""
    as_json: bool = False
    """Ask for a label or a number as a JSON object, which an endpoint can force by a strict schema."""
    decide: bool = False
    """Take the likeliest label, by one pass over the prompt, and keep the probability of each; where the model's
    probabilities are at hand (local models)."""
    calibration: Literal["prior"] | None = None
    """What is done to the probabilities of a decision: `prior` takes out what the prompt makes likely without its input."""
    samples: Annotated[int, Field(gt=0, le=100)] = 1
    """So many answers are drawn, and the one that most of them agree on is taken."""
    repairs: Annotated[int, Field(ge=0, le=10)] = 0
    """An answer that fails is handed back with what is wrong, at most so many times."""
    repair: str = (
        "That is not a valid answer: {{problem}}. Give the whole answer again, and nothing else."
    )
    """What is said then."""
    effort: Effort | None = None
    """How long a model that thinks before it answers may do so; None leaves it to the model."""

    @field_validator("top_p")
    @classmethod
    def _is_a_limit(cls, top_p: float | None) -> float | None:
        return None if top_p == 1 else top_p

    @property
    def is_plain(self) -> bool:
        """Return whether an answer is one call."""
        return self.samples == 1 and self.repairs == 0

    @model_validator(mode="after")
    def _decision_stands_alone(self) -> Self:
        if self.calibration and not self.decide:
            raise ValueError("calibration is of a decision; set decoding.decide: true too")
        clash = {
            "samples above 1": self.samples > 1,
            "repairs": self.repairs > 0,
            "as_json": self.as_json,
            "constrained: false": not self.constrained,
        }
        if self.decide and any(clash.values()):
            named = next(name for name, is_set in clash.items() if is_set)
            raise ValueError(
                f"decoding.decide takes the likeliest label, once and in its form; leave out {named}"
            )
        return self

    @model_validator(mode="after")
    def _samples_differ(self) -> Self:
        if self.samples > 1 and self.temperature == 0:
            raise ValueError("samples at temperature 0 are all alike; set decoding.temperature too")
        return self


class Nearest(Record):
    """Which demonstrations an input gets to see: those whose inputs, or answers, are most like its own."""

    count: Annotated[int, Field(gt=0)]
    """So many; the nearest stands last, next to the question."""
    embedding: str = "local:minilm"
    """Who tells how alike two inputs are: `local:minilm`, `local:<folder>` or `<endpoint>/<model>`."""
    by: Literal["inputs", "answer"] = "inputs"
    """What is alike: the inputs, or the answers: the model answers once without demonstrations, and that is compared."""
    same_class: bool = False
    """Demonstrations whose answer is of the class of that first answer come first: the same label, a query of the same hardness."""

    @property
    def needs_draft(self) -> bool:
        """Return whether the model answers once to find them."""
        return self.by == "answer" or self.same_class


class Candidate(Record):
    """Model, template, demonstrations and decoding: plain data, named by its content."""

    prefix = "c"
    model: str
    """`local:nano`, `local:<folder>` or `<endpoint>/<model>`."""
    adapter: str | None = None
    """The id of a LoRA adapter in the workspace, for local models."""
    system: str = ""
    """Template of the system message; may use `{{instructions}}`, `{{labels}}`, `{{schema}}` and the input fields."""
    user: str
    """Template of the user message; may use the same names."""
    answer: str = "{{answer}}"
    """How a reply holds the answer: `Answer: {{answer}}` reads what follows the last such words, and writes demonstrations so."""
    demonstrations: tuple[Demonstration, ...] = ()
    nearest: Nearest | None = None
    """Show each input the demonstrations that are nearest to it; None shows all of them to every input."""
    retrieval: Retrieval | None = None
    """Knowledge that is searched for each input; None answers without."""
    guard: Guard | None = None
    """Checks each answer against the passages."""
    decoding: Decoding = Decoding()
    note: Annotated[str, Field(exclude=True)] = ""
    """What changed and why, in a few words; not part of the content, so not of the id."""

    @cached_property
    def id(self) -> str:
        """Return the content id."""
        return self.content_id()

    @property
    def is_local(self) -> bool:
        """Return whether the model runs on this machine, from weights that are at hand."""
        return self.model.startswith("local:")

    @property
    def is_brought(self) -> bool:
        """Return whether the answers were collected elsewhere: the stored ones are all that there will be."""
        return self.model.startswith(BROUGHT)

    @model_validator(mode="before")
    @classmethod
    def _reads_what_was_stored(cls, body: Any, info: ValidationInfo) -> Any:
        """Return the body of a stored candidate with the defaults that it was stored under."""
        if not (info.context or {}).get("stored") or not isinstance(body, dict):
            return body
        if str(body.get("model", "")).startswith("local:"):
            return body  # unset and the defaults of old are the same there
        decoding = body.get("decoding") or {}
        if not isinstance(decoding, dict):
            return body  # which is no candidate, and is told so
        return {**body, "decoding": {**STORED_DEFAULTS, **decoding}}

    @model_serializer(mode="wrap")
    def _write(
        self, handler: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> dict[str, Json]:
        """Return the record as plain values; without defaults it is written as candidates always were, so that ids stay.

        A field that equals the default of old is left out, as it was. One that is unset is written as null, but for a local
        model, where unset and the defaults of old are the same way of answering.
        """
        body: dict[str, Json] = handler(self)
        if not info.exclude_defaults:
            return body
        decoding = dict(body.pop("decoding", {}))
        for name, default in STORED_DEFAULTS.items():
            value = getattr(self.decoding, name)
            if value == default:
                decoding.pop(name, None)
            elif value is None and not self.is_local:
                decoding[name] = None
        return {**body, "decoding": decoding} if decoding else body

    @model_validator(mode="after")
    def _unsets_what_a_local_model_does_anyway(self) -> Self:
        """Keep one form of a local candidate: the defaults of old are what it does where nothing is named."""
        named = {
            name for name, usual in STORED_DEFAULTS.items() if getattr(self.decoding, name) == usual
        }
        if self.is_local and named:
            self.__dict__["decoding"] = self.decoding.model_copy(update=dict.fromkeys(named))
        return self

    @model_validator(mode="after")
    def _samples_differ(self) -> Self:
        if self.is_local and self.decoding.samples > 1 and not self.decoding.temperature:
            raise ValueError(
                "samples of a local model without a temperature are all alike; set decoding.temperature too"
            )
        return self

    @model_validator(mode="after")
    def _has_an_answer(self) -> Self:
        if self.answer.count("{{answer}}") != 1:
            raise ValueError(
                f"answer says how a reply holds the answer, and has {{{{answer}}}} once; got {self.answer!r}"
            )
        if self.guard and self.retrieval is None:
            raise ValueError("a guard checks answers against passages, and there is no retrieval")
        if self.nearest and self.nearest.count > len(self.demonstrations):
            raise ValueError(
                f"nearest.count is {self.nearest.count}, and there are {len(self.demonstrations)} demonstrations to choose from"
            )
        return self

    @property
    def calls(self) -> tuple[int, int]:
        """Return how many calls an answer takes at least and at most, those of models that are asked on the way too."""
        drawing, found = self.decoding, self.retrieval.calls if self.retrieval else (0, 0)
        more = 1 if self.nearest and self.nearest.needs_draft else 0
        checking = (1, 2) if self.guard else (0, 0)
        return (
            drawing.samples + found[0] + more + checking[0],
            drawing.samples * (1 + drawing.repairs) + found[1] + more + checking[1],
        )

    def changed(self, **parts: object) -> "Candidate":
        """Return a copy with some parts replaced and checked again; without its note, which is of how it was before."""
        known = {name: getattr(self, name) for name in type(self).model_fields}
        return Candidate.model_validate({**known, "note": "", **parts})


def brought_candidate(name: str) -> Candidate:
    """Return the candidate that stands for answers that were collected elsewhere, under a name of the user's."""
    return Candidate(model=f"{BROUGHT}{name}", user="", note=name)
