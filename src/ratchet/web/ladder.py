"""The ladder: rungs with ticks and crosses, why answers fail, what to do next, and a climb as it goes on."""

import asyncio
import math
from html import escape

from nicegui import ui
from starlette.responses import HTMLResponse, Response

from ratchet.climbing import Climbing
from ratchet.core import CAUSES, Diagnosis
from ratchet.core.errors import RatchetError, UsageError
from ratchet.ladder import COLUMNS, Prospects, html_report, rung_cells
from ratchet.levers import CLIMBED
from ratchet.measure import standings
from ratchet.store import load_steps
from ratchet.web.frame import GREEN, RED, Page, glossary, hint, points, table, title
from ratchet.web.runs import watch
from ratchet.workbench import Workbench

__all__ = ["add_to"]

EVERY_S = 2.0


def add_to(page: Page) -> None:
    """Add the views of this file."""
    from nicegui import app

    @app.get("/tasks/{task}/report")
    async def report(task: str) -> Response:
        if not page.may("viewer"):
            return Response("log in first", 403)
        try:
            bench = await page.bench(task)
            return HTMLResponse(
                await asyncio.to_thread(lambda: html_report(Climbing(bench).story()))
            )
        except RatchetError as error:
            return Response(str(error), 404, media_type="text/plain")

    @page.view("/tasks/{task}/ladder", "Ladder")
    async def ladder_(task: str) -> None:
        bench = await page.bench(task)
        title("The ladder", "Each rung is a challenger with its verdict; the champion changes only where it is proven.")  # fmt: skip
        if working := page.working(task):
            watch(page, working)
        rungs(page, task)
        found = Climbing(bench).diagnoses().get(bench.champion().id)
        if found:
            show_diagnosis(found)
        place = ui.column().classes("w-full")
        start_climb(page, task)
        await front(bench)
        glossary()
        if load_steps(bench.engine, task):
            ui.link("The report, as one page to send on", f"/tasks/{task}/report", new_tab=True)
            hint("ladder", task, "--report", "report.html")

        async def fill() -> None:
            with place:
                await page.safely(next_step, page, bench, found)

        ui.timer(0.05, fill, once=True)  # what a lever takes is looked at first: seconds


def rungs(page: Page, task: str) -> None:
    """Show the rungs, and go on showing them as they come."""
    engine, shown = page.workspace.database, [-1]

    @ui.refreshable
    def listed() -> None:
        steps = load_steps(engine, task)
        shown[0] = len(steps)
        if not steps:
            ui.label("No rung yet: a climb measures the start first.")
            return
        best = max(step.score for step in steps)
        ui.echart(
            {
                "animation": False,
                "grid": {"left": 45, "right": 20, "top": 15, "bottom": 40},
                "xAxis": {"type": "category", "data": [f"{s.number} {s.lever} {'✓' if s.kept else '✗'}" for s in steps]},
                "yAxis": {"type": "value", "min": 0, "max": 100},
                "series": [
                    {"type": "scatter", "symbolSize": 13, "data": [{"value": round(100 * s.score, 1), "itemStyle": {"color": GREEN if s.kept else RED}} for s in steps]},
                    *[{"type": "line", "symbol": "none", "silent": True, "lineStyle": {"width": 3, "color": GREEN if s.kept else RED}, "data": [[k, 100 * s.interval.low], [k, 100 * s.interval.high]]} for k, s in enumerate(steps)],
                ],
            }
        ).classes("w-full h-56").props(f'role="img" aria-label="{len(steps)} rungs, the best at {points(best)} points"')  # fmt: skip
        cells = [rung_cells(step) for step in steps]
        table(list(COLUMNS), [[row[name] for name in COLUMNS] for row in cells], label="Rungs")

    listed()
    page.every(EVERY_S, lambda: listed.refresh() if len(load_steps(engine, task)) != shown[0] else None)  # fmt: skip


def show_diagnosis(found: Diagnosis) -> None:
    """Show why answers fail, and the task on its two axes."""
    title("Why answers fail", f"{found.failures} of {found.n} train answers of the champion; found by experiment.", level=2)  # fmt: skip
    rows = [[s.cause, CAUSES[s.cause], s.count, f"{100 * s.share:.0f} %", f"{100 * s.interval.low:.0f} to {100 * s.interval.high:.0f} %"] for s in found.shares]  # fmt: skip
    table(["cause", "how it shows", "failures", "share", "interval"], rows, label="Causes")
    ui.label(f"What it must know: {100 * found.knows:.0f} % of the failures. How it must act: {100 * found.acts:.0f} %.")  # fmt: skip
    ui.echart(
        {
            "animation": False,
            "grid": {"left": 60, "right": 20, "top": 10, "bottom": 40},
            "xAxis": {"type": "value", "min": 0, "max": 100, "name": "how it must act", "nameLocation": "middle", "nameGap": 25},
            "yAxis": {"type": "value", "min": 0, "max": 100, "name": "what it must know", "nameLocation": "middle", "nameGap": 35},
            "series": [{"type": "scatter", "symbolSize": 18, "data": [[round(100 * found.acts, 1), round(100 * found.knows, 1)]]}],
        }
    ).classes("w-72 h-56").props(f'role="img" aria-label="knows {100 * found.knows:.0f}, acts {100 * found.acts:.0f}"')  # fmt: skip
    for cluster in found.clusters:
        ui.label(cluster.sentence).classes("soft")


