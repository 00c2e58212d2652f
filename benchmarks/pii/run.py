"""Climb the ladder of examples/pii on real-world messages: Presidio's synthetic-v2 set, which nobody here wrote.

    python benchmarks/pii/run.py --dry-run            # what the data becomes: classes, splits, leaks; no model
    python benchmarks/pii/run.py                      # start → prompt → demos → tune with local:nano; writes results.json
    python benchmarks/pii/run.py --messages 600       # a part of the messages, drawn by seed

The task, its metric and its prompts are those of examples/pii, unchanged. Messages of one template never straddle splits.
"""

import argparse
import json
import math
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from ratchet import (
    DemosLever,
    Example,
    PromptLever,
    Step,
    TuneLever,
    TuningSettings,
    Workbench,
    find_leaks,
    good_rows,
    guess_columns,
    split_examples,
    to_examples,
)
from ratchet.data import ImportReport
from ratchet.ladder import Rung, gain_text, score_text
from ratchet.store import Workspace, add_dataset, create_workspace
from ratchet.workbench import Watching

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TASK = "pii"
DATA = ROOT.parent / "shared" / "data" / "pii" / "presidio_synth_v2.json"
CLASSES = {
    "PERSON": "name",
    "EMAIL_ADDRESS": "email",
    "PHONE_NUMBER": "phone",
    "CREDIT_CARD": "credit_card",
    "IP_ADDRESS": "ip_address",
}
"""Entity types of the file that are personal data of the task; TITLE is told apart by `class_of`, the rest are not."""
ADDRESSED = frozenset({"mr", "mrs", "ms", "miss", "dr"})
"""Titles that are forms of address."""
SPLITS = ("train", "dev", "test")


@dataclass(frozen=True)
class Imported:
    """What the data became."""

    workspace: Workspace
    examples: list[Example]
    report: ImportReport


def class_of(span: dict[str, str]) -> str | None:
    """Return the task's class of a span, or None where the span is no personal data of this task.

    The file uses TITLE for two things: a form of address ("Mrs."), which is none of the task's classes, and an occupation
    ("Midwife"), which is its `job_title`.
    """
    if span["entity_type"] == "TITLE":
        is_address = span["entity_value"].rstrip(".").lower() in ADDRESSED
        return None if is_address else "job_title"
    return CLASSES.get(span["entity_type"])


def row_of(record: dict[str, object]) -> dict[str, object]:
    """Return a record of the file as a row of examples/pii: each field once, in the order of the text."""
    spans = sorted(record["spans"], key=lambda span: span["start_position"])  # type: ignore[call-overload]  # JSON
    fields = dict.fromkeys((s["entity_value"], class_of(s)) for s in spans if class_of(s))
    return {
        "message": record["full_text"],
        "fields": [{"string": text, "pii_type": kind} for text, kind in fields],
        "form": f"template {record['template_id']}",
    }


def rows_of(path: Path, count: int | None, seed: int) -> list[dict[str, object]]:
    """Return the rows of the file, or `count` of them drawn by `seed`."""
    records = json.loads(path.read_text("utf-8"))
    if count is not None and count < len(records):
        records = Random(seed).sample(records, count)
    return [row_of(record) for record in records]


def imported(folder: Path, rows: Sequence[dict[str, object]], source: str) -> Imported:
    """Make a workspace with the task of examples/pii and these rows, as `ratchet import` would."""
    workspace = create_workspace(folder)
    example = ROOT / "examples" / "pii"
    shutil.copy(example / "pii.yaml", workspace.task_path(TASK))
    shutil.copytree(example / "prompts", workspace.task_path(TASK).with_suffix(""))
    task = workspace.load_task(TASK)
    file = folder / "messages.jsonl"
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    file.write_text("".join(lines), "utf-8")
    read = list(good_rows(file))
    guess = guess_columns(read, inputs=["message"], answer="fields", group=task.splits.group_by)
    report = ImportReport()
    examples = list(to_examples(task, read, guess, file, report=report))
    placed = split_examples(examples, task.splits)
    add_dataset(workspace.database, TASK, placed, source=source)
    return Imported(workspace, placed, report)


