"""Commands about a task's material: `init` a workspace, `import` examples, `check` them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ratchet.data import Added, FileImport

__all__ = ["add_to"]

PREVIEW = 3


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("init")(init)
    app.command("import")(import_)
    app.command()(check)


def init(folder: Annotated[Path, typer.Argument(help="Where; by default here.")] = Path()) -> None:
    """Make a workspace: ratchet.toml, tasks/ and .ratchet/ (database and files, kept out of git)."""
    from ratchet.cli.show import out, print_command
    from ratchet.store import create_workspace

    workspace = create_workspace(folder)
    out.print(f"workspace {workspace.root}")
    then = "next: name your endpoints in ratchet.toml, then: "
    print_command("import", "FILE", "--task", "NAME", before=then)


def import_(
    task: Annotated[str, typer.Option(help="The task's name; a new one gets its file guessed.")],
    file: Annotated[
        Path | None,
        typer.Argument(
            help="CSV, TSV, JSONL, JSON, Parquet, .xlsx, chats (OpenAI, ShareGPT) or CoNLL."
        ),
    ] = None,
    from_logs: Annotated[
        str | None,
        typer.Option(
            "--from-logs",
            help="In place of a file: a release whose logged requests feedback vouches for.",
        ),
    ] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", help="A column that is an input; may be given several times."),
    ] = None,
    answer: Annotated[str | None, typer.Option(help="The column that is the answer.")] = None,
    no_answer: Annotated[
        bool,
        typer.Option(
            "--no-answer", help="The examples have no right answers: a judge or a function scores."
        ),
    ] = False,
    group: Annotated[
        str | None, typer.Option(help="Examples with the same value here never straddle splits.")
    ] = None,
    knowledge: Annotated[
        str | None,
        typer.Option(
            help="The column that says what one must know: a text, or a list of texts, files or titles."
        ),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="The column that says which split: train, dev or test.")
    ] = None,
    instructions: Annotated[
        str, typer.Option(help="What a new task asks the model to do; left out, it is guessed.")
    ] = "",
    sheet: Annotated[
        str | None, typer.Option(help="The sheet of an .xlsx file; by default the first.")
    ] = None,
    encoding: Annotated[
        str | None,
        typer.Option(
            help="Of the file's text, for example cp1252; by default UTF-8 or what its mark says."
        ),
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave unreadable rows out, and list them.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Read examples from a file, guess which columns are what, divide them into train, dev and test, and keep them."""
    from ratchet.cli.show import bars, print_json
    from ratchet.core.errors import UsageError
    from ratchet.data import FileImport, Parts
    from ratchet.store import find_workspace

    if (file is None) == (from_logs is None):
        raise UsageError("give a file to import, or a release with --from-logs, and not both")
    if file is None:
        import_logs(task, str(from_logs), json=json)
        return
    workspace = find_workspace(Path())
    parts = Parts(
        inputs=tuple(inputs or ()),
        answer=answer,
        no_answer=no_answer,
        group=group,
        knowledge=knowledge,
        split=split,
    )
    known = workspace.load_task(task) if workspace.task_path(task).exists() else None
    if known and instructions:
        path = workspace.task_path(task)
        raise UsageError(f"task {task!r} is there already; change its instructions in {path}")
    with workspace.held(), bars() as shown:
        made = FileImport(file, encoding=encoding, sheet=sheet, skip_bad=skip_bad)
        made.plan(task, workspace, known, parts, instructions=instructions)
        added = made.store(workspace.database, afresh=known is None, watch=shown.counts)
        if not known:
            workspace.save_task(made.task)
    path = workspace.task_path(task)
    print_json(import_body(made, added, path)) if json else show_import(
        made, added, path, guessed=known is None
    )


def import_body(made: "FileImport", added: "Added", path: Path) -> dict[str, object]:
    """Return what an import did, for programs."""
    report = made.report
    return {
        "task": made.task.name,
        "file": str(path),
        "dataset": added.dataset.id,
        "version": added.dataset.version,
        "rows": added.dataset.rows,
        "new": added.new,
        "splits": added.splits,
        "repeated": report.repeated,
        "unlabelled": report.unlabelled,
        "replaced": added.replaced,
        "skipped": [vars(bad) for bad in report.skipped],
        "leaks": added.leaks,
        "guess": vars(made.guess),
        "notes": made.notes(added),
    }


