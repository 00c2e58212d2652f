"""The ladders: a real task each, climbed from the plainest prompt to a fine-tune."""

import math
from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np
from benchmarks.seeds import sets
from benchmarks.seeds.ladders import (
    Change,
    Setting,
    ShortPromptTune,
    climb_stages,
    compare_stages,
    measure_interleaved,
    open_task,
)
from benchmarks.seeds.results import Stage

from ratchet import Decoding, DemosLever, Example, Measurement, Workbench
from ratchet.levers import Lever, TuneLever
from ratchet.measure import mean_interval
from ratchet.metrics import make_metric
from ratchet.tuning import TuningSettings

__all__ = [
    "banking8_levers",
    "climb_banking8",
    "climb_banking77",
    "climb_first8",
    "climb_personal_data",
    "climb_prices",
    "climb_sql",
    "open_banking8",
    "open_banking77",
]

NEAREST = 8
"""Demonstrations that a message with an intent gets to see."""
LISTED = "{{instructions}} Call redact with: {{schema}}"
SCHEMA_AND_QUESTION = "{{#if schema}}Database:\n{{schema}}\n\n{{/if}}Question: {{question}}"
Told = tuple[list[Stage], list[str]]
"""The stages of a rung, and what else there is to say."""


def open_banking8(setting: Setting, name: str = "banking8") -> tuple[Workbench, Path]:
    """Return a task of eight intents: the first of the file, or for `banking8-drawn` those that benchmarks/levers drew."""
    labels = sets.intents(setting.data)
    chosen = Random(1).sample(sorted(labels), 8) if name == "banking8-drawn" else labels[:8]
    real = sets.banking(
        setting.data,
        setting.model,
        name=name,
        labels=chosen,
        train=setting.count(240),
        dev=setting.count(80),
    )
    return open_task(setting, real)


def open_banking77(setting: Setting) -> tuple[Workbench, Path]:
    """Return the task of all intents."""
    real = sets.banking(
        setting.data,
        setting.model,
        name="banking77",
        labels=sets.intents(setting.data),
        train=setting.count(1540),
        dev=setting.count(77),
    )
    return open_task(setting, real)


def banking8_levers(bench: Workbench) -> list[Lever]:
    """Return what is tried on eight intents, in this order."""
    return [
        Change("decoding", "labels forced", decoding=bench.start().decoding),
        Change("decoding", "labels decided", decoding=_decided(bench)),
        DemosLever(sizes=(NEAREST,), sets=2, nearest=(NEAREST,)),
        TuneLever(TuningSettings(epochs=6)),
    ]


def _decided(bench: Workbench) -> Decoding:
    """Return how the likeliest label is taken, without what the prompt alone makes likely."""
    decided = {"decide": True, "calibration": "prior"}
    return Decoding.model_validate({**bench.start().decoding.model_dump(), **decided})


def climb_banking8(setting: Setting, name: str = "banking8-drawn") -> Told:
    """Free answers, forced labels, demonstrations, a LoRA."""
    bench, timings = open_banking8(setting, name)
    forced = bench.start()
    free = forced.changed(decoding=Decoding(constrained=False), note="free answers")
    a, b = measure_interleaved(bench, [free, forced], timings)
    stages = climb_stages(bench, banking8_levers(bench), start=free, timings=timings)
    tokens = b.tokens[1] / a.tokens[1]
    seconds = (stages[1].seconds or math.nan) / (stages[0].seconds or math.nan)
    return stages, [
        f"Forced against free, by turns on the same machine: {tokens:.3f} of the answers' tokens, {seconds:.3f} of the time."
    ]


def climb_first8(setting: Setting) -> Told:
    """The same on the first eight intents of the file, some of which are near to each other."""
    return climb_banking8(setting, "banking8")


def climb_banking77(setting: Setting) -> Told:
    """Forced labels from a list, the nearest demonstrations, a LoRA without the list."""
    bench, timings = open_banking77(setting)
    levers: list[Lever] = [
        Change("decoding", "labels decided", decoding=_decided(bench)),
        DemosLever(sizes=(), sets=0, nearest=(NEAREST,)),
        ShortPromptTune(TuningSettings(epochs=3)),
    ]
    return climb_stages(bench, levers, start=bench.start(), timings=timings), []


