"""Knowledge: documents, their passages, and a query through each way of searching."""

from pathlib import Path

from nicegui import events, ui

from ratchet.core import Knowledge
from ratchet.core.errors import RatchetError, UsageError
from ratchet.retrieval import Library
from ratchet.retrieval.search import Mode
from ratchet.store.knowledge import list_knowledge, load_passages
from ratchet.web.frame import Page, chooser, hint, table, title

__all__ = ["add_to"]

WAYS: dict[Mode, str] = {"lexical": "by words", "dense": "by meaning", "hybrid": "by both"}
SHOWN, LONGEST = 20, 500


def add_to(page: Page) -> None:
    """Add the views of this file."""

    @page.view("/tasks/{task}/knowledge", "Knowledge")
    async def knowledge_(task: str) -> None:
        title("Knowledge", "Documents that answers may stand on, cut into passages that can be searched.")  # fmt: skip
        found = list_knowledge(page.workspace.database)[::-1]
        rows = [[v.name, v.version, f"{v.sources:,}", f"{v.passages:,}"] for v in found]
        table(["name", "version", "documents", "passages"], rows, label="Knowledge")
        upload(page, task)
        if found:
            search(page, sorted({v.name for v in found}))
            chunks(page, found)
            page.button("Try retrieval on the champion", lambda: page.begin(task, "try", "retrieval", task, "--rungs", "all"), icon="arrow_upward")  # fmt: skip
            hint("try", "retrieval", task, "--rungs", "all")


def upload(page: Page, task: str) -> None:
    """Show what takes documents."""
    folder = page.workspace.files / "page" / "documents"
    with ui.row().classes("items-end"):
        name = ui.input("Name of the knowledge", value="handbook")

        async def took(event: events.UploadEventArguments) -> None:
            if not str(name.value).strip():
                raise UsageError("give the knowledge a name first")
            path = folder / str(name.value) / Path(event.file.name).name
            path.parent.mkdir(parents=True, exist_ok=True)
            await event.file.save(path)
            ui.notify(f"{path.name} is here; add more, or take them in")

        chooser("Choose documents", page.does(took), multiple=True)
        ui.label("md, txt, html, pdf, docx, csv, jsonl, sqlite").classes("soft")

        def add() -> None:
            place = folder / str(name.value)
            if not place.is_dir():
                raise UsageError("choose documents first")
            page.begin(task, "knowledge", "add", str(place), "--name", str(name.value))

        page.button("Take them in", add, icon="library_add")
    hint("knowledge", "add", "docs/", "--name", "handbook")


def search(page: Page, names: list[str]) -> None:
    """Show a query through each way of searching, side by side."""
    title("Try a query", level=2)
    with ui.row().classes("items-end w-full"):
        name = ui.select(names, value=names[0], label="Knowledge").classes("w-40")
        query = ui.input("Query").classes("grow")

        async def look() -> None:
            out.clear()
            library = Library.of(page.pool())
            with out, ui.row().classes("w-full no-wrap gap-4"):
                for mode, words in WAYS.items():
                    with ui.column().classes("grow basis-0 gap-1"):
                        ui.label(words).classes("font-semibold")
                        try:
                            hits = await library.search(
                                str(name.value), str(query.value or ""), mode=mode, k=5
                            )
                        except RatchetError as error:
                            ui.label(str(error)).classes("soft said")
                            continue
                        for k, passage in enumerate((hit.passage for hit in hits), start=1):
                            ui.label(f"{k}. {passage.title or Path(passage.source).name}: {passage.text[:LONGEST]}").classes("said text-sm border-b")  # fmt: skip

        query.on("keydown.enter", page.does(look, role="viewer"))
        page.button("Search", look, role="viewer", icon="search")
    out = ui.column().classes("w-full").props('aria-live="polite"')


def chunks(page: Page, found: list[Knowledge]) -> None:
    """Show the first passages of a version."""
    newest = found[0]
    with ui.expansion("The first passages as they were cut").classes("w-full"):
        for passage in load_passages(page.workspace.database, newest)[:SHOWN]:
            ui.label(f"{Path(passage.source).name} · {passage.section or passage.title}: {passage.text[:LONGEST]}").classes("said text-sm border-b w-full")  # fmt: skip
