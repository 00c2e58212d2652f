"""Jobs: what runs, how far it is, what it says; stop it, or run it again."""

import shlex
import time
from collections.abc import Callable
from functools import partial
from urllib.parse import urlencode

from nicegui import ui

from ratchet.jobs.commands import GONE, again, output_of, progress_of, settled, stop_run
from ratchet.store.runs import Run, load_runs
from ratchet.web.frame import VIEWS, Page, hint, title, when

__all__ = ["add_to", "watch"]

EVERY_S = 1.0
OUTCOMES = {"import": "examples", "synth": "examples", "climb": "ladder", "try": "ladder", "diagnose": "ladder", "drift": "release", "knowledge": "knowledge", "forget": "tune", "adapters": "tune", "tune": "tune"}  # fmt: skip
"""Which view shows what a command came to."""
LOOKS = {"succeeded": "positive", "failed": "negative", "stopped": "orange-10", "running": "primary", "waiting": "grey"}  # fmt: skip


def add_to(page: Page) -> None:
    """Add the views of this file."""

    @page.view("/runs", "Jobs")
    def runs_() -> None:
        title(
            "Jobs", "Everything long. A job outlives this page and its server; one runs at a time."
        )

        @ui.refreshable
        def listed() -> None:
            newest = load_runs(page.workspace.database, limit=100)
            found = [one if one.is_done else settled(page.workspace, one.id) for one in newest]
            if not found:
                ui.label("Nothing has run yet.")
            for one in found:
                with ui.row().classes("w-full items-center gap-3 border-b py-1"):
                    ui.badge(one.state, color=LOOKS[one.state])
                    ui.link(f"ratchet {shlex.join(one.words)}", f"/runs/{one.id}").classes("mono grow")  # fmt: skip
                    ui.label(f"{one.who}, {when(one.created_at)}, {lasted(one)}").classes("soft")

        listed()
        page.every(2.0, listed.refresh)

    @page.view("/runs/{run_id}", "Job")
    def run_(run_id: str) -> None:
        run = settled(page.workspace, run_id)
        title(f"{run.words[0]}: {run.task}" if run.task else "Job", f"started by {run.who}, {when(run.created_at)}")  # fmt: skip
        hint(*run.words)
        watch(page, run_id)
        with ui.row().classes("items-center"):
            for place, (said, where) in enumerate(ways_on(run).items()):
                if place:
                    ui.link(said, where)
                else:  # where its outcome is
                    ui.button(said, on_click=partial(ui.navigate.to, where)).props("no-caps outline")  # fmt: skip


def watch(page: Page, run_id: str, *, then: Callable[[], None] | None = None) -> None:
    """Show a run as it goes on.

    Args:
        page: What the views share.
        run_id: The run.
        then: Called when it has ended well.
    """
    badge = ui.badge("").props('role="status" aria-live="polite"')
    bar = ui.linear_progress(0, show_value=False).props('aria-label="Progress"')
    told = ui.label("").classes("soft")
    curve = (
        ui.echart(
            {
                "animation": False,
                "grid": {"left": 50, "right": 20, "top": 15, "bottom": 40},
                "xAxis": {"type": "value", "name": "step", "nameLocation": "middle", "nameGap": 25},
                "yAxis": {"type": "value", "name": "loss", "scale": True},
                "series": [{"type": "line", "symbol": "none", "data": []}],
            }
        )
        .classes("w-full h-48")
        .props('role="img" aria-label="Loss of the training"')
    )
    said = ui.label("").classes("mono said w-full border rounded p-3 max-h-96 overflow-auto")
    said.props('tabindex=0 role="log" aria-label="What it says"')

    def stop() -> None:
        stop_run(page.workspace, run_id)
        ui.notify("stopping; what was bought is kept, and it can go on from there")

    def once_more() -> None:
        made = again(page.workspace, settled(page.workspace, run_id), page.who)
        ui.navigate.to(f"/runs/{made.id}")

    with ui.row():
        stopping = page.button("Stop", stop, icon="stop")
        anew = page.button("Run again", once_more, icon="replay")
    anew.set_visibility(False)

    def look() -> None:
        run = settled(page.workspace, run_id)
        far = progress_of(page.workspace, run_id)
        done, total = float(far.get("done") or 0), float(far.get("total") or 0)
        badge.set_text(run.state)
        badge.props(f"color={LOOKS[run.state]}")
        said.set_text(output_of(page.workspace, run_id) or "nothing yet")
        bar.set_value(1.0 if run.is_done else done / total if total else 0.0)
        is_open = run.state == "running" and not total
        bar.props("indeterminate" if is_open else "", remove="" if is_open else "indeterminate")
        gone = "its process ended without a word; run it again, and it goes on where it was. " if run.code == GONE else ""  # fmt: skip
        told.set_text(gone + lasted(run) if run.is_done or not far else words(far, run))
        losses = far.get("losses") or []
        curve.set_visibility(bool(losses))
        if losses:
            curve.options["series"][0]["data"] = losses
            curve.update()
        stopping.set_visibility(not run.is_done)
        anew.set_visibility(run.is_done)
        anew.set_text("Go on" if run.state == "stopped" else "Run again")
        if run.is_done:
            timer.deactivate()
            if then and run.state == "succeeded":
                then()

    timer = page.every(EVERY_S, look)


def ways_on(run: Run) -> dict[str, str]:
    """Return where one may want to go from a run, by its words; the place of its outcome first."""
    if not run.task:
        return {}
    at = f"/tasks/{run.task}"
    ways = {name: f"{at}/{view}" for view, name in VIEWS.items()}
    if run.words[0] == "ab" and {"--a", "--b"} <= set(run.words):
        a, b = (run.words[run.words.index(one) + 1] for one in ("--a", "--b"))
        return {"To the verdict": f"{at}/compare?{urlencode({'a': a, 'b': b})}", **ways}
    if view := OUTCOMES.get(run.words[0]):
        return {f"To the {VIEWS[view].lower()}": f"{at}/{view}", **{n: w for n, w in ways.items() if n != VIEWS[view]}}  # fmt: skip
    return ways


def words(far: dict[str, object], run: Run) -> str:
    """Return how far a run is, in words, with the time that the part under way still takes."""
    done, total, began = (float(str(far.get(name) or 0)) for name in ("done", "total", "began"))
    left = (time.time() - began) * (total - done) / done if done else 0.0
    eta = f"about {span(left)} left of this part" if done < total and done else ""
    count = f"{done:,.0f}" + (f" of {total:,.0f}" if total else "")
    parts = (f"{far.get('title')}: {count}", str(far.get("note") or ""), spent(far), lasted(run), eta)  # fmt: skip
    return "; ".join(part for part in parts if part)


def spent(far: dict[str, object]) -> str:
    """Return what a run has spent of its budget, in words."""
    if "calls" not in far:
        return ""
    dollars, calls = far.get("of_usd"), far.get("of_calls")
    of = f" of ${dollars:.2f}" if isinstance(dollars, float | int) else ""
    most = f" of {calls:,}" if isinstance(calls, int) else ""
    known = far.get("cost_usd")
    cost = f"${known:.2f}{of} spent" if isinstance(known, float | int) else f"cost unknown{of}"
    return f"{cost}, {int(str(far['calls'])):,}{most} calls"


def lasted(run: Run) -> str:
    """Return how long a run took, or has taken."""
    if run.started_at is None:
        return "waits for its turn" if run.state == "waiting" else ""
    return span((run.ended_at or time.time()) - run.started_at)


def span(seconds: float) -> str:
    """Return a time in words."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
