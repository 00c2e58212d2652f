"""The workbench: one task with its examples, metric and models, ready to measure, compare and climb — from Python or a notebook.

import ratchet
bench = ratchet.Workbench.open("pii")                    # a task of the workspace in this folder
bench = ratchet.Workbench.of(task, examples, metric=f)   # or one made in Python, with nothing kept on disk
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import sqlalchemy as sa

from ratchet.answer import Prompt, gather, starting_candidate, with_model
from ratchet.core import (
    Budget,
    Candidate,
    Example,
    Opening,
    Release,
    Split,
    Step,
    Task,
    Verdict,
    content_id,
)
from ratchet.core.errors import UsageError
from ratchet.data import add_rows, split_examples
from ratchet.ladder import (
    Changed,
    Ground,
    changed_by,
    climb,
    metric_of,
    open_test,
    promote,
)
from ratchet.levers import (
    CandidateNames,
    Evidence,
    Lever,
    files_in,
    forgotten,
    matching,
    unlearnt_of,
)
from ratchet.measure import (
    Bench,
    Contest,
    Finding,
    Forgetting,
    Measurement,
    Plan,
    Probe,
    Race,
    check_brought,
    check_task,
    compare_all,
    evaluate,
    import_answers,
    own_family,
    plan,
    race,
    recall_all,
    settle,
    trials_frame,
)
from ratchet.metrics import Judged, Metric
from ratchet.metrics.function import FunctionMetric, ScoreFunction
from ratchet.models import (
    ChatModel,
    ChatRequest,
    EndpointModel,
    ModelPool,
    ModelSession,
    ShapedRequest,
    start_temperature,
    workspace_pool,
)
from ratchet.retrieval import pinned
from ratchet.store import (
    Settings,
    Workspace,
    find_candidate,
    find_workspace,
    latest_dataset,
    load_examples,
    load_openings,
    load_steps,
    load_trials,
    open_passing_database,
)
from ratchet.watching import Watching

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Workbench"]

CHANGES_SHOWN = 5


class Workbench(ModelSession):
    """One task, ready to work on; made by `open` from a workspace, or by `of` in Python.

    `add(table)` adds the rows of a frame, or of a query's result, to the examples; see `ratchet.data.add_rows`; `import_answers(path, name)` those of
    answers that were collected elsewhere to the trials, see `ratchet.measure.import_answers`. Local models stay
    loaded until `close`, the end of a `with` block, or the workbench's own end.

    Args:
        task: The task.
        examples: Its examples, each in a split.
        metric: Scores the answers.
        engine: The database that trials are kept in.
        files: The folder for what is made: adapters.
        workspace: Where the task lies, for one that is kept on disk.
        models: Models by name, beside those of the workspace and `local:…`.
    """

    add = add_rows
    import_answers = import_answers

    def __init__(
        self,
        task: Task,
        examples: Sequence[Example],
        *,
        metric: Metric | Judged,
        engine: sa.Engine,
        files: Path,
        workspace: Workspace | None = None,
        models: Mapping[str, ChatModel] | None = None,
    ) -> None:
        super().__init__()
        self.task, self.examples, self.metric = task, list(examples), metric
        self.engine, self.files = engine, files
        self.workspace, self._models = workspace, dict(models or {})
        self.watching = Watching()

    @classmethod
    def open(
        cls, name: str, path: Path | str = ".", *, models: Mapping[str, ChatModel] | None = None
    ) -> "Workbench":
        """Return the task `name` of the workspace that `path` is in, with its newest examples."""
        workspace = find_workspace(Path(path))
        task = workspace.load_task(name)
        engine = workspace.database
        return cls(
            task,
            load_examples(engine, latest_dataset(engine, name)),
            metric=metric_of(task, workspace),
            engine=engine,
            files=workspace.files,
            workspace=workspace,
            models=models,
        )

    @classmethod
    def of(
        cls,
        task: Task,
        examples: Sequence[Example],
        *,
        metric: ScoreFunction | Metric | Judged | None = None,
        models: Mapping[str, ChatModel] | None = None,
    ) -> "Workbench":
        """Return a workbench for a task made in Python; trials are kept as long as it is in use, and examples without a split get one.

        Args:
            task: The task.
            examples: Its examples.
            metric: A metric, or a function of inputs, reference and answer; by default the one that the task names.
            models: Models by name, beside `local:…`.
        """
        chosen: Metric | Judged
        if metric is None:
            chosen = metric_of(task, None)
        elif inspect.isfunction(metric):
            chosen = FunctionMetric(metric)
        else:
            chosen = cast("Metric", metric)
        has_splits = all(e.split for e in examples)
        placed = list(examples) if has_splits else split_examples(examples, task.splits)
        engine, files = open_passing_database()
        return cls(task, placed, metric=chosen, engine=engine, files=files, models=models)

    def split(self, name: Split) -> list[Example]:
        """Return the examples of one split."""
        return [example for example in self.examples if example.split == name]

    def start(self) -> Candidate:
        """Return the plainest candidate: the task's instructions, the inputs under their names."""
        student = self.task.models.student
        known = {} if student in self._models else self.settings.endpoints
        temperature = start_temperature(student, known, self.engine)
        return starting_candidate(self.task, temperature=temperature)

    def steps(self) -> list[Step]:
        """Return the ladder."""
        return load_steps(self.engine, self.task.name)

    def champion(self) -> Candidate:
        """Return the best candidate so far: the ladder's, or the start where nothing was climbed yet."""
        kept = [step.candidate_id for step in self.steps() if step.kept]
        return find_candidate(self.engine, kept[-1]) if kept else self.start()

    @property
    def names(self) -> CandidateNames:
        """Return what names of candidates mean here."""
        return CandidateNames(
            task=self.task,
            engine=self.engine,
            root=self.workspace.root if self.workspace else None,
            start=self.start,
            champion=self.champion,
        )

    def candidate(self, name: str | None = None, *, model: str | None = None) -> Candidate:
        """Return the candidate of a name; by default the champion.

        A name is `start`, `champion`, an id, a label, or a file: its path from here, from the workspace or from `tasks/<task>/`,
        or its stem there. A file may leave parts out; they are the start's, or those of the candidate that its `from` names.
        `model` replaces the model.

        Raises: UsageError if nothing has that name, or two candidates; CandidateError if the file holds no candidate.
        """
        found = self.names.find("champion" if name is None else name)
        if model and model != found.model:
            if found.is_brought:
                raise UsageError(
                    f"{found.model!r} stands for answers that were collected elsewhere, and takes no other model; leave model={model!r} out, or name another candidate"
                )
            temperature = start_temperature(model, self.settings.endpoints, self.engine)
            found = with_model(found, model, temperature=temperature).changed(note=found.note)
        return pinned(self.engine, found)

    def variants(self, patterns: Sequence[str] = ()) -> list[Candidate]:
        """Return the candidates of the files that match, by default those in `tasks/<task>/`, in the order of their names."""
        names = self.names
        paths = matching(patterns) if patterns else files_in(names.folder)
        return [one for path in paths for one in names.variants_in(path)]

    def prompt(self, candidate: Candidate) -> Prompt:
        """Return the prompt of a candidate, checked against the task."""
        return Prompt(self.task, candidate)

    def request(self, candidate: Candidate, example: Example) -> ChatRequest:
        """Return the very request that a candidate sends for an example.

        Raises: UsageError for answers that were collected elsewhere: nothing is sent.
        """
        if candidate.is_brought:
            raise UsageError(
                f"{candidate.model!r} stands for answers that were collected elsewhere, and sends nothing; to see them: ratchet trials {self.task.name} --candidate {candidate.model}"
            )

        async def work(pool: ModelPool) -> ChatRequest:
            return (await gather(self.prompt(candidate), example, pool)).request

        return self.with_pool(work)

    def shaped(self, candidate: Candidate, request: ChatRequest) -> ShapedRequest | None:
        """Return a request as it goes over the wire to the candidate's endpoint; None for a model that is asked otherwise.

        Raises: ParameterError if the candidate names what its model does not take.
        """
        if candidate.is_local or candidate.is_brought:
            return None

        async def work(pool: ModelPool) -> ShapedRequest | None:
            model = pool.model(candidate.model)
            return model.shape(request) if isinstance(model, EndpointModel) else None

        return self.with_pool(work)

    @property
    def root(self) -> Path:
        """Return the folder that names of files are meant from."""
        return self.workspace.root if self.workspace else Path.cwd()

    @property
    def settings(self) -> Settings:
        """Return the settings of the workspace; the usual ones without."""
        return self.workspace.settings if self.workspace else Settings()

    def bench(self, budget: Budget | None = None, pool: ModelPool | None = None) -> Bench:
        """Return where measurements of this task are made."""
        return Bench(
            task=self.task,
            metric=self.metric,
            engine=self.engine,
            budget=budget or Budget(),
            watch=self.watching.answers,
            pool=pool,
        )

    def pool(self) -> ModelPool:
        """Return the models, to be closed by the caller; local ones that are open stay so."""
        ready = {**self.open_models.ready(), **self._models}
        if self.workspace:
            return workspace_pool(self.workspace, ready)
        return ModelPool(adapters=self.files / "adapters", ready=ready, engine=self.engine)

    def plan(self, candidate: Candidate, split: Split = "dev", *, repeats: int = 1) -> Plan:
        """Return what a measurement would take."""

        async def work(pool: ModelPool) -> Plan:
            model, examples = pool.model(candidate.model), self.split(split)
            return plan(self.bench(), candidate, model, examples, repeats=repeats)

        return self.with_pool(work)

    def measure(
        self,
        candidate: Candidate | None = None,
        split: Split = "dev",
        *,
        repeats: int = 1,
        budget: Budget | None = None,
    ) -> Measurement:
        """Return the measurement of a candidate (by default the champion) on a split."""
        return self.measure_all(
            [candidate or self.champion()], split, repeats=repeats, budget=budget
        )[0]

    def measure_all(
        self,
        candidates: Sequence[Candidate],
        split: Split = "dev",
        *,
        repeats: int = 1,
        budget: Budget | None = None,
    ) -> list[Measurement]:
        """Return the measurements of several candidates, one after another, under one budget."""
        if split == "test":
            raise UsageError(
                "the test split is sealed: it is opened for a champion alone, once, at the end; measure on dev"
            )
        examples = self.split(split)

        async def work(pool: ModelPool) -> list[Measurement]:
            bench = self.bench(budget, pool)
            pairs = [(c, pool.model(c.model)) for c in candidates]
            return [
                await evaluate(bench, *p, examples, split=split, repeats=repeats) for p in pairs
            ]

        self._check_brought(candidates, split)
        return self.with_pool(work)

    def _check_brought(self, candidates: Sequence[Candidate], split: Split) -> None:
        """Refuse brought answers of which none is to an example of the split."""
        for candidate in candidates:
            check_brought(self.bench(), candidate, self.split(split), split=split)

    def compare(
        self, a: Candidate, b: Candidate, *, repeats: int = 1, budget: Budget | None = None
    ) -> Verdict:
        """Return the paired verdict of `b` against `a` on dev; answers that are stored beyond `repeats` count too."""
        return self.compare_all(a, [b], repeats=repeats, budget=budget)[0][0]

    def compare_all(
        self,
        champion: Candidate,
        challengers: Sequence[Candidate],
        *,
        repeats: int = 1,
        budget: Budget | None = None,
    ) -> tuple[list[Verdict], list[Measurement]]:
        """Return each challenger's verdict against `champion` on dev, adjusted for their number, and all measurements, its first."""
        measured = self.measure_all([champion, *challengers], repeats=repeats, budget=budget)
        return compare_all(measured[0], measured[1:], margin=self.task.margin), measured

    def check(self) -> list[Finding]:
        """Return what is wrong with the task and its examples, found without a call."""
        checked = (self.task, self.examples, self.metric, [*self.variants(), self.champion()])
        known = recall_all(self.bench(), self.split("dev"), split="dev")
        return check_task(*checked, root=self.root, measured=known)

    def measured(self) -> list[Measurement]:
        """Return what the stored trials say of every candidate that has answered all of dev; nothing is called.

        Raises: UsageError if there is none.
        """
        found = recall_all(self.bench(), self.split("dev"), split="dev")
        if not found:
            raise UsageError(
                f"no candidate has answered all of dev yet; make trials with: ratchet measure {self.task.name}"
            )
        return found

    def settle(
        self,
        a: Candidate,
        b: Candidate,
        *,
        repeats: int = 1,
        budget: Budget | None = None,
        watch: Callable[[Contest], None] | None = None,
    ) -> Contest:
        """Compare `b` with `a` on dev, looking all along, and stop as soon as the verdict stands."""

        async def work(pool: ModelPool) -> Contest:
            bench, dev = self.bench(budget, pool), self.split("dev")
            one, other = ((c, pool.model(c.model)) for c in (a, b))
            return await settle(bench, one, other, dev, split="dev", repeats=repeats, watch=watch)

        self._check_brought([a, b], "dev")
        return self.with_pool(work)

    def race(
        self,
        candidates: Sequence[Candidate],
        *,
        tolerance: float = 0.01,
        confidence: float = 0.95,
        budget: Budget | None = None,
    ) -> Race:
        """Find the best of several candidates on dev, without asking all of everyone."""

        async def work(pool: ModelPool) -> Race:
            return await race(
                self.bench(budget, pool),
                [(candidate, pool.model(candidate.model)) for candidate in candidates],
                self.split("dev"),
                split="dev",
                tolerance=tolerance,
                confidence=confidence,
                watch=self.watching.races,
            )

        self._check_brought(candidates, "dev")
        return self.with_pool(work)

    def forgetting(self, candidate: Candidate, probes: Sequence[Probe] | None = None) -> Forgetting:
        """Return what a fine-tune forgot of its base, by its own probes unless others are given."""
        return self.with_pool(lambda pool: forgotten(pool, candidate, self.root, probes))

    def warnings(self, candidates: Sequence[Candidate] | None = None) -> list[str]:
        """Return what must be said beside figures of these candidates, or of the ladder's: that a judge grades its own family."""
        if not isinstance(self.metric, Judged):
            return []
        if candidates is None:
            candidates = [find_candidate(self.engine, step.candidate_id) for step in self.steps()]
        return own_family(self.metric.names, [candidate.model for candidate in candidates])

    def final(self, *, budget: Budget | None = None) -> Opening:
        """Open the sealed test split for the champion, once; the same champion's opening is read again, not made again."""
        own = content_id("d", sorted(e.id for e in self.examples))
        dataset = latest_dataset(self.engine, self.task.name).id if self.workspace else own

        async def work(pool: ModelPool) -> Opening:
            ground, test = self.ground(pool, budget), self.split("test")
            return await open_test(ground, self.champion(), test, dataset_id=dataset)

        return self.with_pool(work)

    def promote(
        self, candidate: str | None = None, *, name: str | None = None, who: str | None = None
    ) -> Release:
        """Serve a candidate (by default the champion) under a name, by default the task's."""
        chosen = self.candidate(candidate)
        return promote(self.engine, self.task, chosen, name=name or self.task.name, who=who)

    def openings(self) -> list[Opening]:
        """Return who opened the test split, when, and what it showed."""
        return load_openings(self.engine, self.task.name)

    def climb(
        self,
        levers: Sequence[Lever],
        *,
        start: Candidate | None = None,
        budget: Budget | None = None,
        again: bool = False,
    ) -> list[Step]:
        """Try the levers in order, keep what is proven better, and return the ladder."""

        async def work(pool: ModelPool) -> list[Step]:
            return await climb(self.ground(pool, budget), levers, start=start, again=again)

        return self.with_pool(work)

    def ground(self, pool: ModelPool, budget: Budget | None = None) -> Ground:
        """Return what levers and the ladder work on."""
        dataset = content_id(
            "d", sorted((e.id, e.split) for e in self.examples if e.split != "test")
        )
        evidence = Evidence(
            task=self.task,
            train=self.split("train"),
            bench=self.bench(budget, pool),
            pool=pool,
            files=self.files,
            root=self.root,
            tried=frozenset(
                n for s in self.steps() if s.dataset in ("", dataset) for n in s.tried_ids
            ),
            unlearnt=unlearnt_of(self.split("train")),
            watch=self.watching,
        )
        return Ground(
            evidence=evidence,
            dev=self.split("dev"),
            engine=self.engine,
            dataset=dataset,
            watch=self.watching.climbs,
            watch_race=self.watching.races,
        )

    def changes(self, step: Step, limit: int = CHANGES_SHOWN) -> list[Changed]:
        """Return examples on which a rung's challenger and champion differ most: fixed ones first, then broken ones."""
        if step.verdict is None:
            return []
        return self.differences(step.verdict, limit)

    def differences(self, verdict: Verdict, limit: int = CHANGES_SHOWN) -> list[Changed]:
        """Return up to `limit` examples that the challenger wins and up to `limit` that it loses, largest difference first."""
        trials = load_trials(
            self.engine,
            [verdict.champion_id, verdict.challenger_id],
            metric_id=verdict.metric_id,
            task_id=self.task.asking_id,
        )
        return changed_by(verdict, trials, self.split("dev"), limit)

    def trials_frame(self, candidate: Candidate) -> "pl.DataFrame":
        """Return the stored trials of a candidate under this task's metric, one row a trial.

        Raises: UsageError if there are none.
        """
        seen = {example.id: example for example in self.examples if example.split != "test"}
        trials = [
            t
            for t in load_trials(
                self.engine, [candidate.id], metric_id=self.metric.id, task_id=self.task.asking_id
            )
            if t.example_id in seen
        ]
        if not trials:
            raise UsageError(
                f"candidate {candidate.id} has no trials; make some with: ratchet measure {self.task.name} --candidate {candidate.id}"
            )
        return trials_frame(trials, list(seen.values()))

    def check_fits(self, candidate: Candidate) -> None:
        """Refuse a candidate that does not fit the task, before anything is paid for."""
        self.prompt(candidate).request(self.examples[0])
