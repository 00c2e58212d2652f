"""Ratchet's own `measure`: a workspace on disk, an endpoint in ratchet.toml, exact match, every trial in SQLite.

The workspace is made by a process of its own (`--prepare`), so that neither its time nor its memory counts.
"""

import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

from task import MODEL, SYSTEM, Clock, arguments, asked, finish

from ratchet import Example, InputField, MetricSpec, Roles, Task, Workbench

TASK = "throughput"


def prepare(folder: Path, url: str, count: int, concurrency: int) -> None:
    """Make a workspace whose dev split holds all examples."""
    from ratchet.store import add_dataset, create_workspace

    folder.mkdir()
    settings = f'[endpoints.stub]\nbase_url = "{url}"\nconcurrency = {concurrency}\n'
    (folder / "ratchet.toml").write_text(settings, "utf-8")
    workspace = create_workspace(folder)
    task = Task(
        name=TASK,
        instructions=SYSTEM,
        inputs=(InputField(name="question"),),
        metric=MetricSpec(name="exact"),
        models=Roles(student=f"stub/{MODEL}"),
    )
    workspace.save_task(task)
    examples = [
        Example(inputs={"question": question}, reference=reference, split="dev")
        for question, reference in asked(count)
    ]
    add_dataset(workspace.database, TASK, examples, source="scripted")


def stored(folder: Path) -> int:
    """Return how many trials are on disk."""
    connection = sqlite3.connect(folder / ".ratchet" / "ratchet.db")
    return int(connection.execute("SELECT count(*) FROM scores").fetchone()[0])


def main() -> None:
    if sys.argv[1] == "--prepare":
        prepare(Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
        return
    given = arguments()
    with tempfile.TemporaryDirectory(prefix="ratchet-throughput-") as temporary:
        folder = Path(temporary) / "workspace"
        counts = [str(given.examples), str(given.concurrency)]
        subprocess.run(
            [sys.executable, __file__, "--prepare", str(folder), given.url, *counts], check=True
        )
        bench = Workbench.open(TASK, folder)
        clock = Clock()
        measured = bench.measure()
        score = measured.score  # with its interval: they are made together
        clock.stop()
        assert measured.bought == stored(folder) == given.examples, measured.missing[:1]
    finish(given.examples, round(score * given.examples), clock, "ratchet", "aiohttp")


if __name__ == "__main__":
    main()
