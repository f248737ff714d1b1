"""The intake's answers, on both databases, over real connections."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import hashlib
import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import httpx
import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from scanner.intake.settings import Rate, Settings
from scanner.intake.store import schema
from scanner.intake.store.engine import open_store
from scanner.intake.store.tables import DEVICES, VOUCHERS
from scanner.vouchers import LARGEST_VOUCHER, DeviceSealer, Receipt, Voucher, cose, prove_possession
from scanner.vouchers.header import WINDOW_SECONDS
from tests.intake.conftest import INTAKE, NOW, open_app, serving
from tests.policies import ACCOUNT, OTHER_ACCOUNT, PAYLOAD, POLICY, opened, seal

DEVICE = Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32)
OTHER = Ed25519PrivateKey.from_private_bytes(bytes([2]) * 32)
SEALER = DeviceSealer(DEVICE, POLICY, ACCOUNT)
OTHER_SEALER = DeviceSealer(OTHER, POLICY, ACCOUNT)
DEVICE_ID = SEALER.device_id.hex()


def text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def enrolment(key: Ed25519PrivateKey = DEVICE, account: bytes = ACCOUNT) -> dict[str, str]:
    return {
        "public_key": text(key.public_key().public_bytes_raw()),
        "account": text(account),
        "proof": text(prove_possession(key, account)),
    }


def enrol(client: httpx.Client, **options) -> httpx.Response:
    return client.put(f"/v1/devices/{DEVICE_ID}", json=enrolment(), **options)


def put(
    client: httpx.Client, voucher: bytes, window: int = 744, slot: int = 0, device: str = DEVICE_ID
) -> httpx.Response:
    path = f"/v1/vouchers/{device}/{window}/{slot}"
    return client.put(path, content=voucher, headers={"Content-Type": "application/cose"})


def rows(url: str, query) -> list:
    """What a query finds in the database, seen through a second store."""

    async def read() -> list:
        async with open_store(url) as store, store.reading() as db:
            return list((await db.execute(query)).all())

    return asyncio.run(read())


def stored(url: str) -> list:
    """Every voucher, by its place."""
    columns = VOUCHERS.c
    return rows(url, select(VOUCHERS).order_by(columns.device_id, columns.window_number, columns.slot))


def senders(url: str) -> list[tuple[bytes, bytes]]:
    """Account and device of every voucher."""
    joined = select(DEVICES.c.account, DEVICES.c.device_id).join(VOUCHERS, VOUCHERS.c.device_id == DEVICES.c.device_id)
    return [tuple(row) for row in rows(url, joined.order_by(DEVICES.c.device_id))]


def execute(url: str, statement: str) -> None:
    """Run a statement on a database past the store."""
    if url.startswith("sqlite:///"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as db, db:
            db.execute(statement)
    else:
        with psycopg.connect(url, connect_timeout=10) as db:
            db.execute(statement)


def is_problem(answer: httpx.Response, status: int, name: str) -> bool:
    """The answer is problem+json (RFC 9457) of this status and name; all else fails the test here."""
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert set(problem) <= {"type", "title", "status", "detail"}
    assert (answer.status_code, problem["status"], problem["type"]) == (status, status, f"urn:prescan:problem:{name}")
    assert problem["title"]
    assert DEVICE_ID not in answer.text
    return True


@pytest.fixture(scope="module")
def shared_intake(tmp_path_factory):
    """One intake for many examples."""
    url = f"sqlite:///{tmp_path_factory.mktemp('shared') / 'intake.db'}"
    schema.migrate(url)
    with (
        serving(open_app(url, settings=Settings(unsafe_open_enrolment=True, address_rate=Rate(10**6, 1.0)))) as address,
        httpx.Client(base_url=address) as client,
    ):
        enrol(client)
        yield client


def test_a_device_enrols_once_and_may_repeat_it(intake):
    """201 the first time, 200 with the same answer each time after."""
    first, *again = [enrol(intake) for _ in range(3)]
    assert first.status_code == 201
    assert [answer.status_code for answer in again] == [200, 200]
    assert {answer.text for answer in (first, *again)} == {f'{{"device_id":"{DEVICE_ID}"}}'}


def test_twenty_enrolments_at_once_make_one_device(intake):
    """Exactly one is new."""
    with ThreadPoolExecutor(20) as pool:
        codes = list(pool.map(lambda _: enrol(intake).status_code, range(20)))
    assert sorted(codes) == [200] * 19 + [201]


def test_a_proof_by_another_key_does_not_enrol(intake):
    """Whoever can't sign with the key is refused, and the device stays unknown."""
    body = enrolment() | {"proof": text(prove_possession(OTHER, ACCOUNT))}
    assert is_problem(intake.put(f"/v1/devices/{DEVICE_ID}", json=body), 403, "bad-signature")
    assert is_problem(put(intake, seal(SEALER, 744, 0)), 403, "not-enrolled")


