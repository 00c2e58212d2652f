"""How fast the page is: first paint, a table of 100,000 rows, and what twenty open pages cost.

    python benchmarks/page/run.py

Starts a server in an empty workspace and looks at it in Chromium, both on this machine.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

WORDS = ["parcel", "invoice", "refund", "login", "password", "broken", "late", "screen", "order", "card", "account", "app", "bill", "cable", "router", "lost"]  # fmt: skip
PORT = 8765
URL = f"http://127.0.0.1:{PORT}"
SEARCHES = ["refund late", "broken screen", "number 4711", "zzz", "invoice 99", "router"]


def ratchet(root: Path, *words: str) -> None:
    """Run a command."""
    subprocess.run(
        [sys.executable, "-m", "ratchet.cli", *words], cwd=root, check=True, capture_output=True
    )


def rows(path: Path, count: int) -> None:
    """Write a task of so many rows."""
    rng = random.Random(0)
    with path.open("w") as file:
        file.write("text,label\n")
        for n in range(count):
            file.write(f"{' '.join(rng.sample(WORDS, 8))} number {n} of {rng.random()},{rng.choice(WORDS[:4])}\n")  # fmt: skip


def usage(pid: int) -> tuple[float, float]:
    """Return the CPU seconds of a process so far, and the MiB that it holds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE") / 2**20  # fmt: skip


def searched(page: Page, text: str, turn: int) -> float:
    """Return the seconds from the last letter to the rows."""
    page.evaluate("window.seen = 0; new MutationObserver(() => { window.seen = performance.now() }).observe(document.querySelector('.q-table__bottom'), {subtree: true, childList: true, characterData: true})")  # fmt: skip
    began = page.evaluate("performance.now()")
    page.get_by_label("Search in all columns").fill(f"{text}{' ' * (turn % 2)}")
    page.wait_for_function("window.seen > 0", timeout=20_000)
    return float(page.evaluate("window.seen") - began) / 1000


def turned(page: Page) -> float:
    """Return the seconds that the next page of the table takes."""
    before = page.locator(".q-table__bottom").inner_text()
    began = time.perf_counter()
    page.get_by_role("button", name="Next page").click()
    page.wait_for_function("text => document.querySelector('.q-table__bottom').innerText != text", arg=before)  # fmt: skip
    return time.perf_counter() - began


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description="Measure the page.")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--minutes", type=float, default=2.0, help="So long twenty pages stay open.")  # fmt: skip
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        root = Path(folder)
        ratchet(root, "init", ".")
        rows(root / "many.csv", chosen.rows)
        ratchet(root, "import", "many.csv", "--task", "many")
        server = subprocess.Popen(
            [sys.executable, "-m", "ratchet.cli", "serve", "--port", str(PORT), "--no-workers"],
            cwd=root,
        )
        try:
            found = looked_at(driver, server.pid, chosen.minutes)
        finally:
            server.terminate()
            server.wait()
    print(json.dumps({"rows": chosen.rows, **found}, indent=1))


def looked_at(driver: object, pid: int, minutes: float) -> dict[str, object]:
    """Return what was measured."""
    while True:
        try:
            urllib.request.urlopen(f"{URL}/healthz", timeout=1)
            break
        except OSError:
            time.sleep(0.2)
    browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])  # type: ignore[attr-defined]
    page = browser.new_page()
    paints = []
    for view in ("/", "/", "/tasks/many/examples", "/tasks/many/examples"):
        page.goto(URL + view)
        page.locator("#main").wait_for()
        paints.append(page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime") / 1000)  # fmt: skip
    page.get_by_text("1-25 of").wait_for()
    page.wait_for_timeout(1000)
    turns = [turned(page) for _ in range(5)]
    searches = [searched(page, text, k) for k, text in enumerate(SEARCHES)]
    pages = [browser.new_page() for _ in range(20)]
    for k, one in enumerate(pages):
        one.goto(URL + ["/", "/runs", "/tasks/many/examples", "/tasks/many/ladder"][k % 4])
    page.wait_for_timeout(5000)
    cpu, held = usage(pid)
    began = time.time()
    time.sleep(60 * minutes)
    later, grown = usage(pid)
    return {
        "first paint s": [round(one, 3) for one in paints],
        "next page s": {"median": round(statistics.median(turns), 3), "most": round(max(turns), 3)},
        "filter s, 250 ms of waiting for the next letter in it": {"median": round(statistics.median(searches), 3), "most": round(max(searches), 3)},
        "cores of the server, 20 pages open": round((later - cpu) / (time.time() - began), 3),
        "MiB of the server": [round(held), round(grown)],
    }  # fmt: skip


if __name__ == "__main__":
    main()
