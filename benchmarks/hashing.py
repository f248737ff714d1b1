"""PDQ beside pdqhash: is every bit the same, and how long does a 12-megapixel picture take?

python -m benchmarks.hashing
"""

from __future__ import annotations

import io
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pdqhash
from PIL import Image

from benchmarks.measure import interleaved, machine, median_ratio, one_thread, store
from benchmarks.photographs import photographs
from scanner import HashSet, HashSetBuilder, PerceptualHash, Scanner, hash_pixels
from scanner.hashset import Entry

ROUNDS = 11
SIZES = ((4000, 3000), (2048, 1024), (512, 512))
LIST_SIZE = 1_000_000
Image.MAX_IMAGE_PIXELS = None  # our own photographs


def exactness(paths: list[Path]) -> dict[str, Any]:
    """Compare hash and quality with pdqhash on the same full-size RGB pixels, and the default decode with both."""
    equal, moved = 0, []
    with tempfile.TemporaryDirectory() as folder:
        scanner = Scanner(_list(Path(folder), 1))
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


def speed(photograph: Path) -> dict[str, Any]:
    """Time a whole scan from JPEG bytes beside a full decode and pdqhash, in one run."""
    sizes = []
    with tempfile.TemporaryDirectory() as folder:
        scanner = Scanner(_list(Path(folder), LIST_SIZE))
        for size in SIZES:
            data = _jpeg(photograph, size)
            pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
            seconds = interleaved(
                {
                    "scan": lambda data=data: scanner.scan(data),  # type: ignore[misc]
                    "full decode + pdqhash": lambda data=data: pdqhash.compute(  # type: ignore[misc]
                        np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
                    ),
                    "hash_pixels": lambda pixels=pixels: hash_pixels(pixels),  # type: ignore[misc]
                    "pdqhash": lambda pixels=pixels: pdqhash.compute(pixels),  # type: ignore[misc]
                },
                ROUNDS,
            )
            sizes.append({"width": size[0], "height": size[1], "bytes": len(data), "seconds": seconds})
    return {"list": LIST_SIZE, "sizes": sizes}


def _list(folder: Path, entries: int) -> HashSet:
    random = np.random.default_rng(1)
    builder = HashSetBuilder("random")
    for _ in range(entries):
        builder.add(Entry(PerceptualHash("pdq", random.bytes(32))))
    builder.write(folder / "random.prescan")
    return HashSet.open(folder / "random.prescan")


def _jpeg(photograph: Path, size: tuple[int, int]) -> bytes:
    out = io.BytesIO()
    Image.open(photograph).convert("RGB").resize(size).save(out, "JPEG", quality=90)
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
    one_thread()
    paths = photographs()
    largest = max(paths, key=lambda path: np.prod(Image.open(path).size))
    raw = {
        "machine": machine("pillow", "numba", "numpy", "pdqhash"),
        "exactness": exactness(paths),
        "speed": speed(largest),
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
    for size in raw["speed"]["sizes"]:
        seconds = size["seconds"]
        ms = {name: 1e3 * statistics.median(values) for name, values in seconds.items()}
        whole = median_ratio(seconds["full decode + pdqhash"], seconds["scan"])
        kernel = median_ratio(seconds["pdqhash"], seconds["hash_pixels"])
        print(
            f"{size['width']} x {size['height']} JPEG: scan {ms['scan']:.1f} ms, "
            f"full decode + pdqhash {ms['full decode + pdqhash']:.0f} ms, {whole:.1f} x; "
            f"pixels: {ms['hash_pixels']:.1f} ms, pdqhash {ms['pdqhash']:.1f} ms, {kernel:.1f} x"
        )


if __name__ == "__main__":
    main()
