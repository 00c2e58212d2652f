"""The figures of benchmarks/seeds: merged rung by rung, and a table in which what did not work stands too."""

from pathlib import Path

import pytest
from benchmarks.seeds.results import (
    BEGIN,
    END,
    RungResult,
    Stage,
    load_results,
    merge_results,
    render_table,
    update_readme,
)
from benchmarks.seeds.run import RUNGS

SEEDS = Path(__file__).parents[2] / "benchmarks" / "seeds"
DROPPED = Stage(
    what="a larger prompt",
    score=0.5,
    low=0.4,
    high=0.6,
    gain=-0.05,
    gain_low=-0.2,
    gain_high=0.1,
    decision="no evidence",
    n=80,
    prompt_tokens=90.4,
    completion_tokens=7.0,
    seconds=0.25,
)


def rung(*stages):
    """Return a rung of these stages."""
    return RungResult(title="t", goal="g.", model="local:m", date="2026-12-01", stages=stages)


def test_a_rung_replaces_itself_alone(tmp_path):
    """Merging one rung leaves the others as they were, in the order of the benchmark."""
    path = tmp_path / "results.json"
    merge_results(path, "b", rung(DROPPED), ["a", "b"])
    merge_results(path, "a", rung(Stage(what="first")), ["a", "b"])

    merge_results(path, "a", rung(Stage(what="second")), ["a", "b"])

    found = load_results(path)
    assert list(found) == ["a", "b"]
    assert found["a"].stages[0].what == "second"
    assert found["b"].stages == (DROPPED,)


def test_what_did_not_work_is_in_the_table():
    """A stage that was dropped, one that failed and a rung that was not run each have their line."""
    failed = Stage(what="passages", note="did not work: no documents")
    table = render_table({"a": rung(DROPPED), "b": rung(failed)}, {"a": "A", "b": "B", "c": "C"})

    lines = table.splitlines()
    assert lines[2] == (
        "| **a** | a larger prompt | 50.0 [40.0, 60.0] | -5.0 [-20.0, +10.0] | no evidence | 80 "
        "| 90 + 7.0 | 0.25 |  |"
    )
    assert "did not work: no documents" in lines[3]
    assert lines[4].startswith("| **c** | C | – |")
    assert lines[4].endswith("| not run |")
    assert len({line.count("|") for line in lines}) == 1


def test_only_the_figures_of_a_readme_are_written(tmp_path):
    """What stands around the marks stays, and a README without them is an error that says so."""
    path = tmp_path / "README.md"
    path.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", "utf-8")

    update_readme(path, "| table |", {"a": rung(DROPPED)})

    text = path.read_text("utf-8")
    assert text.startswith(f"before\n{BEGIN}\n\n| table |\n")
    assert text.endswith(f"{END}\nafter\n")
    assert "old" not in text
    path.write_text("no marks", "utf-8")
    with pytest.raises(ValueError, match="lacks the marks"):
        update_readme(path, "| table |", {})


def test_a_readme_shows_what_the_results_hold():
    """The table in the README is the one that the results file makes."""
    found = load_results(SEEDS / "results.json")
    titles = {name: one.title for name, one in RUNGS.items()}

    assert render_table(found, titles) in (SEEDS / "README.md").read_text("utf-8")
