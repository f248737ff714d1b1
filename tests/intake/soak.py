"""Kill the intake again and again while it is busy, then look whether a single receipt was a lie.

    python -m tests.intake.soak --kills 200 --seed 1

Half of the kills are on SQLite, half on PostgreSQL that waits for its disk. Killed with SIGKILL, at random moments:

    service     all processes of the intake at once
    parent      the parent alone; its workers have to end by themselves
    worker      one worker; the parent has to start another
    postgresql  all processes of the server at once; the intake has to find it again
    backend     one process of the server, which then recovers by itself

After each, a new receipt has to come within a minute. In the end every voucher is sent once more and has to get the
receipt that it got before, the outboxes have to drain, the intake has to stop as it is told to, and
:mod:`tests.intake.integrity` has to find nothing. A kill loses no page that the system already holds: what a power cut
does is up to fsync, which is on, and to the disk.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from scanner.intake.store import schema
from scanner.intake.store.receiving import Place
from scanner.keys import write_key_pair
from tests import postgres
from tests.intake.conftest import _QUIET, INTAKE
from tests.intake.integrity import check
from tests.intake.under_load import Client, Gateway, Phone, Putter
from tests.processes import children_of, wait_until_gone

OF_INTAKE = ("service", "parent", "worker")
OF_POSTGRESQL = ("postgresql", "backend")
PATIENCE = 60.0


class Intake:
    """The service in processes of its own, always on the same port.

    Args:
        folder: for its key, its output and what it leaves when it is killed.
        database: its URL, migrated.
        workers: how many.
    """

    def __init__(self, folder: Path, database: str, workers: int) -> None:
        if not (key := folder / "intake.key").exists():
            write_key_pair(key, INTAKE)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.output = folder / "output.txt"
        self._command = [
            sys.executable, "-m", "scanner", "intake", "serve", "--port", str(self.port),
            "--key", str(key), "--database", database, "--workers", str(workers),
        ]  # fmt: skip
        self._environment = os.environ | _QUIET | {"TMPDIR": str(folder), "PRESCAN_INTAKE_LOG_FORMAT": "text"}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it takes requests."""
        with self.output.open("ab") as output:
            begin = output.tell()
            self.process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environment,
                start_new_session=True,
            )
        deadline = time.monotonic() + PATIENCE
        while b"intake listening on" not in (told := self.output.read_bytes()[begin:]):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the intake did not start: {told.decode(errors='replace')}")
            time.sleep(0.02)

    def workers(self) -> list[int]:
        """Its workers, if it has several."""
        assert self.process is not None
        return children_of(self.process.pid)

    def kill(self) -> None:
        """End all of its processes at once."""
        if self.process is not None and self.process.returncode is None:
            for process in (workers := self.workers()):
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            self.kill_parent(workers)

    def kill_parent(self, workers: list[int] | None = None) -> None:
        """End the parent, and wait until the workers are gone too."""
        assert self.process is not None
        workers = self.workers() if workers is None else workers
        self.process.kill()
        self.process.wait(PATIENCE)
        wait_until_gone(workers)

    def end(self) -> int:
        """Tell it to end; gives the exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(PATIENCE)


@dataclass
class Figures:
    """What came of it."""

    database: str
    kills: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)
    vouchers: int = 0
    receipts: int = 0
    entries: int = 0
    slowest: float = 0.0
    seconds: float = 0.0

    def __str__(self) -> str:
        kills = ", ".join(f"{number} {what}" for what, number in sorted(self.kills.items()))
        seen = ", ".join(f"{number} {what}" for what, number in sorted(self.seen.items()))
        return (
            f"{self.database}: {self.kills.total()} kills ({kills}) in {self.seconds:.0f} s; "
            f"{self.slowest:.1f} s at most until a receipt came again\n"
            f"  answers: {seen}\n"
            f"  {self.receipts} vouchers receipted under load: none lost, none twice\n"
            f"  {self.vouchers} vouchers in the end, each with its entry in a log of {self.entries} entries under a "
            "signed root"
        )


class Soak:
    """One database, its intake and its clients.

    Args:
        folder: for all files.
        database: its URL, migrated.
        server: the PostgreSQL server it is on, if it is.
        workers: of the intake.
        chance: chooses moments and victims.
    """

    def __init__(
        self, folder: Path, database: str, server: postgres.Server | None, workers: int, chance: random.Random
    ) -> None:
        self.database = database
        self.server = server
        self.chance = chance
        self.intake = Intake(folder, database, workers)
        url, first = self.intake.url, chance.randrange(10**6)
        self.phones = [Phone(url, first + number, folder) for number in range(2)]
        self.gateways = [Gateway(url, first + 10 + number) for number in range(2)]
        self.clients: list[Client] = [*self.phones, *self.gateways, *(Putter(url, first + 20 + n) for n in range(3))]
        self.given: dict[Place, bytes] = {}
        self.figures = Figures("SQLite" if server is None else "PostgreSQL")

    def run(self, victims: list[str]) -> Figures:
        """Kill these, one after another; assert that all holds.

        Raises:
            AssertionError: it doesn't. RuntimeError, TimeoutError: something did not come back.
        """
        began = time.monotonic()
        self.intake.start()
        try:
            for client in self.clients:
                client.start()
            self.await_receipts()
            for victim in victims:
                time.sleep(self.chance.uniform(0, 0.3))
                self.kill(victim)
                self.figures.kills[victim] += 1
                self.await_receipts()
            self.settle()
            code = self.intake.end()
            assert code == 0, f"the intake ended with {code}"
        finally:
            for client in self.clients:
                client.over.set()
            self.intake.kill()
            for phone in self.phones:
                if phone.ident is not None:  # it was started
                    phone.join(PATIENCE)
                phone.close()
        self.look()
        self.figures.seconds = time.monotonic() - began
        return self.figures

    def kill(self, victim: str) -> None:
        """Kill one, and start again what nobody else does."""
        if victim == "service":
            self.intake.kill()
            self.intake.start()
        elif victim == "parent":
            self.intake.kill_parent()
            self.intake.start()
        elif victim == "worker":
            if workers := self.intake.workers():
                with suppress(ProcessLookupError):
                    os.kill(self.chance.choice(workers), signal.SIGKILL)
        elif self.server is not None and victim == "postgresql":
            self.server.kill()
            self.server.start()
        elif self.server is not None and victim == "backend":
            self.server.kill_one(self.chance.choice)

    def await_receipts(self) -> None:
        """Wait until every client was given a receipt once more."""
        began = time.monotonic()
        before = {client: sum(client.seen[each] for each in ("200", "201", "delivered")) for client in self.clients}
        while waiting := [
            client
            for client, number in before.items()
            if sum(client.seen[each] for each in ("200", "201", "delivered")) <= number
        ]:
            self.no_faults()
            if time.monotonic() - began > PATIENCE:
                raise TimeoutError(f"{waiting[0].name} has had no receipt for {PATIENCE:.0f} s: {waiting[0].seen}")
            time.sleep(0.005)
        self.figures.slowest = max(self.figures.slowest, time.monotonic() - began)

    def no_faults(self) -> None:
        """Assert that no client saw what it must not see."""
        faults = [fault for client in self.clients for fault in client.faults]
        assert not faults, "\n".join(faults[:10])

    def settle(self) -> None:
        """Let the clients end, drain the outboxes, and send every voucher once more."""
        for client in self.clients:
            client.over.set()
        for client in self.clients:
            client.join(PATIENCE)
            assert not client.is_alive(), f"{client.name} does not end"
        self.no_faults()
        for client in self.clients:
            for slot, receipt in client.receipted().items():
                self.given[client.sender.id, client.window, slot] = receipt
        stored, _ = check(self.database, INTAKE.public_key(), self.given)
        self.figures.receipts = len(self.given)
        for phone in self.phones:
            phone.drain(PATIENCE)
        with httpx.Client(base_url=self.intake.url, timeout=PATIENCE) as http:
            for client in self.clients:
                again = Gateway(self.intake.url, client.sender.number)
                again.vouchers, again.receipts = client.vouchers, dict(client.receipted())
                slots = list(client.vouchers)
                for begin in range(0, len(slots), 200):
                    again.post(http, slots[begin : begin + 200])
                assert not again.faults, again.faults
                assert again.receipts.keys() == client.vouchers.keys()
                for slot, receipt in again.receipts.items():
                    place = (client.sender.id, client.window, slot)
                    assert stored.get(place, receipt) == receipt, f"{place} has another receipt than was stored"
                    self.given[place] = receipt
        self.no_faults()

    def look(self) -> None:
        """Look into the database that is left."""
        stored, self.figures.entries = check(self.database, INTAKE.public_key(), self.given)
        assert stored == self.given, "what is stored is not what was sent"
        self.figures.vouchers = len(stored)
        for client in self.clients:
            self.figures.seen += client.seen


@contextmanager
def soaking(folder: Path, kind: str, workers: int, chance: random.Random, *, durable: bool) -> Iterator[Soak]:
    """Make what a soak needs on one kind of database."""
    with ExitStack() as stack:
        server = stack.enter_context(postgres.running(durable=durable)) if kind == "postgresql" else None
        database = f"sqlite:///{folder / 'intake.db'}" if server is None else server.fresh_database()
        schema.migrate(database)
        yield Soak(folder, database, server, workers, chance)


def main(report: Callable[[str], object] = print) -> int:
    """Run it; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="over all databases")
    parser.add_argument("--seed", type=int, default=1, help="chooses victims and moments")
    parser.add_argument("--workers", type=int, default=2, help="of the intake")
    parser.add_argument("--only", choices=["sqlite", "postgresql"], help="one database alone")
    options = parser.parse_args()
    kinds = [options.only] if options.only else ["sqlite", "postgresql"]
    chance = random.Random(options.seed)
    for number, kind in enumerate(kinds):
        kills = options.kills // len(kinds) + (number < options.kills % len(kinds))
        victims = chance.choices(OF_INTAKE + (OF_POSTGRESQL if kind == "postgresql" else ()), k=kills)
        with (
            tempfile.TemporaryDirectory(prefix="prescan-soak-") as name,
            soaking(Path(name), kind, options.workers, chance, durable=True) as soak,
        ):
            try:
                report(str(soak.run(victims)))
            except (AssertionError, RuntimeError, TimeoutError) as error:
                report(f"{kind}: after {soak.figures.kills.total()} kills: {error}")
                report(soak.intake.output.read_text("utf-8", "replace")[-4000:])
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
