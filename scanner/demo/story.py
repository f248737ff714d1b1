"""What ``scanner demo`` shows, from the list to the opened vouchers."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from rich.console import Console
from rich.table import Table

from scanner.delivery import Courier
from scanner.demo import pictures
from scanner.demo.messenger import Messenger
from scanner.errors import DeliveryError, StorageError
from scanner.hashset import HashSet, HashSetBuilder, read_pictures
from scanner.intake.store import StoredVoucher, open_store
from scanner.keys import write_key_pair
from scanner.outbox import Outbox
from scanner.pipeline import Checkpoint, Scanner
from scanner.types import Verdict
from scanner.vouchers import DeviceSealer, Voucher

START_LIMIT = 30.0
"""Seconds the intake may take to start."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One picture on its way out."""

    name: str
    edit: str | None
    verdict: Verdict
    milliseconds: float


def tell() -> bool:
    """Tell the whole story on standard output.

    Returns:
        whether every edited copy matched, no innocent picture did, and every voucher was delivered and opened.

    Raises:
        ScannerError: a step failed.
    """
    console = Console()
    with tempfile.TemporaryDirectory(prefix="prescan-demo-") as name:
        folder = Path(name)
        known = _build_list(console, folder)
        with known, _intake(console, folder) as (url, intake_key):
            return _send_and_open(console, folder, known, url, intake_key)


def _build_list(console: Console, folder: Path) -> HashSet:
    paths = [pictures.find(name) for name in pictures.KNOWN]
    builder = HashSetBuilder("demo list")
    for path in paths:
        for entries in read_pictures([path], path.parent, "pdq", lambda _: None):
            builder.add_all(entries)
    builder.write(folder / "known.prescan")
    known = HashSet.open(folder / "known.prescan")
    console.print(f"1. A list of [b]{len(known)}[/b] known photographs was built: {', '.join(pictures.KNOWN)}.")
    return known


@contextmanager
def _intake(console: Console, folder: Path) -> Iterator[tuple[str, Ed25519PublicKey]]:
    """Run a real intake in a process of its own, on a free port of this machine."""
    key = Ed25519PrivateKey.generate()
    write_key_pair(folder / "intake.key", key)
    command = [
        sys.executable, "-m", "scanner", "intake", "serve", "--port", "0",
        "--key", os.fspath(folder / "intake.key"), "--database", f"sqlite:///{folder / 'intake.db'}",
    ]  # fmt: skip
    with (folder / "intake.log").open("w+b") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)  # noqa: S603 - our own
        try:
            url = _announced_url(process, folder / "intake.log")
            console.print(f"2. An intake listens on {url}. It holds a key to sign receipts and none to open vouchers.")
            yield url, key.public_key()
        finally:
            process.terminate()
            process.wait(timeout=10)


def _announced_url(process: subprocess.Popen[bytes], log: Path) -> str:
    until = time.monotonic() + START_LIMIT
    while time.monotonic() < until and process.poll() is None:
        for line in log.read_text("utf-8", "replace").splitlines():
            if line.startswith("intake listening on "):
                return line.split()[-1]
        time.sleep(0.05)
    raise StorageError(f"the intake did not start: {log.read_text('utf-8', 'replace').strip() or 'no output'}")


def _send_and_open(console: Console, folder: Path, known: HashSet, url: str, intake_key: Ed25519PublicKey) -> bool:
    device_key, opener_key = Ed25519PrivateKey.generate(), X25519PrivateKey.generate()
    scanner = Scanner(known)
    scanner.warm_up()
    with Outbox(folder / "outbox.db") as outbox, Courier(url, device_key, intake_key) as courier:
        messenger = Messenger(Checkpoint(scanner, DeviceSealer(device_key, opener_key.public_key()), outbox))
        sent = _send_all(messenger)
        console.print("3. A messenger checks pictures, then encrypts those that may go:")
        console.print(_table(sent))
        courier.enrol()
        delivered = courier.deliver(outbox, time.time())
        console.print(
            f"4. What left the device: {len(messenger.wire)} encrypted pictures "
            f"({sum(map(len, messenger.wire)):,} bytes), and to the intake {courier.bytes_sent:,} bytes: "
            f"one enrolment and [b]{delivered}[/b] vouchers. About the other pictures: nothing."
        )
        if delivered != sum(one.verdict.matched for one in sent):
            raise DeliveryError(f"not every voucher was delivered: {outbox.counts()}")
    stored = asyncio.run(_stored(folder))
    sizes = sorted({len(entry.voucher) for entry in stored})
    console.print(
        f"5. The intake holds {len(stored)} vouchers of {', '.join(map(str, sizes))} bytes and can't read them."
    )
    opened = [Voucher.parse(entry.voucher).open(opener_key) for entry in stored]
    labels = sorted({known.label_at(payload.leaf_index) for payload in opened})
    console.print(f"6. The opener, offline, reads from them which entries were matched: {', '.join(labels)}.")
    return _summary(console, sent, delivered, len(opened))


def _send_all(messenger: Messenger) -> list[Sent]:
    sent = []
    for name in pictures.KNOWN:
        for edit, data in pictures.edited(pictures.find(name)).items():
            sent.append(Sent(name, edit, *messenger.send(data)))
    innocent = (pictures.find(name) for name in pictures.INNOCENT)
    return sent + [Sent(path.name, None, *messenger.send(path.read_bytes())) for path in innocent]


def _table(sent: list[Sent]) -> Table:
    table = Table("picture", "edit", "verdict", "action", header_style="bold")
    for title in ("bits", "quality", "ms"):
        table.add_column(title, justify="right")
    for one in sent:
        verdict = one.verdict
        table.add_row(
            Path(one.name).stem,
            one.edit or "–",
            f"[bold]{verdict.outcome}[/bold]" if verdict.matched else str(verdict.outcome),
            str(verdict.action),
            str(verdict.matches[0].distance) if verdict.matches else "",
            str(verdict.quality),
            f"{one.milliseconds:.1f}",
        )
    return table


async def _stored(folder: Path) -> list[StoredVoucher]:
    async with open_store(f"sqlite:///{folder / 'intake.db'}") as store:
        return await store.vouchers()


def _summary(console: Console, sent: list[Sent], delivered: int, opened: int) -> bool:
    copies = [one for one in sent if one.edit]
    innocent = [one for one in sent if not one.edit]
    caught, wronged = (sum(one.verdict.matched for one in group) for group in (copies, innocent))
    console.print(
        f"[b]{caught} of {len(copies)} edited copies matched, "
        f"{wronged} of {len(innocent)} innocent pictures matched[/b]",
        highlight=False,
    )
    return caught == len(copies) == delivered == opened and wronged == 0
