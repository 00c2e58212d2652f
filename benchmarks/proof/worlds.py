"""Made-up tasks whose right lever is known: does the diagnosis name the cause, and does the journey reach what can be reached?

Each world has a model that fails for one reason, and answers that are wrong now and then for no reason at all.
"""

import hashlib
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from benchmarks.proof.claim import Outcome, Rng

from ratchet import (
    AnswerForm,
    Budget,
    Candidate,
    DecodingLever,
    DemosLever,
    Example,
    InputField,
    MetricSpec,
    ModelLever,
    PromptLever,
    RetrievalLever,
    Roles,
    Task,
    Workbench,
)
from ratchet.core import Cause, Chunking
from ratchet.ladder import climb, diagnose, journey
from ratchet.levers import Lever
from ratchet.models import ChatRequest, ModelPool
from ratchet.retrieval import add_documents
from ratchet.testing import ScriptedModel

__all__ = ["WORLDS", "World", "diagnoses", "journeys", "world"]

EXAMPLES, RUNS, JOURNEYS = 1500, 40, 5
DIAGNOSED = 400
"""Examples of a world that is diagnosed: train has more than a hundred."""
LABELS = ("alpha", "beta", "gamma", "delta")
NOISE = 0.04
"""So often an answer is wrong for no reason."""


@dataclass(frozen=True)
class World:
    """A task, its models, and what is true of it."""

    bench: Workbench
    start: Candidate
    cause: Cause
    reachable: float
    """The score that the right lever ends at, about."""


def seeded(*parts: object) -> Random:
    return Random(hashlib.sha256("|".join(map(str, parts)).encode()).hexdigest())


def asked_in(request: ChatRequest) -> tuple[str, str]:
    """Return the question's number, and all that stands before it."""
    text = "\n".join(str(m["content"]) for m in request.messages)
    users = [str(m["content"]) for m in request.messages if m["role"] == "user"]
    number = next(n[-1] for t in reversed(users) if (n := re.findall(r"question (\d+)", t)))
    return number, text


def model(seed: int, name: str, right: Callable[[str], str], able: Callable[[str, str, ChatRequest], bool], wrong: Callable[[str, Random], str]) -> ScriptedModel:  # fmt: skip
    """Return a model that is right where it is able to, but for a little noise; what it says to the same request is the same."""

    def says(request: ChatRequest) -> str:
        number, text = asked_in(request)
        fresh = request.seed if request.temperature else ""
        rng = seeded(seed, name, text, fresh)
        if able(number, text, request) and rng.random() > NOISE:
            return right(number)
        return wrong(number, rng)

    return ScriptedModel(says, name=name)


def truth(seed: int) -> Callable[[str], str]:
    return lambda number: LABELS[seeded(seed, "truth", number).randrange(len(LABELS))]


def hard(seed: int, share: float) -> Callable[[str], bool]:
    """Return which questions belong to a share, fixed for a world."""
    return lambda number: seeded(seed, "hard", number).random() < share


def make(seed: int, count: int, models: dict[str, ScriptedModel], references: Callable[[str], str], *, knowledge: bool = False, teacher: bool = True, kind: str = "label") -> Workbench:  # fmt: skip
    task = Task(
        name="made-up",
        instructions="Name the class.",
        inputs=(InputField(name="q"),),
        answer=AnswerForm(kind="label", labels=LABELS) if kind == "label" else AnswerForm(),
        metric=MetricSpec(name="label" if kind == "label" else "match"),
        models=Roles(student="small", teacher="large" if teacher else None),
    )
    words = [a + b for a in ("ka", "lo", "mi", "ne", "tu", "ra") for b in ("bel", "dor", "fin", "gus", "pol")]  # fmt: skip
    examples = [
        Example(
            inputs={"q": f"{' '.join(seeded(seed, 'words', n).sample(words, 8))} question {n}"},
            reference=references(str(n)),
            knowledge=(f"fact {n}.md",) if knowledge else (),
        )
        for n in range(count)
    ]
    return Workbench.of(task, examples, models=models)


