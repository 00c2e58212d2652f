"""Commands between Ratchet and other programs: `export` a candidate, `import-promptfoo` and
`import-evals` a test suite, `import-dspy` a program, `import-answers` what was answered elsewhere.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ratchet.cli.measuring import Json, only_task, the_example

if TYPE_CHECKING:
    from collections.abc import Callable

    from ratchet.core import Candidate
    from ratchet.data import Added
    from ratchet.exchange import Endpoint, Losses, Suite
    from ratchet.measure import AnswerImport, Measurement
    from ratchet.workbench import Workbench

__all__ = ["add_to"]

SHOWN = 40
PLACES = 5
ROWS_SHOWN = 20


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(export)
    app.command("import-promptfoo")(import_promptfoo)
    app.command("import-evals")(import_evals)
    app.command("import-dspy")(import_dspy)
    app.command("import-answers")(import_answers)


def export(
    candidate: Annotated[str, typer.Argument(help="A file, an id, 'start' or 'champion'.")],
    task: Annotated[
        str | None, typer.Option(help="The task; needed where the workspace has several.")
    ] = None,
    to: Annotated[
        Literal["files", "openai", "langchain", "text", "dspy", "promptfoo"],
        typer.Option(
            help="files: candidate.yaml, the messages for one example, and the adapter. openai, langchain, text: the prompt with its fields. dspy: a program. promptfoo: a configuration with the dev examples as tests."
        ),
    ] = "files",
    out: Annotated[
        Path | None, typer.Option(help="The folder; by default ./<candidate id>.")
    ] = None,
) -> None:
    """Write a candidate as plain files, or as another program takes it; nothing is hidden."""
    import json
    import shutil

    from ratchet.cli import show
    from ratchet.exchange import (
        Endpoint,
        Losses,
        dspy_program,
        promptfoo_files,
        unsaid,
        written_prompt,
    )
    from ratchet.store import candidate_text, find_workspace, write_text
    from ratchet.workbench import Workbench

    bench = Workbench.open(only_task(find_workspace(Path()).task_names(), task))
    chosen = bench.candidate(candidate)
    check_has_prompt(chosen, bench.task.name)
    folder, example = out or Path(chosen.id), the_example(bench, None)
    if to == "dspy":
        files = dspy_program(bench.task, chosen, example)
    elif to == "promptfoo":
        losses = Losses()
        found = find_workspace(Path()).settings.endpoints.get(chosen.model.partition("/")[0])
        endpoint = Endpoint(found.base_url, found.key_env) if found else None
        files = promptfoo_files(bench.task, chosen, bench.split("dev"), losses, endpoint=endpoint)
        show_losses(losses)
    elif to == "files":
        request = bench.request(chosen, example)
        sent = {
            "messages": request.messages,
            "tools": request.tools,
            "temperature": request.temperature,
            "max_tokens": request.max_tokens,
        }
        files = {
            "candidate.yaml": candidate_text(chosen),
            "messages.json": json.dumps(sent, indent=2, ensure_ascii=False),
        }
    else:
        files = dict([written_prompt(to, bench.task, chosen)])
    for name, text in files.items():
        write_text(folder / name, text)
    if to == "files" and chosen.adapter:
        shutil.copytree(
            bench.files / "adapters" / chosen.adapter, folder / "adapter", dirs_exist_ok=True
        )
    show.out.print(f"{folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}")
    if to != "files" and (missing := unsaid(bench.task, chosen, to)):
        show.out.print(
            f"what was measured has more, which this does not say: {'; '.join(missing)}",
            markup=False,
        )


def check_has_prompt(candidate: "Candidate", task: str) -> None:
    """Refuse to export answers that were collected elsewhere.

    Raises: UsageError.
    """
    from ratchet.core.errors import UsageError

    if candidate.is_brought:
        raise UsageError(
            f"{candidate.model!r} stands for answers that were collected elsewhere; there is no prompt to export. Their trials: ratchet trials {task} --candidate {candidate.model} --export FILE"
        )


def import_promptfoo(
    file: Annotated[Path, typer.Argument(help="A promptfooconfig.yaml.")],
    task: Annotated[str, typer.Option(help="The task's name.")],
    judge: Annotated[
        str | None,
        typer.Option(help="The model that reads rubrics; by default the one that the file names."),
    ] = None,
    json: Json = False,
) -> None:
    """Make a task of a promptfoo configuration: its tests become examples, its prompts candidates in tasks/<task>/."""
    from ratchet.exchange import read_suite

    store_suite(lambda: read_suite(file, task, judge=judge), task, source=str(file), json=json)


def import_evals(
    files: Annotated[
        list[Path],
        typer.Argument(help="JSON or JSONL of eval, run and output item objects of OpenAI's."),
    ],
    task: Annotated[str, typer.Option(help="The task's name.")],
    json: Json = False,
) -> None:
    """Make a task of an eval of OpenAI's: items of runs become examples, criteria the metric, prompts of runs candidates."""
    from ratchet.exchange import read_evals

    source = ", ".join(map(str, files))
    store_suite(lambda: read_evals(files, task), task, source=source, json=json)


