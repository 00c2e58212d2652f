"""Comparing several candidates from the command line, against a real endpoint."""

import json
from pathlib import Path

from ratchet.testing import ScriptedServer


def test_a_sequential_comparison_stops_early_and_goes_on_for_free(
    ratchet, workspace: Path, server: ScriptedServer
) -> None:
    """Each look says how strong the evidence is; a rerun buys nothing and says the same."""
    words = ("ab", "tickets", "--a", "start", "--b", "careful.yaml", "--sequential")

    shown = ratchet(*words)
    calls = server.calls
    again = json.loads(ratchet(*words, "--json").stdout)

    assert "16 examples: +" in shown.words
    assert "evidence" in shown.words
    assert again["method"] == "e-process, looked at all along"
    assert again["n"] == 20 - again["left"]
    assert calls == server.calls == 2 * again["n"]


def test_several_challengers_share_one_error(ratchet, workspace: Path) -> None:
    """With --b twice the verdicts are adjusted, and the front names the cheapest that is not worse."""
    (workspace / "twin.yaml").write_text('system: "{{instructions}} Thank you."\n')
    words = ("ab", "tickets", "--a", "start", "--b", "careful.yaml", "--b", "twin.yaml")

    said = json.loads(ratchet(*words, "--json").stdout)
    shown = ratchet(*words).stdout

    careful, twin = said["verdicts"]
    assert (careful["decision"], twin["effect"]) == ("better", 0.0)
    assert careful["adjusted_p"] == 2 * careful["p_value"]
    assert said["cheapest_not_worse"] == careful["challenger_id"]
    assert "Against start" in shown
    assert "dominated by" in shown or "on the front" in shown


def test_front_shows_what_has_answered_dev(ratchet, workspace: Path) -> None:
    """Without a call the front lists every candidate that has answered all of dev; without one it says how to make one."""
    assert "ratchet measure tickets" in ratchet("front", "tickets", code=2).words
    ratchet("ab", "tickets", "--a", "start", "--b", "careful.yaml")

    said = json.loads(ratchet("front", "tickets", "--json").stdout)

    assert [round(s["score"], 2) for s in said["standings"]] == [1.0, 0.2]
    assert "per 1,000 calls" in ratchet("front", "tickets").stdout


def test_sequential_takes_two(ratchet, workspace: Path) -> None:
    """Two challengers cannot be watched at once."""
    words = ("ab", "tickets", "--a", "start", "--b", "start", "--b", "careful.yaml")

    assert "give --b once" in ratchet(*words, "--sequential", code=2).words