def data_lines(data: Imported) -> Iterator[str]:
    """Yield what the data became, as a Markdown table and a line about leaks."""
    by_split = {name: [e for e in data.examples if e.split == name] for name in SPLITS}
    counts = {
        name: Counter(f["pii_type"] for e in chosen for f in e.reference["fields"])
        for name, chosen in by_split.items()
    }
    yield "| | train | dev | test | all |"
    yield "|---|---|---|---|---|"
    yield line_of("messages", [len(by_split[name]) for name in SPLITS])
    empty = [sum(not e.reference["fields"] for e in by_split[name]) for name in SPLITS]
    yield line_of("messages without personal data", empty)
    templates = [len({e.group for e in by_split[name]}) for name in SPLITS]
    yield line_of("templates", templates)
    for kind in sorted({kind for count in counts.values() for kind in count}):
        yield line_of(kind, [counts[name][kind] for name in SPLITS])
    yield ""
    leaks = len(find_leaks(data.examples))
    yield f"{data.report.repeated} repeated messages kept once; leaks between splits: {leaks or 'none'}"


def line_of(title: str, cells: Sequence[int]) -> str:
    return f"| {title} | {' | '.join(str(cell) for cell in cells)} | {sum(cells)} |"


class Totals(Watching):
    """Keep the figures of each rung that a step does not hold: micro precision, recall and F1 of exact spans."""

    def __init__(self) -> None:
        self.by_rung: dict[int, dict[str, float]] = {}

    def says(self, text: str) -> None:
        """Print what begins."""
        print(text, file=sys.stderr)

    def climbs(self, rung: Rung) -> None:
        """Keep the totals of the rung."""
        self.by_rung[rung.step.number] = rung.challenger.totals
        print(f"rung {rung.step.number}: {score_text(rung.step)}", file=sys.stderr)


def ladder_lines(steps: Sequence[Step], totals: dict[int, dict[str, float]]) -> Iterator[str]:
    """Yield the ladder as a Markdown table."""
    yield "| | lever | what | score | micro F1 | gain on champion | verdict | | s |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for step in steps:
        exact = totals[step.number]["micro_f1"]
        shown = "n/a" if math.isnan(exact) else f"{100 * exact:.1f}"
        verdict = step.verdict.decision if step.verdict else "–"
        kept = "kept" if step.kept else "dropped"
        yield (
            f"| {step.number} | {step.lever} | {step.what} | {score_text(step)} | {shown} | {gain_text(step)} | {verdict} "
            f"| {kept} | {step.spend.seconds:.0f} |"
        )


def known(totals: dict[str, float]) -> dict[str, float | None]:
    """Return the figures with NaN as None, which JSON can hold."""
    return {name: None if math.isnan(value) else value for name, value in totals.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--messages", type=int, help="How many; by default all.")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--seed", type=int, default=0, help="Of the choice of messages.")
    parser.add_argument("--epochs", type=float, help="Passes of the lever tune over train.")
    parser.add_argument("--dry-run", action="store_true", help="Prepare the data, show it, end.")
    parser.add_argument("--output", type=Path, default=HERE / "results.json")
    given = parser.parse_args()
    if not given.data.is_file():
        parser.exit(2, f"there is no file {given.data}; name the data with --data\n")
    with tempfile.TemporaryDirectory(prefix="ratchet-pii-") as folder:
        rows = rows_of(given.data, given.messages, given.seed)
        data = imported(Path(folder) / "workspace", rows, given.data.name)
        print("\n".join(data_lines(data)), flush=True)
        if given.dry_run:
            return
        started = time.monotonic()
        bench = Workbench.open(TASK, data.workspace.root)
        bench.watching = watching = Totals()
        settings = TuningSettings(epochs=given.epochs) if given.epochs else TuningSettings()
        levers = [PromptLever(bench.variants()), DemosLever(), TuneLever(settings)]
        steps = bench.climb(levers)
        print("\n".join(["", *ladder_lines(steps, watching.by_rung)]))
        body = {
            "date": time.strftime("%Y-%m-%d"),
            "data": given.data.name,
            "model": bench.task.models.student,
            "messages": {name: sum(e.split == name for e in data.examples) for name in SPLITS},
            "seconds": time.monotonic() - started,
            "steps": [
                {**step.model_dump(mode="json"), "totals": known(watching.by_rung[step.number])}
                for step in steps
            ],
        }
        given.output.write_text(json.dumps(body, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
