"""Candidate: one complete way of doing the task. A prompt and a fine-tune differ only in which part of it changed."""

from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ratchet.core.records import Json, Record
from ratchet.core.retrieval import Guard, Retrieval

__all__ = ["Candidate", "Decoding", "Demonstration", "Effort", "Nearest"]

Effort = Literal["minimal", "low", "medium", "high"]


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

    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    max_tokens: Annotated[int, Field(gt=0)] = 512
    seed: int | None = None
    constrained: bool = True
    """Force the answer into the task's schema while it is decoded (forms `json` and `tool`)."""
    samples: Annotated[int, Field(gt=0, le=100)] = 1
    """So many answers are drawn, and the one that most of them agree on is taken."""
    repairs: Annotated[int, Field(ge=0, le=10)] = 0
    """An answer that fails is handed back with what is wrong, at most so many times."""
    repair: str = (
        "That is not a valid answer: {{problem}}. Give the whole answer again, and nothing else."
    )
    """What is said then."""
    effort: Effort | None = None
    """How long a model that reasons before it answers may do so; None leaves it to the model."""

    @property
    def is_plain(self) -> bool:
        """Return whether an answer is one call."""
        return self.samples == 1 and self.repairs == 0

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
