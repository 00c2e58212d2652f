"""Commands about one candidate: `measure`, `show`, `trials`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    import polars as pl

    from ratchet.core import Budget, Candidate, Example
    from ratchet.models import ChatRequest, ModelPool, ShapedRequest
    from ratchet.workbench import Workbench

__all__ = ["Dollars", "Json", "MostCalls", "add_to", "budget_of", "only_task", "the_example"]

CandidateName = Annotated[
    str | None,
    typer.Option(
        "--candidate", help="A file, its stem, a label, an id, 'start' or 'champion' (the default)."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Dollars = Annotated[
    float | None, typer.Option("--budget", min=0, help="Stop cleanly after so many dollars.")
]
MostCalls = Annotated[
    int | None, typer.Option("--max-calls", min=0, help="Stop cleanly after so many calls.")
]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    for command in (measure, show, trials):
        app.command()(command)


def budget_of(dollars: float | None, calls: int | None = None) -> "Budget":
    """Return a budget; one of nothing is refused, because it could not buy a single answer."""
    from ratchet.core import Budget
    from ratchet.core.errors import BudgetError

    if dollars == 0 or calls == 0:
        raise BudgetError(
            "a budget of 0 buys no answer; leave it out for no limit, or use --dry-run to see what is needed"
        )
    return Budget(cost_usd=dollars, calls=calls)


def measure(
    task: str,
    candidate: CandidateName = None,
    model: Annotated[str | None, typer.Option(help="Another model for the candidate.")] = None,
    split: Annotated[
        Literal["train", "dev"], typer.Option(help="Which examples; test is sealed.")
    ] = "dev",
    repeats: Annotated[int, typer.Option(min=1, help="Answers an example.")] = 1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show calls, tokens and cost, and end.")
    ] = False,
    budget: Dollars = None,
    max_calls: MostCalls = None,
    json: Json = False,
) -> None:
    """Measure a candidate: score with interval, failures, tokens, cost, latency."""
    from ratchet.cli.show import bars, print_json, show_measurement, show_plan, warn
    from ratchet.store import find_workspace
    from ratchet.workbench import Workbench

    bench = Workbench.open(task)
    chosen = bench.candidate(candidate, model=model)
    bench.check_fits(chosen)
    if dry_run:
        found = bench.plan(chosen, split, repeats=repeats)
        print_json(vars(found)) if json else show_plan(found)
        return
    spending = budget_of(budget, max_calls)
    with find_workspace(Path()).held(), bars(spending) as bench.watching:
        measured = bench.measure(chosen, split, repeats=repeats, budget=spending)
    print_json(measured.plain()) if json else show_measurement(measured)
    warn(bench.warnings([chosen]))


def show(
    candidate: Annotated[
        str, typer.Argument(help="A file, its stem, a label, an id, 'start' or 'champion'.")
    ],
    task: Annotated[
        str | None, typer.Option(help="The task; needed where the workspace has several.")
    ] = None,
    example: Annotated[
        str | None,
        typer.Option(help="An example's id, or the id in your file; by default the first of dev."),
    ] = None,
    json: Json = False,
) -> None:
    """Print a candidate, and the exact messages that it sends for an example."""
    import yaml
    from rich.text import Text

    from ratchet.cli.show import out, print_json
    from ratchet.store import find_workspace
    from ratchet.workbench import Workbench

    bench = Workbench.open(only_task(find_workspace(Path()).task_names(), task))
    chosen = bench.candidate(candidate)
    request = bench.request(chosen, the_example(bench, example))
    shaped = bench.shaped(chosen, request)
    if json:
        print_json(
            {
                "id": chosen.id,
                "candidate": chosen.plain(),
                "messages": request.messages,
                "tools": request.tools,
                "tool_choice": request.tool_choice,
                "json_schema": request.json_schema,
                "choices": request.choices,
                "decide": request.decide,
                "prior": request.prior,
                "protocol": shaped.protocol if shaped else None,
                "parameters": parameters_of(shaped.request if shaped else request),
                "sent": shaped.sent if shaped else {},
                "text": sent_text(bench, chosen, request),
            }
        )
        return
    out.print(
        f"[bold]{chosen.id}[/]  {chosen.model}"
        + (f"  adapter {chosen.adapter}" if chosen.adapter else "")
        + f"  {chosen.note}"
    )
    for line in decoding_lines(chosen, request, shaped):
        out.print(Text(line))
    if chosen.answer != "{{answer}}":
        out.print(Text(f"a reply is read as: {chosen.answer}"))
    if chosen.nearest:
        out.print(
            f"of {len(chosen.demonstrations)} demonstrations the {chosen.nearest.count} nearest to the input are shown"
        )
    if chosen.retrieval:
        out.print(
            f"passages: {chosen.retrieval.k} of {chosen.retrieval.knowledge}, {chosen.retrieval.mode}"
        )
        asked = chosen.retrieval.plain()
        if chosen.retrieval.calls[1]:  # what is asked on the way is no secret
            out.print(Text(yaml.safe_dump(asked, allow_unicode=True, sort_keys=False)))
    if chosen.guard:
        out.print(Text(f"guard: {yaml.safe_dump(chosen.guard.model_dump(), sort_keys=False)}"))
    decoding = chosen.decoding
    if decoding.samples > 1:
        out.print(f"{decoding.samples} samples, the one that most agree on is taken")
    if decoding.repairs:
        out.print(
            Text(
                f"an answer that fails is handed back, at most {decoding.repairs} times: {decoding.repair}"
            )
        )
    for message in request.messages:
        out.rule(message["role"], align="left")
        out.print(
            Text(
                str(message.get("content") or "")
                + "".join(
                    f"{c['function']['name']}({c['function']['arguments']})"
                    for c in message.get("tool_calls", ())
                )
            )
        )
    if request.tools:
        out.rule("tools", align="left")
        print_json(request.tools)
        if text := sent_text(bench, chosen, request):
            out.rule("as text, by the model's chat template", align="left")
            out.print(Text(text))


def sent_text(bench: "Workbench", candidate: "Candidate", request: "ChatRequest") -> str | None:
    """Return the text in which a local model gets a request with tools; None for other models and requests."""
    from ratchet.core.errors import UnknownModelError

    async def write(pool: "ModelPool") -> str | None:
        model = pool.model(candidate.model)
        return model.prompt_text(request) if hasattr(model, "prompt_text") else None

    try:
        return bench.with_pool(write) if request.tools else None
    except UnknownModelError:  # it can be read, and not be asked, without the model
        return None


def parameters_of(request: "ChatRequest") -> "dict[str, Any]":
    """Return the parameters that a request names; what is unset is not there, and not sent."""
    names = ("temperature", "top_p", "max_tokens", "thinking_tokens", "seed", "effort")
    return {name: value for name in names if (value := getattr(request, name)) is not None}


def decoding_lines(
    candidate: "Candidate", request: "ChatRequest", shaped: "ShapedRequest | None"
) -> "list[str]":
    """Return what is said of how an answer is drawn: the parameters that go out, and what is otherwise than was asked."""
    parameters = parameters_of(shaped.request if shaped else request)
    named = ", ".join(
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in parameters.items()
    )
    is_free = bool(shaped and shaped.sent.get("json"))
    forced = (
        "forced into the schema"
        if (request.tool_choice or request.json_schema) and not is_free
        else "the likeliest of the labels, by one pass; how likely the prompt makes them without its input is taken out"
        if request.decide and request.prior is not None
        else "the likeliest of the labels, by one pass"
        if request.decide
        else "forced to be a label"
        if request.choices and candidate.is_local
        else "forced to be a number"
        if request.pattern and candidate.is_local
        else ""
    )
    unset = "nothing is named, the model decides" if shaped else "the likeliest token each time"
    lines = ["; ".join(filter(None, (named or unset, forced)))]
    if shaped and shaped.sent.get("protocol"):
        lines.append(
            f"asked by the protocol {shaped.protocol}, as the model takes tools there alone"
        )
    if shaped and shaped.sent.get("left_out"):
        lines.append(
            f"left out, as the model does not take it: {', '.join(shaped.sent['left_out'])}"
        )
    if shaped and "max_tokens" in shaped.sent and request.max_tokens:
        lines.append(f"max_tokens holds the thinking too: {request.max_tokens} for the answer")
    elif shaped and "max_tokens" in shaped.sent:
        lines.append(f"max_tokens {shaped.sent['max_tokens']}, as the protocol demands one")
    if shaped and shaped.sent.get("json"):
        lines.append(f"JSON is {shaped.sent['json']}: the model takes no schema")
    return lines


def the_example(bench: "Workbench", name: str | None) -> "Example":
    from ratchet.core.errors import UsageError

    if name is None:
        return bench.split("dev")[0]
    found = [example for example in bench.examples if name in (example.id, example.name)]
    if not found:
        raise UsageError(
            f"task {bench.task.name!r} has no example {name!r}; `ratchet trials {bench.task.name} --json` lists ids"
        )
    return found[0]


def only_task(names: list[str], asked: str | None) -> str:
    from ratchet.core.errors import UsageError

    if asked:
        return asked
    if len(names) != 1:
        raise UsageError(f"name the task with --task; there are: {', '.join(names) or 'none yet'}")
    return names[0]


def trials(
    task: str,
    candidate: CandidateName = None,
    export: Annotated[
        Path | None, typer.Option(help="Write all of them to a .parquet, .csv or .jsonl file.")
    ] = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="Only those with a score below 1.")
    ] = False,
    limit: Annotated[int, typer.Option(help="How many to print.")] = 20,
    json: Json = False,
) -> None:
    """List the stored trials of a candidate, or write them to a file."""
    import polars as pl
    from rich.box import SIMPLE_HEAD
    from rich.text import Text

    from ratchet.cli.show import out, print_json, short, shown
    from ratchet.cli.terminal import Table
    from ratchet.workbench import Workbench

    bench = Workbench.open(task)
    frame = bench.trials_frame(bench.candidate(candidate))
    if failed:
        frame = frame.filter(pl.col("score") < 1)
    if export:
        write_frame(frame, export)
        out.print(f"{export}: {frame.height} trials")
    elif json:
        print_json(frame.to_dicts())
    else:
        names = ("score", "example", "reference", "output")
        table = Table(*names, box=SIMPLE_HEAD, pad_edge=False, lead=0)
        for row in frame.head(limit).to_dicts():
            inputs = " ".join(
                str(value) for name, value in row.items() if name.startswith("input_")
            )
            cells = (
                shown(inputs, None),
                short(row["reference"], 120),
                shown(row["output"], row["failure"]),
            )
            score = "n/a" if row["score"] is None else f"{row['score']:.2f}"
            table.add_row(score, *(Text(cell) for cell in cells))
        out.print(table)
        out.print(
            f"{min(limit, frame.height)} of {frame.height} trials; --export trials.parquet writes all of them"
        )


def write_frame(frame: "pl.DataFrame", path: Path) -> None:
    import io

    from ratchet.core.errors import UsageError
    from ratchet.store import write_bytes

    writers: dict[str, Any] = {
        ".parquet": frame.write_parquet,
        ".csv": frame.write_csv,
        ".jsonl": frame.write_ndjson,
    }
    if path.suffix not in writers:
        raise UsageError(f"{path}: trials are written as .parquet, .csv or .jsonl")
    buffer = io.BytesIO()
    writers[path.suffix](buffer)
    write_bytes(path, buffer.getvalue())
