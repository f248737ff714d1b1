"""What the gate adds to a send in a real messenger, and what it takes away: matrix-nio over a Synapse of this machine.

python -m benchmarks.messenger

Each picture and a clip of a minute is sent, encrypted, by the same client without and with the gate in turn, against a
list of a million; then checked alone, while a heartbeat tells how long the event loop was away: beside what it is when
nothing is done, and when nothing is done but another process, as the decoder is one, keeps a processor busy.
"""

from __future__ import annotations

import asyncio
import io
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from nio import AsyncClient, UploadResponse
from PIL import Image

from benchmarks.measure import machine, store
from benchmarks.photographs import photographs
from benchmarks.video import Clip, made
from scanner import hash_picture
from scanner.account import AccountStore
from scanner.demo import people, synapse
from scanner.hashset import Entry, HashSet, HashSetBuilder
from scanner.integrations import Notices, OutgoingGate
from scanner.integrations.matrix_nio import GatedClient
from scanner.outbox import Outbox
from scanner.pipeline import Scanner
from scanner.types import Outcome, PerceptualHash
from scanner.vouchers import DeviceSealer, PinnedSigners, Policy
from scanner.vouchers.policies import MATCH_ONLY, THRESHOLD_FLOOR, check_successor, sign

LIST_SIZE = 1_000_000
PHOTOGRAPHS = 10
QUALITY = 80
PICTURE_ROUNDS = 10
LARGE = 16 << 20
LARGE_ROUNDS = 7
SIZES = {"2 MP": (1632, 1224), "12 MP": (4000, 3000)}
CLIP = Clip("h264-720p.mp4", "mp4", "libx264", 60, 1280, 720, {"preset": "veryfast", "crf": "26", "g": "250"})
BEAT = 0.001
IDLE_SECONDS = 10.0
EXPECTED = {"16 MiB": Outcome.UNSCANNABLE}


def main() -> None:
    """Measure, store, print."""
    synapse.set_up()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        media = _media(folder)
        (folder / "synapse").mkdir()
        with _list(folder) as known, synapse.running(folder / "synapse") as server:
            raw = asyncio.run(_measured(folder, known, server, media))
    raw["machine"] = machine("matrix-nio", "aiohttp", "numba", "numpy", "pillow", "av")
    stored = store("messenger", raw)
    report(raw)
    print(f"raw figures: {stored}", file=sys.stderr)


def _media(folder: Path) -> dict[str, list[Path]]:
    """Photographs at each size, the clip, and bytes that are no media."""
    paths = photographs()
    textured = (path for path in paths if hash_picture(path).quality >= QUALITY)
    largest = sorted(textured, key=lambda path: -int(np.prod(Image.open(path).size)))[:PHOTOGRAPHS]
    media: dict[str, list[Path]] = {}
    for kind, size in SIZES.items():
        media[kind] = []
        for number, path in enumerate(largest):
            out = io.BytesIO()
            with Image.open(path) as picture:
                picture.convert("RGB").resize(size).save(out, "JPEG", quality=85)
            media[kind].append(folder / f"{kind} {number}.jpg")
            media[kind][-1].write_bytes(out.getvalue())
    clip, large = folder / CLIP.name, folder / "large.bin"
    clip.write_bytes(made(CLIP))
    large.write_bytes(np.random.default_rng(2).bytes(LARGE))
    return media | {"60 s clip": [clip], "16 MiB": [large]}


def _list(folder: Path) -> HashSet:
    random = np.random.default_rng(1)
    builder = HashSetBuilder("random")
    for _ in range(LIST_SIZE):
        builder.add(Entry(PerceptualHash("pdq", random.bytes(32))))
    builder.write(folder / "random.prescan")
    return HashSet.open(folder / "random.prescan")


async def _measured(
    folder: Path, known: HashSet, server: synapse.Server, media: dict[str, list[Path]]
) -> dict[str, Any]:
    account = AccountStore(folder / "account")
    account.create(time.time())
    sealer = DeviceSealer(Ed25519PrivateKey.generate(), _policy(known), account.account_id)
    a, b = (server.register(name) for name in ("a", "b"))
    with Scanner(known, workers=2) as scanner, Outbox(folder / "outbox.db") as outbox:
        async with (
            OutgoingGate(scanner, sealer, outbox, account, Notices("ledger", "appeal"), workers=2) as gate,
            people.logged_in(GatedClient, server.url, a, folder / "a", gate=gate) as sender,
            people.logged_in(AsyncClient, server.url, b, folder / "b") as receiver,
        ):
            room = await people.open_room(sender, receiver)
            sends = {
                kind: await _sends(sender, room, paths, LARGE_ROUNDS if kind == "16 MiB" else PICTURE_ROUNDS)
                for kind, paths in media.items()
            }
            checks = {kind: await _checks(gate, kind, paths) for kind, paths in media.items()}
            idle = await _beats(lambda: asyncio.sleep(IDLE_SECONDS))
            spinning = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            try:
                beside = await _beats(lambda: asyncio.sleep(IDLE_SECONDS))
            finally:
                spinning.kill()
                spinning.wait()
    sizes = {kind: [path.stat().st_size for path in paths] for kind, paths in media.items()}
    return {"sends": sends, "checks": checks, "idle": idle, "beside": beside, "bytes": sizes}


