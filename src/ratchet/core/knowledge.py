"""Knowledge: passages of documents that an answer may stand on, in immutable versions."""

from functools import cached_property
from typing import Annotated, Literal

from pydantic import Field

from ratchet.core.records import Json, Record

__all__ = ["Chunking", "Knowledge", "Passage"]


class Passage(Record):
    """A piece of a document; its id is its content, so that what did not change is never embedded again."""

    prefix = "p"
    text: str
    title: str = ""
    """Of the document."""
    section: str = ""
    """The headings that it stands under, outermost first."""
    source: str = ""
    """The file, as it was named."""
    date: str | None = None
    """Of the document, as YYYY-MM-DD, where it is known."""
    meta: dict[str, Json] = {}

    @cached_property
    def id(self) -> str:
        """Return the content id."""
        return self.content_id()

    @property
    def searched(self) -> str:
        """Return the text that is searched: title and section say what the passage is about."""
        head = " · ".join(part for part in (self.title, self.section) if part)
        return f"{head}\n{self.text}" if head else self.text


class Chunking(Record):
    """How documents are cut into passages."""

    by: Literal["heading", "sentence", "window"] = "heading"
    """Sections, cut between sentences where they are long; sentences, packed; or windows of words."""
    size: Annotated[int, Field(gt=0)] = 180
    """Words of a passage, at most."""
    overlap: Annotated[int, Field(ge=0)] = 30
    """Words, about, that a passage shares with the one before it in the same section."""


class Knowledge(Record):
    """One version of a knowledge base."""

    name: str
    version: int
    id: str
    """The content id of its passages, in order."""
    passages: int
    sources: int
    chunking: Chunking = Chunking()
    cut_from: str = ""
    """The knowledge base whose documents a lever cut otherwise, for one that no person made."""
