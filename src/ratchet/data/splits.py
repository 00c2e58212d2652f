"""Divide examples into train, dev and test: once, by seed, so that no group and no near-duplicate straddles."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from ratchet.core import Example, Split, SplitSpec
from ratchet.core.errors import DataError
from ratchet.data.duplicates import groups_of, near_duplicates

__all__ = ["Leak", "find_leaks", "split_examples", "text_of"]

SPLITS: tuple[Split, ...] = ("train", "dev", "test")


@dataclass(frozen=True)
class Leak:
    """Two near-duplicates, or two members of one group, in different splits."""

    first: Example
    second: Example


def text_of(example: Example) -> str:
    """Return the inputs as one text."""
    return "\n".join(str(value) for value in example.inputs.values())


def links(examples: Sequence[Example]) -> Iterator[tuple[int, int]]:
    first_of: dict[str, int] = {}
    for index, example in enumerate(examples):
        if example.group is not None:
            yield first_of.setdefault(example.group, index), index
    yield from near_duplicates([text_of(example) for example in examples])


def split_examples(
    examples: Sequence[Example], spec: SplitSpec, *, known: Sequence[Example] = ()
) -> list[Example]:
    """Return the examples with their splits set.

    Args:
        examples: New examples, in any order; the outcome depends on their content and the seed alone.
        spec: Shares and seed.
        known: Examples of an earlier version, whose splits stay; new ones that belong to their groups join them.
    Raises: DataError if there are too few groups to fill three splits.
    """
    everything = [*known, *examples]
    roots = groups_of(len(everything), links(everything))
    members: dict[int, list[int]] = {}
    for index, root in enumerate(roots):
        members.setdefault(root, []).append(index)
    if len(members) < len(SPLITS):
        raise DataError(
            f"{len(everything)} examples fall into {len(members)} groups of near-duplicates: too few for train, dev and test; "
            "add more different examples, or name another column with --group"
        )
    placed: dict[int, Split] = {}
    for root, indices in members.items():
        before = [everything[i].split for i in indices if i < len(known)]
        if before and before[0]:
            placed[root] = before[0]
    target = {name: getattr(spec, name) * len(everything) for name in SPLITS}
    filled = Counter(placed[root] for root in placed for _ in members[root])
    free = [root for root in members if root not in placed]
    free.sort(key=lambda root: min(everything[i].id for i in members[root]))
    Random(spec.seed).shuffle(free)
    free.sort(
        key=lambda root: len(members[root]) * len(free) < len(everything)
    )  # groups above the mean size first, they fit worst
    for root in free:
        name = max(SPLITS, key=lambda n: (target[n] - filled[n]) / target[n])
        placed[root] = name
        filled[name] += len(members[root])
    return [
        example.model_copy(update={"split": placed[roots[len(known) + index]]})
        for index, example in enumerate(examples)
    ]


def find_leaks(examples: Sequence[Example]) -> list[Leak]:
    """Return the pairs of linked examples that stand in different splits."""
    return [
        Leak(examples[i], examples[j])
        for i, j in links(examples)
        if examples[i].split != examples[j].split
    ]
