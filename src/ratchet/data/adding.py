"""Add examples to a task's newest dataset: read them twice, so that a file larger than memory is no problem.

The first reading takes an outline and divides it; the second writes the examples, a batch at a time.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import sqlalchemy as sa

from ratchet.core import Example, Split, Task, content_id
from ratchet.core.errors import DataError, MovedError
from ratchet.data.splits import SPLITS, Outline
from ratchet.store import Dataset, add_dataset, latest_dataset, stream_examples

__all__ = ["Added", "add_examples"]

Watch = Callable[[str, int, int | None], None]


def unwatched(_what: str, _done: int, _total: int | None) -> None:
    """Take what goes on, and do nothing."""


TRIES = 3
"""So often an import begins again where somebody stores another version meanwhile."""


@dataclass(frozen=True, kw_only=True)
class Added:
    """A dataset's new version."""

    dataset: Dataset
    new: int
    """Examples that no earlier version had."""
    splits: dict[Split, int]
    leaks: int
    """Pairs of one group, or of near-duplicates, that stand in different splits."""
    replaced: int = 0
    """Examples of the version before whose id came again, with the same inputs and another reference."""
    clashes: int = 0
    """Examples of the version before whose id came again with other inputs; both stay."""


def add_examples(
    engine: sa.Engine,
    task: Task,
    read: Callable[[], Iterable[Example]],
    *,
    source: str,
    afresh: bool = False,
    watch: Watch = unwatched,
) -> Added:
    """Store the newest examples of `task` and those that it lacks as its next version, whole or not at all.

    Args:
        engine: The database.
        task: The task; its `splits` say how new examples are divided that name no split of their own. Examples that are there keep
            theirs, and one that is nearly another joins it.
        read: Called twice, the same examples both times; and again where somebody else stores a version meanwhile.
        source: Where they come from, in the user's words.
        afresh: Leave out the examples of earlier versions, as of a task that was made anew under an old name.
        watch: Told what goes on, how many examples are done, and of how many, where that is known.
    An example whose id comes again with the same inputs and another reference is replaced, in its split: it was corrected.

    Raises: DataError if the second reading gives others than the first.
    """
    for _ in range(TRIES - 1):
        with suppress(MovedError):
            return added(engine, task, read, source=source, afresh=afresh, watch=watch)
    return added(engine, task, read, source=source, afresh=afresh, watch=watch)


def added(
    engine: sa.Engine,
    task: Task,
    read: Callable[[], Iterable[Example]],
    *,
    source: str,
    afresh: bool,
    watch: Watch,
) -> Added:
    """Store what `add_examples` stores, in one try."""
    newest = newest_of(engine, task.name)
    before: Callable[[], Iterable[Example]] = tuple
    corrected = Corrected()
    if newest and not afresh:
        corrected = Corrected(read())
        before = partial(corrected.others, engine, newest)
    outline, known = Outline(), list[Split | None]()
    for example in before():
        outline.add(example)
        known.append(example.split)
        watch("reading", len(known), None)
    there, old = frozenset(outline.ids), len(known)
    for example in read():
        if example.id not in there:
            outline.add(example)
            known.append(example.split or corrected.split_of(example))
            watch("reading", len(known), None)
    watch("comparing", 0, None)
    splits = outline.divide(task.splits, known=known)

    def placed() -> Iterator[Example]:
        yield from before()
        fresh = (example for example in read() if example.id not in there)
        places = zip(fresh, splits[old:], strict=False)  # checked in the store
        for done, (example, split) in enumerate(places, start=old + 1):
            watch("writing", done, len(splits))
            yield example.model_copy(update={"split": split})

    kept = [*known[:old], *splits[old:]]
    dataset = add_dataset(
        engine,
        task.name,
        placed(),
        source=source,
        places=list(zip(outline.ids, kept, strict=True)),
        after=newest.version if newest else 0,
    )
    counts = Counter(kept)
    return Added(
        dataset=dataset,
        new=len(kept) - old,
        splits={name: counts[name] for name in SPLITS},
        leaks=sum(kept[i] != kept[j] for i, j in outline.links()),
        replaced=len(corrected.splits),
        clashes=len(corrected.clashes),
    )


class Corrected:
    """Examples that come again under their id: those with the same inputs and another reference are corrections."""

    def __init__(self, newer: Iterable[Example] = ()) -> None:
        self._newer = {e.name: (e.id, content_id("i", e.inputs)) for e in newer if e.name}
        self.splits: dict[str, Split | None] = {}
        self.clashes: set[str] = set()

    def others(self, engine: sa.Engine, dataset: Dataset) -> Iterator[Example]:
        """Yield the examples of a version but for those that are corrected."""
        for example in stream_examples(engine, dataset):
            newer, inputs = self._newer.get(example.name or "", (example.id, ""))
            if newer == example.id:
                yield example
            elif inputs == content_id("i", example.inputs):
                self.splits[str(example.name)] = example.split
            else:
                self.clashes.add(str(example.name))
                yield example

    def split_of(self, example: Example) -> Split | None:
        """Return the split of the example that this one corrects."""
        return self.splits.get(example.name or "")


def newest_of(engine: sa.Engine, task: str) -> Dataset | None:
    """Return the newest version, where there is one."""
    try:
        return latest_dataset(engine, task)
    except DataError:
        return None
