"""Commands about the ladder: `try` a lever, `climb` with several, show the `ladder`, open the test split at the end: `final`."""

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ratchet.cli.levers import (
    Base,
    Bootstrap,
    ByScore,
    Distil,
    Embedding,
    Epochs,
    Helper,
    KnowledgeName,
    Models,
    NearestCounts,
    Optimiser,
    Packing,
    Programs,
    Propose,
    ProposerName,
    Prune,
    Reasoned,
    Replay,
    Reranker,
    Rungs,
    Templates,
    Weights,
    Yes,
    confirm,
    options_in,
    show_estimates,
)
from ratchet.cli.measuring import Dollars, Json, MostCalls, budget_of

if TYPE_CHECKING:
    from ratchet.core import Step
    from ratchet.ladder import Edit, Option, Prospects
    from ratchet.levers import LeverOptions
    from ratchet.workbench import Workbench

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("try")(try_)
    app.command()(climb)
    app.command()(ladder)
    app.command()(final)
    app.command()(forget)


def try_(
    lever: Annotated[
        str,
        typer.Argument(
            help="prompt (the candidates in tasks/<task>/), demos, retrieval, decoding, model, dspy or tune."
        ),
    ],
    task: str,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what it would take, and end.")
    ] = False,
    templates: Templates = None,
    propose: Propose = 0,
    proposer: ProposerName = "",
    bootstrap: Bootstrap = False,
    nearest: NearestCounts = "4",
    embedding: Embedding = "local:minilm",
    models: Models = "",
    knowledge: KnowledgeName = "",
    rungs: Rungs = "search",
    helper: Helper = "",
    reranker: Reranker = "",
    optimiser: Optimiser = "random-search",
    programs: Programs = 8,
    reasoned: Reasoned = False,
    epochs: Epochs = None,
    prune: Prune = False,
    distil: Distil = False,
    replay: Replay = 0.0,
    by_score: ByScore = False,
    base: Base = "",
    weights: Weights = "lora",
    packing: Packing = False,
    yes: Yes = False,
    budget: Dollars = None,
    max_calls: MostCalls = None,
    json: Json = False,
) -> None:
    """Try one lever on the champion: a verdict for what it finds, and a rung on the ladder."""
    run(
        [lever],
        task,
        start=None,
        dry_run=dry_run,
        options=options_in(locals()),
        yes=yes,
        budget=budget,
        max_calls=max_calls,
        again=True,
        json=json,
    )


