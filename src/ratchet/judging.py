"""Judges and people on a workbench: rank candidates, take people's grades, and hold the judges of a metric against them.

judging = ratchet.Judging(bench)
judging.calibrate()              # how far the judges agree with people, and what people would have scored
judging.rank(candidates)         # "2–4": ranks as sure as they are
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ratchet.core import Budget, Candidate, Example, Grade, Trial
from ratchet.core.errors import DataError, UsageError, did_you_mean
from ratchet.data.label_files import read_choices
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
    recall,
    scored_bouts,
)
from ratchet.metrics import JudgeMetric, pairing_task
from ratchet.models import ModelPool
from ratchet.store import add_grades, find_candidate, keep_candidate, load_grades, load_trials
from ratchet.store.choices import Choice, add_choices, load_choices, sort_pair
from ratchet.workbench import Workbench

__all__ = ["ChoiceImport", "Judging"]


@dataclass
class ChoiceImport:
    """What a file of choices holds."""

    by_pair: dict[tuple[str, ...], tuple[Choice, int]] = field(default_factory=dict)
    """Each person's choice on a pair, and its row."""
    replaced: list[int] = field(default_factory=list)
    """Rows whose person says otherwise of the same pair further down: the later row counts."""
    sealed: int = 0
    """Rows on examples of the sealed test split, which are set aside."""

    @property
    def choices(self) -> list[Choice]:
        """Return the choices, in the order of their rows."""
        return [choice for choice, _ in self.by_pair.values()]

    def put(self, choice: Choice, row: int) -> None:
        """Take a choice; the candidates may come in either order."""
        pair = sort_pair(choice)
        key = (pair.example_id, pair.first, pair.second, pair.who)
        before = self.by_pair.pop(key, None)
        if before and before[0].result != pair.result:
            self.replaced.append(before[1])
        self.by_pair[key] = (pair, row)


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
        place = {name: index for index, name in enumerate(names)}
        bouts = [
            Bout(place[one.first], place[one.second], one.result, one.example_id) for one in found
        ]
        return rank(bouts, len(names)), names

    def rank_by_people(self) -> tuple[list[Rating], list[Measurement]]:
        """Return the candidates ranked by people's choices, with what the stored trials say of their scores; nothing is called.

        Raises: UsageError if nobody has chosen yet.
        """
        try:
            ratings, names = self.choices()
        except DataError as error:
            task = self.bench.task.name
            raise UsageError(
                f"nobody has chosen between two answers of task {task!r} yet; do so on the page, or bring choices with: ratchet grade {task} --pairs FILE"
            ) from error
        dev = self.bench.split("dev")
        bench = self.bench.bench()
        candidates = [find_candidate(self.bench.engine, name) for name in names]
        return ratings, [recall(bench, candidate, dev, split="dev") for candidate in candidates]

    def import_choices(self, path: Path, *, who: str) -> ChoiceImport:
        """Store the choices between two answers that people made elsewhere, all or none.

        Args:
            path: A table with the columns example, first, second (candidates), winner, and who where people differ.
            who: Who chose, where the file does not say.
        Raises: DataError if a column is wanting, or a row names an example or a candidate that is not there.
        """
        result = ChoiceImport()
        splits = {e.id: e.split for e in self.bench.examples}
        known = {key: e.id for e in self.bench.examples for key in (e.name, e.id) if key}
        candidates: dict[str, str] = {}
        for given in read_choices(path):
            where = f"{path}, row {given.row}"
            if given.example not in known:
                near = did_you_mean(given.example, known)
                raise DataError(
                    f"{where}: task {self.bench.task.name!r} has no example {given.example!r}{near}"
                )
            example_id = known[given.example]
            if splits[example_id] == "test":
                result.sealed += 1
                continue
            for name in (given.first, given.second):
                if name not in candidates:
                    candidates[name] = self._stored_candidate(name, where)
            first, second = candidates[given.first], candidates[given.second]
            if first == second:
                raise DataError(f"{where}: {given.first!r} and {given.second!r} are one candidate")
            task_id, person = self.bench.task.asking_id, given.who or who
            choice = Choice(task_id, example_id, first, second, person, given.result)
            result.put(choice, given.row)
        add_choices(self.bench.engine, result.choices)
        return result

    def _stored_candidate(self, name: str, where: str) -> str:
        """Return the id of the candidate that a file names.

        Raises: DataError if there is none.
        """
        try:
            candidate = self.bench.candidate(name)
        except UsageError as error:
            raise DataError(
                f"{where}: {error}. Answers of another program are brought with: ratchet import-answers FILE --task {self.bench.task.name} --candidate {name}"
            ) from error
        keep_candidate(self.bench.engine, candidate)
        return candidate.id

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
