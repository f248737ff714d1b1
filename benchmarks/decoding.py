"""How far decoding moves a hash: the ways of decoding, formats, orientations, Pillow's releases, and recall of edits.

python -m benchmarks.decoding

Bits do not depend on the machine's load, so nothing is timed here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks import decoding_edits as edits
from benchmarks.decoding_edits import bits_between
from benchmarks.decoding_report import report
from benchmarks.measure import machine, store
from benchmarks.photographs import photographs
from scanner import hash_picture, hash_pixels
from scanner.hashing import pdq_dihedral
from scanner.hashing.pdq import pdq_scaled
from scanner.index import distance_histogram
from scanner.media import Accuracy, decode
from scanner.media.formats import available

Image.MAX_IMAGE_PIXELS = None  # our own photographs
DECODER = sys.modules[decode.__module__]
SMALLEST_QUALITY = 50
"""Below it, a picture is too flat to be told apart: profiles leave it out, and so do we."""

ENLARGED, ENLARGED_SIDE = 60, 2200
CONVERTED, CONVERTED_SIDE = 100, 1200
CONVERTED_LARGE, LARGE_SIDE = 15, 1061  # prime, so that orientations meet blocks that reach over the edge
LADDER_SIDES = (2081,) * 18 + (1061,) * 72


class Mode(NamedTuple):
    """A way to decode and hash."""

    accuracy: Accuracy
    short_side: int = DECODER.FAST_SHORT_SIDE
    own: bool = False  # hash what was decoded as a picture of its own size


MODES: Mapping[str, Mode] = {
    "luma": Mode(Accuracy.LUMA),
    "fast 1024": Mode(Accuracy.FAST, 1024),
    "fast 512": Mode(Accuracy.FAST, 512),
    "fast 256": Mode(Accuracy.FAST, 256),
    "fast 1024, own size": Mode(Accuracy.FAST, 1024, own=True),
    "fast 512, own size": Mode(Accuracy.FAST, 512, own=True),
    "fast 256, own size": Mode(Accuracy.FAST, 256, own=True),
}
RECALLED = {
    "reference": Mode(Accuracy.REFERENCE),
    **{name: mode for name, mode in MODES.items() if not mode.own},
}


class Known(NamedTuple):
    """A photograph worth hashing and its reference hash."""

    path: Path
    hash: bytes
    side: int


def hashed(data: bytes, mode: Mode) -> tuple[bytes, bool]:
    """Hash a file in one way; gives the hash and whether it was decoded scaled."""
    with patch.object(DECODER, "FAST_SHORT_SIDE", mode.short_side):
        picture = decode(data, accuracy=mode.accuracy)
    if picture.scale is None or mode.own:
        return hash_pixels(picture.pixels).hash.data, picture.scale is not None
    return pdq_scaled(picture.pixels, picture.scale)[0], True


def of_quality(paths: list[Path]) -> list[Known]:
    """Photographs that are not too flat, by their reference hashes."""
    found = []
    for path in paths:
        known, quality = hash_picture(path)
        if quality >= SMALLEST_QUALITY:
            with Image.open(path) as image:
                found.append(Known(path, known.data, min(image.size)))
    return found


def distinct(found: list[Known]) -> list[Known]:
    """The largest first, without those that look like a larger one."""
    kept: list[Known] = []
    for one in sorted(found, key=lambda known: -known.side):
        if all(bits_between(one.hash, other.hash) > 62 for other in kept):
            kept.append(one)
    return kept


def opened(path: Path) -> Image.Image:
    """A photograph as an upright RGB picture."""
    return Image.fromarray(decode(path).pixels).convert("RGB")


def moved_by_mode(files: Mapping[str, bytes]) -> dict[str, Any]:
    """Hash every file in every way; gives bits moved and whether it was scaled, and what moved far."""
    rows: dict[str, list[tuple[int, bool]]] = {name: [] for name in MODES}
    far = []
    for file, data in files.items():
        reference = hash_picture(data).hash.data
        moved = {}
        for name, mode in MODES.items():
            code, scaled = hashed(data, mode)
            moved[name] = bits_between(code, reference)
            rows[name].append((moved[name], scaled))
        if max(moved["luma"], moved["fast 512"]) > 6 or max(moved.values()) > 31:
            far.append({"file": file, "moved": moved, **_stability(data)})
    return {"moved": rows, "far": far}


def _stability(data: bytes) -> dict[str, Any]:
    """What bits near the median hang on: how many coefficients are there, and how far luma is from RGB's grey."""
    rgb = decode(data).pixels
    grey = rgb @ np.array([0.299, 0.587, 0.114]) if rgb.ndim == 3 else rgb.astype(np.float64)
    luma = decode(data, accuracy=Accuracy.LUMA).pixels
    return {
        "size": [rgb.shape[1], rgb.shape[0]],
        "quality": hash_pixels(rgb).quality,
        "luma_off_by": float(np.abs(luma - grey).mean()),
        **_near_median(grey),
    }


def _near_median(grey: npt.NDArray[Any]) -> dict[str, Any]:
    coefficients = _coefficients(grey)
    away = np.abs(coefficients - np.sort(coefficients.ravel())[127])
    return {"within_half_of_median": int((away <= 0.5).sum()), "typical_from_median": float(np.median(away))}


def recalled(found: list[Known]) -> dict[str, dict[str, list[int]]]:
    """Edit every photograph in every way; gives distances from the original's reference hash, by edit and decode."""
    names = (*edits.REENCODED, *edits.EDITS)
    rows: dict[str, dict[str, list[int]]] = {name: {mode: [] for mode in RECALLED} for name in names}
    for known, side in zip(found, LADDER_SIDES, strict=False):
        image = edits.with_short_side(opened(known.path), side)
        original = hash_pixels(np.asarray(image)).hash.data
        for name, data in _edited(image):
            for mode, settings in RECALLED.items():
                rows[name][mode].append(bits_between(hashed(data, settings)[0], original))
    return rows


