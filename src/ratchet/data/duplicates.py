"""Find near-duplicates: texts whose sets of word 3-grams have a Jaccard similarity of at least 0.8.

Exact, by prefix filtering: order each set by how rare its grams are; two sets of similarity t must share one of the first
|s| - ceil(t |s|) + 1 grams, so only those are indexed, and each pair found is checked on the whole sets.
Source: Bayardo, Ma and Srikant (2007), "Scaling up all pairs similarity search"; checked against all pairs in
tests/data/test_duplicates.py.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence

__all__ = ["THRESHOLD", "groups_of", "near_duplicates", "word_grams"]

THRESHOLD = 0.8


def word_grams(text: str, size: int = 3) -> frozenset[str]:
    """Return the set of runs of `size` words, lower-cased, punctuation aside; a shorter text is one run."""
    words = re.findall(r"\w+", text.lower())
    if len(words) <= size:
        return frozenset([" ".join(words)])
    return frozenset(" ".join(words[i : i + size]) for i in range(len(words) - size + 1))


def near_duplicates(
    texts: Sequence[str], threshold: float = THRESHOLD
) -> Iterator[tuple[int, int]]:
    """Yield the index pairs (i < j) of texts whose similarity is at least `threshold`, in (0, 1]."""
    sets = [word_grams(text) for text in texts]
    frequency = Counter(gram for grams in sets for gram in grams)
    index: dict[str, list[int]] = {}
    for j, grams in enumerate(sets):
        ordered = sorted(grams, key=lambda gram: (frequency[gram], gram))
        prefix = ordered[: len(ordered) - math.ceil(threshold * len(ordered)) + 1]
        near = {i for gram in prefix for i in index.get(gram, ())}
        for i in sorted(near):
            if min(len(sets[i]), len(grams)) < threshold * max(len(sets[i]), len(grams)):
                continue
            shared = len(sets[i] & grams)
            if shared >= threshold * (len(sets[i]) + len(grams) - shared):
                yield i, j
        for gram in prefix:
            index.setdefault(gram, []).append(j)


def groups_of(count: int, pairs: Iterator[tuple[int, int]]) -> list[int]:
    """Return for each of `count` items the smallest item that it is linked to, by any chain of pairs."""
    parent = list(range(count))

    def root(item: int) -> int:
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    for a, b in pairs:
        low, high = sorted((root(a), root(b)))
        parent[high] = low
    return [root(item) for item in range(count)]
