"""How things look on a terminal: tables, progress bars, and the same as JSON."""

import json
import math
import os
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from ratchet.cli.terminal import Table, Terminal
from ratchet.core import Budget, Diagnosis, Interval, Json, Opening, Step, points_text
from ratchet.core.running import PROGRESS
from ratchet.ladder import (
    COLUMNS,
    FIGURES,
    Prospects,
    Rung,
    cost_text,
    reason,
    rung_cells,
    score_text,
)
from ratchet.measure import (
    Contrast,
    Finding,
    Measurement,
    Plan,
    RaceProgress,
    number_text,
)
from ratchet.measure import Progress as Answered
from ratchet.tuning import TuningProgress
from ratchet.watching import Watching

__all__ = [
    "Bars",
    "bars",
    "contrasts_table",
    "err",
    "findings_table",
    "ladder_table",
    "openings_table",
    "out",
    "print_command",
    "print_json",
    "short",
    "show_measurement",
    "show_plan",
    "shown",
    "step_plain",
    "warn",
    "warn_stopped",
]

out = Terminal(highlight=False)
err = Terminal(stderr=True, highlight=False)


def print_command(*words: str, before: str = "next: ", after: str = "") -> None:
    """Print a command so that it can be copied: in one line, its words quoted where a shell needs it.

    Args:
        words: The words of the command, without `ratchet`.
        before: What stands before it.
        after: What stands behind it; it begins with a comma or a semicolon.
    """
    out.print(f"{before}ratchet {shlex.join(words)}{after}", markup=False, soft_wrap=True)


def print_json(value: Json) -> None:
    """Print JSON for machines; NaN becomes null."""
    print(json.dumps(without_nan(value), indent=2, ensure_ascii=False))


