"""The wheel: from the log to the next dataset, drift, and round again."""

import asyncio
import io
import json
import time

import pytest

from ratchet.core import Candidate
from ratchet.store import find_workspace, load_releases
from ratchet.store.request_writer import RequestWriter
from ratchet.store.requests import LoggedRequest, add_feedback
from ratchet.workbench import Workbench

pytest.importorskip("zstandard")


@pytest.fixture
def logged(ratchet, workspace):
    """Return a workspace whose release has answered forty tickets about something new, and some that are known."""
    ratchet("measure", "tickets", "--candidate", "careful.yaml")
    served = json.loads(
        ratchet("promote", "tickets", "--candidate", "careful.yaml", "--json").stdout
    )
    engine = find_workspace(workspace).database
    with RequestWriter(engine) as writer:
        for n in range(40):
            text = f"my parcel number {n} is lost and I wait for shipping since day {n * 7}"
            writer.add(
                LoggedRequest(
                    id=f"chatcmpl-{n}",
                    at=time.time() + n,
                    model="tickets",
                    candidate_id=Candidate.model_validate(served["candidate"]).id,
                    status=200,
                    problem=None,
                    streamed=False,
                    end_user=None,
                    prompt_tokens=1,
                    completion_tokens=1,
                    cost_usd=0.0,
                    latency_s=0.1,
                    body={
                        "inputs": {"text": text},
                        "replies": [{"text": "billing" if n == 7 else "shipping", "tool_calls": [], "finish_reason": "stop"}],
                    },
                )
            )  # fmt: skip
    add_feedback(engine, "fb-1", "chatcmpl-7", time.time(), {"thumb": "down"})
    add_feedback(engine, "fb-2", "chatcmpl-8", time.time(), {"thumb": "up"})
    return workspace


@pytest.mark.local
def test_drift_is_told_by_the_exit_code(ratchet, logged):
    """Other inputs, other labels: an alarm, with what changed."""
    found = json.loads(ratchet("drift", "tickets", "--json", code=8).stdout)

    assert set(found["alarms"]) == {"inputs", "outputs"}
    assert "alarm: inputs, outputs changed" in ratchet("drift", "tickets", code=8).stdout


@pytest.mark.local
def test_the_page_looks_for_drift_by_itself(logged):
    """The first question begins a look, the next is told what it found, and nothing is looked at twice."""
    alarms_of = pytest.importorskip("ratchet.web.alarms").Alarms
    workspace = find_workspace(logged)
    served = load_releases(workspace.database)[-1]
    opened = []

    async def bench(task):
        opened.append(task)
        return await asyncio.to_thread(Workbench.open, task, workspace.root)

    async def look():
        alarms = alarms_of(workspace, bench)
        first = alarms.of(served)
        await asyncio.gather(*alarms._looks)
        return first, alarms.of(served), alarms.of(served)

    assert asyncio.run(look()) == ([], ["inputs", "outputs"], ["inputs", "outputs"])
    assert opened == ["tickets"]


@pytest.mark.local
def test_a_person_reviews_what_was_chosen(ratchet, logged, monkeypatch):
    """What was disliked comes first; y takes the reply, a text corrects it; the next version has both."""
    queue = json.loads(ratchet("curate", "tickets", "--count", "4", "--json").stdout)
    monkeypatch.setattr("sys.stdin", io.StringIO("shipping\ny\nnonsense\nq\n"))
    said = ratchet("curate", "tickets", "--count", "4").stdout

    assert (queue[0]["id"], queue[0]["why"], queue[0]["reply"]) == ("chatcmpl-7", "disliked", "billing")  # fmt: skip
    assert len(queue) <= 4
    assert "dataset version 2: 2 new examples, 102 in all" in said
    assert "left out: that is no answer of kind 'label'" in said


@pytest.mark.local
def test_what_a_committee_contradicts_comes_before_what_is_new(ratchet, logged):
    """The plain start answers otherwise than what was served."""
    ratchet("climb", "tickets", "--levers", "decoding", "--max-calls", "400")
    found = json.loads(ratchet("curate", "tickets", "--count", "6", "--committee", "--max-calls", "200", "--json").stdout)  # fmt: skip

    assert [one["why"] for one in found[:2]] == ["disliked", "in doubt"]


@pytest.mark.local
def test_the_wheel_goes_round_once(ratchet, logged):
    """It collects what feedback vouches for, looks for drift, climbs, and proposes."""
    said = ratchet("wheel", "tickets", "--max-calls", "60").stdout

    assert "collected: 1 examples that feedback vouches for" in said
    assert "alarm: " in said
    assert "the champion stays" in said or "new champion" in said
