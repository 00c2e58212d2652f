"""Edit examples: what people changed becomes the next dataset version, whole or not at all."""

from collections.abc import Sequence

import sqlalchemy as sa

from ratchet.core import Example, Task
from ratchet.core.errors import DataError
from ratchet.data.splits import Outline
from ratchet.store import Dataset, add_dataset, latest_dataset, load_examples
from ratchet.store.edits import Edit, load_edits, settle_edits

__all__ = ["as_version", "restore"]


def as_version(engine: sa.Engine, task: Task, *, who: str) -> tuple[Dataset, list[Edit]]:
    """Return the version that holds all changes that wait, and those that could not be made: their example is there no more.

    A changed example keeps its split and its place; added ones are divided like imported ones.

    Raises: DataError if nothing waits, or nothing can be made.
    """
    waiting = [one for one in load_edits(engine, task.name, waiting=True, limit=100_000) if one.what in ("changed", "added", "removed")]  # fmt: skip
    if not waiting:
        raise DataError("no change waits")
    before = load_examples(engine, latest_dataset(engine, task.name))
    there = {example.id for example in before}
    lost = [one for one in waiting if one.what != "added" and one.example_id not in there]
    made = [one for one in reversed(waiting) if one not in lost]
    if not made:
        raise DataError("the examples that were changed are there no more: somebody else changed them first")  # fmt: skip
    changed = {one.example_id: one for one in made if one.what != "added"}
    kept: dict[str, Example] = {}
    for example in before:
        edit = changed.get(example.id)
        if edit is None:
            kept.setdefault(example.id, example)
        elif edit.what == "changed":
            becomes = example_in(edit).model_copy(update={"split": example.split})
            kept.setdefault(becomes.id, becomes)
    fresh = [example_in(one) for one in made if one.what == "added"]
    rows = divided(task, list(kept.values()), [one for one in fresh if one.id not in kept])
    dataset = add_dataset(engine, task.name, rows, source=f"edited by {who}")
    settle_edits(engine, task.name, [one.id for one in made], dataset.version)
    return dataset, lost


def example_in(edit: Edit) -> Example:
    """Return what an edit makes of an example."""
    return Example.model_validate(edit.body["example"])


def divided(task: Task, known: Sequence[Example], fresh: Sequence[Example]) -> list[Example]:
    """Return examples with those that were added, each in a split."""
    if not fresh:
        return list(known)
    outline = Outline()
    for example in (*known, *fresh):
        outline.add(example)
    splits = outline.divide(task.splits, known=[one.split for one in (*known, *fresh)])
    placed = (one.model_copy(update={"split": s}) for one, s in zip(fresh, splits[len(known) :], strict=True))  # fmt: skip
    return [*known, *placed]


def restore(engine: sa.Engine, dataset: Dataset, *, who: str) -> Dataset:
    """Return the newest version, which has the examples of an earlier one."""
    rows = load_examples(engine, dataset)
    return add_dataset(engine, dataset.task, rows, source=f"version {dataset.version}, restored by {who}")  # fmt: skip
