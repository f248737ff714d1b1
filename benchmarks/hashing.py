"""PDQ beside pdqhash and ThreatExchange: is every bit the same, and how long does a 12-megapixel picture take?

python -m benchmarks.hashing
"""

from __future__ import annotations

import io
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pdqhash
from PIL import Image

from benchmarks.measure import interleaved, machine, median_ratio, one_thread, store
from benchmarks.photographs import photographs
from scanner import HashSet, HashSetBuilder, PerceptualHash, Scanner, decode, hash_pixels
from scanner.hashing import hash_media, hash_picture
from scanner.hashset import Entry
from scanner.media import Accuracy, Limits
from scanner.sandbox import IsolatedHasher

ROUNDS = 15
JPEGS = ((4000, 3000), (2048, 1024), (512, 512))
PNG = (512, 512)
LIST_SIZE = 1_000_000
LARGE = (11600, 8700)
Image.MAX_IMAGE_PIXELS = None  # our own photographs


def exactness(paths: list[Path]) -> dict[str, Any]:
    """Compare hash and quality with pdqhash on the same full-size RGB pixels, and the default decode with both."""
    equal, moved = 0, []
    with tempfile.TemporaryDirectory() as folder:
        scanner = Scanner(_list(Path(folder), 1), isolation="in-process")
        for path in paths:
            pixels = np.asarray(Image.open(path).convert("RGB"))
            vector, quality = pdqhash.compute(pixels)
            theirs = np.packbits(vector).tobytes()
            ours = hash_pixels(pixels)
            equal += ours.hash.data == theirs and ours.quality == quality
            verdict = scanner.scan(_without_orientation(path))
            if verdict.hash is not None and quality >= 50:
                moved.append((int.from_bytes(verdict.hash.data) ^ int.from_bytes(theirs)).bit_count())
    return {"photographs": len(paths), "equal_in_hash_and_quality": equal, "bits_moved_by_default_decode": moved}


def speed(photograph: Path) -> list[dict[str, Any]]:
    """Time a whole scan from bytes, and its parts, beside the peers' paths, in one run."""
    from threatexchange.signal_type.pdq.pdq_hasher import pdq_from_bytes

    rows = []
    with tempfile.TemporaryDirectory() as folder, IsolatedHasher() as isolated:
        known = _list(Path(folder), LIST_SIZE)
        scanner = Scanner(known, isolation="in-process")
        index = known.open_index()
        for kind, size in (*(("JPEG", size) for size in JPEGS), ("PNG", PNG)):
            data = _encoded(photograph, size, kind)
            pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
            code = hash_picture(data, accuracy=Accuracy.FAST).hash.data
            seconds = interleaved(
                {
                    "scan": lambda data=data: scanner.scan(data),  # type: ignore[misc]
                    "decode": lambda data=data: decode(data, accuracy=Accuracy.FAST),  # type: ignore[misc]
                    "hash in-process": lambda data=data: hash_media(data, accuracy=Accuracy.FAST),  # type: ignore[misc]
                    "hash isolated": lambda data=data: isolated.hash_media(data),  # type: ignore[misc]
                    "hash at full size": lambda data=data: hash_picture(data, accuracy=Accuracy.LUMA),  # type: ignore[misc]
                    "search": lambda code=code: index.search(code, 31),  # type: ignore[misc]
                    "full decode + pdqhash": lambda data=data: pdqhash.compute(  # type: ignore[misc]
                        np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
                    ),
                    "ThreatExchange": lambda data=data: pdq_from_bytes(data),  # type: ignore[misc]
                    "hash_pixels": lambda pixels=pixels: hash_pixels(pixels),  # type: ignore[misc]
                    "pdqhash": lambda pixels=pixels: pdqhash.compute(pixels),  # type: ignore[misc]
                },
                ROUNDS,
            )
            rows.append({"kind": kind, "width": size[0], "height": size[1], "bytes": len(data), "seconds": seconds})
    return rows


def twelve(paths: list[Path]) -> list[dict[str, Any]]:
    """Time a whole scan of each photograph of twelve megapixels or more, brought to twelve, beside the peer's path."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        scanner = Scanner(_list(Path(folder), LIST_SIZE), isolation="in-process")
        for path in paths:
            with Image.open(path) as image:
                if image.size[0] * image.size[1] < JPEGS[0][0] * JPEGS[0][1]:
                    continue
            data = _encoded(path, JPEGS[0], "JPEG")
            seconds = interleaved(
                {
                    "scan": lambda data=data: scanner.scan(data),  # type: ignore[misc]
                    "full decode + pdqhash": lambda data=data: pdqhash.compute(  # type: ignore[misc]
                        np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
                    ),
                },
                3,
            )
            rows.append({"photograph": path.name, "bytes": len(data), "seconds": seconds})
    return rows


def memory(photograph: Path) -> list[dict[str, Any]]:
    """Measure how far the peak of memory rises while one picture is hashed, in a fresh process each."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for width, height in (JPEGS[0], LARGE):
            path = Path(folder, "picture.jpg")
            path.write_bytes(_encoded(photograph, (width, height), "JPEG"))
            for peer in ("prescan", "pdqhash"):
                ran = subprocess.run(
                    [sys.executable, "-m", "benchmarks.hashing", "--peak", peer, str(path)],
                    check=True, capture_output=True, text=True,
                )  # fmt: skip
                rows.append({"peer": peer, "pixels": width * height, "bytes": int(ran.stdout)})
    return rows


