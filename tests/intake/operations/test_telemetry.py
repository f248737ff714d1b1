"""Traces show routes and times, and nobody."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import types

import pytest
from fastapi import FastAPI
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from scanner.errors import ArgumentError
from scanner.intake.operations.peers import TrustedPeers
from scanner.intake.operations.telemetry import NO_BUILT_IN_TELEMETRY, Traces, open_tracing
from scanner.intake.operations.values import networks
from tests.intake.operations.apps import DEVICE, SECRET, ask, make_app
from tests.intake.operations.secrecy import assert_silent, found_in

PROXY = ("10.0.0.1", 5)
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"  # W3C Trace Context, section 3.2.4
MODULE = "opentelemetry.exporter.otlp.proto.http.trace_exporter"


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    """Where spans go."""
    return InMemorySpanExporter()


@pytest.fixture
def traced(exporter):
    """An app whose requests are traced."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    peers = TrustedPeers(networks("10.0.0.0/8"))
    return Traces(make_app(), tracer=provider.get_tracer("test"), peers=peers, mounts=frozenset({"/console"}))


@pytest.mark.parametrize(
    ("method", "path", "route", "status", "failed"),
    [
        ("PUT", f"/v1/vouchers/{DEVICE}/735/1?secret={SECRET}", "/v1/vouchers/{device}/{window}/{slot}", 201, False),
        ("GET", f"/console/cases/{DEVICE}", "/console/cases/{case}", 200, False),
        ("GET", f"/{DEVICE}", "(none)", 404, False),
        ("GET", f"/fails/{DEVICE}", "/fails/{device}", 500, True),
    ],
)
def test_a_span_names_the_route_and_nobody(traced, exporter, method, path, route, status, failed):
    """Method, template, status and scheme; no path, query, address, header or text of an error."""
    ask(traced, method, path, content=SECRET, headers={"X-Secret": SECRET})
    (span,) = exporter.get_finished_spans()
    assert (span.name, span.kind) == (f"{method} {route}", SpanKind.SERVER)
    assert (span.status.status_code is StatusCode.ERROR) is failed
    attributes = dict(span.attributes)
    assert attributes.pop("error.type", None) == ("RuntimeError" if failed else None)
    assert attributes == {
        "http.request.method": method, "url.scheme": "http", "http.route": route, "http.response.status_code": status,
    }  # fmt: skip
    assert span.events == ()
    assert_silent(span.to_json(), [DEVICE, SECRET, "192.0.2.1"])


def test_the_frameworks_own_spans_would_name_devices(exporter):
    """Why they are switched off: with them the path is in the span; without, there is none."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    for options, spans in (({"logs": False}, 1), (NO_BUILT_IN_TELEMETRY, 0)):
        exporter.clear()
        app = FastAPI(telemetry={"tracer_provider": provider} | options)
        app.get("/v1/devices/{device}")(lambda device: device)
        ask(app, "GET", f"/v1/devices/{DEVICE}")
        shown = "".join(span.to_json() for span in exporter.get_finished_spans())
        assert len(found_in(shown, [DEVICE])) == spans


@pytest.mark.parametrize(("client", "continued"), [(PROXY, True), (("192.0.2.1", 5), False)])
def test_a_trace_is_continued_behind_a_proxy_only(traced, exporter, client, continued):
    """A stranger can't make the intake write into a trace of its choosing."""
    ask(traced, "GET", "/readyz", client=client, headers={"traceparent": PARENT, "baggage": f"secret={SECRET}"})
    (span,) = exporter.get_finished_spans()
    assert (f"{span.context.trace_id:032x}" == PARENT[3:35]) is continued
    assert (span.parent is not None) is continued


def test_each_request_has_its_own_trace(traced, exporter):
    """Two without a caller's trace are not one."""
    ask(traced, "GET", "/readyz")
    ask(traced, "GET", "/readyz")
    assert len({span.context.trace_id for span in exporter.get_finished_spans()}) == 2


def test_a_connection_that_is_no_request_has_no_span(traced, exporter):
    """The start and end of the service pass."""

    async def end() -> dict:
        return {"type": "lifespan.shutdown"}

    async def swallow(message) -> None:
        """Send to nobody."""

    asyncio.run(traced({"type": "lifespan", "app": None}, end, swallow))
    assert exporter.get_finished_spans() == ()


def test_what_waits_is_sent_when_the_worker_ends(exporter):
    """Spans go in batches; closing sends the rest."""
    tracing = open_tracing("http://127.0.0.1:9", exporter)
    tracing.tracer.start_span("GET /readyz").end()
    tracing.close()
    (span,) = exporter.get_finished_spans()
    assert dict(span.resource.attributes)["service.name"] == "prescan-intake"


def test_the_endpoint_is_where_spans_go(monkeypatch):
    """The exporter of OTLP over HTTP is made for the address that is set, and closed."""
    made = []

    class Exporter(InMemorySpanExporter):
        def __init__(self, endpoint: str) -> None:
            super().__init__()
            made.append(endpoint)

    module = types.ModuleType(MODULE)
    module.OTLPSpanExporter = Exporter
    monkeypatch.setitem(sys.modules, MODULE, module)
    open_tracing("http://127.0.0.1:4318/v1/traces").close()
    assert made == ["http://127.0.0.1:4318/v1/traces"]


@pytest.mark.parametrize("missing", ["opentelemetry.sdk.trace", MODULE])
def test_a_missing_library_is_named(monkeypatch, missing):
    """Traces that were asked for and can't be had are an error before the service starts."""
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ArgumentError, match=rf"traces need {missing}; install prescan\[traces\]"):
        open_tracing("http://127.0.0.1:4318")


def test_nothing_is_loaded_that_was_not_asked_for():
    """The rest of the operations does not load the SDK."""
    code = (
        "import sys, json, scanner.intake.operations.stack;"
        "print(json.dumps([name for name in sys.modules if name.startswith('opentelemetry.sdk')]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout) == []
