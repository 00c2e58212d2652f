"""Divide examples into train, dev and test: once, by seed, so that no group and no near-duplicate straddles."""

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

from ratchet.core import Example, Split, SplitSpec
from ratchet.data.duplicates import GramSets, groups_of

__all__ = ["Leak", "Outline", "find_leaks", "split_examples", "text_of"]

SPLITS: tuple[Split, ...] = ("train", "dev", "test")


@dataclass(frozen=True)
class Leak:
    """Two near-duplicates, or two members of one group, in different splits."""

    first: Example
    second: Example


def text_of(example: Example) -> str:
    """Return the inputs as one text."""
    return "\n".join(str(value) for value in example.inputs.values())


class Outline:
    """What dividing needs to know of examples — ids, groups, grams — so that a large file need not stay in memory."""

    def __init__(self, examples: Iterable[Example] = ()) -> None:
        self.ids: list[str] = []
        self._grams = GramSets()
        self._first_of: dict[str, int] = {}
        self._grouped = array("I")  # index of the group's first example, index of this one, …
        for example in examples:
            self.add(example)

    def add(self, example: Example) -> None:
        """Take the next example."""
        index = len(self.ids)
        self.ids.append(example.id)
        self._grams.add(text_of(example))
        if example.group is not None:
            self._grouped.extend((self._first_of.setdefault(example.group, index), index))

    def links(self) -> Iterator[tuple[int, int]]:
        """Yield the index pairs of examples that belong together, by their group or as near-duplicates."""
        yield from zip(self._grouped[::2], self._grouped[1::2], strict=True)
        yield from self._grams.near_duplicates()

    def divide(self, spec: SplitSpec, *, known: Sequence[Split | None] = ()) -> list[Split]:
        """Return the split of each example; the first ones keep the splits that are `known`.

        Too few groups to fill three splits all stand in dev: they can be measured, and nothing can be learnt from them.
        """
        roots = groups_of(len(self.ids), self.links())
        sizes = Counter(roots)
        if len(sizes) < len(SPLITS) and not any(known):
            return ["dev"] * len(roots)
        placed: dict[int, Split] = {}
        for root, before in zip(roots, known, strict=False):  # those behind the known ones are free
            if before:
                placed.setdefault(root, before)
        least: dict[int, str] = {}
        for root, name in zip(roots, self.ids, strict=True):
            least[root] = min(least.get(root, name), name)
        target = {name: getattr(spec, name) * len(roots) for name in SPLITS}
        filled = Counter[Split]()
        for root, split in placed.items():
            filled[split] += sizes[root]
        free = sorted((root for root in sizes if root not in placed), key=least.__getitem__)
        Random(spec.seed).shuffle(free)
        free.sort(
            key=lambda root: sizes[root] * len(free) < len(roots)
        )  # groups above the mean size first, they fit worst
        for root in free:
            split = max(SPLITS, key=lambda name: (target[name] - filled[name]) / target[name])
            placed[root] = split
            filled[split] += sizes[root]
        return [placed[root] for root in roots]


def split_examples(
    examples: Sequence[Example], spec: SplitSpec, *, known: Sequence[Example] = ()
) -> list[Example]:
    """Return the examples with their splits set.

    Args:
        examples: New examples, in any order; the outcome depends on their content and the seed alone.
        spec: Shares and seed.
        known: Examples of an earlier version, whose splits stay; new ones that belong to their groups join them.
    Too few groups to fill three splits all stand in dev.
    """
    outline = Outline([*known, *examples])
    splits = outline.divide(spec, known=[example.split for example in known])
    return [
        example.model_copy(update={"split": split})
        for example, split in zip(examples, splits[len(known) :], strict=True)
    ]


def find_leaks(examples: Sequence[Example]) -> list[Leak]:
    """Return the pairs of linked examples that stand in different splits."""
    return [
        Leak(examples[i], examples[j])
        for i, j in Outline(examples).links()
        if examples[i].split != examples[j].split
    ]
