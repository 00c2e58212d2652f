"""Runs: commands in processes of their own, one at a time, that outlive whoever started them."""

import os
import signal
import time

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
    """The supervisor is killed with its child: the run is no longer said to go on."""
    held = start_run(workspace, "t", ["work"], "ann")  # it never ends by itself
    for _ in range(300):
        if settled(workspace, held.id).state == "running":
            break
        time.sleep(0.1)
    waiting = start_run(workspace, "t", ["keys", "list"], "ann")
    stop_run(workspace, waiting.id)
    assert ended(workspace, waiting).state == "stopped"
    pid = settled(workspace, held.id).pid
    os.killpg(pid, signal.SIGKILL)
    time.sleep(20 - (time.time() - held.created_at) if time.time() - held.created_at < 20 else 0)

    found = ended(workspace, held)

    assert (found.state, found.code) == ("failed", -1)
