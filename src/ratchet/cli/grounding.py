"""Commands about answers that stand on passages: `rag` measures them with the four metrics of the field."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ratchet.cli.measuring import CandidateName, Dollars, Json, MostCalls, budget_of

if TYPE_CHECKING:
    from ratchet.measure import Measurement

__all__ = ["add_to"]

LITTLE = 0.3
"""Under this share of useful passages a hint is given."""
SHOWN = 200


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(rag)


def rag(
    task: str,
    judge: Annotated[
        str | None, typer.Option(help="The model that judges; by default the task's teacher.")
    ] = None,
    candidate: CandidateName = None,
    split: Annotated[
        Literal["train", "dev"], typer.Option(help="Which examples; test is sealed.")
    ] = "dev",
    metrics: Annotated[
        str, typer.Option(help="With commas; by default all four.")
    ] = "faithfulness,relevancy,context-precision,context-recall",
    embedding: Annotated[
        str, typer.Option(help="Who compares questions, for relevancy.")
    ] = "local:minilm",
    worst: Annotated[int, typer.Option(min=0, help="Show so many of the lowest scores.")] = 2,
    budget: Dollars = None,
    max_calls: MostCalls = None,
    json: Json = False,
) -> None:
    """Answers that stand on passages: faithfulness and relevancy of the answer, precision and recall of the search, by a judge.

    The answers are those that are stored, or are bought once; each vote of the judge is kept, and paid for once.
    """
    from ratchet.cli.show import bars, print_json
    from ratchet.core.errors import BudgetError, UsageError
    from ratchet.ladder import rag_metric
    from ratchet.metrics import RAG_METRICS
    from ratchet.store import find_workspace
    from ratchet.workbench import Workbench

    bench = Workbench.open(task)
    chosen = bench.candidate(candidate)
    bench.check_fits(chosen)
    if chosen.retrieval is None:
        raise UsageError(
            f"{chosen.id} answers without passages; find a candidate that has some with: ratchet try retrieval {task}"
        )
    wanted = [name for name in metrics.replace(" ", "").split(",") if name]
    names = [name for name in RAG_METRICS if name in wanted]
    if not names or set(wanted) - set(names):
        raise UsageError(f"--metrics is some of {', '.join(RAG_METRICS)}; got {metrics!r}")
    spending = budget_of(budget, max_calls)
    found: dict[str, Measurement] = {}
    with find_workspace(Path()).held(), bars() as bench.watching:
        for name in names:
            options = {"embedding": embedding, **({"judge": judge} if judge else {})}
            bench.metric = rag_metric(bench.task, name, options)
            try:
                found[name] = bench.measure(chosen, split, budget=spending)
            except BudgetError:
                if not found:
                    raise
                break
    if json:
        print_json({name: one.plain() for name, one in found.items()})
        return
    show_rag(found, worst, whole=len(found) == len(names))


def show_rag(found: "dict[str, Measurement]", worst: int, *, whole: bool) -> None:
    """Print the figures, the lowest scores with their reasons, and what they suggest."""
    from rich.text import Text

    from ratchet.cli.show import out, warn
    from ratchet.cli.terminal import Table

    first = next(iter(found.values()))
    table = Table("metric", "mean", "95 %", "n", "missing", title=f"{first.candidate.id} on {first.split}")  # fmt: skip
    for name, one in found.items():
        bounds = f"{one.interval.low:.3f} to {one.interval.high:.3f}"
        table.add_row(name, f"{one.score:.3f}", bounds, str(one.n), str(len(one.missing)))
    out.print(table)
    for name, one in found.items():
        lowest = sorted((t for t in one.read() if t.score and t.score.value < 1), key=lambda t: t.score.value if t.score else 0)  # fmt: skip
        for trial in lowest[:worst]:
            assert trial.score  # those without one are not listed
            out.print(Text(f"{name} {trial.score.value:.2f}  {trial.example_id}  {trial.score.feedback[:SHOWN]}"))  # fmt: skip
    precision = found.get("context-precision")
    if precision and precision.score < LITTLE:
        warn(["few passages are of use: try fewer of them (k), reranking, or shortening (compressing)"])  # fmt: skip
    if not whole or any(one.stopped for one in found.values()):
        warn(["the budget is spent; run the same command with a larger one to go on"])
