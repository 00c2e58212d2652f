"""What practitioners do beside the ladders: A/B tests, few-shot by a model's own replies, passages, distillation, forgetting."""

from collections.abc import AsyncIterator
from pathlib import Path

from benchmarks.seeds import sets
from benchmarks.seeds.ladders import (
    Setting,
    climb_stages,
    compare_stages,
    open_task,
    stage_of_measurement,
)
from benchmarks.seeds.results import Stage
from benchmarks.seeds.rungs import Told, open_banking8, open_banking77

from ratchet import Budget, Candidate, DemosLever, RetrievalLever, Workbench
from ratchet.core.errors import UsageError
from ratchet.ladder import rag_metric
from ratchet.levers import Lever, TuneLever
from ratchet.measure import compare
from ratchet.metrics import RAG_METRICS
from ratchet.models import ModelPool
from ratchet.retrieval import add_documents
from ratchet.store.knowledge import list_knowledge
from ratchet.tuning import TuningSettings

__all__ = [
    "climb_bootstrap",
    "climb_passages",
    "compare_prompts",
    "compare_with_larger_prompt",
    "distil",
    "measure_forgetting",
]

RUNS = 30
"""Of each prompt, on each message: as practitioners do it."""
PLAIN = "{{instructions}}"
WARM = "{{instructions}} Be warm, thank them, and say what happens next."
RAG_EXAMPLES = 20


def compare_prompts(setting: Setting) -> Told:
    """Two prompts, thirty runs each on a few messages, graded by the small model; and the first against itself."""
    bench, _ = open_task(setting, sets.replies(setting.data, setting.model, dev=6))
    first = bench.start()
    drawn = first.decoding.model_copy(update={"temperature": 0.8, "seed": 1})
    a = first.changed(system=PLAIN, decoding=drawn, note="A: the plain prompt")
    again = a.changed(
        decoding=drawn.model_copy(update={"seed": 2}), note="A again, drawn with another seed"
    )
    b = a.changed(system=WARM, note="B: warm, and what happens next")
    repeats = setting.count(RUNS)
    measured = bench.measure_all([a, again, b], repeats=repeats)
    stages = [stage_of_measurement(a.note, measured[0], None)]
    for candidate, measurement in ((again, measured[1]), (b, measured[2])):
        verdict = compare(measured[0], measurement, margin=bench.task.margin)
        stages.append(
            stage_of_measurement(candidate.note, measurement, None).model_copy(
                update={
                    "gain": verdict.effect,
                    "gain_low": verdict.interval.low,
                    "gain_high": verdict.interval.high,
                    "level": verdict.interval.level,
                    "decision": verdict.decision,
                }
            )
        )
    grades = [1 + 4 * stage.score for stage in stages if stage.score is not None]
    shown = ", ".join(f"{grade:.2f}" for grade in grades)
    return stages, [
        f"{repeats} runs each on {measured[0].n} messages; mean grades {shown} of 5.",
        "The judge is the small model itself, a weak one: read the verdicts, not the grades.",
        "Repeats of a message are averaged first.",
    ]


def climb_bootstrap(setting: Setting) -> Told:
    """The model's own right answers as demonstrations, sets of them raced, as DSPy's random search does."""
    real = sets.banking(
        setting.data,
        setting.model,
        name="bootstrap",
        labels=sets.intents(setting.data)[:8],
        train=setting.count(240),
        dev=setting.count(80),
    )
    bench, timings = open_task(setting, real)
    lever = DemosLever(sizes=(4, 8), sets=3, nearest=(), bootstrap=True, asked=96)
    return climb_stages(bench, [lever], start=bench.start(), timings=timings), []


def climb_passages(setting: Setting) -> Told:
    """No passages, passages found, passages reranked; the four metrics of passages for what was kept."""
    folder = setting.work / "insurance"
    real = sets.insurance(setting.data, setting.model, folder, dev=setting.count(60))
    bench, timings = open_task(setting, real)
    documents = setting.data / "retrieval" / "insurellm" / "knowledge-base"
    if not list_knowledge(bench.engine):
        add_documents(bench.engine, "insurellm", [documents])
    start = bench.start().changed(user="{{question}}", note="no passages")
    levers: list[Lever] = [
        RetrievalLever("insurellm", counts=(2,)),
        RetrievalLever("insurellm", rung="rerank"),
    ]
    stages = climb_stages(bench, levers, start=start, timings=timings)
    champion = bench.champion()
    if champion.retrieval is None:
        return stages, ["No passages were proven to help, so their four metrics were not taken."]
    return [*stages, *_rag_stages(bench, champion, setting)], [
        "The judge of the four metrics is the small model itself: they say what it says, and little of the passages."
    ]


