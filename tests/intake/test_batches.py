"""Many vouchers in one request: the answer to each is that of a request of its own."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scanner.intake.settings import Rate, Settings
from scanner.intake.store import commits, schema
from scanner.vouchers import LARGEST_VOUCHER, Receipt, cose, decode_answers, window_at
from tests.intake.conftest import INTAKE, NOW, make_operator, open_app, serving
from tests.intake.integrity import check
from tests.intake.senders import BATCH_TYPE, Sender, post

WINDOW = window_at(NOW)
MANY = Rate(10**6, 1.0)
FREE = {"unsafe_open_enrolment": True, "address_rate": MANY, "device_rate": MANY, "account_rate": MANY}
ONE, TWO, UNKNOWN = Sender(50), Sender(51), Sender(52)
PROBLEM = "urn:prescan:problem:"


@contextmanager
def an_intake(url: str, **limits):
    """A client of an intake with these limits and two devices."""
    app = open_app(url, settings=Settings(**FREE | limits))
    with serving(app) as address, httpx.Client(base_url=address, timeout=30) as client:
        assert {one.enrol(client).status_code for one in (ONE, TWO)} <= {200, 201}
        yield client


def answers(client: httpx.Client, vouchers: list[bytes]) -> list[bytes | str]:
    """What a batch is answered with."""
    answer = post(client, vouchers)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, BATCH_TYPE)
    return decode_answers(answer.content, len(vouchers))


def is_problem(answer: httpx.Response, status: int, name: str) -> bool:
    """The answer is this problem; all else fails the test here."""
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (answer.status_code, answer.json()["type"]) == (status, PROBLEM + name)
    return True


def is_receipt(receipt: bytes | str, sender: Sender, slot: int, voucher: bytes) -> bool:
    """The receipt is this voucher's; all else fails the test here."""
    read = Receipt.verified(receipt, INTAKE.public_key())
    digest = hashlib.sha256(voucher).digest()
    assert (read.device_id, read.window, read.slot, read.voucher_digest) == (sender.id, WINDOW, slot, digest)
    return True


def test_receipts_come_in_the_order_of_the_vouchers(store_url):
    """Of two devices, in no order of their slots; each receipt is that voucher's, and is stored."""
    with an_intake(store_url) as client:
        places = [(ONE, 9), (TWO, 3), (ONE, 2), (TWO, 4), (ONE, 0)]
        vouchers = [sender.voucher(WINDOW, slot) for sender, slot in places]
        got = answers(client, vouchers)
        for (sender, slot), voucher, receipt in zip(places, vouchers, got, strict=True):
            assert is_receipt(receipt, sender, slot, voucher)
        stored = check(store_url, INTAKE.public_key(), {}).receipts
        assert stored == {
            (sender.id, WINDOW, slot): receipt for (sender, slot), receipt in zip(places, got, strict=True)
        }


def test_a_batch_sent_again_gets_the_same_answer(store_url):
    """The same bytes are the same answer, refusals too; part of it in another batch, and alone, get those receipts."""
    with an_intake(store_url) as client:
        vouchers = [ONE.voucher(WINDOW, slot) for slot in range(6)] + [UNKNOWN.voucher(WINDOW, 0)]
        first = answers(client, vouchers)
        assert [isinstance(one, bytes) for one in first] == [True] * 6 + [False]
        assert [answers(client, vouchers) for _ in range(2)] == [first, first]
        assert answers(client, vouchers[4:1:-1]) == first[4:1:-1]
        alone = ONE.put(client, vouchers[5], WINDOW, 5)
        assert (alone.status_code, alone.content) == (200, first[5])
        assert check(store_url, INTAKE.public_key(), {}).receipts.keys() == {(ONE.id, WINDOW, n) for n in range(6)}


