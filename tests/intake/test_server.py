"""The service as a process: what it says, how it stops, and what outlives it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select

from scanner.delivery import Courier
from scanner.intake.store.engine import open_store
from scanner.intake.store.tables import VOUCHERS
from scanner.keys import write_key_pair
from scanner.outbox import Outbox
from scanner.vouchers import DeviceSealer, Receipt, prove_possession, window_at
from tests.intake.conftest import INTAKE, NOW, make_operator
from tests.policies import ACCOUNT, OPENER, PAYLOAD, POLICY, seal

DEVICE = Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32)
SEALER = DeviceSealer(DEVICE, POLICY, ACCOUNT)
DEVICE_ID = SEALER.device_id.hex()
TOKEN = "a-token-nobody-may-read"
WINDOW = window_at(time.time())


def text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def enrol(url: str, token: str | None = None) -> httpx.Response:
    body = {
        "public_key": text(DEVICE.public_key().public_bytes_raw()),
        "account": text(ACCOUNT),
        "proof": text(prove_possession(DEVICE, ACCOUNT)),
    }
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.put(f"{url}/v1/devices/{DEVICE_ID}", json=body, headers=headers)


def put(url: str, voucher: bytes, slot: int) -> httpx.Response:
    return httpx.put(f"{url}/v1/vouchers/{DEVICE_ID}/{WINDOW}/{slot}", content=voucher)


def stored(url: str) -> dict[int, bytes]:
    async def read() -> dict[int, bytes]:
        async with open_store(url) as store, store.reading() as db:
            return {row.slot: row.receipt for row in await db.execute(select(VOUCHERS.c.slot, VOUCHERS.c.receipt))}

    return asyncio.run(read())


def test_a_receipt_outlives_the_process_that_gave_it(start_intake, store_url):
    """Killed right after its last answer, the intake holds every voucher it signed for, with the same receipts."""
    first = start_intake(store_url)
    assert enrol(first.url).status_code == 201
    vouchers = [seal(SEALER, WINDOW, slot) for slot in range(5)]
    answers = [put(first.url, voucher, slot) for slot, voucher in enumerate(vouchers)]
    assert first.stop(signal.SIGKILL) == -signal.SIGKILL
    assert [answer.status_code for answer in answers] == [201] * 5
    assert stored(store_url) == {slot: answer.content for slot, answer in enumerate(answers)}
    second = start_intake(store_url)
    again = [put(second.url, voucher, slot) for slot, voucher in enumerate(vouchers)]
    assert [answer.status_code for answer in again] == [200] * 5
    assert [answer.content for answer in again] == [answer.content for answer in answers]


class AnswerLost(httpx.HTTPTransport):
    """Kills the intake after it has answered a request, and loses the answer."""

    def __init__(self, process, at: int) -> None:
        super().__init__()
        self._process = process
        self._left = at

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = super().handle_request(request)
        self._left -= 1
        if self._left:
            return answer
        answer.read()
        answer.close()
        self._process.stop(signal.SIGKILL)
        raise httpx.ReadError("connection reset", request=request)


def test_an_intake_killed_midway_gets_every_voucher_once(start_intake, store_url, tmp_path):
    """The answer lost in the crash is given again after the restart: all delivered, none twice, all receipts valid."""
    with Outbox(tmp_path / "outbox.db") as outbox:
        for _ in range(12):
            outbox.add(WINDOW, lambda window, slot: seal(SEALER, window, slot), NOW)
        process = start_intake(store_url)
        transport = AnswerLost(process, at=8)  # the enrolment, six delivered, one stored whose answer is lost
        with Courier(process.url, DEVICE, ACCOUNT, INTAKE.public_key(), transport=transport) as courier:
            courier.enrol()
            assert courier.deliver(outbox, NOW) == 6
        assert outbox.counts() == {"delivered": 6, "pending": 6}
        assert len(stored(store_url)) == 7
        process = start_intake(store_url)
        with Courier(process.url, DEVICE, ACCOUNT, INTAKE.public_key()) as courier:
            assert courier.deliver(outbox, NOW + 7200) == 6
        assert outbox.counts() == {"delivered": 12}
        assert stored(store_url) == dict(enumerate(outbox.receipts()))
    assert all(Receipt.verified(receipt, INTAKE.public_key()) for receipt in stored(store_url).values())


def test_the_output_names_no_device_and_no_secret(start_intake, store_url):
    """After work, refusals, nonsense and a broken database, the log holds neither device, hash, key nor token."""
    closed = {"PRESCAN_INTAKE_UNSAFE_OPEN_ENROLMENT": "no", "PRESCAN_INTAKE_ACCESS_LOG": "yes"}
    process = start_intake(store_url, environment=closed)
    operator = make_operator(store_url, "enrol", "read")
    registered = httpx.put(
        f"{process.url}/v1/tokens/{hashlib.sha256(TOKEN.encode()).hexdigest()}",
        json={"account": text(ACCOUNT), "expires_at": int(time.time()) + 3600},
        headers={"Authorization": f"Bearer {operator}"},
    )
    assert registered.status_code == 201
    voucher = seal(SEALER, WINDOW, 0)
    assert enrol(process.url, "wrong").status_code == 401
    assert enrol(process.url, TOKEN).status_code == 201
    assert put(process.url, voucher, 0).status_code == 201
    assert put(process.url, voucher, 1).status_code == 400
    assert put(process.url, voucher[:-1], 0).status_code == 400
    assert put(process.url, seal(SEALER, WINDOW, 0), 0).status_code == 409
    assert put(process.url, bytes(5000), 0).status_code == 413
    assert httpx.get(f"{process.url}/v1/vouchers/{DEVICE_ID}/{WINDOW}/0").status_code == 405

    async def break_it() -> None:
        async with open_store(store_url) as store, store.writing() as db:
            for table in ("vouchers", "devices"):
                await db.exec_driver_sql(f"DROP TABLE {table}")

    asyncio.run(break_it())
    assert enrol(process.url, TOKEN).status_code == 503
    assert put(process.url, voucher, 0).status_code == 503
    process.stop(signal.SIGTERM)
    output = process.output.lower()
    assert b"storage failed" in output
    public, secret = DEVICE.public_key().public_bytes_raw(), INTAKE.private_bytes_raw()
    for word in (
        DEVICE_ID, text(SEALER.device_id), repr(SEALER.device_id)[2:-1], ACCOUNT.hex(), text(ACCOUNT),
        repr(ACCOUNT)[2:-1], text(public), public.hex(),
        PAYLOAD.hash.hex(), text(secret), secret.hex(), TOKEN, operator.split("_")[-1],
        voucher.hex()[:32], "traceback", "127.0.0.1:5",
    ):  # fmt: skip
        assert word.lower().encode() not in output, word


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_cleanly_when_told_to(start_intake, store_url, tmp_path, number):
    """No traceback, an exit code that is that of a clean end or of the signal, and no SQLite log left behind."""
    process = start_intake(store_url)
    assert enrol(process.url).status_code == 201
    code = process.stop(number)
    assert code in {0, -number, 128 + number}
    assert b"Traceback" not in process.output
    assert not [path.name for path in tmp_path.iterdir() if path.name.endswith(("-wal", "-shm"))]


def run_intake(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scanner", "intake", "serve", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL)


def tells(done: subprocess.CompletedProcess[str], *words: str) -> bool:
    """One line on standard error, exit code 2, and the words in it; all else fails the test here."""
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("scanner: ")
    for word in words:
        assert word in line
    return True


def test_a_taken_port_is_one_line(intake_key, sqlite_url):
    """The message names the port and the option that changes it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run_intake("--key", intake_key, "--database", sqlite_url, "--port", port)
    assert tells(done, f"port {port}", "--port")