def store_suite(read: "Callable[[], Suite]", task: str, *, source: str, json: bool) -> None:
    """Store a suite of another program as a task with examples, candidates and functions, and say what is lost.

    Raises: UsageError if there is such a task, or one of its files.
    """
    from ratchet.core.errors import UsageError
    from ratchet.data import add_examples
    from ratchet.store import find_workspace, write_text

    workspace = find_workspace(Path())
    path = workspace.task_path(task)
    if path.exists():
        raise UsageError(
            f"there is a task {task!r} already ({path}); choose another name with --task"
        )
    suite = read()
    for name in suite.files:
        if (workspace.root / name).exists():
            raise UsageError(f"{name} is there already; remove it, or choose another --task")
    with workspace.held():
        added = add_examples(
            workspace.database, suite.task, lambda: suite.examples, source=source, afresh=True
        )
        for name, text in suite.files.items():
            write_text(workspace.root / name, text)
        workspace.save_task(suite.task)
        written = [
            write_candidate(path.with_suffix(""), f"{number:02d}-{candidate.note}", candidate)
            for number, candidate in enumerate(suite.candidates, start=1)
        ]
    known = workspace.settings.endpoints
    missing = {name: one for name, one in suite.endpoints.items() if name not in known}
    report_suite(suite, path, written, added, missing, json=json)


def report_suite(
    suite: "Suite",
    path: Path,
    written: list[Path],
    added: "Added",
    missing: "dict[str, Endpoint]",
    *,
    json: bool,
) -> None:
    """Print what came in, and what did not."""
    from ratchet.cli import show

    task = suite.task
    if json:
        show.print_json(
            {
                "task": task.name,
                "file": str(path),
                "rows": added.dataset.rows,
                "splits": added.splits,
                "metric": task.metric.name,
                "candidates": [str(one) for one in written],
                "functions": sorted(suite.files),
                "models": suite.models,
                "endpoints": {
                    name: {"base_url": one.base_url, "key_env": one.key_env}
                    for name, one in missing.items()
                },
                "needs_judge": suite.needs_judge,
                "left_out": dict(suite.left_out),
                "losses": [{"where": x.where, "what": x.what} for x in suite.losses.items],
            }
        )
        return
    show.out.print(
        f"inputs {', '.join(task.input_names)}; metric {task.metric.name}; models {', '.join(suite.models)}"
    )
    for one in written:
        show.out.print(f"  {one}")
    show_losses(suite.losses)
    show_needs(suite, missing)
    show.out.print(
        f"dataset version {added.dataset.version}: {added.dataset.rows} examples; "
        + ", ".join(f"{n} {split}" for split, n in added.splits.items())
    )
    show.out.print(f"written: {path}", markup=False, soft_wrap=True)
    show.print_command("try", "prompt", task.name)


def show_losses(losses: "Losses") -> None:
    """Print what has no equal here: how often, and where."""
    from rich.text import Text

    from ratchet.cli.show import out

    if not losses.items:
        return
    counted = losses.count().most_common()
    out.print("[yellow]left out[/], as it has no equal here:")
    for what, count in counted[:SHOWN]:
        places = losses.places(what)
        more = f" and {len(places) - PLACES} more" if len(places) > PLACES else ""
        named = f" ({', '.join(places[:PLACES])}{more})" if places else ""
        out.print(Text(f"  {count} × {what}{named}"))
    if len(counted) > SHOWN:
        out.print(f"  and {len(counted) - SHOWN} other things; --json names them all")


