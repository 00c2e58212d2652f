"""A real task in a workspace of its own: climbed with the levers that are named, and told as stages."""

import json
import math
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from benchmarks.seeds.results import Stage

from ratchet import Budget, Candidate, Example, Measurement, Step, Verdict, Workbench
from ratchet.core import Json
from ratchet.ladder import Rung, gain_text, score_text
from ratchet.levers import Evidence, Lever, LeverEstimate, TuneLever
from ratchet.measure import evaluate
from ratchet.models import ModelPool
from ratchet.store import add_dataset, create_workspace
from ratchet.tuning import TuningProgress, TuningSettings
from ratchet.watching import Watching

__all__ = [
    "Change",
    "RealTask",
    "Setting",
    "ShortPromptTune",
    "climb_stages",
    "compare_stages",
    "measure_interleaved",
    "open_task",
    "stage_of_measurement",
]

FIGURES = ("macro_f1", "micro_f1", "micro_precision", "micro_recall")
"""What is told of a measurement beside its score, in percent."""
CHUNK = 40
"""Examples that each of two candidates answers before it is the other's turn."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Where rungs are climbed, and by whom."""

    data: Path
    """The real sets."""
    work: Path
    """The folder of the workspaces, one a task."""
    model: str
    """The small model."""
    share: float = 1.0
    """Of the examples that a rung takes by itself; below 1 for a look at how it goes."""

    def count(self, examples: int) -> int:
        """Return how many examples to take where a rung takes so many."""
        return max(8, round(self.share * examples))


@dataclass(frozen=True, kw_only=True)
class RealTask:
    """A task as its file would have it, and its examples, each with its split."""

    body: dict[str, Json]
    examples: list[Example]

    @property
    def name(self) -> str:
        """Return the task's name."""
        return str(self.body["name"])


class Change:
    """A rung that changes parts of the champion; a lever like any other."""

    def __init__(self, name: str, note: str, **parts: Any) -> None:
        self.name, self._note, self._parts = name, note, parts

    async def estimate(self, _champion: Candidate, _evidence: Evidence) -> LeverEstimate:
        """Return that it is one candidate."""
        return LeverEstimate(candidates=1, calls=0, cost_usd=0.0)

    async def propose(
        self, champion: Candidate, _evidence: Evidence, _budget: Budget
    ) -> AsyncIterator[Candidate]:
        """Yield the champion with those parts changed."""
        yield champion.changed(**self._parts, note=self._note)


class ShortPromptTune(TuneLever):
    """A fine-tune whose prompt is a tag and the input: what the instructions and labels say is left to the weights."""

    def __init__(self, settings: TuningSettings, **parts: Any) -> None:
        super().__init__(settings)
        self._parts = parts

    async def propose(
        self, champion: Candidate, evidence: Evidence, budget: Budget
    ) -> AsyncIterator[Candidate]:
        """Yield the fine-tune of the short prompt."""
        short = champion.changed(system=f"[{evidence.task.name}]", **self._parts)
        async for tuned in super().propose(short, evidence, budget):
            yield tuned


class _Clock(Watching):
    """Prints what goes on, and takes the time of each rung's answers."""

    def __init__(self, name: str) -> None:
        self._name, self._mark, self._trained = name, time.monotonic(), 0.0
        self.seconds: dict[str, float] = {}
        """Of all answers of a candidate, by its id."""
        self.lines: list[str] = []

    def says(self, text: str) -> None:
        """Print it, and begin to take the time where answers are measured."""
        self._mark = time.monotonic()
        self.lines.append(text)
        print(f"{time.strftime('%H:%M:%S')} {self._name}: {text}", flush=True)

    def trains(self, progress: TuningProgress) -> None:
        """Print how far a training run is, now and then."""
        if progress.validation_loss is not None or time.monotonic() - self._trained > 60:
            self._trained = time.monotonic()
            print(f"{time.strftime('%H:%M:%S')} {self._name}: {progress!r}", flush=True)

    def climbs(self, rung: Rung) -> None:
        """Keep the time of the rung's answers."""
        step = rung.step
        self.seconds[step.candidate_id] = time.monotonic() - self._mark
        print(
            f"{time.strftime('%H:%M:%S')} {self._name}: {step.what}: {score_text(step)} {gain_text(step)}",
            flush=True,
        )


def open_task(setting: Setting, real: RealTask) -> tuple[Workbench, Path]:
    """Return a task's workbench, in a workspace of its own, and the file of its timings; made where they are not there yet."""
    workspace = create_workspace(setting.work / real.name)
    path = workspace.task_path(real.name)
    if not path.exists():
        path.write_text(yaml.safe_dump(real.body, sort_keys=False, allow_unicode=True), "utf-8")
        workspace.load_task(real.name)
        add_dataset(workspace.database, real.name, real.examples, source="benchmarks/seeds")
    return Workbench.open(real.name, workspace.root), setting.work / f"{real.name}.timings.json"


