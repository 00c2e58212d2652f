"""Rating: people grade answers without knowing whose they are; what they say feeds judges, rankings and corrected scores."""

import asyncio
from itertools import combinations
from random import Random

from nicegui import events, ui

from ratchet.core import Example, Grade, Trial
from ratchet.core.errors import DataError
from ratchet.core.records import written
from ratchet.judging import Judging
from ratchet.measure.agreement import people_agree
from ratchet.metrics import JudgeMetric
from ratchet.store import measured_candidates
from ratchet.store.choices import Choice, add_choice, load_choices
from ratchet.web.frame import Page, counted, hint, table, title
from ratchet.workbench import Workbench

__all__ = ["add_to"]

KEYS = "1234567890"
HALF = 0.5


def add_to(page: Page) -> None:
    """Add the views of this file."""

    @page.view("/tasks/{task}/rating", "Rating", role="viewer")
    async def rating_(task: str, pairs: bool = False) -> None:
        bench = await page.bench(task)
        title("Rating", "Say what is good without knowing whose it is. The keys on the buttons work too.")  # fmt: skip
        with ui.row():
            ui.link("One answer at a time", f"/tasks/{task}/rating").classes("" if pairs else "font-bold")  # fmt: skip
            ui.link("Two side by side", f"/tasks/{task}/rating?pairs=1").classes("font-bold" if pairs else "")  # fmt: skip
        await (Pairs(page, bench) if pairs else Rating(page, bench)).show()


class Rating:
    """Answers of several candidates, shuffled, without names."""

    def __init__(self, page: Page, bench: Workbench) -> None:
        self._page, self._bench = page, bench
        metric = bench.metric
        self._scale = list(metric.grades) if isinstance(metric, JudgeMetric) else ["fail", "pass"]
        self._left: list[tuple[Example, Trial]] = []

    async def show(self) -> None:
        """Show the view."""
        self._left = await asyncio.to_thread(self._ungraded)
        self._told = ui.label("").classes("soft")
        self._place = ui.column().classes("w-full")
        with ui.row().classes("flex-wrap") as self._keys:
            for number, grade in enumerate(self._scale):
                self._page.button(f"{KEYS[number]}  {grade}", lambda g=number: self._grade(g))
            self._page.button("s  skip", self._skip, flat=True)
        ui.keyboard(on_key=self._page.does(self._key))
        hint("grade", self._bench.task.name)
        self._next()

    def _ungraded(self) -> list[tuple[Example, Trial]]:
        judging = Judging(self._bench)
        done = {(g.candidate_id, g.example_id) for g in judging.grades() if g.who == self._page.who}
        found = [
            (example, trial)
            for candidate in measured_candidates(self._bench.engine, self._bench.task.asking_id)
            for example, trial in judging.answers(candidate)
            if (candidate.id, example.id) not in done and trial.failure is None
        ]
        Random(self._page.who).shuffle(found)
        return found

    def _next(self) -> None:
        grades = Judging(self._bench).grades()
        people = sorted({g.who for g in grades})
        alpha = people_agree(grades)
        agreed = "" if alpha is None else f"; they agree to a Krippendorff's alpha of {alpha:.2f}"
        self._told.set_text(f"{counted(len(self._left), 'answer')} left for you; {counted(len(grades), 'grade')} by {', '.join(people) or 'nobody yet'}{agreed}")  # fmt: skip
        self._place.clear()
        self._keys.set_visibility(bool(self._left))
        with self._place:
            if not self._left:
                ui.label("Nothing is left to grade: measure a candidate first, or come back later.")
                return
            example, trial = self._left[0]
            for name, value in example.inputs.items():
                ui.label(f"{name}: {written(value)}").classes("said")
            ui.label(written(trial.answer)).classes("said text-lg border rounded p-3 w-full").props('aria-label="The answer to grade"')  # fmt: skip
            with ui.expansion("The reference"):
                ui.label(written(example.reference)).classes("said")

    def _grade(self, place: int) -> None:
        if not self._left:
            return
        example, trial = self._left.pop(0)
        grade = Grade(
            candidate_id=trial.candidate_id,
            task_id=trial.task_id,
            example_id=example.id,
            who=self._page.who,
            grade=self._scale[place],
            value=place / (len(self._scale) - 1),
        )
        Judging(self._bench).add_grades([grade])
        self._next()

    def _skip(self) -> None:
        self._left = self._left[1:] + self._left[:1]
        self._next()

    def _key(self, event: events.KeyEventArguments) -> None:
        if not event.action.keydown or event.action.repeat:
            return
        name = str(event.key.name)
        if name == "s":
            self._skip()
        elif name in KEYS and KEYS.index(name) < len(self._scale):
            self._grade(KEYS.index(name))


