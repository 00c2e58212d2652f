"""Fine-tunes: what it would take, the training as it goes on, what was forgotten, and the weights to take away."""

import asyncio
import io
import zipfile
from pathlib import Path

from nicegui import ui

from ratchet.core.errors import RatchetError
from ratchet.levers import TuneLever
from ratchet.models.adapters import adapter_folder
from ratchet.store import find_candidate, load_steps
from ratchet.tuning import TuningSettings
from ratchet.web.frame import Page, hint, points, table, title
from ratchet.web.runs import span, watch
from ratchet.workbench import Workbench

__all__ = ["add_to"]

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
    where = "on this machine" if champion.model.startswith("local:") else f"at {champion.model.split('/')[0]}"  # fmt: skip
    ui.label(f"{champion.model}, {where}, taught with {len(bench.split('train')):,} examples.")
    with ui.row().classes("items-end"):
        kind = ui.select(KINDS, value="lora", label="What is trained").classes("w-96")
        epochs = ui.number("Passes over the examples", min=0.1, step=1).classes("w-56")
        best = ui.checkbox("keep the checkpoint that does best on the task")
    told = ui.column()

    async def estimate() -> None:
        settings = TuningSettings(weights=kind.value, best="score" if best.value else "loss", **({"epochs": float(epochs.value)} if epochs.value else {}))  # fmt: skip
        told.clear()
        with told:
            ui.spinner()
            try:
                pool = page.pool()
                found = await TuneLever(settings).estimate(champion, bench.ground(pool).evidence)
            except RatchetError as error:
                told.clear()
                ui.label(str(error)).classes("text-red-700 said")
                return
            told.clear()
            time = "" if found.seconds is None else f"about {span(found.seconds)}; "
            cost = "price unknown; " if found.cost_usd is None else f"${found.cost_usd:.2f}; "
            ui.label(f"{time}{cost}{found.note}").classes("said")

    def start() -> None:
        words = ["try", "tune", task, f"--weights={kind.value}", "--yes"]
        words += [f"--epochs={epochs.value:g}"] if epochs.value else []
        words += ["--by-score"] if best.value else []
        page.begin(task, *words)

    with ui.row():
        page.button("What would it take?", estimate, icon="schedule", flat=True)
        page.button("Audit the examples first", lambda: page.begin(task, "tune", "audit", task), flat=True)  # fmt: skip
        page.button("Train", start, icon="model_training")
    hint("try", "tune", task)


def made(page: Page, bench: Workbench) -> None:
    """Show the fine-tunes of the ladder: score, verdict, forgetting, weights."""
    steps = [s for s in load_steps(bench.engine, bench.task.name) if s.lever == "tune"]
    if not steps:
        ui.label("No fine-tune yet.")
        return
    rows = [[s.number, s.what, points(s.score), s.verdict.sentence if s.verdict else "", "kept" if s.kept else "dropped"] for s in steps]  # fmt: skip
    table(["rung", "what", "points", "verdict", ""], rows, label="Fine-tunes")
    for step in steps:
        candidate = find_candidate(bench.engine, step.candidate_id)
        with ui.row().classes("items-center"):
            ui.label(f"rung {step.number}: {candidate.adapter or candidate.model}").classes("mono")
            page.button("Has it forgotten anything?", lambda c=candidate.id: page.begin(bench.task.name, "forget", bench.task.name, "--candidate", c), flat=True)  # fmt: skip
            ui.link("Try it in the playground", f"/tasks/{bench.task.name}/playground")
            if candidate.adapter:

                async def take(adapter: str = candidate.adapter) -> None:
                    folder = adapter_folder(page.workspace.adapters, adapter)
                    content = await asyncio.to_thread(zipped, folder)
                    ui.download(content, f"{adapter}.zip", "application/zip")

                ui.button("Download the adapter", on_click=page.does(take, role="viewer"), icon="download").props("flat no-caps")  # fmt: skip


def zipped(folder: Path) -> bytes:
    """Return the files of a folder as a zip."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                file.write(path, path.relative_to(folder))
    return out.getvalue()
