"""Traces through OpenTelemetry, for those who ask for them.

Rules: nothing is loaded unless an endpoint is set; a span holds the method, the route's template, the status and the
scheme (semantic conventions for HTTP server spans), never the path, an address, a header or an error's text; a caller's
trace is continued only behind a trusted proxy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

import scanner
from scanner.errors import ArgumentError
from scanner.intake.operations.peers import TrustedPeers
from scanner.intake.operations.routes import method_of, route_of

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Tracer

NO_BUILT_IN_TELEMETRY: dict[str, Any] = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}
"""For ``FastAPI(telemetry=…)``: its own spans would hold paths with device ids, its log records errors' texts."""


_EXPORTER = "opentelemetry.exporter.otlp.proto.http.trace_exporter"


@dataclass(frozen=True, slots=True)
class Tracing:
    """Spans on their way out.

    Attributes:
        tracer: makes them.
        close: sends what waits, for up to 30 seconds; call it in a thread when the worker ends.
    """

    tracer: Tracer
    close: Callable[[], None]


def open_tracing(endpoint: str, exporter: SpanExporter | None = None) -> Tracing:
    """Send spans to a collector, in batches, from a thread.

    Args:
        endpoint: URL that takes OTLP over HTTP, such as ``http://127.0.0.1:4318/v1/traces``.
        exporter: another way out, instead of the endpoint.

    Raises:
        ArgumentError: OpenTelemetry is not installed.
    """
    try:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        if exporter is None:
            exporter = import_module(_EXPORTER).OTLPSpanExporter(endpoint=endpoint)
    except ModuleNotFoundError as error:
        raise ArgumentError(
            f"PRESCAN_INTAKE_OTLP_ENDPOINT is set, but traces need {error.name}; install prescan[traces]"
        ) from None
    resource = Resource({"service.name": "prescan-intake", "service.version": scanner.__version__})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return Tracing(provider.get_tracer("scanner.intake", scanner.__version__), provider.shutdown)


class Traces:
    """ASGI middleware that makes a span a request.

    Args:
        app: what serves.
        tracer: makes spans.
        peers: whose ``traceparent`` is continued.
        mounts: as for :func:`scanner.intake.operations.routes.route_of`.
    """

    def __init__(
        self, app: ASGIApp, *, tracer: Tracer, peers: TrustedPeers, mounts: frozenset[str] = frozenset()
    ) -> None:
        from opentelemetry.trace import SpanKind, StatusCode
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._app = app
        self._tracer = tracer
        self._peers = peers
        self._mounts = mounts
        self._server, self._failed = SpanKind.SERVER, StatusCode.ERROR
        self._extract = TraceContextTextMapPropagator().extract

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 0

        async def watched_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        method = method_of(scope)
        # An empty context, not the task's: what surrounds the request is not its caller.
        parent = self._extract(self._said(scope), context=_empty_context())
        with self._tracer.start_as_current_span(
            method,
            context=parent,
            kind=self._server,
            attributes={"http.request.method": method, "url.scheme": scope.get("scheme", "http")},
            record_exception=False,  # its text may hold what no trace may
            set_status_on_exception=False,
        ) as span:
            try:
                await self._app(scope, receive, watched_send)
            except BaseException as error:
                span.set_attribute("error.type", type(error).__name__)
                span.set_status(self._failed)
                raise
            finally:
                route = route_of(scope, self._mounts)
                span.update_name(f"{method} {route}")
                span.set_attribute("http.route", route)
                if status:
                    span.set_attribute("http.response.status_code", status)
                if status >= 500:
                    span.set_status(self._failed)

    def _said(self, scope: Scope) -> dict[str, str]:
        if not self._peers.is_trusted(scope):
            return {}
        names = (b"traceparent", b"tracestate")
        return {name.decode(): value.decode("latin-1") for name, value in scope["headers"] if name in names}


def _empty_context() -> Any:
    from opentelemetry.context import Context

    return Context()
