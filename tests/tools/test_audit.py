"""The audit of dependencies: no licence that would bind who uses Ratchet, and none that nobody knows."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from audit import Package  # noqa: E402 - found by the line above


def test_nothing_that_is_installed_is_under_the_gpl():
    """Of the whole tree, all extras and development too; each package says its licence, or tools/licences.toml does."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "audit.py"), "--json", "--offline"],
        capture_output=True,
        text=True,
        check=False,
    )
    report = json.loads(done.stdout)

    assert len(report["packages"]) > 50
    assert (report["forbidden"], report["unknown"]) == ([], [])
    assert len(report["not_checked"]) == len(report["packages"])
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("licence", "is_forbidden", "is_named"),
    [
        ("GPLv2", True, False),
        ("GPL-3.0-or-later", True, False),
        ("AGPL-3.0", True, False),
        ("GNU General Public License v3 (GPLv3)", True, False),
        ("GNU Affero General Public License v3", True, False),
        ("LGPL-3.0-only", False, True),
        ("GNU Lesser General Public License v3 (LGPLv3)", False, True),
        ("MPL-2.0", False, True),
        ("Mozilla Public License 2.0 (MPL 2.0)", False, True),
        ("Apache-2.0 AND MIT", False, False),
        ("BSD License", False, False),
    ],
)
def test_licences_are_told_apart(licence, is_forbidden, is_named):
    """The lesser licence is not the GPL."""
    package = Package("x", "1", licence, "")
    assert (package.is_forbidden, package.is_named) == (is_forbidden, is_named)
