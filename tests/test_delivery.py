"""Delivery: a voucher counts as delivered with the intake's receipt for it, and with nothing else."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import random
import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from scanner.delivery import LONGEST_WAIT_HEEDED, Courier
from scanner.errors import DeliveryError, RefusedError
from scanner.intake.settings import Settings
from scanner.intake.store import schema
from scanner.outbox import Outbox
from scanner.vouchers import DeviceSealer, Receipt, Voucher
from tests.intake.conftest import INTAKE, NOW, make_operator, open_app, serving
from tests.policies import ACCOUNT, OTHER_ACCOUNT, POLICY, seal

DEVICE = Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32)
OTHER = Ed25519PrivateKey.from_private_bytes(bytes([2]) * 32)
SEALER = DeviceSealer(DEVICE, POLICY, ACCOUNT)
DEVICE_ID = SEALER.device_id


class Misbehaving:
    """An intake (ASGI) that answers as it is told to, and keeps what it was asked."""

    def __init__(self, status: int = 503, headers: dict[str, str] | None = None, body: bytes | None = b"") -> None:
        self.answer = (status, headers or {}, body)
        self.asked: list[tuple[str, str, bytes]] = []

    def respond(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """What to answer to a body."""
        return self.answer

    async def __call__(self, scope, receive, send) -> None:
        """Serve one request (ASGI)."""
        if scope["type"] == "lifespan":
            for _ in range(2):
                event = (await receive())["type"]
                await send({"type": f"{event}.complete"})
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        self.asked.append((scope["method"], scope["path"], body))
        status, headers, answer = self.respond(body)
        lines = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": lines})
        await send({"type": "http.response.body", "body": answer})


class Signing(Misbehaving):
    """An intake that signs a receipt, but of its own making."""

    def __init__(self, key: Ed25519PrivateKey, **changes) -> None:
        super().__init__()
        self._key, self._changes = key, changes

    def respond(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """A receipt with some fields changed."""
        header = Voucher.parse(body).header
        receipt = Receipt(header.device_id, header.window, header.slot, hashlib.sha256(body).digest(), 20_600)
        return 201, {}, dataclasses.replace(receipt, **self._changes).sign(self._key)


@pytest.fixture
def outbox(tmp_path):
    """An outbox with three vouchers due."""
    with Outbox(tmp_path / "outbox.db", rng=random.Random(1)) as box:
        for _ in range(3):
            box.add(744, lambda window, slot: seal(SEALER, window, slot), NOW)
        yield box


def migrated(folder) -> str:
    """The URL of an intake's new database."""
    url = f"sqlite:///{folder / 'intake.db'}"
    schema.migrate(url)
    return url


@pytest.fixture
def intake_url(tmp_path):
    """A running intake."""
    with serving(open_app(migrated(tmp_path))) as url:
        yield url


def courier_to(url: str, **options) -> Courier:
    return Courier(url, DEVICE, ACCOUNT, INTAKE.public_key(), **options)


def test_what_is_due_is_delivered_with_receipts_that_verify(intake_url, outbox):
    """Every voucher gets the intake's word for exactly its bytes, and its own bytes are gone."""
    digests = [hashlib.sha256(each.voucher).digest() for each in outbox.due(NOW)]
    with courier_to(intake_url) as courier:
        courier.enrol()
        assert courier.deliver(outbox, NOW) == 3
        assert courier.deliver(outbox, NOW + 1e5) == 0
    assert outbox.counts() == {"delivered": 3}
    receipts = [Receipt.verified(receipt, INTAKE.public_key()) for receipt in outbox.receipts()]
    assert [receipt.voucher_digest for receipt in receipts] == digests
    assert [(receipt.device_id, receipt.window, receipt.slot) for receipt in receipts] == [
        (DEVICE_ID, 744, slot) for slot in range(3)
    ]


def test_nothing_is_sent_when_nothing_is_due(outbox):
    """No match, no request: not even a look at whether the intake is there."""
    app = Misbehaving()
    with serving(app) as url, courier_to(url) as courier:
        assert courier.deliver(outbox, NOW - 1) == 0
        assert courier.bytes_sent == 0
    assert app.asked == []


