"""The command for continuous integration: `gate`."""

from pathlib import Path
from typing import Annotated

import typer

from ratchet.cli.measuring import Dollars, Json, MostCalls, budget_of

__all__ = ["SHUT", "add_to"]

SHUT = 9
"""The exit code of a gate that stays shut."""


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("gate")(gate_)


def gate_(
    task: str,
    candidate: Annotated[
        str,
        typer.Option(
            "--candidate", help="The change: a file, its stem, a label, an id, or 'start'."
        ),
    ],
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Open only for what is proven better, or not worse."),
    ] = False,
    comment: Annotated[
        Path | None, typer.Option(help="Write the verdict as a comment in Markdown.")
    ] = None,
    budget: Dollars = None,
    max_calls: MostCalls = None,
    json: Json = False,
) -> None:
    """May a changed candidate go in? It is compared with the champion on dev; the exit code is 9 where it is worse, or breaks the policy."""
    from ratchet.cli.show import bars, out, print_json, warn_stopped
    from ratchet.ladder import gate, markdown_of
    from ratchet.store import find_workspace, write_text
    from ratchet.workbench import Workbench

    bench = Workbench.open(task)
    chosen, champion = bench.candidate(candidate), bench.champion()
    bench.check_fits(chosen)
    with find_workspace(Path()).held(), bars() as bench.watching:
        measured = bench.measure_all([champion, chosen], budget=budget_of(budget, max_calls))
    found = gate(bench.bench(), *measured, strict=strict)
    if comment:
        write_text(comment, markdown_of(found, bench.task, bench.differences(found.verdict)))
    if json:
        plain = found.verdict.model_dump(mode="json")
        print_json({"opens": found.opens, "refused": found.refused, "verdict": plain})
    else:
        out.print(f"[bold]{'open' if found.opens else 'shut'}[/]: {found.verdict.sentence}")
        for reason in found.refused:
            out.print(f"not admitted: {reason}")
        warn_stopped(measured)
    if not found.opens:
        raise typer.Exit(SHUT)
