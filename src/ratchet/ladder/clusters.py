"""Failures that are alike: clusters of their inputs by embedding, each named by the words that set it apart."""

import math
import re
from collections import Counter
from collections.abc import Sequence

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


async def clusters_of(failing: Sequence[Example], pool: ModelPool) -> list[Cluster]:
    """Return clusters of failures, the largest first; none where there are few, or nobody can tell how near two inputs are.

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
    found = []
    for label, count in Counter(labels.tolist()).most_common():
        if count < ALIKE:
            continue
        places = np.flatnonzero(labels == label)
        middle = rows[places].mean(0)
        nearest = places[np.argsort(-(rows[places] @ middle), kind="stable")][:SHOWN]
        name = telling([texts[p] for p in places], texts)
        found.append(Cluster(name=name, count=count, examples=tuple(failing[p].id for p in nearest)))  # fmt: skip
    return found


def telling(texts: Sequence[str], every: Sequence[str]) -> str:
    """Return the words that stand in more of these texts than of all."""
    own, whole = (Counter(w for t in some for w in set(WORD.findall(t.lower()))) for some in (texts, every))  # fmt: skip
    score = {
        word: count * math.log((count / len(texts)) / (whole[word] / len(every)) + 1e-9)
        if len(texts) < len(every)
        else float(count)
        for word, count in own.items()
    }
    return ", ".join(sorted(score, key=lambda word: (-score[word], word))[:WORDS]) or "(no words)"
