"""The command `synth`: a model writes examples, and a person takes them or not."""

from pathlib import Path
from typing import Annotated

import typer

from ratchet.cli.measuring import Dollars, Json, MostCalls, budget_of

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(synth)


def synth(
    task: str,
    kind: Annotated[
        str,
        typer.Option(
            help="alike (as those there are), rare (as those with the rarest answers) or reverse (an input for a given answer)."
        ),
    ] = "alike",
    model: Annotated[
        str, typer.Option(help="Who writes; left out, the task's teacher, else its student.")
    ] = "",
    count: Annotated[int, typer.Option(min=1, max=1000, help="How many, at most.")] = 10,
    accept: Annotated[
        bool, typer.Option("--accept", help="Take all of them; without it they wait on the page.")
    ] = False,
    budget: Dollars = None,
    max_calls: MostCalls = None,
    json: Json = False,
) -> None:
    """Let a model write examples; they are marked as synthetic, and what is nearly an example that is there is refused."""
    from ratchet.cli.show import bars, out, print_command, print_json
    from ratchet.core.errors import UsageError
    from ratchet.core.records import written
    from ratchet.data import add_examples
    from ratchet.ladder import KINDS, synthesise
    from ratchet.ladder.final import login_name
    from ratchet.ladder.synthesis import Synthesis
    from ratchet.models import ModelPool
    from ratchet.store import find_workspace
    from ratchet.store.edits import add_edit, load_edits
    from ratchet.workbench import Workbench

    chosen = next((one for one in KINDS if one == kind), None)
    if chosen is None:
        raise UsageError(f"--kind is one of {', '.join(KINDS)}; got {kind!r}")
    bench = Workbench.open(task)
    roles = bench.task.models
    who = model or roles.teacher or roles.student
    before = len(load_edits(bench.engine, task, limit=100_000))  # another seed each time

    async def work(pool: ModelPool) -> Synthesis:
        evidence = bench.ground(pool, budget_of(budget, max_calls)).evidence
        return await synthesise(evidence, bench.examples, kind=chosen, model=who, count=count, seed=before)  # fmt: skip

    with find_workspace(Path()).held(), bars() as bench.watching:
        found = bench.with_pool(work)
        if accept and found.examples:
            add_examples(bench.engine, bench.task, lambda: found.examples, source=f"written by {who}")  # fmt: skip
        for example in () if accept else found.examples:
            add_edit(bench.engine, task, example.id, "suggested", login_name(), {"example": example.plain()})  # fmt: skip
    if json:
        print_json({"examples": [one.plain() for one in found.examples], "refused": found.refused})
        return
    for example in found.examples:
        out.print(f"{written(example.inputs)} → {written(example.reference)}", markup=False)
    refused = ", ".join(f"{n} {why}" for why, n in found.refused.items()) or "none"
    out.print(f"{len(found.examples)} examples written by {who}; refused: {refused}")
    if found.examples and not accept:
        waiting = "they wait to be taken, one by one, under Examples on the page: "
        print_command("serve", before=waiting)
