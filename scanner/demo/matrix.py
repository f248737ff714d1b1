"""The whole story in a real messenger: two matrix-nio clients, end to end encrypted, over a Synapse of this machine.

``python -m scanner.demo.matrix``; needs the extras ``prescan[demo,matrix]``.
"""

from __future__ import annotations

import asyncio
import logging
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from nio import AsyncClient, UploadResponse
from rich.console import Console
from rich.panel import Panel

from scanner.account import AccountStore
from scanner.delivery import Courier
from scanner.demo import people, pictures, synapse
from scanner.demo.story import build_list, make_policy, open_accounts, run_intake
from scanner.errors import ScannerError
from scanner.hashset import HashSet
from scanner.integrations import GateSettings, Notice, Notices, OutgoingGate
from scanner.integrations.keeping import KeepingSettings
from scanner.integrations.matrix_nio import GatedClient
from scanner.outbox import Outbox
from scanner.pipeline import Scanner
from scanner.vouchers import DeviceSealer

DELIVERY_SECONDS = 30.0
"""The demo's vouchers leave at once; this long it waits for their receipts."""


@dataclass
class Tally:
    """What was sent and what became of it."""

    innocent: int = 0
    arrived: int = 0
    held: int = 0
    copies: int = 0
    milliseconds: list[float] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)


def tell() -> bool:
    """Tell the story on standard output.

    Returns:
        whether every innocent picture arrived as it was, no known one left, and every voucher was delivered and opened.

    Raises:
        ScannerError: a step failed.
    """
    console = Console(highlight=False)
    if not synapse.is_set_up():
        console.print("Setting up Synapse, once; it takes about half a minute.")
    synapse.set_up()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="prescan-matrix-") as name:
        folder = Path(name)
        (folder / "synapse").mkdir()
        with (
            build_list(console, folder) as known,
            run_intake(console, folder) as (url, intake_key),
            synapse.running(folder / "synapse") as server,
        ):
            good = asyncio.run(_story(console, folder, known, url, intake_key, server))
    console.print(f"[b]{time.monotonic() - started:.0f} seconds.[/b]")
    return good


async def _story(
    console: Console, folder: Path, known: HashSet, url: str, intake_key: Ed25519PublicKey, server: synapse.Server
) -> bool:
    device_key, opener_key = Ed25519PrivateKey.generate(), X25519PrivateKey.generate()
    policy = make_policy(known, opener_key, Ed25519PrivateKey.generate())
    account = AccountStore(folder / "account")
    account.create(time.time())
    sealer = DeviceSealer(device_key, policy, account.account_id)
    notices = Notices("scanner ledger show outbox.db", "appeals@example.org")
    settings = GateSettings(keeping=KeepingSettings(spread=0.0, pause=0.1))
    tally = Tally()
    async with AsyncExitStack() as stack:
        scanner = stack.enter_context(Scanner(known))
        outbox = stack.enter_context(Outbox(folder / "outbox.db"))
        courier = stack.enter_context(Courier(url, device_key, account.account_id, intake_key))
        courier.enrol(outbox=outbox, now=time.time())
        gate = await stack.enter_async_context(
            OutgoingGate(scanner, sealer, outbox, account, notices, courier=courier, settings=settings)
        )
        names = [server.register(name) for name in ("ada", "bo")]
        gated = people.logged_in(
            GatedClient, server.url, names[0], folder / "ada", gate=gate, on_notice=tally.notices.append
        )
        ada = await stack.enter_async_context(gated)
        bo = await stack.enter_async_context(people.logged_in(AsyncClient, server.url, names[1], folder / "bo"))
        room = await people.open_room(ada, bo)
        console.print(
            f"3. A Synapse homeserver listens on {server.url}. {ada.user_id} and {bo.user_id} logged in with "
            "matrix-nio and are in an encrypted room. Ada's client is a GatedClient: what she uploads is checked first."
        )
        await _send_innocent(console, tally, ada, bo, room, server)
        few = policy.threshold - 1
        await _send_copies(tally, ada, room, pictures.KNOWN[:few])
        console.print(f"5. Ada sends an edited copy of {few} known pictures. None leaves. What she sees:")
        console.print(Panel(tally.notices[0].text, expand=False))
        await _delivered(outbox, few)
        before = await asyncio.to_thread(open_accounts, folder, opener_key, policy)
        console.print(
            f"6. The intake signed for {few} vouchers. The opener, offline, where the policy asks for "
            f"{policy.threshold}: [b]{before.result}[/b]; it learns nothing of any of them."
        )
        await _send_copies(tally, ada, room, pictures.KNOWN[few:])
        await _delivered(outbox, len(pictures.KNOWN))
        after = await asyncio.to_thread(open_accounts, folder, opener_key, policy)
        labels = sorted(known.label_at(payload.leaf_index) for payload in after.opened)
        console.print(
            f"7. {len(pictures.KNOWN) - few} more are held. The opener, with {after.vouchers} vouchers: "
            f"[b]{after.result}[/b]: {', '.join(labels)}."
        )
    with Outbox(folder / "outbox.db") as outbox:
        kept = outbox.ledger()
    scans = sum(one.number for one in kept.scans)
    console.print(
        f"8. Ada's own ledger has {scans} scans, {len(kept.vouchers)} vouchers and as many receipts; to the intake "
        f"went {sum(day.requests for day in kept.traffic)} requests, {sum(day.bytes for day in kept.traffic):,} bytes."
    )
    return _summary(console, tally, scans, len(after.opened))