def peak(peer: str, path: str) -> int:
    """Bytes by which this process's memory rises at its peak, the file's own included; kernels and decoders were loaded
    before. Linux's own bookkeeping.
    """
    small = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").resize((1100, 1100)).save(small, "JPEG")
    _hash_by(peer, small.getvalue())
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = _kilobytes("VmRSS")
    _hash_by(peer, Path(path).read_bytes())
    return 1024 * (_kilobytes("VmHWM") - before)


def _kilobytes(what: str) -> int:
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what))


def _hash_by(peer: str, data: bytes) -> None:
    if peer == "prescan":
        hash_media(data, accuracy=Accuracy.FAST, limits=Limits())
    else:
        pdqhash.compute(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


def _list(folder: Path, entries: int) -> HashSet:
    random = np.random.default_rng(1)
    builder = HashSetBuilder("random")
    for _ in range(entries):
        builder.add(Entry(PerceptualHash("pdq", random.bytes(32))))
    builder.write(folder / "random.prescan")
    return HashSet.open(folder / "random.prescan")


def _encoded(photograph: Path, size: tuple[int, int], kind: str) -> bytes:
    out = io.BytesIO()
    Image.open(photograph).convert("RGB").resize(size).save(out, kind, **({"quality": 90} if kind == "JPEG" else {}))
    return out.getvalue()


def _without_orientation(path: Path) -> bytes:
    """Pdqhash hashes pixels as stored; so that both see the same, the EXIF mark goes."""
    with Image.open(path) as picture:
        if picture.getexif().get(0x0112, 1) == 1:
            return path.read_bytes()
        out = io.BytesIO()
        picture.save(out, "JPEG", quality="keep", exif=b"")
        return out.getvalue()


def main() -> None:
    """Measure, store, print."""
    if sys.argv[1:2] == ["--peak"]:
        print(peak(*sys.argv[2:]))
        return
    one_thread()
    paths = photographs()
    largest = max(paths, key=lambda path: np.prod(Image.open(path).size))
    raw = {
        "machine": machine("pillow", "numba", "numpy", "pdqhash", "threatexchange"),
        "exactness": exactness(paths),
        "speed": speed(largest),
        "memory": memory(largest),
        "twelve": twelve(paths),
    }
    stored = store("hashing", raw)
    report(raw)
    print(f"raw figures: {stored}", file=sys.stderr)


def report(raw: dict[str, Any]) -> None:
    """Print the figures made from raw ones."""
    exact = raw["exactness"]
    moved = exact["bits_moved_by_default_decode"]
    equal, count = exact["equal_in_hash_and_quality"], exact["photographs"]
    print(f"{equal} of {count} photographs equal to pdqhash in hash and quality")
    print(
        f"default decode, quality >= 50: {statistics.fmean(moved):.2f} bits in the mean, "
        f"p99 {np.percentile(moved, 99):.0f}, largest {max(moved)}, "
        f"over 31: {sum(bits > 31 for bits in moved)} of {len(moved)}"
    )
    for row in raw["speed"]:
        seconds = row["seconds"]
        ms = {name: 1e3 * statistics.median(values) for name, values in seconds.items()}
        print(f"{row['width']} x {row['height']} {row['kind']}:")
        for name, value in ms.items():
            print(f"  {name:<22}{value:9.3f} ms")
        for what, over, under in (
            ("scan, against full decode + pdqhash", "full decode + pdqhash", "scan"),
            ("scan, against ThreatExchange", "ThreatExchange", "scan"),
            ("full size, against full decode + pdqhash", "full decode + pdqhash", "hash at full size"),
            ("scan, against its decode alone", "scan", "decode"),
            ("PDQ on pixels, against pdqhash", "pdqhash", "hash_pixels"),
        ):
            print(f"  {what:<44}{median_ratio(seconds[over], seconds[under]):6.2f} x")
        print(f"  isolation costs {ms['hash isolated'] - ms['hash in-process']:.2f} ms")
    ratios = {
        row["bytes"]: median_ratio(*(row["seconds"][w] for w in ("full decode + pdqhash", "scan")))
        for row in raw["twelve"]
    }
    print(
        f"{len(ratios)} photographs at twelve megapixels: {min(ratios.values()):.0f} to {max(ratios.values()):.0f} x, "
        f"median {statistics.median(ratios.values()):.0f} x, "
        f"files of {min(ratios) / 1e6:.1f} to {max(ratios) / 1e6:.1f} MB"
    )
    for row in raw["memory"]:
        print(f"{row['pixels'] / 1e6:.0f} megapixels, {row['peer']}: {row['bytes'] / 1e6:.0f} MB above the baseline")


if __name__ == "__main__":
    main()
