"""Processes for what is not ours: ended at a limit, replaced when they die, with plain values alone coming back."""

import os
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ratchet.core.sandbox import CallTimeoutError, Sandbox, SandboxError, SandboxLimits

LIMITS = SandboxLimits(memory_bytes=2**30, file_bytes=2**20)
HERE = "tests.core.sandboxed"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory):
    """Give a sandbox in an empty folder; the functions that it calls are found by their module's path."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path.cwd()))
        patch.setenv("MY_API_KEY", "secret")
        opened = Sandbox(
            LIMITS, folder=tmp_path_factory.mktemp("empty"), errors={"KeyError": KeyError}
        )
        yield opened
        opened.close()


def call(sandbox, name, *arguments, timeout_s=20.0):
    return sandbox.call(f"{HERE}:{name}", *arguments, timeout_s=timeout_s)


def test_plain_values_go_there_and_back(sandbox):
    """Numbers, texts, bytes, lists, objects, decimals, dates."""
    assert call(sandbox, "echo", {"a": [1, 2.5, None, "ß", b"\0"]}) == {
        "a": [1, 2.5, None, "ß", b"\0"]
    }
    assert str(call(sandbox, "dated")) == "2026-12-01 1.10"


@pytest.mark.parametrize("name", ["spin", "sleep"])
def test_a_call_that_does_not_end_is_ended(sandbox, name):
    """Whatever it is in; the next call is answered."""
    started = time.monotonic()
    with pytest.raises(CallTimeoutError, match=r"longer than 0\.5 seconds"):
        call(sandbox, name, timeout_s=0.5)
    assert time.monotonic() - started < 5
    assert call(sandbox, "echo", 1) == 1


def test_a_process_that_ends_is_said_and_replaced(sandbox):
    """With its code, and what it printed last."""
    with pytest.raises(SandboxError, match="ended with the code 3") as ended:
        call(sandbox, "leave", 3)
    assert "good-bye" in ended.value.output
    assert call(sandbox, "echo", 1) == 1


def test_limits_hold(sandbox):
    """Memory and files: an error of the call, and the next is answered."""
    with pytest.raises(RuntimeError, match="more memory"):
        call(sandbox, "eat", 2**31)
    with pytest.raises(RuntimeError, match="too large"):
        call(sandbox, "write", 2**22)
    assert call(sandbox, "echo", 1) == 1


def test_errors_come_over_by_name(sandbox):
    """Those that were asked for as themselves, others as their words; leaving by sys.exit too."""
    with pytest.raises(KeyError, match="gone"):
        call(sandbox, "fail", "KeyError", "gone")
    with pytest.raises(RuntimeError, match="odd"):
        call(sandbox, "fail", "ValueError", "odd")
    with pytest.raises(RuntimeError, match="7"):
        call(sandbox, "exit_by", 7)


def test_nothing_but_plain_values_comes_back(sandbox):
    """What would have its reader run something is refused."""
    with pytest.raises(SandboxError, match="no plain value"):
        call(sandbox, "trick")


def test_secrets_and_the_folder_stay_outside(sandbox):
    """No variable of that sound, and no module of the folder that it runs in."""
    names, path = call(sandbox, "surroundings")
    assert "MY_API_KEY" not in names
    assert "PATH" in names
    assert "" not in path
    assert not any(one.startswith("/tmp") and "empty" in one for one in path)


def test_calls_at_once_have_processes_of_their_own(sandbox):
    """More callers than processes: each is answered with its own."""
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda n: call(sandbox, "echo", n), range(200)))
    assert found == list(range(200))


def test_it_ends_with_who_started_it(tmp_path):
    """A parent that is killed leaves no process behind."""
    program = textwrap.dedent(
        f"""
        import os, sys
        from pathlib import Path
        from ratchet.core.sandbox import Sandbox, SandboxLimits
        sandbox = Sandbox(SandboxLimits(memory_bytes=2**30, file_bytes=2**20), folder=Path({str(tmp_path)!r}))
        print(sandbox.call("os:getpid", timeout_s=20), flush=True)
        os.kill(os.getpid(), 9)
        """
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=env, check=False
    )
    child = int(done.stdout)
    for _ in range(100):
        if not Path(f"/proc/{child}").exists():
            return
        threading.Event().wait(0.05)
    raise AssertionError("it lives on")