@pytest.mark.parametrize(
    ("database", "word"),
    [
        ("nonsense", "PRESCAN_INTAKE_DATABASE is not allowed"),
        ("mysql://localhost/x", "must be sqlite:///FILE or postgresql://"),
        ("sqlite:////nowhere/at/all/intake.db", "there is no database"),
        ("postgresql://nobody@127.0.0.1:1/nothing?connect_timeout=5", "database failed"),
    ],
)
def test_a_bad_database_is_one_line(intake_key, database, word):
    """What is wrong with the database is told before the service starts."""
    assert tells(run_intake("--key", intake_key, "--database", database, "--port", 0), word)


def test_a_file_that_is_no_database_is_one_line(intake_key, tmp_path):
    """The file is left as it was."""
    path = tmp_path / "text.db"
    path.write_bytes(b"this is a text and no database " * 100)
    assert tells(run_intake("--key", intake_key, "--database", f"sqlite:///{path}", "--port", 0), "not a database")
    assert path.read_bytes() == b"this is a text and no database " * 100


def test_a_missing_postgresql_database_is_one_line(intake_key, postgresql):
    """A server without that database is told apart by PostgreSQL's own words."""
    assert tells(run_intake("--key", intake_key, "--database", postgresql.url("absent"), "--port", 0), "absent")


def test_a_wrong_or_missing_key_is_one_line(intake_key, tmp_path):
    """An opener's key, a key others can read, a public key and no key are each told in one line."""
    database = f"sqlite:///{tmp_path / 'i.db'}"
    write_key_pair(tmp_path / "opener.key", OPENER)
    (tmp_path / "open.key").write_bytes(intake_key.read_bytes())
    (tmp_path / "open.key").chmod(0o644)
    (tmp_path / "opener.key.pub").chmod(0o600)
    for name, word in (
        ("opener.key", "Ed25519"),
        ("open.key", "chmod 600"),
        ("opener.key.pub", "no private key"),
        ("absent.key", "absent.key"),
    ):
        assert tells(run_intake("--key", tmp_path / name, "--database", database, "--port", 0), word)
    assert not (tmp_path / "i.db").exists()