def test_bytes_sent_are_counted(intake_url, outbox):
    """The count is that of the bodies, voucher by voucher, and of the enrolment."""
    sizes = sum(len(each.voucher) for each in outbox.due(NOW))
    with courier_to(intake_url) as courier:
        courier.enrol()
        enrolment = courier.bytes_sent
        assert 180 < enrolment < 250
        courier.deliver(outbox, NOW)
        assert courier.bytes_sent == enrolment + sizes


def test_only_vouchers_and_the_enrolment_are_sent(outbox):
    """Each request is a PUT of stored bytes to its own place."""
    waiting = outbox.due(NOW)
    app = Signing(INTAKE)
    with serving(app) as url, courier_to(url) as courier:
        assert courier.deliver(outbox, NOW) == 3
    assert app.asked == [("PUT", f"/v1/vouchers/{DEVICE_ID.hex()}/744/{each.slot}", each.voucher) for each in waiting]


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_passing_trouble_is_tried_again_later(outbox, status):
    """The voucher stays, the round ends at it, and the same bytes go out the next time."""
    waiting = outbox.due(NOW)
    app = Misbehaving(status)
    with serving(app) as url, courier_to(url) as courier:
        assert courier.deliver(outbox, NOW) == 0
        assert len(app.asked) == 1
        assert outbox.counts() == {"pending": 3}
        assert courier.deliver(outbox, NOW + 7200) == 0
    assert {body for _, path, body in app.asked if path.endswith("/0")} <= {waiting[0].voucher}
    assert outbox.counts() == {"pending": 3}


def test_the_same_bytes_are_sent_again(outbox):
    """Every attempt of one voucher carries the bytes stored when it was made."""
    first = outbox.due(NOW, limit=1)[0]
    for other in outbox.due(NOW)[1:]:
        outbox.record_refusal(other, "not of this test")
    app = Misbehaving(503)
    with serving(app) as url, courier_to(url) as courier:
        for attempt in range(4):
            courier.deliver(outbox, NOW + 7200 * attempt)
    assert [body for _, _, body in app.asked] == [first.voucher] * 4
    assert outbox.due(NOW + 1e5)[0].attempts == 4


def at(seconds: float) -> str:
    return format_datetime(datetime(2027, 1, 15, 8, tzinfo=UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("headers", "least"),
    [
        ({"Retry-After": "900"}, 900),
        ({"Retry-After": at(900), "Date": at(0)}, 900),
        ({"Retry-After": at(-900), "Date": at(0)}, 0),
        ({"Retry-After": "0"}, 0),
        ({"Retry-After": "9" * 400}, LONGEST_WAIT_HEEDED),
        ({"Retry-After": at(10 * 365 * 86_400), "Date": at(0)}, LONGEST_WAIT_HEEDED),
        ({"Retry-After": "-5"}, 0),
        ({"Retry-After": "soon"}, 0),
        ({"Retry-After": "1e9"}, 0),
        ({"Retry-After": "Fri, 15 Jan 2027 08:15:00", "Date": at(0)}, 0),
        ({"Retry-After": at(900), "Date": "today"}, 0),
        ({}, 0),
    ],
    ids=lambda value: str(value)[:50],
)
def test_the_intake_is_left_alone_as_long_as_it_asks(outbox, status, headers, least):
    """Retry-After is heeded as a number and as a date, up to a day; nonsense is as if it were not there."""
    for other in outbox.due(NOW)[1:]:
        outbox.record_refusal(other, "not of this test")
    with serving(Misbehaving(status, headers), date_header=False) as url, courier_to(url) as courier:
        courier.deliver(outbox, NOW)
    first_delay = 2.0
    assert NOW + least <= outbox.next_due() <= NOW + max(least, first_delay)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 410, 413, 415, 422, 451])
def test_a_refused_voucher_is_parked_and_the_next_is_sent(outbox, status):
    """What the intake understood and said no to is never sent again."""
    app = Misbehaving(status, {"Content-Type": "application/problem+json"}, b'{"title": "No, thank you"}')
    with serving(app) as url, courier_to(url) as courier:
        assert courier.deliver(outbox, NOW) == 0
        assert len(app.asked) == 3
        assert courier.deliver(outbox, NOW + 1e5) == 0
    assert len(app.asked) == 3
    assert outbox.counts() == {"parked": 3}