def facts(bench: Workbench, seed: int, chunking: Chunking) -> None:
    """Give the workbench a document a question, whose answer stands behind the question's number and much else."""
    with tempfile.TemporaryDirectory(prefix="facts-") as folder:
        for n in range(len(bench.examples)):
            filler = " ".join(["more is written here"] * 12)
            (Path(folder) / f"fact {n}.md").write_text(f"Of question {n} this is known. {filler}. Its class is {truth(seed)(str(n))}.")  # fmt: skip
        add_documents(bench.engine, "facts", [Path(folder)], chunking=chunking)


def has_fact(number: str, text: str) -> bool:
    """Return whether the passage with a question's fact stands there in one piece."""
    return re.search(rf"question {number} this is known[^\[]*class is", text) is not None


def knowledge_withheld(seed: int, count: int) -> World:
    right, share = truth(seed), hard(seed, 0.5)
    able = lambda number, text, _: not share(number) or has_fact(number, text)  # noqa: E731
    wrong = lambda number, rng: rng.choice([one for one in LABELS if one != right(number)])  # noqa: E731
    models = {name: model(seed, name, right, able, wrong) for name in ("small", "large")}
    bench = make(seed, count, models, right, knowledge=True)
    facts(bench, seed, Chunking())
    return World(bench, bench.start(), "knowledge missing", 1 - NOISE)


def search_broken(seed: int, count: int) -> World:
    right, share = truth(seed), hard(seed, 0.5)
    able = lambda number, text, _: not share(number) or has_fact(number, text)  # noqa: E731
    wrong = lambda number, rng: rng.choice([one for one in LABELS if one != right(number)])  # noqa: E731
    models = {name: model(seed, name, right, able, wrong) for name in ("small", "large")}
    bench = make(seed, count, models, right, knowledge=True)
    facts(bench, seed, Chunking(by="window", size=12, overlap=0))
    start = bench.start().changed(
        user="{{#each passages}}[{{number}}] {{text}}\n{{/each}}{{q}}",
        retrieval={"knowledge": "facts", "mode": "lexical", "k": 2},
    )
    return World(bench, start, "search missed it", 1 - NOISE)


def format_unknown(seed: int, count: int) -> World:
    """Return a world where the model says the class in words of its own until it sees how it is said, or is told."""
    right, share = truth(seed), hard(seed, 0.6)

    def able(number: str, text: str, request: ChatRequest) -> bool:
        shown = sum(m["role"] == "assistant" for m in request.messages)
        told = "exactly in the form" in text or "in exactly the form" in text
        return not share(number) or shown >= 2 or told

    wrong = lambda number, rng: f"It is of the {right(number)[:3]} kind"  # noqa: E731, ARG005
    models = {name: model(seed, name, right, able, wrong) for name in ("small", "large")}
    bench = make(seed, count, models, right, teacher=False)
    return World(bench, bench.start(), "behaviour or format", 1 - NOISE)


def model_too_small(seed: int, count: int) -> World:
    right, share = truth(seed), hard(seed, 0.5)
    wrong = lambda number, rng: LABELS[(LABELS.index(right(number)) + 1) % len(LABELS)]  # noqa: E731, ARG005
    small = model(seed, "small", right, lambda number, *_: not share(number), wrong)
    large = model(seed, "large", right, lambda *_: True, wrong)
    bench = make(seed, count, {"small": small, "large": large}, right)
    return World(bench, bench.start(), "beyond this model", 1 - NOISE)


