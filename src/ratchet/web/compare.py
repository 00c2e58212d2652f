"""Compare: the verdict in words first, then the chart, then the examples that each side wins."""

import asyncio
import math
from collections.abc import Sequence
from difflib import SequenceMatcher
from html import escape
from urllib.parse import urlencode

from nicegui import ui

from ratchet.core import Candidate, Verdict
from ratchet.core.errors import UsageError
from ratchet.core.records import written
from ratchet.ladder import Changed, changed_by, cost_text
from ratchet.levers import files_in
from ratchet.measure import (
    Measurement,
    Plan,
    PooledVerdict,
    compare,
    compare_totals,
    number_text,
    recall,
)
from ratchet.store import load_trials
from ratchet.web.frame import BLUE, Page, glossary, hint, points, table, title
from ratchet.web.playground import choices_of
from ratchet.web.runs import watch
from ratchet.workbench import Workbench

__all__ = ["add_to", "diffed"]

SHOWN, LONG = 10, 60
RIGHT, POOR = 1 - 1e-9, 0.3
"""From which score on an answer is right; below which one candidates are called poor."""


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
            ui.button("Write a new one", on_click=lambda: ui.navigate.to(f"/tasks/{task}/playground"), icon="edit").props("no-caps flat")  # fmt: skip
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
            plans = [await asyncio.to_thread(self._bench.plan, named) for named in (first, second)]
            ui.label(f"{lacking:,} answers are missing for a verdict: {price_of(plans)}.")
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
        for figure in compare_totals(one, other):
            ui.label(figure_text(figure)).classes("soft")
        for line in beside(one, other):
            ui.label(line).classes("text-amber-800")
        path = {c.id: p for p in files_in(self._page.workspace.root / "tasks" / task) for c in self._bench.names.variants_in(p)}.get(second.id)  # fmt: skip
        if path and verdict.decision in ("better", "not worse"):
            place = str(path.relative_to(self._page.workspace.root))
            self._page.button("Put B on the ladder", lambda: self._page.begin(task, "try", "prompt", task, f"--templates={place}"), icon="arrow_upward")  # fmt: skip
            hint("try", "prompt", task, "--templates", place)
        ui.echart(chart(verdict, one, other)).classes("w-full h-56").props(f'role="img" aria-label="{escape(verdict.sentence)}"')  # fmt: skip
        if not path or verdict.decision not in ("better", "not worse"):
            with ui.row():
                ui.button("Write another prompt", on_click=lambda: ui.navigate.to(f"/tasks/{task}/playground"), icon="edit").props("no-caps outline")  # fmt: skip
                ui.button("See why answers fail", on_click=lambda: ui.navigate.to(f"/tasks/{task}/ladder"), icon="biotech").props("no-caps outline")  # fmt: skip
        rows = [[label, points(m.score) + (f", {m.grade}" if m.grade else ""), f"{points(m.interval.low)} to {points(m.interval.high)}", m.n, sum(m.failures.values()), number_text(m.tokens_a_call, ".0f"), f"{number_text(m.latency(0.5), '.2f')} s"] for label, m in (("A", one), ("B", other))]  # fmt: skip
        table(["", "score", "95 % interval", "examples", "without an answer", "tokens a call", "latency, median"], rows, label="Figures")  # fmt: skip
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


def figure_text(figure: PooledVerdict) -> str:
    """Return the verdict on a figure of the whole split, in words for A and B."""
    name, interval = figure.name.replace("_", " "), figure.interval
    text = f"{name}: A {figure.champion:.3f}, B {figure.challenger:.3f}"
    if math.isnan(interval.low):
        return f"{text}; too few examples for an interval of the difference"
    return f"{text}; difference {interval.low:+.3f} to {interval.high:+.3f}, {figure.decision}"


def beside(one: Measurement, other: Measurement) -> list[str]:
    """Return what a verdict does not say: that both are poor, and that replies hold no answer."""
    found = []
    if max(one.score, other.score) < POOR:
        found.append(f"Both are poor: {points(one.score)} and {points(other.score)} of 100 points. A better prompt, examples to look at, or a fine-tune may help more than either.")  # fmt: skip
    for name, measured in (("A", one), ("B", other)):
        count = sum(measured.failures.values())
        if count > measured.n / 10:
            kinds = ", ".join(
                f"{many} {kind}"
                for kind, many in sorted(measured.failures.items(), key=lambda one: -one[1])[:3]
            )
            found.append(f"{name}: {count} of {measured.n} replies hold no answer of the form that the task wants ({kinds}).")  # fmt: skip
    return found


def price_of(plans: Sequence[Plan]) -> str:
    """Return what measuring costs, in words."""
    costs = [one.cost_usd for one in plans]
    if any(cost is None for cost in costs):
        return "at a price that is not known"
    dollars = sum(cost or 0.0 for cost in costs)
    return f"about {cost_text(dollars)}" if dollars else "they cost nothing, on this machine"


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
        sides = (("A", changed.before, changed.before_score), ("B", changed.after, changed.after_score))  # fmt: skip
        for name, trial, score in sides:
            why = (trial.score.feedback if trial.score else "") or trial.failure or ""
            look = "text-green-800" if score >= RIGHT else "text-red-700" if score == 0 else ""
            ui.label(f"{name} {'✓' if score >= RIGHT else '✗' if score == 0 else '◐'} {points(score)}: {trial.output[:600]}").classes(f"said mono {look}")  # fmt: skip
            if why:
                ui.label(f"{name}: {why[:600]}").classes("soft said text-sm")
        if min(len(changed.before.output), len(changed.after.output)) > LONG:
            with ui.expansion("What differs, word by word"):
                ui.html(diffed(changed.before.output, changed.after.output), sanitize=False).classes("said mono")  # fmt: skip


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
