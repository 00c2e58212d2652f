"""Commands about the ladder: `try` a lever, `climb` with several, show the `ladder`, open the test split at the end: `final`."""

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ratchet.cli.measuring import Dollars, Json, MostCalls, budget_of

if TYPE_CHECKING:
    from ratchet.core import Step
    from ratchet.ladder import Edit
    from ratchet.levers import Lever
    from ratchet.models import ModelPool
    from ratchet.workbench import Workbench

__all__ = ["add_to"]

Epochs = Annotated[
    float | None, typer.Option(min=0, help="Passes over the train split, for the lever tune.")
]
Prune = Annotated[
    bool,
    typer.Option(
        "--prune", help="tune: also train without the instructions, a tag in their place."
    ),
]
Distil = Annotated[
    bool,
    typer.Option("--distil", help="tune: learn the teacher's answers that the metric accepts."),
]
Replay = Annotated[
    float,
    typer.Option(min=0, help="tune: mix in the base's own practice, as a share of the examples."),
]
ByScore = Annotated[
    bool,
    typer.Option(
        "--by-score", help="tune: keep the checkpoint with the best score, not the best loss."
    ),
]
Models = Annotated[
    str,
    typer.Option(help="model: which ones to try, with commas; left out, the task's teacher."),
]
Propose = Annotated[
    int, typer.Option(min=0, max=100, help="prompt: let a model propose so many prompts too.")
]
ProposerName = Annotated[
    str, typer.Option("--proposer", help="prompt: who proposes; left out, the task's teacher.")
]
Bootstrap = Annotated[
    bool,
    typer.Option(
        "--bootstrap",
        help="demos: show a model's own replies that the metric accepts, not the references.",
    ),
]
Weights = Annotated[
    Literal["lora", "qlora", "full"],
    typer.Option(help="tune: what is trained: lora, qlora (four bits, on a GPU) or full."),
]
Packing = Annotated[
    bool,
    typer.Option("--packing", help="tune: lay short examples end to end; faster, the same result."),
]
Yes = Annotated[
    bool, typer.Option("--yes", help="Do not ask before a fine-tune above the workspace's limits.")
]
LEVERS = ("prompt", "demos", "tune")


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("try")(try_)
    app.command()(climb)
    app.command()(ladder)
    app.command()(final)
    app.command()(forget)


@dataclass(frozen=True, kw_only=True)
class TuneOptions:
    """What the lever tune is told."""

    epochs: float | None = None
    prune: bool = False
    distil: bool = False
    replay: float = 0.0
    by_score: bool = False
    weights: Literal["lora", "qlora", "full"] = "lora"
    packing: bool = False
    yes: bool = False


@dataclass(frozen=True, kw_only=True)
class LeverOptions:
    """What the levers prompt and model are told."""

    models: str = ""
    propose: int = 0
    proposer: str = ""
    bootstrap: bool = False


def make_levers(
    bench: "Workbench", names: list[str], tune: TuneOptions, options: LeverOptions
) -> "list[Lever]":
    from ratchet.core.errors import UsageError, did_you_mean
    from ratchet.levers import (
        DecodingLever,
        DemosLever,
        ModelLever,
        PromptLever,
        Proposer,
        TuneLever,
    )
    from ratchet.store import TuneSettings
    from ratchet.tuning import Launch, TuningSettings

    limits = bench.workspace.settings.tune if bench.workspace else TuneSettings()
    settings = TuningSettings(
        best="score" if tune.by_score else "loss",
        weights=tune.weights,
        packing=tune.packing,
        **({"epochs": tune.epochs} if tune.epochs else {}),
    )
    known: dict[str, Lever] = {
        "prompt": PromptLever(
            bench.variants(),
            proposer=Proposer(options.proposer or None, count=options.propose)
            if options.propose
            else None,
        ),
        "demos": DemosLever(bootstrap=options.bootstrap),
        "decoding": DecodingLever(),
        "model": ModelLever([name.strip() for name in options.models.split(",") if name.strip()]),
        "tune": TuneLever(
            settings,
            prune=tune.prune,
            distil=tune.distil,
            replay=tune.replay,
            launch=Launch(processes=limits.processes, ray=limits.ray),
        ),
    }
    for name in names:
        if name not in known:
            raise UsageError(
                f"unknown lever {name!r}; there are {', '.join(known)}.{did_you_mean(name, known)}"
            )
    return [known[name] for name in names]


