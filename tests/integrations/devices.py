"""A device of a sender: a list of known pictures, a policy for it, an outbox, an account, and a gate over them."""

from __future__ import annotations

import asyncio
import io
import threading
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from PIL import Image

from scanner.hashset import HashSet, HashSetBuilder, read_pictures
from scanner.integrations import GateSettings, Notices, OutgoingGate
from scanner.integrations.keeping import KeepingSettings
from scanner.outbox import Outbox
from scanner.pipeline import Scanner
from scanner.profiles import PROFILES, Profile
from scanner.vouchers import DeviceSealer
from tests.policies import ACCOUNT, Secrets, policy_for

DEVICE = Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32)
NOTICES = Notices("scanner ledger show outbox.db", "appeals@example.org")
AT_ONCE = GateSettings(keeping=KeepingSettings(tick=3600.0, spread=0.0, pause=0.05))
"""Vouchers leave at once."""

PATIENT = {name: replace(one, time_limit=60.0, video_time_limit=60.0) for name, one in PROFILES.items()}
"""The profiles, for a busy machine."""


def picture(seed: int, kind: str = "PNG", side: int = 512, **options: object) -> bytes:
    """A textured picture, another one for each seed."""
    noise = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC).save(file, kind, **options)
    return file.getvalue()


KNOWN = tuple(picture(number) for number in range(3))


def edited(number: int) -> bytes:
    """A listed picture, smaller and as JPEG."""
    file = io.BytesIO()
    with Image.open(io.BytesIO(KNOWN[number])) as upright:
        upright.resize((400, 400)).save(file, "JPEG", quality=80)
    return file.getvalue()


def write_list(path: Path, pictures: tuple[bytes, ...] = KNOWN, epoch: int = 7) -> Path:
    """A list of pictures as a file."""
    folder = path.parent / f"{path.name}.pictures"
    folder.mkdir()
    builder = HashSetBuilder("a list", epoch=epoch)
    for number, data in enumerate(pictures):
        (folder / f"{number}.png").write_bytes(data)
    for entries in read_pictures(sorted(folder.iterdir()), folder, "pdq", lambda _: None):
        builder.add_all(entries)
    builder.write(path)
    return path


@dataclass(frozen=True)
class Device:
    """One device; the gate is open."""

    gate: OutgoingGate
    scanner: Scanner
    outbox: Outbox


@asynccontextmanager
async def device(
    known: Path,
    folder: Path,
    profile: Profile = PATIENT["standard"],
    *,
    isolation: str = "in-process",
    workers: int = 1,
    policy: Mapping[str, Any] = MappingProxyType({}),
    key: Ed25519PrivateKey = DEVICE,
    **options: Any,
) -> AsyncIterator[Device]:
    """Open a device, and close it."""
    with (
        HashSet.open(known) as listed,
        Scanner(listed, profile, isolation=isolation, workers=workers) as scanner,
        Outbox(folder / "outbox.db") as outbox,
    ):
        sealer = DeviceSealer(key, policy_for(listed, **policy), ACCOUNT)
        chosen = {"notices": NOTICES, "settings": AT_ONCE, "workers": workers, "clock": time.time} | options
        async with OutgoingGate(scanner, sealer, outbox, Secrets(), **chosen) as gate:
            yield Device(gate, scanner, outbox)


class Stuck:
    """Stands for a scan: waits until it is let go."""

    def __init__(self, device, only=lambda data: True):
        self.scan = device.scanner.scan
        self.began, self.go, self.only = threading.Event(), threading.Event(), only
        device.scanner.scan = self

    def __call__(self, data, **options):
        if self.only(data):
            self.began.set()
            assert self.go.wait(30)
        return self.scan(data, **options)

    async def has_begun(self):
        await asyncio.to_thread(self.began.wait, 30)
        assert self.began.is_set()
