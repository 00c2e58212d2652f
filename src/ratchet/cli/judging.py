"""Commands about judges and people: `judge` makes the task "grade this", `grade` takes people's grades and choices, `calibrate`, `rank`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ratchet.cli.measuring import Dollars, Json, MostCalls, budget_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ratchet.core import Candidate, Example, Grade, Trial
    from ratchet.judging import ChoiceImport
    from ratchet.workbench import Workbench

__all__ = ["add_to"]

ROWS_SHOWN = 20

Candidates = Annotated[
    list[str] | None,
    typer.Option(
        "--candidate",
        help="A file, its stem, a label, an id, 'start' or 'champion'; give it again for more.",
    ),
]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    for command in (judge, grade, calibrate, rank):
        app.command()(command)


def judge(
    task: str,
    rubric: Annotated[str, typer.Option(help="What a good answer is, in words.")],
    model: Annotated[
        str | None, typer.Option(help="The judge's model; by default the task's teacher.")
    ] = None,
    scale: Annotated[str, typer.Option(help="pass_fail, or grade (1 to 5).")] = "pass_fail",
    reference: Annotated[bool, typer.Option(help="Whether the judge sees the reference.")] = True,
) -> None:
    """Make the task "grade this" for a task's answers, so that its judge can be measured and improved like anything else."""
    from typing import cast

    from ratchet.cli.show import out, print_command
    from ratchet.core.errors import UsageError
    from ratchet.metrics import grading_task
    from ratchet.metrics.judge import Scale
    from ratchet.store import find_workspace

    workspace = find_workspace(Path())
    graded = workspace.load_task(task)
    chosen = model or graded.models.teacher
    if not chosen:
        raise UsageError("name the judge's model with --model, or set models.teacher of the task")
    made = grading_task(
        graded, rubric=rubric, scale=cast("Scale", scale), reference=reference, model=chosen
    )
    if workspace.task_path(made.name).exists():
        raise UsageError(
            f"{workspace.task_path(made.name)} is there already; edit it, or remove it first"
        )
    path = workspace.save_task(made)
    out.print(f"written: {path}")
    out.print(
        f"to score {task} by it, put into its file:\n\nmetric:\n  name: judge\n  options:\n    task: {made.name}\n",
        markup=False,
    )
    print_command("measure", task, before="then: ")
    print_command("grade", task, before="and to hold the judge against people: ")


def grade(
    task: str,
    file: Annotated[
        Path | None,
        typer.Argument(
            help="CSV, JSONL, …: columns example and grade, and candidate and who where they differ."
        ),
    ] = None,
    candidate: Annotated[
        str | None, typer.Option(help="Whose answers; by default the champion's.")
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Answers to grade at the terminal.")] = 20,
    who: Annotated[str | None, typer.Option(help="Your name; by default the login name.")] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(
            help="A file of choices between two answers: columns example, first, second (candidates), winner (first, second or tie), and who where they differ."
        ),
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option(
            help="Write all grades as examples of the grading task to a .jsonl file, and end."
        ),
    ] = None,
) -> None:
    """Grade answers as a person: from a file, or one after another at the terminal, drawn at random, without seeing the judge."""
    from ratchet.cli.show import out, print_command
    from ratchet.core.errors import UsageError
    from ratchet.judging import Judging
    from ratchet.ladder.final import login_name
    from ratchet.metrics import JudgeMetric
    from ratchet.store import find_workspace
    from ratchet.workbench import Workbench

    bench = Workbench.open(task)
    if export:
        written = write_examples(bench, export)
        out.print(f"{export}: {written} graded answers")
        judge = f"{bench.task.name}-judge"
        print_command("import", str(export), "--task", judge, "--answer", "graded")
        return
    name = who or login_name()
    if pairs:
        if file:
            raise UsageError(f"give grades ({file}) or choices (--pairs {pairs}), one at a time")
        with find_workspace(Path()).held():
            show_choices(Judging(bench).import_choices(pairs, who=name), task)
        return
    with find_workspace(Path()).held():
        if file:
            given, sealed = grades_of_file(bench, file, candidate, name)
            Judging(bench).add_grades(given)
            out.print(f"{len(given)} grades kept")
            if sealed:
                out.print(f"{sealed} rows are on the sealed test split, and set aside")
        else:
            ask_grades(bench, bench.candidate(candidate), count, name)
    is_judged = isinstance(bench.metric, JudgeMetric)
    if is_judged:
        print_command("calibrate", task)
    else:
        print_command("grade", task, "--export", "graded.jsonl")