def labels_noisy(seed: int, count: int) -> World:
    right, share = truth(seed), hard(seed, 0.3)
    wrong = lambda number, rng: rng.choice([one for one in LABELS if one != right(number)])  # noqa: E731
    models = {name: model(seed, name, right, lambda *_: True, wrong) for name in ("small", "large")}

    def reference(number: str) -> str:
        other = seeded(seed, "label", number)
        return other.choice([o for o in LABELS if o != right(number)]) if share(number) else right(number)  # fmt: skip

    bench = make(seed, count, models, reference)
    return World(bench, bench.start(), "label looks wrong", (1 - NOISE) * 0.7)


WORLDS: dict[str, Callable[[int, int], World]] = {
    "knowledge withheld": knowledge_withheld,
    "search broken": search_broken,
    "format unknown": format_unknown,
    "model too small": model_too_small,
    "labels noisy": labels_noisy,
}


def world(name: str, seed: int, count: int = EXAMPLES) -> World:
    """Return a world by name, with so many examples."""
    return WORLDS[name](seed, count)


def levers_of(start: Candidate) -> list[Lever]:
    """Return all levers that need no training."""
    told = start.changed(system="{{instructions}} Answer in exactly the form that is asked for: one of the labels.", note="the form is said")  # fmt: skip
    levers: list[Lever] = [
        PromptLever([told]),
        DemosLever(nearest=()),
        DecodingLever(),
        ModelLever(),
    ]
    levers += [RetrievalLever(embedding="local:none", rung=rung) for rung in ("search", "chunks")]
    return levers


def diagnoses(rng: Rng, size: float) -> list[Outcome]:
    """Return how often the diagnosis of 100 examples names the right cause, world by world."""
    found = []
    for name in WORLDS:
        runs = max(2, round(RUNS * size))
        right = [named(name, int(rng.integers(2**31))) for _ in range(runs)]
        found.append(Outcome(f"{name}: cause named", float(np.mean(right)), runs, 0.9, 1.0))
    return found


def named(name: str, seed: int) -> bool:
    made = world(name, seed, DIAGNOSED)

    async def work(pool: ModelPool) -> bool:
        evidence = made.bench.ground(pool).evidence
        return (await diagnose(evidence, made.start)).cause == made.cause

    return made.bench.with_pool(work)


def journeys(rng: Rng, size: float) -> list[Outcome]:
    """Return the share of what can be reached at which journeys end, and their cost beside trying every lever in turn."""
    found = []
    for name in WORLDS:
        runs = max(2, round(JOURNEYS * size))
        ends = np.array([travelled(name, int(rng.integers(2**31))) for _ in range(runs)])
        for what, column, low, high in (
            ("of what can be reached", ends[:, 0], 0.95, 1.1),
            ("of the cost of all levers", ends[:, 1], 0.0, 1 / 3),
        ):
            spread = float(column.std(ddof=1))
            found.append(Outcome(f"{name}: {what}", float(column.mean()), runs, low, high, spread))
    return found


def travelled(name: str, seed: int) -> tuple[float, float]:
    """Return the share of the reachable score at which a journey ends, and its calls over those of every lever in turn."""
    calls, scores = [], []
    for planned in (True, False):
        made = world(name, seed)
        budget = Budget()

        async def work(pool: ModelPool, made: World = made, budget: Budget = budget, planned: bool = planned) -> float:  # fmt: skip
            ground = made.bench.ground(pool, budget)
            levers = levers_of(made.start)
            if planned:
                steps = await journey(ground, levers, start=made.start)
            else:
                able = [one for one in levers if await can(one, made.start, ground.evidence)]
                steps = await climb(ground, able, start=made.start)
            return next(step.score for step in reversed(steps) if step.kept)

        scores.append(made.bench.with_pool(work) / made.reachable)
        calls.append(budget.spent.calls)
    return scores[0], calls[0] / calls[1]


async def can(lever: Lever, champion: Candidate, evidence: object) -> bool:
    try:
        return (await lever.estimate(champion, evidence)).candidates > 0  # type: ignore[arg-type]
    except Exception:  # noqa: BLE001 - a lever that cannot be tried is not part of the cost
        return False
