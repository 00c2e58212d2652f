"""Commands of the wheel: `drift`, `curate`, and `wheel`, which goes round once."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ratchet.cli.measuring import Dollars, Json, MostCalls, budget_of

if TYPE_CHECKING:
    from ratchet.core import Budget, Example, Task
    from ratchet.ladder import Queued
    from ratchet.measure import Drift
    from ratchet.workbench import Workbench

__all__ = ["add_to"]

ReleaseName = Annotated[str | None, typer.Option("--release", help="By default the task's name.")]
ALARM = 8
"""The exit code of `drift` where something has changed."""
SHOWN = 600
DOUBTED = 300
"""The newest requests that a committee is asked about, at most."""


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    for command in (drift, curate, wheel):
        app.command()(command)


def drift(task: str, release: ReleaseName = None, json: Json = False) -> None:
    """Has what comes in changed since the champion was admitted? Inputs, outputs and scores of the log against dev; exit code 8 if so."""
    from ratchet.cli.show import print_json
    from ratchet.climbing import Climbing
    from ratchet.workbench import Workbench

    found = Climbing(Workbench.open(task)).drift(release or task)
    if json:
        print_json({"alarms": found.alarms, "tests": [{**vars(t), "adjusted_p": p} for t, p in zip(found.tests, found.adjusted, strict=True)]})  # fmt: skip
    else:
        show_drift(found)
    if found.alarms:
        raise typer.Exit(ALARM)


def curate(
    task: str,
    release: ReleaseName = None,
    count: Annotated[int, typer.Option(min=1, help="Requests to look at, at most.")] = 20,
    committee: Annotated[
        bool,
        typer.Option(
            "--committee",
            help="Ask the served candidate again at a temperature, another of the ladder and the teacher; look first at where they disagree.",
        ),
    ] = False,
    budget: Dollars = None,
    max_calls: MostCalls = None,
    json: Annotated[bool, typer.Option("--json", help="Print the queue, and ask nothing.")] = False,
) -> None:
    """Choose from the log what a person should look at, ask for the right answers, and add them as the next dataset version.

    What somebody disliked or a guard held back comes first, then what a committee of models disagrees on (--committee), then what is far
    from all that is known.
    """
    from ratchet.cli.show import bars, out, print_command, print_json
    from ratchet.data import add_examples
    from ratchet.store import find_workspace
    from ratchet.workbench import Workbench

    bench = Workbench.open(task)
    spend = budget_of(budget, max_calls) if committee else None
    with bars() as bench.watching:
        queued = queue_in(bench, release or task, count, spend)
    if json:
        print_json([{"id": q.passed.id, "why": q.why, "inputs": q.passed.inputs, "reply": q.passed.reply, "score": q.passed.score} for q in queued])  # fmt: skip
        return
    if not queued:
        out.print("nothing in the log that is not known already")
        return
    found = asked_of(queued, bench.task)
    if not found:
        out.print("nothing was added")
        return
    with find_workspace(Path()).held():
        added = add_examples(bench.engine, bench.task, lambda: found, source=f"review of {release or task}")  # fmt: skip
    out.print(f"dataset version {added.dataset.version}: {added.new} new examples, {added.dataset.rows} in all")  # fmt: skip
    print_command("climb", task)


def wheel(
    task: str,
    release: ReleaseName = None,
    promote: Annotated[
        bool,
        typer.Option(
            "--promote", help="Serve the champion if it changed; without it, it is proposed."
        ),
    ] = False,
    budget: Dollars = None,
    max_calls: MostCalls = None,
) -> None:
    """Go round once: take examples that feedback vouches for, look for drift, climb, and propose a release. For a schedule, or by hand."""
    from ratchet.cli.show import bars, out, print_command
    from ratchet.climbing import Climbing
    from ratchet.data import add_examples
    from ratchet.ladder import examples_of_logs
    from ratchet.store import find_workspace, load_releases
    from ratchet.workbench import Workbench

    name, workspace = release or task, find_workspace(Path())
    bench = Workbench.open(task)
    vouched = list(examples_of_logs(workspace.database, bench.task, name))
    known = {example.id for example in bench.examples}
    fresh = [example for example in vouched if example.id not in known]
    with workspace.held():
        if fresh:
            added = add_examples(bench.engine, bench.task, lambda: vouched, source=f"logs of {name}")  # fmt: skip
            out.print(f"collected: {added.new} examples that feedback vouches for, dataset version {added.dataset.version}")  # fmt: skip
            bench = Workbench.open(task)
        else:
            out.print("collected: nothing new that feedback vouches for")
        climbing = Climbing(bench)
        if load_releases(bench.engine, name):
            show_drift(climbing.drift(name))
        before = bench.champion().id
        spending = budget_of(budget, max_calls)
        with bars(spending) as bench.watching:
            climbing.journey(climbing.levers(), budget=spending)
    champion = bench.champion()
    served = next((one.candidate.id for one in reversed(load_releases(bench.engine, name))), None)
    if champion.id in (before, served) and not (promote and served not in (None, champion.id)):
        out.print(f"the champion stays {champion.id}")
    elif promote:
        made = bench.promote(name=name)
        out.print(f"{made.name}: release {made.number} is {champion.id} now; {made.why}")
    else:
        proposal = f"new champion {champion.id} ({champion.note}); serve it with: "
        print_command("promote", task, "--canary", "10", before=proposal)
        print_command("promote", task, before="or, for all requests at once: ")


def queue_in(
    bench: "Workbench", name: str, count: int, budget: "Budget | None" = None
) -> "list[Queued]":
    """Return what a person should look at; with a budget a committee is asked what is in doubt."""
    from ratchet.ladder import committee_of, current, doubts_of, passed_of, queue_of
    from ratchet.models import ModelPool

    passed = passed_of(bench.engine, bench.task, name)

    async def work(pool: ModelPool) -> "list[Queued]":
        doubts: dict[str, float] = {}
        if budget is not None and passed:
            evidence = bench.ground(pool, budget).evidence
            served = current(bench.engine, name).candidate
            committee = committee_of(evidence, served, bench.steps())
            doubts = await doubts_of(evidence, served, passed[:DOUBTED], committee)
        return await queue_of(pool, passed, bench.examples, count=count, doubts=doubts)

    return bench.with_pool(work)


def show_drift(found: "Drift") -> None:
    """Print what was compared, and the alarm."""
    from ratchet.cli.show import out
    from ratchet.cli.terminal import Table

    if not found.tests:
        out.print("drift: too little in the log to compare")
        return
    table = Table("drift", "admitted on", "since", "p, adjusted", "")
    for test, p in zip(found.tests, found.adjusted, strict=True):
        table.add_row(test.what, str(test.before), str(test.after), f"{p:.3f}", test.note)
    out.print(table)
    out.print(f"[red]alarm: {', '.join(found.alarms)} changed[/]" if found.alarms else "no alarm")


def asked_of(queued: "list[Queued]", task: "Task") -> "list[Example]":
    """Return examples of what a person says at the terminal: y takes the reply, a text is the right answer, nothing skips, q ends."""
    from rich.text import Text

    from ratchet.answer import parse_answer
    from ratchet.cli.show import out
    from ratchet.core import Example
    from ratchet.core.errors import UsageError
    from ratchet.models import ChatReply

    if not sys.stdin.isatty() and sys.stdin.closed:
        raise UsageError("curate asks a person; run it at a terminal, or use --json")
    found = []
    for number, one in enumerate(queued, start=1):
        out.rule(f"{number} of {len(queued)}: {one.why}", align="left")
        for name, value in one.passed.inputs.items():
            out.print(Text(f"{name}: {str(value)[:SHOWN]}"))
        out.print(Text(f"answered: {one.passed.reply[:SHOWN]}", style="bold"))
        try:
            said = typer.prompt("right? [y, the right answer, Enter to skip, q to end]", default="", show_default=False)  # fmt: skip
        except typer.Abort:  # what was said so far is kept
            break
        if said == "q":
            break
        if not said:
            continue
        answer, failure = parse_answer(task, ChatReply(text=one.passed.reply if said == "y" else said))  # fmt: skip
        if failure:
            out.print(f"left out: that is no answer of kind {task.answer.kind!r} ({failure})")
            continue
        found.append(Example(inputs=one.passed.inputs, reference=answer, name=one.passed.id, source="review"))  # fmt: skip
    return found
