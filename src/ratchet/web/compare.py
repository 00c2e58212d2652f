"""Compare: the verdict in words first, then the chart, then the examples that each side wins."""

import asyncio
from difflib import SequenceMatcher
from html import escape
from urllib.parse import urlencode

from nicegui import ui

from ratchet.core import Candidate, Verdict
from ratchet.core.errors import UsageError
from ratchet.core.records import written
from ratchet.ladder import Changed, changed_by
from ratchet.levers import files_in, variants_in
from ratchet.measure import Measurement, compare, recall
from ratchet.store import load_trials
from ratchet.web.frame import BLUE, Page, glossary, hint, points, table, title
from ratchet.web.playground import choices_of
from ratchet.web.runs import watch
from ratchet.workbench import Workbench

__all__ = ["add_to", "diffed"]

SHOWN = 10


def add_to(page: Page) -> None:
    """Add the views of this file."""

    @page.view("/tasks/{task}/compare", "Compare")
    async def compare_(task: str, a: str = "champion", b: str = "") -> None:
        bench = await page.bench(task)
        choices = choices_of(bench)
        title("Compare", "Two candidates on the same dev examples: is one better, and how sure is that?")  # fmt: skip
        with ui.row().classes("items-end w-full"):
            first = ui.select(choices, value=a if a in choices else "champion", label="A").classes("grow")  # fmt: skip
            second = ui.select(choices, value=b if b in choices else None, label="B, the challenger").classes("grow")  # fmt: skip

            def go() -> None:
                if not second.value:
                    raise UsageError("choose a challenger")
                ui.navigate.to(
                    f"/tasks/{task}/compare?{urlencode({'a': first.value, 'b': second.value})}"
                )

            page.button("Compare", go, role="viewer", icon="balance")
        if b:
            if {a, b} - set(choices):
                raise UsageError("there is no such candidate; choose one of the list")
            await Comparison(page, bench).show(a, b)
        glossary()


class Comparison:
    """What is known of two candidates."""

    def __init__(self, page: Page, bench: Workbench) -> None:
        self._page, self._bench = page, bench

    async def show(self, a: str, b: str) -> None:
        """Show the verdict, or what must be measured first."""
        first, second = [await asyncio.to_thread(self._bench.candidate, name) for name in (a, b)]
        if first.id == second.id:
            raise UsageError("these two are the same candidate")
        one, other = [await asyncio.to_thread(self._known, named) for named in (first, second)]
        task, dev = self._bench.task.name, len(self._bench.split("dev"))
        lacking = sum(dev - measured.n for measured in (one, other))
        if lacking:
            ui.label(f"{lacking:,} answers are missing for a verdict.")
            words, here = ("ab", task, "--a", a, "--b", b), f"/tasks/{task}/compare?{urlencode({'a': a, 'b': b})}"  # fmt: skip
            if run := self._page.running(task, *words):
                watch(self._page, run, then=lambda: ui.navigate.to(here))
            else:
                self._page.button("Measure both", lambda: self._page.begin(task, *words, to=here), icon="play_arrow")  # fmt: skip
            hint(*words)
            if not (one.n and other.n):
                return
        verdict = compare(one, other, margin=self._bench.task.margin)
        ui.label(spoken(verdict)).classes("text-xl said").props('role="status"')
        path = {c.id: p for p in files_in(self._page.workspace.root / "tasks" / task) for c in variants_in(p, self._bench.task, self._bench.start())}.get(second.id)  # fmt: skip
        if path and verdict.decision in ("better", "not worse"):
            place = str(path.relative_to(self._page.workspace.root))
            self._page.button("Put B on the ladder", lambda: self._page.begin(task, "try", "prompt", task, f"--templates={place}"), icon="arrow_upward")  # fmt: skip
            hint("try", "prompt", task, "--templates", place)
        ui.echart(chart(verdict, one, other)).classes("w-full h-56").props(f'role="img" aria-label="{escape(verdict.sentence)}"')  # fmt: skip
        rows = [[label, points(m.score), f"{points(m.interval.low)} to {points(m.interval.high)}", m.n, f"{m.tokens_a_call:.0f}", f"{m.latency(0.5):.2f} s"] for label, m in (("A", one), ("B", other))]  # fmt: skip
        table(["", "score", "95 % interval", "examples", "tokens a call", "latency, median"], rows, label="Figures")  # fmt: skip
        ui.label(f"B won {verdict.wins}, lost {verdict.losses}, tied {verdict.ties}; {verdict.method}, p = {verdict.p_value:.2g}").classes("soft")  # fmt: skip
        trials = load_trials(self._bench.engine, [verdict.champion_id, verdict.challenger_id], metric_id=verdict.metric_id, task_id=self._bench.task.asking_id)  # fmt: skip
        found = changed_by(verdict, trials, self._bench.split("dev"), SHOWN, tied=SHOWN)
        kinds = {
            f"B won {verdict.wins}, the largest first": [c for c in found if c.gain > 0],
            f"B lost {verdict.losses}, the largest first": [c for c in found if c.gain < 0],
            f"{verdict.ties} tied, the first of them": [c for c in found if c.gain == 0],
        }
        for name, some in kinds.items():
            with ui.expansion(name, value=bool(some) and some[0].gain != 0).classes("w-full"):
                for changed in some:
                    show_change(changed)

    def _known(self, candidate: Candidate) -> Measurement:
        return recall(self._bench.bench(), candidate, self._bench.split("dev"), split="dev")


