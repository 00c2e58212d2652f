"""Edit examples: what people changed becomes the next dataset version, whole or not at all."""

from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from ratchet.core import Example, Task
from ratchet.core.errors import DataError
from ratchet.data.splits import Outline
from ratchet.store import Dataset, add_dataset, latest_dataset, load_examples
from ratchet.store.edits import CHANGES, Edit, load_edits, settle_edits

__all__ = ["as_version", "restore"]

MOST = 1_000_000
"""Changes that one version takes."""


def as_version(
    engine: sa.Engine, task: Task, *, who: str, sealed: bool = True
) -> tuple[Dataset, list[Edit]]:
    """Return the version that holds all changes that wait, and those that could not be made: their example is there no more.

    A changed example keeps its split and its place; added ones are divided like imported ones.

    Args:
        engine: The database.
        task: The task.
        who: Saves them.
        sealed: Whether changes of test examples stay out.
    Raises: DataError if nothing waits, nothing can be made, or nothing would be left.
    """
    waiting = load_edits(engine, task.name, waiting=True, what=CHANGES, limit=MOST)
    if not waiting:
        raise DataError("no change waits")
    newest = latest_dataset(engine, task.name)
    before = load_examples(engine, newest)
    there = {example.id: example for example in before}
    lost = [one for one in waiting if not fits(one, there, sealed=sealed)]
    made = [one for one in reversed(waiting) if one not in lost]
    if not made:
        raise DataError("nothing can be changed: the examples are there no more as somebody else changed them first, are sealed, or would be another one's twin")  # fmt: skip
    changed = {one.example_id: one for one in made if one.what != "added"}
    kept: dict[str, Example] = {}
    for example in before:
        edit = changed.get(example.id)
        if edit is None:
            kept.setdefault(example.id, example)
        elif edit.what == "changed":
            becomes = example_in(edit).model_copy(update={"split": example.split})
            kept.setdefault(becomes.id, becomes)
    if not kept:
        raise DataError("no example would be left; keep one at least")
    fresh = {example.id: example for example in (example_in(one) for one in made if one.what == "added")}  # fmt: skip
    rows = divided(task, list(kept.values()), [one for name, one in fresh.items() if name not in kept])  # fmt: skip

    def settle(connection: sa.Connection, dataset: Dataset) -> None:
        renamed = {one.example_id: example_in(one).id for one in made if one.what == "changed"}
        settle_edits(connection, task.name, [one.id for one in made], dataset.version, renamed)

    source = f"edited by {who}"
    made_of = newest.version
    return add_dataset(engine, task.name, rows, source=source, after=made_of, settle=settle), lost


def fits(edit: Edit, there: Mapping[str, Example], *, sealed: bool) -> bool:
    """Return whether an edit can be made: of an example that is there, not sealed, and into none that stands in another split."""
    if edit.what == "added":
        return True
    example = there.get(edit.example_id)
    if example is None or (sealed and example.split == "test"):
        return False
    twin = there.get(example_in(edit).id) if edit.what == "changed" else None
    return twin is None or twin.split == example.split


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