async def _send_innocent(
    console: Console, tally: Tally, ada: GatedClient, bo: AsyncClient, room: str, server: synapse.Server
) -> None:
    sent = [pictures.find(name).read_bytes() for name in pictures.INNOCENT]
    for data in sent:
        started = time.perf_counter()
        tally.innocent += isinstance(await people.send(ada, room, data), UploadResponse)
        tally.milliseconds.append(1e3 * (time.perf_counter() - started))
    received = await people.receive(bo, tally.innocent)
    tally.arrived = sum(one.data == data for one, data in zip(received, sent, strict=False))
    stored = server.stored_media()
    plain = sum(any(data[64:128] in file for data in sent) for file in stored)
    each = statistics.median(tally.milliseconds)
    console.print(
        f"4. Ada sends {len(sent)} photographs that are on no list, {each:.0f} ms each. "
        f"Bo's client decrypts [b]{tally.arrived}[/b] of them byte by byte. The homeserver stores {len(stored)} files, "
        f"{plain} of them readable. The intake heard nothing."
    )


async def _send_copies(tally: Tally, ada: GatedClient, room: str, names: tuple[str, ...]) -> None:
    edits = list(pictures.EDITS)
    for number, name in enumerate(names):
        copies = await asyncio.to_thread(pictures.edited, pictures.find(name))
        answer = await people.send(ada, room, copies[edits[number % len(edits)]])
        tally.copies += 1
        tally.held += not isinstance(answer, UploadResponse)


async def _delivered(outbox: Outbox, number: int) -> None:
    async with asyncio.timeout(DELIVERY_SECONDS):
        while outbox.counts() != {"delivered": number}:
            await asyncio.sleep(0.05)


def _summary(console: Console, tally: Tally, scans: int, opened: int) -> bool:
    console.print(
        f"[b]{tally.arrived} of {len(pictures.INNOCENT)} innocent pictures arrived as they were, "
        f"{tally.held} of {tally.copies} edited copies were held[/b]"
    )
    return (
        tally.arrived == len(pictures.INNOCENT)
        and tally.held == tally.copies == opened == len(pictures.KNOWN)
        and scans == tally.copies + len(pictures.INNOCENT)
    )


def main() -> int:
    """Tell the story; gives the exit code."""
    logging.getLogger("nio").setLevel(logging.ERROR)  # it warns of every device it meets for the first time
    try:
        return 0 if tell() else 1
    except ScannerError as error:
        Console(stderr=True).print(f"error: {error}", style="bold red", highlight=False)
        return 1


if __name__ == "__main__":
    sys.exit(main())
