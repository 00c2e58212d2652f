"""A server with its page, in a process of its own, and a real Chromium."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import which

import pytest

pytest.importorskip("nicegui")
playwright = pytest.importorskip("playwright.sync_api")

CHROMIUM = which("chromium") or which("google-chrome") or which("chromium-browser")
REQUIRED = os.environ.get("RATCHET_REQUIRE_CHROMIUM") == "1"


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A workspace that is served."""

    def __init__(self, root: Path) -> None:
        self.root, self.port = root, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def ratchet(self, *words: str) -> str:
        """Run a command in the workspace, and return what it says."""
        done = subprocess.run([sys.executable, "-m", "ratchet.cli", *words], cwd=self.root, capture_output=True, text=True, check=False, timeout=300)  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self.root / "serve.log").open("a") as log:
            self._process = subprocess.Popen([sys.executable, "-m", "ratchet.cli", "serve", "--port", str(self.port), "--no-workers"], cwd=self.root, stdout=log, stderr=log)  # fmt: skip
        for _ in range(300):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/healthz", timeout=1) as reply:  # fmt: skip
                if reply.status == 200:
                    return
            assert self._process.poll() is None, (self.root / "serve.log").read_text()
            time.sleep(0.1)
        raise AssertionError((self.root / "serve.log").read_text())

    def kill(self) -> None:
        """End it as `kill -9` does."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Give a served workspace without tasks."""
    made = Server(tmp_path)
    made.ratchet("init", ".")
    made.start()
    yield made
    made.kill()


@pytest.fixture(scope="module")
def chromium() -> Iterator[object]:
    """Give a browser; its driver holds the thread's event loop, so that it ends with its file."""
    if CHROMIUM is None:
        if REQUIRED:
            pytest.fail("there is no Chromium; install it, for example with: apt-get install chromium")  # fmt: skip
        pytest.skip("there is no Chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def person(chromium) -> Iterator[Callable[[], object]]:
    """Give a function that returns a page of a new person, who has no cookies yet; what goes wrong in it fails the test."""
    contexts, wrong = [], []

    def made():
        context = chromium.new_context(viewport={"width": 1280, "height": 900})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda r: None if "127.0.0.1" in r.url or r.url.startswith(("data:", "blob:")) else wrong.append(f"asked for {r.url}"))  # fmt: skip
        return page

    yield made
    for context in contexts:
        context.close()
    assert not wrong