def climb(
    task: str,
    levers: Annotated[
        str,
        typer.Option(
            help="Levers in this order, with commas; left out, the diagnosis chooses among all."
        ),
    ] = "",
    target: Annotated[
        float | None,
        typer.Option(min=0, max=100, help="Stop at this score on dev, in points."),
    ] = None,
    manual: Annotated[bool, typer.Option("--manual", help="Ask before each rung.")] = False,
    start: Annotated[
        str | None,
        typer.Option(
            help="The first candidate: a file, its stem, a label or an id; by default the task's instructions."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what each lever would take, and end.")
    ] = False,
    templates: Templates = None,
    propose: Propose = 0,
    proposer: ProposerName = "",
    bootstrap: Bootstrap = False,
    nearest: NearestCounts = "4",
    embedding: Embedding = "local:minilm",
    models: Models = "",
    knowledge: KnowledgeName = "",
    rungs: Rungs = "search",
    helper: Helper = "",
    reranker: Reranker = "",
    optimiser: Optimiser = "random-search",
    programs: Programs = 8,
    reasoned: Reasoned = False,
    epochs: Epochs = None,
    prune: Prune = False,
    distil: Distil = False,
    replay: Replay = 0.0,
    by_score: ByScore = False,
    base: Base = "",
    weights: Weights = "lora",
    packing: Packing = False,
    yes: Yes = False,
    budget: Dollars = None,
    max_calls: MostCalls = None,
    again: Annotated[
        bool, typer.Option("--again", help="Try levers that have their rung already once more.")
    ] = False,
    json: Json = False,
) -> None:
    """Measure, find out why answers fail, try the lever that this points to, keep what is proven better, and again.

    A stopped climb goes on where it was. With --levers they are tried in that order, without a diagnosis.
    """
    names = [name for name in re.split(r"[,\s]+", levers) if name]
    run(
        names,
        task,
        start=start,
        dry_run=dry_run,
        options=options_in(locals()),
        yes=yes,
        budget=budget,
        max_calls=max_calls,
        again=again,
        json=json,
        target=target,
        manual=manual,
    )


def run(
    names: list[str],
    task: str,
    *,
    start: str | None,
    dry_run: bool,
    options: "LeverOptions",
    yes: bool,
    budget: float | None,
    max_calls: int | None,
    again: bool,
    json: bool,
    target: float | None = None,
    manual: bool = False,
) -> None:
    """Try the levers in their order; of none named the diagnosis chooses."""
    from ratchet.cli.show import bars, print_command, print_json, step_plain
    from ratchet.climbing import Climbing
    from ratchet.core.errors import UsageError
    from ratchet.levers import CLIMBED, RUNGS
    from ratchet.store import find_workspace
    from ratchet.workbench import Workbench

    bench = Workbench.open(task)
    planned = not names
    if not planned and (target is not None or manual):
        raise UsageError("--target and --manual are for a climb by diagnosis; leave --levers out")
    names = names or list(CLIMBED)
    if planned and options.rungs == ("search",):
        options = replace(options, rungs=RUNGS)
    climbing = Climbing(bench)
    levers = climbing.levers(names, options)
    if dry_run:
        show_estimates(bench, levers, json=json)
        return
    first = bench.candidate(start) if start else None
    if "tune" in names and not yes:
        confirm(bench, levers)
    spending = budget_of(budget, max_calls)
    with find_workspace(Path()).held(), bars(spending) as bench.watching:
        if planned:
            steps = climbing.journey(
                levers,
                start=first,
                target=None if target is None else target / 100,
                ask=asked if manual else None,
                budget=spending,
            )
        else:
            steps = bench.climb(levers, start=first, budget=spending, again=again)
    if json:
        print_json([step_plain(step) for step in steps])
        return
    show_ladder(steps)
    print_command("ladder", task, "--report", "report.html")


def asked(best: "Option", prospects: "Prospects") -> bool:
    """Ask whether a lever may be tried."""
    others = ", ".join(one.lever.name for one in prospects.options if one is not best) or "none"
    gain = 100 * best.promise.gain
    return typer.confirm(
        f"try {best.lever.name}? expected {gain:+.1f} points ({best.promise.why}) for about {best.calls:,.0f} answers; after it: {others}",
        default=True,
        err=True,
    )


def reported(bench: "Workbench", suffix: str) -> str:
    """Return the ladder's report in the form that a file's name asks for."""
    import json

    from ratchet.climbing import Climbing
    from ratchet.core.errors import UsageError
    from ratchet.ladder import html_report, json_report, markdown_report

    story = Climbing(bench).story()
    if suffix in (".md", ".markdown"):
        return markdown_report(story)
    if suffix == ".json":
        return json.dumps(json_report(story), indent=1, ensure_ascii=False) + "\n"
    if suffix in (".html", ".htm"):
        return html_report(story)
    raise UsageError(f"a report is .html, .md or .json; got {suffix or 'no ending'!r}")


def show_ladder(steps: "list[Step]") -> None:
    from rich.text import Text

    from ratchet.cli.show import ladder_table, out

    out.print(ladder_table(steps))
    champion = next(step for step in reversed(steps) if step.kept)
    name = (champion.candidate_id, "bold")
    out.print(Text.assemble("champion ", name, f" ({champion.lever}): {champion.what}"))


def show_edits(found: "dict[int, list[Edit]]") -> None:
    """Print what each challenger changed: what went out struck through, what came in underlined."""
    from rich.text import Text

    from ratchet.cli.show import out

    styles = {"same": "", "out": "red strike", "in": "green underline"}
    plain = {
        "same": "{}",
        "out": "[-{}-]",
        "in": "{{+{}+}}",
    }  # as git's word diff, where nothing is coloured
    for number, parts in found.items():
        for part in parts:
            out.rule(f"rung {number}: {part.part}", align="left")
            said = (
                (piece if out.is_terminal else plain[kind].format(piece), styles[kind])
                for kind, piece in part.pieces
            )
            out.print(Text.assemble(*said))


def show_losers(steps: "list[Step]") -> None:
    """Print who ran in races and did not win."""
    from rich.text import Text

    from ratchet.cli.show import out
    from ratchet.cli.terminal import Table

    for step in steps:
        if step.losers:
            table = Table("also tried", "score, estimated", "examples", title=f"rung {step.number}")
            for one in step.losers:
                name = Text(f"{one.what} ({one.candidate_id})")
                table.add_row(name, f"{100 * one.estimate:.1f}", str(one.answered))
            out.print(table)


def ladder(
    task: str,
    report: Annotated[
        Path | None,
        typer.Option(help="Write a report: one page (.html), Markdown (.md) or JSON (.json)."),
    ] = None,
    clear: Annotated[
        bool, typer.Option("--clear", help="Forget the ladder; trials and adapters stay.")
    ] = False,
    edits: Annotated[
        bool,
        typer.Option(
            "--edits",
            help="Show word by word what each challenger changed, and who else was tried.",
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Show the rungs: lever, score, gain, verdict, kept or dropped, and what each took."""
    from ratchet.cli.show import out, print_json, step_plain, warn
    from ratchet.core.errors import UsageError
    from ratchet.ladder import edits_of
    from ratchet.store import clear_steps, find_workspace, write_text
    from ratchet.workbench import Workbench

    bench = Workbench.open(task)
    steps = bench.steps()
    if clear:
        with find_workspace(Path()).held():
            clear_steps(bench.engine, task)
        out.print(f"forgot {len(steps)} rungs of {task}; trials and adapters are kept")
        return
    if not steps:
        raise UsageError(f"task {task!r} has no ladder yet; make one with: ratchet climb {task}")
    if report:
        write_text(report, reported(bench, report.suffix.lower()))
    if json:
        print_json([step_plain(step) for step in steps])
        return
    show_ladder(steps)
    if edits:
        show_edits(edits_of(bench.engine, steps))
        show_losers(steps)
    warn(bench.warnings())
    if report:
        out.print(f"report: {report.resolve()}")


def final(
    task: str,
    budget: Dollars = None,
    max_calls: MostCalls = None,
    json: Json = False,
) -> None:
    """Open the sealed test split for the champion: once, recorded, and corrected for the number of openings."""
    from ratchet.cli.show import bars, openings_table, out, print_json
    from ratchet.store import find_workspace
    from ratchet.workbench import Workbench

    bench = Workbench.open(task)
    with find_workspace(Path()).held(), bars() as bench.watching:
        opening = bench.final(budget=budget_of(budget, max_calls))
    openings = bench.openings()
    if json:
        print_json(
            {
                **opening.model_dump(mode="json"),
                "sentence": opening.sentence,
                "openings": [o.model_dump(mode="json") for o in openings],
            }
        )
        return
    out.print(f"[bold]{opening.sentence}[/]")
    out.print(openings_table(openings))


def forget(
    task: str,
    candidate: Annotated[
        str | None,
        typer.Option(
            help="A fine-tune: a file, its stem, a label, an id, or 'champion' (the default)."
        ),
    ] = None,
    probes: Annotated[
        Path | None,
        typer.Option(help="Your own probes: a .jsonl file of chats with an ability each."),
    ] = None,
    json: Json = False,
) -> None:
    """What did a fine-tune forget? Questions that the task never asks, put to the base and to the fine-tune."""
    from ratchet.cli.show import out, print_json
    from ratchet.cli.terminal import Table
    from ratchet.measure import load_probes
    from ratchet.workbench import Workbench

    bench = Workbench.open(task)
    found = bench.forgetting(bench.candidate(candidate), load_probes(probes) if probes else None)
    if json:
        print_json({**found.model_dump(mode="json"), "sentence": found.sentence})
        return
    table = Table("ability", "probes", "base", "fine-tune")
    for name, (count, before, after) in found.abilities.items():
        table.add_row(name, str(count), f"{100 * before:.0f}", f"{100 * after:.0f}")
    out.print(table)
    out.print(f"[bold]{found.sentence}[/]")
