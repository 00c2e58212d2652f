"""Dataset versions: immutable, numbered, whole or not at all."""

import pytest
import sqlalchemy as sa

from ratchet.core import Example
from ratchet.core.errors import DataError, StoreError
from ratchet.store import add_dataset, latest_dataset, load_examples
from ratchet.store.database import connect
from ratchet.store.tables import datasets


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
