"""The queue with a real worker process, on both databases; the jobs are ones that end at once."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from ratchet.jobs.queue import Queue
from ratchet.store import create_workspace
from ratchet.store.jobs import add_job, find_job, job_events_of

pytest.importorskip("torch")


def test_jobs_are_taken_once_and_those_left_behind_too(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job in the queue, and one whose server died before it put it in, are both run, once; the worker ends with who started it."""
    monkeypatch.setenv("RATCHET_DATABASE", database_url)
    workspace = create_workspace(tmp_path / "w")
    asked = {"model": "local:nano", "training_file": "file-gone"}
    jobs = [add_job(workspace.database, asked) for _ in range(2)]
    queue = Queue(workspace)
    queue.put(jobs[0].id, 1)
    queue.put(jobs[0].id, 1)
    queue.close()
    starter = (
        "import os, subprocess, sys, time; subprocess.Popen([sys.executable, '-m', 'ratchet.jobs', str(os.getpid())], "
        "stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", starter], cwd=workspace.root) as parent:
        until = time.monotonic() + 60
        while any(find_job(workspace.database, job.id).status != "failed" for job in jobs):  # type: ignore[union-attr]
            assert time.monotonic() < until
            time.sleep(0.1)
        parent.kill()
    while is_worked(workspace.root):
        assert time.monotonic() < until
        time.sleep(0.1)

    for job in jobs:
        messages = [event.message for event in job_events_of(workspace.database, job.id)]
        assert len(messages) == 1
        assert "was deleted" in messages[0]
    workspace.database.dispose()


def is_worked(root: Path) -> bool:
    """Return whether a worker runs in a workspace."""
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and (process / "cwd").readlink() == root.resolve():
                return True
        except OSError:
            continue
    return False
