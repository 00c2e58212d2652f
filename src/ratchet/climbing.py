"""Diagnosis, journey and drift on a workbench: find out why answers fail, climb by what that points to, and see what changes afterwards.

climbing = ratchet.Climbing(bench)
climbing.diagnose()                                   # causes with shares, and what each lever may gain
climbing.journey(climbing.levers(), target=0.9)
climbing.drift("support")                             # has what comes in changed since that release was admitted?
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from ratchet.core import Budget, Candidate, Diagnosis, Step
from ratchet.core.errors import RatchetError, UsageError
from ratchet.ladder import (
    Ask,
    ChampionPrompt,
    Depth,
    Prospects,
    Story,
    current,
    diagnose,
    drift_since,
    edits_of,
    journey,
    passed_of,
    prospects_of,
)
from ratchet.levers import CLIMBED, RUNGS, Lever, LeverOptions, make_levers
from ratchet.measure import recall, standings
from ratchet.measure.drift import Drift, drift_of
from ratchet.models import ModelPool
from ratchet.store import (
    add_diagnosis,
    keep_candidate,
    latest_dataset,
    load_commands,
    load_diagnoses,
    load_step_times,
)
from ratchet.tuning import Launch
from ratchet.workbench import Workbench

__all__ = ["Climbing"]

EVERYTHING = LeverOptions(rungs=RUNGS)
STANDING = 12
"""Candidates of a front that a report lists, at most."""


class Climbing:
    """What is wrong with a task's candidates, and the way up.

    Args:
        bench: The task's workbench.
    """

    def __init__(self, bench: Workbench) -> None:
        self.bench = bench

    def levers(
        self, names: Sequence[str] = CLIMBED, options: LeverOptions = EVERYTHING
    ) -> list[Lever]:
        """Return levers by name, by default all that a climb chooses from; the lever prompt compares the task's own candidates.

        Raises: UsageError if there is none of a name.
        """
        variants = self.bench.variants(options.templates)
        launch = Launch.of(self.bench.settings.tune)
        return make_levers(names, options, variants=variants, launch=launch)

    def diagnose(
        self,
        candidate: Candidate | None = None,
        *,
        depth: Depth | None = None,
        budget: Budget | None = None,
    ) -> Diagnosis:
        """Return why a candidate (by default the champion) fails on train examples; it is kept for the report.

        Raises: BudgetError if the budget ends first; what was bought is kept.
        """
        chosen = candidate or self.bench.champion()

        async def work(pool: ModelPool) -> Diagnosis:
            evidence = self.bench.ground(pool, budget).evidence
            keep_candidate(self.bench.engine, chosen)
            return await diagnose(evidence, chosen, depth=depth)

        found = self.bench.with_pool(work)
        add_diagnosis(self.bench.engine, found)
        return found

    def journey(
        self,
        levers: Sequence[Lever],
        *,
        start: Candidate | None = None,
        target: float | None = None,
        ask: Ask | None = None,
        budget: Budget | None = None,
    ) -> list[Step]:
        """Diagnose, try the lever that promises most for its cost, keep what is proven better, and again; return the ladder.

        Args:
            levers: What may be tried.
            start: The first candidate, where the ladder is empty.
            target: A score on dev that is enough.
            ask: Asked before each rung.
            budget: What may be spent.
        """

        async def work(pool: ModelPool) -> list[Step]:
            return await journey(
                self.bench.ground(pool, budget),
                levers,
                start=start,
                target=target,
                ask=ask,
                watch=self.bench.watching.diagnoses,
            )

        return self.bench.with_pool(work)

    def prospects(self, found: Diagnosis, levers: Sequence[Lever]) -> Prospects:
        """Return what each lever may gain for what it takes, given a diagnosis; nothing is called."""
        chosen = self.bench.candidate(found.candidate_id)
        steps = self.bench.steps()
        if chosen.id != self.bench.champion().id:  # what was tried was tried on another
            steps = [step for step in steps if step.candidate_id == chosen.id][-1:]

        async def work(pool: ModelPool) -> Prospects:
            evidence = self.bench.ground(pool).evidence
            dev = len(self.bench.split("dev"))
            return await prospects_of(levers, found, chosen, steps, evidence, dev=dev)

        return self.bench.with_pool(work)

    def diagnoses(self) -> dict[str, Diagnosis]:
        """Return the diagnoses that were made, by candidate."""
        return load_diagnoses(self.bench.engine, self.bench.task.name)

    def drift(self, release: str) -> Drift:
        """Return what has changed for a release since its candidate was admitted: the log against dev.

        Raises: UsageError if nothing is served under that name.
        """
        served = current(self.bench.engine, release)
        admitted = recall(
            self.bench.bench(), served.candidate, self.bench.split("dev"), split="dev"
        )
        passed = passed_of(self.bench.engine, self.bench.task, release, of=served)

        async def work(pool: ModelPool) -> Drift:
            return await drift_since(pool, served, admitted, passed)

        return self.bench.with_pool(work) if passed and admitted.n else drift_of([])

    def story(self) -> Story:
        """Return what a report of the ladder shows; nothing is called.

        Raises: UsageError if nothing was climbed yet.
        """
        bench = self.bench
        steps = bench.steps()
        if not steps:
            raise UsageError(
                f"task {bench.task.name!r} has no ladder yet; make one with: ratchet climb {bench.task.name}"
            )
        try:
            measured = bench.measured()
        except UsageError:  # the dataset has grown since
            measured = []
        workspace = bench.workspace
        return Story(
            task=bench.task,
            steps=steps,
            made_at=datetime.now(UTC).isoformat(timespec="seconds"),
            times=load_step_times(bench.engine, bench.task.name),
            prompt=self.champion_prompt(),
            commands=[one.text for one in load_commands(workspace, bench.task.name)]
            if workspace
            else (),
            source=latest_dataset(bench.engine, bench.task.name).source if workspace else "",
            changes={step.number: bench.changes(step) for step in steps},
            edits=edits_of(bench.engine, steps),
            warnings=bench.warnings(),
            diagnoses=self.diagnoses(),
            standings=standings(measured)[:STANDING],
            openings=bench.openings(),
        )

    def champion_prompt(self) -> ChampionPrompt:
        """Return the messages that the champion sends for the first example of dev; nothing is called that costs something.

        Where passages or near demonstrations would have to be asked for, their places are filled, and that is said.
        """
        champion, example = self.bench.champion(), self.bench.split("dev")[0]
        nearest, retrieval = champion.nearest, champion.retrieval
        is_free = (
            nearest is None or (_is_free(nearest.embedding) and not nearest.needs_draft)
        ) and (retrieval is None or (_is_free(retrieval.embedding) and retrieval.calls[1] == 0))
        note = ""
        try:
            request = self.bench.request(champion, example) if is_free else None
        except (RatchetError, ImportError):  # its knowledge, tables or embedder are not at hand
            request = None
        if request is None:
            request = self.bench.prompt(champion).request(example)
            note = "What is looked up for each input is not filled in here; see it with: ratchet show champion"
        return ChampionPrompt(example=example, messages=request.messages, note=note)


def _is_free(embedding: str) -> bool:
    return embedding.startswith("local:")
