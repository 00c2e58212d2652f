"""A span a request, by OpenTelemetry's conventions for generative AI: who was asked, who answered, tokens, how it ended.

Without a configured SDK the spans are no-ops. `configure` sends them to where the usual `OTEL_EXPORTER_OTLP_…` variables say.
"""

import os
from collections.abc import Iterable, Mapping

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, Status, StatusCode

from ratchet.core.errors import UsageError

__all__ = ["are_taken", "configure", "parent_of", "record"]

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
Value = str | int | float | list[str]


def configure() -> bool:
    """Send spans to the collector that the environment names; return False where it names none.

    Raises: UsageError if it names one, and the exporter is not installed.
    """
    if not any(os.environ.get(name) for name in ENDPOINTS):
        return False
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as missing:
        raise UsageError(
            f"traces need the extra 'otel' ({missing}); install it with: pip install 'ratchet[otel]', or unset {ENDPOINTS[0]}"
        ) from missing
    provider = TracerProvider(resource=Resource.create({"service.name": "ratchet"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    return True


def are_taken() -> bool:
    """Return whether anybody takes spans; where nobody does there is no need to make them."""
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


def parent_of(headers: Iterable[tuple[bytes, bytes]]) -> Context | None:
    """Return the span that a request says it belongs to, or None."""
    given = {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in headers
        if name in (b"traceparent", b"tracestate")
    }
    return propagate.extract(given) if given else None


def record(
    parent: Context | None,
    operation: str,
    model: str,
    attributes: Mapping[str, Value | None],
    *,
    started_s: float,
    seconds: float,
    problem: str | None,
) -> None:
    """Write a span of a request that has ended.

    Args:
        parent: The span that it belongs to.
        operation: chat or text_completion.
        model: What was asked for.
        attributes: What else is known, without the prefix `gen_ai.`; None is left out.
        started_s: When it began, in seconds since 1970.
        seconds: How long it took.
        problem: What went wrong, if anything.
    """
    known = {f"gen_ai.{name}": value for name, value in attributes.items() if value is not None}
    span = trace.get_tracer("ratchet").start_span(
        f"{operation} {model}",
        context=parent,
        kind=SpanKind.SERVER,
        start_time=int(started_s * 1e9),
        attributes={
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": "ratchet",
            "gen_ai.request.model": model,
            **known,
        },
    )
    if problem:
        span.set_status(Status(StatusCode.ERROR, problem))
        span.set_attribute("error.type", problem.split(":", maxsplit=1)[0][:100])
    span.end(int((started_s + seconds) * 1e9))
