"""Find near-duplicates: texts whose sets of word 3-grams have a Jaccard similarity of at least 0.8.

Exact, by prefix filtering: order each set by how rare its grams are; two sets of similarity t must share one of the first
|s| - ceil(t |s|) + 1 grams, so only those are indexed, and each pair found is checked on the whole sets.
Source: Bayardo, Ma and Srikant (2007), "Scaling up all pairs similarity search"; checked against all pairs in
tests/data/test_duplicates.py.

Grams that many of the texts share are a prompt around the examples, not the examples: where a text has a long run of them it is
compared by what is its own.

A gram is held as a 64-bit hash and nothing else: 8 bytes, and 2 to 4 more for how rare it is, so that the texts themselves
need not stay. Two of 30 million grams share a hash with a chance of 1 in 40,000.
"""

import math
import re
from array import array
from collections.abc import Iterable, Iterator
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

__all__ = ["THRESHOLD", "GramSets", "groups_of", "near_duplicates", "word_grams"]

THRESHOLD = 0.8
WORD = re.compile(r"\w+")
FACTORS = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], np.uint64)
"""Odd, so that a word at a place changes the hash of its gram; the same words in another order give another one."""
CHUNK = 1 << 16
"""Grams that are counted at a time."""
SHARED_BY, MIN_SHARING, MIN_SHARED_GRAMS = 0.2, 5, 20
"""A gram is boilerplate where a fifth of the texts have it, and five at least; so many of them in a text are long enough to be left out."""

Hashes = NDArray[np.uint64]
Counts = NDArray[np.uint16]


def word_grams(text: str, size: int = 3) -> frozenset[str]:
    """Return the set of runs of `size` words, lower-cased, punctuation aside; a shorter text is one run."""
    words = WORD.findall(text.lower())
    if len(words) <= size:
        return frozenset([" ".join(words)])
    return frozenset(" ".join(words[i : i + size]) for i in range(len(words) - size + 1))


def near_duplicates(
    texts: Iterable[str], threshold: float = THRESHOLD
) -> Iterator[tuple[int, int]]:
    """Yield the index pairs (i < j) of texts whose similarity is at least `threshold`, in (0, 1]."""
    sets = GramSets()
    for text in texts:
        sets.add(text)
    return sets.near_duplicates(threshold)


class GramSets:
    """The word 3-grams of many texts, each text's as a run of sorted hashes in one long array."""

    def __init__(self) -> None:
        self._grams, self._ends = array("Q"), array("Q", [0])

    def add(self, text: str) -> None:
        """Take the next text."""
        self._grams.frombytes(gram_hashes(text).tobytes())
        self._ends.append(len(self._grams))

    def near_duplicates(self, threshold: float = THRESHOLD) -> Iterator[tuple[int, int]]:
        """Yield the index pairs (i < j) of texts whose similarity is at least `threshold`, in (0, 1]."""
        grams, ends = without_boilerplate(
            np.asarray(self._grams), np.asarray(self._ends).astype(np.int64)
        )
        sizes = np.diff(ends)
        for j, candidates in sharing(*prefixes(grams, ends, threshold)):
            low, high = (
                np.minimum(sizes[candidates], sizes[j]),
                np.maximum(sizes[candidates], sizes[j]),
            )
            near = candidates[low >= threshold * high]
            own = grams[ends[j] : ends[j + 1]]
            for i in near.tolist():
                other = grams[ends[i] : ends[i + 1]]
                shared = np.intersect1d(own, other, assume_unique=True).size
                if shared >= threshold * (len(own) + len(other) - shared):
                    yield i, j


def gram_hashes(text: str) -> Hashes:
    """Return the sorted hashes of `word_grams(text)`; they hold within one process, as those of Python's texts do."""
    words = np.array([hash(word) for word in WORD.findall(text.lower())], np.int64)
    padded = np.pad(words, (0, max(0, 3 - len(words)))).view(np.uint64)
    return np.unique(sum(padded[i : len(padded) - 2 + i] * FACTORS[i] for i in range(3)))