def test_one_bad_voucher_spoils_no_other(store_url):
    """Each problem has the name that a request of its own gets, in its place, and the rest is stored."""
    with an_intake(store_url) as client:
        standing = ONE.voucher(WINDOW, 7)
        assert ONE.put(client, standing, WINDOW, 7).status_code == 201
        good = [ONE.voucher(WINDOW, 0), TWO.voucher(WINDOW, 0)]
        broken = bytearray(ONE.voucher(WINDOW, 1))
        broken[-1] ^= 1
        batch = [
            b"", good[0], bytes(LARGEST_VOUCHER + 1), UNKNOWN.voucher(WINDOW, 0), bytes(broken), good[1],
            ONE.voucher(WINDOW, 7), ONE.voucher(WINDOW + 2, 0), ONE.voucher(1, 0), good[0][:-1],
        ]  # fmt: skip
        expected = [
            "malformed", 0, "too-large", "not-enrolled", "bad-signature", 0, "slot-taken", "too-early", "window-over",
            "malformed",
        ]  # fmt: skip
        got = answers(client, batch)
        assert [one if isinstance(one, str) else 0 for one in got] == expected
        assert is_receipt(got[1], ONE, 0, good[0])
        assert is_receipt(got[5], TWO, 0, good[1])
        assert check(store_url, INTAKE.public_key(), {}).receipts.keys() == {
            (ONE.id, WINDOW, 7), (ONE.id, WINDOW, 0), (TWO.id, WINDOW, 0)
        }  # fmt: skip


def test_twice_in_a_batch_is_once_in_the_database(store_url):
    """The same bytes get one receipt in both places; of two vouchers for one slot the first gets it."""
    with an_intake(store_url) as client:
        first, second = ONE.voucher(WINDOW, 0), ONE.voucher(WINDOW, 0)
        got = answers(client, [first, second, first, second])
        assert is_receipt(got[0], ONE, 0, first)
        assert got == [got[0], "slot-taken", got[0], "slot-taken"]
        assert check(store_url, INTAKE.public_key(), {}).receipts == {(ONE.id, WINDOW, 0): got[0]}


def test_a_revoked_device_is_refused_and_the_others_are_not(store_url):
    """In one batch, also if it was known to the service before."""
    token = make_operator(store_url, "enrol")
    with an_intake(store_url) as client:
        before = answers(client, [ONE.voucher(WINDOW, 0), TWO.voucher(WINDOW, 0)])
        assert all(isinstance(one, bytes) for one in before)
        path = f"/v1/devices/{ONE.id.hex()}/revocation"
        assert client.put(path, headers={"Authorization": f"Bearer {token}"}).status_code == 200
        mine, other = answers(client, [ONE.voucher(WINDOW, 1), TWO.voucher(WINDOW, 1)])
        assert mine == "revoked"
        assert isinstance(other, bytes)


def test_the_limit_of_a_batch_is_inclusive(sqlite_url):
    """So many vouchers are taken; one more is 413, and nothing of it is stored."""
    with an_intake(sqlite_url, batch_limit=5) as client:
        vouchers = [ONE.voucher(WINDOW, slot) for slot in range(6)]
        assert is_problem(post(client, vouchers), 413, "too-large")
        assert check(sqlite_url, INTAKE.public_key(), {}).receipts == {}
        assert all(isinstance(one, bytes) for one in answers(client, vouchers[:5]))
        assert client.get("/v1/config").json()["largest_batch"] == 5


@pytest.mark.parametrize(
    ("body", "status", "name"),
    [
        (cose.encode([]), 400, "empty"),
        (b"", 400, "malformed"),
        (cose.encode({}), 400, "malformed"),
        (cose.encode([b"", "text"]), 400, "malformed"),
        (cose.encode([b""]) + b"\x00", 400, "malformed"),
        (b"\x9f\x40\xff", 400, "malformed"),  # an array of no said length
        (b"\x9b" + b"\xff" * 8, 400, "malformed"),  # an array of 2**64 - 1 items
        (bytes(1_064_961), 413, "too-large"),
    ],
)
def test_what_is_no_batch_is_refused_whole(shared, body, status, name):
    """Empty, not CBOR, not an array of byte strings, not in the one encoding, or larger than any body may be."""
    client, _ = shared
    assert is_problem(client.post("/v1/vouchers", content=body, headers={"Content-Type": BATCH_TYPE}), status, name)


