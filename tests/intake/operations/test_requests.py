"""Every request has an id, a line and a count, none of which names a device."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import time

import pytest
from starlette.requests import ClientDisconnect
from starlette.requests import Request as StarletteRequest

from scanner.intake.operations.headers import SecurityHeaders
from scanner.intake.operations.logs import AccessLog, logging_to, request_id
from scanner.intake.operations.metrics import Metrics
from scanner.intake.operations.peers import TrustedPeers
from scanner.intake.operations.requests import Requests
from scanner.intake.operations.values import networks
from tests.intake.operations.apps import DEVICE, SECRET, Ticking, ask, failure, make_app
from tests.intake.operations.secrecy import assert_silent

PROXY = ("10.0.0.1", 5)


class Watched:
    """An app in the middleware, its log and its metrics."""

    def __init__(self, app=None) -> None:
        self.stream = io.StringIO()
        self.metrics = Metrics()
        self.app = Requests(
            make_app() if app is None else app,
            failure=failure,
            metrics=self.metrics,
            peers=TrustedPeers(networks("10.0.0.0/8")),
            access_log=AccessLog(self.stream, "json", lambda: 0.0),
            mounts=frozenset({"/console"}),
            monotonic=Ticking(0.002),
        )

    def line(self) -> dict:
        """The one line that was written."""
        (line,) = self.stream.getvalue().splitlines()
        return json.loads(line)

    def counted(self) -> list[str]:
        """What was counted, by method, route and status."""
        name = "prescan_intake_requests_total{"
        return [line for line in self.metrics.render()[0].decode().splitlines() if line.startswith(name)]


def test_a_request_is_measured_counted_and_written():
    """The line has the template, the sizes, the time and the id of the answer, and no more."""
    watched = Watched()
    answer = ask(watched.app, "PUT", f"/v1/vouchers/{DEVICE}/735/12", content=b"x" * 980)
    line = watched.line()
    assert answer.status_code == 201
    assert line.pop("request_id") == answer.headers["x-request-id"]
    assert line.pop("time") == "1970-01-01T00:00:00.000Z"
    assert line == {
        "level": "info", "logger": "scanner.access", "event": "request", "method": "PUT",
        "route": "/v1/vouchers/{device}/{window}/{slot}", "status": 201, "milliseconds": 2.0,
        "received": 980, "sent": 980,
    }  # fmt: skip
    route = '{method="PUT",route="/v1/vouchers/{device}/{window}/{slot}",status="201"}'
    assert watched.counted() == [f"prescan_intake_requests_total{route} 1.0"]
    assert (
        'bucket{le="0.0025",route="/v1/vouchers/{device}/{window}/{slot}"} 1.0' in watched.metrics.render()[0].decode()
    )
    assert_silent(watched.stream.getvalue() + watched.metrics.render()[0].decode(), [DEVICE])


@pytest.mark.parametrize(
    ("method", "path", "named", "route", "status"),
    [
        ("GET", f"/v1/devices/{DEVICE}", "GET", "/v1/devices/{device}", 200),
        ("GET", f"/console/cases/{DEVICE}", "GET", "/console/cases/{case}", 200),
        ("GET", f"/of/{DEVICE}/inside", "GET", "(none)", 200),
        ("GET", f"/{DEVICE}", "GET", "(none)", 404),
        ("GET", f"/v1/devices/{DEVICE}/more", "GET", "(none)", 404),
        ("DELETE", f"/v1/devices/{DEVICE}", "DELETE", "/v1/devices/{device}", 405),
        ("PUT", f"/v1/vouchers/{DEVICE}/x/0", "PUT", "/v1/vouchers/{device}/{window}/{slot}", 422),
        (DEVICE.upper(), "/readyz", "(other)", "/readyz", 405),
        ("GET", f"/fails/{DEVICE}", "GET", "/fails/{device}", 500),
    ],
)
def test_a_route_is_its_template(method, path, named, route, status):
    """In routers and mounts too; what matches nothing has one name, and so has a method of a client's making."""
    watched = Watched()
    answer = ask(watched.app, method, path)
    line = watched.line()
    assert (line["method"], line["route"], line["status"], answer.status_code) == (named, route, status, status)
    assert_silent(watched.stream.getvalue() + "".join(watched.counted()), [DEVICE])


@pytest.mark.parametrize(
    ("client", "given", "taken"),
    [
        (PROXY, "trace-0123.ABC", True),
        (PROXY, "short", False),
        (PROXY, "a" * 65, False),
        (PROXY, "with space", False),
        (("192.0.2.1", 5), "trace-0123.ABC", False),
    ],
)
def test_an_id_from_outside_is_taken_from_a_proxy_only(client, given, taken):
    """And only if it is well-formed; else it has a new one of 128 random bits."""
    watched = Watched()
    answer = ask(watched.app, "GET", "/readyz", client=client, headers={"X-Request-Id": given})
    (name,) = answer.headers.get_list("x-request-id")
    assert (name == given) is taken
    assert taken or len(bytes.fromhex(name)) == 16
    assert watched.line()["request_id"] == name


def test_ids_differ_and_end_with_their_request():
    """No two requests share one, and outside a request there is none."""
    watched = Watched()
    names = {ask(watched.app, "GET", "/readyz").headers["x-request-id"] for _ in range(20)}
    assert len(names) == 20
    assert request_id.get() is None


