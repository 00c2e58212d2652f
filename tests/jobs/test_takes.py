"""A job that kills its workers is given up."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from ratchet.core.errors import TuningError
from ratchet.jobs.takes import MOST, Takes
from ratchet.store import create_workspace
from ratchet.store.jobs import add_job, find_job, job_events_of


def test_who_gets_further_may_die_more_often(tmp_path: Path) -> None:
    """Each step beyond the last one known begins the count anew; a resumed run begins anew too."""
    workspace = create_workspace(tmp_path)
    for step in range(3 * MOST):
        one = Takes(workspace, "job", 1)
        one.begin()
        one.reached(step + 1)
    for _ in range(MOST - 1):
        stuck = Takes(workspace, "job", 1)
        stuck.begin()
        stuck.reached(3)
    with pytest.raises(TuningError, match=f"5 workers died of this job, none beyond step {3 * MOST}"):  # fmt: skip
        Takes(workspace, "job", 1).begin()
    Takes(workspace, "job", 2).begin()
    Takes(workspace, "job", 1).end()
    Takes(workspace, "job", 1).begin()


def test_a_job_that_kills_its_workers_fails_at_last(tmp_path: Path) -> None:
    """Real processes that die of it; then it has failed, with its reason."""
    pytest.importorskip("torch")
    workspace = create_workspace(tmp_path)
    job = add_job(workspace.database, {"model": "local:nano", "training_file": "file-1"})
    dies = textwrap.dedent(f"""
        import os
        from pathlib import Path
        from ratchet.jobs import tuning
        from ratchet.store import find_workspace
        tuning._Run.go = lambda self: os._exit(9)
        tuning.run_tuning(find_workspace(Path({str(tmp_path)!r})), {job.id!r})
    """)
    codes = [
        subprocess.run([sys.executable, "-c", dies], check=False, env=os.environ).returncode
        for _ in range(MOST + 1)
    ]

    assert codes == [9] * MOST + [0]
    assert find_job(workspace.database, job.id).status == "failed"  # type: ignore[union-attr]
    messages = [event.message for event in job_events_of(workspace.database, job.id)]
    assert "workers died of this job" in messages[-1]
