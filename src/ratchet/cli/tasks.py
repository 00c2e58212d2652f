"""Commands about a task's material: `init` a workspace, `import` examples, `check` them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ratchet.core import Example, Task
    from ratchet.data import Guess, ImportReport, Row

__all__ = ["add_to"]

PREVIEW = 3
GUESSED_FROM = 2000


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("init")(init)
    app.command("import")(import_)
    app.command()(check)


def init(folder: Annotated[Path, typer.Argument(help="Where; by default here.")] = Path()) -> None:
    """Make a workspace: ratchet.toml, tasks/ and .ratchet/ (database and files, kept out of git)."""
    from ratchet.cli.show import out
    from ratchet.store import create_workspace

    workspace = create_workspace(folder)
    out.print(f"workspace {workspace.root}")
    out.print("next: name your endpoints in ratchet.toml, then: ratchet import FILE --task NAME")


def import_(
    task: Annotated[str, typer.Option(help="The task's name; a new one gets its file guessed.")],
    file: Annotated[
        Path | None, typer.Argument(help="CSV, TSV, JSONL, JSON, Parquet, or OpenAI chat JSONL.")
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
    from ratchet.cli.show import bars, out, print_json
    from ratchet.core.errors import UsageError
    from ratchet.data import (
        ImportReport,
        add_examples,
        good_rows,
        guess_columns,
        guess_task,
        to_examples,
    )
    from ratchet.store import find_workspace

    if (file is None) == (from_logs is None):
        raise UsageError("give a file to import, or a release with --from-logs, and not both")
    if file is None:
        import_logs(task, str(from_logs), json=json)
        return
    workspace = find_workspace(Path())
    first: list[Row] = []
    for row in good_rows(file, encoding=encoding, skip_bad=skip_bad, skipped=[]):
        first.append(row)
        if len(first) >= GUESSED_FROM:
            break
    path = workspace.task_path(task)
    known = workspace.load_task(task) if path.exists() else None
    wanted = list(inputs or (known_columns(known, first) if known else []))
    guess = guess_columns(
        first,
        inputs=wanted,
        answer=answer,
        group=group or (known.splits.group_by if known else None),
        knowledge=knowledge,
        split=split,
    )
    settings = workspace.settings.models
    if known and instructions:
        raise UsageError(f"task {task!r} is there already; change its instructions in {path}")
    chosen = known or guess_task(
        task,
        first,
        guess,
        model=settings.default,
        teacher=settings.teacher,
        instructions=instructions,
    )
    report = ImportReport()

    def read() -> "Iterator[Example]":
        report.skipped, report.repeated = [], 0
        rows = good_rows(file, encoding=encoding, skip_bad=skip_bad, skipped=report.skipped)
        yield from to_examples(chosen, rows, guess, file, report=report, skip_bad=skip_bad)

    with workspace.held(), bars() as shown:
        added = add_examples(
            workspace.database,
            chosen,
            read,
            source=str(file),
            afresh=known is None,
            watch=shown.counts,
        )
        if not known:
            workspace.save_task(chosen)
    dataset, counts = added.dataset, added.splits
    if json:
        print_json(
            {
                "task": task,
                "file": str(path),
                "dataset": dataset.id,
                "version": dataset.version,
                "rows": dataset.rows,
                "new": added.new,
                "splits": counts,
                "repeated": report.repeated,
                "skipped": [vars(bad) for bad in report.skipped],
                "leaks": added.leaks,
                "guess": vars(guess),
            }
        )
        return
    show_import(file, chosen, guess, first, report, guessed=known is None)
    out.print(
        f"dataset version {dataset.version}: {added.new} new examples, {dataset.rows} in all; "
        + ", ".join(f"{n} {name}" for name, n in counts.items())
    )
    out.print(
        f"leaks between splits: {added.leaks or 'none'} (same group, or near-duplicates of 0.8 and more)"
    )
    out.print(
        f"{'written' if known is None else 'task file'}: {path}\nnext: ratchet measure {task} --dry-run"
    )


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


def known_columns(task: "Task", rows: "list[Row]") -> list[str]:
    from ratchet.data.guess import field_name

    columns = {field_name(name): name for row in rows for name in row.values}
    return [columns.get(name, name) for name in task.input_names]


def show_import(
    file: Path,
    task: "Task",
    guess: "Guess",
    rows: "list[Row]",
    report: "ImportReport",
    *,
    guessed: bool,
) -> None:
    from rich.table import Table
    from rich.text import Text

    from ratchet.cli.show import out, short

    out.print(
        f"[bold]{file.name}[/]: inputs {', '.join(guess.inputs)}; answer {guess.answer} ({task.answer.kind}); metric {task.metric.name}"
        + (f"; groups {guess.group}" if guess.group else "")
    )
    for reason in guess.reasons if guessed else ():
        out.print(f"  [yellow]note[/] {reason}")
    if guess.left_out:
        out.print(f"  left out: {', '.join(guess.left_out)}")
    table = Table(*(*guess.inputs, f"→ {guess.answer}"))
    for row in rows[:PREVIEW]:
        table.add_row(
            *(
                Text(short(str(row.values.get(name, "")), 120))
                for name in (*guess.inputs, guess.answer)
            )
        )
    out.print(table)
    if report.repeated:
        out.print(f"{report.repeated} rows stood in the file before and are kept once")
    if report.skipped:
        out.print(f"[yellow]{len(report.skipped)} rows left out[/]:")
        for bad in report.skipped[:20]:
            out.print(Text(f"  row {bad.number}: {bad.problem}"))


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
