"""Edits become a version; a version comes back; the database pages and searches."""

import pytest

from ratchet.core import AnswerForm, Example, InputField, MetricSpec, Roles, Task
from ratchet.core.errors import DataError
from ratchet.data import as_version, restore, split_examples
from ratchet.store import (
    add_dataset,
    browse_examples,
    latest_dataset,
    load_datasets,
    load_examples,
)
from ratchet.store.edits import add_edit, drop_edits, load_edits

TASK = Task(
    name="t",
    instructions="Do it.",
    inputs=(InputField(name="q"),),
    answer=AnswerForm(),
    metric=MetricSpec(name="exact"),
    models=Roles(student="m"),
)


@pytest.fixture
def known(engine):
    """Give a version of a hundred examples."""
    rows = split_examples([Example(inputs={"q": f"question number {n}"}, reference=f"answer {n}") for n in range(100)], TASK.splits)  # fmt: skip
    add_dataset(engine, "t", rows, source="test")
    return load_examples(engine, latest_dataset(engine, "t"))


def edit(engine, example, what, **becomes):
    """Store an edit."""
    body = {"example": example.model_copy(update=becomes).plain()} if becomes else {}
    add_edit(engine, "t", example.id, what, "ann", body)


def test_changes_become_one_version(engine, known):
    """A changed example keeps its place and split, an added one gets a split, one that is removed is gone; the old version stays."""
    edit(engine, known[3], "changed", reference="another")
    edit(engine, known[3], "changed", reference="a third")
    edit(engine, known[5], "removed")
    fresh = Example(inputs={"q": "a wholly new thing to ask"}, reference="yes")
    add_edit(engine, "t", fresh.id, "added", "bob", {"example": fresh.plain()})
    edit(engine, known[7], "reviewed")

    dataset, lost = as_version(engine, TASK, who="ann", sealed=False)
    now = load_examples(engine, dataset)

    assert (dataset.version, dataset.rows, lost) == (2, 100, [])
    assert now[3].reference == "a third"
    assert now[3].split == known[3].split
    assert known[5].id not in {one.id for one in now}
    assert now[-1].inputs == fresh.inputs
    assert now[-1].split in ("train", "dev", "test")
    assert load_examples(engine, load_datasets(engine, "t")[1][0]) == known
    assert {(one.what, one.version) for one in load_edits(engine, "t")} == {("changed", 2), ("removed", 2), ("added", 2), ("reviewed", None)}  # fmt: skip
    with pytest.raises(DataError, match="no change waits"):
        as_version(engine, TASK, who="ann", sealed=False)


def test_a_change_of_what_is_gone_waits(engine, known):
    """Somebody else was first: the change is not made, and told of; others are."""
    edit(engine, known[3], "changed", reference="mine")
    as_version(engine, TASK, who="ann", sealed=False)
    edit(engine, known[3], "changed", reference="late")
    with pytest.raises(DataError, match="somebody else"):
        as_version(engine, TASK, who="bob", sealed=False)
    edit(engine, known[4], "changed", reference="in time")

    dataset, lost = as_version(engine, TASK, who="bob", sealed=False)

    assert [one.example_id for one in lost] == [known[3].id]
    assert {"mine", "in time"} <= {one.reference for one in load_examples(engine, dataset)}
    drop_edits(engine, "t", [one.id for one in lost])
    assert [one for one in load_edits(engine, "t", waiting=True) if one.what == "changed"] == []


def test_an_earlier_version_comes_back_as_the_newest(engine, known):
    """Versions count on, and what was in between stays; restoring the newest changes nothing."""
    edit(engine, known[3], "changed", reference="another")
    as_version(engine, TASK, who="ann", sealed=False)
    first = load_datasets(engine, "t")[-1][0]

    back = restore(engine, first, who="bob")
    again = restore(engine, back, who="bob")

    assert back.version == again.version == 3
    assert load_examples(engine, latest_dataset(engine, "t")) == known
    assert [one.version for one, _ in load_datasets(engine, "t")] == [3, 2, 1]


def test_the_database_pages_searches_and_sorts(engine, known):
    """All words must be there, capitals aside; signs that mean something to a database are themselves."""
    odd = Example(inputs={"q": '100% "sure"_\\ <b>Äpfel</b>'}, reference="x", split="dev")
    dataset = add_dataset(engine, "t", [*known, odd], source="odd")

    page, total = browse_examples(engine, dataset, offset=90, limit=20)
    assert (len(page), total) == (11, 101)
    assert page[0] == known[90]
    assert browse_examples(engine, dataset, text="NUMBER 17")[0] == [known[17]]
    assert browse_examples(engine, dataset, text='100% "sure"_\\')[0] == [odd]
    assert browse_examples(engine, dataset, text="Äpfel")[0] == [odd]
    assert browse_examples(engine, dataset, text="0%")[1] == 1
    dev, count = browse_examples(engine, dataset, splits=["dev"], limit=100)
    assert {one.split for one in dev} == {"dev"}
    assert count == sum(one.split == "dev" for one in known) + 1
    ordered, _ = browse_examples(engine, dataset, order="split", descending=True, limit=101)
    assert [one.split for one in ordered] == sorted((one.split for one in ordered), reverse=True)


def test_sealed_examples_and_twins_of_another_split_are_not_made(engine, known):
    """Test stays as it is for whoever may not correct it; no train example becomes the twin of one that is tested on; nothing twice."""
    test = next(one for one in known if one.split == "test")
    train = next(one for one in known if one.split == "train")
    edit(engine, test, "removed")
    edit(engine, train, "changed", inputs=test.inputs, reference=test.reference)
    fresh = Example(inputs={"q": "the very same new thing"}, reference="yes")
    for who in ("ann", "bob"):
        add_edit(engine, "t", fresh.id, "added", who, {"example": fresh.plain()})

    dataset, lost = as_version(engine, TASK, who="ann")
    now = load_examples(engine, dataset)

    assert {one.example_id for one in lost} == {test.id, train.id}
    assert len({one.id for one in now}) == len(now) == 101
    assert {one.id: one.split for one in now}[test.id] == "test"


def test_a_version_has_an_example(engine, known):
    """Who removes all of them is told so, and nothing is stored."""
    for one in known:
        edit(engine, one, "removed")
    with pytest.raises(DataError, match="no example would be left"):
        as_version(engine, TASK, who="ann", sealed=False)
    assert latest_dataset(engine, "t").version == 1


def test_the_numbers_of_edits_are_never_given_twice(engine, known):
    """One that takes another's place has a number of its own."""
    edit(engine, known[3], "changed", reference="a")
    (first,) = load_edits(engine, "t")
    edit(engine, known[3], "changed", reference="b")
    (second,) = load_edits(engine, "t")
    assert second.id > first.id
