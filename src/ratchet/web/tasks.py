"""Tasks: what there is, and a new one from a file, a pasted table or the example."""

import asyncio
import re
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from nicegui import events, ui

from ratchet.core import Step, Task
from ratchet.core.errors import DataError, RatchetError, UsageError
from ratchet.core.task import TASK_NAME
from ratchet.data import (
    FileImport,
    Guess,
    Row,
    Survey,
    guess_columns,
    guess_task,
    near_duplicates,
)
from ratchet.data.duplicates import groups_of
from ratchet.data.splits import SPLITS
from ratchet.jobs.commands import output_of, settled, start_run
from ratchet.ladder import score_text
from ratchet.store import latest_dataset, load_releases, load_steps
from ratchet.store.requests import count_requests
from ratchet.web.frame import Page, chooser, counted, hint, table, title

__all__ = ["add_to"]

EXAMPLE = Path(__file__).with_name("example")
MAX_COMPARED, SHOWN, PREVIEW = 2000, 5, 200
NO_ANSWER = ""
"""What is chosen where the examples have no right answers."""
DAY_S, LONG_S = 86_400.0, 20.0


def add_to(page: Page) -> None:
    """Add the views of this file."""

    @page.view("/", "Tasks")
    def tasks_() -> None:
        names = page.workspace.task_names()
        title("Tasks", "What a model must do, with examples and a way to score an answer.")
        with ui.row():
            page.button("New task", lambda: ui.navigate.to("/new"), icon="add")
            if "pii" not in names:
                page.button("Try the example task", lambda: example(page), icon="school")
        if not names:
            ui.label("No task yet. Bring a CSV with a question and an answer in each row, or begin with the example.")  # fmt: skip
        with ui.row().classes("w-full gap-4"):
            for name in names:
                card(page, name)

    @page.view("/new", "New task", role="editor")
    def new() -> None:
        Wizard(page).show()


def card(page: Page, name: str) -> None:
    """Show a task: its champion's score, what it took, its last rung, traffic and alarms."""
    engine = page.workspace.database
    steps = load_steps(engine, name)
    champion = next((one for one in reversed(steps) if one.kept), None)
    served = [one for one in load_releases(engine) if one.task.name == name]
    with ui.card().classes("w-80"):
        ui.link(name, f"/tasks/{name}/examples").classes("text-lg font-semibold")
        try:
            task, dataset = page.workspace.load_task(name), latest_dataset(engine, name)
        except RatchetError as error:
            ui.label(str(error)).classes("text-red-700 text-sm")
            return
        ui.label(f"{dataset.rows:,} examples, version {dataset.version}; answers of kind {task.answer.kind}").classes("soft text-sm")  # fmt: skip
        if champion:
            ui.label(score_text(champion)).classes("text-3xl")
            ui.label(f"champion: {champion.what}; {spent_on(steps)}").classes("text-sm")
            last = steps[-1]
            ui.label(f"last rung: {last.lever}, {'kept' if last.kept else 'dropped'}").classes("text-sm")  # fmt: skip
        else:
            ui.label("nothing on its ladder yet").classes("soft")
        for release in {one.name: one for one in served}.values():  # the newest of each name
            count, failed = count_requests(engine, release.name, time.time() - DAY_S)
            ui.label(f"release {release.name}: {counted(count, 'request')} in 24 hours").classes("text-sm")  # fmt: skip
            if failed:
                ui.label(f"{failed:,} of them failed").classes("text-sm text-red-700").props('role="alert"')  # fmt: skip
            if changed := page.alarms.of(release):
                ui.label(f"drift: {', '.join(changed)} changed since it was admitted").classes("text-sm text-red-700").props('role="alert"')  # fmt: skip
            if release.canary:
                ui.label("a canary is out").classes("text-sm text-amber-800")
        if working := page.working(name):
            ui.link("a job is at work", f"/runs/{working}").classes("text-sm")


def spent_on(steps: Sequence[Step]) -> str:
    """Return what the steps of a ladder cost together, in words; where a price is unknown, that it is, and the least it can be."""
    costs = [step.spend.cost_usd for step in steps]
    dollars = sum(cost for cost in costs if cost is not None)
    if all(cost is not None for cost in costs):
        return f"${dollars:.2f} spent"
    return f"cost unknown, ${dollars:.2f} at least" if dollars else "cost unknown"


def example(page: Page) -> None:
    """Make the example task: personal data in messages, for the small model that ships with Ratchet."""
    tasks = page.workspace.root / "tasks"
    (tasks / "pii").mkdir(parents=True, exist_ok=True)
    shutil.copy(EXAMPLE / "pii.yaml", tasks / "pii.yaml")
    shutil.copy(EXAMPLE / "listed.yaml", tasks / "pii" / "listed.yaml")
    shutil.copy(EXAMPLE / "messages.jsonl", tasks / "pii" / "messages.jsonl")
    page.begin("pii", "import", "tasks/pii/messages.jsonl", "--task", "pii")


