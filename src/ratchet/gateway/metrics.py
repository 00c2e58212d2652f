"""What Prometheus reads at `/metrics`: requests, latency, tokens and dollars by model and status; and how the log does."""

import collections
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

__all__ = ["CLOSED", "Metrics"]

CLOSED: collections.Counter[str] = collections.Counter()
"""Connections of this process that were closed for what they took, by the reason."""

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
MOST_NAMES = 200
"""Beyond so many model names the rest is counted together: a client must not be able to fill the memory with names."""


class Metrics:
    """Counts what passes."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._names = set[str]()
        self._lines: dict[
            tuple[str, int, bool], tuple[Counter, Histogram, Counter, Counter, Counter]
        ] = {}
        """What is counted for a model, a status, and streams or not."""
        self._requests = Counter(
            "ratchet_requests", "Requests answered", ["model", "status"], registry=self._registry
        )
        self._latency = Histogram(
            "ratchet_request_seconds",
            "Seconds from a request to the end of its reply",
            ["model", "stream"],
            buckets=BUCKETS,
            registry=self._registry,
        )
        self._tokens = Counter(
            "ratchet_tokens", "Tokens", ["model", "kind"], registry=self._registry
        )
        self._cost = Counter(
            "ratchet_cost_usd", "Dollars spent", ["model"], registry=self._registry
        )
        self._failing = Gauge(
            "ratchet_log_failing", "1 while the log cannot be written", registry=self._registry
        )
        self._refused = Gauge(
            "ratchet_log_refused",
            "Requests that the database refused, kept in a file beside it",
            registry=self._registry,
        )
        self._waiting = Gauge(
            "ratchet_log_waiting",
            "Requests that are not in the database yet",
            registry=self._registry,
        )
        self._closed = Gauge(
            "ratchet_connections_closed",
            "Connections that were closed for what they took",
            ["reason"],
            registry=self._registry,
        )
        self._lost = Gauge(
            "ratchet_log_lost", "Requests that are missing in the log", registry=self._registry
        )

    def count(
        self,
        model: str,
        status: int,
        latency_s: float,
        used: Mapping[str, int],
        cost_usd: float | None,
        *,
        streamed: bool,
    ) -> None:
        """Count a request."""
        if model not in self._names and len(self._names) >= MOST_NAMES:
            model = "other"
        self._names.add(model)
        line = self._lines.get((model, status, streamed))
        if line is None:
            line = self._lines[model, status, streamed] = (
                self._requests.labels(model, str(status)),
                self._latency.labels(model, str(streamed).lower()),
                self._tokens.labels(model, "prompt"),
                self._tokens.labels(model, "completion"),
                self._cost.labels(model),
            )
        requests, latency, prompt, completion, cost = line
        requests.inc()
        latency.observe(latency_s)
        prompt.inc(used["prompt_tokens"])
        completion.inc(used["completion_tokens"])
        if cost_usd:
            cost.inc(cost_usd)

    def text(self, *, failing: bool, lost: int, refused: int, waiting: int) -> bytes:
        """Return everything in the text format of Prometheus."""
        self._refused.set(refused)
        self._waiting.set(waiting)
        for reason, count in CLOSED.items():
            self._closed.labels(reason).set(count)
        self._failing.set(int(failing))
        self._lost.set(lost)
        return generate_latest(self._registry)
