"""A large file is added in two readings: the same ids and splits as in one, nothing half-written, and little memory."""

import gc
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
import sqlalchemy as sa

from ratchet.core import Example, Task
from ratchet.core.errors import DataError
from ratchet.data import add_examples, find_leaks, split_examples
from ratchet.store import (
    add_dataset,
    example_ids,
    latest_dataset,
    load_examples,
    open_database,
)

TASK = Task.model_validate(
    {
        "name": "t",
        "instructions": "Do.",
        "inputs": [{"name": "text"}],
        "metric": {"name": "match"},
        "models": {"student": "local:nano"},
    }
)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    """Give an empty database in a file, as an import has it."""
    opened = open_database(f"sqlite:///{tmp_path / 'test.db'}")
    yield opened
    opened.dispose()


def examples(count: int, *, seed: int = 0, words: int = 9) -> Iterator[Example]:
    """Yield examples of random words; every fifth is the one before it with one word more, every seventh has a group."""
    random, text = Random(seed), ""
    for number in range(count):
        fresh = " ".join(str(random.randrange(30_000)) for _ in range(words))
        text = f"{text} {number}" if number % 5 == 4 else fresh
        group = f"g{number % 35}" if number % 7 == 0 else None
        yield Example(inputs={"text": text}, reference="x", group=group, source=f"f:{number}")


def test_two_readings_give_what_one_gives(engine: sa.Engine) -> None:
    """Ids, splits and order are those of dividing the whole list, more than one batch of it."""
    added = add_examples(engine, TASK, lambda: examples(2500), source="f")

    stored = load_examples(engine, added.dataset)
    assert stored == split_examples(list(examples(2500)), TASK.splits)
    assert (added.new, added.dataset.rows, added.leaks) == (2500, 2500, 0)
    assert added.splits == {s: sum(e.split == s for e in stored) for s in ("train", "dev", "test")}


def test_more_examples_join_those_that_are_there(engine: sa.Engine) -> None:
    """A second file adds what is new behind the earlier examples, which keep their splits; the same file adds nothing."""
    first = list(examples(60))
    more = [*first[:20], *examples(60, seed=1)]
    add_examples(engine, TASK, lambda: first, source="f")
    before = load_examples(engine, latest_dataset(engine, "t"))

    added = add_examples(engine, TASK, lambda: more, source="g")
    again = add_examples(engine, TASK, lambda: more, source="g")

    stored = load_examples(engine, added.dataset)
    assert stored == [*before, *split_examples(more[20:], TASK.splits, known=before)]
    assert (added.new, added.dataset.version) == (60, 2)
    assert (again.new, again.dataset) == (0, added.dataset)
    assert added.leaks == len(find_leaks(stored))


def test_a_task_that_was_made_anew_starts_without_the_old_examples(engine: sa.Engine) -> None:
    """Examples under the name of an earlier task are left out where that is asked, and its version stays."""
    add_examples(engine, TASK, lambda: examples(60), source="f")

    added = add_examples(engine, TASK, lambda: examples(50, seed=1), source="g", afresh=True)

    assert (added.new, added.dataset.rows, added.dataset.version) == (50, 50, 2)


@pytest.mark.parametrize("second", ["others", "fewer", "more of it broken"])
def test_a_file_that_changes_while_it_is_read_leaves_nothing(
    engine: sa.Engine, second: str
) -> None:
    """Where the second reading is not like the first, or fails late, the version is not stored at all."""

    def broken() -> Iterator[Example]:
        yield from examples(1500)
        raise DataError("f, row 1501: broken")

    readings = iter(
        [
            examples(2000),
            {
                "others": examples(2000, seed=1),
                "fewer": examples(1500),
                "more of it broken": broken(),
            }[second],
        ]
    )

    with pytest.raises(DataError, match="row 1501" if "broken" in second else "f changed while"):
        add_examples(engine, TASK, lambda: next(readings), source="f")

    with pytest.raises(DataError, match="no examples yet"):
        latest_dataset(engine, "t")


def test_what_somebody_saves_meanwhile_is_kept(engine: sa.Engine) -> None:
    """A version that comes while a file is read is not lost: the import begins again, on top of it."""
    theirs = Example(inputs={"text": "theirs"}, reference="x", split="dev")
    more = [theirs]

    def read() -> Iterator[Example]:
        yield from examples(20)
        if more:
            before = load_examples(engine, latest_dataset(engine, "t"))
            add_dataset(engine, "t", [*before, more.pop()], source="somebody")

    add_examples(engine, TASK, lambda: examples(10, seed=1), source="f")

    added = add_examples(engine, TASK, read, source="g")

    assert (added.dataset.version, added.dataset.rows, added.new) == (3, 31, 20)
    assert theirs.id in example_ids(engine, added.dataset)


@pytest.mark.slow
def test_memory_grows_little_with_the_file(engine: sa.Engine) -> None:
    """Twenty thousand examples of 40 words take less than 1,000 bytes each at the peak; held whole, they took 8,000."""
    count = 20_000
    add_examples(engine, TASK, lambda: examples(50), source="f")  # loads what is loaded once
    task = TASK.model_copy(update={"name": "big"})
    gc.collect()
    tracemalloc.start()

    add_examples(engine, task, lambda: examples(count, words=40), source="f")

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak / count < 1000