def show_choices(made: "ChoiceImport", task: str) -> None:
    """Print what an import of choices did."""
    from ratchet.cli.show import out, print_command

    people = len({choice.who for choice in made.choices})
    out.print(f"{len(made.choices)} choices of {people} people kept")
    if made.replaced:
        rows = ", ".join(map(str, made.replaced[:ROWS_SHOWN]))
        out.print(
            f"[yellow]{len(made.replaced)} rows[/] have another choice of the same person on the same pair further down, which counts: {rows}"
        )
    if made.sealed:
        out.print(f"{made.sealed} rows are on the sealed test split, and set aside")
    print_command("rank", task, "--people")


def scale_of(bench: "Workbench") -> "tuple[object, ...]":
    """Return the grades of the metric's judges; pass and fail where it has none."""
    from ratchet.metrics import JudgeMetric
    from ratchet.metrics.judge import SCALES

    return bench.metric.grades if isinstance(bench.metric, JudgeMetric) else SCALES["pass_fail"][0]


def grades_of_file(
    bench: "Workbench", file: Path, candidate: str | None, who: str
) -> "tuple[list[Grade], int]":
    """Return the grades of a file, and how many rows are on the sealed test split, which are set aside."""
    from ratchet.core import Grade
    from ratchet.core.errors import DataError, did_you_mean
    from ratchet.data import good_rows
    from ratchet.metrics.judge import grade_value

    scale, given, sealed = scale_of(bench), [], 0
    known = {key: e for e in bench.examples for key in (e.name, e.id) if key}
    candidates: dict[str | None, Candidate] = {}
    for row in good_rows(file, skip_bad=False, skipped=[]):
        values = row.values
        if values.get("grade") is None and "grade" in values:
            continue  # not graded
        if not {"example", "grade"} <= values.keys():
            raise DataError(
                f"{file}: grades need the columns example and grade; there are {', '.join(values)}"
            )
        name = str(values["example"])
        example = known.get(name)
        if example is None:
            raise DataError(
                f"{file}, row {row.number}: task {bench.task.name!r} has no example {name!r}{did_you_mean(name, known)}"
            )
        if example.split == "test":
            sealed += 1
            continue
        whose = str(values["candidate"]) if values.get("candidate") else candidate
        if whose not in candidates:
            candidates[whose] = bench.candidate(whose)
        try:
            grade = grade_on(values["grade"], scale)
            value = grade_value(grade, scale)
        except ValueError as error:
            raise DataError(f"{file}, row {row.number}: {error}") from error
        given.append(
            Grade(
                candidate_id=candidates[whose].id,
                task_id=bench.task.asking_id,
                example_id=example.id,
                who=str(values.get("who") or who),
                grade=grade,
                value=value,
            )
        )
    return given, sealed


def grade_on(cell: object, scale: "Sequence[object]") -> object:
    """Return the grade of the scale that a cell is; a table writes 4 as 4.0 where other cells are empty."""
    text = str(cell).strip().removesuffix(".0")
    return next((grade for grade in scale if str(grade) == text), cell)


def ask_grades(bench: "Workbench", candidate: "Candidate", count: int, who: str) -> None:
    """Ask for grades of random answers that this person has not graded; each is kept as it is given."""
    from random import Random

    from rich.text import Text

    from ratchet.cli.show import out
    from ratchet.core import Grade
    from ratchet.core.errors import UsageError
    from ratchet.core.records import written
    from ratchet.judging import Judging
    from ratchet.metrics.judge import grade_value

    scale = scale_of(bench)
    mine = {(g.candidate_id, g.example_id) for g in Judging(bench).grades() if g.who == who}
    answers = [
        (example, trial)
        for example, trial in Judging(bench).answers(candidate)
        if (candidate.id, example.id) not in mine and not trial.failure
    ]
    if not answers:
        raise UsageError(
            f"there is no answer of {candidate.id} that {who} has not graded; make some with: ratchet measure {bench.task.name}"
        )
    Random(candidate.id + who).shuffle(answers)
    choices = ", ".join(map(str, scale))
    for number, (example, trial) in enumerate(answers[:count], 1):
        out.rule(f"{number} of {min(count, len(answers))}")
        for name, value in example.inputs.items():
            out.print(Text.assemble((f"{name}: ", "dim"), written(value)))
        out.print(Text.assemble(("reference: ", "dim"), written(example.reference)))
        out.print(Text.assemble(("answer: ", "bold"), written(trial.answer)))
        while True:
            said = typer.prompt(
                f"grade ({choices}; Enter leaves it out)", default="", show_default=False
            )
            if not said.strip():
                break
            try:
                value = grade_value(said, scale)
            except ValueError as error:
                out.print(f"[yellow]{error}[/]")
                continue
            given = next(one for one in scale if str(one) == said.strip())
            Judging(bench).add_grades(
                [
                    Grade(
                        candidate_id=candidate.id,
                        task_id=bench.task.asking_id,
                        example_id=example.id,
                        who=who,
                        grade=given,
                        value=value,
                    )
                ]
            )
            break


