"""Commands about several candidates: `ab`, `front`, `race`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ratchet.cli.measuring import Dollars, Json, MostCalls, budget_of

if TYPE_CHECKING:
    from ratchet.core import Budget, Candidate
    from ratchet.workbench import Workbench

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    for command in (ab, front, race):
        app.command()(command)


def ab(
    task: str,
    a: Annotated[
        str, typer.Option("--a", help="A file, its stem, a label, an id, 'start' or 'champion'.")
    ],
    b: Annotated[
        list[str], typer.Option("--b", help="The same, for the challenger; give it again for more.")
    ],
    sequential: Annotated[
        bool,
        typer.Option(
            "--sequential", help="Look all along, and stop as soon as the verdict stands."
        ),
    ] = False,
    repeats: Annotated[
        int,
        typer.Option(
            min=1, help="Answers to each example, of each side; more that are stored count."
        ),
    ] = 1,
    budget: Dollars = None,
    max_calls: MostCalls = None,
    json: Json = False,
) -> None:
    """Compare candidates on the same dev examples: a paired verdict, and the examples that each of them wins."""
    from ratchet.cli.show import warn
    from ratchet.core.errors import UsageError
    from ratchet.store import find_workspace
    from ratchet.workbench import Workbench

    if sequential and len(b) > 1:
        raise UsageError("--sequential compares two candidates; give --b once")
    bench = Workbench.open(task)
    first, others = bench.candidate(a), [bench.candidate(name) for name in b]
    for chosen in (first, *others):
        bench.check_fits(chosen)
    limit = budget_of(budget, max_calls)
    with find_workspace(Path()).held():
        if sequential:
            watched(bench, (first, others[0]), (a, b[0]), limit, repeats=repeats, json=json)
        elif len(others) == 1:
            one_to_one(bench, (first, others[0]), (a, b[0]), limit, repeats=repeats, json=json)
        else:
            one_to_many(bench, [first, *others], [a, *b], limit, repeats=repeats, json=json)
    warn(bench.warnings([first, *others]))


def one_to_one(
    bench: "Workbench",
    pair: "tuple[Candidate, Candidate]",
    names: tuple[str, str],
    budget: "Budget",
    *,
    repeats: int,
    json: bool,
) -> None:
    from ratchet.cli.figures import (
        pooled_plain,
        show_changes,
        show_pooled,
        show_verdict,
        verdict_plain,
    )
    from ratchet.cli.show import bars, print_json, warn_stopped
    from ratchet.measure import compare, compare_totals

    with bars() as bench.watching:
        measured = bench.measure_all(pair, repeats=repeats, budget=budget)
    verdict = compare(*measured, margin=bench.task.margin)
    totals = compare_totals(*measured)
    changes = bench.differences(verdict)
    if json:
        print_json({**verdict_plain(verdict, changes), "totals": pooled_plain(totals)})
        return
    grades = measured[0].grades
    show_verdict(verdict, *names, grades=grades)
    show_pooled(totals)
    show_changes(changes, grades=grades)
    warn_stopped(measured)


def one_to_many(
    bench: "Workbench",
    candidates: "list[Candidate]",
    names: list[str],
    budget: "Budget",
    *,
    repeats: int,
    json: bool,
) -> None:
    from ratchet.cli.figures import (
        pooled_plain,
        pooled_text,
        standings_plain,
        standings_table,
        verdicts_table,
    )
    from ratchet.cli.show import bars, out, print_json, warn_stopped
    from ratchet.measure import compare_totals

    with bars() as bench.watching:
        verdicts, measured = bench.compare_all(
            candidates[0], candidates[1:], repeats=repeats, budget=budget
        )
    called = {m.candidate.id: name for m, name in zip(measured, names, strict=True)}
    share = 0.05 / max(1, len(verdicts))  # so that all of them hold together
    totals = [compare_totals(measured[0], other, level=1 - share) for other in measured[1:]]
    if json:
        adjusted = [
            {**verdict.model_dump(mode="json"), "totals": pooled_plain(own)}
            for verdict, own in zip(verdicts, totals, strict=True)
        ]
        print_json({"verdicts": adjusted, **standings_plain(measured, bench.task.margin)})
        return
    out.print(verdicts_table(verdicts, called))
    for name, own in zip(names[1:], totals, strict=True):
        for figure in own:
            out.print(f"B is {name}: {pooled_text(figure)}", markup=False)
    out.print(standings_table(measured, called, bench.task.margin))
    warn_stopped(measured)


def watched(
    bench: "Workbench",
    pair: "tuple[Candidate, Candidate]",
    names: tuple[str, str],
    budget: "Budget",
    *,
    repeats: int,
    json: bool,
) -> None:
    from ratchet.cli.figures import contest_line, show_changes, show_verdict, verdict_plain
    from ratchet.cli.show import err, print_json
    from ratchet.measure import Contest

    err.print(price_before(bench, pair, repeats))

    def look(contest: Contest) -> None:
        err.print(contest_line(contest))

    contest = bench.settle(*pair, repeats=repeats, budget=budget, watch=look)
    verdict = contest.verdict()
    changes = bench.differences(verdict)
    if json:
        print_json(
            {
                **verdict_plain(verdict, changes),
                "e_value": contest.evidence.e_value(),
                "left": contest.left,
            }
        )
        return
    show_verdict(verdict, *names, grades=contest.before.grades)
    if contest.left:
        why = "the verdict stands" if contest.evidence.is_settled() else "the budget is spent"
        err.print(
            f"{contest.left} of {contest.left + verdict.n + verdict.missing} examples were not asked: {why}"
        )
    show_changes(changes, grades=contest.before.grades)


def price_before(bench: "Workbench", pair: "tuple[Candidate, Candidate]", repeats: int) -> str:
    """Return what a sequential comparison may take, in words, before anything is asked."""
    from ratchet.ladder import cost_text
    from ratchet.measure import price_of_looking, recall
    from ratchet.measure.compare import paired

    examples = bench.split("dev")
    known = [recall(bench.bench(), candidate, examples, split="dev") for candidate in pair]
    plans = [bench.plan(candidate, repeats=repeats) for candidate in pair]
    costs = [plan.cost_usd for plan in plans]
    cost = "unknown cost" if None in costs else cost_text(sum(cost or 0.0 for cost in costs))
    calls = sum(plan.calls for plan in plans)
    sentence = price_of_looking(paired(*known).differences).sentence
    return f"{sentence}. At most {calls:,} calls ({len(examples):,} examples, both sides), {cost}"


def front(task: str, json: Json = False) -> None:
    """Show quality, cost and latency of every candidate that has answered dev, and the cheapest that is not worse than the best."""
    from ratchet.cli.figures import standings_plain, standings_table
    from ratchet.cli.show import out, print_json
    from ratchet.workbench import Workbench

    bench = Workbench.open(task)
    measured = bench.measured()
    if json:
        print_json(standings_plain(measured, bench.task.margin))
        return
    names = bench.names.labels([one.candidate for one in measured])
    out.print(standings_table(measured, names, bench.task.margin))


def race(
    task: str,
    candidate: Annotated[
        list[str] | None,
        typer.Option(
            "--candidate",
            help="A file, its stem, a label, an id, 'start' or 'champion'; give it again for more. By default those in tasks/<task>/, and the champion.",
        ),
    ] = None,
    tolerance: Annotated[
        float,
        typer.Option(min=0, max=1, help="A loss of score that does not matter: 0.01 is a point."),
    ] = 0.01,
    confidence: Annotated[
        float, typer.Option(min=0.5, max=0.999, help="How sure the pick must be.")
    ] = 0.95,
    budget: Dollars = None,
    max_calls: MostCalls = None,
    json: Json = False,
) -> None:
    """Find the best of several candidates on dev for a fraction of all answers: losers are soon asked no more."""
    from rich.text import Text

    from ratchet.cli.figures import race_plain, race_table
    from ratchet.cli.show import bars, err, out, print_json, warn
    from ratchet.store import find_workspace
    from ratchet.workbench import Workbench

    bench = Workbench.open(task)
    chosen = (
        [bench.candidate(name) for name in candidate]
        if candidate
        else [*bench.variants(), bench.champion()]
    )
    entrants = list({one.id: one for one in chosen}.values())
    for one in entrants:
        bench.check_fits(one)
    limit = budget_of(budget, max_calls)
    with find_workspace(Path()).held(), bars() as bench.watching:
        found = bench.race(entrants, tolerance=tolerance, confidence=confidence, budget=limit)
    warn(bench.warnings(entrants))
    if json:
        print_json(race_plain(found))
        return
    out.print(race_table(found, bench.names.labels(entrants)))
    out.print(Text(found.sentence, "bold"))
    if found.stopped:
        err.print(f"[yellow]stopped: {found.stopped}[/]; run the same command again to go on")