async def _sends(sender: GatedClient, room: str, paths: Sequence[Path], rounds: int) -> dict[str, list[float]]:
    """Seconds of each send, without and with the gate in turn, which goes first in turn too."""

    async def plain(path: Path) -> None:
        await _send(AsyncClient.upload, sender, room, path)

    async def gated(path: Path) -> None:
        await _send(GatedClient.upload, sender, room, path)

    runs = {"without": plain, "with": gated}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for path in paths[:2]:
        await plain(path)
        await gated(path)
    for number in range(rounds):
        for path in paths:
            for name, run in sorted(runs.items(), reverse=bool(number % 2)):
                started = time.perf_counter()
                await run(path)
                seconds[name].append(time.perf_counter() - started)
    return seconds


async def _send(upload: Callable[..., Awaitable[Any]], sender: GatedClient, room: str, path: Path) -> None:
    answer, keys = await upload(
        sender, lambda *_: path, "image/jpeg", path.name, encrypt=True, filesize=path.stat().st_size
    )
    if not isinstance(answer, UploadResponse):
        sys.exit(f"messenger: {path.name} was not taken: {answer}")
    content = {"msgtype": "m.image", "body": path.name, "file": {"url": answer.content_uri, **keys}}
    await sender.room_send(room, "m.room.message", content, ignore_unverified_devices=True)


async def _checks(gate: OutgoingGate, kind: str, paths: Sequence[Path]) -> dict[str, list[float]]:
    """Seconds of each check alone, and how late each heartbeat came meanwhile."""
    seconds: list[float] = []

    async def check_all() -> None:
        for path in [*paths] * PICTURE_ROUNDS:
            checked = await gate.check(path)
            if checked.verdict.outcome is not EXPECTED.get(kind, Outcome.NO_MATCH):
                sys.exit(f"messenger: {path.name}: {checked.verdict.reason}")
            seconds.append(checked.seconds)

    return {"late": await _beats(check_all), "seconds": seconds}


async def _beats(during: Callable[[], Awaitable[object]]) -> list[float]:
    late: list[float] = []

    async def beat() -> None:
        while True:
            started = time.perf_counter()
            await asyncio.sleep(BEAT)
            late.append(time.perf_counter() - started - BEAT)

    beating = asyncio.create_task(beat())
    await during()
    beating.cancel()
    return late


def _policy(known: HashSet) -> Policy:
    signer = Ed25519PrivateKey.generate()
    own = signer.public_key().public_bytes_raw()
    policy = Policy(
        serial=1, threshold=THRESHOLD_FLOOR, profile=MATCH_ONLY, algorithm=known.header.algorithm,
        radius=known.header.radius, quality_floor=known.header.quality_floor,
        opener_key=X25519PrivateKey.generate().public_key().public_bytes_raw(), hashset_digest=known.digest,
        hashset_name=known.header.name, not_before=0, signers=(own,), quorum=1, ordinary=1,
    )  # fmt: skip
    return check_successor(None, PinnedSigners((own,), 1), sign(policy, [signer]))


def report(raw: dict[str, Any]) -> None:
    """Print the figures made from raw ones, in ms."""
    titles = ("check", "send without", "with the gate", "added", "loop late")
    print(f"{'':<10} {'bytes':>10} " + " ".join(f"{title:>15}" for title in titles))
    print(f"{'':<10} {'median':>10} " + " ".join(f"{'p50 / p99':>15}" for _ in range(5)))
    for kind, sends in raw["sends"].items():
        added = [gated - plain for plain, gated in zip(sends["without"], sends["with"], strict=True)]
        checks = raw["checks"][kind]
        columns = (checks["seconds"], sends["without"], sends["with"], added, checks["late"])
        print(
            f"{kind:<10} {statistics.median(raw['bytes'][kind]):>10,.0f} "
            + " ".join(f"{_p(column, 50):>7.1f} / {_p(column, 99):>5.1f}" for column in columns)
        )
    late = {"idle": raw["idle"], "idle beside a busy process": raw["beside"]}
    for kind, beats in (late | {kind: checks["late"] for kind, checks in raw["checks"].items()}).items():
        over = sum(one > 0.005 for one in beats)
        print(
            f"{kind}: {over} of {len(beats)} beats over 5 ms late, p50 {_p(beats, 50):.2f}, p99 {_p(beats, 99):.2f}, "
            f"at most {1e3 * max(beats):.1f} ms"
        )


def _p(seconds: Sequence[float], part: float) -> float:
    """A percentile in ms."""
    return float(np.percentile(np.asarray(seconds) * 1e3, part))


if __name__ == "__main__":
    main()