def test_the_problem_is_kept_for_a_person(outbox):
    """What the intake gave as the reason stands in the outbox with the status."""
    app = Misbehaving(403, {"Content-Type": "application/problem+json"}, b'{"title": "No, thank you"}')
    with serving(app) as url, courier_to(url) as courier:
        courier.deliver(outbox, NOW)
        with pytest.raises(RefusedError, match="answered 403: No, thank you"):
            courier.enrol()
    problems = outbox._database._db.execute("SELECT DISTINCT problem FROM vouchers").fetchall()
    assert problems == [("the intake answered 403: No, thank you",)]


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'"text"', b'{"title": 7}', b"\xff\xfe\x00", b"{" * 50])
@pytest.mark.parametrize("status", [403, 503])
def test_an_error_of_any_form_is_understood(outbox, status, body):
    """Without a readable problem the status is enough."""
    with serving(Misbehaving(status, {}, body)) as url, courier_to(url) as courier:
        assert courier.deliver(outbox, NOW) == 0
    assert outbox.counts() == ({"parked": 3} if status == 403 else {"pending": 3})


@pytest.mark.parametrize(
    "app",
    [
        Signing(OTHER),
        Signing(INTAKE, device_id=bytes(16)),
        Signing(INTAKE, window=736),
        Signing(INTAKE, slot=9),
        Signing(INTAKE, voucher_digest=bytes(32)),
        Misbehaving(200),
        Misbehaving(201, {}, b"thank you"),
        Misbehaving(200, {"Content-Type": "text/html"}, b"<html>please log in to this network</html>"),
        Misbehaving(204),
    ],
    ids=["forged", "device", "window", "slot", "digest", "empty", "text", "captive-portal", "no-content"],
)
def test_without_the_receipt_for_it_a_voucher_stays(outbox, app):
    """Success in HTTP is not enough: a forged receipt, or one for another voucher, delivers nothing."""
    with serving(app) as url, courier_to(url) as courier:
        assert courier.deliver(outbox, NOW) == 0
    assert outbox.counts() == {"pending": 3}
    assert outbox.receipts() == []
    assert len(app.asked) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(outbox, status):
    """Nobody can send a device's vouchers elsewhere."""
    elsewhere = Misbehaving(200)
    with serving(elsewhere) as other_url:
        app = Misbehaving(status, {"Location": f"{other_url}/elsewhere"})
        with serving(app) as url, courier_to(url) as courier:
            assert courier.deliver(outbox, NOW) == 0
    assert len(app.asked) == 1
    assert elsewhere.asked == []
    assert outbox.receipts() == []
    assert outbox.counts() == {"pending": 3}


@pytest.mark.parametrize("status", [403, 503])
@pytest.mark.parametrize(
    ("headers", "body"),
    [({}, b"[" * 100_000), ({"Retry-After": "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"}, b"")],
)
def test_a_hostile_answer_is_only_an_answer(outbox, status, headers, body):
    """Deep nesting and impossible dates are read as nothing, not raised in the middle of a round."""
    app = Misbehaving(status, headers, body)
    with serving(app) as url, courier_to(url) as courier:
        assert courier.deliver(outbox, NOW) == 0
    assert app.asked


@pytest.fixture
def refusing_url():
    """A port on which nobody listens, kept so that nobody else takes it."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


def test_when_nobody_listens_the_round_ends(refusing_url, outbox):
    """One attempt is enough to know; nothing is lost and the others are not even tried."""
    size = len(outbox.due(NOW)[0].voucher)
    with courier_to(refusing_url) as courier:
        assert courier.deliver(outbox, NOW) == 0
        assert courier.bytes_sent == size
        with pytest.raises(DeliveryError, match="can't be reached") as failed:
            courier.enrol()
        assert not isinstance(failed.value, RefusedError)
    assert outbox.counts() == {"pending": 3}
    assert sorted(each.attempts for each in outbox.due(NOW + 1e5)) == [0, 0, 1]


def test_a_silent_intake_is_given_up(outbox):
    """A connection that is taken and never answered ends at the time limit; nothing is lost."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with courier_to(url, timeout=0.2) as courier:
            assert courier.deliver(outbox, NOW) == 0
    assert outbox.counts() == {"pending": 3}


