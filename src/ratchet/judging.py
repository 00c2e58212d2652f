"""Judges and people on a workbench: rank candidates, take people's grades, and hold the judges of a metric against them.

judging = ratchet.Judging(bench)
judging.calibrate()              # how far the judges agree with people, and what people would have scored
judging.rank(candidates)         # "2–4": ranks as sure as they are
"""

from collections.abc import Sequence

from ratchet.core import Budget, Candidate, Example, Grade, Trial
from ratchet.core.errors import UsageError
from ratchet.ladder import judge_named
from ratchet.measure import (
    Bout,
    Calibration,
    Duels,
    Measurement,
    Rating,
    calibrate,
    judged_bouts,
    rank,
    scored_bouts,
)
from ratchet.metrics import JudgeMetric, pairing_task
from ratchet.models import ModelPool
from ratchet.store import add_grades, find_candidate, load_grades, load_trials
from ratchet.store.choices import load_choices
from ratchet.workbench import Workbench

__all__ = ["Judging"]


class Judging:
    """What judges and people say of a task's candidates.

    Args:
        bench: The task's workbench.
    """

    def __init__(self, bench: Workbench) -> None:
        self.bench = bench

    def rank(
        self,
        candidates: Sequence[Candidate],
        *,
        judge: str | None = None,
        rubric: str | None = None,
        budget: Budget | None = None,
    ) -> tuple[list[Rating], list[Measurement], Duels | None]:
        """Return the candidates ranked on dev, strongest first, with their measurements.

        Args:
            candidates: Whom to rank; all are measured first.
            judge: A model, a YAML file or an id, to compare answers in pairs; without one the higher score wins.
            rubric: What a good answer is, for the judge; by default that of the task's metric.
            budget: What may be spent.
        Raises: UsageError for fewer than two candidates; MetricError for a judge without a rubric.
        """
        if len(candidates) < 2:  # a rank takes two
            raise UsageError(
                f"a ranking takes at least two different candidates; got {', '.join(one.id for one in candidates) or 'none'}. "
                f"Name them with --candidate, or put their files into tasks/{self.bench.task.name}/"
            )
        spending = budget or Budget()
        if judge is None:
            measured = self.bench.measure_all(candidates, budget=spending)
            return rank(scored_bouts(measured), len(measured)), measured, None
        said = rubric or str(self.bench.task.metric.options.get("rubric", ""))
        task = pairing_task(self.bench.task, rubric=said, model=judge)
        candidate = judge_named(judge, task, self.bench.workspace)

        async def known(pool: ModelPool) -> None:
            pool.model(candidate.model)

        self.bench.with_pool(known)  # a model that is unknown is told of before anything is paid
        measured = self.bench.measure_all(candidates, budget=spending)

        async def work(pool: ModelPool) -> Duels:
            bench = self.bench.bench(spending, pool)
            return await judged_bouts(bench, task, candidate, measured, self.bench.split("dev"))

        self.bench.watching.says(f"{judge}: judging pairs of answers")
        duels = self.bench.with_pool(work)
        return rank(duels.bouts, len(measured)), measured, duels

    def choices(self) -> tuple[list[Rating], list[str]]:
        """Return the candidates ranked by which of two answers people found better, and their ids by position.

        Raises: DataError if nobody has chosen yet.
        """
        found = load_choices(self.bench.engine, self.bench.task.asking_id)
        names = sorted({name for one in found for name in (one.first, one.second)})
        bouts = [Bout(names.index(one.first), names.index(one.second), one.result, one.example_id) for one in found]  # fmt: skip
        return rank(bouts, len(names)), names

    def grades(self) -> list[Grade]:
        """Return people's grades of answers to this task."""
        return load_grades(self.bench.engine, self.bench.task.asking_id)

    def add_grades(self, grades: Sequence[Grade]) -> None:
        """Keep people's grades; the later one of the same person counts."""
        add_grades(self.bench.engine, grades)

    def answers(self, candidate: Candidate) -> list[tuple[Example, Trial]]:
        """Return the stored answers of a candidate on dev, in the order of the examples."""
        trials = load_trials(
            self.bench.engine,
            [candidate.id],
            metric_id=self.bench.metric.id,
            task_id=self.bench.task.asking_id,
        )
        found = {trial.example_id: trial for trial in trials if trial.repeat == 0}
        return [(e, found[e.id]) for e in self.bench.split("dev") if e.id in found]

    def calibrate(
        self, candidates: Sequence[Candidate] = (), *, budget: Budget | None = None
    ) -> Calibration:
        """Return how the judges of the task's metric compare with people's grades, and the scores corrected by these.

        Args:
            candidates: Whose answers; by default all that people have graded.
            budget: What may be spent on answers and votes that are not there yet.
        Raises: UsageError if the metric has no judges; DataError if people graded nothing.
        """
        if not isinstance(self.bench.metric, JudgeMetric):
            raise UsageError(
                f"the metric of task {self.bench.task.name!r} is {self.bench.task.metric.name}, which has no judges to calibrate"
            )
        grades = self.grades()
        chosen = list(candidates) or [
            find_candidate(self.bench.engine, name)
            for name in dict.fromkeys(g.candidate_id for g in grades)
        ]
        measured = self.bench.measure_all(chosen, budget=budget) if chosen else []
        return calibrate(self.bench.metric, measured, grades)
