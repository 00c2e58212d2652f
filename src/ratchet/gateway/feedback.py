"""`POST /v1/feedback`: a thumb, a score, a comment, or the answer that would have been right."""

import asyncio
import logging
import time
from secrets import token_hex

import orjson
import sqlalchemy as sa

from ratchet.core import Json
from ratchet.gateway.http import Receive, Scope, Send, body_of, respond
from ratchet.gateway.shapes import Problem
from ratchet.ladder import settle_canaries
from ratchet.store.requests import add_feedback, has_request

__all__ = ["Feedback"]

THUMBS = ("up", "down")
LOOKED_AFTER_S = 1.0
"""Canaries are looked at this often, at most."""
log = logging.getLogger("ratchet.gateway")


class Feedback:
    """Takes what is said of replies."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._settled_at = -LOOKED_AFTER_S

    async def take(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Answer `POST /v1/feedback`."""
        try:
            body = orjson.loads(await body_of(receive))
        except ValueError as error:
            raise Problem(400, f"the body is no JSON: {error}") from None
        said = feedback_of(body)
        known = await asyncio.to_thread(self._is_logged, str(body["id"]))
        if not known:
            raise Problem(404, f"no request has the id {body['id']!r}", param="id")
        feedback_id = f"fb-{token_hex(12)}"
        await asyncio.to_thread(
            add_feedback, self._engine, feedback_id, str(body["id"]), time.time(), said
        )
        await asyncio.to_thread(self._settle)
        answer = {"id": feedback_id, "object": "feedback", "request": body["id"], **said}
        await respond(send, 200, orjson.dumps(answer))

    def _settle(self) -> None:
        """End canaries that are proven worse or better now; looked at once in some seconds."""
        if time.monotonic() - self._settled_at >= LOOKED_AFTER_S:
            self._settled_at = time.monotonic()
            for release in settle_canaries(self._engine):
                log.warning("%s: release %d, %s", release.name, release.number, release.why)

    def _is_logged(self, request_id: str) -> bool:
        """Return whether a request is in the log; one that was answered a moment ago may still be on its way there."""
        for _ in range(10):
            if has_request(self._engine, request_id):
                return True
            time.sleep(0.05)
        return False


def feedback_of(body: Json) -> dict[str, Json]:
    """Return what is said of a reply.

    Raises: Problem if it says nothing, or something unknown.
    """
    if not isinstance(body, dict) or not isinstance(body.get("id"), str):
        raise Problem(400, "'id' must be the id of a reply", param="id")
    said = {name: value for name, value in body.items() if name != "id" and value is not None}
    unknown = said.keys() - {"thumb", "score", "comment", "answer"}
    if unknown or not said:
        raise Problem(
            400,
            "feedback is a 'thumb' (up, down), a 'score' (0 to 1), a 'comment', or an 'answer' that is right",
        )
    if "thumb" in said and said["thumb"] not in THUMBS:
        raise Problem(400, "'thumb' must be up or down", param="thumb")
    if "score" in said:
        score = said["score"]
        if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1:
            raise Problem(400, "'score' must be a number from 0 to 1", param="score")
    return said
