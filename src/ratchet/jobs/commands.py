"""Commands as runs: the page starts `ratchet climb …` in a process of its own, and shows what that says.

A run needs no server: it goes on when the one that started it is gone, and whoever comes next finds its state in the database, its words in
a file, and its progress in another. One runs at a time, the others wait. Killed, it may be started again: every command goes on where it was.
"""

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from ratchet.core import Json
from ratchet.core.errors import UsageError
from ratchet.core.running import PROGRESS
from ratchet.store import Workspace, find_workspace
from ratchet.store.runs import Run, add_run, find_run, load_runs, update_run

__all__ = ["again", "output_of", "progress_of", "settled", "start_run", "stop_run", "unfinished"]

INTERRUPTED, GONE = 130, -1
LONGEST = 20_000
"""Characters of a run's words that are shown."""
BEGINS_S = 20.0
"""So long a supervisor may take to begin."""


def folder_of(workspace: Workspace) -> Path:
    """Return where the words of runs are kept."""
    return workspace.files / "runs"


def start_run(workspace: Workspace, task: str, words: Sequence[str], who: str) -> Run:
    """Return the run of a command, which waits for its turn or goes on already."""
    run = add_run(workspace.database, task, tuple(words), who)
    folder = folder_of(workspace)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{run.id}.log").open("w") as log:
        process = subprocess.Popen(  # noqa: S603 - our own program; its words are a list, and no shell reads them
            [sys.executable, "-m", "ratchet.jobs.commands", str(workspace.root), run.id],
            cwd=workspace.root, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env={**os.environ, "COLUMNS": "120", "NO_COLOR": "1", PROGRESS: str(folder / f"{run.id}.json")},
            start_new_session=True,
        )  # fmt: skip
    threading.Thread(
        target=process.wait, name=run.id, daemon=True
    ).start()  # nobody else takes note of its end
    return run


def again(workspace: Workspace, run: Run, who: str) -> Run:
    """Return a new run of the same command."""
    return start_run(workspace, run.task, run.words, who)


def stop_run(workspace: Workspace, run_id: str) -> None:
    """Stop a run as Ctrl-C does: what it bought is kept.

    Raises: UsageError if there is none, or it has ended.
    """
    run = settled(workspace, run_id)
    if run.is_done:
        raise UsageError(f"the run has ended: {run.state}")
    update_run(workspace.database, run_id, was="waiting", state="stopped", ended_at=time.time())
    if run.pid:
        try:
            os.killpg(run.pid, signal.SIGINT)
        except ProcessLookupError:
            return


def settled(workspace: Workspace, run_id: str) -> Run:
    """Return a run as it is; one whose process is gone without a word has failed.

    Raises: UsageError if there is none.
    """
    run = find_run(workspace.database, run_id)
    if run is None:
        raise UsageError(f"there is no run {run_id!r}")
    if run.is_done or time.time() - run.created_at < BEGINS_S or is_held(workspace, run_id):
        return run
    update_run(workspace.database, run_id, was=run.state, state="failed", code=GONE, ended_at=time.time())  # fmt: skip
    return find_run(workspace.database, run_id) or run


def is_held(workspace: Workspace, run_id: str) -> bool:
    """Return whether a run's process lives: it holds a lock as long as it does."""
    path = folder_of(workspace) / f"{run_id}.lock"
    if not path.exists():
        return False
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def output_of(workspace: Workspace, run_id: str) -> str:
    """Return the end of what a run has said."""
    path = folder_of(workspace) / f"{run_id}.log"
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - LONGEST))
        return file.read().decode("utf-8", "replace")


def progress_of(workspace: Workspace, run_id: str) -> dict[str, Json]:
    """Return how far a run is: `title`, `done`, `total`, `note`, `began`; empty where it has not said."""
    path = folder_of(workspace) / f"{run_id}.json"
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def supervise(root: Path, run_id: str) -> int:
    """Wait for the turn, run the command, and write down how it ended."""
    workspace = find_workspace(root)
    engine, folder = workspace.database, folder_of(workspace)
    child: subprocess.Popen[bytes] | None = None

    def stop(*_: object) -> None:
        if child is None:
            update_run(engine, run_id, was="waiting", state="stopped", ended_at=time.time())
            os._exit(INTERRUPTED)

    signal.signal(signal.SIGINT, stop)  # the child, of the same group, gets it too
    with (folder / f"{run_id}.lock").open("w") as own, (folder / "turn.lock").open("w") as turn:
        fcntl.flock(own, fcntl.LOCK_EX)
        update_run(engine, run_id, pid=os.getpid())
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not update_run(engine, run_id, was="waiting", state="running", started_at=time.time()):
            return INTERRUPTED  # it was stopped before its turn came
        run = find_run(engine, run_id)
        assert run is not None
        child = subprocess.Popen([sys.executable, "-m", "ratchet.cli", *run.words])  # noqa: S603 - as above
        code = child.wait()
        state = "succeeded" if code == 0 else "stopped" if code in (INTERRUPTED, -signal.SIGINT) else "failed"  # fmt: skip
        update_run(engine, run_id, state=state, code=code, ended_at=time.time())
    return code


def unfinished(workspace: Workspace) -> list[Run]:
    """Return the runs that wait or go on, the newest first."""
    found = load_runs(workspace.database, states=("waiting", "running"))
    return [one for one in (settled(workspace, run.id) for run in found) if not one.is_done]


if __name__ == "__main__":
    sys.exit(supervise(Path(sys.argv[1]), sys.argv[2]))