def _edited(image: Image.Image) -> Iterator[tuple[str, bytes]]:
    for name, quality in edits.REENCODED.items():
        yield name, edits.saved(image, "JPEG", quality=quality)
    for name, edit in edits.EDITS.items():
        yield name, edits.saved(edit(image), "JPEG", quality=90)


def _coefficients(grey: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """PDQ's 16 x 16 coefficients, without a thought for rounding or time."""
    filtered = grey
    for _ in range(2):
        filtered = _moving_means(_moving_means(filtered).T).T
    rows, columns = ((np.arange(0.5, 64) * size / 64).astype(int) for size in grey.shape)
    angles = np.pi / 128 * np.outer(np.arange(1, 17), 2 * np.arange(64) + 1)
    basis = np.sqrt(2 / 64) * np.cos(angles)
    coefficients: npt.NDArray[np.float64] = basis @ filtered[np.ix_(rows, columns)] @ basis.T
    return coefficients


def _moving_means(lines: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    length = len(lines)
    window = (length + 127) // 128
    ends = np.arange(length) + (window + 2) // 2
    begins, ends = np.maximum(ends - window, 0), np.minimum(ends, length)
    sums = np.concatenate([np.zeros((1, lines.shape[1])), np.cumsum(lines, axis=0)])
    means: npt.NDArray[np.float64] = (sums[ends] - sums[begins]) / (ends - begins)[:, None]
    return means


def turned(found: list[Known]) -> dict[str, Any]:
    """Turn and mirror every photograph; gives its copies' distances, and near pairs, for one and for eight lookups."""
    ways = {"mirrored": 2, "rotated 180": 3, "rotated 90": 6, "rotated 270": 8}
    rows: dict[str, dict[str, list[int]]] = {name: {"one": [], "eight": []} for name in ways}
    eight = []
    for known in found:
        image = opened(known.path)
        image.thumbnail((CONVERTED_SIDE, CONVERTED_SIDE))
        turns, _ = pdq_dihedral(np.asarray(image))
        eight.append(turns)
        for name, orientation in ways.items():
            copy = image.transpose(edits.UPRIGHT_TO_STORED[orientation] or Image.Transpose.TRANSPOSE)
            asked, _ = pdq_dihedral(decode(edits.saved(copy, "JPEG", quality=90)).pixels)
            away = [bits_between(turn, turns.original) for turn in asked]
            rows[name]["one"].append(away[0])
            rows[name]["eight"].append(min(away))
    codes = np.frombuffer(b"".join(b"".join(turns) for turns in eight), np.uint8).reshape(-1, 8, 32)
    upright = np.ascontiguousarray(codes[:, 0])
    one = distance_histogram(upright)
    others = sum(_with_others(np.ascontiguousarray(codes[:, turn]), upright) for turn in range(1, 8))
    pairs = {"one": one.tolist(), "eight": (one + others // 2).tolist()}  # each pair was met in both orders
    return {"copies": rows, "pictures": len(found), "pairs": pairs}


def _with_others(turned_codes: npt.NDArray[np.uint8], upright: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Count each turned picture with every picture but itself, at each distance."""
    counts = distance_histogram(turned_codes, upright)
    for one, other in zip(turned_codes, upright, strict=True):
        counts[bits_between(one.tobytes(), other.tobytes())] -= 1
    return counts


def enlarged(found: list[Known]) -> dict[str, bytes]:
    """Small photographs made large, with a little grain so that there is something between their pixels."""
    files = {}
    for known in _spread([one for one in found if 256 <= one.side < 1024], ENLARGED):
        image = edits.noisy(edits.with_short_side(opened(known.path), ENLARGED_SIDE), 2)
        files[str(known.path)] = edits.saved(image, "JPEG", quality=90)
    return files


def _spread(found: list[Known], count: int) -> list[Known]:
    return [found[place] for place in np.linspace(0, len(found) - 1, min(count, len(found))).astype(int)]


def main() -> None:
    """Measure, store, print."""
    kinds = available()
    found = of_quality(photographs())
    kept = distinct(found)
    large = [edits.with_short_side(opened(one.path), LARGE_SIDE) for one in kept[:CONVERTED_LARGE]]
    rest = _spread(kept[CONVERTED_LARGE:], CONVERTED - CONVERTED_LARGE)
    small = [opened(one.path) for one in rest]
    for image in small:
        image.thumbnail((CONVERTED_SIDE, CONVERTED_SIDE))
    raw = {
        "machine": machine("pillow", "numba", "numpy"),
        "photographs": {"of quality": len(found), "distinct": len(kept)},
        "stored": moved_by_mode({str(one.path): one.path.read_bytes() for one in found}),
        "enlarged": moved_by_mode(enlarged(kept)),
        "converted": [
            {"file": str(one.path), **_near_median(np.asarray(image.convert("L")))}
            for one, image in zip(kept[:CONVERTED_LARGE] + rest, large + small, strict=True)
        ],
        "formats": edits.moved_by_file(large + small, edits.FORMATS, kinds),
        "containers": edits.moved_by_file(large + small, edits.CONTAINERS),
        "orientations": edits.moved_by_orientation(large),
        "pillow": edits.by_pillow(small[:30], [one.path for one in _spread(found, CONVERTED)]),
        "ladder": {"sides": LADDER_SIDES[: len(kept)], "distances": recalled(kept)},
        "turned": turned(found),
    }
    path = store("decoding", raw)
    report(raw)
    print(f"raw figures: {path}", file=sys.stderr)


if __name__ == "__main__":
    main()