def test_an_id_that_is_not_the_keys_does_not_enrol(intake):
    """Nobody enrols under another device's id."""
    answer = intake.put(f"/v1/devices/{OTHER_SEALER.device_id.hex()}", json=enrolment())
    assert is_problem(answer, 403, "wrong-device")


def test_a_proof_for_another_account_does_not_enrol(intake):
    """The account is signed too: nobody on the way exchanges it."""
    body = enrolment() | {"account": text(OTHER_ACCOUNT)}
    assert is_problem(intake.put(f"/v1/devices/{DEVICE_ID}", json=body), 403, "bad-signature")
    assert is_problem(put(intake, seal(SEALER, 744, 0)), 403, "not-enrolled")


def test_a_device_belongs_to_one_account(intake, store_url):
    """409 for another account, and it stays with the first, its vouchers too."""
    assert enrol(intake).status_code == 201
    moved = intake.put(f"/v1/devices/{DEVICE_ID}", json=enrolment(account=OTHER_ACCOUNT))
    assert is_problem(moved, 409, "other-account")
    assert text(ACCOUNT) not in moved.text
    assert enrol(intake).status_code == 200
    assert put(intake, seal(SEALER, 744, 0)).status_code == 201
    assert senders(store_url) == [(ACCOUNT, SEALER.device_id)]


def test_an_account_has_many_devices(intake, store_url):
    """Each enrols for itself; what they send stands together."""
    for key, sealer in ((DEVICE, SEALER), (OTHER, OTHER_SEALER)):
        device = sealer.device_id.hex()
        assert intake.put(f"/v1/devices/{device}", json=enrolment(key)).status_code == 201
        assert put(intake, seal(sealer, 744, 0), device=device).status_code == 201
    assert senders(store_url) == sorted([(ACCOUNT, SEALER.device_id), (ACCOUNT, OTHER_SEALER.device_id)])


def test_twenty_enrolments_at_once_for_two_accounts_give_one(intake, store_url):
    """One is new, those for the same account repeat it, the others are refused."""
    accounts = [ACCOUNT, OTHER_ACCOUNT] * 10
    with ThreadPoolExecutor(20) as pool:
        codes = list(
            pool.map(
                lambda account: (
                    intake.put(f"/v1/devices/{DEVICE_ID}", json=enrolment(account=account)).status_code,
                    account,
                ),
                accounts,
            )
        )
    (winner,) = [account for code, account in codes if code == 201]
    assert sorted(code for code, _ in codes) == [200] * 9 + [201] + [409] * 10
    assert {account for code, account in codes if code == 200} == {winner}
    assert put(intake, seal(SEALER, 744, 0)).status_code == 201
    assert senders(store_url) == [(winner, SEALER.device_id)]


@pytest.mark.parametrize(
    "account",
    [None, "", 7, "A" * 21, "A" * 23, "A" * 21 + "!", "A" * 20 + "==", text(ACCOUNT) + "\n", ["A" * 22]],
    ids=repr,
)
def test_what_is_no_account_id_is_not_processed(shared_intake, account):
    """16 bytes in base64url, without padding."""
    other = OTHER_SEALER.device_id.hex()
    answer = shared_intake.put(f"/v1/devices/{other}", json=enrolment(OTHER) | {"account": account})
    assert is_problem(answer, 422, "invalid-request")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[]",
        b"{}",
        b'{"public_key": 1, "proof": 2}',
        b'{"public_key": "AAAA", "proof": "AAAA"}',
        json.dumps({"public_key": "A" * 43}).encode(),
        json.dumps({"public_key": "A" * 43, "proof": "A" * 86}).encode(),
        json.dumps({"public_key": "A" * 43, "proof": "A" * 86, "account": "A" * 22, "more": 1}).encode(),
        json.dumps({"public_key": "A" * 42 + "!", "proof": "A" * 86, "account": "A" * 22}).encode(),
        b"\xff\xfe",
        b"[" * 4000,
    ],
    ids=lambda body: body[:30],
)
def test_a_malformed_enrolment_is_not_processed(shared_intake, body):
    """What is no enrolment is told so with 422 or 400, and nothing else happens."""
    other = OTHER_SEALER.device_id.hex()
    answer = shared_intake.put(f"/v1/devices/{other}", content=body, headers={"Content-Type": "application/json"})
    assert is_problem(answer, *((422, "invalid-request") if answer.status_code == 422 else (400, "bad-request")))
    assert is_problem(put(shared_intake, seal(OTHER_SEALER, 744, 0), device=other), 403, "not-enrolled")


