"""One webhook, once, over real connections."""

from __future__ import annotations

import asyncio
import json
import logging
import time

import httpcore
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.intake.hooks.sending import LONGEST_WAIT_HEEDED, NO_ANSWER, NOT_PUBLIC, Answer, Sender, retry_after
from scanner.intake.hooks.signing import hook_key, public_text, verify
from tests.intake.conftest import INTAKE, NOW
from tests.intake.hooks.receivers import NEVER, Got, answer, certified, receiving

KEY = hook_key(INTAKE)
BODY = b'{"type":"hook.test","timestamp":"2027-01-15T08:00:00Z","data":{}}'
MESSAGE = "ab" * 16
SECRET = "s3cr3t-in-the-path"


async def post(sender: Sender, url: str) -> Answer:
    """Send the message of these tests."""
    return await sender.send(url, MESSAGE, BODY, NOW)


async def local(_host: str, _port: int) -> list[str]:
    """Every name is this machine's."""
    return ["127.0.0.1"]


def private(timeout: float = 5.0) -> Sender:
    """A sender that may go anywhere."""
    return Sender(KEY, resolve=local, timeout=timeout, unsafe_private=True)


def test_a_message_arrives_signed():
    """The request is a POST of the very bytes, which a receiver can verify, and nothing of anybody else is in it."""

    async def run() -> Got:
        async with receiving() as receiver:
            assert await post(private(), receiver.url("/x?y=1")) == Answer(204)
        (got,) = receiver.got
        assert got.headers["host"] == f"127.0.0.1:{receiver.port}"
        return got

    got = asyncio.run(run())
    assert got.line == "POST /x?y=1 HTTP/1.1"
    assert verify(public_text(KEY), got.headers, got.body, NOW) == MESSAGE
    assert got.body == BODY
    assert json.loads(got.body)["type"] == "hook.test"
    assert got.headers.keys() == {
        "host", "user-agent", "content-type", "content-length", "connection", "webhook-id", "webhook-timestamp",
        "webhook-signature",
    }  # fmt: skip


@pytest.mark.parametrize("status", [200, 202, 204, 301, 307, 400, 401, 404, 410, 429, 500, 503])
def test_the_status_is_what_counts(status):
    """2xx is accepted, 410 is gone, all else is neither; a redirect is not followed."""

    async def run() -> None:
        async with receiving(lambda _: answer(status, "Location: /elsewhere")) as receiver:
            said = await post(private(), receiver.url())
        assert said.status == status
        assert said.accepted == (status < 300)
        assert said.gone == (status == 410)
        assert len(receiver.got) == 1

    asyncio.run(run())


def test_a_proxy_of_the_environment_is_not_used(monkeypatch):
    """It would undo the check of addresses."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    async def run() -> None:
        async with receiving() as receiver:
            assert await post(private(), receiver.url()) == Answer(204)

    asyncio.run(run())


def test_a_receiver_that_does_not_answer_ends_in_time():
    """The time is for all of it."""

    async def run() -> float:
        async with receiving(lambda _: NEVER) as receiver:
            began = time.monotonic()
            assert await post(private(0.1), receiver.url()) == Answer(NO_ANSWER)
            return time.monotonic() - began

    assert asyncio.run(run()) < 3


def test_a_receiver_that_drips_ends_in_time():
    """Each byte alone would be in time; all together they are not."""

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        try:
            for number in range(1000):
                writer.write(b"HTTP/1.1 200 OK\r\nX: " if not number else b"a")
                await writer.drain()
                await asyncio.sleep(0.02)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def run() -> float:
        server = await asyncio.start_server(drip, "127.0.0.1", 0)
        async with server:
            began = time.monotonic()
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            assert await post(private(0.2), url) == Answer(NO_ANSWER)
            took = time.monotonic() - began
            await asyncio.sleep(0.1)
            return took

    assert asyncio.run(run()) < 3


def test_a_large_answer_is_not_read():
    """The status counts, and the connection ends long before the body does."""
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        try:
            while True:
                writer.write(bytes(65_536))
                sent += 65_536
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def run() -> None:
        server = await asyncio.start_server(flood, "127.0.0.1", 0)
        async with server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            assert await post(private(), url) == Answer(200)
            await asyncio.sleep(0.1)

    asyncio.run(run())
    assert sent < 100_000_000


@pytest.mark.parametrize("said", [b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 200 OK\r\n", b"\x00" * 9, answer(200, "a b: c")])
def test_an_answer_that_is_not_http_is_none(said):
    """Whatever comes, nothing is raised."""

    async def run() -> None:
        async with receiving(lambda _: said) as receiver:
            assert await post(private(), receiver.url()) == Answer(NO_ANSWER)

    asyncio.run(run())


def test_an_answer_that_breaks_off_counts_by_its_status():
    """The receiver has the message; sending it again would be for nothing."""
    said = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"

    async def run() -> None:
        async with receiving(lambda _: said) as receiver:
            assert await post(private(), receiver.url()) == Answer(200)

    asyncio.run(run())


def test_nobody_listens():
    """No answer, and no error."""

    async def run() -> None:
        async with receiving() as receiver:
            url = receiver.url()
        assert await post(private(), url) == Answer(NO_ANSWER)

    asyncio.run(run())


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_this_machine_is_not_reached(scheme):
    """Without the unsafe setting no connection is made, by address nor by name."""

    async def run() -> None:
        sender = Sender(KEY, timeout=5, resolve=local)
        async with receiving() as receiver:
            for host in ("127.0.0.1", "localhost", "a.example"):
                assert await post(sender, receiver.url(scheme=scheme, host=host)) == Answer(NOT_PUBLIC)
        assert receiver.connections == 0

    asyncio.run(run())


def test_plain_http_is_not_spoken():
    """Not to a public address either: no name is even asked for."""

    async def public(_host: str, _port: int) -> list[str]:
        raise AssertionError

    sender = Sender(KEY, timeout=5, resolve=public)
    assert asyncio.run(post(sender, "http://a.example/")) == Answer(NOT_PUBLIC)


def test_a_name_that_changes_its_answer_gains_nothing(monkeypatch):
    """DNS rebinding: it is asked once an attempt, and the checked answer is what is connected to."""
    answers = [["8.8.8.8"], ["127.0.0.1"]]
    asked: list[str] = []
    connected: list[str] = []

    async def changing(host: str, _port: int) -> list[str]:
        asked.append(host)
        return answers[len(asked) - 1]

    async def run() -> None:
        sender = Sender(KEY, timeout=5, resolve=changing)
        async with receiving() as receiver:

            async def connect(_self: object, address: str, *_: object) -> None:
                connected.append(address)
                raise httpcore.ConnectError

            monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", connect)
            url = receiver.url(scheme="https", host="rebinding.example")
            assert await post(sender, url) == Answer(NO_ANSWER)
            assert (asked, connected) == (["rebinding.example"], ["8.8.8.8"])
            assert await post(sender, url) == Answer(NOT_PUBLIC)
            assert (len(asked), connected) == (2, ["8.8.8.8"])
        assert receiver.connections == 0

    asyncio.run(run())


def test_https_is_to_the_name_at_the_checked_address(tmp_path):
    """The certificate is checked against the URL's name, though the address is connected to; Host is the name too."""
    served, trusted = certified(tmp_path, "hooks.example")

    async def run() -> None:
        sender = Sender(KEY, timeout=5, unsafe_private=True, resolve=local, tls=trusted)
        async with receiving(tls=served) as receiver:
            assert await post(sender, receiver.url(scheme="https", host="hooks.example")) == Answer(204)
            assert await post(sender, receiver.url(scheme="https", host="other.example")) == Answer(NO_ANSWER)
        (got,) = receiver.got
        assert got.headers["host"] == f"hooks.example:{receiver.port}"

    asyncio.run(run())


