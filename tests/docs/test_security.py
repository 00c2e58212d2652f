"""SECURITY.md names tests that are there, and every boundary has one."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_each_boundary_names_tests_that_are_there():
    """A test that is moved or taken away takes its line along."""
    text = (ROOT / "SECURITY.md").read_text("utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ") and "`tests/" in line]
    assert len(rows) >= 15
    for row in rows:
        for name in re.findall(r"`(tests/[^`]+)`", row):
            assert (ROOT / name).is_file(), name