class Pairs:
    """Two answers to the same example, side by side and in random order."""

    def __init__(self, page: Page, bench: Workbench) -> None:
        self._page, self._bench = page, bench
        self._left: list[tuple[Example, Trial, Trial]] = []

    async def show(self) -> None:
        """Show them."""
        self._left = await asyncio.to_thread(self._unseen)
        self._told = ui.label("").classes("soft")
        self._place = ui.column().classes("w-full")
        with ui.row().classes("flex-wrap") as self._keys:
            for key, words, result in (("1", "left is better", 1.0), ("0", "neither", 0.5), ("2", "right is better", 0.0)):  # fmt: skip
                self._page.button(f"{key}  {words}", lambda r=result: self._chosen(r))
        ui.keyboard(on_key=self._page.does(self._key))
        self._ranks = ui.column().classes("w-full")
        self._next()

    def _unseen(self) -> list[tuple[Example, Trial, Trial]]:
        engine, task_id = self._bench.engine, self._bench.task.asking_id
        done = {(one.example_id, one.first, one.second) for one in load_choices(engine, task_id) if one.who == self._page.who}  # fmt: skip
        judging, rng = Judging(self._bench), Random(self._page.who)
        answers = {one.id: {e.id: (e, t) for e, t in judging.answers(one) if t.failure is None} for one in measured_candidates(engine, task_id)}  # fmt: skip
        found = []
        for a, b in combinations(sorted(answers), 2):
            for name in answers[a].keys() & answers[b].keys():
                example, one = answers[a][name]
                other = answers[b][name][1]
                if (name, a, b) not in done and one.answer != other.answer:
                    found.append((example, *((one, other) if rng.random() < HALF else (other, one))))  # fmt: skip
        found.sort(key=lambda three: (three[0].id, three[1].candidate_id))
        rng.shuffle(found)
        return found

    def _next(self) -> None:
        self._told.set_text(f"{counted(len(self._left), 'pair')} left for you")
        self._place.clear()
        self._keys.set_visibility(bool(self._left))
        self._ranked()
        with self._place:
            if not self._left:
                ui.label("Nothing is left to compare: two candidates must have answered the same examples, and otherwise.")  # fmt: skip
                return
            example, left, right = self._left[0]
            for name, value in example.inputs.items():
                ui.label(f"{name}: {written(value)}").classes("said")
            with ui.row().classes("w-full gap-4 max-sm:flex-col"):
                for where, trial in (("left", left), ("right", right)):
                    ui.label(written(trial.answer)).classes("said text-lg border rounded p-3 grow basis-0").props(f'aria-label="The answer on the {where}"')  # fmt: skip
            with ui.expansion("The reference"):
                ui.label(written(example.reference)).classes("said")

    def _ranked(self) -> None:
        """Show how the candidates stand by what people chose."""
        self._ranks.clear()
        try:
            ratings, names = Judging(self._bench).choices()
        except DataError:  # nobody has chosen yet
            return
        notes = {one.id: one.note or one.id for one in measured_candidates(self._bench.engine, self._bench.task.asking_id)}  # fmt: skip
        rows = [[f"{r.best_rank}–{r.worst_rank}" if r.best_rank < r.worst_rank else r.rank, notes.get(names[r.candidate], names[r.candidate]), f"{r.strength:.0f}", r.wins, r.losses, r.ties] for r in ratings]  # fmt: skip
        with self._ranks, ui.expansion("How they stand (this tells whose is whose)").classes("w-full"):  # fmt: skip
            table(["rank", "candidate", "strength", "won", "lost", "tied"], rows, label="Ranks")

    def _chosen(self, result: float) -> None:
        if not self._left:
            return
        example, left, right = self._left.pop(0)
        add_choice(self._bench.engine, Choice(left.task_id, example.id, left.candidate_id, right.candidate_id, self._page.who, result))  # fmt: skip
        self._next()

    def _key(self, event: events.KeyEventArguments) -> None:
        results = {"1": 1.0, "0": 0.5, "2": 0.0}
        if event.action.keydown and not event.action.repeat and str(event.key.name) in results:
            self._chosen(results[str(event.key.name)])
