"""Commands about why answers fail: `diagnose`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ratchet.cli.measuring import CandidateName, Dollars, Json, MostCalls, budget_of

if TYPE_CHECKING:
    from ratchet.core import Diagnosis
    from ratchet.ladder import Prospects
    from ratchet.workbench import Workbench

__all__ = ["add_to", "show_diagnosis"]

WIDE = 30
"""Letters of a bar that stands for all failures."""
SHOWN = 100


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("diagnose")(diagnose_)


def diagnose_(
    task: str,
    candidate: CandidateName = None,
    count: Annotated[
        int, typer.Option(min=5, help="Train examples that are measured, at most.")
    ] = 100,
    failures: Annotated[
        int, typer.Option(min=1, help="So many of those that fail are asked again.")
    ] = 40,
    budget: Dollars = None,
    max_calls: MostCalls = None,
    json: Json = False,
) -> None:
    """Why do answers fail? Change one thing, ask again, and see which turn right: causes with shares, and what each lever may gain."""
    from ratchet.cli.show import bars, print_json
    from ratchet.climbing import Climbing
    from ratchet.ladder import Depth
    from ratchet.store import find_workspace
    from ratchet.workbench import Workbench

    bench = Workbench.open(task)
    chosen = bench.candidate(candidate)
    bench.check_fits(chosen)
    depth = Depth(count=count, failures=failures, others=max(1, failures // 2))
    spending = budget_of(budget, max_calls)
    with find_workspace(Path()).held(), bars(spending) as bench.watching:
        found = Climbing(bench).diagnose(chosen, depth=depth, budget=spending)
    if json:
        print_json({**found.model_dump(mode="json"), "cause": found.cause})
        return
    climbing = Climbing(bench)
    show_diagnosis(found, bench, climbing.prospects(found, climbing.levers()))


def show_diagnosis(found: "Diagnosis", bench: "Workbench", prospects: "Prospects") -> None:
    """Draw causes, the two axes, experiments, and what levers may gain."""
    from rich.text import Text

    from ratchet.cli.show import out, print_command
    from ratchet.cli.terminal import Table
    from ratchet.core import CAUSES

    out.print(f"[bold]{found.candidate_id}[/]: {100 * found.score:.1f} on {found.n} train examples, {found.failures} fail")  # fmt: skip
    if not found.failures:
        out.print("nothing fails, so there is nothing to diagnose")
        return
    table = Table("cause", "of failures", "95 %", "", "")
    for one in found.shares:
        bar = "█" * round(WIDE * one.share)
        low, high = 100 * one.interval.low, 100 * one.interval.high
        table.add_row(one.cause, f"{100 * one.share:.0f} %", f"{low:.0f}–{high:.0f}", Text(bar, style="red"), CAUSES[one.cause])  # fmt: skip
    out.print(table)
    for name, share in (("what it must know", found.knows), ("how it must act", found.acts)):
        drawn = "━" * round(WIDE * share) + "●" + "─" * (WIDE - round(WIDE * share))
        out.print(Text(f"{name:18} {drawn} {100 * share:.0f} %"))
    table = Table("what was changed", "turned right", "turned wrong", "gain", "90 %")
    for change in found.experiments:
        table.add_row(
            f"{change.name}: {change.what}",
            f"{change.fixed} of {change.failures}",
            f"{change.broken} of {change.others}" if change.others else "",
            f"{100 * change.gain:+.1f}",
            f"{100 * change.interval.low:+.1f} to {100 * change.interval.high:+.1f}",
        )
    out.print(table)
    takes = {one.lever.name: one for one in prospects.options}
    table = Table("lever", "may gain", "between", "takes, in answers", "seconds", "why")
    for promise in found.promises:
        between = f"{100 * promise.interval.low:+.1f} and {100 * promise.interval.high:+.1f}"
        option = takes.get(promise.lever)
        calls = f"{option.calls:,.0f}" if option else ""
        seconds = option.estimate.seconds if option else None
        why = promise.why if option else prospects.left_out.get(promise.lever, promise.why)
        table.add_row(promise.lever, f"{100 * promise.gain:+.1f}", between, calls, "" if seconds is None else f"≈{seconds:.0f}", why)  # fmt: skip
    out.print(table)
    texts = {example.id: example for example in bench.examples}
    for cluster in found.clusters:
        shown = [str(texts[name].inputs)[:SHOWN] for name in cluster.examples if name in texts]
        out.print(Text(f"{cluster.sentence}: {shown[0] if shown else ''}"))
    wrong = next((one for one in found.shares if one.cause == "label looks wrong"), None)
    if wrong:
        out.print("references to look at: " + ", ".join(texts[n].name or n for n in wrong.examples if n in texts))  # fmt: skip
    print_command("climb", found.task)
