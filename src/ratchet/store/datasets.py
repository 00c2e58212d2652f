"""Dataset versions: an immutable list of examples with their splits, newest version last."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import sqlalchemy as sa

from ratchet.core import Example, Split, content_id
from ratchet.core.errors import DataError
from ratchet.store.database import connect, transaction
from ratchet.store.tables import datasets, examples
from ratchet.store.trials import now

__all__ = ["Dataset", "add_dataset", "latest_dataset", "load_examples", "stream_examples"]

BATCH = 1000
"""Rows that are written or read at a time."""


class Dataset(NamedTuple):
    """One version of a task's examples."""

    id: str
    task: str
    version: int
    source: str
    rows: int


def add_dataset(
    engine: sa.Engine,
    task: str,
    rows: Iterable[Example],
    *,
    source: str,
    places: Sequence[tuple[str, Split | None]] | None = None,
) -> Dataset:
    """Store a new version, whole or not at all; the same examples in the same splits are the version that is there.

    Args:
        engine: The database.
        task: The task's name.
        rows: The examples with their splits.
        source: Where they came from, in the user's words.
        places: Id and split of each row, where they are known ahead: then `rows` is read as a stream, never held as a whole.
    Raises: DataError if the rows are not those of `places`.
    """
    if places is None:
        rows = list(rows)
        places = [(row.id, row.split) for row in rows]
    identity = content_id("d", [task, places])
    with transaction(engine) as connection:
        known = connection.execute(sa.select(datasets).where(datasets.c.id == identity)).first()
        if known:
            return Dataset(known.id, known.task, known.version, known.source, known.rows)
        last = connection.execute(
            sa.select(sa.func.max(datasets.c.version)).where(datasets.c.task == task)
        ).scalar()
        dataset = Dataset(identity, task, (last or 0) + 1, source, len(places))
        connection.execute(sa.insert(datasets).values(**dataset._asdict(), created_at=now()))
        write_rows(connection, dataset, rows, places)
    return dataset


def write_rows(
    connection: sa.Connection,
    dataset: Dataset,
    rows: Iterable[Example],
    places: Sequence[tuple[str, Split | None]],
) -> None:
    stream, written = iter(rows), 0
    while batch := list(islice(stream, BATCH)):
        if [(row.id, row.split) for row in batch] != list(places[written : written + BATCH]):
            break
        connection.execute(
            sa.insert(examples),
            [example_row(dataset.id, written + i, row) for i, row in enumerate(batch)],
        )
        written += len(batch)
    if batch or written < len(places):
        raise DataError(
            f"{dataset.source} changed while it was read, near example {written + 1} of {len(places)}; "
            "nothing was kept: import it again once nothing writes to it"
        )


def example_row(dataset_id: str, position: int, row: Example) -> dict[str, object]:
    return {
        "dataset_id": dataset_id,
        "position": position,
        "example_id": row.id,
        "split": row.split,
        "body": row.model_dump_json(exclude_defaults=True),
    }


def latest_dataset(engine: sa.Engine, task: str) -> Dataset:
    """Return the newest version.

    Raises: DataError if the task has no examples yet.
    """
    query = (
        sa.select(datasets)
        .where(datasets.c.task == task)
        .order_by(datasets.c.version.desc())
        .limit(1)
    )
    with connect(engine) as connection:
        row = connection.execute(query).first()
    if row is None:
        raise DataError(
            f"task {task!r} has no examples yet; add some with: ratchet import FILE --task {task}"
        )
    return Dataset(row.id, row.task, row.version, row.source, row.rows)


def load_examples(engine: sa.Engine, dataset: Dataset, split: Split | None = None) -> list[Example]:
    """Return the examples of a version, or of one split of it, in file order."""
    return list(stream_examples(engine, dataset, split))


def stream_examples(
    engine: sa.Engine, dataset: Dataset, split: Split | None = None
) -> Iterator[Example]:
    """Yield the examples of a version, or of one split of it, in file order, a few in memory at a time."""
    query = (
        sa.select(examples.c.body)
        .where(examples.c.dataset_id == dataset.id)
        .order_by(examples.c.position)
    )
    if split:
        query = query.where(examples.c.split == split)
    with connect(engine) as connection:
        for row in connection.execute(query.execution_options(yield_per=BATCH)):
            yield Example.model_validate_json(row.body)
