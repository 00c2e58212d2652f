"""Failures that are alike: clusters of their inputs by embedding, each named by the words that set it apart."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from importlib import resources

import numpy as np

from ratchet.answer.nearest import text_of
from ratchet.core import Cluster, Example
from ratchet.core.errors import ReplyError, UnknownModelError
from ratchet.models import ModelPool

__all__ = ["clusters_of"]

FEWEST, MOST = 8, 5
"""Under so many failures there are no clusters; so many there are at most."""
ALIKE = 2
WORDS, SHOWN = 3, 3
EMBEDDING = "local:minilm"
WORD = re.compile(r"[^\W\d_]{4,}")


async def clusters_of(
    failing: Sequence[Example], pool: ModelPool, *, among: Sequence[Example] = ()
) -> list[Cluster]:
    """Return clusters of failures, the largest first; none where there are few, or nobody can tell how near two inputs are.

    Args:
        failing: Examples that were answered wrongly.
        pool: Has the embedder.
        among: All examples that were looked at; a word that stands in all of them sets no cluster apart.
    Source: average linkage of cosines (scipy.cluster.hierarchy), cut into at most `MOST`.
    """
    if len(failing) < FEWEST:
        return []
    texts = [text_of(example.inputs) for example in failing]
    try:
        rows, _ = await pool.embedder(EMBEDDING).embed(texts)
    except (UnknownModelError, ReplyError, ImportError):
        return []
    from scipy.cluster.hierarchy import fcluster, linkage  # takes a moment

    labels = fcluster(linkage(rows, "average", metric="cosine"), MOST, criterion="maxclust")
    every = [text_of(example.inputs) for example in among] or texts
    found = []
    for label, count in Counter(labels.tolist()).most_common():
        if count < ALIKE:
            continue
        places = np.flatnonzero(labels == label)
        middle = rows[places].mean(0)
        nearest = places[np.argsort(-(rows[places] @ middle), kind="stable")][:SHOWN]
        name = distinctive_words([texts[p] for p in places], every)
        found.append(
            Cluster(name=name, count=count, examples=tuple(failing[p].id for p in nearest))
        )
    return found


def distinctive_words(texts: Sequence[str], every: Sequence[str]) -> str:
    """Return the words that set some texts apart from all, most telling first; those that say nothing of a subject never.

    A word counts that stands in two of the texts or more, and in a larger share of them than of all. Where no word does, as
    where the texts are all that there are, it is the words that most of them share; empty where they share none.
    """
    own, whole = _texts_by_word(texts), _texts_by_word([*every, *texts])
    total = len(every) + len(texts)
    shared = {word: count for word, count in own.items() if count >= min(2, len(texts))}
    gain = {
        word: count * math.log(count / len(texts) * total / whole[word])
        for word, count in shared.items()
    }
    telling = {word: value for word, value in gain.items() if value > 0.1 * shared[word]}
    ranking = telling or {word: float(count) for word, count in shared.items()}
    chosen: list[str] = []
    for word in sorted(ranking, key=lambda one: (-ranking[one], one)):
        if not any(word.startswith(other) or other.startswith(word) for other in chosen):
            chosen.append(word)  # of a word and its plural the more telling is enough
    return ", ".join(chosen[:WORDS])


def _texts_by_word(texts: Sequence[str]) -> Counter[str]:
    """Return in how many texts each word stands that may say something of a subject."""
    found = (set(WORD.findall(text.casefold())) - _stop_words() for text in texts)
    return Counter(word for words in found for word in words)


@cache
def _stop_words() -> frozenset[str]:
    lines = resources.files("ratchet.ladder").joinpath("stop_words.txt").read_text("utf-8")
    words = (line.split() for line in lines.splitlines() if not line.startswith("#"))
    return frozenset(word for line in words for word in line)