def test_enrolment_needs_the_token_where_one_is_asked(tmp_path):
    """Refused without it and with another; done with the one its provider registered, and no error when repeated."""
    url = migrated(tmp_path)
    provider = {"Authorization": f"Bearer {make_operator(url, 'enrol')}"}
    with serving(open_app(url, settings=Settings())) as address, courier_to(address) as courier:
        for token in (None, "wrong"):
            with pytest.raises(RefusedError, match="401"):
                courier.enrol(token)
        account = base64.urlsafe_b64encode(ACCOUNT).rstrip(b"=").decode()
        registered = httpx.put(
            f"{address}/v1/tokens/{hashlib.sha256(b'secret').hexdigest()}",
            json={"account": account, "expires_at": int(NOW) + 3600},
            headers=provider,
        )
        assert registered.status_code == 201
        courier.enrol("secret")
        courier.enrol("secret")


def test_a_device_that_is_not_enrolled_is_refused(intake_url, outbox):
    """The real intake's 403 parks the vouchers, with its reason."""
    with courier_to(intake_url) as courier:
        assert courier.deliver(outbox, NOW) == 0
    assert outbox.counts() == {"parked": 3}


def test_a_receipt_lost_on_the_way_is_given_again(intake_url, outbox):
    """When the intake has a voucher already, delivering it again ends in the first receipt, and nothing doubles."""
    with courier_to(intake_url) as courier:
        courier.enrol()
        waiting = outbox.due(NOW)[0]
        first = courier._send(waiting)
        assert courier.deliver(outbox, NOW) == 3
    assert outbox.receipts()[0] == first


def test_another_intake_key_is_another_intake(intake_url, outbox):
    """A courier that pinned another key believes nothing the intake signs."""
    with Courier(intake_url, DEVICE, ACCOUNT, OTHER.public_key()) as courier:
        courier.enrol()
        assert courier.deliver(outbox, NOW) == 0
    assert outbox.counts() == {"pending": 3}


def test_a_device_enrols_for_one_account(intake_url):
    """Another account is refused in the intake's words, and the first goes on."""
    with courier_to(intake_url) as courier:
        courier.enrol()
        with (
            Courier(intake_url, DEVICE, OTHER_ACCOUNT, INTAKE.public_key()) as moved,
            pytest.raises(RefusedError, match="409: The device is enrolled for another account"),
        ):
            moved.enrol()
        courier.enrol()


def test_every_request_is_in_the_users_ledger(outbox, intake_url):
    """By day, with the bytes of its body, before it is sent: an answer that never comes does not hide it."""
    sizes = [len(each.voucher) for each in outbox.due(NOW)]
    with serving(Misbehaving(503)) as url, courier_to(url) as courier:
        courier.deliver(outbox, NOW)
    with courier_to(intake_url) as courier:
        courier.enrol()
        courier.deliver(outbox, NOW + 86_400)
    day = int(NOW) // 86_400
    assert outbox.ledger().traffic == ((day, 1, sizes[0]), (day + 1, 3, sum(sizes)))


def test_nobody_there_is_in_the_ledger_too(outbox, refusing_url):
    """It may have left all the same."""
    with courier_to(refusing_url) as courier:
        courier.deliver(outbox, NOW)
    assert [one.requests for one in outbox.ledger().traffic] == [1]


def test_a_delivered_voucher_leaves_its_digest_and_receipt(outbox, intake_url):
    """So that the user can check later what was signed for."""
    digests = {(each.window, each.slot): hashlib.sha256(each.voucher).digest() for each in outbox.due(NOW)}
    with courier_to(intake_url) as courier:
        courier.enrol()
        courier.deliver(outbox, NOW)
    for kept in outbox.ledger().vouchers:
        assert kept.digest == digests[kept.window, kept.slot]
        assert Receipt.verified(kept.receipt, INTAKE.public_key()).voucher_digest == kept.digest


def test_enrolment_is_in_the_ledger_as_every_request_is(tmp_path):
    """Every byte that left, whether or not it arrived."""
    seen: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.content)
        return httpx.Response(201 if len(seen) == 1 else 503, json={})

    transport = httpx.MockTransport(answer)
    with (
        Outbox(tmp_path / "outbox.db") as outbox,
        Courier("http://intake", DEVICE, ACCOUNT, INTAKE.public_key(), transport=transport) as courier,
    ):
        courier.enrol(outbox=outbox, now=NOW)
        with pytest.raises(DeliveryError):
            courier.enrol(outbox=outbox, now=NOW)
        (day,) = outbox.ledger().traffic
        assert (day.requests, day.bytes) == (2, sum(map(len, seen)))
        assert courier.bytes_sent == day.bytes