class Wizard:
    """A new task in one view: a file or a pasted table, what was guessed of it, and what it will be."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._file: Path | None = None
        self._rows: list[Row] = []
        self._survey = Survey()

    def show(self) -> None:
        """Show it."""
        title("New task", "1. Bring examples: each row has what goes in, and the right answer.")
        with ui.row().classes("w-full items-start"):
            with ui.column():
                chooser(
                    "Choose a file",
                    self._page.does(self.took),
                    accept=".csv,.tsv,.txt,.jsonl,.ndjson,.json,.parquet,.xlsx,.conll",
                )
                ui.label("CSV, TSV, Excel (.xlsx), JSONL, JSON or Parquet").classes("soft")
            with ui.column().classes("grow"):
                said = "… or paste a table here, with its header"
                box = ui.element("textarea").classes("w-full border rounded p-2 bg-transparent")
                box.props(f'rows=5 aria-label="{said}" placeholder="{said}"')
                # it travels as a file does: what is written in a page's own fields may have a megabyte at most
                hidden = ui.upload(auto_upload=True, on_upload=self._page.does(self.took_text)).classes("hidden")  # fmt: skip
                button = ui.button("Use what I pasted").props("flat no-caps")
                button.on("click", js_handler=f"() => {{ const up = getElement({hidden.id}).$refs.qRef; up.reset(); up.addFiles([new File([document.getElementById('c{box.id}').value + '\\n'], 'pasted')]) }}")  # fmt: skip
        self._rest = ui.column().classes("w-full")

    async def took(self, event: events.UploadEventArguments) -> None:
        """Take an uploaded file."""
        path = self._page.inbox(event.file.name)
        await event.file.save(path)
        await self._page.safely(self.guessed, path, Path(event.file.name).stem)

    async def took_text(self, event: events.UploadEventArguments) -> None:
        """Take a pasted table: with tabs as from a spreadsheet, or commas, or JSON lines."""
        text = (await event.file.read()).decode("utf-8", "replace").strip()
        if not text:
            raise UsageError("paste a table first: a header, and a row for each example")
        first = text.split("\n", 1)[0]
        kind = "jsonl" if first.startswith("{") else "tsv" if "\t" in first else "csv"
        path = self._page.inbox(f"pasted.{kind}")
        path.write_text(text + "\n", "utf-8")
        await self._page.safely(self.guessed, path, "mytask")

    async def guessed(self, path: Path, name: str) -> None:
        """Show what the columns seem to be; all of it can be changed."""

        def look() -> tuple[list[Row], Survey]:
            first, survey = list[Row](), Survey()
            for row in FileImport(path, skip_bad=True).rows():
                survey.add(row)
                if len(first) < MAX_COMPARED:
                    first.append(row)
            return first, survey

        try:
            self._file = path
            self._rows, self._survey = await asyncio.to_thread(look)
        except DataError as error:
            raise DataError(str(error).replace(str(path), path.name)) from error
        if not self._rows:
            raise DataError(f"{path.name}: no row can be read")
        columns = list(self._survey.columns)
        try:
            guess = guess_columns(self._survey)
        except DataError:
            told = "The columns do not tell what goes in from the right answer; choose them below."
            guess = Guess(inputs=(columns[0],), answer=None, reasons=(told,))
        self._rest.clear()
        with self._rest:
            title("2. What goes in, what comes out", "Guessed from the whole file; change what is wrong.", level=2)  # fmt: skip
            for reason in guess.reasons:
                ui.label(reason).classes("text-amber-800")
            clean = re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-_") or "mytask"
            with ui.row().classes("items-end"):
                self._name = ui.input("Name of the task", value=clean)
                self._inputs = ui.select(columns, value=list(guess.inputs), multiple=True, label="What goes in").props("use-chips").classes("min-w-64")  # fmt: skip
                self._answer = ui.select({NO_ANSWER: "none", **{c: c for c in columns}}, value=guess.answer or NO_ANSWER, label="The right answer").classes("min-w-40")  # fmt: skip
                self._group = ui.select({"": "none", **{c: c for c in columns}}, value=guess.group or "", label="Rows that belong together").classes("min-w-64")  # fmt: skip
            self._asked = ui.input("What the model is to do, in your words", placeholder="guessed if left out").classes("w-full").props("stack-label")  # fmt: skip
            self._told = ui.column().classes("w-full")
            for one in (self._inputs, self._answer, self._group):
                one.on_value_change(self.told)
            self.told()
            with ui.row().classes("items-center"):
                self._page.button("Make the task", self.make, icon="check")
                self._state = ui.label("").classes("said").props('role="status"')

    def told(self) -> None:
        """Show the form of the answers and a preview, for the columns that are chosen now."""
        self._told.clear()
        with self._told:
            try:
                guess, task = self.chosen()
            except RatchetError as error:
                ui.label(str(error)).classes("text-red-700")
                return
            labels = f": {', '.join(task.answer.labels[:12])}" if task.answer.labels else ""
            ui.label(f"The answer is of kind {task.answer.kind}{labels}. It is scored by {task.metric.name}, and answered by the model {task.models.student}.")  # fmt: skip
            self._asked.props["placeholder"] = task.instructions
            self._asked.update()
            answers = [guess.answer] if guess.answer else []
            cells = [[row.values.get(c) for c in (*guess.inputs, *answers)] for row in self._rows[:SHOWN]]  # fmt: skip
            rows = [["" if cell is None else str(cell)[:PREVIEW] for cell in row] for row in cells]
            table([*guess.inputs, *(f"→ {a}" for a in answers)], rows, label="The first rows")
            for line in self._odd(guess):
                ui.label(line).classes("text-amber-800")
            shares = ", ".join(f"{100 * getattr(task.splits, name):.0f} % {name}" for name in SPLITS)  # fmt: skip
            ui.label(f"The rows are divided into {shares}; rows of one group, and near-duplicates, stay together, so that nothing leaks.").classes("soft")  # fmt: skip

    def _odd(self, guess: Guess) -> list[str]:
        """Return what is odd in the first rows: repeated ones, conflicts, near-duplicates."""
        answers: dict[str, set[str]] = {}
        for row in self._rows:
            inputs = repr([row.values.get(c) for c in guess.inputs])
            answers.setdefault(inputs, set()).add(repr(row.values.get(guess.answer or "")))
        conflicts = sum(len(found) > 1 for found in answers.values())
        repeated = len(self._rows) - sum(map(len, answers.values()))
        texts = ["\n".join(str(row.values.get(c)) for c in guess.inputs) for row in self._rows]
        near = len({j for i, j in near_duplicates(texts) if texts[i] != texts[j]})
        alike = len(set(groups_of(len(texts), near_duplicates(texts))))
        if alike < len(SPLITS) and len(self._rows) < MAX_COMPARED:
            return [f"These are few rows: {alike} different ones cannot be divided into three parts, so that all are used to measure. Some thirty are a beginning, hundreds are better."]  # fmt: skip
        of = f"of the first {len(self._rows):,} rows"
        found = {
            f"{repeated:,} {of} stood there before, and are kept once": repeated,
            f"{counted(conflicts, 'input')} {of} with different right answers: conflicts, which nobody can get right": conflicts,
            f"{near:,} {of} are nearly like an earlier one": near,
        }
        return [line for line, count in found.items() if count]

    def chosen(self) -> tuple[Guess, Task]:
        """Return what is chosen, as columns and as a task."""
        settings = self._page.workspace.settings.models
        inputs = [c for c in self._inputs.value if c != self._answer.value]
        if not inputs:
            raise UsageError("choose at least one column that goes in")
        answer = self._answer.value or None
        guess = guess_columns(self._survey, inputs=inputs, answer=answer, no_answer=answer is None, group=self._group.value or None)  # fmt: skip
        return guess, guess_task("new", self._survey, guess, model=settings.default, teacher=settings.teacher)  # fmt: skip

    async def make(self) -> None:
        """Import the file by the command that does it, and go to the examples."""
        name = str(self._name.value).strip()
        if not TASK_NAME.fullmatch(name):
            raise UsageError("a task's name is lower-case letters, digits, - and _")
        if name in self._page.workspace.task_names():
            raise UsageError(f"there is a task {name!r} already; choose another name")
        guess, _ = self.chosen()
        assert self._file is not None  # it was read, or there were no columns to choose
        words = ["import", self._page.near(self._file), "--task", name, *(f"--input={c}" for c in guess.inputs), f"--answer={guess.answer}" if guess.answer else "--no-answer", "--skip-bad"]  # fmt: skip
        if guess.group:
            words.append(f"--group={guess.group}")
        if self._asked.value:
            words.append(f"--instructions={self._asked.value}")
        made = start_run(self._page.workspace, name, words, self._page.who)
        with self._rest:
            hint(*words)

        begun = time.monotonic()

        def look() -> None:
            found = settled(self._page.workspace, made.id)
            said = output_of(self._page.workspace, made.id).strip()
            self._state.set_text(said.splitlines()[-1] if said and not found.is_done else said or "on its way …")  # fmt: skip
            if found.state == "succeeded":
                timer.deactivate()
                ui.navigate.to(f"/tasks/{name}/examples")
            elif found.is_done:
                timer.deactivate()
                self._state.classes("text-red-700")
            elif time.monotonic() - begun > LONG_S:  # a view of its own, which outlives a reload
                timer.deactivate()
                ui.navigate.to(f"/runs/{made.id}")

        self._state.set_text("on its way …")
        with self._rest:
            timer = ui.timer(0.3, look)
