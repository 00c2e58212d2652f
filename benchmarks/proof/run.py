"""Run our claims again and write docs/proof.md, with figures and seeds.

python benchmarks/proof/run.py                    # all, a few minutes on two cores
python benchmarks/proof/run.py --size 0.1         # a tenth of the runs
python benchmarks/proof/run.py --claim coverage   # one of them; at full size its section of the page is written anew
"""

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.proof.claim import Claim, Outcome
from benchmarks.proof.claims import CLAIMS

PAGE = Path(__file__).parents[2] / "docs" / "proof.md"


def simulated(claim: Claim, size: float) -> list[Outcome]:
    return claim.outcomes(size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=float, default=1.0, help="share of the full number of runs")
    parser.add_argument("--claim", choices=[claim.name for claim in CLAIMS])
    given = parser.parse_args()
    chosen = [claim for claim in CLAIMS if given.claim in (None, claim.name) and claim.can_run]
    started = time.monotonic()
    with ProcessPoolExecutor(2) as pool:
        longest_first = sorted(chosen, key=lambda claim: "race" not in claim.name)
        begun = {claim.name: pool.submit(simulated, claim, given.size) for claim in longest_first}
        outcomes = [begun[claim.name].result() for claim in chosen]
    seconds = time.monotonic() - started
    page = written(chosen, outcomes, seconds)
    print(page)
    if given.claim is None and given.size == 1:
        PAGE.write_text(page, "utf-8")
    elif given.size == 1:
        PAGE.write_text(replaced(PAGE.read_text("utf-8"), chosen[0], outcomes[0]), "utf-8")
    if not all(outcome.holds for found in outcomes for outcome in found):
        sys.exit("a claim does not hold")


def written(claims: list[Claim], outcomes: list[list[Outcome]], seconds: float) -> str:
    """Return the page: a table a claim."""
    lines = [
        "# Proof",
        "",
        f"Written by `make proof` on {datetime.now(UTC):%Y-%m-%d} in {seconds:.0f} s; each claim's seed is the checksum of its name, so the figures",
        "come out again. A share holds where it lies in its range but for three standard errors of the simulation.",
        *(
            f"Left out, as what it needs is not at hand: {claim.name} ({claim.lacks})."
            for claim in CLAIMS
            if not claim.can_run
        ),
    ]
    for claim, found in zip(claims, outcomes, strict=True):
        lines += ["", *section(claim, found)]
    return "\n".join([*lines, ""])


def section(claim: Claim, found: list[Outcome]) -> list[str]:
    """Return the lines of a claim: its promise, and a table."""
    return [
        f"## {claim.name.capitalize()}",
        "",
        f"Promise: {claim.promise}.",
        "",
        "| | share | range | runs | |",
        "|---|---|---|---|---|",
        *(
            f"| {o.what} | {o.share:.3f} | {o.low:.3f} to {o.high:.3f} | {o.runs:,} | {'holds' if o.holds else '**fails**'} |"
            for o in found
        ),
    ]


def replaced(page: str, claim: Claim, found: list[Outcome]) -> str:
    """Return the page with the section of one claim written anew, in its place among the others."""
    head, *sections = page.rstrip().split("\n\n## ")
    known = {text.split("\n", 1)[0]: text for text in sections}
    known[claim.name.capitalize()] = "\n".join(section(claim, found)).removeprefix("## ")
    order = [one.name.capitalize() for one in CLAIMS if one.name.capitalize() in known]
    return "\n\n## ".join([head, *(known[name] for name in order)]) + "\n"


if __name__ == "__main__":
    main()
