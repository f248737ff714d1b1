"""A process that is told to end: what its clients see until it has ended."""

from __future__ import annotations

import signal
import socket
import time
from contextlib import closing, contextmanager
from http.client import HTTPResponse
from urllib.parse import urlsplit

import httpx
import pytest

from scanner.vouchers import Receipt
from tests.intake.conftest import INTAKE
from tests.intake.integrity import check
from tests.intake.senders import VOUCHER_TYPE, Sender, this_window

SENDER = Sender(7)
WAIT = 30.0


class HalfSent:
    """A delivery whose body has not arrived whole."""

    def __init__(self, url: str, slot: int) -> None:
        self.place = (SENDER.id, this_window(), slot)
        self.voucher = SENDER.voucher(*self.place[1:])
        address = urlsplit(url)
        self.connection = socket.create_connection((address.hostname, address.port), timeout=WAIT)
        head = (
            f"PUT {SENDER.path(*self.place[1:])} HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: {VOUCHER_TYPE}\r\n"
            f"Content-Length: {len(self.voucher)}\r\n\r\n"
        )
        self.connection.sendall(head.encode() + self.voucher[:100])

    def finish(self) -> None:
        """Send the rest."""
        self.connection.sendall(self.voucher[100:])

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the answer, which ends the connection."""
        with closing(self.connection), HTTPResponse(self.connection) as answer:
            answer.begin()
            found = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
            assert self.connection.recv(1) == b""
            return found


@pytest.fixture
def draining(start_intake, sqlite_url):
    """Start an intake with these times for its end, and a device enrolled."""

    @contextmanager
    def start(notice: str, limit: str):
        times = {"PRESCAN_INTAKE_DRAIN_NOTICE": notice, "PRESCAN_INTAKE_DRAIN_LIMIT": limit}
        process = start_intake(sqlite_url, environment=times)
        with httpx.Client(base_url=process.url, timeout=WAIT) as client:
            assert SENDER.enrol(client).status_code == 201
            yield process, client

    return start


def half_sent(url: str, slot: int) -> HalfSent:
    """A delivery that the intake has begun to serve: what came behind it on another connection is answered."""
    request = HalfSent(url, slot)
    for _ in range(3):
        assert httpx.get(f"{url}/healthz", timeout=WAIT).status_code == 200
    return request


def refuses(url: str) -> bool:
    """Whether nobody listens any more."""
    try:
        httpx.get(f"{url}/healthz", timeout=WAIT)
    except httpx.ConnectError:
        return True
    except httpx.HTTPError:
        pass  # it was taken and let go
    return False


def await_that(condition) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_during_the_notice_it_serves_and_says_that_it_ends(draining, sqlite_url):
    """/readyz says 503 with Retry-After; deliveries get receipts, begun before or after, on connections that end."""
    with draining("10m", "1s") as (process, client):
        begun = half_sent(process.url, 0)
        process.process.send_signal(signal.SIGTERM)
        await_that(lambda: httpx.get(f"{process.url}/readyz", timeout=WAIT).status_code == 503)
        unready = httpx.get(f"{process.url}/readyz", timeout=WAIT)
        assert unready.json()["type"] == "urn:prescan:problem:ending"
        assert unready.headers["Retry-After"] == "1"
        assert httpx.get(f"{process.url}/healthz", timeout=WAIT).status_code == 200
        begun.finish()
        status, headers, first = begun.answer()
        assert (status, headers["connection"]) == (201, "close")
        voucher = SENDER.voucher(this_window(), 1)
        second = SENDER.put(client, voucher, this_window(), 1)
        assert (second.status_code, second.headers["Connection"]) == (201, "close")
        began = time.monotonic()
        code = process.stop(signal.SIGTERM)  # the second one: now
        assert code in {0, -signal.SIGTERM}
        assert time.monotonic() - began < 20
    given = {begun.place: first, (SENDER.id, this_window(), 1): second.content}
    assert check(sqlite_url, INTAKE.public_key(), given).receipts == given


def test_at_the_limit_what_still_runs_is_cut_off(draining, sqlite_url):
    """Nobody new is taken; who is done in time gets a receipt, who isn't gets 503 with Retry-After; it ends with 0."""
    with draining("0s", "4s") as (process, _):
        quick, slow = half_sent(process.url, 0), half_sent(process.url, 1)
        process.process.send_signal(signal.SIGTERM)
        await_that(lambda: refuses(process.url))
        quick.finish()
        status, headers, receipt = quick.answer()
        assert (status, headers["connection"]) == (201, "close")
        assert Receipt.verified(receipt, INTAKE.public_key())
        status, headers, body = slow.answer()
        assert (status, headers["retry-after"], headers["content-type"]) == (503, "1", "application/problem+json")
        assert b"urn:prescan:problem:ending" in body
        output, _ = process.process.communicate(timeout=WAIT)
        assert process.process.returncode == 0
        assert b"Traceback" not in output
    assert check(sqlite_url, INTAKE.public_key(), {quick.place: receipt}).receipts == {quick.place: receipt}


def test_without_requests_it_ends_at_once(draining):
    """Neither the limit nor an idle connection holds it."""
    with draining("0s", "10m") as (process, client):
        assert client.get("/readyz").status_code == 200
        began = time.monotonic()
        assert process.stop(signal.SIGTERM) == 0
        assert time.monotonic() - began < 15
        assert b"Traceback" not in process.output