def show_needs(suite: "Suite", missing: "dict[str, Endpoint]") -> None:
    """Print what is still to be done by hand: endpoints, and a judge."""
    from rich.text import Text

    from ratchet.cli.show import out

    if missing:
        out.print("endpoints that ratchet.toml lacks; add what you use:")
        for name, endpoint in missing.items():
            out.print(Text(endpoint.as_toml(name)))
    if suite.needs_judge:
        out.print(
            f"rubrics wait for a judge: name a model under models.teacher in tasks/{suite.task.name}.yaml, or import with --judge"
        )


def import_dspy(
    file: Annotated[Path, typer.Argument(help="A program.json, as DSPy's program.save writes it.")],
    task: Annotated[
        str | None, typer.Option(help="The task; needed where the workspace has several.")
    ] = None,
    predictor: Annotated[
        str | None, typer.Option(help="Which one, of a program that has several.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="The candidate's; by default the file's.")
    ] = None,
    signature: Annotated[
        str | None,
        typer.Option(
            help="The types of the fields, which DSPy does not save: \"text -> label: Literal['a', 'b']\", or file.py:Class."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Write a DSPy program as a candidate in tasks/<task>/ that sends the very messages that the program sends."""
    from ratchet.cli import show
    from ratchet.exchange import program_candidate, read_program
    from ratchet.store import find_workspace
    from ratchet.workbench import Workbench

    workspace = find_workspace(Path())
    bench = Workbench.open(only_task(workspace.task_names(), task))
    program = read_program(file, bench.task, predictor=predictor, signature=signature)
    found = program_candidate(program, bench.task, bench.start(), note=name or file.stem)
    bench.prompt(found)
    folder = workspace.task_path(bench.task.name).with_suffix("")
    path = write_candidate(folder, found.note, found)
    if json:
        show.print_json({"id": found.id, "file": str(path), "candidate": found.plain()})
        return
    show.out.print(
        f"written: {path} ({len(found.demonstrations)} demonstrations, fields {', '.join((*program.inputs, *program.outputs))})"
    )
    if signature is None:
        show.out.print(
            "DSPy saves no types: where a field was a Literal, a number or the like, say so with --signature, else the words that its adapter says of that are not in the candidate",
            style="dim",
        )
    show.print_command("ab", bench.task.name, "--a", "start", "--b", str(path))


def write_candidate(folder: Path, name: str, candidate: "Candidate") -> Path:
    """Write a candidate's file in a task's folder; one that is there is never written over."""
    import re

    from ratchet.core.errors import UsageError
    from ratchet.store import candidate_text, write_text

    path = folder / f"{re.sub(r'[^A-Za-z0-9._-]+', '-', name).strip('-.')[:60] or 'candidate'}.yaml"
    if path.exists():
        raise UsageError(f"{path} is there already; remove it, or give another name with --name")
    write_text(path, candidate_text(candidate))
    return path


def import_answers(
    file: Annotated[
        Path, typer.Argument(help="CSV, TSV, JSONL, JSON, Parquet or .xlsx: an answer a row.")
    ],
    task: Annotated[str, typer.Option(help="The task whose examples were answered.")],
    candidate: Annotated[
        str, typer.Option("--candidate", help="A name for whoever answered, as gpt-4.1 or ann.")
    ],
    example: Annotated[
        str | None,
        typer.Option(
            help="The column with the example's id, of your file or Ratchet's; by default guessed, else the inputs are compared."
        ),
    ] = None,
    reply: Annotated[
        str | None, typer.Option(help="The column with the reply; by default guessed.")
    ] = None,
    repeat: Annotated[
        str | None, typer.Option(help="The column that numbers several answers to an example.")
    ] = None,
    prompt_tokens: Annotated[str | None, typer.Option(help="A column.")] = None,
    completion_tokens: Annotated[str | None, typer.Option(help="A column.")] = None,
    cost: Annotated[str | None, typer.Option(help="A column, in dollars.")] = None,
    latency: Annotated[str | None, typer.Option(help="A column, in seconds.")] = None,
    sheet: Annotated[str | None, typer.Option(help="Of an .xlsx file.")] = None,
    encoding: Annotated[str | None, typer.Option(help="Of the file's text.")] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave bad rows out, and list them.")
    ] = False,
    json: Json = False,
) -> None:
    """Bring answers that were collected elsewhere: they are measured and compared like any candidate's, and nothing is called."""
    from ratchet.cli.show import print_json, show_measurement
    from ratchet.measure import AnswerColumns
    from ratchet.store import find_workspace
    from ratchet.workbench import Workbench

    bench = Workbench.open(task)
    columns = AnswerColumns(
        example=example,
        reply=reply,
        repeat=repeat,
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        cost=cost,
        latency=latency,
    )
    with find_workspace(Path()).held():
        made = bench.import_answers(
            file, candidate, columns=columns, encoding=encoding, sheet=sheet, skip_bad=skip_bad
        )
        measured = measure_brought(bench, made)
    if json:
        figures = measured.plain() if measured else None
        print_json({**answers_body(bench, made), "measured": figures})
        return
    show_answers(bench, made)
    if measured:
        show_measurement(measured)


def measure_brought(bench: "Workbench", made: "AnswerImport") -> "Measurement | None":
    """Return the measurement of brought answers on dev, which is free; None where dev is not among them, or judges must be paid."""
    from ratchet.measure import answered_counts
    from ratchet.metrics import Judged

    on_dev, _ = answered_counts(made, bench.examples).get("dev", (0, 0))
    if not on_dev or isinstance(bench.metric, Judged):
        return None
    return bench.measure(made.candidate)


def answers_body(bench: "Workbench", made: "AnswerImport") -> dict[str, object]:
    """Return what an import of answers did, for programs."""
    from ratchet.measure import answered_counts

    counts = answered_counts(made, bench.examples)
    return {
        "task": bench.task.name,
        "candidate": made.candidate.id,
        "model": made.candidate.model,
        "columns": made.columns.named(),
        "left_out": list(made.left_out),
        "answers": len(made.trials),
        "new": made.new,
        "repeated": made.repeated,
        "splits": {name: {"answered": n, "examples": of} for name, (n, of) in counts.items()},
        "unreadable": [vars(bad) for bad in made.unreadable],
        "skipped": [vars(bad) for bad in made.skipped],
    }


def show_answers(bench: "Workbench", made: "AnswerImport") -> None:
    """Print what an import of answers did."""
    from rich.text import Text

    from ratchet.cli.show import out, print_command
    from ratchet.measure import answered_counts

    parts = {"example": "the inputs", **made.columns.named()}
    out.print(Text("; ".join(f"{part.replace('_', ' ')}: {c}" for part, c in parts.items())))
    if made.left_out:
        out.print(Text(f"left out: {', '.join(made.left_out)}"))
    for rows, what in (
        (made.unreadable, "replies have not the task's form, and count as failed answers"),
        (made.skipped, "rows left out"),
    ):
        if rows:
            out.print(f"[yellow]{len(rows)} {what}[/]:")
            for bad in rows[:ROWS_SHOWN]:
                out.print(Text(f"  row {bad.number}: {bad.problem}"))
    if made.repeated:
        out.print(f"{made.repeated} rows say what a row before them says")
    counts = answered_counts(made, bench.examples)
    out.print(
        Text(
            f"{made.candidate.id}  {made.candidate.model}: {len(made.trials)} answers, {made.new} new; "
            + ", ".join(f"{n} of {of} {split}" for split, (n, of) in counts.items())
        )
    )
    lacking = [split for split, (n, of) in counts.items() if n < of and split == "dev"]
    if lacking:
        out.print(
            "[yellow]not all of dev is answered[/]: what is missing is missing in every figure, and counted"
        )
    name = made.candidate.model
    print_command("measure", bench.task.name, "--candidate", name)
    print_command("ab", bench.task.name, "--a", "start", "--b", name)
