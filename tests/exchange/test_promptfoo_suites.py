"""Suites against what promptfoo 0.121.20 and 0.123.1 made of them: `promptfoo_suites.json`, written down by `observe_promptfoo.py`."""

import json
from pathlib import Path

import pytest

from ratchet.answer import Prompt
from ratchet.exchange import read_suite
from ratchet.metrics import make_metric
from ratchet.metrics.assertions import KINDS

SUITES = json.loads(Path(__file__).with_name("promptfoo_suites.json").read_text("utf-8"))


def sent_by_us(suite):
    """Return what each candidate sends for each example, as promptfoo's echo shows it: a chat as messages, else a text."""
    sent = []
    for example in suite.examples:
        for candidate in suite.candidates:
            messages = Prompt(suite.task, candidate).request(example).messages
            sent.append([(message["role"], message["content"]) for message in messages])
    return sent


def sent_there(seen):
    """Return what promptfoo sent, in the same form."""
    sent = []
    for row in seen:
        if not any(one["type"].removeprefix("not-") in KINDS for one in row["assert"]):
            continue  # nothing of the test can be tried here, and it is named
        try:
            chat = json.loads(row["sent"])
            messages = [(message["role"], message["content"]) for message in chat]
        except (ValueError, TypeError, KeyError):
            messages = [("user", row["sent"])]
        sent.append(messages)
    return sent


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite["name"])
def test_what_is_sent_is_what_promptfoo_sends(suite, tmp_path):
    """For each prompt and each test, to the letter; tests of a pattern of files may come in another order."""
    for name, text in suite["files"].items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(text.encode())

    read = read_suite(tmp_path / "promptfooconfig.yaml", "t")

    ours, theirs = sorted(map(str, sent_by_us(read))), sorted(map(str, sent_there(suite["seen"])))
    missing = [row for row in theirs if row not in ours]
    more = [row for row in ours if row not in theirs]
    assert (missing, more) == ([], [])
    assert len(ours) == len(theirs)


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite["name"])
def test_an_echo_is_scored_as_promptfoo_scores_it(suite, tmp_path):
    """Where all assertions of the test are kept: the same weighted mean of what they say."""
    for name, text in suite["files"].items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(text.encode())
    read = read_suite(tmp_path / "promptfooconfig.yaml", "t")
    for name, text in read.files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    metric = make_metric(read.task.metric, root=tmp_path)
    lost = {loss.where for loss in read.losses.items if loss.what.startswith("assertion")}
    there = {}
    for row in suite["seen"]:
        there.setdefault(row["sent"], set()).add(round(row["score"], 9))
    scores = {}
    for example in read.examples:
        if example.source.removeprefix("promptfooconfig.yaml:") in lost:
            continue
        for candidate in read.candidates:
            messages = Prompt(read.task, candidate).request(example).messages
            text = messages[0]["content"]
            if text in there:  # the echo of a chat is its JSON, which is another text
                scores.setdefault(text, set()).add(round(metric.score(example, text).value, 9))

    assert len(scores) > 1
    assert {text: there[text] for text in scores} == scores
