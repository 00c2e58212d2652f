"""What levers are told on the command line, and what they would take."""

import sys
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from ratchet.levers import Lever, LeverOptions, RetrievalRung
    from ratchet.workbench import Workbench

__all__ = [
    "Base",
    "Bootstrap",
    "ByScore",
    "Distil",
    "Embedding",
    "Epochs",
    "KnowledgeName",
    "Models",
    "NearestCounts",
    "Optimiser",
    "Packing",
    "Programs",
    "Propose",
    "ProposerName",
    "Prune",
    "Reasoned",
    "Replay",
    "Templates",
    "Weights",
    "Yes",
    "confirm",
    "options_in",
    "show_estimates",
]

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
    typer.Option(
        "--distil",
        help="tune: learn the teacher's answers to the champion's prompt that have the full score, 1.",
    ),
]
Replay = Annotated[
    float,
    typer.Option(min=0, help="tune: mix in the base's own practice, as a share of the examples."),
]
Base = Annotated[
    str, typer.Option("--base", help="tune: the model that learns; left out, the champion's own.")
]
ByScore = Annotated[
    bool,
    typer.Option(
        "--by-score", help="tune: keep the checkpoint with the best score, not the best loss."
    ),
]
Templates = Annotated[
    list[str] | None,
    typer.Option(
        help="prompt: files or patterns ('prompts/*.yaml'), in place of those in tasks/<task>/; may be given several times."
    ),
]
NearestCounts = Annotated[
    str,
    typer.Option(
        "--nearest",
        help="demos: also show each input so many that are nearest to it; with commas, or 0 for none.",
    ),
]
Embedding = Annotated[
    str, typer.Option(help="demos, retrieval: the model that tells how near texts are.")
]
Models = Annotated[
    str,
    typer.Option(
        help="model: which ones to try, with commas; left out, the task's teacher and student."
    ),
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
KnowledgeName = Annotated[
    str,
    typer.Option(
        "--knowledge", help="retrieval: which knowledge base; left out, the only one there is."
    ),
]
Rungs = Annotated[
    str,
    typer.Option(
        help="retrieval: which rungs, with commas, each with a verdict of its own: search, chunks, query, rerank, shape, route, embedding; or all."
    ),
]
Helper = Annotated[
    str,
    typer.Option(help="retrieval: who is asked on the way; left out, the candidate's own model."),
]
Reranker = Annotated[str, typer.Option(help="retrieval: a cross-encoder, as local:<folder>.")]
Optimiser = Annotated[
    Literal["random-search", "mipro", "gepa"],
    typer.Option(help="dspy: which of DSPy's optimisers runs."),
]
Programs = Annotated[
    int, typer.Option(min=2, max=1000, help="dspy: how many programs or instructions it makes.")
]
Reasoned = Annotated[
    bool, typer.Option("--reasoned", help="dspy: reason before the answer (ChainOfThought).")
]
Weights = Annotated[
    Literal["lora", "qlora", "full"],
    typer.Option(help="tune: what is trained: lora, qlora (four bits, on a GPU) or full."),
]
Packing = Annotated[
    bool,
    typer.Option(
        "--packing", help="tune: lay short examples end to end: no padding, the same gradient."
    ),
]
Yes = Annotated[
    bool, typer.Option("--yes", help="Do not ask before a fine-tune above the workspace's limits.")
]


def options_in(given: Mapping[str, Any]) -> "LeverOptions":
    """Return what levers are told among a command's arguments, which the types above name.

    Raises: UsageError for a rung or a number that is none.
    """
    from ratchet.levers import LeverOptions

    said = {field.name: given[field.name] for field in fields(LeverOptions)}
    for name in ("proposer", "base", "knowledge", "helper", "reranker"):
        said[name] = said[name] or None
    said["templates"] = said["templates"] or ()
    said["models"] = listed(said["models"])
    said["nearest"] = counts(said["nearest"])
    said["rungs"] = rungs_in(said["rungs"])
    return LeverOptions(**said)


def rungs_in(text: str) -> "tuple[RetrievalRung, ...]":
    """Return rungs of the retrieval lever by name; `all` is all of them."""
    from ratchet.core.errors import UsageError
    from ratchet.levers import RUNGS

    names = listed(text)
    if names == ["all"]:
        return RUNGS
    if wrong := [name for name in names if name not in RUNGS]:
        raise UsageError(f"--rungs is some of {', '.join(RUNGS)}, or all; got {wrong[0]!r}")
    return tuple(rung for rung in RUNGS if rung in names)


def listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def counts(text: str) -> tuple[int, ...]:
    from ratchet.core.errors import UsageError

    if not all(part.isdecimal() for part in listed(text)):
        raise UsageError(f"--nearest is numbers with commas, as 2,4; got {text!r}")
    return tuple(int(part) for part in listed(text) if int(part))


def confirm(bench: "Workbench", levers: "list[Lever]") -> None:
    """Ask before a fine-tune that would cost or last more than the workspace allows unasked."""
    from ratchet.core.errors import UsageError

    limits = bench.settings.tune
    if limits.ask_above_usd is None and limits.ask_above_minutes is None:
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
            evidence = bench.ground(pool).evidence
            return [
                {
                    "lever": lever.name,
                    **(await lever.estimate(bench.champion(), evidence)).model_dump(),
                }
                for lever in levers
            ]

    return run_sync(work())


def show_estimates(bench: "Workbench", levers: "list[Lever]", *, json: bool) -> None:
    from ratchet.cli.show import out, print_json
    from ratchet.cli.terminal import Table
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