@pytest.mark.parametrize("device", ["0", "g" * 32, DEVICE_ID.upper(), DEVICE_ID + "00", DEVICE_ID + "%0A"])
def test_what_is_no_device_id_is_not_processed(shared_intake, device):
    """An id has 32 lower-case hexadecimal digits, for both requests."""
    assert is_problem(shared_intake.put(f"/v1/devices/{device}", json=enrolment()), 422, "invalid-request")
    assert is_problem(put(shared_intake, b"", device=device), 422, "invalid-request")


def test_a_voucher_is_stored_and_its_receipt_verifies(intake, store_url):
    """201 with a receipt for exactly these bytes, and the bytes are in the database."""
    enrol(intake)
    voucher = seal(SEALER, 744, 3)
    answer = put(intake, voucher, 744, 3)
    assert (answer.status_code, answer.headers["Content-Type"]) == (201, "application/cose")
    digest = hashlib.sha256(voucher).digest()
    receipt = Receipt.verified(answer.content, INTAKE.public_key())
    assert receipt == Receipt(SEALER.device_id, 744, 3, digest, int(NOW) // 86_400)
    (row,) = stored(store_url)
    assert (row.device_id, row.window_number, row.slot) == (SEALER.device_id, 744, 3)
    assert (row.digest, row.voucher, row.receipt) == (digest, voucher, answer.content)
    assert opened(row.voucher) == PAYLOAD


def test_the_same_bytes_again_get_the_same_receipt(store_url):
    """200 and the receipt first given, even on a later day."""
    days = [NOW]
    voucher = seal(SEALER, 744, 0)
    with (
        serving(open_app(store_url, clock=lambda: days[-1])) as url,
        httpx.Client(base_url=url) as client,
    ):
        enrol(client)
        first = put(client, voucher)
        days.append(NOW + 3 * 86_400)
        again = put(client, voucher)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.content == first.content


def test_other_bytes_for_a_taken_slot_are_a_conflict(intake, store_url):
    """409, and what was stored first stays."""
    enrol(intake)
    first, second = seal(SEALER, 744, 0), seal(SEALER, 744, 0)
    assert put(intake, first).status_code == 201
    assert is_problem(put(intake, second), 409, "slot-taken")
    assert put(intake, first).status_code == 200
    assert [each.voucher for each in stored(store_url)] == [first]


@pytest.mark.parametrize(("window", "slot"), [(745, 0), (744, 1), (0, 0), (2**32 - 1, 65_535)])
def test_a_voucher_in_another_place_is_refused(intake, store_url, window, slot):
    """The path must name what the voucher names."""
    enrol(intake)
    assert is_problem(put(intake, seal(SEALER, 744, 0), window, slot), 400, "wrong-place")
    other_device = put(intake, seal(SEALER, 744, 0), device=OTHER_SEALER.device_id.hex())
    assert is_problem(other_device, 400, "wrong-place")
    assert stored(store_url) == []


@pytest.mark.parametrize(("window", "slot"), [(0, 0), (3000, 65_535)])
def test_the_first_and_the_last_place_can_be_taken(store_url, window, slot):
    """The database holds every number a voucher can name."""
    now = window * WINDOW_SECONDS + 5.0
    with serving(open_app(store_url, clock=lambda: now)) as url, httpx.Client(base_url=url) as client:
        enrol(client)
        assert put(client, seal(SEALER, window, slot), window, slot).status_code == 201
    assert [(each.window_number, each.slot) for each in stored(store_url)] == [(window, slot)]


@pytest.mark.parametrize(
    ("now", "status", "name"),
    [
        ((744 - 1) * WINDOW_SECONDS - 1.0, 409, "too-early"),
        ((744 - 1) * WINDOW_SECONDS * 1.0, 201, None),
        (746 * WINDOW_SECONDS - 1.0, 201, None),
        (746 * WINDOW_SECONDS * 1.0, 410, "window-over"),
    ],
)
def test_a_voucher_has_its_time(sqlite_url, now, status, name):
    """From a window before its own, for clocks that go wrong, to the end of the grace after it."""
    times = [NOW]
    with serving(open_app(sqlite_url, clock=lambda: times[-1])) as url, httpx.Client(base_url=url) as client:
        enrol(client)
        times.append(now)
        answer = put(client, seal(SEALER, 744, 0))
    assert answer.status_code == status
    assert name is None or is_problem(answer, status, name)


@pytest.mark.parametrize("place", ["-1/0", "0/-1", "4294967296/0", "0/65536", "x/0", "0/x", "1.5/0", "9" * 400 + "/0"])
def test_a_place_no_voucher_can_have_is_not_processed(shared_intake, place):
    """Windows are 0 to 2^32 - 1 and slots 0 to 65,535."""
    assert is_problem(shared_intake.put(f"/v1/vouchers/{DEVICE_ID}/{place}", content=b"x"), 422, "invalid-request")


def test_a_device_that_is_not_enrolled_is_refused(intake, store_url):
    """403 by its own name, so that the device can enrol."""
    assert is_problem(put(intake, seal(SEALER, 744, 0)), 403, "not-enrolled")
    assert stored(store_url) == []


def test_a_voucher_the_device_did_not_sign_is_refused(intake, store_url):
    """Whoever knows an enrolled device's id still can't speak for it."""
    enrol(intake)
    header = Voucher.parse(seal(SEALER, 744, 0)).header
    forged = cose.sign1(OTHER, header.to_cose(), bytes(304))
    assert is_problem(put(intake, forged), 403, "bad-signature")
    assert stored(store_url) == []


@pytest.mark.parametrize("body", [b"", b"x", b"\x81" * 4000, bytes(LARGEST_VOUCHER), seal(SEALER, 744, 0)[:-1]])
def test_what_is_no_voucher_is_malformed(intake, store_url, body):
    """400 for every body that does not parse."""
    enrol(intake)
    assert is_problem(put(intake, body), 400, "malformed")
    assert stored(store_url) == []


@pytest.mark.parametrize("version", [0, 2, 255])
def test_another_version_is_told_apart(intake, version):
    """400 by its own name, so that a newer client knows why."""
    enrol(intake)
    header = dataclasses.replace(Voucher.parse(seal(SEALER, 744, 0)).header, version=version)
    assert is_problem(put(intake, cose.sign1(DEVICE, header.to_cose(), bytes(304))), 400, "unknown-version")


@pytest.mark.parametrize("size", [LARGEST_VOUCHER + 1, 2_000_000])
@pytest.mark.parametrize("declared", [True, False], ids=["with-length", "chunked"])
def test_too_large_a_body_is_refused(shared_intake, size, declared):
    """413 whether or not the length is told beforehand."""
    body = bytes(size)
    for path in (f"/v1/vouchers/{DEVICE_ID}/744/0",):
        answer = shared_intake.put(path, content=body if declared else iter([body[:100], body[100:]]))
        assert is_problem(answer, 413, "too-large")
    assert shared_intake.get("/healthz").status_code == 200


def test_a_voucher_in_many_pieces_is_one_voucher(intake):
    """Chunks are put together again."""
    enrol(intake)
    voucher = seal(SEALER, 744, 0)
    pieces = (voucher[at : at + 7] for at in range(0, len(voucher), 7))
    answer = intake.put(f"/v1/vouchers/{DEVICE_ID}/744/0", content=pieces)
    assert answer.status_code == 201
    assert put(intake, voucher).content == answer.content


def test_twenty_identical_vouchers_at_once_are_stored_once(intake, store_url):
    """Exactly one 201, one row, and one receipt for all."""
    enrol(intake)
    voucher = seal(SEALER, 744, 0)
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: put(intake, voucher), range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [201]
    assert len({answer.content for answer in answers}) == 1
    assert len(stored(store_url)) == 1


def test_twenty_vouchers_for_one_slot_at_once_leave_one(intake, store_url):
    """Exactly one 201, the others 409, and what is stored is what got the receipt."""
    enrol(intake)
    vouchers = [seal(SEALER, 744, 0) for _ in range(20)]
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda voucher: put(intake, voucher), vouchers))
    codes = [answer.status_code for answer in answers]
    assert sorted(codes) == [201] + [409] * 19
    (row,) = stored(store_url)
    assert row.voucher == vouchers[codes.index(201)]
    assert row.receipt == answers[codes.index(201)].content


