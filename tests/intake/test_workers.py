"""Four workers on one database behave as one."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.intake.conftest import INTAKE, make_operator
from tests.intake.integrity import check
from tests.intake.senders import Sender, this_window
from tests.intake.under_load import Client, Gateway, Putter
from tests.processes import children_of, wait_until_gone

WORKERS = 4
CLIENTS = 20
PLACES = 12
WAIT = 60.0
PUT_ROUTE = "/v1/vouchers/{device}/{window}/{slot}"


@pytest.fixture
def start_workers(start_intake, tmp_path):
    """Start workers whose files are in a folder of this test."""

    def start(database: str, workers: int = WORKERS):
        return start_intake(
            database, "--workers", str(workers),
            environment={"TMPDIR": str(tmp_path), "PRESCAN_INTAKE_DRAIN_LIMIT": "10s"},
        )  # fmt: skip

    return start


def await_that(condition, what: str):
    """Wait until something holds; gives it."""
    deadline = time.monotonic() + WAIT
    while not (found := condition()):
        assert time.monotonic() < deadline, f"in {WAIT:.0f} s it is not so that {what}"
        time.sleep(0.05)
    return found


def statuses(folder: Path) -> dict[str, Counter[str]]:
    """For each worker that has counted, how often it answered a delivery with which status."""
    found = {}
    for path in folder.glob("prescan-intake-*/worker-*.json"):
        counted: Counter[str] = Counter()
        for name, labels, value in samples(json.loads(path.read_bytes())):
            if name == "prescan_intake_requests_total" and labels["route"] == PUT_ROUTE:
                counted[labels["status"]] += int(value)
        found[path.stem] = counted
    return found


def fresh_put(url: str, sender: Sender, voucher: bytes, slot: int) -> httpx.Response:
    """Deliver over a connection of its own, which any worker may take."""
    with httpx.Client(base_url=url, timeout=WAIT, verify=False) as client:  # certificates would take most of the time
        return sender.put(client, voucher, this_window(), slot)


def samples(content) -> list[tuple[str, dict[str, str], float]]:
    """Name, labels and value of everything in a worker's file."""
    rows = [row for _, _, rows in content["families"].values() for row in rows]
    return [(name, dict(labels), value) for name, labels, value in rows]


def race(url: str, sender: Sender, slots: range) -> dict[int, list[tuple[bytes, httpx.Response]]]:
    """Have 20 clients put one of two vouchers into each slot, in an order of their own; gives what each got."""
    pairs = {slot: [sender.voucher(this_window(), slot) for _ in range(2)] for slot in slots}
    found: dict[int, list[tuple[bytes, httpx.Response]]] = {slot: [] for slot in slots}
    start = threading.Barrier(CLIENTS)

    def take_part(number: int) -> None:
        order = random.Random(number).sample(slots, len(slots))
        start.wait(WAIT)
        for slot in order:
            voucher = pairs[slot][number % 2]
            found[slot].append((voucher, fresh_put(url, sender, voucher, slot)))

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(take_part, range(CLIENTS)))
    return found


def metric(url: str, token: str) -> dict[str, float]:
    """The counters of vouchers, as one of the workers shows them."""
    answer = httpx.get(f"{url}/metrics", headers={"Authorization": f"Bearer {token}"}, timeout=WAIT)
    assert answer.status_code == 200
    lines = [line.rsplit(" ", 1) for line in answer.text.splitlines() if line.startswith("prescan_intake_vouchers_")]
    return {name.removeprefix("prescan_intake_vouchers_"): float(value) for name, value in lines}


