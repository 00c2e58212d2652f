"""Runs: commands in processes of their own, one at a time, that outlive whoever started them."""

import os
import signal
import time
from pathlib import Path

import pytest

from ratchet.core.errors import UsageError
from ratchet.jobs.commands import (  # fmt: skip
    again,
    output_of,
    progress_of,
    settled,
    start_run,
    stop_run,
    unfinished,
)
from ratchet.store import create_workspace


@pytest.fixture
def workspace(tmp_path):
    """Give an empty workspace."""
    return create_workspace(tmp_path)


def ended(workspace, run, within_s=60):
    """Wait until a run has ended, and return it."""
    for _ in range(within_s * 10):
        found = settled(workspace, run.id)
        if found.is_done:
            return found
        time.sleep(0.1)
    raise AssertionError(output_of(workspace, run.id))


def test_a_command_runs_and_says_how_it_ended(workspace):
    """Good ones and bad ones, with their words; two wait for one another."""
    good = start_run(workspace, "", ["keys", "list"], "ann")
    bad = start_run(workspace, "t", ["measure", "t"], "bob")

    first, second = ended(workspace, good), ended(workspace, bad)

    assert (first.state, first.code, first.who) == ("succeeded", 0, "ann")
    assert "no keys" in output_of(workspace, good.id)
    assert second.state == "failed"
    assert second.code
    assert "t" in output_of(workspace, bad.id)
    assert max(first.started_at, second.started_at) >= min(first.ended_at, second.ended_at) - 0.5
    assert unfinished(workspace) == []
    with pytest.raises(UsageError, match="has ended"):
        stop_run(workspace, good.id)
    assert ended(workspace, again(workspace, first, "cyd")).words == ("keys", "list")
    assert progress_of(workspace, good.id) == {}


def test_one_that_waits_can_be_stopped_and_one_that_is_killed_has_failed(workspace):
    """The supervisor is killed alone: its command still holds the run; killed too, the run has failed at once."""
    held = start_run(workspace, "t", ["work"], "ann")  # it never ends by itself
    until(lambda: settled(workspace, held.id).state == "running")
    waiting = start_run(workspace, "t", ["keys", "list"], "ann")
    until((workspace.files / "runs" / f"{waiting.id}.lock").exists)
    stop_run(workspace, waiting.id)
    assert ended(workspace, waiting).state == "stopped"
    until(lambda: len(group_of(held.pid)) > 1)

    os.kill(held.pid, signal.SIGKILL)
    time.sleep(0.5)
    assert settled(workspace, held.id).state == "running"
    os.killpg(held.pid, signal.SIGKILL)
    found = ended(workspace, held)

    assert (found.state, found.code) == ("failed", -1)


def test_one_that_goes_on_stops_as_by_ctrl_c(workspace):
    """And says so."""
    held = start_run(workspace, "t", ["work"], "ann")
    until(lambda: "waiting for jobs" in output_of(workspace, held.id))
    stop_run(workspace, held.id)
    assert ended(workspace, held).state == "stopped"


def until(is_so):
    """Wait for something."""
    for _ in range(1800):
        if is_so():
            return
        time.sleep(0.1)
    raise AssertionError


def group_of(leader):
    """Return the processes of a group."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        found += [path.parent.name] * (int(fields[2]) == leader)
    return found