def try_(
    lever: Annotated[
        str,
        typer.Argument(
            help="prompt (the candidates in tasks/<task>/), demos, decoding, model or tune."
        ),
    ],
    task: str,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what it would take, and end.")
    ] = False,
    epochs: Epochs = None,
    prune: Prune = False,
    distil: Distil = False,
    replay: Replay = 0.0,
    by_score: ByScore = False,
    models: Models = "",
    propose: Propose = 0,
    proposer: ProposerName = "",
    bootstrap: Bootstrap = False,
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
        options=LeverOptions(
            models=models, propose=propose, proposer=proposer, bootstrap=bootstrap
        ),
        tune=TuneOptions(
            epochs=epochs,
            prune=prune,
            distil=distil,
            replay=replay,
            by_score=by_score,
            weights=weights,
            packing=packing,
            yes=yes,
        ),
        budget=budget,
        max_calls=max_calls,
        again=True,
        json=json,
    )


def climb(
    task: str,
    levers: Annotated[str, typer.Option(help="Levers in order, with commas.")] = ",".join(LEVERS),
    start: Annotated[
        str | None,
        typer.Option(
            help="The first candidate: a YAML file or an id; by default the task's instructions."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what each lever would take, and end.")
    ] = False,
    epochs: Epochs = None,
    prune: Prune = False,
    distil: Distil = False,
    replay: Replay = 0.0,
    by_score: ByScore = False,
    models: Models = "",
    propose: Propose = 0,
    proposer: ProposerName = "",
    bootstrap: Bootstrap = False,
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
    """Measure the start, try each lever in turn, and keep what is proven better. A stopped climb goes on where it was."""
    names = [name for name in re.split(r"[,\s]+", levers) if name]
    run(
        names,
        task,
        start=start,
        dry_run=dry_run,
        options=LeverOptions(
            models=models, propose=propose, proposer=proposer, bootstrap=bootstrap
        ),
        tune=TuneOptions(
            epochs=epochs,
            prune=prune,
            distil=distil,
            replay=replay,
            by_score=by_score,
            weights=weights,
            packing=packing,
            yes=yes,
        ),
        budget=budget,
        max_calls=max_calls,
        again=again,
        json=json,
    )


def run(
    names: list[str],
    task: str,
    *,
    start: str | None,
    dry_run: bool,
    options: LeverOptions,
    tune: TuneOptions,
    budget: float | None,
    max_calls: int | None,
    again: bool,
    json: bool,
) -> None:
    from ratchet.cli.show import bars, out, print_json, step_plain
    from ratchet.store import find_workspace
    from ratchet.workbench import Workbench

    bench = Workbench.open(task)
    levers = make_levers(bench, names, tune, options)
    if dry_run:
        show_estimates(bench, levers, json=json)
        return
    first = bench.candidate(start) if start else None
    if "tune" in names and not tune.yes:
        confirm(bench, levers)
    with find_workspace(Path()).held(), bars() as bench.watching:
        steps = bench.climb(levers, start=first, budget=budget_of(budget, max_calls), again=again)
    if json:
        print_json([step_plain(step) for step in steps])
        return
    show_ladder(steps)
    out.print(f"next: ratchet ladder {task} --report report.html")


def confirm(bench: "Workbench", levers: "list[Lever]") -> None:
    """Ask before a fine-tune that would cost or last more than the workspace allows unasked."""
    from ratchet.core.errors import UsageError

    limits = bench.workspace.settings.tune if bench.workspace else None
    if limits is None or (limits.ask_above_usd is None and limits.ask_above_minutes is None):
        return
    for row in estimates(bench, [lever for lever in levers if lever.name == "tune"]):
        usd, minutes = row["cost_usd"] or 0.0, (row["seconds"] or 0.0) / 60
        over_usd = limits.ask_above_usd is not None and usd > limits.ask_above_usd
        over_time = limits.ask_above_minutes is not None and minutes > limits.ask_above_minutes
        if over_usd or over_time:
            question = f"the fine-tune would cost about ${usd:.2f} and take {minutes:.0f} minutes ({row['note']}); go on?"
            if not sys.stdin.isatty():
                raise UsageError(
                    f"{question} Say --yes, or raise the limits under [tune] in ratchet.toml"
                )
            typer.confirm(question, abort=True)


def estimates(bench: "Workbench", levers: "list[Lever]") -> list[dict[str, Any]]:
    """Return what each lever would take."""
    from ratchet.core.running import run_sync

    async def work() -> list[dict[str, Any]]:
        async with bench.pool() as pool:
            evidence = bench.evidence(pool)
            return [
                {
                    "lever": lever.name,
                    **(await lever.estimate(bench.champion(), evidence)).model_dump(),
                }
                for lever in levers
            ]

    return run_sync(work())


def show_estimates(bench: "Workbench", levers: "list[Lever]", *, json: bool) -> None:
    from rich.table import Table

    from ratchet.cli.show import out, print_json
    from ratchet.ladder import cost_text

    found = estimates(bench, levers)
    dev = len(bench.split("dev"))
    if json:
        print_json({"levers": found, "dev_calls_a_candidate": dev})
        return
    table = Table("lever", "candidates", "calls to find them", "seconds", "cost", "")
    for row in found:
        seconds, cost = row["seconds"], row["cost_usd"]
        table.add_row(
            str(row["lever"]),
            str(row["candidates"]),
            str(row["calls"]),
            "" if seconds is None else f"≈{seconds:.0f}",
            "" if cost is None else cost_text(float(str(cost))),
            str(row["note"]),
        )
    out.print(table)
    out.print(f"and {dev} calls on dev for each candidate")


def show_ladder(steps: "list[Step]") -> None:
    from ratchet.cli.show import ladder_table, out

    out.print(ladder_table(steps))
    champion = next(step for step in reversed(steps) if step.kept)
    out.print(f"champion [bold]{champion.candidate_id}[/] ({champion.lever}): {champion.what}")


def show_edits(found: "dict[int, list[Edit]]") -> None:
    """Print what each challenger changed: what went out struck through, what came in underlined."""
    from rich.text import Text

    from ratchet.cli.show import out

    styles = {"same": "", "out": "red strike", "in": "green underline"}
    for number, parts in found.items():
        for part in parts:
            out.rule(f"rung {number}: {part.part}", align="left")
            out.print(Text.assemble(*((piece, styles[kind]) for kind, piece in part.pieces)))


def ladder(
    task: str,
    report: Annotated[Path | None, typer.Option(help="Write the ladder as one HTML page.")] = None,
    clear: Annotated[
        bool, typer.Option("--clear", help="Forget the ladder; trials and adapters stay.")
    ] = False,
    edits: Annotated[
        bool, typer.Option("--edits", help="Show word by word what each challenger changed.")
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
        write_text(report, bench.report())
    if json:
        print_json([step_plain(step) for step in steps])
        return
    show_ladder(steps)
    if edits:
        show_edits(edits_of(bench.engine, steps))
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
        typer.Option(help="A fine-tune: a YAML file, an id, or 'champion' (the default)."),
    ] = None,
    probes: Annotated[
        Path | None,
        typer.Option(help="Your own probes: a .jsonl file of chats with an ability each."),
    ] = None,
    json: Json = False,
) -> None:
    """What did a fine-tune forget? Questions that the task never asks, put to the base and to the fine-tune."""
    from rich.table import Table

    from ratchet.cli.show import out, print_json
    from ratchet.core.errors import UsageError
    from ratchet.levers import untuned
    from ratchet.measure import Forgetting, forgetting, load_probes, probes_for, texts_for
    from ratchet.store import find_workspace
    from ratchet.workbench import Workbench

    bench = Workbench.open(task)
    tuned = bench.candidate(candidate)
    root = find_workspace(Path()).root
    base = untuned(tuned, root)
    if base is None:
        raise UsageError(
            f"{tuned.id} is no fine-tune: it has no adapter, and its weights were not trained here; name one with --candidate"
        )
    asked = load_probes(probes) if probes else probes_for(base.model, root)
    texts = texts_for(base.model, root, asked)

    async def work(pool: "ModelPool") -> Forgetting:
        return await forgetting(pool, base, tuned, asked, texts=texts)

    found = bench.with_pool(work)
    if json:
        print_json({**found.model_dump(mode="json"), "sentence": found.sentence})
        return
    table = Table("ability", "probes", "base", "fine-tune")
    for name, (count, before, after) in found.abilities.items():
        table.add_row(name, str(count), f"{100 * before:.0f}", f"{100 * after:.0f}")
    out.print(table)
    out.print(f"[bold]{found.sentence}[/]")
