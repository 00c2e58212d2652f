"""Comparing several candidates from the command line, against a real endpoint."""

import json
from pathlib import Path

import yaml

from ratchet.testing import ScriptedServer


def test_a_sequential_comparison_stops_early_and_goes_on_for_free(
    ratchet, workspace: Path, server: ScriptedServer
) -> None:
    """Each look says how strong the evidence is; a rerun buys nothing and says the same."""
    words = ("ab", "tickets", "--a", "start", "--b", "careful.yaml", "--sequential")

    shown = ratchet(*words)
    calls = server.calls
    again = json.loads(ratchet(*words, "--json").stdout)

    before, _, after = shown.words.partition("At most 40 calls (20 examples, both sides)")
    assert "looking all along settles a true difference of 10 points about" in before
    assert "16 examples: +" in after
    assert "evidence" in shown.words
    assert again["method"] == "e-process, looked at all along"
    assert again["n"] == 20 - again["left"]
    assert calls == server.calls == 2 * again["n"]


def test_repeats_are_bought_and_used_everywhere(
    ratchet, workspace: Path, server: ScriptedServer
) -> None:
    """`ab --repeats 3` buys three answers a side; ab without it, front and measure then show the same scores and counts."""
    words = ("ab", "tickets", "--a", "start", "--b", "careful.yaml")

    bought = json.loads(ratchet(*words, "--repeats", "3", "--json").stdout)
    calls = server.calls
    again = json.loads(ratchet(*words, "--json").stdout)
    front = json.loads(ratchet("front", "tickets", "--json").stdout)["standings"]
    alone = json.loads(
        ratchet("measure", "tickets", "--candidate", "careful.yaml", "--json").stdout
    )

    assert bought["answers"] == again["answers"] == [60, 60]
    assert calls == server.calls == 120
    assert again["sentence"] == bought["sentence"]
    shown = {row["candidate"]: (row["score"], row["low"], row["high"], row["n"]) for row in front}
    assert shown[bought["challenger_id"]][0] == bought["challenger_score"] == alone["score"]
    assert shown[bought["challenger_id"]] == tuple(alone[k] for k in ("score", "low", "high", "n"))
    assert shown[bought["champion_id"]][0] == bought["champion_score"]


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


def test_final_opens_the_test_split_once(ratchet, workspace: Path, server: ScriptedServer) -> None:
    """The champion is measured on test once; the second time the record is shown, and nothing is asked."""
    shown = ratchet("final", "tickets").stdout
    calls = server.calls

    again = json.loads(ratchet("final", "tickets", "--json").stdout)

    assert shown.startswith("Test ")
    assert "Openings of the test split" in shown
    assert calls == server.calls == 40
    assert [o["number"] for o in again["openings"]] == [1]


def test_check_passes_sound_data_and_fails_a_conflict(ratchet, workspace: Path) -> None:
    """Sound data end with code 0; a row with the inputs of another one and a different label ends with 1."""
    assert "✓" in ratchet("check", "tickets").stdout
    rows = "text,label\nkabel kador kafin,billing\nkabel kador kafin,returns\n"
    (workspace / "more.csv").write_text(rows)
    ratchet("import", "more.csv", "--task", "tickets")

    found = {
        f["check"]: f for f in json.loads(ratchet("check", "tickets", "--json", code=1).stdout)
    }

    assert found["label conflicts"]["level"] == "error"
    assert len(found["label conflicts"]["examples"]) == 2


def test_check_prints_what_the_metric_takes_for_right(ratchet, workspace: Path) -> None:
    """A metric of one's own that is blind is a warning with a table, and rows in the JSON."""
    (workspace / "blind.py").write_text("def score(inputs, reference, answer):\n    return 1\n")
    file = workspace / "tasks" / "tickets.yaml"
    body = yaml.safe_load(file.read_text())
    body["metric"] = {"name": "function", "options": {"path": "blind.py:score"}}
    file.write_text(yaml.safe_dump(body))

    printed = ratchet("check", "tickets").stdout
    found = {f["check"]: f for f in json.loads(ratchet("check", "tickets", "--json").stdout)}

    assert "taken for right" in printed
    assert "other reference" in printed
    contrast = found["metric contrast"]
    assert contrast["level"] == "warning"
    assert contrast["contrasts"][0]["equal"] == contrast["contrasts"][0]["n"] > 0


def test_the_gate_says_it_by_its_exit_code(ratchet, workspace):
    """0 for what is better, 9 for what is worse; the comment is written."""
    said = ratchet("gate", "tickets", "--candidate", "careful.yaml", "--comment", "good.md").stdout
    ratchet("climb", "tickets", "--levers", "prompt", "--templates", "careful.yaml")
    shut = ratchet("gate", "tickets", "--candidate", "start", "--json", code=9).stdout

    assert said.startswith("open: ")
    assert (workspace / "good.md").read_text().startswith("### ✅ Ratchet: `tickets`")
    assert json.loads(shut)["opens"] is False


def test_diagnose_and_a_planned_climb(ratchet, workspace):
    """The cause with its share, what levers may gain; the climb goes there by itself, and stops at its target."""
    said = ratchet("diagnose", "tickets", "--count", "30", "--failures", "6").stdout
    found = json.loads(ratchet("diagnose", "tickets", "--count", "30", "--json").stdout)
    (workspace / "tasks" / "tickets").mkdir(exist_ok=True)
    (workspace / "tasks" / "tickets" / "careful.yaml").write_text((workspace / "careful.yaml").read_text())  # fmt: skip
    steps = json.loads(ratchet("climb", "tickets", "--target", "90", "--json", "--yes").stdout)

    assert "what it must know" in said
    assert "may gain" in said
    assert {"cause", "shares", "promises"} <= set(found)
    assert steps[-1]["kept"]
    assert steps[-1]["score"] >= 0.9
