"""A small corpus of drawn pictures, for tests of what is made of measurements."""

from __future__ import annotations

import datetime as dt
import hashlib
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.accuracy import evaluation
from benchmarks.accuracy.corpora import folder_corpus
from benchmarks.accuracy.edits import LADDER
from benchmarks.accuracy.hashed import UNCHANGED, Hashed
from benchmarks.accuracy.manifest import Manifest, Picture, Role, Stratum
from benchmarks.accuracy.measuring import chosen, count_pairs, drawn_sources, measure
from benchmarks.accuracy.measuring import threads as in_threads
from benchmarks.accuracy.raw import Plan, Raw, populations, radius_of

AT = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
RUNGS = ("jpeg-q50", "crop-all-5", "blur-0.5", "messenger-1600-q75", "rotate-90")
ABOUT = {
    "machine": {"processor": "a drawn one", "cores": 2, "system": "Linux", "python": "3", "versions": {"numpy": "2"}},
    "command": ["python", "-m", "benchmarks.accuracy", "run"],
    "purge": {"groups": 1, "purged": 2, "confirmed": 3, "proposed": 4},
    "left_out": {"damaged": 1},
}


def draw_pictures(folder: Path, count: int, seed: int = 0, size: int = 96) -> None:
    """Draw pictures of smooth shapes with a little noise; every seventh is a plain slope of little quality."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    slope = np.mgrid[:size, :size].sum(axis=0) // 24
    for number in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (20, 20, 3), np.uint8))
        pixels = np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC)).astype(int)
        pixels += rng.integers(-4, 5, (size, size, 1))
        if number % 7 == 0:
            pixels = slope[..., None] + rng.integers(0, 200, 3)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{number:04}.png")


def manifest_of(folder: Path) -> Manifest:
    """List drawn pictures."""
    return folder_corpus(folder, licence="drawn", source="drawn").manifest


def measured(base: Path, count: int = 60, sources: int = 12, seed: int = 0, **plan: object) -> Raw:
    """Draw, list and measure, in this process."""
    draw_pictures(base / "pictures", count, seed)
    settled = {"hashes": ("pdq", "pdq-512", "dhash-64"), "rungs": RUNGS, "sources": sources, **plan}
    return measure(
        manifest_of(base / "pictures"),
        base / "pictures",
        base / "run",
        Plan(**settled),  # type: ignore[arg-type]
        ABOUT,
        clock=time.perf_counter,
        pools=in_threads,
    )


def of_bits(
    base: Path,
    hashes: dict[str, int] | None = None,
    pictures: int = 240,
    sources: int = 24,
    rungs: tuple[str, ...] = RUNGS,
    flips: tuple[float, ...] = (0.02, 0.1, 0.05, 0.15, 0.45),
    seed: int = 0,
    group: int = 1,
) -> Raw:
    """A run whose hashes are drawn by chance and whose edits flip bits: no picture is hashed.

    Every third picture is near another one's hash, every fifth is of low quality, every second a photograph.
    """
    rng = np.random.default_rng(seed)
    hashes = hashes or {"pdq": 256, "phash-64": 64}
    listed = tuple(_picture(number, group) for number in range(pictures))
    manifest = Manifest.of(listed)
    plan = Plan(tuple(hashes), rungs, pictures, sources, seed)
    order = chosen(manifest, plan)
    quality = np.where(np.arange(pictures) % 5 == 0, 20, 90).astype(np.int16)[None]
    base.mkdir(parents=True, exist_ok=True)
    codes, there = {}, {}
    for name, bits in hashes.items():
        drawn = rng.integers(0, 2, (pictures, bits), np.uint8)
        for number in range(0, pictures // 2, 3):  # the other half asks
            drawn[number] = drawn[number + pictures // 2] ^ (rng.random(bits) < rng.choice([0.05, 0.1, 0.2]))
        codes[name] = np.packbits(drawn, axis=1)[None]
        there[name] = np.ones((1, pictures), np.bool_)
        there[name][0, pictures - 1] = False
    hashed = Hashed("pictures", (UNCHANGED,), dict(hashes), codes, there, quality, ())
    numbers = drawn_sources(order, populations(order, hashed)["listable"], sources)
    edited = {}
    for name, bits in hashes.items():
        own = np.unpackbits(codes[name][0, list(numbers)], axis=1, count=bits)
        parts = [own, *(own ^ (rng.random(own.shape) < share) for share in flips[: len(rungs)])]
        edited[name] = np.packbits(np.stack(parts).astype(np.uint8), axis=2)
    shape = (1 + len(rungs), len(numbers))
    all_there = {name: np.ones(shape, np.bool_) for name in hashes}
    edits = Hashed("edits", (UNCHANGED, *rungs), dict(hashes), edited, all_there, np.full(shape, 90, np.int16), ())
    plugins = {
        name: {"bits": bits, "version": "1", "note": f"{name}, drawn", "radius": radius_of(bits)}
        for name, bits in hashes.items()
    }
    ladder = {"version": 1, "digest": "0" * 64, "left_out": {}, "rungs": [LADDER[name].described() for name in rungs]}
    about = {**ABOUT, "ladder": ladder, "plugins": plugins, "seconds": {"drawing": 0.1}}
    raw = Raw(base, base, plan, manifest.digest, order, numbers, hashed, edits if rungs and sources else None, about)
    count_pairs(base, plan, order, hashed, in_threads)
    return raw


def evaluated(base: Path, **options: Any) -> dict[str, Any]:
    """The evaluation of such a run."""
    return evaluation.evaluate(of_bits(base, **options), evaluation.Settings(replicates=200), AT)


def _picture(number: int, group: int) -> Picture:
    stratum = Stratum.PHOTOGRAPH if number % 2 else Stratum.DRAWING
    sha = hashlib.sha256(str(number).encode()).hexdigest()
    name = f"a/{number:05}.png"
    return Picture(sha, name, 300, 200, "RGB", Role.NEGATIVE, str(number // group), stratum, "drawn", "drawn 1")
