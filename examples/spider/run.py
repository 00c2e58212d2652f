"""Text-to-SQL on Spider, the ladder that practitioners climb by hand, with one command for any model.

    python examples/spider/run.py --data path/to/spider --model local:nano
    python examples/spider/run.py --data path/to/spider --model openrouter/qwen3-8b --budget 2

The steps: the plain prompt with the database in it; examples that are nearest by their question; nearest by a hypothetical query;
those of the same hardness first; the error handed back; a fine-tune (of a local model); the fine-tune with examples. Each gets a
verdict on execution accuracy, as the official evaluator counts it, and is kept only when it is proven better. It all stands in a
workspace in `--where`, in which every `ratchet` command works, and goes on where it was when it is run again.

Spider: Yu et al. 2018, CC BY-SA 4.0. Development questions of ten databases are dev and test, the databases of one never those of the
other; training questions are what examples and fine-tune come from, their databases made empty from `tables.json`.
"""

import argparse
import json
import shutil
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import yaml

from ratchet import Workbench
from ratchet.cli.show import bars
from ratchet.core import Budget, Candidate, Decoding, Demonstration, Nearest
from ratchet.core.errors import RatchetError
from ratchet.data import add_examples, good_rows, guess_columns, to_examples
from ratchet.data.importing import ImportReport
from ratchet.levers import Evidence, Lever, LeverEstimate, TuneLever
from ratchet.store import create_workspace

TASK = "sql"
SHOWN, POOL = 4, 500
"""Examples that an input gets to see, and of how many."""
KINDS = {
    "text": "TEXT",
    "number": "NUMERIC",
    "time": "TEXT",
    "boolean": "BOOLEAN",
    "others": "TEXT",
}
ROWS = "questions.jsonl"


class Change:
    """A rung that changes one part of the champion; a lever like any other."""

    def __init__(self, name: str, note: str, **parts: Any) -> None:
        self.name, self._note, self._parts = name, note, parts

    async def estimate(self, _champion: Candidate, _evidence: Evidence) -> LeverEstimate:
        """Return that it is one candidate."""
        return LeverEstimate(candidates=1, calls=0, cost_usd=0.0)

    async def propose(
        self, champion: Candidate, evidence: Evidence, _budget: Budget
    ) -> AsyncIterator[Candidate]:
        """Yield the champion with that part changed."""
        parts = dict(self._parts)
        if "nearest" in parts:
            pool = Random(0).sample(evidence.train, min(POOL, len(evidence.train)))
            parts["demonstrations"] = tuple(Demonstration(inputs=e.inputs, answer=e.reference) for e in pool)  # fmt: skip
        if "repairs" in parts:
            drawn = {**champion.decoding.model_dump(), "repairs": parts.pop("repairs")}
            parts["decoding"] = Decoding.model_validate(drawn)
        yield champion.changed(**parts, note=self._note)


def steps(model: str) -> list[Lever]:
    """Return the rungs, in the order of the practice."""
    by_question = Nearest(count=SHOWN)
    levers: list[Lever] = [
        Change("examples by question", f"the {SHOWN} nearest examples by question", nearest=by_question),
        Change("examples by query", f"the {SHOWN} nearest examples by a hypothetical query", nearest=Nearest(count=SHOWN, by="answer")),
        Change("examples by hardness", f"the {SHOWN} nearest examples of the same hardness", nearest=Nearest(count=SHOWN, same_class=True)),
        Change("execution feedback", "up to two repairs, with the error", repairs=2),
    ]  # fmt: skip
    if model.startswith("local:"):
        levers += [
            TuneLever(),
            Change("fine-tune and examples", "the champion with the nearest examples", nearest=by_question),
        ]  # fmt: skip
    return levers


