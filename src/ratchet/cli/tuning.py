"""Commands about fine-tuning data and jobs: `tune data`, `tune check`, `tune audit`, `tune jobs`."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ratchet.cli.measuring import Json

if TYPE_CHECKING:
    from collections.abc import Callable

    from ratchet.models import ModelPool
    from ratchet.tuning import Row
    from ratchet.tuning.format import Method

__all__ = ["add_to"]

Kind = Annotated[str, typer.Option(help="supervised or dpo.")]
Base = Annotated[str | None, typer.Option(help="Count tokens with this local model's tokenizer.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    tune = typer.Typer(no_args_is_help=True, help="Training files and fine-tuning jobs.")
    for name, command in (
        ("data", data), ("check", check), ("audit", audit), ("curve", curve), ("jobs", jobs), ("events", events), ("cancel", cancel),
    ):  # fmt: skip
        tune.command(name)(command)
    app.add_typer(tune, name="tune")


def data(
    task: str,
    out: Annotated[Path, typer.Option(help="The .jsonl file to write.")],
    candidate: Annotated[
        str | None,
        typer.Option(
            help="Whose prompts: a file, its stem, a label, an id, 'start' or 'champion'."
        ),
    ] = None,
    prune: Annotated[
        bool,
        typer.Option("--prune", help="Leave the instructions out, a short tag in their place."),
    ] = False,
    preferences: Annotated[
        bool,
        typer.Option(
            "--preferences",
            help="Pairs: the reference, and the candidate's own answer where it scored lower.",
        ),
    ] = False,
) -> None:
    """Write the train split as OpenAI chat JSONL: what the candidate sends, and the reference as the answer."""
    from ratchet.answer import Prompt
    from ratchet.cli.show import out as show
    from ratchet.core.errors import UsageError
    from ratchet.ladder import preferences_of_trials
    from ratchet.store import load_trials
    from ratchet.tuning import conversations_of, write_rows
    from ratchet.workbench import Workbench

    bench = Workbench.open(task)
    chosen = bench.candidate(candidate)
    plain = chosen.changed(demonstrations=(), nearest=None, adapter=None)
    if prune:
        plain = plain.changed(system=f"[{task}]")
    every = bench.split("train")
    train = [example for example in every if bench.task.is_labelled(example)]
    if not train:
        raise UsageError(
            f"none of the {len(every)} train examples of task {task!r} has a reference to learn; import answers for them"
        )
    rows: list[Row] = [*conversations_of(Prompt(bench.task, plain), train)]
    if preferences:
        scored = load_trials(
            bench.engine,
            [chosen.id],
            metric_id=bench.bench().metric.id,
            task_id=bench.task.asking_id,
        )
        rows = [*preferences_of_trials(Prompt(bench.task, plain), train, scored)]
        if not rows:
            raise UsageError(
                f"no answer of {chosen.id} to a train example is stored that scored below 1; measure it first: ratchet measure {task} --split train"
            )
    write_rows(out, rows)
    show.print(f"{out}: {len(rows)} {'pairs' if preferences else 'conversations'}")
    if len(every) > len(train):
        show.print(f"{len(every) - len(train)} train examples have no reference, and are left out")


def counter(base: str | None) -> "Callable[[Row], int] | None":
    if base is None:
        return None
    from transformers import AutoTokenizer

    from ratchet.models import local_folder
    from ratchet.tuning import Preference, conversation_rows

    tokenizer = AutoTokenizer.from_pretrained(local_folder(base, Path()), local_files_only=True)

    def count(row: "Row") -> int:
        chats = (
            [row.ending(a) for a in (row.preferred, row.rejected)]
            if isinstance(row, Preference)
            else [row]
        )
        return max(row["length"] for chat in chats for row in conversation_rows(chat, tokenizer))

    return count


def check(
    file: Path,
    method: Kind = "supervised",
    validation: Annotated[
        Path | None, typer.Option(help="The validation file: no row may stand in both.")
    ] = None,
    base: Base = None,
    longest: Annotated[int, typer.Option(min=1, help="Name rows of more tokens.")] = 1024,
    json: Json = False,
) -> None:
    """Check a training file: faults with line and field, tokens, duplicates, rows of the validation file."""
    from ratchet.cli.show import out, print_json
    from ratchet.core.errors import DataError, UsageError
    from ratchet.tuning import check_rows, read_file, read_rows

    if method not in ("supervised", "dpo"):
        raise UsageError(f"--method is supervised or dpo, not {method!r}")
    if not file.is_file():
        raise DataError(f"there is no file {file}")
    kind: Method = "dpo" if method == "dpo" else "supervised"
    held = read_file(validation, kind) if validation else []
    with file.open("rb") as opened:
        report = check_rows(
            read_rows(opened, kind), count=counter(base), longest=longest, validation=held
        )
    if json:
        print_json(report.model_dump(mode="json"))
    else:
        for fault in report.faults:
            out.print(f"[red]{fault}[/]", highlight=False)
        if report.num_faults > len(report.faults):
            out.print(f"and {report.num_faults - len(report.faults)} more faults")
        out.print(
            f"{file}: {report.rows} rows"
            + (
                f", {report.tokens:,} tokens, {report.shortest} to {report.longest} a row"
                if report.tokens is not None
                else ""
            )
        )
        for name, lines in (
            ("longer than allowed", report.too_long),
            ("duplicates", report.duplicates),
            ("in the validation file too", report.overlap),
        ):
            if lines:
                out.print(
                    f"{name}: {len(lines)} (lines {', '.join(map(str, lines[:5]))}{', …' if len(lines) > 5 else ''})"
                )
    if report.num_faults or report.overlap or not report.rows:
        raise typer.Exit(3)


def audit(
    task: str,
    file: Annotated[
        Path | None, typer.Option(help="A training file; by default the task's train split.")
    ] = None,
    json: Json = False,
) -> None:
    """Do the training answers look like what the task wants? Form, length, style, language, leakage, conflicts."""
    from ratchet.answer import Prompt
    from ratchet.cli.show import findings_table, out, print_json
    from ratchet.measure import audit as look
    from ratchet.measure import audit_sentence
    from ratchet.tuning import Conversation, conversations_of, read_file
    from ratchet.workbench import Workbench

    bench = Workbench.open(task)
    labelled = [e for e in bench.examples if bench.task.is_labelled(e)]
    references = [e for e in labelled if file or e.split != "train"]
    rows = (
        [row for row in read_file(file, "supervised") if isinstance(row, Conversation)]
        if file
        else conversations_of(
            Prompt(bench.task, bench.start()), [e for e in labelled if e.split == "train"]
        )
    )
    found = look(bench.task, rows, references)
    sentence = audit_sentence(found)
    if json:
        print_json(
            {"verdict": sentence, "findings": [one.model_dump(mode="json") for one in found]}
        )
    else:
        out.print(findings_table(found))
        out.print(f"[bold]{sentence}[/]")
    if any(one.level == "error" for one in found):
        raise typer.Exit(3)


def curve(
    task: str,
    sizes: Annotated[
        str, typer.Option(help="How many train examples each, with commas.")
    ] = "50,100,200",
    epochs: Annotated[float | None, typer.Option(min=0, help="Passes over the examples.")] = None,
    json: Json = False,
) -> None:
    """Start small: fine-tune on 50, 100, 200 … examples, and see what more of them would bring."""
    from ratchet.cli.show import bars, out, print_json
    from ratchet.cli.terminal import Table
    from ratchet.core.errors import UsageError
    from ratchet.ladder import data_curve
    from ratchet.measure import Curve
    from ratchet.store import find_workspace
    from ratchet.tuning import TuningSettings
    from ratchet.workbench import Workbench

    try:
        chosen = [int(size) for size in sizes.split(",")]
    except ValueError as error:
        raise UsageError(
            f"--sizes are whole numbers with commas, as 50,100,200; got {sizes!r}"
        ) from error
    if len(chosen) < 3 or chosen != sorted(set(chosen)) or chosen[0] < 2:
        raise UsageError(
            f"--sizes are three or more numbers that rise, as 50,100,200; got {sizes!r}"
        )
    bench = Workbench.open(task)
    settings = TuningSettings(epochs=epochs) if epochs else TuningSettings()

    async def work(pool: "ModelPool") -> Curve:
        return await data_curve(bench.ground(pool), chosen, settings)

    with find_workspace(Path()).held(), bars() as bench.watching:
        found = bench.with_pool(work)
    if json:
        print_json({**found.model_dump(mode="json"), "sentence": found.sentence})
        return
    table = Table("train examples", "score", "95 % interval", "")
    for points, what in ((found.points, "measured"), (found.ahead, "expected")):
        for point in points:
            low, high = 100 * point.interval.low, 100 * point.interval.high
            table.add_row(
                f"{point.examples:,}", f"{100 * point.score:.1f}", f"{low:.1f} to {high:.1f}", what
            )
    out.print(table)
    out.print(f"[bold]{found.sentence}[/]")


def jobs(json: Json = False) -> None:
    """List fine-tuning jobs: how each stands, on what, and the model that came out."""
    from rich.box import SIMPLE_HEAD
    from rich.text import Text

    from ratchet.cli.show import out, print_json
    from ratchet.cli.terminal import Table
    from ratchet.store import find_workspace
    from ratchet.store.jobs import list_jobs

    found = list_jobs(find_workspace(Path()).database)
    if json:
        print_json([vars(job) for job in found])
        return
    table = Table(
        "job",
        "when",
        "status",
        "base",
        "model, or what went wrong",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    for job in found:
        error = (job.outcome.get("error") or {}).get("message", "")
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(job.at))
        came = job.outcome.get("fine_tuned_model") or error
        table.add_row(*map(Text, (job.id, when, job.status, str(job.asked["model"]), str(came))))
    out.print(
        table if found else "no jobs: they come through the server, POST /v1/fine_tuning/jobs"
    )


def events(job: str, json: Json = False) -> None:
    """Show what happened in a job, oldest first."""
    from dataclasses import asdict

    from ratchet.cli.show import out, print_json
    from ratchet.core.errors import UsageError
    from ratchet.store import find_workspace
    from ratchet.store.jobs import find_job, job_events_of

    engine = find_workspace(Path()).database
    if find_job(engine, job) is None:
        raise UsageError(f"there is no job {job!r}; `ratchet tune jobs` lists them")
    found = job_events_of(engine, job)[::-1]
    if json:
        print_json([asdict(event) for event in found])
        return
    for event in found:
        out.print(
            f"{time.strftime('%H:%M:%S', time.localtime(event.at))}  {event.message}", markup=False
        )


def cancel(job: str) -> None:
    """End a job for good; what it has learnt so far is kept as checkpoints."""
    from ratchet.cli.show import out
    from ratchet.core.errors import UsageError
    from ratchet.store import find_workspace
    from ratchet.store.jobs import add_event, change_job, find_job

    engine = find_workspace(Path()).database
    found = find_job(engine, job)
    if found is None:
        raise UsageError(f"there is no job {job!r}; `ratchet tune jobs` lists them")
    if not change_job(engine, job, "cancelled"):
        raise UsageError(f"the job is {found.status}, and cannot be cancelled any more")
    add_event(engine, job, "The job was cancelled")
    out.print(f"{job}: cancelled")
