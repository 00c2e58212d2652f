"""Dataset versions: immutable, numbered, whole or not at all."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from ratchet.core import Example
from ratchet.core.errors import DataError, MovedError, StoreError
from ratchet.store import (
    add_dataset,
    browse_examples,
    latest_dataset,
    load_datasets,
    load_examples,
)
from ratchet.store.database import connect, transaction
from ratchet.store.tables import datasets, examples


def example(number: int, **parts: object) -> Example:
    return Example.model_validate(
        {"inputs": {"text": f"row {number}"}, "reference": "yes", "split": "dev", **parts}
    )


def test_examples_come_back_as_they_were(engine: sa.Engine) -> None:
    """Every field of an example, unicode and NUL included, survives the database, in file order."""
    rows = [
        example(2, name="b", group="g", source="x.csv:2", knowledge=("k",), split="train"),
        example(1, inputs={"text": "naïve 漢字 🎈\x00\u2028", "more": [1, None, {"a": 0.1}]}),
        example(3, reference={"deep": ["ß", True]}, split="test"),
    ]

    stored = add_dataset(engine, "t", rows, source="x.csv")

    assert load_examples(engine, stored) == rows
    assert load_examples(engine, stored, "train") == rows[:1]


def test_the_same_examples_are_the_same_version(engine: sa.Engine) -> None:
    """Storing a list that is there already adds no version."""
    first = add_dataset(engine, "t", [example(1)], source="a.csv")

    again = add_dataset(engine, "t", [example(1)], source="b.csv")

    assert again == first
    assert again.version == 1


def test_versions_count_up_for_each_task_and_old_ones_stay(engine: sa.Engine) -> None:
    """A changed list is the task's next version; the earlier one is unchanged, and other tasks count on their own."""
    first = add_dataset(engine, "t", [example(1)], source="a.csv")
    second = add_dataset(engine, "t", [example(1), example(2)], source="a.csv")

    other = add_dataset(engine, "u", [example(1)], source="a.csv")

    assert (first.version, second.version, other.version) == (1, 2, 1)
    assert latest_dataset(engine, "t") == second
    assert load_examples(engine, first) == [example(1)]


def test_another_split_is_another_version(engine: sa.Engine) -> None:
    """The splits belong to the version: the same rows divided otherwise are not the same dataset."""
    first = add_dataset(engine, "t", [example(1)], source="a.csv")

    moved = add_dataset(engine, "t", [example(1, split="test")], source="a.csv")

    assert moved.version == first.version + 1


def test_a_version_that_cannot_be_stored_leaves_nothing(engine: sa.Engine) -> None:
    """A row that the database refuses undoes the whole version."""
    unplaced = example(2, split=None)

    with pytest.raises(StoreError):
        add_dataset(engine, "t", [example(1), unplaced], source="a.csv")

    with connect(engine) as connection:
        assert connection.execute(sa.select(datasets)).all() == []


def test_a_task_without_examples_says_how_to_add_some(engine: sa.Engine) -> None:
    """Asking for the newest version where there is none names the command that makes one."""
    with pytest.raises(DataError, match="ratchet import FILE --task t"):
        latest_dataset(engine, "t")


def test_others_may_write_while_a_version_is_written_and_nobody_sees_it_before_it_is_whole(
    engine: sa.Engine,
) -> None:
    """Rows arrive in batches: between them another connection writes, the newest version is the one before, and each stays apart."""
    first = add_dataset(engine, "t", [example(0)], source="a.csv")
    many = [example(number) for number in range(2500)]
    seen = []

    def slowly() -> Iterator[Example]:
        for number, row in enumerate(many):
            if number % 1000 == 500:
                seen.append(latest_dataset(engine, "t"))
                add_dataset(engine, f"u{number}", [row], source="b.csv")
            yield row

    made = add_dataset(engine, "t", slowly(), source="a.csv", places=[(m.id, m.split) for m in many])  # fmt: skip

    assert seen == [first] * 2
    assert (made.version, latest_dataset(engine, "t")) == (2, made)
    assert load_examples(engine, made) == many
    assert [one.version for one, _ in load_datasets(engine, "t")] == [2, 1]


def test_a_version_made_of_one_that_is_the_newest_no_more_is_refused(engine: sa.Engine) -> None:
    """What somebody else saved meanwhile is not lost: the later one is told so, and nothing of it stays."""
    first = add_dataset(engine, "t", [example(0)], source="a.csv")
    theirs = add_dataset(engine, "t", [example(0), example(1)], source="by another")

    with pytest.raises(MovedError, match="version 2"):
        add_dataset(engine, "t", [example(0), example(2)], source="mine", after=first.version)

    assert latest_dataset(engine, "t") == theirs
    with connect(engine) as connection:
        assert len(connection.execute(sa.select(datasets)).all()) == 2


def test_the_remains_of_a_killed_import_are_cleared_away(engine: sa.Engine) -> None:
    """Half a version, as a killed process leaves it, is not seen, and its import works when it is run again."""
    rows = [example(1), example(2)]
    whole = add_dataset(engine, "t", rows, source="a.csv")
    with transaction(engine) as connection:
        connection.execute(sa.update(datasets).values(version=-5))
        connection.execute(sa.delete(examples).where(examples.c.position == 1))

    again = add_dataset(engine, "t", rows, source="a.csv")

    assert (again, load_examples(engine, again)) == (whole, rows)


def test_rows_are_ordered_by_any_part(engine: sa.Engine) -> None:
    """Numbers by size, text by letters, either way round; what PostgreSQL's JSON cannot hold does no harm."""
    words = ["pear", "apple\x00", "fig"]
    rows = [
        example(n, inputs={"text": words[n], "my size": n}, reference=float([10, 9, -1][n]))
        for n in range(3)
    ]
    dataset = add_dataset(engine, "t", rows, source="a.csv")

    def order(by: object, **parts: object) -> list[int]:
        found, total = browse_examples(engine, dataset, order=by, **parts)  # type: ignore[arg-type]
        assert total == 3
        return [rows.index(one) for one in found]

    assert order("reference") == [2, 1, 0]
    assert order("reference", descending=True) == [0, 1, 2]
    assert order(("inputs", "text")) == [1, 2, 0]
    assert order(("inputs", "my size"), descending=True) == [2, 1, 0]
    assert order(("inputs", "nothing")) == [0, 1, 2]