def without_boilerplate(grams: Hashes, ends: NDArray[np.int64]) -> tuple[Hashes, NDArray[np.int64]]:
    """Return the grams of each text without those that many texts share, where these are long; and where each text ends.

    A text that is nothing else keeps them all.
    """
    count = len(ends) - 1
    least = max(min(MIN_SHARING, count), math.ceil(SHARED_BY * count))
    places = places_of_shared(grams, least) if count > 2 else np.empty(0, np.int64)
    if len(places) < MIN_SHARED_GRAMS:
        return grams, ends
    owners = np.searchsorted(ends, places, side="right") - 1
    shared = np.bincount(owners, minlength=count)
    is_cut = (shared >= MIN_SHARED_GRAMS) & (shared < np.diff(ends))
    kept = np.ones(len(grams), bool)
    kept[places[is_cut[owners]]] = False
    lengths = np.diff(ends) - np.where(is_cut, shared, 0)
    return grams[kept], np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def places_of_shared(grams: Hashes, least: int) -> NDArray[np.int64]:
    """Return the places of the grams that at least so many texts have."""
    counts = gram_counts(grams)
    often = np.flatnonzero(counts >= min(least, np.iinfo(np.uint16).max))
    if not len(often):
        return np.empty(0, np.int64)
    is_often = np.zeros(len(counts), bool)
    is_often[often] = True
    found = [
        start + np.flatnonzero(is_often[part & np.uint64(len(counts) - 1)])
        for start in range(0, len(grams), CHUNK)
        for part in [grams[start : start + CHUNK]]
    ]
    places = np.concatenate(found).astype(np.int64)
    names, sizes = np.unique(grams[places], return_counts=True)  # the counts were of low bits
    return places[np.isin(grams[places], names[sizes >= least])]


def prefixes(
    grams: Hashes, ends: NDArray[np.int64], threshold: float
) -> tuple[Hashes, NDArray[np.uint32]]:
    """Return the grams to index, and the text that each is of, in the order of the texts.

    A gram that one text alone has comes first in the order and finds nothing, so that it is left out.
    """
    counts = gram_counts(grams)
    indexed, owners = array("Q"), array("I")
    for item in range(len(ends) - 1):
        own = grams[ends[item] : ends[item + 1]]
        often = counts[own & np.uint64(len(counts) - 1)]
        length = len(own) - math.ceil(threshold * len(own)) + 1
        alone = int(np.count_nonzero(often == 1))
        if alone < length:
            rarest = np.lexsort((own, often))[alone:length]
            indexed.frombytes(own[rarest].tobytes())
            owners.extend([item] * len(rarest))
    return np.asarray(indexed), np.asarray(owners)


def gram_counts(grams: Hashes) -> Counts:
    """Count the grams by the low bits of their hashes, up to 65,535.

    Grams may share a count, which is then too high: the order of grams stays one order for all texts, so that the filter
    stays exact, and a count of 1 stays true.
    """
    counts = np.zeros(1 << len(grams).bit_length(), np.uint16)
    for start in range(0, len(grams), CHUNK):
        low = grams[start : start + CHUNK] & np.uint64(len(counts) - 1)
        places, times = np.unique(low, return_counts=True)
        counts[places] = np.minimum(counts[places] + times, np.iinfo(np.uint16).max)
    return counts


def sharing(
    indexed: Hashes, owners: NDArray[np.uint32]
) -> Iterator[tuple[int, NDArray[np.uint32]]]:
    """Yield each text with the earlier ones that share an indexed gram with it, where there are any."""
    order = np.argsort(indexed, kind="stable")  # stable: the texts of one gram stay in their order
    ranked, texts = indexed[order], owners[order]
    first = np.searchsorted(ranked, indexed)  # where the run of a gram begins
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    found = np.flatnonzero(first < place)
    for text, entries in groupby(found, key=owners.__getitem__):
        yield int(text), np.unique(np.concatenate([texts[first[e] : place[e]] for e in entries]))


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
