"""`/v1/embeddings`: texts to vectors, by a local model or one behind an endpoint."""

import base64
import time

import numpy as np
import orjson

from ratchet.core.errors import did_you_mean
from ratchet.gateway.access import Access
from ratchet.gateway.http import Receive, Scope, Send, body_of, respond, until_written
from ratchet.gateway.metrics import Metrics
from ratchet.gateway.shapes import Problem, name_of, object_of
from ratchet.models import ModelPool
from ratchet.store.request_writer import RequestWriter
from ratchet.store.requests import LoggedRequest, new_id

__all__ = ["Embeddings"]

KNOWN = frozenset(("model", "input", "encoding_format", "dimensions", "user"))
MOST_TEXTS = 2048


class Embeddings:
    """Answers requests for vectors."""

    def __init__(
        self, pool: ModelPool, access: Access, writer: RequestWriter, metrics: Metrics
    ) -> None:
        self._pool, self._access, self._writer, self._metrics = pool, access, writer, metrics

    async def embed(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer `POST /v1/embeddings`."""
        started, at = time.perf_counter(), time.time()
        content = await body_of(receive)
        body = object_of(content)
        if unknown := body.keys() - KNOWN:
            name = min(unknown)
            hint = did_you_mean(name, sorted(KNOWN))
            raise Problem(400, f"unknown parameter {name!r}.{hint}", param=name)
        name, texts = name_of(body), body.get("input")
        texts = [texts] if isinstance(texts, str) else texts
        if (
            not isinstance(texts, list)
            or not texts
            or not all(isinstance(t, str) and t for t in texts)
        ):
            raise Problem(
                400, "'input' must be a text or a list of texts, none of them empty", param="input"
            )
        if len(texts) > MOST_TEXTS:
            raise Problem(
                400,
                f"'input' holds {len(texts)} texts; at most {MOST_TEXTS} at once",
                param="input",
            )
        form = body.get("encoding_format") or "float"
        if form not in ("float", "base64"):
            raise Problem(400, "'encoding_format' must be float or base64", param="encoding_format")
        embedder = self._pool.embedder(name)
        key = scope.get("ratchet.key")
        reserved = self._access.reserve(
            key, lambda: embedder.price(sum(len(text.encode()) for text in texts), 0)
        )
        try:
            vectors, tokens = await embedder.embed(texts)
        except BaseException:
            self._access.settle(reserved, 0.0)
            raise
        size = body.get("dimensions")
        if size is not None:
            if not isinstance(size, int) or not 1 <= size <= vectors.shape[1]:
                raise Problem(
                    400, f"'dimensions' must be from 1 to {vectors.shape[1]}", param="dimensions"
                )
            vectors = vectors[:, :size]
            vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        data = [
            {
                "object": "embedding",
                "index": place,
                "embedding": vector.tolist()
                if form == "float"
                else base64.b64encode(vector.astype("<f4").tobytes()).decode(),
            }
            for place, vector in enumerate(vectors)
        ]
        used = {"prompt_tokens": tokens, "completion_tokens": 0, "total_tokens": tokens}
        seconds = time.perf_counter() - started
        cost = embedder.price(tokens, 0)
        self._access.settle(reserved, cost)
        self._metrics.count(name, 200, seconds, used, cost, streamed=False)
        written = self._writer.add(
            LoggedRequest(
                id=new_id("embd", at),
                at=at,
                model=name[:200],
                candidate_id=None,
                status=200,
                problem=None,
                streamed=False,
                end_user=None,
                prompt_tokens=tokens,
                completion_tokens=0,
                cost_usd=cost,
                latency_s=seconds,
                key=key.name if key else None,
                body={"request": body, "replies": []},
            ),
            size=len(content),
        )
        if written is not None:
            await until_written(written)
        said = {
            "object": "list",
            "data": data,
            "model": name,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
        await respond(send, 200, orjson.dumps(said))
