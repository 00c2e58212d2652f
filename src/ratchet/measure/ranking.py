"""How good a ranking is, against judgements of relevance: as trec_eval computes it.

A ranking is ids, the best first; judgements are ids to grades, 0 or absent for what is not relevant. trec_eval's nDCG takes the
grade itself as gain and log2(rank + 1) as discount (Järvelin and Kekäläinen 2002), and its MAP divides by all relevant ones.
"""

import math
from collections.abc import Mapping, Sequence

__all__ = ["average_precision", "ndcg", "precision", "recall_at", "reciprocal_rank"]


def precision(ranked: Sequence[str], grades: Mapping[str, int], k: int) -> float:
    """Return the share of the first `k` places that hold something relevant."""
    return sum(grades.get(one, 0) > 0 for one in ranked[:k]) / k


def recall_at(ranked: Sequence[str], grades: Mapping[str, int], k: int) -> float:
    """Return the share of what is relevant that stands in the first `k` places; 0 where nothing is."""
    relevant = sum(grade > 0 for grade in grades.values())
    return sum(grades.get(one, 0) > 0 for one in ranked[:k]) / relevant if relevant else 0.0


def reciprocal_rank(ranked: Sequence[str], grades: Mapping[str, int]) -> float:
    """Return one over the place of the first relevant one; 0 where none is found."""
    return next(
        (1 / place for place, one in enumerate(ranked, start=1) if grades.get(one, 0) > 0), 0.0
    )


def average_precision(ranked: Sequence[str], grades: Mapping[str, int]) -> float:
    """Return the mean, over all that is relevant, of the precision at its place; what is not found counts 0."""
    relevant = sum(grade > 0 for grade in grades.values())
    hits, total = 0, 0.0
    for place, one in enumerate(ranked, start=1):
        if grades.get(one, 0) > 0:
            hits += 1
            total += hits / place
    return total / relevant if relevant else 0.0


def ndcg(ranked: Sequence[str], grades: Mapping[str, int], k: int) -> float:
    """Return the discounted gain of the first `k` places, as a share of the best possible one."""
    gains = [max(0, grades.get(one, 0)) for one in ranked[:k]]
    best = sorted((max(0, grade) for grade in grades.values()), reverse=True)[:k]
    ideal = discounted(best)
    return discounted(gains) / ideal if ideal else 0.0


def discounted(gains: Sequence[int]) -> float:
    return sum(gain / math.log2(place + 1) for place, gain in enumerate(gains, start=1))