def test_lines_of_a_request_have_its_id():
    """What the app logs while it serves can be found by the id in the answer."""

    async def app(scope, receive, send) -> None:
        logging.getLogger("scanner.intake.example").warning("odd")
        await failure(scope, receive, send)

    watched, stream = Watched(app), io.StringIO()
    with logging_to(stream, "json"):
        answer = ask(watched.app, "GET", "/")
    assert json.loads(stream.getvalue())["request_id"] == answer.headers["x-request-id"] == watched.line()["request_id"]


def test_an_app_that_raises_is_answered_and_raises_on():
    """The client gets the failure's answer with its id; the server gets the error, to log it."""

    async def app(scope, receive, send) -> None:
        raise RuntimeError(SECRET)

    watched = Watched(app)
    answer = ask(watched.app, "GET", "/")
    assert (answer.status_code, answer.text) == (500, "failed")
    assert answer.headers["x-request-id"] == watched.line()["request_id"]
    with pytest.raises(RuntimeError):
        asyncio.run(watched.app({"type": "http", "method": "GET", "headers": [], "path": "/"}, None, swallow))


async def swallow(message) -> None:
    """Send to nobody."""


def test_an_app_that_raises_midway_is_not_answered_twice():
    """What was begun stays the answer, and its status is what is counted."""

    async def app(scope, receive, send) -> None:
        await send({"type": "http.response.start", "status": 200})
        raise RuntimeError(SECRET)

    messages = []

    async def send(message) -> None:
        messages.append(message)

    watched = Watched(app)
    with pytest.raises(RuntimeError):
        asyncio.run(watched.app({"type": "http", "method": "GET", "headers": []}, None, send))
    assert [message["type"] for message in messages] == ["http.response.start"]
    assert watched.line()["status"] == 200


def test_a_client_that_left_is_told_apart():
    """A request that was cut off before its answer counts as 499, and stays cut off."""

    async def app(scope, receive, send) -> None:
        await asyncio.sleep(30)

    watched = Watched(app)

    async def run() -> None:
        task = asyncio.create_task(watched.app({"type": "http", "method": "GET", "headers": []}, None, swallow))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert watched.line()["status"] == 499


def hung_up(app) -> Watched:
    """Serve a request of which only the first piece came."""
    pieces = [{"type": "http.request", "body": b"half", "more_body": True}]
    messages = []

    async def receive() -> dict:
        return pieces.pop() if pieces else {"type": "http.disconnect"}

    async def send(message) -> None:
        messages.append(message)

    watched = Watched(app)
    asyncio.run(watched.app({"type": "http", "method": "PUT", "headers": [], "path": "/"}, receive, send))
    assert (watched.line()["status"], watched.line()["received"]) == (499, 4)
    return watched


def test_a_body_that_never_came_whole_is_the_clients_leaving():
    """Whether the app returns, raises what Starlette raises, or answers nobody; and it is no error to log."""

    async def returns(scope, receive, send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    async def raises(scope, receive, send) -> None:
        await StarletteRequest(scope, receive).body()

    async def answers(scope, receive, send) -> None:
        await returns(scope, receive, send)
        await failure(scope, receive, send)

    for app in (returns, raises, answers):
        assert '"status":499' in hung_up(app).stream.getvalue()


def test_an_app_that_says_a_client_left_who_did_not_is_at_fault():
    """The same error without a disconnect is a failure like any other."""

    async def app(scope, receive, send) -> None:
        raise ClientDisconnect

    watched = Watched(app)
    assert ask(watched.app, "GET", "/").text == "failed"
    assert watched.line()["status"] == 500


def test_an_app_that_answers_nothing_has_failed():
    """It returned without an answer to a client that waits; the server closes the connection."""

    async def app(scope, receive, send) -> None:
        """Do nothing."""

    watched = Watched(app)
    asyncio.run(watched.app({"type": "http", "method": "GET", "headers": []}, None, swallow))
    assert watched.line()["status"] == 500


def test_other_connections_pass_untouched():
    """The start and end of a service are no requests."""
    seen = []

    async def app(scope, receive, send) -> None:
        seen.append((scope, receive, send))

    watched = Watched(app)
    asyncio.run(watched.app({"type": "lifespan"}, 1, 2))
    asyncio.run(SecurityHeaders(app, encrypted=True)({"type": "lifespan"}, 1, 2))
    assert seen == [({"type": "lifespan"}, 1, 2)] * 2
    assert watched.stream.getvalue() == ""


def test_the_log_can_be_off():
    """Then a request is counted only."""
    metrics = Metrics()
    app = Requests(make_app(), failure=failure, metrics=metrics, peers=TrustedPeers(()))
    assert ask(app, "GET", "/readyz").status_code == 200
    assert b'route="/readyz",status="200"} 1.0' in metrics.render()[0]


def test_it_costs_little():
    """A request costs microseconds, with its line: here at most 150, to hold on a busy machine; 10 on a quiet one."""

    async def app(scope, receive, send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def receive() -> dict:
        return {"type": "http.request", "body": b""}

    watched = Watched(app)

    async def run(served) -> float:
        start = time.perf_counter()
        for _ in range(500):
            await served({"type": "http", "method": "PUT", "headers": [], "client": ("192.0.2.1", 1)}, receive, swallow)
        return (time.perf_counter() - start) / 500

    cost = min(asyncio.run(run(watched.app)) for _ in range(5)) - min(asyncio.run(run(app)) for _ in range(5))
    assert cost < 150e-6
