"""The command `agreement`: how far people agree who labelled, or graded, the same things."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ratchet.cli.measuring import Json

if TYPE_CHECKING:
    from ratchet.data.label_files import Rating
    from ratchet.measure import Agreement
    from ratchet.workbench import Workbench

__all__ = ["add_to"]

Level = Literal["nominal", "ordinal", "interval"]


def add_to(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(agreement)


def agreement(
    source: Annotated[
        str,
        typer.Argument(
            help="A file of labels (a row a label: item, who, label; or a column a person), or a task, whose grades are taken."
        ),
    ],
    item: Annotated[
        str | None, typer.Option(help="The column that names what was labelled.")
    ] = None,
    who: Annotated[str | None, typer.Option(help="The column that names the person.")] = None,
    label: Annotated[str | None, typer.Option(help="The column with the label.")] = None,
    rater: Annotated[
        list[str] | None,
        typer.Option(
            "--rater",
            help="A column that holds one person's labels; give it again for each person.",
        ),
    ] = None,
    level: Annotated[
        Level | None,
        typer.Option(
            help="Whether labels have no order, an order, or distances; by default an order where all are numbers."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """How far do people agree? Cohen's kappa of each two, and Krippendorff's alpha of all, with an interval."""
    from dataclasses import asdict

    from ratchet.cli.show import print_json
    from ratchet.core.errors import UsageError
    from ratchet.data.label_files import LabelColumns, read_ratings
    from ratchet.data.rows import FORMATS
    from ratchet.measure import measure_agreement
    from ratchet.workbench import Workbench

    columns = LabelColumns(item=item, who=who, label=label, raters=tuple(rater or ()))
    if rater and (who or label):
        raise UsageError("--rater names a column for each person; leave --who and --label out")
    if Path(source).suffix.lower() in FORMATS:
        ratings = read_ratings(Path(source), columns)
    elif columns != LabelColumns():
        raise UsageError(f"columns are named of a file, and {source!r} is a task; leave them out")
    else:
        ratings = grades_given(Workbench.open(source))
    found = measure_agreement(ratings, level=level)
    if json:
        body = {**asdict(found), "interval": found.interval.model_dump(mode="json")}
        print_json(body)
    else:
        show_agreement(found)


def grades_given(bench: "Workbench") -> "list[Rating]":
    """Return people's grades of a task's answers, an answer an item."""
    from ratchet.core.errors import UsageError
    from ratchet.core.records import written
    from ratchet.data.label_files import Rating
    from ratchet.judging import Judging

    grades = Judging(bench).grades()
    if not grades:
        raise UsageError(
            f"people have graded nothing yet; begin with: ratchet grade {bench.task.name}"
        )
    return [
        Rating(f"{g.candidate_id} {g.example_id} {g.repeat}", g.who, written(g.grade))
        for g in grades
    ]


def show_agreement(found: "Agreement") -> None:
    """Print how far people agree."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    from ratchet.cli.show import out
    from ratchet.measure import number_text

    low, high = (number_text(end, ".3f") for end in (found.interval.low, found.interval.high))
    out.print(
        f"[bold]Krippendorff's alpha {number_text(found.alpha, '.3f')}[/] ({low} to {high}, 95 %, {found.interval.method}; level {found.level}): "
        f"{len(found.people)} people, {found.items} items that at least two of them rated"
    )
    if found.single:
        out.print(
            f"{found.single} items were rated by one person alone, and say nothing of agreement"
        )
    kappa = "kappa" if found.level == "nominal" else "kappa, quadratic weights"
    table = Table("people", box=SIMPLE_HEAD, pad_edge=False)
    for name in ("both rated", "the same", f"Cohen's {kappa}"):
        table.add_column(name, justify="right")
    for pair in found.pairs:
        table.add_row(
            Text(f"{pair.first}, {pair.second}"),
            str(pair.n),
            f"{number_text(100 * pair.same, '.1f')} %",
            number_text(pair.kappa, ".3f"),
        )
    out.print(table)
