"""Example: one input with its reference answer, where it came from, and what knowledge it needs, if known."""

from functools import cached_property
from typing import Literal

from ratchet.core.records import Json, Record, content_id

__all__ = ["Example", "Split"]

Split = Literal["train", "dev", "test"]


class Example(Record):
    """One input with its reference answer.

    The id is the hash of inputs and reference alone: the same row from another file is the same example, and a corrected
    reference is another one, so that no trial is ever scored against an answer that it was not measured on.
    """

    prefix = "e"
    inputs: dict[str, Json]
    reference: Json
    name: str | None = None
    """The id that the user's file gives this row, if any."""
    source: str = ""
    """Where it came from: file and row."""
    group: str | None = None
    """Examples of one group never straddle splits."""
    knowledge: tuple[str, ...] = ()
    """What one must know to answer, if known."""
    split: Split | None = None

    @cached_property
    def id(self) -> str:
        """Return the content id of inputs and reference."""
        return content_id(self.prefix, {"inputs": self.inputs, "reference": self.reference})