def make_workspace(data: Path, where: Path, *, train: int, dev: int) -> None:
    """Write databases, the task's file and its examples."""
    folder = where / "databases"
    folder.mkdir(parents=True, exist_ok=True)
    tables = json.loads((data / "tables.json").read_text("utf-8"))
    for one in tables:
        place = folder / f"{one['db_id']}.sqlite"
        real = data / "database" / one["db_id"] / f"{one['db_id']}.sqlite"
        if real.is_file():
            shutil.copy(real, place)
        elif not place.exists():
            make_empty(one, place)
    asked = json.loads((data / "questions.json").read_text("utf-8"))
    learnt = json.loads((data / "train.json").read_text("utf-8"))
    rng = Random(0)
    databases = sorted({row["db_id"] for row in asked})
    rng.shuffle(databases)
    held = set(databases[: len(databases) // 2])
    parts = {
        "train": rng.sample(learnt, min(train, len(learnt))),
        "dev": [row for row in asked if row["db_id"] in held],
        "test": [row for row in asked if row["db_id"] not in held],
    }
    parts["dev"] = rng.sample(parts["dev"], min(dev, len(parts["dev"])))
    with (where / ROWS).open("w", encoding="utf-8") as file:
        for split, rows in parts.items():
            for row in rows:
                line = {name: row[name] for name in ("question", "db_id", "query")} | {
                    "split": split
                }
                file.write(json.dumps(line) + "\n")


def make_empty(tables: dict[str, Any], place: Path) -> None:
    """Make a database without rows from its description."""
    quoted = [f'"{name}"' for name in tables["table_names_original"]]
    columns: dict[int, list[str]] = {number: [] for number in range(len(quoted))}
    keys = set(tables["primary_keys"])
    for number, (table, name) in enumerate(tables["column_names_original"]):
        if table >= 0:  # not the star
            columns[table].append(f'"{name}" {KINDS.get(tables["column_types"][number], "TEXT")}')
    for one, other in tables["foreign_keys"]:
        (table, name), (far, key) = (tables["column_names_original"][k] for k in (one, other))
        columns[table].append(f'FOREIGN KEY ("{name}") REFERENCES {quoted[far]}("{key}")')
    for number in keys:
        if isinstance(number, int):
            table, name = tables["column_names_original"][number]
            columns[table].append(f'PRIMARY KEY ("{name}")')
    with closing(sqlite3.connect(place)) as connection:
        for table, parts in columns.items():
            if tables["table_names_original"][table].startswith("sqlite_"):  # SQLite's own
                continue
            own = [part for part in parts if part.startswith("PRIMARY")]
            rest = [part for part in parts if not part.startswith(("PRIMARY", "FOREIGN"))]
            links = [part for part in parts if part.startswith("FOREIGN")]
            connection.execute(
                f"CREATE TABLE {quoted[table]} ({', '.join([*rest, *own[:1], *links])})"
            )


def open_bench(where: Path, model: str) -> Workbench:
    """Return the task in its workspace; both are made where they are not there yet."""
    workspace = create_workspace(where)
    known = {
        "name": TASK,
        "instructions": "Write one SQLite query that answers the question. Reply with the query and nothing else.",
        "inputs": [{"name": "question"}, {"name": "db_id"}],
        "answer": {"kind": "sql", "database": "databases/{{db_id}}.sqlite", "max_tokens": 200},
        "metric": {"name": "execution"},
        "splits": {"group_by": None},
        "models": {"student": model},
    }
    path = workspace.task_path(TASK)
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump(known, sort_keys=False), "utf-8")
        task = workspace.load_task(TASK)
        rows = list(good_rows(where / ROWS, skip_bad=False, skipped=[]))
        guess = guess_columns(rows, inputs=["question", "db_id"], answer="query", split="split")
        found = list(to_examples(task, rows, guess, where / ROWS, report=ImportReport()))
        add_examples(workspace.database, task, lambda: found, source=ROWS)
    return Workbench.open(TASK, where)


def main() -> None:
    """Climb, and print the ladder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--data", type=Path, required=True, help="the folder of Spider")
    parser.add_argument(
        "--model", default="local:nano", help="local:<folder> or <endpoint>/<model>"
    )
    parser.add_argument("--where", type=Path, default=Path("spider"), help="the workspace")
    parser.add_argument("--train", type=int, default=1000, help="training questions")
    parser.add_argument("--dev", type=int, default=300, help="development questions to measure on")
    parser.add_argument("--budget", type=float, help="dollars at most")
    given = parser.parse_args()
    if not (given.data / "questions.json").is_file():
        parser.exit(2, f"there is no Spider in {given.data}: questions.json is missing\n")
    if not (given.where / ROWS).exists():
        make_workspace(given.data, given.where, train=given.train, dev=given.dev)
    bench = open_bench(given.where, given.model)
    start = bench.start().changed(
        user="{{#if schema}}Database:\n{{schema}}\n\n{{/if}}Question: {{question}}",
        note="the database and the question",
    )
    with bars() as bench.watching:
        bench.climb(steps(given.model), start=start, budget=Budget(cost_usd=given.budget))
    for step in bench.steps():
        mark = "✓" if step.kept else "✗"
        change = f"{100 * step.verdict.effect:+.1f} [{100 * step.verdict.interval.low:+.1f}, {100 * step.verdict.interval.high:+.1f}]" if step.verdict else ""  # fmt: skip
        print(f"{mark} {100 * step.score:5.1f}  {change:24} {step.what}")
    print(f"more: cd {given.where} && ratchet ladder {TASK}")


if __name__ == "__main__":
    try:
        main()
    except RatchetError as error:
        sys.exit(str(error))
