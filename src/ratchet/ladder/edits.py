"""What a challenger changed: each part of the candidate that differs, its text word by word."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

import sqlalchemy as sa

from ratchet.core import Candidate, Record, Step
from ratchet.core.records import canonical_json, written
from ratchet.store import find_candidate

__all__ = ["Edit", "edits", "edits_of"]

WORD = re.compile(r"\s+|\w+|\{\{.*?\}\}|[^\w\s]")
Kind = Literal["same", "out", "in"]


@dataclass(frozen=True)
class Edit:
    """One part that differs."""

    part: str
    """A field of the candidate: model, system, decoding and so on."""
    pieces: tuple[tuple[Kind, str], ...]
    """Its text in order: what both have, what went out, what came in."""


def edits(before: Candidate, after: Candidate) -> list[Edit]:
    """Return what differs between two candidates, part by part."""
    found = []
    for part in Candidate.model_fields:
        if part == "note":  # says what changed, and is no part of it
            continue
        old, new = (shown(candidate, part) for candidate in (before, after))
        if old != new:
            found.append(Edit(part, worded(old, new)))
    return found


def shown(candidate: Candidate, part: str) -> str:
    """Return a part as text; what is unset, or is as it always is unless it is named, is left out."""
    if part == "demonstrations":
        return "\n".join(
            f"{canonical_json(one.inputs)} → {one.said or canonical_json(one.answer)}"
            for one in candidate.demonstrations
        )
    value = getattr(candidate, part)
    if isinstance(value, Record):
        return "\n".join(f"{name}: {written(each)}" for name, each in value.plain().items())
    return str(value or "")


def worded(old: str, new: str) -> tuple[tuple[Kind, str], ...]:
    """Return two texts as one, word by word."""
    a, b = WORD.findall(old), WORD.findall(new)
    pieces: list[tuple[Kind, str]] = []
    for tag, a1, a2, b1, b2 in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if tag == "equal":
            pieces.append(("same", "".join(a[a1:a2])))
            continue
        if a2 > a1:
            pieces.append(("out", "".join(a[a1:a2])))
        if b2 > b1:
            pieces.append(("in", "".join(b[b1:b2])))
    return tuple(pieces)


def edits_of(engine: sa.Engine, steps: Sequence[Step]) -> dict[int, list[Edit]]:
    """Return for each rung with a verdict, by its number, what its challenger changed in the champion of that moment."""
    return {
        step.number: edits(
            find_candidate(engine, step.verdict.champion_id),
            find_candidate(engine, step.candidate_id),
        )
        for step in steps
        if step.verdict
    }
