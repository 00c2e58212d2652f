"""Retrieval: how a candidate finds the passages that an input gets to see; each part is a rung that has to pay for itself."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ratchet.core.records import Record

__all__ = [
    "Compressing",
    "Filtering",
    "Guard",
    "Reranking",
    "Retrieval",
    "Rewriting",
    "Routing",
    "Tables",
]


class Rewriting(Record):
    """A model makes of the query what is searched: another wording, a hypothetical answer (HyDE), or several questions."""

    prompt: str
    """Template of what it is asked, with `{{query}}`."""
    several: bool = False
    """Each line of the reply is searched, and the query itself too, and the rankings are fused; else the reply stands for the query."""
    model: str | None = None
    """Left out, the candidate's own."""
    max_tokens: Annotated[int, Field(gt=0)] = 128


class Routing(Record):
    """Where a query is sent: to one of several knowledge bases, to tables, or nowhere."""

    choices: Annotated[dict[str, str], Field(min_length=2)]
    """From the id of a version (or its name), `tables` or `none` to what is found there, in words."""
    by: Literal["model", "nearest"] = "model"
    """The model is asked; or the choice is taken whose words and questions are nearest to the query."""
    prompt: str = ""
    """Template of what the model is asked, with `{{query}}` and `{{choices}}`: `name` and `text` of each."""
    questions: dict[str, tuple[str, ...]] = {}
    """Questions that are known to belong to a choice, for `nearest`."""
    model: str | None = None

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.by == "model" and not self.prompt:
            raise ValueError("routing by a model needs routing.prompt, what it is asked")
        if unknown := sorted(self.questions.keys() - self.choices.keys()):
            raise ValueError(
                f"routing.questions names {unknown[0]!r}, which is none of the choices"
            )
        return self


class Tables(Record):
    """A database that is asked by a query of the model's; the rows are a passage."""

    database: str
    """A SQLite file from the workspace's folder, or a PostgreSQL URL; it is opened for reading."""
    prompt: str
    """Template of what the model is asked, with `{{query}}` and `{{schema}}`."""
    rows: Annotated[int, Field(gt=0, le=1000)] = 20
    model: str | None = None


class Filtering(Record):
    """Only passages of the class that the query is about: a model, or the nearest words, tell which value of a column that is."""

    field: str
    """A column of the passages' metadata, or source, title or date."""
    by: Literal["model", "nearest"] = "model"
    prompt: str = ""
    """Template of what the model is asked, with `{{query}}` and `{{choices}}`."""
    model: str | None = None

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.by == "model" and not self.prompt:
            raise ValueError("filtering by a model needs filtering.prompt, what it is asked")
        return self


class Reranking(Record):
    """More passages are found than shown, and those that come first are shown."""

    by: Literal["cross-encoder", "model", "newest"]
    """A model that reads query and passage together; a chat model that orders them; or the date, newest first."""
    depth: Annotated[int, Field(gt=0, le=200)] = 20
    """So many are looked at."""
    model: str | None = None
    """The folder of a cross-encoder as `local:<folder>`; or a chat model, left out the candidate's own."""
    prompt: str = ""
    """Template of what a chat model is asked, with `{{query}}` and `{{passages}}`."""

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.by == "cross-encoder" and not self.model:
            raise ValueError(
                "a cross-encoder is named in reranking.model, as local:<folder> with a sequence classifier of transformers"
            )
        if self.by == "model" and not self.prompt:
            raise ValueError("reranking by a model needs reranking.prompt, what it is asked")
        return self


class Compressing(Record):
    """Of each passage only what bears on the query is shown."""

    by: Literal["sentences", "model"] = "sentences"
    """The sentences nearest to the query, in their order; or what a model makes of each passage."""
    words: Annotated[int, Field(gt=0)] = 60
    """Of a passage, about, for `sentences`."""
    prompt: str = ""
    """Template of what a model is asked, with `{{query}}` and `{{text}}`."""
    model: str | None = None

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.by == "model" and not self.prompt:
            raise ValueError("compressing by a model needs compressing.prompt, what it is asked")
        return self


class Retrieval(Record):
    """Which passages of a knowledge base an input gets to see, as `{{passages}}`: number, text, title, section, date and source of each.

    What a model is asked on the way is written out here, counts as the candidate's own cost, and its replies are data.
    """

    knowledge: str
    """The id of a version; a name (`docs`, `docs@2`) is what it stands for when it is asked."""
    k: Annotated[int, Field(gt=0, le=100)] = 4
    mode: Literal["lexical", "dense", "hybrid", "gold", "none"] = "hybrid"
    """How they are found. `gold` shows what the example says one must know, and `none` nothing: for the diagnosis, and never served."""
    embedding: str = "local:minilm"
    weight: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Of the dense ranking, where both are fused."""
    query: str = ""
    """Template of what is searched; empty is the text of all inputs."""
    language: str = "english"
    """Of the words that search by words stems and leaves out, as Snowball names it."""
    where: dict[str, str] = {}
    """Only passages with these values; templates, which may use input fields."""
    rewriting: Rewriting | None = None
    routing: Routing | None = None
    tables: Tables | None = None
    """Where `routing` may send a query."""
    filtering: Filtering | None = None
    reranking: Reranking | None = None
    around: Annotated[int, Field(ge=0, le=10)] = 0
    """So many passages before and after each, of the same file, are shown with it."""
    compressing: Compressing | None = None
    order: Literal["best first", "best last", "as written"] = "best first"

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.routing and "tables" in self.routing.choices and self.tables is None:
            raise ValueError("routing to `tables` needs retrieval.tables: a database and a prompt")
        return self

    citations: bool = False
    """A reply names its passages as [1] or [2, 3]; that is taken off its answer before it is scored."""

    @property
    def calls(self) -> tuple[int, int]:
        """Return how many calls of models finding passages takes, at least and at most."""
        if self.is_counterfactual:
            return 0, 0
        asked = (self.filtering, self.reranking)
        searching = sum(part is not None and part.by == "model" for part in asked)
        searching += self.rewriting is not None
        if self.compressing and self.compressing.by == "model":
            searching += self.k
        if self.routing is None:
            return searching, searching
        routing = int(self.routing.by == "model")
        return routing, routing + max(searching, int(self.tables is not None))

    @property
    def is_counterfactual(self) -> bool:
        """Return whether this is a question of the diagnosis, and no way to answer."""
        return self.mode in ("gold", "none")


class Guard(Record):
    """An answer is checked against the passages that it was given: how much of what it claims do they say (faithfulness)?"""

    threshold: Annotated[float, Field(gt=0, le=1)] = 0.7
    """Under this share of its claims an answer is held back, or marked."""
    action: Literal["block", "flag"] = "block"
    model: str | None = None
    """Who checks; left out, the candidate's own."""
    says: Annotated[str, Field(min_length=1)] = (
        "I cannot answer that from the knowledge that I have."
    )
    """What stands in place of an answer that is held back."""