def test_devices_have_their_own_slots(intake, store_url):
    """The same window and slot of two devices are two places."""
    enrol(intake)
    other = OTHER_SEALER.device_id.hex()
    assert intake.put(f"/v1/devices/{other}", json=enrolment(OTHER)).status_code == 201
    assert put(intake, seal(SEALER, 744, 0)).status_code == 201
    assert put(intake, seal(OTHER_SEALER, 744, 0), device=other).status_code == 201
    assert len(stored(store_url)) == 2


@pytest.mark.parametrize(
    ("method", "path", "status", "name"),
    [
        ("GET", "/", 404, "not-found"),
        ("GET", "/docs", 404, "not-found"),
        ("GET", "/redoc", 404, "not-found"),
        ("PUT", "/v1/vouchers/x", 404, "not-found"),
        ("GET", f"/v1/vouchers/{DEVICE_ID}/744/0", 405, "method-not-allowed"),
        ("DELETE", f"/v1/vouchers/{DEVICE_ID}/744/0", 405, "method-not-allowed"),
        ("POST", f"/v1/devices/{DEVICE_ID}", 405, "method-not-allowed"),
        ("PUT", "/healthz", 405, "method-not-allowed"),
    ],
)
def test_wrong_addresses_and_methods_are_problems_too(shared_intake, method, path, status, name):
    """Every error has the one form; there is no way to read vouchers back over HTTP."""
    answer = shared_intake.request(method, path)
    assert is_problem(answer, status, name)
    if status == 405:
        assert answer.headers["Allow"]