def spoken(verdict: Verdict) -> str:
    """Return a verdict in words for A and B."""
    words = verdict.sentence.replace("The challenger", "B")
    if verdict.decision == "no evidence" and verdict.visible:
        words += f" With {verdict.n} examples a difference of {100 * verdict.visible:.0f} points would be seen."  # fmt: skip
    return words


def chart(verdict: Verdict, one: Measurement, other: Measurement) -> dict[str, object]:
    """Return the two scores and the difference, each with its interval."""
    rows = [
        ("A", 100 * one.score, 100 * one.interval.low, 100 * one.interval.high),
        ("B", 100 * other.score, 100 * other.interval.low, 100 * other.interval.high),
        ("B − A", 100 * verdict.effect, 100 * verdict.interval.low, 100 * verdict.interval.high),
    ]
    lines = [{"type": "line", "symbol": "none", "lineStyle": {"width": 3, "color": BLUE}, "data": [[low, name], [high, name]], "silent": True} for name, _, low, high in rows]  # fmt: skip
    return {
        "animation": False,
        "grid": {"left": 60, "right": 30, "top": 10, "bottom": 30},
        "xAxis": {"type": "value", "name": "points"},
        "yAxis": {"type": "category", "data": [name for name, *_ in reversed(rows)]},
        "series": [{"type": "scatter", "symbolSize": 12, "itemStyle": {"color": BLUE}, "data": [[value, name] for name, value, *_ in rows]}, *lines],
    }  # fmt: skip


def show_change(changed: Changed) -> None:
    """Show one example: what went in, what was right, what A and B said and how they differ."""
    with ui.column().classes("w-full border-b pb-2 gap-1"):
        ui.label(" ".join(written(v) for v in changed.example.inputs.values())[:600]).classes("said")  # fmt: skip
        ui.label(f"right: {written(changed.example.reference)[:600]}").classes("soft said")
        ui.html(diffed(changed.before.output, changed.after.output), sanitize=False).classes("said mono")  # fmt: skip
        for name, trial in (("A", changed.before), ("B", changed.after)):
            if trial.score and trial.score.feedback:
                ui.label(f"{name}: {points(trial.score.value)} points; {trial.score.feedback[:600]}").classes("soft said text-sm")  # fmt: skip


def diffed(old: str, new: str) -> str:
    """Return the change from one text to another, word by word, as HTML in which both are text."""
    a, b = old[:4000].split(" "), new[:4000].split(" ")
    parts = []
    for tag, i, j, k, m in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        out, fresh = escape(" ".join(a[i:j])), escape(" ".join(b[k:m]))
        if tag == "equal":
            parts.append(out)
            continue
        parts += [f"<del>{out}</del>"] * bool(out) + [f"<ins>{fresh}</ins>"] * bool(fresh)
    return " ".join(parts)