def climb_personal_data(setting: Setting) -> Told:
    """The task's instructions, its classes named, the nearest demonstrations, a LoRA."""
    real = sets.personal_data(
        setting.data, setting.model, train=setting.count(900), dev=setting.count(100)
    )
    bench, timings = open_task(setting, real)
    levers: list[Lever] = [
        Change("prompt", "the classes and the form named", system=LISTED),
        DemosLever(sizes=(), sets=0, nearest=(4,)),
        ShortPromptTune(TuningSettings(epochs=3)),
    ]
    stages = climb_stages(bench, levers, start=bench.start(), timings=timings)
    empty = sum(not example.reference["fields"] for example in bench.split("dev"))
    forms = len({example.group for example in bench.split("dev")})
    return stages, [
        f"Dev is {forms} templates that train never shows; {empty} of its messages hold nothing to find, and finding nothing there is right."
    ]


def climb_prices(setting: Setting) -> Told:
    """Forced numbers, the nearest demonstrations, a LoRA; beside them ridge regression on words."""
    real = sets.prices(
        setting.data, setting.model, train=setting.count(600), dev=setting.count(150)
    )
    bench, timings = open_task(setting, real)
    levers: list[Lever] = [
        DemosLever(sizes=(), sets=0, nearest=(4,)),
        ShortPromptTune(TuningSettings(epochs=2)),
    ]
    stages = climb_stages(bench, levers, start=bench.start(), timings=timings)
    measured = {one.candidate.id: one for one in bench.measured()}
    told = [
        stage.model_copy(
            update={"figures": {**stage.figures, **_price_errors(measured[step.candidate_id])}}
        )
        for stage, step in zip(stages, bench.steps(), strict=True)
    ]
    return [*told, _ridge_stage(bench)], ["The score falls with the squared error of the log."]


def climb_sql(setting: Setting) -> Told:
    """The question alone, the database's tables, demonstrations, a LoRA."""
    folder = setting.work / "sql"
    real = sets.sql(
        setting.data, setting.model, folder, train=setting.count(400), dev=setting.count(100)
    )
    bench, timings = open_task(setting, real)
    tables = bench.start().changed(user=SCHEMA_AND_QUESTION, note="the tables and the question")
    alone = tables.changed(user="Question: {{question}}", note="the question alone")
    before = compare_stages(bench, alone, [(tables.note, tables)], timings=timings)
    levers: list[Lever] = [
        DemosLever(sizes=(), sets=0, nearest=(4,)),
        TuneLever(TuningSettings(epochs=6)),
    ]
    stages = climb_stages(bench, levers, start=tables, timings=timings)
    return [*before, *stages[1:]], [
        f"Databases of at most {sets.MAX_COLUMNS} columns; those of train are others than those of dev."
    ]


def _price_errors(measured: Measurement) -> dict[str, float]:
    """Return mean absolute error in dollars, and root mean squared error of the logs, of the answers that are numbers."""
    references = {example.id: float(example.reference) for example in measured.examples}
    pairs = [
        (references[trial.example_id], float(trial.answer))
        for trial in measured.trials
        if trial.answer is not None
    ]
    return _errors(*np.array(pairs).T) if pairs else {}


def _errors(wanted: np.ndarray, given: np.ndarray) -> dict[str, float]:  # type: ignore[type-arg]
    logs = np.log1p(np.maximum(given, 0)) - np.log1p(wanted)
    return {
        "MAE $": round(float(np.abs(given - wanted).mean()), 1),
        "RMSLE": round(float(np.sqrt((logs**2).mean())), 3),
    }


def _ridge_stage(bench: Workbench) -> Stage:
    """Return what ridge regression of the log price on TF-IDF of words comes to, by the same metric and examples."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline

    def texts(examples: Sequence[Example]) -> list[str]:
        return [str(example.inputs["text"]) for example in examples]

    train, dev = bench.split("train"), bench.split("dev")
    model = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
        RidgeCV(alphas=np.logspace(-2, 2, 9)),
    )
    model.fit(texts(train), np.log1p([float(example.reference) for example in train]))
    given = np.expm1(model.predict(texts(dev)))
    metric = make_metric(bench.task.metric)
    scores = np.array(
        [metric.score(e, float(price)).value for e, price in zip(dev, given, strict=True)]
    )
    interval = mean_interval(scores, None)
    return Stage(
        what="no language model: TF-IDF of words and pairs, ridge regression of the log",
        score=float(scores.mean()),
        low=interval.low,
        high=interval.high,
        n=len(dev),
        figures=dict(_errors(np.array([float(e.reference) for e in dev]), given)),
    )
