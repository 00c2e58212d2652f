"""Tell someone that long work is done: a signed webhook, an e-mail, or both.

The webhook is signed as the Standard Webhooks specification says, so that any of its libraries can check it: the headers
`webhook-id`, `webhook-timestamp` and `webhook-signature`, which is HMAC-SHA256 of "id.timestamp.body".
"""

import base64
import hashlib
import hmac
import json
import logging
import os
import smtplib
import time
import urllib.error
import urllib.request
from email.message import EmailMessage

from ratchet.core import Json
from ratchet.store import NoticeSettings

__all__ = ["notify", "signature"]

TRIES = 4
WAIT_S = 1.0
"""Before the second try; it doubles."""
TIMEOUT_S = 10.0
log = logging.getLogger("ratchet.jobs")


def signature(secret: str, message_id: str, moment: int, body: bytes) -> str:
    """Return the signature of a message; a secret that begins with `whsec_` is base64, as the specification has it."""
    key = base64.b64decode(secret[6:]) if secret.startswith("whsec_") else secret.encode()
    signed = b".".join([message_id.encode(), str(moment).encode(), body])
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def notify(
    settings: NoticeSettings, message_id: str, kind: str, data: dict[str, Json]
) -> list[str]:
    """Tell whoever wants to know; return what went wrong, in words. Nothing is raised: the work is done either way."""
    problems = []
    if settings.webhook:
        try:
            call(settings, settings.webhook, message_id, {"type": kind, "data": data})
        except (OSError, ValueError) as error:
            problems.append(f"the webhook {settings.webhook} was not reached: {error}")
    if settings.email:
        try:
            send(settings, settings.email, kind, data)
        except OSError as error:
            problems.append(
                f"the e-mail to {settings.email} was not sent by {settings.smtp}: {error}"
            )
    for problem in problems:
        log.warning(problem)
    return problems


def call(settings: NoticeSettings, url: str, message_id: str, content: dict[str, Json]) -> None:
    if not url.startswith(("http://", "https://")):
        raise ValueError("a webhook is an address that begins with http:// or https://")
    moment = int(time.time())
    body = json.dumps({**content, "timestamp": moment}).encode()
    headers = {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(moment),
    }
    if settings.webhook_secret_env:
        secret = os.environ.get(settings.webhook_secret_env)
        if not secret:
            raise ValueError(
                f"the variable {settings.webhook_secret_env} is not set, so it cannot be signed"
            )
        headers["webhook-signature"] = signature(secret, message_id, moment, body)
    request = urllib.request.Request(url, body, headers)  # noqa: S310 - the scheme is checked above
    for attempt in range(TRIES):
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S):  # noqa: S310 - as above
                return
        except OSError as error:
            refused = isinstance(error, urllib.error.HTTPError) and error.code < 500
            if refused or attempt == TRIES - 1:
                raise
            time.sleep(WAIT_S * 2**attempt)


def send(settings: NoticeSettings, to: str, kind: str, data: dict[str, Json]) -> None:
    message = EmailMessage()
    message["Subject"] = f"Ratchet: {kind} {data.get('id', '')}"
    message["From"], message["To"] = settings.sender, to
    message.set_content(json.dumps(data, indent=2, ensure_ascii=False))
    host, _, port = settings.smtp.partition(":")
    with smtplib.SMTP(host, int(port or 25), timeout=TIMEOUT_S) as server:
        server.send_message(message)