def test_each_voucher_counts_against_its_devices_rate(sqlite_url):
    """Who sends more than the rate allows gets receipts for so many and a name for the rest; others go on."""
    with an_intake(sqlite_url, device_rate=Rate(3, 3600.0)) as client:
        batch = [ONE.voucher(WINDOW, slot) for slot in range(5)] + [TWO.voucher(WINDOW, 0)]
        got = answers(client, batch)
        assert [isinstance(one, bytes) for one in got] == [True] * 3 + [False] * 2 + [True]
        assert set(got[3:5]) == {"too-many-requests"}


def test_a_full_intake_says_when_to_come_again(store_url, monkeypatch):
    """With as much waiting as may wait, a batch is 503 with Retry-After and not stored in part; later it is taken."""
    entered, let_go = threading.Event(), threading.Event()
    original = commits.receive

    async def held(writer, group):
        entered.set()
        while not let_go.is_set():
            await asyncio.sleep(0.005)
        return await original(writer, group)

    monkeypatch.setattr(commits, "receive", held)
    full = [ONE.voucher(WINDOW, slot) for slot in range(4)]
    late = [TWO.voucher(WINDOW, slot) for slot in range(2)]
    with an_intake(store_url, batch_limit=4, max_waiting=5) as client, ThreadPoolExecutor(1) as pool:
        try:
            first = pool.submit(answers, client, full)
            assert entered.wait(30)
            refused = post(client, late)
        finally:
            let_go.set()
        assert is_problem(refused, 503, "busy")
        assert int(refused.headers["Retry-After"]) >= 1
        assert all(isinstance(one, bytes) for one in first.result(30))
        assert check(store_url, INTAKE.public_key(), {}).receipts.keys() == {(ONE.id, WINDOW, n) for n in range(4)}
        assert all(isinstance(one, bytes) for one in answers(client, late))


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One intake for many examples, and its twin, each with its own database."""
    folder = tmp_path_factory.mktemp("batches")
    urls = [f"sqlite:///{folder / name}" for name in ("one.db", "two.db")]
    for url in urls:
        schema.migrate(url)
    with an_intake(urls[0]) as client, an_intake(urls[1]) as twin:
        yield client, twin


slots = st.integers(0, 40)
kinds = st.sampled_from(["good", "good", "other", "forged", "unknown", "early", "over", "cut", "large"])


@functools.cache
def voucher_of(kind: str, slot: int) -> tuple[Sender, int, bytes]:
    """Sender, window and bytes of a voucher; equal arguments are the same voucher."""
    sender, window = {
        "unknown": (UNKNOWN, WINDOW), "early": (ONE, WINDOW + 2), "over": (ONE, 1), "large": (TWO, WINDOW)
    }.get(kind, (ONE, WINDOW))  # fmt: skip
    voucher = sender.voucher(window, slot)
    if kind == "forged":
        voucher = voucher[:-1] + bytes([voucher[-1] ^ 1])
    if kind == "cut":
        voucher = voucher[:-1]
    if kind == "large":
        voucher += bytes(LARGEST_VOUCHER)
    return sender, window, voucher


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chosen=st.lists(st.tuples(kinds, slots), min_size=1, max_size=12))
def test_a_batch_is_as_its_vouchers_one_by_one(shared, chosen):
    """Sent whole to one intake and one by one to its twin, each voucher is answered alike, whatever came before."""
    client, twin = shared
    vouchers = [voucher_of(kind, slot) for kind, slot in chosen]
    batch = answers(client, [voucher for _, _, voucher in vouchers])
    for (sender, window, voucher), (_, slot), answer in zip(vouchers, chosen, batch, strict=True):
        single = sender.put(twin, voucher, window, slot)
        if isinstance(answer, bytes):
            assert single.status_code in {200, 201}
            assert single.content == answer
        else:
            assert single.json()["type"] == PROBLEM + answer
