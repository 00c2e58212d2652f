"""Examples: a table that the database pages, edits that wait until they are a version, and the versions."""

import asyncio
import csv
import io
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

from nicegui import events, ui

from ratchet.core import Example, Json, Split, Task
from ratchet.core.errors import UsageError
from ratchet.core.records import written
from ratchet.data import as_version, restore
from ratchet.data.formulas import guard_cell
from ratchet.data.importing import to_reference
from ratchet.levers import files_in
from ratchet.store import (
    Dataset,
    browse_examples,
    example_ids,
    latest_dataset,
    load_datasets,
    load_examples,
    load_steps,
    write_text,
)
from ratchet.store.edits import CHANGES, Edit, EditKind, add_edit, drop_edits, load_edits
from ratchet.web.frame import Page, chooser, counted, hint, table, title, when

__all__ = ["add_to"]

ROWS, LONGEST, HISTORY = 25, 300, 15


def add_to(page: Page) -> None:
    """Add the views of this file."""

    @page.view("/tasks/{task}/examples", "Examples")
    def examples_(task: str) -> None:
        Examples(page, page.workspace.load_task(task)).show()  # the database has the rows


class Examples:
    """The examples of a task."""

    def __init__(self, page: Page, task: Task) -> None:
        self._page, self._task = page, task
        self._engine = page.workspace.database
        self._shown: dict[str, Example] = {}

    def show(self) -> None:
        """Show the view."""
        dataset = latest_dataset(self._engine, self._task.name)
        title(
            "Examples",
            f"{dataset.rows:,} of version {dataset.version}, {Path(dataset.source).name}",
        )
        self._top = ui.column().classes("w-full")
        self._open_dialog: ui.dialog | None = None
        self._news()
        whole = self._page.may("admin")
        splits = {"": "all splits" if whole else "train and dev", "train": "train", "dev": "dev", **({"test": "test"} if whole else {})}  # fmt: skip
        with ui.row().classes("w-full items-end"):
            self._text = ui.input("Search in all columns", on_change=self._page.does(self._again, role="viewer")).props("clearable debounce=250 outlined dense").classes("grow")  # fmt: skip
            self._split = ui.select(splits, value="", label="Split", on_change=self._page.does(self._again, role="viewer")).classes("w-32")  # fmt: skip
            self._page.button("Add a row", self._add, icon="add")
            self._page.button("Import more", self._more, icon="upload", flat=True)
            ui.button("Export", icon="download", on_click=self._page.does(self._export, role="viewer")).props("flat no-caps")  # fmt: skip
            ui.button(
                "Versions", icon="history", on_click=self._page.does(self._versions, role="viewer")
            ).props("flat no-caps")
            ui.button("Check", icon="fact_check", on_click=self._page.does(self._check, role="viewer")).props("flat no-caps")  # fmt: skip
            self._page.button("More like these", self._synthesis, icon="auto_awesome", flat=True)
        names = self._task.input_names
        columns = [{"name": "split", "label": "split", "field": "split", "align": "left", "sortable": True}]  # fmt: skip
        columns += [{"name": f"in_{n}", "label": n, "field": f"in_{n}", "align": "left", "sortable": True} for n in names]  # fmt: skip
        columns += [{"name": n, "label": n, "field": n, "align": "left", "sortable": n == "answer"} for n in ("answer", "state")]  # fmt: skip
        self._table = ui.table(columns=columns, rows=[], row_key="id", pagination={"page": 1, "rowsPerPage": ROWS, "rowsNumber": 0, "sortBy": "position", "descending": False})  # fmt: skip
        self._table.classes("w-full").props('flat bordered dense wrap-cells aria-label="Examples" :rows-per-page-options="[25,50,100]"')  # fmt: skip
        self._table.on(
            "request", self._page.does(lambda e: self._look(e.args["pagination"]), role="viewer")
        )
        self._table.on(
            "rowClick",
            self._page.does(lambda e: self._open(e.args[1]["id"]), role="viewer"),
            args=[None, ["id"], None],
        )
        ui.label("Click a row to correct it, comment on it, or mark it as reviewed.").classes("soft")  # fmt: skip
        self._look(self._table.pagination)

    # --- the table ---

    def _again(self) -> None:
        self._look({**self._table.pagination, "page": 1})

    def _seen(self) -> tuple[Split, ...]:
        """Return the splits that are shown: the test split is sealed for all but admins."""
        if self._split.value:
            return (self._split.value,)
        return () if self._page.may("admin") else ("train", "dev")

    def _look(self, pages: dict[str, Json]) -> None:
        """Show a page of the table."""
        size = pages["rowsPerPage"] or ROWS
        found, total = browse_examples(
            self._engine,
            latest_dataset(self._engine, self._task.name),
            text=str(self._text.value or ""),
            splits=self._seen(),
            offset=(pages["page"] - 1) * size,
            limit=size,
            order=order_of(str(pages.get("sortBy"))),
            descending=bool(pages.get("descending")),
        )
        wait = {e.example_id: example_of(e) for e in load_edits(self._engine, self._task.name, waiting=True, what=["changed"], example_ids=[one.id for one in found])}  # fmt: skip
        states = states_of(load_edits(self._engine, self._task.name, example_ids=[one.id for one in found]))  # fmt: skip
        self._shown = {one.id: one for one in found}
        self._table.rows = [
            {
                "id": one.id,
                "split": one.split,
                **{f"in_{name}": str(written(value))[:LONGEST] for name, value in wait.get(one.id, one).inputs.items()},
                "answer": str(written(wait.get(one.id, one).reference))[:LONGEST],
                "state": states.get(one.id, ""),
            }
            for one in found
        ]  # fmt: skip
        self._table.pagination = {**pages, "rowsPerPage": size, "rowsNumber": total}

    # --- what waits ---

    def _news(self) -> None:
        """Show what comes next, what waits, and what a model wrote."""
        self._top.clear()
        with self._top:
            if not load_steps(self._engine, self._task.name) and not files_in(self._page.workspace.root / "tasks" / self._task.name):  # fmt: skip
                with ui.row().classes("items-center"):
                    ui.label("Next: write a prompt, and compare it with the plain one.")
                    ui.button("Write a prompt", on_click=lambda: ui.navigate.to(f"/tasks/{self._task.name}/playground"), icon="edit").props("no-caps")  # fmt: skip
            self._waiting()
            self._suggested()

    def _waiting(self) -> None:
        made = load_edits(self._engine, self._task.name, waiting=True, what=CHANGES, limit=10_000)
        if not made:
            return
        names = ", ".join(sorted({one.who for one in made}))
        with ui.card().classes("w-full border-l-4 border-amber-600"), ui.row().classes("items-center w-full"):  # fmt: skip
            ui.label(f"{counted(len(made), 'change')} by {names} {'waits' if len(made) == 1 else 'wait'} to become the next version.").classes("grow")  # fmt: skip
            self._page.button("Save as a version", self._save, icon="save")
            self._page.button("Discard mine", lambda: self._discard(made), flat=True)
            if self._page.may("admin"):
                self._page.button("Discard all", lambda: self._discard(made, everyone=True), role="admin", flat=True)  # fmt: skip
        fresh = [example_of(e) for e in made if e.what == "added"]
        if fresh:
            with ui.expansion(f"{counted(len(fresh), 'row')} to be added").classes("w-full"):
                for one in fresh[:ROWS]:
                    ui.label(f"{' '.join(map(written, one.inputs.values()))[:LONGEST]} → {written(one.reference)[:LONGEST]}").classes("said")  # fmt: skip

    def _suggested(self) -> None:
        """Show what a model wrote, to be taken or not."""
        found = load_edits(self._engine, self._task.name, waiting=True, what=["suggested"])
        if not found:
            return
        with ui.expansion(f"{len(found)} examples that a model wrote wait for a person", value=True).classes("w-full border rounded"):  # fmt: skip
            for one in found[:ROWS]:
                example = example_of(one)

                def take(one: Edit = one) -> None:
                    if drop_edits(self._engine, self._task.name, [one.id]):  # nobody was faster
                        add_edit(self._engine, self._task.name, one.example_id, "added", self._page.who, one.body)  # fmt: skip
                    self._stay()

                def leave(one: Edit = one) -> None:
                    drop_edits(self._engine, self._task.name, [one.id])
                    self._stay()

                with ui.row().classes("w-full items-center no-wrap border-b"):
                    with ui.column().classes("grow gap-0"):
                        ui.label(" ".join(map(written, example.inputs.values()))[:LONGEST]).classes("said")  # fmt: skip
                        ui.label(f"→ {written(example.reference)[:LONGEST]}").classes("said soft")
                        ui.label(example.source).classes("soft text-sm")
                    self._page.button("Take it", take, icon="check")
                    self._page.button("Leave it", leave, flat=True)

    async def _save(self) -> None:
        async with self._page.saving:
            dataset, lost = await asyncio.to_thread(as_version, self._engine, self._task, who=self._page.who, sealed=not self._page.may("admin"))  # fmt: skip
        words = f"version {dataset.version} has {dataset.rows:,} examples"
        if lost:
            words += f"; {len(lost)} changes still wait: somebody else changed the same examples first, or they are sealed"  # fmt: skip
        ui.notify(words, type="warning" if lost else "positive", multi_line=True)
        self._anew()

    def _discard(self, made: list[Edit], *, everyone: bool = False) -> None:
        drop_edits(self._engine, self._task.name, [e.id for e in made if everyone or e.who == self._page.who])  # fmt: skip
        self._stay()

    def _stay(self) -> None:
        """Show what has changed, where one is: the search, the order and the page stay."""
        if self._open_dialog:
            self._open_dialog.close()
        self._news()
        self._look(self._table.pagination)

    def _anew(self) -> None:
        """Show another version."""
        ui.navigate.to(f"/tasks/{self._task.name}/examples")

    # --- one example ---

    def _open(self, example_id: str) -> None:
        example = self._shown[example_id]
        history = load_edits(self._engine, self._task.name, example_ids=[example_id], limit=HISTORY)
        waiting = next((e for e in history if e.what == "changed" and e.version is None), None)
        now = example_of(waiting) if waiting else example
        with ui.dialog(value=True) as dialog, ui.card().classes("w-full max-w-3xl"):
            self._open_dialog = dialog
            ui.label(f"{example.split} · {example.source or example.id}").classes("soft")
            if waiting and waiting.who != self._page.who:
                ui.label(f"{waiting.who} has changed this example, and that waits to be saved; yours would take its place.").classes("text-amber-800").props('role="alert"')  # fmt: skip
            read = self._fields(now)
            said = ui.textarea("Comment").classes("w-full").props("outlined rows=2")

            def change() -> None:
                self._untouched(example, waiting)
                made = read().model_copy(update={"name": example.name, "group": example.group, "knowledge": example.knowledge, "source": example.source})  # fmt: skip
                if made.id == example.id and waiting is None:
                    raise UsageError("nothing is changed")
                if said.value:
                    add_edit(self._engine, self._task.name, example_id, "comment", self._page.who, {"text": str(said.value)})  # fmt: skip
                if made.id == example.id and waiting:  # it is as it was again
                    drop_edits(self._engine, self._task.name, [waiting.id])
                else:
                    add_edit(self._engine, self._task.name, example_id, "changed", self._page.who, {"example": made.plain()})  # fmt: skip
                self._stay()

            def note(what: EditKind) -> Callable[[], None]:
                def noted() -> None:
                    body: dict[str, Json] = {"text": str(said.value)} if said.value else {}
                    if what == "comment" and not body:
                        raise UsageError("write the comment first")
                    if what == "removed":
                        self._untouched(example, waiting)
                    elif read().id != now.id:
                        raise UsageError("the example is changed too: Keep the change keeps the comment with it")  # fmt: skip
                    add_edit(self._engine, self._task.name, example_id, what, self._page.who, body)
                    self._stay()

                return noted

            with ui.row():
                self._page.button("Keep the change", change, icon="check")
                self._page.button("Mark as reviewed", note("reviewed"), flat=True)
                self._page.button("Comment", note("comment"), flat=True)
                self._page.button("Remove", note("removed"), flat=True)
                ui.button("Close", on_click=dialog.close).props("flat no-caps")
            for one in history:
                text = one.body.get("text") or (written(one.body["example"]["reference"])[:LONGEST] if "example" in one.body else "")  # fmt: skip
                state = "waits" if one.version is None and one.what in ("changed", "removed", "added") else ""  # fmt: skip
                ui.label(f"{when(one.at)} {one.who}: {one.what} {state} {text}").classes("soft said text-sm")  # fmt: skip

    def _untouched(self, example: Example, waiting: Edit | None) -> None:
        """Refuse what is sealed, gone, or was changed by somebody else while this was open."""
        if example.split == "test" and not self._page.may("admin"):
            raise UsageError("the test split is sealed; an admin may correct it")
        if example.id not in example_ids(self._engine, latest_dataset(self._engine, self._task.name)):  # fmt: skip
            raise UsageError("this example is there no more: somebody saved another version meanwhile; close this, and look again")  # fmt: skip
        latest = load_edits(self._engine, self._task.name, waiting=True, what=CHANGES, example_ids=[example.id])  # fmt: skip
        newer = next((e for e in latest if waiting is None or e.id != waiting.id), None)
        if newer and newer.who != self._page.who:
            said = written(newer.body["example"].get("reference"))[:LONGEST] if "example" in newer.body else "removed"  # fmt: skip
            raise UsageError(f"{newer.who} changed this example while you did: {said}. Close, open it again, and look")  # fmt: skip

    def _fields(self, example: Example | None) -> Callable[[], Example]:
        """Show an example's parts to write in; return what reads them."""
        boxes = {
            name: ui.textarea(name, value="" if example is None else written(example.inputs.get(name))).classes("w-full").props("outlined autogrow")
            for name in self._task.input_names
        }  # fmt: skip
        form = self._task.answer
        was = "" if example is None else written(example.reference)
        answer: ui.textarea | ui.select
        if form.kind == "label":
            answer = ui.select(list(form.labels), value=was or None, label="the right answer").classes("w-full")  # fmt: skip
        else:
            answer = ui.textarea("the right answer", value=was).classes("w-full").props("outlined autogrow")  # fmt: skip

        def read() -> Example:
            try:
                texts = {name: str(box.value or "") for name, box in boxes.items()}
                before = {} if example is None else example.inputs
                inputs = {n: read_as(t, before.get(n)) if t.strip() else None for n, t in texts.items()}  # fmt: skip
                needed = [text for n, text in texts.items() if before.get(n, "") is not None]
                said, is_open = str(answer.value or ""), example is not None and example.reference is None  # fmt: skip
                if not all(text.strip() for text in (*needed, *([] if is_open else [said]))):
                    raise UsageError("fill in every field")
                right = to_reference(self._task, said, "the right answer") if said.strip() else None  # fmt: skip
            except ValueError as error:
                raise UsageError(str(error)) from error
            return Example(inputs=inputs, reference=right, source=f"written by {self._page.who}")

        return read

    def _add(self) -> None:
        with ui.dialog(value=True) as dialog, ui.card().classes("w-full max-w-3xl"):
            self._open_dialog = dialog
            read = self._fields(None)

            def add() -> None:
                made = read()
                add_edit(self._engine, self._task.name, made.id, "added", self._page.who, {"example": made.plain()})  # fmt: skip
                self._stay()

            with ui.row():
                self._page.button("Add", add)
                ui.button("Close", on_click=dialog.close).props("flat no-caps")

    async def _check(self) -> None:
        """Show what would make figures wrong or weak: leaks, duplicates, conflicts, too few examples."""
        bench = await self._page.bench(self._task.name)
        found = await asyncio.to_thread(bench.check)
        with ui.dialog(value=True), ui.card().classes("w-full max-w-4xl"):
            table(["", "what", "says"], [[one.level, one.check, one.text] for one in found], label="Findings")  # fmt: skip
            hint("check", self._task.name)

    # --- files and versions ---

    def _more(self) -> None:
        async def took(event: events.UploadEventArguments) -> None:
            path = self._page.inbox(event.file.name)
            await event.file.save(path)
            self._page.begin(self._task.name, "import", self._page.near(path), "--task", self._task.name, "--skip-bad")  # fmt: skip

        with ui.dialog(value=True), ui.card():
            ui.label("A file with the same columns; rows that are there already are kept once.")
            chooser("Choose a file", self._page.does(took))
            hint("import", "FILE", "--task", self._task.name)

    async def _export(self) -> None:
        dataset, sealed = latest_dataset(self._engine, self._task.name), not self._page.may("admin")
        path = self._page.workspace.files / "page" / "files" / f"{self._task.name}-{dataset.version}{'-sealed' if sealed else ''}.csv"  # fmt: skip

        def write() -> None:
            path.parent.mkdir(parents=True, exist_ok=True)
            rows = [one for one in load_examples(self._engine, dataset) if not (sealed and one.split == "test")]  # fmt: skip
            write_text(path, csv_of(rows, self._task))

        await asyncio.to_thread(write)
        ui.download.file(path, f"{self._task.name}-{dataset.version}.csv", "text/csv")

    async def _versions(self) -> None:
        found = load_datasets(self._engine, self._task.name)[:HISTORY]

        def compared() -> list[str]:
            newest = example_ids(self._engine, found[0][0])
            said = ["the newest"]
            for dataset, _ in found[1:]:
                ids = example_ids(self._engine, dataset)
                said.append(f"{len(newest - ids):,} of the newest came after it, {len(ids - newest):,} of its own went")  # fmt: skip
            return said

        said = await asyncio.to_thread(compared)
        with ui.dialog(value=True) as dialog, ui.card().classes("w-full max-w-4xl"):
            title("Versions", level=2)
            for (dataset, at), diff in zip(found, said, strict=True):
                with ui.row().classes("w-full items-center"):
                    ui.label(f"{dataset.version}: {dataset.rows:,} examples, {when(at)}, {Path(dataset.source).name}; {diff}").classes("grow said")  # fmt: skip
                    if dataset is not found[0][0]:
                        self._page.button("Restore", partial(self._restore, dataset), flat=True)
            ui.button("Close", on_click=dialog.close).props("flat no-caps")

    async def _restore(self, dataset: Dataset) -> None:
        async with self._page.saving:
            await asyncio.to_thread(restore, self._engine, dataset, who=self._page.who)
        self._anew()

    def _synthesis(self) -> None:
        with ui.dialog(value=True), ui.card().classes("w-full max-w-xl"):
            title("More examples", "A model writes them; nothing counts before a person has taken it.", level=2)  # fmt: skip
            kinds = {"alike": "like these", "rare": "of the rarest answers", "reverse": "an input for a given answer"}  # fmt: skip
            kind = ui.select(kinds, value="alike", label="What kind").classes("w-full")
            settings = self._page.workspace.settings.models
            model = ui.input("By which model", value=self._task.models.teacher or settings.teacher or settings.default).classes("w-full")  # fmt: skip
            count = ui.number("How many", value=10, min=1, max=200, precision=0)

            def begin() -> None:
                self._page.begin(self._task.name, "synth", self._task.name, f"--kind={kind.value}", f"--model={model.value}", f"--count={int(count.value)}")  # fmt: skip

            self._page.button("Write some", begin)
            hint("synth", self._task.name)


