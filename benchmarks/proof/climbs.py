"""Whole climbs with the real levers on a made-up model: is the champion ever worse than the start?"""

import hashlib
from collections.abc import Callable

import numpy as np
from benchmarks.proof.claim import Outcome, Rng, runs_of

from ratchet import (
    AnswerForm,
    DecodingLever,
    DemosLever,
    Example,
    InputField,
    MetricSpec,
    ModelLever,
    PromptLever,
    Proposer,
    Roles,
    Task,
    Workbench,
)
from ratchet.models import ChatRequest
from ratchet.testing import ScriptedModel

__all__ = ["equal_levers", "worse_levers"]

EXAMPLES, CLIMBS = 500, 100
LABELS = ("yes", "no")
TASK = Task(
    name="made-up",
    instructions="Say yes or no.",
    inputs=(InputField(name="q"),),
    answer=AnswerForm(kind="label", labels=LABELS),
    metric=MetricSpec(name="label"),
    models=Roles(student="small", teacher="large"),
)


def equal_levers(rng: Rng, size: float) -> list[Outcome]:
    """Return how often climbs change their champion, and end with one that is worse on test, where all candidates are equal."""
    return climbs(rng, runs_of(CLIMBS, size), worse=0.0)


def worse_levers(rng: Rng, size: float) -> list[Outcome]:
    """Return the same where whatever a lever proposes is three points worse than the start."""
    return climbs(rng, runs_of(CLIMBS, size), worse=0.03)


def climbs(rng: Rng, runs: int, *, worse: float) -> list[Outcome]:
    ends = [climb(int(rng.integers(2**31)), worse) for _ in range(runs)]
    changed = float(np.mean([kept > 1 for kept, _, _ in ends]))
    lost = float(np.mean([after < before for _, before, after in ends]))
    return [
        Outcome("champion changed", changed, runs, 0.0, 0.05),
        Outcome("champion worse on test", lost, runs, 0.0, 0.05),
    ]


def climb(seed: int, worse: float) -> tuple[int, float, float]:
    """Return how many rungs a climb kept, and the scores of start and champion on test."""
    chance = chances(seed, worse)
    models = {
        name: ScriptedModel(answerer(seed, name, chance), name=name) for name in ("small", "large")
    }
    examples = [
        Example(inputs={"q": f"question {n}"}, reference=LABELS[n % 2]) for n in range(EXAMPLES)
    ]
    bench = Workbench.of(TASK, examples, models=models)
    start = bench.start()
    variants = [
        start.changed(system=f"Variant {n}. {{{{instructions}}}}", note=f"variant {n}")
        for n in range(5)
    ]
    bench.climb(
        [
            PromptLever(variants, proposer=Proposer(count=3, seed=seed)),
            DemosLever(nearest=(), seed=seed),
            DecodingLever(),
            ModelLever(),
        ]
    )
    test, champion = bench.split("test"), bench.champion()
    scores = []
    for candidate in (start, champion):
        model = answerer(seed, candidate.model, chance)
        prompt = bench.prompt(candidate)
        scores.append(np.mean([model(prompt.request(e)) == e.reference for e in test]))
    kept = sum(step.kept for step in bench.steps())
    return kept, float(scores[0]), float(scores[1])


def chances(seed: int, worse: float) -> Callable[[str, bool], float]:
    """Return how likely a right answer is, by the question and whether it is asked in the start's words."""
    levels = np.clip(np.random.default_rng(seed).beta(2, 1.2, EXAMPLES), 0.02, 0.98)

    def chance(question: str, is_start: bool) -> float:
        return float(levels[int(question.rsplit(maxsplit=1)[-1])]) - (0.0 if is_start else worse)

    return chance


def answerer(
    seed: int, name: str, chance: Callable[[str, bool], float]
) -> Callable[[ChatRequest], str]:
    """Return a model: right or wrong by chance, and the same whenever it is asked the same."""

    def says(request: ChatRequest) -> str:
        last = str(request.messages[-1]["content"])
        if request.json_schema:  # it is asked to propose a prompt
            return f'{{"idea": "other words", "system": "Words {request.seed}. {{{{instructions}}}}", "user": "{{{{q}}}}"}}'
        said = repr((seed, name, request.messages, request.temperature))
        draw = int.from_bytes(hashlib.sha256(said.encode()).digest()[:8]) / 2**64
        plain = len(request.messages) == 2 and request.messages[0]["content"].startswith("Say")
        is_start = plain and name == "small" and request.temperature == 0
        right = LABELS[int(last.rsplit(maxsplit=1)[-1]) % 2]
        return right if draw < chance(last, is_start) else LABELS[1 - LABELS.index(right)]

    return says
