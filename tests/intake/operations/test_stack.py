"""All that stands around the app, together, over a real connection."""

from __future__ import annotations

import base64
import io
import json
import socket
import threading
import time

import httpx
import pytest
import uvicorn
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from scanner.intake.operations.draining import Drain
from scanner.intake.operations.headers import HEADERS
from scanner.intake.operations.logs import AccessLog, logging_to
from scanner.intake.operations.metrics import Metrics
from scanner.intake.operations.peers import TrustedPeers
from scanner.intake.operations.stack import Operations, operated
from scanner.intake.operations.telemetry import open_tracing
from tests.intake.operations.apps import DEVICE, SECRET, ask, failure, make_app, unready
from tests.intake.operations.secrecy import assert_silent

BODY = bytes(range(64))
TOKEN = "token-nobody-may-read"


class Whole:
    """An app with everything around it, and all that it says."""

    def __init__(self, log_format: str = "json") -> None:
        self.log, self.exporter = io.StringIO(), InMemorySpanExporter()
        self.tracing = open_tracing("http://127.0.0.1:9", self.exporter)
        self.operations = Operations(
            metrics=Metrics(),
            peers=TrustedPeers(()),
            drain=Drain(),
            encrypted=True,
            access_log=AccessLog(self.log, log_format),
            tracing=self.tracing,
            mounts=frozenset({"/console"}),
        )
        self.app = operated(make_app(), self.operations, failure=failure, unready=unready)

    def said(self) -> str:
        """Log, metrics and traces."""
        self.tracing.close()
        spans = "".join(span.to_json() for span in self.exporter.get_finished_spans())
        metrics = self.operations.metrics.render()[0].decode()
        assert spans.count('"http.route"') == metrics.count("requests_total{") > 0
        return self.log.getvalue() + spans + metrics


REQUESTS = [
    ("PUT", f"/v1/vouchers/{DEVICE}/735/1", 201),
    ("PUT", f"/v1/vouchers/{DEVICE}/x/1?token={TOKEN}", 422),
    ("GET", f"/v1/devices/{DEVICE}", 200),
    ("GET", f"/console/cases/{DEVICE}", 200),
    ("GET", f"/of/{DEVICE}/inside", 200),
    ("GET", f"/{DEVICE}", 404),
    ("GET", f"/fails/{DEVICE}", 500),
]


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_nothing_says_what_it_may_not(log_format):
    """Whatever was asked, neither log nor metrics nor traces hold an id, a body, a token or the text of an error."""
    whole = Whole(log_format)
    headers = {"Authorization": f"Bearer {TOKEN}", "Cookie": f"session={SECRET}", "X-Request-Id": DEVICE}
    with logging_to(whole.log, log_format):
        for method, path, status in REQUESTS:
            answer = ask(whole.app, method, path, content=BODY, headers=headers)
            assert answer.status_code == status
            assert [name for name in HEADERS if name not in answer.headers] == []
            assert len(answer.headers.get_list("x-request-id")) == 1
    assert len(whole.log.getvalue().splitlines()) == len(REQUESTS)
    secrets = [DEVICE, bytes.fromhex(DEVICE), BODY, TOKEN, SECRET, base64.b64encode(BODY), "192.0.2.1"]
    assert_silent(whole.said(), secrets)


def test_a_worker_that_ends_is_counted_written_and_safe_too():
    """Its 503 has every header and an id, and a line."""
    whole = Whole()
    whole.operations.drain.begin()
    answer = ask(whole.app, "GET", "/readyz")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert answer.headers["Strict-Transport-Security"]
    line = json.loads(whole.log.getvalue())
    assert (line["status"], line["request_id"]) == (503, answer.headers["x-request-id"])
    whole.tracing.close()


def test_it_stands_in_a_framework_as_a_middleware():
    """``add_middleware`` takes it; an app that raises gets its answer from inside, with every header."""
    operations = Operations(Metrics(), TrustedPeers(()), Drain())
    app = make_app()
    app.add_middleware(operated, operations=operations, failure=failure, unready=unready)
    answer = ask(app, "GET", f"/fails/{DEVICE}")
    assert (answer.status_code, answer.text) == (500, "failed")
    assert answer.headers["x-request-id"]
    assert answer.headers["Content-Security-Policy"]
    assert b'route="/fails/{device}",status="500"} 1.0' in operations.metrics.render()[0]


def test_over_a_real_connection_a_raising_app_is_written_without_its_text():
    """uvicorn logs what was raised: through our formatter, its type and places only."""
    whole, stream = Whole(), io.StringIO()
    with logging_to(stream, "json"), socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(whole.app, log_config=None, access_log=False, server_header=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            url = f"http://127.0.0.1:{listening.getsockname()[1]}"
            answer = httpx.get(f"{url}/fails/{DEVICE}", timeout=10)
            assert httpx.put(f"{url}/v1/vouchers/{DEVICE}/1/2", content=BODY, timeout=10).status_code == 201
        finally:
            deadline = time.monotonic() + 10
            while not server.started and time.monotonic() < deadline:
                time.sleep(0.01)
            server.should_exit = True
            thread.join(10)
    assert not thread.is_alive()
    assert (answer.status_code, "server" in answer.headers) == (500, False)
    assert_silent(stream.getvalue() + whole.said(), [DEVICE, SECRET, BODY])
    line = json.loads(stream.getvalue().splitlines()[0])
    assert (line["logger"], line["error"], line["event"]) == ("uvicorn.error", "RuntimeError", "(withheld)")
    assert line["trace"][-1].startswith("tests.intake.operations.apps:")
