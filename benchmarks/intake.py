"""The intake under load, beside what bounds it, in one run: server on one core, load on another, durable settings on.

    python -m benchmarks.intake [--seconds 10] [--only sqlite|postgresql]

Needs wrk and two processors. Loopback only, bounded in requests and time. Raw figures go to
benchmarks/results/intake.json first; the table is made from them.
"""

from __future__ import annotations

import argparse
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import create_engine, text

from benchmarks.intake_limits import fsync_milliseconds, postgresql_commits, sqlite_commits, verifications
from benchmarks.intake_load import Devices, Load, steady, write_batches, write_puts, wrk
from benchmarks.measure import machine, store
from scanner.delivery import Courier
from scanner.intake.store import schema
from scanner.keys import write_key_pair
from scanner.outbox import Outbox
from scanner.vouchers import cose, device_id_of, window_at
from scanner.vouchers.header import VoucherHeader
from tests import postgres

SERVER_CORE, LOAD_CORE = 0, 1
CONNECTIONS = 32
OVERLOAD = 512
BATCH = 32
DEVICES = 64
DRAINED = 200  # vouchers in an outbox after the overload
NO_LIMIT = "100000000/1s"
ENVIRONMENT = {
    "PRESCAN_INTAKE_UNSAFE_OPEN_ENROLMENT": "yes",
    "PRESCAN_INTAKE_ACCESS_LOG": "no",
    "PRESCAN_INTAKE_DRAIN_NOTICE": "0s",
    "PRESCAN_INTAKE_DEVICE_RATE": NO_LIMIT,
    "PRESCAN_INTAKE_ACCOUNT_RATE": NO_LIMIT,
    "PRESCAN_INTAKE_ADDRESS_RATE": NO_LIMIT,
}