def distil(setting: Setting) -> Told:
    """The model with demonstrations teaches itself, and the very small one, to do without them."""
    bench, timings = open_banking8(setting)
    teacher = next((c for c in _climbed(bench, "demos") if c.nearest or c.demonstrations), None)
    if teacher is None:
        raise UsageError(
            "climb eight intents first: the teacher is what its demonstrations come to"
        )
    bare = bench.start().changed(note="no demonstrations")
    nano = bare.changed(model="local:nano", note="local:nano as it ships")
    settings = TuningSettings(epochs=2)
    itself = _tuned(bench, TuneLever(settings, distil=True), teacher)
    longer = TuningSettings(epochs=4)
    small = _tuned(bench, TuneLever(longer, distil=True, base="local:nano"), teacher)
    stages = compare_stages(
        bench,
        bare,
        [("the teacher: with demonstrations", teacher), ("taught to itself", itself)],
        timings=timings,
    )
    return [
        *stages,
        *compare_stages(bench, nano, [("taught to local:nano", small)], timings=timings),
    ], ["What is learnt is the teacher's answers that are right, never the references."]


def measure_forgetting(setting: Setting) -> Told:
    """What the fine-tunes of the ladders forgot: probes, and the likelihood of held-out text."""
    stages = []
    for name, (bench, _) in _climbed_benches(setting).items():
        for tuned in [c for c in _climbed(bench, "tune") if c.adapter]:
            found = bench.forgetting(tuned)
            verdict = found.verdict
            stage = Stage(
                what=f"after the LoRA of {name}",
                score=verdict.challenger_score,
                gain=verdict.effect,
                gain_low=verdict.interval.low,
                gain_high=verdict.interval.high,
                level=verdict.interval.level,
                decision=verdict.decision,
                n=verdict.n,
                figures={
                    "% of probes before": round(100 * verdict.champion_score, 1),
                    "after": round(100 * verdict.challenger_score, 1),
                },
                note=found.likelihoods.sentence if found.likelihoods else "",
            )
            stages.append(stage)
    if not stages:
        raise UsageError("climb a ladder with a fine-tune first: there is none yet")
    return stages, [
        "The probes are general ones with one wanted answer to the letter; a model that gets next to none of them before says little by them, and more by the likelihood of held-out text."
    ]


def compare_with_larger_prompt(setting: Setting) -> Told:
    """The fine-tune without instructions against the prompt with the list of labels and demonstrations."""
    bench, timings = open_banking77(setting)
    demos, tuned = (next(iter(_climbed(bench, lever)), None) for lever in ("demos", "tune"))
    if demos is None or tuned is None:
        raise UsageError("climb all 77 intents first: its demonstrations and its LoRA are compared")
    large = demos.changed(note="the list of labels and demonstrations")
    stages = compare_stages(bench, large, [("LoRA, a tag and the message", tuned)], timings=timings)
    tokens = [(s.prompt_tokens or 0) + (s.completion_tokens or 0) for s in stages]
    return stages, [f"Tokens an answer: {tokens[1] / tokens[0]:.3f} of the larger prompt's."]


def _climbed_benches(setting: Setting) -> dict[str, tuple[Workbench, Path]]:
    """Return the workbenches of ladders that were climbed, by the name of their task."""
    names = sorted(path.parent.name for path in setting.work.glob("*/ratchet.toml"))
    found = {}
    for name in names:
        bench = Workbench.open(name, setting.work / name)
        if bench.steps():
            found[name] = (bench, setting.work / f"{name}.timings.json")
    return found


def _climbed(bench: Workbench, lever: str) -> list[Candidate]:
    """Return the candidates that a lever put on the ladder."""
    return [bench.candidate(step.candidate_id) for step in bench.steps() if step.lever == lever]


def _tuned(bench: Workbench, lever: TuneLever, champion: Candidate) -> Candidate:
    """Return what a fine-tune of a candidate comes to, trained where it is not there yet."""

    async def work(pool: ModelPool) -> list[Candidate]:
        evidence = bench.ground(pool).evidence
        proposed: AsyncIterator[Candidate] = lever.propose(champion, evidence, Budget())
        return [candidate async for candidate in proposed]

    return bench.with_pool(work)[0]


def _rag_stages(bench: Workbench, champion: Candidate, setting: Setting) -> list[Stage]:
    """Return the four metrics of the champion's answers, each as a stage without a verdict."""
    scored, stages = bench.metric, []
    examples = bench.examples
    dev = bench.split("dev")[: setting.count(RAG_EXAMPLES)]
    try:
        bench.examples = dev
        for name in RAG_METRICS:
            bench.metric = rag_metric(bench.task, name, {"judge": setting.model})
            measured = bench.measure(champion)
            stage = stage_of_measurement(f"{name} of what was kept", measured, None)
            stages.append(stage.model_copy(update={"prompt_tokens": None}))
    finally:
        bench.metric, bench.examples = scored, examples
    return stages
