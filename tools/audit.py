"""What Ratchet's dependencies are licensed under, and which of them have known holes.

    python tools/audit.py [--json] [--offline]

Licences are read from the metadata of what is installed, for the whole tree of the package and all of its extras. GPL and AGPL fail
the audit; LGPL and MPL are named. Holes are looked up by pip-audit, from what the package registry knows, in an environment of its own; what
cannot be looked up is told as not checked. The exit code is 1 where a licence or a hole fails the audit.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import tomllib
import venv
from dataclasses import asdict, dataclass, field
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
PIP_AUDIT = "pip-audit==2.10.1"
FORBIDDEN = re.compile(r"\b(A?GPL)(v?\d|\b)|GNU (Affero )?General Public License", re.IGNORECASE)
NAMED = re.compile(r"\bLGPL|Lesser General Public|\bMPL\b|Mozilla Public", re.IGNORECASE)
TIMEOUT_S = 600


@dataclass
class Package:
    """An installed package."""

    name: str
    version: str
    licence: str
    source: str
    """Where the licence was read."""
    extras: list[str] = field(default_factory=list)
    """What installs it: `core`, or extras of Ratchet."""

    @property
    def is_forbidden(self) -> bool:
        """Whether its licence would bind what uses it."""
        text = re.sub(r"(?i)lesser general public license|LGPL[-\w.]*", "", self.licence)
        return bool(FORBIDDEN.search(text))

    @property
    def is_named(self) -> bool:
        """Whether its licence has conditions of its own."""
        return bool(NAMED.search(self.licence))


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def licence_of(found: Distribution, known: dict[str, dict[str, str]]) -> tuple[str, str]:
    """Return a package's licence, and where it was read; empty where nobody says."""
    name, meta = normal(found.metadata["Name"]), found.metadata
    if name in known:
        return known[name]["licence"], known[name]["source"]
    if expression := meta.get("License-Expression"):
        return expression, "License-Expression"
    classifiers = [
        line.split("::")[-1].strip()
        for line in meta.get_all("Classifier") or []
        if line.startswith("License ::")
    ]
    told = [one for one in classifiers if one != "OSI Approved"]
    if told:
        return "; ".join(told), "classifiers"
    text = (meta.get("License") or "").strip()
    return text.splitlines()[0][:80] if text else "", "License"


def tree() -> list[Package]:
    """Return all packages that Ratchet and its extras install, as far as they are here."""
    known = tomllib.loads((ROOT / "tools" / "licences.toml").read_text("utf-8"))
    known = {normal(name): entry for name, entry in known.items()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    roots = {"core": project["dependencies"], **project["optional-dependencies"]}
    packages: dict[str, Package] = {}
    for extra, requirements in roots.items():
        seen: set[tuple[str, frozenset[str]]] = set()
        waiting = [Requirement(line) for line in requirements]
        while waiting:
            wanted = waiting.pop()
            key = (normal(wanted.name), frozenset(wanted.extras))
            if key in seen:
                continue
            seen.add(key)
            try:
                found = distribution(wanted.name)
            except PackageNotFoundError:
                continue
            if key[0] not in packages:
                licence, source = licence_of(found, known)
                packages[key[0]] = Package(key[0], found.version, licence, source)
            if extra not in packages[key[0]].extras:
                packages[key[0]].extras.append(extra)
            for line in found.requires or ():
                one = Requirement(line)
                chosen = [*wanted.extras, ""]
                if one.marker is None or any(one.marker.evaluate({"extra": e}) for e in chosen):
                    waiting.append(one)
    return sorted(packages.values(), key=lambda package: package.name)


def holes(packages: list[Package]) -> tuple[list[dict[str, str]], list[str]]:
    """Return the known holes, and the packages of which nobody can be asked."""
    names = [package.name for package in packages]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        venv.create(place / "env", with_pip=True)
        python = place / "env" / "bin" / "python"
        listed = place / "packages.txt"
        lines = [f"{one.name}=={one.version.split('+')[0]}" for one in packages]
        listed.write_text("\n".join(lines) + "\n", "utf-8")
        install = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", PIP_AUDIT]
        audit = [
            python,
            "-m",
            "pip_audit",
            "--no-deps",
            "--disable-pip",
            "-f",
            "json",
            "-r",
            listed,
        ]
        try:
            subprocess.run(install, check=True, capture_output=True, timeout=TIMEOUT_S)
            done = subprocess.run(
                audit, check=False, capture_output=True, text=True, timeout=TIMEOUT_S
            )
            said = json.loads(done.stdout)["dependencies"]
        except (subprocess.SubprocessError, ValueError, KeyError, OSError):
            return [], names
    unasked = [normal(one["name"]) for one in said if "skip_reason" in one]
    found = [
        {
            "package": one["name"],
            "version": one["version"],
            "id": hole["id"],
            "fixed_in": ", ".join(hole.get("fix_versions", ())),
        }
        for one in said
        for hole in one.get("vulns", ())
    ]
    return found, unasked


def main() -> None:
    """Print the audit."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="Print JSON.")
    parser.add_argument("--offline", action="store_true", help="Ask the registry for nothing.")
    given = parser.parse_args()
    packages = tree()
    found, unasked = ([], [one.name for one in packages]) if given.offline else holes(packages)
    forbidden = [one for one in packages if one.is_forbidden]
    unknown = [one for one in packages if not one.licence]
    if given.json:
        report = {
            "packages": [asdict(one) for one in packages],
            "forbidden": [one.name for one in forbidden],
            "unknown": [one.name for one in unknown],
            "holes": found,
            "not_checked": unasked,
        }
        print(json.dumps(report, indent=1))
    else:
        print(f"{len(packages)} packages; licences:")
        for words, those in (
            ("forbidden", forbidden),
            ("unknown", unknown),
            ("with conditions", [one for one in packages if one.is_named]),
        ):
            for one in those:
                print(f"  {words}: {one.name} {one.version}, {one.licence or 'nobody says'} (by {', '.join(one.extras)})")  # fmt: skip
        for hole in found:
            print(f"  hole: {hole['package']} {hole['version']}, {hole['id']}; fixed in {hole['fixed_in'] or 'no version yet'}")  # fmt: skip
        print(f"known holes: {len(found)} in {len(packages) - len(unasked)} packages; not checked: {len(unasked)}")  # fmt: skip
    sys.exit(bool(forbidden or unknown or found))


if __name__ == "__main__":
    main()
