"""Two accounts on their way: a list, keys, a policy, devices that check pictures, an intake that takes vouchers.

The first account sends :data:`THRESHOLD` different listed pictures from two devices, one of them from both; the second
sends one fewer, each from both of its devices. Made once, with the commands where there is one; tests copy what they
change.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from PIL import Image
from typer.testing import CliRunner

from scanner.checkpoint import Checkpoint
from scanner.cli.app import app
from scanner.delivery import Courier
from scanner.hashset import HashSet
from scanner.intake.app import create_app
from scanner.intake.settings import Settings
from scanner.intake.store import schema
from scanner.keys import read_private_key
from scanner.outbox import Outbox
from scanner.pipeline import Scanner
from scanner.vouchers import DeviceSealer, Policy, policies
from scanner.vouchers.header import WINDOW_SECONDS
from tests.intake.conftest import serving
from tests.policies import ACCOUNT, NOW, OTHER_ACCOUNT, WINDOW, Secrets

THRESHOLD = 10
LISTED = 12
ACCOUNTS = {"one": ACCOUNT, "two": OTHER_ACCOUNT}
SENT = {
    ("one", 1): range(6),
    ("one", 2): range(5, THRESHOLD),
    ("two", 1): range(THRESHOLD - 1),
    ("two", 2): range(THRESHOLD - 1),
}
"""Listed pictures sent, by account and device."""


def png(seed: int) -> bytes:
    """A textured picture, another one for each seed."""
    noise = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).resize((96, 96), Image.Resampling.BICUBIC).save(file, "PNG")
    return file.getvalue()


@dataclass(frozen=True)
class Journey:
    """Files that it left, all in one folder."""

    folder: Path

    @property
    def database(self) -> str:
        """The intake's, as the commands take it."""
        return f"sqlite:///{self.folder / 'intake.db'}"

    def __getattr__(self, name: str) -> Path:
        """``journey.policy`` is the file ``policy``; ``a_key`` is ``a.key``."""
        return self.folder / name.replace("_", ".")


def command(*arguments: object) -> str:
    """Run a command that must work; gives standard output."""
    done = CliRunner().invoke(app, [*map(str, arguments)])
    assert done.exit_code == 0, (arguments, done.output, done.exception)
    return done.stdout


def travelled(folder: Path, *options: str, devices: Mapping[tuple[str, int], range] = SENT) -> Journey:
    """Make a journey in an empty folder; options are those of ``policy new``."""
    here = Journey(folder)
    here.pictures.mkdir()
    for number in range(LISTED):
        (here.pictures / f"{number:02}.png").write_bytes(png(number))
    command("hashset", "build", here.known, here.pictures, "--name", "a list")
    for role, name in (("intake", "intake"), ("opener", "opener"), ("signer", "a"), ("signer", "b")):
        command("keys", "new", role, folder / f"{name}.key")
    command(
        "policy", "new", here.policy, "-s", here.known, "-o", folder / "opener.key.pub",
        "--signer", here.a_key, "--signer", here.b_key, "-t", THRESHOLD, *options,
    )  # fmt: skip
    pinned = policies.PinnedSigners(
        tuple(
            sorted(
                read_private_key(key, Ed25519PrivateKey).public_key().public_bytes_raw()
                for key in (here.a_key, here.b_key)
            )
        ),
        2,
    )
    policy = policies.check_successor(None, pinned, here.policy.read_bytes())
    schema.migrate(here.database)
    intake_key = read_private_key(here.intake_key, Ed25519PrivateKey)
    with (
        HashSet.open(here.known) as known,
        Scanner(known, isolation="in-process") as scanner,
        serving(
            create_app(here.database, intake_key, settings=Settings(unsafe_open_enrolment=True), clock=lambda: NOW)
        ) as url,
    ):
        for (account, number), sent in devices.items():
            key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(f"{account}{number}".encode()).digest())
            with (
                Outbox(folder / f"{account}{number}") as outbox,
                Courier(url, key, ACCOUNTS[account], intake_key.public_key()) as courier,
            ):
                send(Device(scanner, key, policy, account, outbox, courier), sent)
    return here


@dataclass(frozen=True)
class Device:
    """What one device of an account uses."""

    scanner: Scanner
    key: Ed25519PrivateKey
    policy: Policy
    account: str
    outbox: Outbox
    courier: Courier


def send(device: Device, sent: range) -> None:
    """Check pictures, listed ones and others, tick until the window's last second, and deliver."""
    clock = [NOW]
    sealer = DeviceSealer(device.key, device.policy, ACCOUNTS[device.account])
    secrets = Secrets(device.account.encode() * 8)
    checkpoint = Checkpoint(device.scanner, sealer, device.outbox, secrets, clock=lambda: clock[0])
    for number in sent:
        assert checkpoint.check(png(number)).matched
        assert not checkpoint.check(png(1000 + number)).matched
    for clock[0] in (NOW, (WINDOW + 1) * WINDOW_SECONDS - 1.0):
        checkpoint.tick()
    device.courier.enrol()
    due = len(device.outbox.due(clock[0]))
    assert device.courier.deliver(device.outbox, clock[0]) == due >= len(sent)
