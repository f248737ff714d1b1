"""Two people with their clients in two rooms, a homeserver, an intake, and the wire to each; started once."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
import signal
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from nio import AsyncClient

from scanner.delivery import Courier
from scanner.demo import synapse
from scanner.demo.people import logged_in, open_room
from scanner.errors import StorageError
from scanner.intake.store import schema
from scanner.integrations.matrix_nio import GatedClient
from scanner.integrations.notices import Notice
from scanner.keys import write_key_pair
from scanner.outbox import Outbox
from scanner.vouchers import device_id_of
from tests.intake.conftest import INTAKE, IntakeProcess
from tests.integrations.devices import PATIENT, device
from tests.integrations.wire import Relay, relaying
from tests.policies import ACCOUNT

FULL = os.environ.get("PRESCAN_MESSENGER") == "full"
INNOCENT = 50 if FULL else 8
_numbers = itertools.count(1)


@dataclass
class Town:
    """Two people with their clients in two rooms, a server, an intake, and what goes over the wire to each."""

    server: synapse.Server
    to_server: Relay
    to_intake: Relay
    intake: IntakeProcess
    database: Path
    loop: asyncio.AbstractEventLoop
    sender: GatedClient
    receiver: AsyncClient
    rooms: list[str]
    shown: list[Notice] = field(default_factory=list)

    def run(self, script):
        """Run a test's coroutine where the clients live."""
        return asyncio.run_coroutine_threadsafe(asyncio.wait_for(script, 120), self.loop).result(150)

    @asynccontextmanager
    async def behind(self, known, folder, profile="standard", **options):
        """Put a new device of the sender's account behind the sender's client."""
        folder.mkdir(exist_ok=True)
        key = options.setdefault("key", new_key())
        with Courier(self.to_intake.url, key, ACCOUNT, INTAKE.public_key()) as courier:
            await asyncio.to_thread(courier.enrol)
            async with device(known, folder, PATIENT[profile], courier=courier, **options) as one:
                self.sender.gate = one.gate
                self.to_intake.taken()
                self.shown.clear()
                yield one

    def vouchers_of(self, key) -> int:
        """How many vouchers of a device the intake has."""
        name = device_id_of(key.public_key().public_bytes_raw())
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as db:
            return db.execute("SELECT count(*) FROM vouchers WHERE device_id = ?", (name,)).fetchone()[0]


def new_key() -> Ed25519PrivateKey:
    """Another device's key each time."""
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"%d" % next(_numbers)).digest())


async def delivered(outbox: Outbox, number: int = 1) -> None:
    """Wait until so many vouchers have their receipts, which the courier has verified."""
    async with asyncio.timeout(30):
        while outbox.counts() != {"delivered": number}:
            await asyncio.sleep(0.02)


@pytest.fixture(scope="module")
def town(list_path, tmp_path_factory) -> Iterator[Town]:
    """Everything, started once."""
    try:
        synapse.set_up()
    except StorageError as error:
        if os.environ.get("CI") == "true" or FULL:
            pytest.fail(str(error))
        pytest.skip(f"these tests run on a real Synapse, which could not be set up: {error}")
    folder = tmp_path_factory.mktemp("town")
    (folder / "synapse").mkdir()
    database = folder / "intake.db"
    schema.migrate(f"sqlite:///{database}")
    write_key_pair(folder / "intake.key", INTAKE)
    with ExitStack() as stack:
        with ThreadPoolExecutor(1) as pool:
            starting = pool.submit(IntakeProcess, folder / "intake.key", f"sqlite:///{database}")
            server = stack.enter_context(synapse.running(folder / "synapse"))
            intake = starting.result()
        stack.callback(intake.stop, signal.SIGKILL)
        to_server, to_intake = (stack.enter_context(relaying(url)) for url in (server.url, intake.url))
        shown: list[Notice] = []
        started, ended = threading.Event(), asyncio.Event()
        made: list[Town] = []
        failed: list[BaseException] = []

        async def live():
            a, b = (server.register(name) for name in ("sender", "receiver"))
            options = {"gate": None, "on_notice": shown.append}
            async with (
                logged_in(GatedClient, to_server.url, a, folder / "a", **options) as sender,
                logged_in(AsyncClient, server.url, b, folder / "b") as receiver,
            ):
                rooms = [await open_room(sender, receiver) for _ in range(2)]
                loop = asyncio.get_running_loop()
                made.append(Town(server, to_server, to_intake, intake, database, loop, sender, receiver, rooms, shown))
                started.set()
                await ended.wait()

        def lives():
            try:
                asyncio.run(live())
            except BaseException as error:  # noqa: BLE001 - it is raised where the test is
                failed.append(error)
            finally:
                started.set()

        thread = threading.Thread(target=lives)
        thread.start()
        started.wait(120)
        if not made:
            raise failed[0]
        try:
            yield made[0]
        finally:
            made[0].loop.call_soon_threadsafe(ended.set)
            thread.join(60)
