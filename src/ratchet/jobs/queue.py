"""The durable queue of long work: what is in it survives the death of any process, by DBOS.

Its tables lie beside the workspace's: in a SQLite file of their own, or in a schema of the same PostgreSQL database. A worker
that is killed leaves its job marked as running; the next worker of the same name takes it up again.
"""

import fcntl
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from ratchet.core.errors import UsageError
from ratchet.jobs.notice import notify
from ratchet.jobs.tuning import run_tuning
from ratchet.store import Workspace, find_workspace
from ratchet.store.jobs import ENDED, add_event, find_job, list_jobs

try:
    from dbos import DBOS, DBOSClient, run_dbos_database_migrations
except ImportError as missing:
    raise UsageError(
        f"long work needs the extra 'serve' ({missing}); install it with: pip install 'ratchet[serve]'"
    ) from missing

__all__ = ["Queue", "Worker", "work"]

QUEUE, WORKFLOW, VERSION = "tuning", "tune", "1"
POLL_S = 0.5
RESTART_S = 2.0
log = logging.getLogger("ratchet.jobs")


def queue_url(workspace: Workspace) -> str:
    """Return where the queue's tables are."""
    url = workspace.database.url
    if url.get_backend_name() == "sqlite":
        return f"sqlite:///{workspace.files / 'jobs.db'}"
    return url.render_as_string(hide_password=False)


class Queue:
    """Puts jobs into the queue; needs no worker."""

    def __init__(self, workspace: Workspace) -> None:
        url = queue_url(workspace)
        workspace.files.mkdir(exist_ok=True)
        run_dbos_database_migrations(system_database_url=url)
        self._client = DBOSClient(system_database_url=url)

    def put(self, job_id: str, run: int) -> None:
        """Put a job in; the same run of the same job is taken once, however often it is put in."""
        self._client.enqueue(
            {
                "workflow_name": WORKFLOW,
                "queue_name": QUEUE,
                "workflow_id": f"{job_id}-{run}",
                "app_version": VERSION,
            },
            job_id,
        )

    def close(self) -> None:
        """Let go of the connections."""
        self._client.destroy()


def work(
    root: Path,
    name: str = "worker",
    *,
    parent: int | None = None,
    ready: Callable[[], None] | None = None,
) -> None:
    """Take jobs from the queue, one at a time, until the process is told to end.

    Two workers of one name take turns: the second waits until the first is gone.

    Args:
        root: The workspace.
        name: Of the worker.
        parent: The process that it works for; when that one is dead it ends what it does, and then itself.
        ready: Called once it takes jobs.
    """
    workspace = find_workspace(root)
    workspace.files.mkdir(exist_ok=True)
    ending, busy = threading.Event(), threading.Lock()

    def is_left() -> bool:
        return parent is not None and os.getppid() != parent

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    with (workspace.files / f"{name}.lock").open("w") as lock:
        while not ending.is_set():
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                ending.wait(POLL_S)
                if is_left():
                    return
        if ending.is_set():
            return
        DBOS(
            config={
                "name": "ratchet",
                "system_database_url": queue_url(workspace),
                "application_version": VERSION,
                "executor_id": name,
                "log_level": "WARNING",
            }
        )

        @DBOS.step(name="train")
        def train(job_id: str) -> None:
            with busy:
                run_tuning(workspace, job_id)

        @DBOS.step(name="tell")
        def tell(job_id: str) -> None:
            told(workspace, job_id)

        @DBOS.workflow(name=WORKFLOW)
        def tune(job_id: str) -> None:
            train(job_id)
            tell(job_id)

        DBOS.launch()
        DBOS.register_queue(QUEUE, worker_concurrency=1, polling_interval_sec=POLL_S)
        queue = Queue(workspace)
        for job in list_jobs(workspace.database):  # whoever put it in may have died just before
            if job.status in ("validating_files", "queued"):
                queue.put(job.id, job.runs)
        queue.close()
        if ready:
            ready()
        while not ending.wait(POLL_S):
            if is_left() and not busy.locked():
                break
        os._exit(
            0
        )  # a training step in a thread cannot be interrupted; it goes on from its checkpoint next time


def told(workspace: Workspace, job_id: str) -> None:
    """Tell who wants to know that a job has ended."""
    job = find_job(workspace.database, job_id)
    if job is None or job.status not in ENDED:
        return
    kind = f"fine_tuning.job.{job.status}"
    data = {"id": job.id, "status": job.status, "model": job.asked["model"], **job.outcome}
    for problem in notify(workspace.settings.notice, job.id, kind, data):
        add_event(workspace.database, job_id, problem, level="warn")


class Worker:
    """A worker as a process beside this one, started anew when it dies."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace, self._ending = workspace, threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._watch, name="ratchet-worker", daemon=True)

    def start(self) -> None:
        """Start the process, and whoever looks after it."""
        self._thread.start()

    def stop(self) -> None:
        """End the process; its job goes on when a worker is there again."""
        self._ending.set()
        if self._process:
            self._process.terminate()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ending.is_set():
            with (self._workspace.files / "worker.log").open("ab") as told:
                self._process = subprocess.Popen(  # noqa: S603 - ourselves
                    [sys.executable, "-P", "-m", "ratchet.jobs", str(os.getpid())],
                    cwd=self._workspace.root,
                    start_new_session=True,  # Ctrl-C is for the server, which ends its worker itself
                    stdin=subprocess.DEVNULL,
                    stdout=told,
                    stderr=told,
                )
            if self._ending.is_set():  # told to stop while it was being started
                self._process.terminate()
            code = self._process.wait()
            if not self._ending.is_set():
                log.warning("the worker ended with %s; another one is started", code)
                self._ending.wait(RESTART_S)