def test_a_certificate_nobody_vouches_for_is_refused(tmp_path):
    """Nothing is sent to who can't prove the name."""
    served, _ = certified(tmp_path, "localhost")

    async def run() -> None:
        async with receiving(tls=served) as receiver:
            assert await post(private(), receiver.url(scheme="https", host="localhost")) == Answer(NO_ANSWER)
        assert receiver.got == []

    asyncio.run(run())


def test_no_log_tells_of_url_or_signature(caplog):
    """At no level, and by no library."""
    caplog.set_level(logging.INFO)
    caplog.set_level(1, logger="scanner")

    async def run() -> None:
        async with receiving(lambda _: answer(500)) as receiver:
            await post(private(), receiver.url(f"/{SECRET}"))

    asyncio.run(run())
    assert SECRET not in caplog.text
    assert "v1a," not in caplog.text


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([], None),
        ([(b"Retry-After", b"120")], 120.0),
        ([(b"retry-after", b" 0 ")], 0.0),
        ([(b"Retry-After", b"99999999999999999999")], LONGEST_WAIT_HEEDED),
        ([(b"Retry-After", b"-5")], None),
        ([(b"Retry-After", b"1.5")], None),
        ([(b"Retry-After", b"soon")], None),
        ([(b"Retry-After", "１２".encode())], None),
        ([(b"Date", b"Fri, 15 Jan 2027 08:00:00 GMT"), (b"Retry-After", b"Fri, 15 Jan 2027 08:02:00 GMT")], 120.0),
        ([(b"Date", b"Fri, 15 Jan 2027 08:00:00 GMT"), (b"Retry-After", b"Fri, 15 Jan 2027 07:00:00 GMT")], 0.0),
        ([(b"Retry-After", b"Fri, 15 Jan 2027 08:02:00 GMT")], None),
    ],
)
def test_retry_after(headers, seconds):
    """A number, or a date beside the answer's own (RFC 9110 section 10.2.3); at most a day, never less than nothing."""
    assert retry_after(headers) == seconds


@given(st.binary(), st.binary())
def test_any_retry_after_can_be_read(value, date):
    """It gives seconds in the allowed range, or nothing."""
    seconds = retry_after([(b"Retry-After", value), (b"Date", date)])
    assert seconds is None or 0 <= seconds <= LONGEST_WAIT_HEEDED


def test_the_answer_says_when_to_come_again():
    """Retry-After is taken from the wire."""

    async def run() -> None:
        async with receiving(lambda _: answer(503, "Retry-After: 77")) as receiver:
            assert await post(private(), receiver.url()) == Answer(503, 77.0)

    asyncio.run(run())
