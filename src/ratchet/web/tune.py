"""Fine-tunes: what it would take, the training as it goes on, what was forgotten, and the weights to take away."""

import asyncio
import zipfile
from functools import partial
from pathlib import Path

from nicegui import ui

from ratchet.core import Candidate
from ratchet.core.errors import RatchetError, UsageError
from ratchet.core.records import written
from ratchet.jobs.adapters import folder_of
from ratchet.levers import TuneLever
from ratchet.store import find_candidate, load_steps
from ratchet.store.adapters import NamedAdapter, list_adapters
from ratchet.tuning import TuningSettings
from ratchet.web.frame import Page, hint, points, table, title
from ratchet.web.runs import span, watch
from ratchet.workbench import Workbench

__all__ = ["add_to"]

SHOWN, LONGEST = 3, 1000
"""Examples of what is taught, and letters of each message."""

KINDS = {"lora": "a LoRA: small, quick, may be taken off", "full": "all weights", "qlora": "a LoRA beside four-bit weights (GPU)"}  # fmt: skip


def add_to(page: Page) -> None:
    """Add the views of this file."""

    @page.view("/tasks/{task}/tune", "Fine-tunes")
    async def tune_(task: str) -> None:
        bench = await page.bench(task)
        title("Fine-tunes", "Teach a model the task on its train examples; kept only where it is proven better on dev.")  # fmt: skip
        if working := page.working(task):
            watch(page, working)
        begin(page, bench)
        made(page, bench)


def begin(page: Page, bench: Workbench) -> None:
    """Show what a fine-tune would take, and what starts it."""
    task = bench.task.name
    champion = bench.champion()
    names = [champion.model, bench.task.models.student, bench.task.models.teacher, "local:nano"]
    with ui.row().classes("items-end"):
        base = ui.select(list(dict.fromkeys(filter(None, names))), value=champion.model, label="Base model", with_input=True, new_value_mode="add-unique").classes("w-72")  # fmt: skip
        kind = ui.select(KINDS, value="lora", label="What is trained").classes("w-96")
        epochs = ui.number("Passes over the examples", min=0.1, step=1).classes("w-56")
        best = ui.checkbox("keep the checkpoint that does best on the task")
    where = ui.label("").classes("soft")
    lessons(bench, champion)
    told = ui.column()

    def placed() -> None:
        name = str(base.value or "")
        place = "on this machine" if name.startswith("local:") else f"by the provider of the endpoint {name.split('/', maxsplit=1)[0]!r}, which must offer fine-tuning"  # fmt: skip
        where.set_text(f"{name} is taught {place}, with {len(bench.split('train')):,} examples.")

    base.on_value_change(placed)
    placed()

    async def estimate() -> None:
        if not base.value:
            raise UsageError("choose a base model")
        settings = TuningSettings(weights=kind.value, best="score" if best.value else "loss", **({"epochs": float(epochs.value)} if epochs.value else {}))  # fmt: skip
        told.clear()
        with told:
            ui.spinner()
            try:
                pool = page.pool()
                found = await TuneLever(settings, base=str(base.value)).estimate(
                    champion, bench.ground(pool).evidence
                )
            except RatchetError as error:
                told.clear()
                ui.label(str(error)).classes("text-red-700 said")
                return
            told.clear()
            time = "" if found.seconds is None else f"about {span(found.seconds)}; "
            cost = "price unknown; " if found.cost_usd is None else f"${found.cost_usd:.2f}; "
            ui.label(f"{time}{cost}{found.note}").classes("said")

    def start() -> None:
        if not base.value:
            raise UsageError("choose a base model")
        words = ["try", "tune", task, f"--weights={kind.value}", "--yes"]
        words += [f"--base={base.value}"] if base.value != champion.model else []
        words += [f"--epochs={epochs.value:g}"] if epochs.value else []
        words += ["--by-score"] if best.value else []
        page.begin(task, *words)

    with ui.row():
        page.button("What would it take?", estimate, icon="schedule", flat=True)
        page.button("Audit the examples first", lambda: page.begin(task, "tune", "audit", task), flat=True)  # fmt: skip
        page.button("Train", start, icon="model_training")
    hint("try", "tune", task, "--base", champion.model)


def lessons(bench: Workbench, champion: Candidate) -> None:
    """Show how providers' models are named, and the first examples as they are taught."""
    if endpoints := sorted(bench.settings.endpoints):
        ui.label(f"A provider's model is written with its endpoint's name: {', '.join(f'{name}/MODEL' for name in endpoints)}").classes("soft text-sm")  # fmt: skip
    prompt = bench.prompt(champion.changed(demonstrations=(), nearest=None, adapter=None))
    with ui.expansion("What it is taught: the first examples").classes("w-full"):
        for example in bench.split("train")[:SHOWN]:
            for message in prompt.answered(example):
                ui.label(f"{message['role']}: {written(message.get('content') or message.get('tool_calls'))[:LONGEST]}").classes("said text-sm")  # fmt: skip
            ui.separator()


def made(page: Page, bench: Workbench) -> None:
    """Show the fine-tunes of the ladder: score, verdict, forgetting, weights."""
    steps = [s for s in load_steps(bench.engine, bench.task.name) if s.lever == "tune"]
    if not steps:
        ui.label("No fine-tune yet.")
        return
    rows = [[s.number, s.what, points(s.score), s.verdict.sentence if s.verdict else "", "kept" if s.kept else "dropped"] for s in steps]  # fmt: skip
    table(["rung", "what", "points", "verdict", ""], rows, label="Fine-tunes")
    kept = list_adapters(bench.engine)
    for step in steps:
        candidate = find_candidate(bench.engine, step.candidate_id)
        with ui.row().classes("items-center"):
            found = next((one for one in kept if one.is_of(candidate)), None)
            ui.label(f"rung {step.number}: {found.name if found else candidate.model}").classes("mono")  # fmt: skip
            page.button("Has it forgotten anything?", lambda c=candidate.id: page.begin(bench.task.name, "forget", bench.task.name, "--candidate", c), flat=True)  # fmt: skip
            ui.link("Try it in the playground", f"/tasks/{bench.task.name}/playground")
            if found:
                weights(page, bench.task.name, found)


def weights(page: Page, task: str, one: NamedAdapter) -> None:
    """Show what downloads a fine-tune, and what merges an adapter into its base, to be downloaded then."""
    folder, name = folder_of(page.workspace, one), one.name
    merged = page.workspace.files / "page" / "merged" / folder.name

    async def take(folder: Path, called: str) -> None:
        path = page.inbox(f"{called}.zip")
        await asyncio.to_thread(zipped, folder, path)
        ui.download.file(path)

    def download(text: str, folder: Path, called: str) -> None:
        ui.button(text, on_click=page.does(partial(take, folder, called), role="viewer"), icon="download").props("flat no-caps")  # fmt: skip

    download("Download the adapter" if one.adapter else "Download the weights", folder, name)
    if not one.adapter:
        return
    if merged.is_dir():
        download("Download merged weights", merged, f"{name}-merged")
    else:
        words = ("adapters", "export", name, "--merge", "--out", page.near(merged))
        page.button("Merge into its base", lambda: page.begin(task, *words), flat=True)


def zipped(folder: Path, path: Path) -> None:
    """Write the files of a folder as a zip; weights do not get smaller, so that they are packed as they are."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        for one in sorted(folder.rglob("*")):
            if one.is_file():
                file.write(one, one.relative_to(folder))