def without_nan(value: Json) -> Json:
    if isinstance(value, dict):
        return {name: without_nan(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


LOSSES = 500
"""Steps of a training run whose losses the page is told of, at most."""
LEAST_PAUSE_S = 0.1
"""A bar moves at most ten times a second, however fast the answers come."""


class Bars(Watching):
    """Show what goes on as progress bars on the error stream, so that output can be piped."""

    def __init__(self, progress: Progress, budget: Budget | None = None) -> None:
        self._progress, self._budget = progress, budget
        self._title = "measuring"
        self._bar: int | None = None
        self._kind = ""
        self._next = self._began = 0.0
        self._losses: list[list[float]] = []
        told = os.environ.get(PROGRESS)
        self._file = Path(told) if told else None
        """Where the page reads how far it is."""

    def says(self, text: str) -> None:
        """Start a bar of that title with the next event."""
        self._end()
        self._title = text
        if not self._progress.console.is_terminal:
            self._progress.console.print(text, style="dim")

    def races(self, progress: RaceProgress) -> None:
        """Move the bar of a race: answers so far, of all that the full grid would take."""
        cost = "" if not progress.cost_usd else f" {cost_text(progress.cost_usd)}"
        self._move(
            "races",
            progress.answered,
            progress.grid,
            f"{progress.alive} alive, {progress.leader} leads with {100 * progress.estimate:.1f}, {100 * progress.chance:.0f} % sure{cost}",
        )

    def answers(self, progress: Answered) -> None:
        """Move the bar of a measurement."""
        mean = 100 * progress.score_sum / max(1, progress.done)
        cost = "" if not progress.cost_usd else f" {cost_text(progress.cost_usd)}"
        failed = f" {progress.failures} failed" if progress.failures else ""
        self._move("answers", progress.done, progress.total, f"score {mean:.1f}{failed}{cost}")

    def trains(self, progress: TuningProgress) -> None:
        """Move the bar of a training run."""
        loss = "" if progress.loss is None else f"loss {progress.loss:.3f}"
        held = (
            "" if progress.validation_loss is None else f"validation {progress.validation_loss:.3f}"
        )
        if progress.loss is not None:
            self._losses.append([progress.step, progress.loss])
            del self._losses[:-LOSSES]
        scored = "" if progress.score is None else f"score {100 * progress.score:.1f}"
        self._move("trains", progress.step, progress.steps, scored or loss or held)

    def diagnoses(self, found: Diagnosis, prospects: Prospects) -> None:
        """Print what a journey found out, and what it does next."""
        self._end()
        causes = ", ".join(f"{one.cause} {100 * one.share:.0f} %" for one in found.shares[:3])
        self._progress.console.print(
            f"[dim]diagnosis: {found.failures} of {found.n} train answers fail: {causes or 'nothing to explain'}[/]"
        )
        if best := prospects.best:
            self._progress.console.print(reason(best, found), style="dim")

    def climbs(self, rung: Rung) -> None:
        """Print the rung as it ends."""
        self._end()
        step = rung.step
        sign = "[green]✓ kept[/]" if step.kept else "[red]✗ dropped[/]"
        words = f" {step.verdict.sentence}" if step.verdict else ""
        self._progress.console.print(
            f"[bold]{step.number} {step.lever}[/] {score_text(step)} {sign}{words}"
        )

    def counts(self, what: str, done: int, total: int | None) -> None:
        """Move the bar of plain work: so much of so much, or of nobody knows how much."""
        if what != self._title:
            self.says(what)
        self._move(what, done, total, "")

    def _move(self, kind: str, done: int, total: int | None, note: str) -> None:
        now = time.monotonic()
        if kind == self._kind and done != total and now < self._next:
            return
        self._next = now + LEAST_PAUSE_S
        if self._bar is None or kind != self._kind:
            self._end()
            self._kind = kind
            self._began = time.time()
            self._bar = self._progress.add_task(self._title, total=total, note=note)
        self._progress.update(self._bar, completed=done, total=total, note=note)  # type: ignore[arg-type]  # a TaskID is an int
        if self._file:
            told = {
                "title": self._title,
                "done": done,
                "total": total,
                "note": note,
                "began": self._began,
                "losses": self._losses if kind == "trains" else [],
            }
            if budget := self._budget:
                told |= {"calls": budget.calls_made, "cost_usd": budget.known_dollars, "of_calls": budget.calls, "of_usd": budget.cost_usd}  # fmt: skip
            half = self._file.with_suffix(".part")
            half.write_text(json.dumps(told), "utf-8")
            half.replace(self._file)

    def _end(self) -> None:
        if self._bar is not None:
            self._progress.remove_task(self._bar)  # type: ignore[arg-type]  # a TaskID is an int
            self._bar = None


@contextmanager
def bars(budget: Budget | None = None) -> Iterator[Bars]:
    """Yield something that shows progress while the block runs, and tells the page what of a budget is spent."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=err, transient=True, refresh_per_second=4) as progress:
        yield Bars(progress, budget)


def show_plan(plan: Plan) -> None:
    """Print what a measurement would take."""
    sign = "" if plan.counted else "≈"
    cost = "unknown price" if plan.cost_usd is None else cost_text(plan.cost_usd)
    more = f", up to {plan.most_calls} where answers fail" if plan.most_calls > plan.calls else ""
    out.print(
        f"{plan.calls} calls{more} ({plan.kept} trials are there already), {sign}{plan.prompt_tokens:,} prompt + ≈{plan.completion_tokens:,} completion tokens, {cost}"
        + (f"; and up to {plan.judged} votes of judges" if plan.judged else "")
    )


def show_measurement(measured: Measurement) -> None:
    """Print the figures of a measurement."""
    out.print(
        f"[bold]{points_text(measured.score, measured.interval)}[/]{f'  {measured.grade}' if measured.grade else ''}  on {measured.n} examples of {measured.split} ({measured.interval.method}, 95 %)"
    )
    table = Table.grid(padding=(0, 2))
    prompt, completion = measured.tokens
    rows: list[tuple[str, str]] = [
        (
            "candidate",
            f"{measured.candidate.id}  {measured.candidate.model}  {measured.candidate.note}",
        )
    ]
    rows += [
        (name.replace("_", " "), total_text(value, measured.total_intervals.get(name)))
        for name, value in measured.totals.items()
    ]
    rows.append(
        (
            "failures",
            ", ".join(f"{count} {kind}" for kind, count in measured.failures.items()) or "none",
        )
    )
    cached, thought = measured.cached_tokens, measured.reasoning_tokens
    from_cache = f" ({cached:,} from a cache)" if cached else ""
    thinking = f" ({thought:,} thinking)" if thought else ""
    counted = f"{prompt:,} prompt{from_cache}, {completion:,} completion{thinking}"
    rows.append(("tokens", counted if measured.has_tokens else "n/a"))
    rows.append(("cost", cost_text(measured.cost_usd)))
    rows.append(
        (
            "latency",
            f"p50 {number_text(measured.latency(0.5), '.3f')} s, p95 {number_text(measured.latency(0.95), '.3f')} s",
        )
    )
    rows.append(
        (
            "bought",
            f"{measured.bought} trials now, {len(measured.outcomes) - measured.bought} were there",
        )
    )
    for name, value in rows:
        table.add_row(Text(name, style="dim"), Text(value))
    out.print(table)
    for is_answered, what in ((False, "got no reply"), (True, "were answered and not scored")):
        missing = [item for item in measured.missing if item.is_answered == is_answered]
        if missing:
            err.print(f"[yellow]{len(missing)} examples {what}[/]; the first: ", end="")
            err.print(Text(missing[0].message))
    if measured.stopped:
        err.print(
            f"[yellow]stopped: {measured.stopped}[/]; all that was bought is kept, run the same command again to go on"
        )


def total_text(value: float, interval: Interval | None) -> str:
    """Return a figure of a whole split, with its interval where there is one."""
    if math.isnan(value):
        return "n/a"
    if interval is None or math.isnan(interval.low):
        return f"{value:.3f}"
    return f"{value:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def warn_stopped(measured: Sequence[Measurement]) -> None:
    """Say where the budget ended before all examples were answered."""
    if any(m.stopped for m in measured):
        err.print(
            "[yellow]the budget ended before all examples were answered[/]; run the same command again to go on"
        )


def warn(texts: Sequence[str]) -> None:
    """Print warnings on the error stream."""
    for text in texts:
        err.print(Text(text, "yellow"))


SIGNS = {"ok": Text("✓", "green"), "warning": Text("!", "yellow"), "error": Text("✗", "red")}


def findings_table(findings: Sequence[Finding]) -> Table:
    """Return what the checks found, a check a line."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_header=False)
    for name in ("", "check", "text"):
        table.add_column(name, no_wrap=name != "text")
    for finding in findings:
        named = f" ({', '.join(finding.examples)}, …)" if finding.examples else ""
        table.add_row(SIGNS[finding.level], finding.check, Text(finding.text + named))
    return table


def contrasts_table(contrasts: Sequence[Contrast]) -> Table:
    """Return what the metric says of wrong answers, a kind of change a line."""
    table = Table(
        title="What the metric says of references that were changed",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    for name in ("change", "answers", "score", "taken for right", "as"):
        table.add_column(name, justify="left" if name in ("change", "as") else "right")
    for item in contrasts:
        shown = f"{item.after!r} for {item.before!r}" if item.equal else ""
        figures = (str(item.n), f"{100 * item.score:.1f}", str(item.equal))
        table.add_row(item.change, *figures, Text(shown))
    return table


def openings_table(openings: Sequence[Opening]) -> Table:
    """Return who opened the test split, when and for what, an opening a line."""
    table = Table(
        title="Openings of the test split", title_justify="left", box=SIMPLE_HEAD, pad_edge=False,
        caption="the intervals of all openings hold together at 95 %", caption_justify="left",
    )  # fmt: skip
    for name in ("", "champion", "who", "when", "dev", "test", "interval"):
        table.add_column(name, justify="right" if name in ("dev", "test", "interval") else "left")
    for opening in openings:
        low, high = 100 * opening.interval.low, 100 * opening.interval.high
        table.add_row(
            str(opening.number),
            opening.candidate_id,
            Text(opening.who),
            opening.at,
            f"{100 * opening.dev_score:.1f}",
            f"{100 * opening.score:.1f}",
            f"{low:.1f} to {high:.1f}",
        )
    return table


def shown(output: str, failure: str | None) -> str:
    return f"({failure}) {short(output)}" if failure else short(output)


def short(text: str, limit: int = 240) -> str:
    return text if len(text) <= limit else f"{text[:limit]}…"


def ladder_table(steps: Sequence[Step]) -> Table:
    """Return the ladder, a rung a line."""
    table = Table(title="The ladder", title_justify="left", box=SIMPLE_HEAD, pad_edge=False, lead=3)
    for name in COLUMNS:
        table.add_column(
            "" if name == "kept" else name, justify="right" if name in FIGURES else "left"
        )
    for step in steps:
        colour = "green" if step.kept else "red"
        cells = rung_cells(step)
        cells["what"] = f"{cells['what']} ({step.candidate_id})"
        table.add_row(
            *(Text(text, colour if name == "kept" else "") for name, text in cells.items())
        )
    return table


def step_plain(step: Step) -> dict[str, Json]:
    """Return a rung as JSON values."""
    return step.model_dump(mode="json")