@contextmanager
def process(command: list[str], environment: dict[str, str]) -> Iterator[str]:
    """Run a server on its core; gives the first line it writes."""
    running = subprocess.Popen(
        ["taskset", "-c", str(SERVER_CORE), *command],
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert running.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(running.stdout, selectors.EVENT_READ)
            if not selector.select(60):
                raise RuntimeError("the server did not start")
        yield running.stdout.readline().strip()
    finally:
        running.send_signal(signal.SIGTERM)
        try:
            running.wait(30)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait(30)


@contextmanager
def intake(key: Path, database: str) -> Iterator[str]:
    """A running intake; gives its URL."""
    command = [sys.executable, "-m", "scanner", "intake", "serve", "--port", "0", "-k", str(key), "-d", database]
    with process(command, ENVIRONMENT) as line:
        if "http://" not in line:
            raise RuntimeError(f"the intake did not start: {line}")
        yield line.split()[-1]


def bare(folder: Path, seconds: float, devices: Devices) -> Load:
    """The bare endpoint under the same requests."""
    write_puts(folder / "bare", devices.make(5_000))
    with process([sys.executable, "-m", "benchmarks.intake_limits"], {}) as port:
        return _put(f"http://127.0.0.1:{port}", folder / "bare", seconds)


def loads(folder: Path, key: Path, database: str, seconds: float) -> dict[str, Any]:
    """All of one database."""
    results: dict[str, Any] = {}
    with intake(key, database) as url:
        devices = Devices(url, DEVICES)
        results["bare"] = asdict(bare(folder, seconds, devices))
        enough = int(results["bare"]["rate"] * seconds * 0.8)
        write_puts(folder / "puts", devices.make(enough))
        single = _put(url, folder / "puts", seconds)
        results["put"] = asdict(single)
        half = single.rate / 2
        results["half"] = asdict(steady(url, devices.make(int(half * seconds)), half))
        write_batches(folder / "batches", devices.make(int(40_000 * seconds)), BATCH)
        batches = wrk(url, folder / "batches", "application/cbor", connections=8, seconds=seconds, core=LOAD_CORE)
        results["batch"] = asdict(batches) | {"vouchers": batches.rate * BATCH}
        write_puts(folder / "over", devices.make(enough))
        over = wrk(url, folder / "over", "application/cose", connections=OVERLOAD, seconds=seconds, core=LOAD_CORE)
        results["overload"] = asdict(over)
        results["drained"] = drained(folder, url, key)
    receipts = sum(results[name]["statuses"].get(201, 0) for name in ("put", "half", "overload"))
    receipts += batches.statuses.get(200, 0) * BATCH + results["drained"]
    results["receipts"] = receipts
    results["rows"] = rows(database)
    return results


def drained(folder: Path, url: str, key: Path) -> int:
    """How many vouchers of a device's outbox are delivered after the overload."""
    device, account = Ed25519PrivateKey.generate(), os.urandom(16)
    intake_key = Ed25519PrivateKey.from_private_bytes(_private(key))
    window = window_at(time.time())
    ident = device_id_of(device.public_key().public_bytes_raw())

    def seal(window: int, slot: int) -> bytes:
        return cose.sign1(device, VoucherHeader(ident, window, slot, bytes(32)).to_cose(), os.urandom(500))

    with Outbox(folder / "outbox.db") as outbox, Courier(url, device, account, intake_key.public_key()) as courier:
        courier.enrol()
        for _ in range(DRAINED):
            outbox.add(window, seal, time.time())
        delivered, deadline = 0, time.monotonic() + 60
        while delivered < DRAINED and time.monotonic() < deadline:
            delivered += courier.deliver(outbox, time.time() + 3600)
        return delivered


def rows(database: str) -> int:
    """Vouchers in a database."""
    url = database.replace("postgresql://", "postgresql+psycopg://")
    engine = create_engine(url)
    with engine.connect() as db:
        count = int(db.execute(text("SELECT count(*) FROM vouchers")).scalar_one())
    engine.dispose()
    return count


def _private(path: Path) -> bytes:
    from scanner.keys import read_private_key

    return read_private_key(path, Ed25519PrivateKey).private_bytes_raw()


def _put(url: str, requests: Path, seconds: float) -> Load:
    return wrk(url, requests, "application/cose", connections=CONNECTIONS, seconds=seconds, core=LOAD_CORE)


def table(measured: dict[str, Any]) -> str:
    """The figures, for a person."""
    lines = [
        f"fsync of 4 KiB {measured['fsync']:.2f} ms; Ed25519 checks {measured['verifications']:,.0f}/s",
        "durable commits of a row: SQLite {sqlite_commits:,.0f}/s, PostgreSQL {postgresql_commits:,.0f}/s".format(
            **measured
        ),
        f"{'':22}{'a second':>10}{'of bare':>9}{'p50 ms':>9}{'p99 ms':>9}  answers",
    ]
    for name, results in measured["databases"].items():
        bare_rate = results["bare"]["rate"]
        for kind in ("bare", "put", "half", "batch", "overload"):
            one = results[kind]
            rate = one.get("vouchers", one["rate"])
            share = f"{one['rate'] / bare_rate:8.0%}" if kind in {"put", "overload"} else ""
            answers = ", ".join(f"{code}: {count:,}" for code, count in sorted(one["statuses"].items()))
            lines.append(
                f"{name + ' ' + kind:22}{rate:10,.0f}{share:>9}{one['p50']:9.1f}{one['p99']:9.1f}  {answers}"
                + (f"; {one['errors']} broken" if one["errors"] else "")
                + (f"; {one['without_retry']} refused without Retry-After" if one["without_retry"] else "")
            )
        lines.append(
            f"{name}: receipts given {results['receipts']:,}, rows {results['rows']:,}; "
            f"an outbox of {DRAINED} delivered {results['drained']}"
        )
    return "\n".join(lines)


def main() -> int:
    """Measure, store and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each load")
    parser.add_argument("--only", choices=["sqlite", "postgresql"], help="one database alone")
    options = parser.parse_args()
    if shutil.which("wrk") is None or (os.cpu_count() or 1) < 2:
        print("benchmarks.intake needs wrk (package wrk) and two processors", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name, postgres.running(durable=True) as server:
        folder = Path(name)
        key = folder / "intake.key"
        write_key_pair(key, Ed25519PrivateKey.generate())
        databases = {"sqlite": f"sqlite:///{folder / 'intake.db'}", "postgresql": server.fresh_database()}
        measured: dict[str, Any] = {
            "machine": machine("fastapi", "uvicorn", "sqlalchemy", "pynacl", "asyncpg"),
            "fsync": fsync_milliseconds(folder),
            "verifications": verifications(1000),
            "sqlite_commits": sqlite_commits(folder),
            "postgresql_commits": postgresql_commits(server.fresh_database()),
            "databases": {},
        }
        for kind, database in databases.items():
            if options.only in {None, kind}:
                schema.migrate(database)
                measured["databases"][kind] = loads(folder, key, database, options.seconds)
                store("intake", measured)
    print(table(measured))
    return 0


if __name__ == "__main__":
    sys.exit(main())
