"""Commands as runs: the page starts `ratchet climb …` in a process of its own, and shows what that says.

A run needs no server: it goes on when the one that started it is gone, and whoever comes next finds its state in the database, its words in
a file, and its progress in another. One runs at a time, the others wait. Killed, it may be started again: every command goes on where it was.
"""

import fcntl
import json
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from ratchet.core import Json
from ratchet.core.errors import BusyError, UsageError
from ratchet.core.running import PROGRESS, WHO
from ratchet.store import Workspace, find_workspace
from ratchet.store.runs import Run, add_run, find_run, load_runs, update_run

__all__ = [
    "GONE",
    "again",
    "output_of",
    "progress_of",
    "settled",
    "start_run",
    "stop_run",
    "unfinished",
]

INTERRUPTED, GONE = 130, -1
LONGEST = 20_000
"""Characters of a run's words that are shown."""
PATIENCE_S, LOOK_S, BUSY_S = 30.0, 0.2, 5.0
"""So long a run may take to end before it is told more clearly; how often one looks; how long one waits for a terminal."""


def folder_of(workspace: Workspace) -> Path:
    """Return where the words of runs are kept."""
    return workspace.files / "runs"


def place_of(workspace: Workspace) -> str:
    """Return the machine and folder that a workspace is in."""
    return f"{platform.node()}:{workspace.root}"[:400]


def start_run(workspace: Workspace, task: str, words: Sequence[str], who: str) -> Run:
    """Return the run of a command, which waits for its turn or goes on already."""
    run = add_run(workspace.database, task, tuple(words), who, place_of(workspace))
    folder = folder_of(workspace)
    folder.mkdir(parents=True, exist_ok=True)
    own = (folder / f"{run.id}.lock").open("w")
    with own, (folder / f"{run.id}.log").open("w") as log:
        fcntl.flock(own, fcntl.LOCK_EX)  # handed on: it is held as long as the run's processes live
        process = subprocess.Popen(  # noqa: S603 - our own program; its words are a list, and no shell reads them
            [sys.executable, "-P", "-m", "ratchet.jobs.commands", str(workspace.root), run.id, str(own.fileno())],
            cwd=workspace.root, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env={**os.environ, "COLUMNS": "120", "NO_COLOR": "1", PROGRESS: str(folder / f"{run.id}.json"), WHO: who},
            start_new_session=True, pass_fds=(own.fileno(),),
        )  # fmt: skip
    update_run(workspace.database, run.id, pid=process.pid)
    # nobody else takes note of its end
    threading.Thread(target=process.wait, name=run.id, daemon=True).start()
    return find_run(workspace.database, run.id) or run


def again(workspace: Workspace, run: Run, who: str) -> Run:
    """Return a new run of the same command."""
    return start_run(workspace, run.task, run.words, who)


def stop_run(workspace: Workspace, run_id: str) -> None:
    """Stop a run as Ctrl-C does: what it bought is kept. One that does not listen is ended after a while.

    Raises: UsageError if there is none, it has ended, or it runs on another machine.
    """
    run = settled(workspace, run_id)
    if run.is_done:
        raise UsageError(f"the run has ended: {run.state}")
    if run.place != place_of(workspace):
        raise UsageError(f"it runs in {run.place}; stop it there")
    update_run(workspace.database, run_id, was="waiting", state="stopped", ended_at=time.time())
    # it may have begun, and have a process, meanwhile
    run = find_run(workspace.database, run_id) or run
    if run.pid:
        threading.Thread(target=ended, args=(workspace, run_id, run.pid), daemon=True).start()


def ended(workspace: Workspace, run_id: str, group: int) -> None:
    """Ask the processes of a run to end, ever more clearly."""
    for number, patience in ((signal.SIGINT, PATIENCE_S), (signal.SIGTERM, PATIENCE_S), (signal.SIGKILL, 0.0)):  # fmt: skip
        try:
            os.killpg(group, number)
        except ProcessLookupError:
            return
        until = time.monotonic() + patience
        while time.monotonic() < until:
            if not is_held(workspace, run_id):
                return
            time.sleep(LOOK_S)


def settled(workspace: Workspace, run_id: str) -> Run:
    """Return a run as it is; one whose processes are gone without a word has failed.

    Raises: UsageError if there is none.
    """
    run = find_run(workspace.database, run_id)
    if run is None:
        raise UsageError(f"there is no run {run_id!r}")
    if run.is_done or run.place != place_of(workspace) or is_held(workspace, run_id):
        return run
    update_run(workspace.database, run_id, was=run.state, state="failed", code=GONE, ended_at=time.time())  # fmt: skip
    return find_run(workspace.database, run_id) or run


def is_held(workspace: Workspace, run_id: str) -> bool:
    """Return whether a process of a run lives: each holds its lock as long as it does."""
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


def supervise(root: Path, run_id: str, lock: int) -> int:
    """Wait for the turn, run the command, and write down how it ended.

    Args:
        root: The workspace.
        run_id: The run.
        lock: The file descriptor of its lock, which is held already, and by the command too.
    """
    workspace = find_workspace(root)
    engine, folder = workspace.database, folder_of(workspace)
    begun = stopped = False

    def stop(*_: object) -> None:
        nonlocal stopped
        stopped = True
        if not begun:
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, stop)  # the command, of the same group, gets it too
    with (folder / "turn.lock").open("w") as turn:
        try:
            fcntl.flock(turn, fcntl.LOCK_EX)
        except KeyboardInterrupt:
            update_run(engine, run_id, was="waiting", state="stopped", ended_at=time.time())
            return INTERRUPTED
        begun = True
        if not update_run(engine, run_id, was="waiting", state="running", started_at=time.time()):
            return INTERRUPTED  # it was stopped before its turn came
        run = find_run(engine, run_id)
        assert run is not None
        while True:
            command = [sys.executable, "-P", "-m", "ratchet.cli", *run.words]
            child = subprocess.Popen(command, pass_fds=(lock, turn.fileno()))  # noqa: S603 - as above
            if stopped:  # before there was anybody to hear of it
                child.send_signal(signal.SIGINT)
            code = child.wait()
            if code != BusyError.exit_code or stopped:
                break
            time.sleep(BUSY_S)  # somebody works at a terminal
            if stopped:
                break
        is_stopped = stopped or code in (INTERRUPTED, -signal.SIGINT)
        state = "stopped" if is_stopped else "succeeded" if code == 0 else "failed"
        update_run(engine, run_id, state=state, code=code, ended_at=time.time())
    return code


def unfinished(workspace: Workspace) -> list[Run]:
    """Return the runs that wait or go on, the newest first."""
    found = load_runs(workspace.database, states=("waiting", "running"))
    return [one for one in (settled(workspace, run.id) for run in found) if not one.is_done]


if __name__ == "__main__":
    sys.exit(supervise(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