def test_the_configuration_tells_what_clients_may_know(shared_intake):
    """The public half of the key, the versions and the limit, and nothing more."""
    assert shared_intake.get("/v1/config").json() == {
        "intake_public_key": text(INTAKE.public_key().public_bytes_raw()),
        "voucher_versions": [1],
        "largest_voucher": LARGEST_VOUCHER,
        "largest_batch": 256,
        "grace_seconds": WINDOW_SECONDS,
        "window_seconds": WINDOW_SECONDS,
    }


def test_a_missing_database_is_a_passing_trouble(intake, store_url):
    """healthz still says the process runs; readyz and both requests say 503 and when to come back."""
    enrol(intake)
    assert (intake.get("/healthz").status_code, intake.get("/readyz").status_code) == (200, 200)
    for table in ("vouchers", "devices"):
        execute(store_url, f"DROP TABLE {table}")
    assert intake.get("/healthz").json() == {"status": "ok"}
    for answer in (intake.get("/readyz"), enrol(intake), put(intake, seal(SEALER, 744, 0))):
        assert is_problem(answer, 503, "storage")
        assert int(answer.headers["Retry-After"]) > 0


def test_a_dropped_postgresql_database_is_a_passing_trouble(postgresql, postgresql_url):
    """A database whose server throws every connection out is told with 503, not with a broken answer."""
    with serving(open_app(postgresql_url)) as address, httpx.Client(base_url=address) as client:
        assert enrol(client).status_code == 201
        postgresql.run(f"DROP DATABASE {postgresql_url.split('/')[3].split('?')[0]} WITH (FORCE)")
        for _ in range(2):
            assert is_problem(client.get("/readyz"), 503, "storage")
            assert is_problem(enrol(client), 503, "storage")
        assert client.get("/healthz").status_code == 200


def test_readiness_comes_back_with_the_database(store_url):
    """When the tables are there again, the same process takes vouchers again."""
    with serving(open_app(store_url)) as address, httpx.Client(base_url=address) as client:
        execute(store_url, "ALTER TABLE devices RENAME TO elsewhere")
        assert client.get("/readyz").status_code == 503
        execute(store_url, "ALTER TABLE elsewhere RENAME TO devices")
        assert client.get("/readyz").status_code == 200
        assert enrol(client).status_code == 201


def test_a_restart_on_the_same_database_keeps_all(store_url):
    """Devices, vouchers and receipts outlive the process that took them."""
    voucher = seal(SEALER, 744, 0)
    answers = []
    for _ in range(2):
        with serving(open_app(store_url)) as url, httpx.Client(base_url=url) as client:
            answers.append((enrol(client), put(client, voucher)))
    assert [(device.status_code, given.status_code) for device, given in answers] == [(201, 201), (200, 200)]
    assert answers[0][1].content == answers[1][1].content


VOUCHER = seal(SEALER, 744, 0)


@given(
    body=st.binary(max_size=600)
    | st.builds(
        lambda at, mask: VOUCHER[:at] + bytes([VOUCHER[at] ^ mask]) + VOUCHER[at + 1 :],
        st.integers(0, len(VOUCHER) - 1),
        st.integers(1, 255),
    )
)
@settings(derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_body_makes_the_intake_fail(shared_intake, body):
    """Any bytes but a signed voucher get a 4xx problem."""
    answer = put(shared_intake, body)
    assert answer.status_code in {400, 403}
    assert is_problem(answer, answer.status_code, answer.json()["type"].rsplit(":", 1)[1])