def measure_interleaved(
    bench: Workbench, candidates: Sequence[Candidate], timings: Path
) -> list[Measurement]:
    """Return the measurements of candidates that answer dev by turns, so that what else the machine does hits all alike.

    Args:
        bench: The task.
        candidates: Who answers.
        timings: The file that keeps the seconds of each, by its id.
    """
    dev = bench.split("dev")
    chunks = [dev[first : first + CHUNK] for first in range(0, len(dev), CHUNK)]
    seconds = dict.fromkeys([candidate.id for candidate in candidates], 0.0)

    async def work(pool: ModelPool) -> list[Measurement]:
        ground = bench.bench(pool=pool)
        for chunk in chunks:
            for candidate in candidates:
                started = time.monotonic()
                found = await evaluate(
                    ground, candidate, pool.model(candidate.model), chunk, split="dev"
                )
                seconds[candidate.id] += time.monotonic() - started if found.bought else 0.0
        return [
            await evaluate(ground, c, pool.model(c.model), dev, split="dev") for c in candidates
        ]

    measured = bench.with_pool(work)
    with _kept_timings(timings) as known:
        known.update({name: took for name, took in seconds.items() if took})
    return measured


def climb_stages(
    bench: Workbench,
    levers: Sequence[Lever],
    *,
    start: Candidate | None = None,
    timings: Path,
) -> list[Stage]:
    """Return the ladder as stages; what was climbed before is read, not made again."""
    bench.watching = clock = _Clock(bench.task.name)
    steps = bench.climb(levers, start=start)
    with _kept_timings(timings) as known:
        for name, seconds in clock.seconds.items():
            known.setdefault(name, seconds)
        measured = {one.candidate.id: one for one in bench.measured()}
        return [
            _stage_of_step(step, measured[step.candidate_id], known.get(step.candidate_id))
            for step in steps
        ]


def compare_stages(
    bench: Workbench,
    before: Candidate,
    after: Sequence[tuple[str, Candidate]],
    *,
    timings: Path,
) -> list[Stage]:
    """Return the first candidate and each of the others against it, as stages; answers that are stored are not asked for again."""
    verdicts, measured = bench.compare_all(before, [candidate for _, candidate in after])
    with _kept_timings(timings) as known:
        stages = [
            stage_of_measurement(before.note or "the start", measured[0], known.get(before.id))
        ]
        for (what, candidate), verdict, measurement in zip(
            after, verdicts, measured[1:], strict=True
        ):
            stage = stage_of_measurement(what, measurement, known.get(candidate.id))
            stages.append(stage.model_copy(update=_gain_parts(verdict)))
    return stages


def stage_of_measurement(what: str, measured: Measurement, seconds: float | None) -> Stage:
    """Return a measurement as a stage without a verdict; `seconds` are those of all its answers."""
    calls = max(1, len(measured.outcomes))
    prompt, completion = measured.tokens
    totals: dict[str, Json] = {
        name: round(100 * value, 1)
        for name, value in measured.totals.items()
        if name in FIGURES and not math.isnan(value)
    }
    return Stage(
        what=what,
        score=measured.score,
        low=measured.interval.low,
        high=measured.interval.high,
        n=measured.n,
        prompt_tokens=prompt / calls,
        completion_tokens=completion / calls,
        seconds=seconds / calls if seconds else None,
        figures={**totals, **measured.failures},
    )


def _stage_of_step(step: Step, measured: Measurement, seconds: float | None) -> Stage:
    """Return a step of a ladder as a stage."""
    parts: dict[str, Any] = {"kept": step.kept}
    if step.verdict:
        parts |= _gain_parts(step.verdict)
    if step.lever.startswith(("tune", "demos", "distil")):
        parts["seconds_to_make"] = step.spend.seconds
    return stage_of_measurement(step.what, measured, seconds).model_copy(update=parts)


def _gain_parts(verdict: Verdict) -> dict[str, Any]:
    return {
        "gain": verdict.effect,
        "gain_low": verdict.interval.low,
        "gain_high": verdict.interval.high,
        "level": verdict.interval.level,
        "decision": verdict.decision,
    }


@contextmanager
def _kept_timings(path: Path) -> Iterator[dict[str, float]]:
    """Open the seconds that are known by candidate, and keep what is added to them."""
    known = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    yield known
    path.write_text(json.dumps(known, indent=1), "utf-8")