def write_examples(bench: "Workbench", path: Path) -> int:
    """Write each graded answer as an example of the grading task; where people differ, each grade is one."""
    import json as json_module

    from ratchet.core.errors import UsageError
    from ratchet.core.records import written
    from ratchet.judging import Judging
    from ratchet.store import write_text

    answers: dict[str, dict[str, tuple[Example, Trial]]] = {}
    rows = []
    for one in Judging(bench).grades():
        if one.candidate_id not in answers:
            found = Judging(bench).answers(bench.candidate(one.candidate_id))
            answers[one.candidate_id] = {example.id: (example, trial) for example, trial in found}
        if one.example_id in answers[one.candidate_id]:
            example, trial = answers[one.candidate_id][one.example_id]
            rows.append(
                {
                    **example.inputs,
                    "answer": written(trial.answer),
                    "reference": written(example.reference),
                    "graded": {"reason": "", "grade": one.grade},
                }
            )
    if not rows:
        raise UsageError(
            f"people have graded nothing yet; begin with: ratchet grade {bench.task.name}"
        )
    write_text(path, "".join(json_module.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return len(rows)


def calibrate(
    task: str,
    candidate: Candidates = None,
    budget: Dollars = None,
    max_calls: MostCalls = None,
    json: Json = False,
) -> None:
    """Hold the judges of a task's metric against people: agreement, leanings, and the scores that people would have given."""
    from ratchet.cli.figures import calibration_plain, show_calibration
    from ratchet.cli.show import bars, print_json
    from ratchet.judging import Judging
    from ratchet.store import find_workspace
    from ratchet.workbench import Workbench

    bench = Workbench.open(task)
    chosen = [bench.candidate(name) for name in candidate or ()]
    with find_workspace(Path()).held(), bars() as bench.watching:
        found = Judging(bench).calibrate(chosen, budget=budget_of(budget, max_calls))
    if json:
        print_json(calibration_plain(found))
        return
    shown = [one.measured.candidate for one in found.corrected]
    show_calibration(found, bench.names.labels(shown))


def rank(
    task: str,
    candidate: Candidates = None,
    judge: Annotated[
        str | None,
        typer.Option(
            help="A model, a YAML file or an id that compares answers in pairs; else scores are compared."
        ),
    ] = None,
    rubric: Annotated[
        str | None,
        typer.Option(help="What a good answer is; by default that of the task's metric."),
    ] = None,
    people: Annotated[
        bool,
        typer.Option(
            "--people",
            help="Rank by which of two answers people chose, on the page or in a file; nothing is called.",
        ),
    ] = False,
    budget: Dollars = None,
    max_calls: MostCalls = None,
    json: Json = False,
) -> None:
    """Rank candidates by pairwise outcomes: Bradley-Terry and Elo, with ranks as sure as they are ("2–4")."""
    from ratchet.cli.figures import ratings_plain, ratings_table, show_duels
    from ratchet.cli.show import bars, out, print_json, warn, warn_stopped
    from ratchet.core.errors import UsageError
    from ratchet.judging import Judging
    from ratchet.measure import own_family
    from ratchet.store import find_workspace
    from ratchet.workbench import Workbench

    bench = Workbench.open(task)
    if people:
        if candidate or judge:
            raise UsageError(
                "--people ranks whom people compared; leave --candidate and --judge out"
            )
        ratings, measured = Judging(bench).rank_by_people()
        if json:
            print_json(ratings_plain(ratings, measured, None))
        else:
            names = bench.names.labels([one.candidate for one in measured])
            out.print(ratings_table(ratings, measured, names))
        return
    chosen: Sequence[Candidate] = (
        [bench.candidate(name) for name in candidate]
        if candidate
        else [*bench.variants(), bench.champion()]
    )
    with find_workspace(Path()).held(), bars() as bench.watching:
        ratings, measured, duels = Judging(bench).rank(
            list({one.id: one for one in chosen}.values()),
            judge=judge,
            rubric=rubric,
            budget=budget_of(budget, max_calls),
        )
    if json:
        print_json(ratings_plain(ratings, measured, duels))
        return
    names = bench.names.labels([one.candidate for one in measured])
    out.print(ratings_table(ratings, measured, names))
    if duels:
        show_duels(duels)
        warn(own_family([duels.judge.model], [m.candidate.model for m in measured]))
    warn_stopped(measured)
