"""Dataset versions: an immutable list of examples with their splits, newest version last."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from random import SystemRandom
from typing import Any, Literal, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from ratchet.core import Example, Split, content_id
from ratchet.core.errors import DataError, MovedError
from ratchet.store.database import connect, transaction
from ratchet.store.tables import datasets, examples
from ratchet.store.trials import now

__all__ = [
    "Dataset",
    "add_dataset",
    "browse_examples",
    "example_ids",
    "latest_dataset",
    "load_datasets",
    "load_examples",
    "stream_examples",
]

BATCH = 1000
"""Rows that are written or read at a time."""
LEFT = timedelta(days=1)
"""A version that is not whole after so long never will be."""

WHOLE = datasets.c.version > 0


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
    after: int | None = None,
    settle: Callable[[sa.Connection, Dataset], None] | None = None,
) -> Dataset:
    """Store a new version, whole or not at all; the same examples in the same splits as the newest are the newest.

    Its rows are written a batch at a time, each in a transaction of its own, so that others may write meanwhile; until the last is there
    the version has a number below 0, and nobody sees it.

    Args:
        engine: The database.
        task: The task's name.
        rows: The examples with their splits.
        source: Where they came from, in the user's words.
        places: Id and split of each row, where they are known ahead: then `rows` is read as a stream, never held as a whole.
        after: The version that it is made of, which must be the newest still when it is whole; 0 where there is none.
        settle: Called in the transaction that makes it the newest, for what belongs to it.
    Raises: DataError if the rows are not those of `places`; MovedError if another version came meanwhile.
    """
    if places is None:
        rows = list(rows)
        places = [(row.id, row.split) for row in rows]
    identity = content_id("d", [task, places])
    with transaction(engine) as connection:
        last = last_version(connection, task)
        # an earlier version that comes back is the newest one then, under a name of its own, and the earlier one stays
        names = (identity, content_id("d", [task, places, max(last, 1) - 1]))
        known = connection.execute(sa.select(datasets).where(datasets.c.id.in_(names), WHOLE)).all()
        for one in known:
            if one.version == last:
                newest = dataset_of(one)
                if settle:
                    settle(connection, newest)
                return newest
        if any(one.id == identity for one in known):
            identity = content_id("d", [task, places, last])
        stale = datasets.c.created_at < (datetime.now(UTC) - LEFT).isoformat()
        remains = sa.and_(~WHOLE, sa.or_(stale, datasets.c.id == identity))  # of who was killed
        connection.execute(sa.delete(datasets).where(remains))
        begun = Dataset(identity, task, -SystemRandom().randrange(1, 2**31), source, len(places))
        connection.execute(sa.insert(datasets).values(**begun._asdict(), created_at=now()))
    itself = sa.and_(datasets.c.id == begun.id, datasets.c.version == begun.version)
    try:
        write_rows(engine, begun, rows, places)
        with transaction(engine) as connection:
            last = last_version(connection, task)
            if after is not None and after != last:
                raise MovedError(f"version {last} of {task!r} came while another one was made of version {after}; nothing was changed: do it again")  # fmt: skip
            dataset = begun._replace(version=last + 1)
            connection.execute(sa.update(datasets).where(itself).values(version=last + 1))
            if settle:
                settle(connection, dataset)
    except BaseException:
        with transaction(engine) as connection:
            connection.execute(sa.delete(datasets).where(itself))
        raise
    return dataset


def last_version(connection: sa.Connection, task: str) -> int:
    """Return the number of a task's newest version; 0 where there is none."""
    query = sa.select(sa.func.max(datasets.c.version)).where(datasets.c.task == task, WHOLE)
    return connection.execute(query).scalar() or 0


def write_rows(
    engine: sa.Engine,
    dataset: Dataset,
    rows: Iterable[Example],
    places: Sequence[tuple[str, Split | None]],
) -> None:
    stream, written = iter(rows), 0
    while batch := list(islice(stream, BATCH)):
        if [(row.id, row.split) for row in batch] != list(places[written : written + BATCH]):
            break
        with transaction(engine) as connection:
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


def dataset_of(row: Any) -> Dataset:
    return Dataset(row.id, row.task, row.version, row.source, row.rows)


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
        .where(datasets.c.task == task, WHOLE)
        .order_by(datasets.c.version.desc())
        .limit(1)
    )
    with connect(engine) as connection:
        row = connection.execute(query).first()
    if row is None:
        raise DataError(
            f"task {task!r} has no examples yet; add some with: ratchet import FILE --task {task}"
        )
    return dataset_of(row)


def load_datasets(engine: sa.Engine, task: str) -> list[tuple[Dataset, str]]:
    """Return the versions of a task's examples, the newest first, each with the time of its making."""
    query = sa.select(datasets).where(datasets.c.task == task, WHOLE).order_by(datasets.c.version.desc())  # fmt: skip
    with connect(engine) as connection:
        return [(dataset_of(row), row.created_at) for row in connection.execute(query)]


def browse_examples(
    engine: sa.Engine,
    dataset: Dataset,
    *,
    text: str = "",
    splits: Sequence[Split] = (),
    offset: int = 0,
    limit: int = 50,
    order: Literal["position", "split", "reference"] | tuple[Literal["inputs"], str] = "position",
    descending: bool = False,
) -> tuple[list[Example], int]:
    """Return a page of a version, and how many examples there are in all; the database filters, sorts and cuts.

    Args:
        engine: The database.
        dataset: The version.
        text: Only examples in which these words stand, each of them, capitals aside (those of English, in SQLite).
        splits: Only these; none named is all.
        offset: How many to pass over.
        limit: How many to return, at most.
        order: By place in the file, split, answer, or the input of that name.
        descending: The other way round.
    """
    where = [examples.c.dataset_id == dataset.id]
    for word in text.split():
        escaped = json.dumps(word, ensure_ascii=False)[1:-1]
        where.append(examples.c.body.icontains(escaped, autoescape=True))
    if splits:
        where.append(examples.c.split.in_(splits))
    column = examples.c[order] if order in ("position", "split") else part_of(engine, order)
    query = (
        sa.select(examples.c.body)
        .where(*where)
        .order_by(column.desc() if descending else column, examples.c.position)
        .offset(offset)
        .limit(limit)
    )
    count = sa.select(sa.func.count()).select_from(examples).where(*where)
    with connect(engine) as connection:
        total = dataset.rows if len(where) == 1 else connection.execute(count).scalar_one()
        rows = [Example.model_validate_json(row.body) for row in connection.execute(query)]
    return rows, total


def part_of(engine: sa.Engine, order: str | tuple[str, str]) -> sa.ColumnElement[Any]:
    """Return the part of an example that rows are ordered by: numbers by size, text by letters."""
    names = [order] if isinstance(order, str) else list(order)
    if engine.dialect.name == "sqlite":
        path = "".join(f".{json.dumps(name, ensure_ascii=False)}" for name in names)
        return sa.func.json_extract(examples.c.body, f"${path}")
    plain = sa.func.replace(examples.c.body, "\\u0000", "")  # which PostgreSQL's JSON cannot hold
    return sa.cast(plain, JSONB)[names]


def example_ids(engine: sa.Engine, dataset: Dataset) -> set[str]:
    """Return the ids of a version's examples."""
    query = sa.select(examples.c.example_id).where(examples.c.dataset_id == dataset.id)
    with connect(engine) as connection:
        return {row.example_id for row in connection.execute(query)}


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
