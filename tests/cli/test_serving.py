"""Serving from the command line: promote, a server in a process of its own, its log; and what a kill leaves."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest


@pytest.fixture
def served(ratchet, workspace: Path) -> Iterator[tuple[openai.OpenAI, "subprocess.Popen[str]"]]:
    """Give a client of a server process that serves the release `desk`."""
    assert (
        "release 1"
        in ratchet("promote", "tickets", "--candidate", "careful.yaml", "--as", "desk").stdout
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "ratchet.cli", "serve", "--port", str(port)],
        cwd=workspace,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0)
    for _ in range(200):
        try:
            client.models.list()
            break
        except openai.APIConnectionError:
            time.sleep(0.05)
    yield client, process
    client.close()
    process.kill()
    process.communicate()


def ask(client: openai.OpenAI, text: str) -> str:
    """Ask the release."""
    said = client.chat.completions.create(
        model="desk", messages=[{"role": "user", "content": text}]
    )
    return str(said.choices[0].message.content)


def test_a_release_is_served_logged_and_left_in_peace(ratchet, served) -> None:
    """The release answers by its own template; SIGTERM ends the server cleanly; the log has all of it."""
    client, process = served
    assert ask(client, "kabel lodor billing") == "billing"
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="nope", messages=[{"role": "user", "content": "x"}])
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=20)
    assert process.returncode == -signal.SIGTERM, said  # by custom, after everything is written
    assert "for this machine alone (no keys)" in said
    assert "Traceback" not in said

    shown = ratchet("logs").stdout
    rows = json.loads(ratchet("logs", "--json").stdout)
    assert "desk" in shown
    assert [row["status"] for row in rows] == [404, 200]
    assert rows[1]["body"]["inputs"] == {"text": "kabel lodor billing"}
    assert "1 requests" in ratchet("logs", "--failed", "--export", "failed.jsonl").stdout
    assert "logs are written as .jsonl" in ratchet("logs", "--export", "l.csv", code=2).words


def test_what_was_answered_before_a_kill_is_in_the_log(ratchet, served) -> None:
    """SIGKILL with the last reply: whoever reads the log next takes in what the killed server left beside it, once."""
    client, process = served
    for k in range(5):
        ask(client, f"word{k} returns")
    process.kill()
    process.wait()
    assert len(json.loads(ratchet("logs", "--model", "desk", "--json").stdout)) == 5
    assert len(json.loads(ratchet("logs", "--model", "desk", "--json").stdout)) == 5


def test_feedback_becomes_examples(ratchet, served, workspace: Path) -> None:
    """A thumb up vouches for the reply, an answer corrects it, a thumb down leaves it out; a second time adds nothing."""
    client, process = served

    def tell(text: str, **said: object) -> None:
        reply = client.chat.completions.create(
            model="desk", messages=[{"role": "user", "content": text}]
        )
        client.post("/feedback", cast_to=object, body={"id": reply.id, **said})

    tell("new words about returns", thumb="up")
    tell("other words for shipping", answer="billing")
    tell("bad words on billing", thumb="down")
    tell("wrong words to shipping", answer="lunch")
    ask(client, "silent words of returns")
    process.kill()
    process.wait()
    learned = json.loads(
        ratchet("import", "--task", "tickets", "--from-logs", "desk", "--json").stdout
    )
    assert (learned["found"], learned["new"], learned["rows"]) == (2, 2, 102)
    again = ratchet("import", "--task", "tickets", "--from-logs", "desk").stdout
    assert "0 new examples of 2" in again
    none = ratchet("import", "--task", "tickets", "--from-logs", "nobody", code=2)
    assert "no logged request to 'nobody'" in none.words
    assert "and not both" in ratchet("import", "--task", "tickets", code=2).words


def test_from_the_first_key_on_everyone_is_asked_for_one(ratchet, served, workspace: Path) -> None:
    """No key, a wrong one, one of another scope, an ended one: 401 or 403 in the SDK's own exceptions; a good one passes."""
    client, _ = served
    assert ask(client, "kabel billing") == "billing"
    key = ratchet("keys", "add", "ann").stdout.strip()
    assert key.startswith("rk-")
    trainer = ratchet("keys", "add", "trainer", "--scope", "tune").stdout.strip()
    over = ratchet("keys", "add", "late", "--days", "0").stdout.strip()
    time.sleep(2.5)
    assert ask(client.with_options(api_key=key), "kabel returns") == "returns"
    for wrong in ("none", over, "rk-" + "x" * 43):
        with pytest.raises(openai.AuthenticationError, match="ratchet keys add"):
            ask(client.with_options(api_key=wrong), "kabel returns")
    with pytest.raises(openai.PermissionDeniedError, match="takes chat"):
        ask(client.with_options(api_key=trainer), "kabel returns")
    ratchet("keys", "revoke", "ann")
    time.sleep(2.5)
    with pytest.raises(openai.AuthenticationError):
        ask(client.with_options(api_key=key), "kabel returns")
    rows = json.loads(ratchet("keys", "list", "--json").stdout)
    states = {row["name"]: row["state"] for row in rows}
    assert states == {"ann": "revoked", "trainer": "good", "late": "expired"}
    assert "revoked" in ratchet("keys", "list").stdout
    kept = [path.read_bytes() for path in (workspace / ".ratchet").glob("ratchet.db*")]
    assert not any(key.encode() in content for content in kept)
    assert "no key 'ann' to revoke" in ratchet("keys", "revoke", "ann", code=2).words
    assert "scopes are chat" in ratchet("keys", "add", "x", "--scope", "all", code=2).words
    assert "choose another name" in ratchet("keys", "add", "ann", code=2).words


def test_what_cannot_be_served_is_refused(ratchet, workspace: Path) -> None:
    """No keys, so no address that others reach; no name that could be a model's; no candidate that does not fit."""
    assert "there are no API keys yet" in ratchet("serve", "--host", "0.0.0.0", code=2).words
    assert (
        "never taken for a model's" in ratchet("promote", "tickets", "--as", "mock/m", code=2).words
    )
    (workspace / "bad.yaml").write_text('user: "{{nothing}}"\n')
    assert "nothing" in ratchet("promote", "tickets", "--candidate", "bad.yaml", code=4).words
    again = [json.loads(ratchet("promote", "tickets", "--json").stdout)["number"] for _ in range(2)]
    assert again == [1, 1]