def test_four_workers_are_one_intake(start_workers, store_url, tmp_path):
    """Raced for, a place is taken once; counts add up; who is revoked is so everywhere; a killed worker comes back."""
    process = start_workers(store_url)
    token = make_operator(store_url, "enrol", "read")
    sender, other = Sender(30), Sender(31)
    with httpx.Client(base_url=process.url, timeout=WAIT) as client:
        assert {one.enrol(client).status_code for one in (sender, other)} == {201}

    given = {}
    codes: Counter[int] = Counter()
    for slot, answers in race(process.url, sender, range(PLACES)).items():
        ((winner, first),) = [each for each in answers if each[1].status_code == 201]
        given[sender.id, this_window(), slot] = first.content
        for voucher, answer in answers:
            codes[answer.status_code] += 1
            if voucher == winner:
                assert answer.content == first.content
            else:
                assert (answer.status_code, answer.json()["type"]) == (409, "urn:prescan:problem:slot-taken")
    assert codes == {201: PLACES, 200: PLACES * (CLIENTS // 2 - 1), 409: PLACES * CLIENTS // 2}
    expected = {
        "received_total": codes[201], "duplicate_total": codes[200], 'refused_total{problem="slot-taken"}': codes[409]
    }  # fmt: skip
    await_that(lambda: metric(process.url, token).items() >= expected.items(), "the workers' counts add up")

    # Every worker has seen the device, and keeps its key; then it is revoked at one of them.
    place = next(iter(given))
    voucher = sender.voucher(place[1], PLACES)
    given[sender.id, place[1], PLACES] = fresh_put(process.url, sender, voucher, PLACES).content
    all_know(process.url, sender, voucher, PLACES, tmp_path, {"200", "201"})
    path = f"{process.url}/v1/devices/{sender.id.hex()}/revocation"
    assert httpx.put(path, headers={"Authorization": f"Bearer {token}"}, timeout=WAIT).status_code == 200
    answers = all_know(process.url, sender, voucher, PLACES, tmp_path, {"403"})
    assert {(each.status_code, each.json()["type"]) for each in answers} == {(403, "urn:prescan:problem:revoked")}

    before = set(children_of(process.process.pid))
    assert len(before) == WORKERS
    os.kill(min(before), signal.SIGKILL)
    await_that(lambda: len(set(children_of(process.process.pid)) - {min(before)}) == WORKERS, "a new one is started")
    voucher = other.voucher(this_window(), 0)
    given[other.id, this_window(), 0] = fresh_put(process.url, other, voucher, 0).content
    all_know(process.url, other, voucher, 0, tmp_path, {"200", "201"}, besides=min(before))
    assert metric(process.url, token)["received_total"] == PLACES + 2
    assert check(store_url, INTAKE.public_key(), given).receipts == given


def all_know(
    url: str, sender: Sender, voucher: bytes, slot: int, folder: Path, codes: set[str], besides: int = 0
) -> list[httpx.Response]:
    """Deliver a voucher again and again until every living worker has answered with one of these codes since now."""
    begun = statuses(folder)
    answers: list[httpx.Response] = []

    def done() -> bool:
        with ThreadPoolExecutor(CLIENTS) as pool:
            answers.extend(pool.map(lambda _: fresh_put(url, sender, voucher, slot), range(CLIENTS)))
        now = {name: counted for name, counted in statuses(folder).items() if f"worker-{besides}-" not in name}
        answered = [
            name for name, counted in now.items()
            if any(counted[code] > begun.get(name, Counter())[code] for code in codes)
        ]  # fmt: skip
        return len(answered) == WORKERS

    await_that(done, f"every worker answers with {codes}")
    return answers


def hammer(url: str) -> list[Client]:
    """Clients that have begun to be given receipts."""
    clients: list[Client] = [Putter(url, 40), Putter(url, 41), Gateway(url, 42), Gateway(url, 43)]
    for client in clients:
        client.start()
    await_that(lambda: all(len(client.receipts) > 5 for client in clients), "every client has receipts")
    return clients


def given_to(clients: list[Client]) -> dict:
    """Every receipt of clients, which end here; none saw anything but receipts, "later" and broken connections."""
    for client in clients:
        client.over.set()
    for client in clients:
        client.join(WAIT)
        assert not client.is_alive()
        assert client.faults == []
    return {
        (one.sender.id, one.window, slot): receipt for one in clients for slot, receipt in one.receipts.items()
    }  # fmt: skip


def ends_by(process, database: str, number: signal.Signals) -> None:
    """A signal to the parent ends all of its workers, and no receipt was given for nothing."""
    workers = children_of(process.process.pid)
    clients = hammer(process.url)
    try:
        assert process.stop(number) in {0, -number, 128 + number}
    finally:
        given = given_to(clients)
    assert set(children_of(os.getpid())).isdisjoint(workers)
    wait_until_gone(workers, 0.5)
    assert b"Traceback" not in process.output
    assert len(given) > 20
    check(database, INTAKE.public_key(), given)


def test_sigterm_drains_all_and_loses_no_receipt(start_workers, store_url):
    """Under load, on both databases."""
    ends_by(start_workers(store_url), store_url, signal.SIGTERM)


def test_sigint_drains_all_and_loses_no_receipt(start_workers, sqlite_url):
    """Under load; the parent passes it on."""
    ends_by(start_workers(sqlite_url, 2), sqlite_url, signal.SIGINT)


def test_workers_end_when_their_parent_is_killed(start_workers, sqlite_url):
    """Nobody is left who serves without being watched, and what was receipted is there."""
    process = start_workers(sqlite_url, 2)
    workers = children_of(process.process.pid)
    assert len(workers) == 2
    clients = hammer(process.url)
    try:
        process.process.kill()
        wait_until_gone(workers, WAIT)
    finally:
        given = given_to(clients)
    assert process.stop(signal.SIGKILL) == -signal.SIGKILL
    assert b"Traceback" not in process.output
    check(sqlite_url, INTAKE.public_key(), given)
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{process.url}/healthz")
