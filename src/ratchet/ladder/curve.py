"""Start small: fine-tunes on ever more of the train split, measured on dev, and what more data would bring."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import numpy as np

from ratchet.answer import starting_candidate
from ratchet.core.errors import DataError, TuningError
from ratchet.ladder.climb import Ground, measured
from ratchet.levers import TuneLever
from ratchet.measure import Curve, Measurement, learning_curve
from ratchet.measure.intervals import clusters_of
from ratchet.tuning import TuningSettings

__all__ = ["data_curve"]


async def data_curve(ground: Ground, sizes: Sequence[int], settings: TuningSettings) -> Curve:
    """Return the learning curve of the task's start, tuned on the first so many of the shuffled train split.

    Each size holds the smaller ones. Adapters and trials are kept: the same sizes again cost nothing. Nothing enters the ladder.

    Args:
        ground: What there is.
        sizes: How many examples, rising.
        settings: How each is trained.
    Raises: DataError if there are fewer train examples than the largest size; TuningError if the budget ends it early.
    """
    evidence = ground.evidence
    if len(evidence.train) < max(sizes):
        raise DataError(
            f"the train split has {len(evidence.train)} examples, fewer than {max(sizes)}; name smaller sizes"
        )
    shuffled = evidence.train[:]
    Random(settings.seed).shuffle(shuffled)
    found: list[Measurement] = []
    for size in sizes:
        part = replace(evidence, train=shuffled[:size], unlearnt=frozenset())
        temperature = evidence.pool.start_temperature(evidence.task.models.student)
        start = starting_candidate(evidence.task, temperature=temperature)
        proposals = TuneLever(settings).propose(
            start, replace(part, tried=frozenset()), evidence.bench.budget
        )
        tuned = [one async for one in proposals]
        measurement = await measured(ground, tuned[0]) if tuned else None
        if measurement is None or measurement.stopped:
            raise TuningError(
                "the budget is spent before the curve is whole; run it again with a larger one, what is there is kept"
            )
        evidence.say(f"{size} examples: {100 * measurement.score:.1f}")
        found.append(measurement)
    answers = [one.by_example() for one in found]
    common = [i for i in answers[0] if all(i in other for other in answers)]
    scores = np.array([[answer[i] for i in common] for answer in answers])
    groups = clusters_of([found[0].groups[i] for i in common])
    last = sizes[-1]
    return learning_curve(sizes, scores, [2 * last, 4 * last], clusters=groups, seed=settings.seed)
