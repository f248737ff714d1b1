"""What ``scanner demo`` shows, from the list to the opened vouchers."""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from rich.console import Console
from rich.table import Table

from scanner.account import AccountStore
from scanner.checkpoint import Checkpoint
from scanner.delivery import Courier
from scanner.demo import pictures
from scanner.demo.messenger import Messenger
from scanner.errors import DeliveryError, StorageError
from scanner.exports import read_export
from scanner.hashset import HashSet, HashSetBuilder, read_pictures
from scanner.intake.settings import Settings
from scanner.intake.store import schema
from scanner.intake.store.change import Writer
from scanner.intake.store.engine import open_store
from scanner.intake.windows.choosing import Wanted
from scanner.intake.windows.exporting import make_export
from scanner.keys import read_private_key, write_key_pair
from scanner.opener import Report, open_export
from scanner.outbox import Outbox
from scanner.pipeline import Scanner
from scanner.types import Verdict
from scanner.vouchers import DeviceSealer, PinnedSigners, Policy
from scanner.vouchers.policies import MATCH_ONLY, THRESHOLD_FLOOR, check_successor, sign

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
        known = build_list(console, folder)
        with known, run_intake(console, folder) as (url, intake_key):
            return _send_and_open(console, folder, known, url, intake_key)


def build_list(console: Console, folder: Path) -> HashSet:
    """The list of what is known, built from photographs of the packages and opened."""
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
def run_intake(console: Console, folder: Path) -> Iterator[tuple[str, Ed25519PublicKey]]:
    """Run a real intake in a process of its own, on a free port of this machine."""
    key = Ed25519PrivateKey.generate()
    write_key_pair(folder / "intake.key", key)
    command = [
        sys.executable, "-m", "scanner", "intake", "serve", "--port", "0",
        "--key", os.fspath(folder / "intake.key"), "--database", _database(folder),
    ]  # fmt: skip
    schema.migrate(_database(folder))
    environment = os.environ | {  # one device of our own, which needs no token; nobody's balancer waits for the end
        "PRESCAN_INTAKE_UNSAFE_OPEN_ENROLMENT": "yes",
        "PRESCAN_INTAKE_DRAIN_NOTICE": "0s",
    }
    with (folder / "intake.log").open("w+b") as log:
        process = subprocess.Popen(  # noqa: S603 - our own
            command, stdout=log, stderr=log, start_new_session=True, env=environment
        )
        try:
            url = _announced_url(process, folder / "intake.log")
            console.print(f"2. An intake listens on {url}. It holds a key to sign receipts and none to open vouchers.")
            yield url, key.public_key()
        finally:
            process.terminate()
            process.wait(timeout=10)


def _database(folder: Path) -> str:
    return f"sqlite:///{folder / 'intake.db'}"


def _announced_url(process: subprocess.Popen[bytes], log: Path) -> str:
    until = time.monotonic() + START_LIMIT
    while time.monotonic() < until and process.poll() is None:
        for line in log.read_text("utf-8", "replace").splitlines():
            if line.startswith("intake listening on "):
                return line.split()[-1]
        time.sleep(0.05)
    raise StorageError(f"the intake did not start: {log.read_text('utf-8', 'replace').strip() or 'no output'}")


