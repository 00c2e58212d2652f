"""Who is told when long work ends: a webhook that any library of the standard can check, and an e-mail."""

import http.server
import json
import socketserver
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from standardwebhooks import Webhook

from ratchet.jobs import notice
from ratchet.jobs.notice import notify
from ratchet.store import NoticeSettings

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Receiver:
    """A web server that keeps what it is sent; it fails so many times first."""

    def __init__(self, failures: int = 0, status: int = 500) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        left = [failures]
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.got.append(({k.lower(): v for k, v in self.headers.items()}, body))
                left[0] -= 1
                self.send_response(status if left[0] >= 0 else 204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        self.thread = threading.Thread(target=self.server.serve_forever)

    def __enter__(self) -> "Receiver":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again without waiting."""
    monkeypatch.setattr(notice, "WAIT_S", 0.0)


def test_a_webhook_is_signed_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """After two failures it arrives, and the standard's own library accepts its signature."""
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    with Receiver(failures=2) as receiver:
        settings = NoticeSettings(webhook=receiver.url, webhook_secret_env="HOOK_SECRET")
        problems = notify(settings, "ftjob-1", "fine_tuning.job.succeeded", {"id": "ftjob-1"})

    assert problems == []
    assert len(receiver.got) == 3
    headers, body = receiver.got[-1]
    said: Any = Webhook(SECRET).verify(body, headers)
    assert said["type"] == "fine_tuning.job.succeeded"
    assert said["data"] == {"id": "ftjob-1"}
    with pytest.raises(Exception, match="signature"):
        Webhook("whsec_" + "A" * 32).verify(body, headers)


def test_what_cannot_be_told_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal is not tried again; a missing secret, another scheme and a dead mail server are named; nothing is raised."""
    monkeypatch.delenv("HOOK_SECRET", raising=False)
    with Receiver(failures=9, status=410) as receiver:
        refused = notify(NoticeSettings(webhook=receiver.url), "m", "t", {})
        unsigned = notify(
            NoticeSettings(webhook=receiver.url, webhook_secret_env="HOOK_SECRET"), "m", "t", {}
        )

    assert len(receiver.got) == 1
    assert "410" in refused[0]
    assert "HOOK_SECRET is not set" in unsigned[0]
    assert "begins with http" in notify(NoticeSettings(webhook="file:///x"), "m", "t", {})[0]
    assert (
        "was not sent by 127.0.0.1:9"
        in notify(NoticeSettings(email="a@example.org", smtp="127.0.0.1:9"), "m", "t", {})[0]
    )


@pytest.fixture
def mailbox() -> Iterator[tuple[str, list[str]]]:
    """Give a mail server, and what it takes."""
    lines: list[str] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 hello\r\n")
            in_data = False
            for raw in self.rfile:
                line = raw.decode().rstrip("\r\n")
                lines.append(line)
                if in_data:
                    in_data = line != "."
                    if not in_data:
                        self.wfile.write(b"250 ok\r\n")
                elif line.upper() == "DATA":
                    in_data = True
                    self.wfile.write(b"354 go on\r\n")
                elif line.upper() == "QUIT":
                    self.wfile.write(b"221 bye\r\n")
                    return
                else:
                    self.wfile.write(b"250 ok\r\n")

    server = socketserver.TCPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}", lines
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_email_is_sent(mailbox: tuple[str, list[str]]) -> None:
    """Subject, recipient and content arrive."""
    address, lines = mailbox
    settings = NoticeSettings(email="me@example.org", smtp=address)

    assert (
        notify(settings, "m", "fine_tuning.job.failed", {"id": "ftjob-2", "error": "no rows"}) == []
    )

    assert any(line.lower().startswith("rcpt to:<me@example.org>") for line in lines)
    assert "Subject: Ratchet: fine_tuning.job.failed ftjob-2" in lines
    body = "\n".join(lines[lines.index("") + 1 : lines.index(".")])
    assert json.loads(body)["error"] == "no rows"