async def next_step(page: Page, bench: Workbench, found: Diagnosis | None) -> None:
    """Show what promises most now, with a button."""
    task = bench.task.name
    title("Next best step", "By what a lever may gain for what it takes.", level=2)
    if found is None:
        ui.label("A diagnosis tells which lever the failures point to.")
        page.button("Diagnose the champion", lambda: page.begin(task, "diagnose", task), icon="biotech")  # fmt: skip
        hint("diagnose", task)
        return
    climbing = Climbing(bench)

    def look() -> Prospects:
        return climbing.prospects(found, climbing.levers())

    prospects = await asyncio.to_thread(look)
    rows = [[o.lever.name, f"{100 * o.promise.gain:+.1f}", f"{100 * o.promise.interval.low:+.1f} to {100 * o.promise.interval.high:+.1f}", o.promise.why, f"{o.calls:,.0f}", "" if o.estimate.seconds is None else f"{o.estimate.seconds:,.0f} s", "" if o.estimate.cost_usd is None else f"${o.estimate.cost_usd:.2f}"] for o in prospects.options]  # fmt: skip
    table(["lever", "expected points", "interval", "why", "answers", "time", "cost"], rows, label="Levers")  # fmt: skip
    if best := prospects.best:
        name, *rung = best.lever.name.split()  # those of retrieval have a second word
        words = ("try", name, task, *(f"--rungs={one}" for one in rung))
        if name == "tune":  # it may cost, or last, and says so first
            page.button("To the fine-tunes", lambda: ui.navigate.to(f"/tasks/{task}/tune"), icon="arrow_upward")  # fmt: skip
        else:
            page.button(f"Try {best.lever.name}", lambda: page.begin(task, *words), icon="arrow_upward")  # fmt: skip
        hint(*words)
    else:
        ui.label("No lever is expected to gain what it costs.")
    for other, why in prospects.left_out.items():
        ui.label(f"{other}: {why}").classes("soft text-sm")


def start_climb(page: Page, task: str) -> None:
    """Show what starts a climb."""
    title("Climb by itself", "Diagnose, try what promises most, keep what is proven, and again, within a budget.", level=2)  # fmt: skip
    with ui.row().classes("items-end"):
        dollars = ui.number("Budget in dollars", value=5, min=0, step=1).classes("w-40")
        target = ui.number("Target in points", min=0, max=100).classes("w-40")
        levers = ui.select(list(CLIMBED), value=[], multiple=True, label="Only these levers, in order").classes("min-w-64")  # fmt: skip

        def climb() -> None:
            if levers.value and target.value:
                raise UsageError("a target is for a climb by diagnosis; leave the levers out")
            if (dollars.value or 0) <= 0:
                raise UsageError("a budget is more than nothing")
            words = ["climb", task, f"--budget={dollars.value:g}", "--yes"]
            words += [f"--target={target.value:g}"] if target.value else []
            words += [f"--levers={','.join(levers.value)}"] if levers.value else []
            page.begin(task, *words)

        page.button("Climb", climb, icon="trending_up")
    hint("climb", task, "--budget", "5")


async def front(bench: Workbench) -> None:
    """Show quality beside cost and latency, of all who answered the whole of dev."""
    try:
        found = await asyncio.to_thread(lambda: standings(bench.measured()))
    except UsageError:  # nothing is measured yet
        return
    title("Quality, cost and latency", level=2)
    data = [{"name": escape(s.measured.candidate.note or s.measured.candidate.id), "value": [None if math.isnan(s.measured.tokens_a_call) else round(s.measured.tokens_a_call, 1), round(100 * s.measured.score, 1)], "itemStyle": {"color": GREEN if s.dominated_by is None else "#888888"}} for s in found]  # fmt: skip
    ui.echart(
        {
            "animation": False,
            "tooltip": {"trigger": "item", "formatter": "{b}: {c}"},
            "grid": {"left": 60, "right": 20, "top": 10, "bottom": 40},
            "xAxis": {"type": "value", "name": "tokens a call", "nameLocation": "middle", "nameGap": 25},
            "yAxis": {"type": "value", "name": "points", "min": 0, "max": 100},
            "series": [{"type": "scatter", "symbolSize": 12, "data": data}],
        }
    ).classes("w-full h-64").props('role="img" aria-label="The front: green where nothing is better at all"')  # fmt: skip