def import_logs(task: str, release: str, *, json: bool) -> None:
    """Make a new dataset version of what feedback vouches for: a right answer, a thumb up, a score of 1."""
    from ratchet.cli.show import out, print_json
    from ratchet.core.errors import UsageError
    from ratchet.data import add_examples
    from ratchet.ladder import examples_of_logs
    from ratchet.store import find_workspace

    workspace = find_workspace(Path())
    known = workspace.load_task(task)
    with workspace.held():
        found = list(examples_of_logs(workspace.database, known, release))
        if not found:
            raise UsageError(
                f"no logged request to {release!r} has feedback with an answer, a thumb up or a score of 1; `ratchet logs --model {release}` shows what there is"
            )
        added = add_examples(workspace.database, known, lambda: found, source=f"logs of {release}")
    dataset = added.dataset
    if json:
        print_json(
            {
                "task": task,
                "dataset": dataset.id,
                "version": dataset.version,
                "found": len(found),
                "new": added.new,
                "rows": dataset.rows,
                "splits": added.splits,
                "leaks": added.leaks,
            }
        )
        return
    out.print(
        f"dataset version {dataset.version}: {added.new} new examples of {len(found)} in the log, {dataset.rows} in all; "
        + ", ".join(f"{n} {split}" for split, n in added.splits.items())
    )


def show_import(made: "FileImport", added: "Added", path: Path, *, guessed: bool) -> None:
    """Print what an import guessed and did."""
    from rich.markup import escape
    from rich.text import Text

    from ratchet.cli.show import out, print_command, short
    from ratchet.cli.terminal import Table

    task, guess, report = made.task, made.guess, made.report
    what = f"answer {guess.answer} ({task.answer.kind})" if guess.answer else "no answer"
    out.print(
        Text.assemble(
            (made.path.name, "bold"),
            f": inputs {', '.join(guess.inputs)}; {what}; metric {task.metric.name}",
            f"; groups {guess.group}" if guess.group else "",
        )
    )
    for reason in guess.reasons if guessed else ():
        out.print(Text.assemble("  ", ("note", "yellow"), f" {reason}"))
    if guess.left_out:
        out.print(Text(f"  left out: {', '.join(guess.left_out)}"))
    columns = [*guess.inputs, *([guess.answer] if guess.answer else [])]
    table = Table(*(escape(f"→ {name}" if name == guess.answer else name) for name in columns))
    for row in made.survey.preview[:PREVIEW]:
        cells = [row.values.get(name) for name in columns]
        table.add_row(*(Text("" if cell is None else short(str(cell), 120)) for cell in cells))
    out.print(table)
    if report.repeated:
        out.print(f"{report.repeated} rows stood in the file before and are kept once")
    for note in made.notes(added):
        out.print(Text.assemble(("note", "yellow"), f" {note}"))
    if report.skipped:
        out.print(f"[yellow]{len(report.skipped)} rows left out[/]:")
        for bad in report.skipped[:20]:
            out.print(Text(f"  row {bad.number}: {bad.problem}"))
    out.print(
        f"dataset version {added.dataset.version}: {added.new} new examples, {added.dataset.rows} in all; "
        + ", ".join(f"{n} {name}" for name, n in added.splits.items())
    )
    out.print(
        f"leaks between splits: {added.leaks or 'none'} (same group, or near-duplicates of 0.8 and more)"
    )
    out.print(f"{'written' if guessed else 'task file'}: {path}", markup=False, soft_wrap=True)
    print_command("measure", task.name, "--dry-run")


def check(
    task: str, json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """Look for what would make figures wrong or weak, before money is spent; ends with code 1 where something is wrong."""
    from ratchet.cli.show import contrasts_table, findings_table, out, print_json
    from ratchet.workbench import Workbench

    findings = Workbench.open(task).check()
    if json:
        print_json([finding.model_dump(mode="json") for finding in findings])
    else:
        out.print(findings_table(findings))
        for finding in findings:
            if finding.contrasts:
                out.print(contrasts_table(finding.contrasts))
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(1)