def example_of(edit: Edit) -> Example:
    """Return what an edit makes of an example."""
    return Example.model_validate(edit.body["example"])


def order_of(column: str) -> Literal["position", "split", "reference"] | tuple[Literal["inputs"], str]:  # fmt: skip
    """Return what the rows are ordered by for a column of the table."""
    if column.startswith("in_"):
        return ("inputs", column.removeprefix("in_"))
    return "split" if column == "split" else "reference" if column == "answer" else "position"


def states_of(found: list[Edit]) -> dict[str, str]:
    """Return what is to be said of examples, by id: the newest word of each."""
    states: dict[str, str] = {}
    for one in found:
        waits = one.version is None and one.what in ("changed", "removed")
        word = f"{one.what}, waits ({one.who})" if waits else f"{one.what} by {one.who}"
        states.setdefault(one.example_id, word)
    return states


def read_as(text: str, was: Json) -> Json:
    """Return what is written in a box: text, or where something else was there, JSON of its kind."""
    if was is None or isinstance(was, str):
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f"expected JSON, as {written(was)[:60]!r}; got {text[:60]!r}") from error


def csv_of(examples: list[Example], task: Task) -> str:
    """Return examples as CSV; a cell that a spreadsheet would take for a formula begins with an apostrophe."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([*task.input_names, "answer", "split", "source"])
    for one in examples:
        cells = [*(written(one.inputs[name]) for name in task.input_names), written(one.reference)]
        writer.writerow([guard_cell(str(cell)) for cell in (*cells, one.split, one.source)])
    return out.getvalue()
