"""Knowledge: documents, their passages, and a query through each way of searching."""

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from nicegui import events, ui

from ratchet.answer import gather
from ratchet.core import Example, Knowledge, Passage
from ratchet.core.errors import RatchetError, UsageError
from ratchet.core.task import TASK_NAME
from ratchet.data.splits import text_of
from ratchet.measure.search import JudgedQuery, search_scores
from ratchet.retrieval import Library
from ratchet.retrieval.search import Mode
from ratchet.store.knowledge import list_knowledge, load_passages
from ratchet.web.frame import Page, chooser, hint, table, title
from ratchet.workbench import Workbench

__all__ = ["add_to"]

WAYS: dict[Mode, str] = {"lexical": "by words", "dense": "by meaning", "hybrid": "by both"}
SHOWN, LONGEST, ASKED, KINDS = 20, 500, 200, 12


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
            bench = await page.bench(task)
            search(page, bench, sorted({v.name for v in found}))
            await hits(page, task, sorted({v.name for v in found}))
            chunks(page, found)
            page.button("Try retrieval on the champion", lambda: page.begin(task, "try", "retrieval", task, "--rungs", "all"), icon="arrow_upward")  # fmt: skip
            hint("try", "retrieval", task, "--rungs", "all")


def upload(page: Page, task: str) -> None:
    """Show what takes documents."""
    folder = page.workspace.files / "page" / "documents"
    with ui.row().classes("items-end"):
        name = ui.input("Name of the knowledge", value="handbook")

        async def took(event: events.UploadEventArguments) -> None:
            path = folder / named(name) / Path(event.file.name).name
            path.parent.mkdir(parents=True, exist_ok=True)
            await event.file.save(path)
            ui.notify(f"{path.name} is here; add more, or take them in")

        chooser("Choose documents", page.does(took), multiple=True)
        ui.label("md, txt, html, pdf, docx, csv, jsonl, sqlite").classes("soft")

        def add() -> None:
            place = folder / named(name)
            if not place.is_dir():
                raise UsageError("choose documents first")
            page.begin(task, "knowledge", "add", page.near(place), "--name", named(name))

        page.button("Take them in", add, icon="library_add")
    hint("knowledge", "add", "docs/", "--name", "handbook")


def named(box: ui.input) -> str:
    """Return the name that is written in a box; it is a folder's too, and nothing else.

    Raises: UsageError if it is none.
    """
    name = str(box.value or "").strip()
    if not TASK_NAME.fullmatch(name):
        raise UsageError("a name of knowledge is lower-case letters, digits, - and _")
    return name


def search(page: Page, bench: Workbench, names: list[str]) -> None:
    """Show a query through each way of searching, side by side, and as the champion finds what it shows."""
    champion, fields = bench.champion(), bench.task.input_names
    title("Try a query", level=2)
    with ui.row().classes("items-end w-full"):
        name = ui.select(names, value=names[0], label="Knowledge").classes("w-40")
        query = ui.input("Query").classes("grow")

        async def look() -> None:
            out.clear()
            library = Library.of(page.pool())

            async def found(mode: Mode) -> list[Passage]:
                hits = await library.search(str(name.value), str(query.value or ""), mode=mode, k=5)
                return [hit.passage for hit in hits]

            async def gathered() -> list[Passage]:
                asked = Example(inputs={fields[0]: str(query.value or "")}, reference=None)
                return list((await gather(bench.prompt(champion), asked, page.pool())).passages)

            ways: dict[str, Callable[[], Awaitable[list[Passage]]]] = {words: partial(found, mode) for mode, words in WAYS.items()}  # fmt: skip
            if champion.retrieval and len(fields) == 1:
                ways["as the champion"] = gathered
            with out, ui.row().classes("w-full no-wrap gap-4"):
                for words, way in ways.items():
                    with ui.column().classes("grow basis-0 gap-1"):
                        ui.label(words).classes("font-semibold")
                        try:
                            passages = await way()
                        except RatchetError as error:
                            ui.label(str(error)).classes("soft said")
                            continue
                        for k, passage in enumerate(passages, start=1):
                            ui.label(f"{k}. {passage.title or Path(passage.source).name}: {passage.text[:LONGEST]}").classes("said text-sm border-b")  # fmt: skip

        query.on("keydown.enter", page.does(look, role="viewer"))
        page.button("Search", look, role="viewer", icon="search")
    out = ui.column().classes("w-full").props('aria-live="polite"')


async def hits(page: Page, task: str, names: list[str]) -> None:
    """Show how often a search finds what examples say one must know, by the kind of question."""
    bench = await page.bench(task)
    asked = [one for one in bench.split("train") if one.knowledge][:ASKED]
    if not asked:
        return
    title("Hit rate on the examples", f"Of {len(asked)} train examples that say what one must know, in the first five.", level=2)  # fmt: skip
    with ui.row().classes("items-end"):
        name = ui.select(names, value=names[0], label="Knowledge").classes("w-40")
        by = ui.select(["", *bench.task.input_names], value="", label="By").classes("w-40")

        async def look() -> None:
            out.clear()
            library, rows = Library.of(page.pool()), []
            kinds: dict[str, list[JudgedQuery]] = {"all": []}
            for one in asked:
                query = JudgedQuery(text_of(one), dict.fromkeys(one.knowledge, 1))
                kinds["all"].append(query)
                if by.value:
                    kinds.setdefault(str(one.inputs[by.value])[:60], []).append(query)
            for kind, queries in list(kinds.items())[:KINDS]:
                for mode, words in WAYS.items():
                    scores = await search_scores(library, str(name.value), queries, mode=mode, k=5)
                    mean, low, high = scores["recall@5"]
                    rows.append([kind, len(queries), words, f"{100 * mean:.1f} %", f"{100 * low:.1f} to {100 * high:.1f} %"])  # fmt: skip
            with out:
                table(["kind", "questions", "search", "found", "95 % interval"], rows, label="Hit rates")  # fmt: skip

        page.button("Measure", look, role="viewer", icon="query_stats")
    out = ui.column().classes("w-full")


def chunks(page: Page, found: list[Knowledge]) -> None:
    """Show the first passages of a version."""
    newest = found[0]
    with ui.expansion("The first passages as they were cut").classes("w-full"):
        for passage in load_passages(page.workspace.database, newest, limit=SHOWN):
            ui.label(f"{Path(passage.source).name} · {passage.section or passage.title}: {passage.text[:LONGEST]}").classes("said text-sm border-b w-full")  # fmt: skip