def _send_and_open(console: Console, folder: Path, known: HashSet, url: str, intake_key: Ed25519PublicKey) -> bool:
    device_key, opener_key, signer = (
        Ed25519PrivateKey.generate(),
        X25519PrivateKey.generate(),
        Ed25519PrivateKey.generate(),
    )
    policy = make_policy(known, opener_key, signer)
    account = AccountStore(folder / "account")
    account.create(time.time())
    sealer = DeviceSealer(device_key, policy, account.account_id)
    with (
        Scanner(known) as scanner,
        Outbox(folder / "outbox.db") as outbox,
        Courier(url, device_key, account.account_id, intake_key) as courier,
    ):
        scanner.warm_up()
        checkpoint = Checkpoint(scanner, sealer, outbox, account)
        messenger = Messenger(checkpoint)
        courier.enrol(outbox=outbox, now=time.time())
        console.print("3. A messenger checks pictures, then encrypts those that may go:")
        few = policy.threshold - 1
        sent = _send_copies(messenger, pictures.KNOWN[:few]) + _send_innocent(messenger)
        console.print(_table(sent))
        delivered = courier.deliver(outbox, time.time())
        console.print(
            f"4. What left the device: {len(messenger.wire)} encrypted pictures "
            f"({sum(map(len, messenger.wire)):,} bytes), and to the intake {courier.bytes_sent:,} bytes: one enrolment "
            f"and [b]{delivered}[/b] vouchers, one for each different match. About the other pictures: nothing."
        )
        before = open_accounts(folder, opener_key, policy)
        console.print(
            f"5. The opener, offline, with {before.vouchers} vouchers where the policy asks for {policy.threshold}: "
            f"[b]{before.result}[/b]; it learns nothing of any of them."
        )
        more = _send_copies(messenger, pictures.KNOWN[few:])
        delivered += courier.deliver(outbox, time.time())
        checkpoint.tick()  # writes down what was counted
        if delivered != len(pictures.KNOWN):
            raise DeliveryError(f"not every voucher was delivered: {outbox.counts()}")
        kept = outbox.ledger()
    after = open_accounts(folder, opener_key, policy)
    labels = sorted(known.label_at(payload.leaf_index) for payload in after.opened)
    console.print(
        f"6. {len(more)} copies of {len(pictures.KNOWN) - few} other known pictures are sent. Now the opener, with "
        f"{after.vouchers} vouchers: [b]{after.result}[/b]; the entries matched are {', '.join(labels)}."
    )
    scans = sum(one.number for one in kept.scans)
    console.print(f"7. The user's own ledger has {scans} scans, {len(kept.vouchers)} vouchers and as many receipts.")
    good = not before.opened and len(after.opened) == len(pictures.KNOWN) and scans == len(sent) + len(more)
    return _summary(console, sent + more) and good


def make_policy(known: HashSet, opener_key: X25519PrivateKey, signer: Ed25519PrivateKey) -> Policy:
    """The signed policy, read back as a device reads it."""
    own = signer.public_key().public_bytes_raw()
    policy = Policy(
        serial=1, threshold=THRESHOLD_FLOOR, profile=MATCH_ONLY, algorithm=known.header.algorithm,
        radius=known.header.radius, quality_floor=known.header.quality_floor,
        opener_key=opener_key.public_key().public_bytes_raw(), hashset_digest=known.digest,
        hashset_name=known.header.name, not_before=0, signers=(own,), quorum=1, ordinary=1,
    )  # fmt: skip
    return check_successor(None, PinnedSigners((own,), 1), sign(policy, [signer]))


def _send_copies(messenger: Messenger, names: Sequence[str]) -> list[Sent]:
    return [
        Sent(name, edit, *messenger.send(data))
        for name in names
        for edit, data in pictures.edited(pictures.find(name)).items()
    ]


def _send_innocent(messenger: Messenger) -> list[Sent]:
    innocent = (pictures.find(name) for name in pictures.INNOCENT)
    return [Sent(path.name, None, *messenger.send(path.read_bytes())) for path in innocent]


def open_accounts(folder: Path, opener_key: X25519PrivateKey, policy: Policy) -> Report:
    """What the opener learns from an export of the intake; the story has one account and window."""
    export = folder / f"{time.monotonic_ns()}.export"
    asyncio.run(_export(folder, export))
    (report,) = open_export(read_export(export), opener_key, {policy.digest: policy})
    return report


async def _export(folder: Path, path: Path) -> None:
    """Write the intake's vouchers into a file for the opener."""
    key = read_private_key(folder / "intake.key", Ed25519PrivateKey)
    async with open_store(_database(folder)) as store:
        with path.open("xb") as file:
            writer = Writer(store, "localhost", key)
            await make_export(writer, Settings(), time.time(), Wanted(secrets.token_hex(16)), file=file)


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


def _summary(console: Console, sent: list[Sent]) -> bool:
    copies = [one for one in sent if one.edit]
    innocent = [one for one in sent if not one.edit]
    caught, wronged = (sum(one.verdict.matched for one in group) for group in (copies, innocent))
    console.print(
        f"[b]{caught} of {len(copies)} edited copies matched, "
        f"{wronged} of {len(innocent)} innocent pictures matched[/b]",
        highlight=False,
    )
    return caught == len(copies) and wronged == 0
